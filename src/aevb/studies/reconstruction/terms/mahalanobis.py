"""The paper's Gaussian (eq. 12, appendix C.2): a squared Mahalanobis distance, with a learned
diagonal covariance. It has no upper bound (Mattei and Frellsen 2018, theorem 1); a floor and
dequantisation are two ways to give it one."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

from ....core.lazy import lazy
from . import Term

torch = lazy("torch")


@dataclass(frozen=True, kw_only=True)
class Mahalanobis(Term):
    """log N(x; m, diag(e^v + (floor * level)^2)): the output holds the logits of m, then v."""

    outputs: int = 2
    floor: float = 0.0  # least standard deviation, in grey levels

    def log_density(self, x, decoded, level):
        logits, v = decoded.chunk(2, dim=-1)
        squared = (x - logits.sigmoid()).square()
        if not self.floor:
            return -0.5 * (log(2 * pi) + v + squared * torch.exp(-v)).sum(-1)
        variance = torch.exp(v) + (self.floor * level) ** 2
        return -0.5 * (log(2 * pi) + variance.log() + squared / variance).sum(-1)

    def variance(self, decoded, level):
        return decoded.chunk(2, dim=-1)[1].double().exp() + (self.floor * level) ** 2

    def ceiling(self, pixels, level):
        if not self.floor:
            return super().ceiling(pixels, level)
        return pixels * log(1 / (self.floor * level * sqrt(2 * pi)))  # all distances 0


TERM = (
    Mahalanobis(key="learned", title="Mahalanobis, learned Σ", order=10),
    Mahalanobis(key="floor", title="learned Σ with a floor", order=11, floor=1.0),
    Mahalanobis(key="dequantised", title="learned Σ, dequantised", order=12, dequantise=True),
)
