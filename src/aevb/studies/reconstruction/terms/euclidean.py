"""N(x; m, sd^2 I): a squared Euclidean distance; and the deterministic autoencoder, its limit.

The bound is -|x - m|^2 / (2 sd^2) - KL and a constant. As sd falls, the KL divergence weighs less
and q(z|x) narrows to a point: what is left is the autoencoder (section 2.3 of the paper calls the
first term a reconstruction error, and the KL divergence a regulariser).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi

from . import Term

LIMIT = 0.03  # the smallest sd, whose weight against the weights' prior the autoencoder shares


@dataclass(frozen=True, kw_only=True)
class Euclidean(Term):
    """log N(x; m, scale^2 I)."""

    scale: float

    def log_density(self, x, decoded, level):
        scaled = (x - decoded.sigmoid()) / self.scale
        return -(0.5 * log(2 * pi) + log(self.scale) + 0.5 * scaled.square()).sum(-1)


def _entry(sd: float, order: int) -> Euclidean:
    title = "Euclidean, Σ = I" if sd == 1 else f"Euclidean, σ = {sd:g}"
    key = f"euclidean_{sd:g}".replace(".", "")
    return Euclidean(key=key, title=title, order=order, scale=sd, sd=sd)


TERM = (
    *(_entry(sd, 20 + place) for place, sd in enumerate((1, 0.3, 0.1, LIMIT))),
    Euclidean(
        key="autoencoder",
        title="autoencoder (σ → 0)",
        order=29,
        scale=LIMIT,
        sd=0.0,
        variational=False,
    ),
)
