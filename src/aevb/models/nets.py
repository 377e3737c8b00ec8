"""Encoder and decoders of appendix C: one tanh layer each, of one model or of R replicas side by
side.

The parameters of a replica are a flat tensor (P,), a row of (R, P); `Layout.view` names the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..core.lazy import lazy
from . import kernels
from .likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

torch = lazy("torch")

WEIGHTS = (
    "encoder.hidden.weight",
    "encoder.output.weight",
    "decoder.hidden.weight",
    "decoder.output.weight",
)
BIASES = (
    "encoder.hidden.bias",
    "encoder.output.bias",
    "decoder.hidden.bias",
    "decoder.output.bias",
)
#: option `training.prior` -> the parameters that have the prior N(0, I)
REGULARISED = {
    "weights": WEIGHTS,
    "but_decoder_hidden": tuple(name for name in WEIGHTS if name != "decoder.hidden.weight"),
    "all": WEIGHTS + BIASES,
    "none": (),
}


@dataclass(frozen=True)
class Layout:
    """Shapes of the parameters of one model."""

    pixels: int  # D
    hidden: int  # H
    latent_dim: int  # N_z
    likelihood: str  # a key of LIKELIHOODS

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each weight and (1, out) of each bias, by name, in the order of `view`."""
        d, h, nz = self.pixels, self.hidden, self.latent_dim
        out = LIKELIHOODS[self.likelihood].width(d)
        # The encoder's output is the mean, then the log-variance.
        weights = ((d, h), (h, 2 * nz), (nz, h), (h, out))
        biases = tuple((1, columns) for _, columns in weights)
        return dict(zip(WEIGHTS + BIASES, weights + biases, strict=True))

    @property
    def n_parameters(self) -> int:
        """P."""
        return sum(map(prod, self.shapes.values()))

    def view(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views (R, in, out) and (R, 1, out) into `flat` (R, P), or (in, out) and (1, out)
        into `flat` (P,)."""
        views, start = {}, 0
        for name, (rows, columns) in self.shapes.items():
            views[name] = flat[..., start : start + rows * columns].unflatten(-1, (rows, columns))
            start += rows * columns
        return views


def stored(weights: dict[str, np.ndarray], device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """The parameters of a stored run, (in, out) and (out,), as those of one replica: (1, in, out)
    and (1, 1, out). With biases (out,) oneDNN would add a scalar without a word."""
    return {
        name: torch.from_numpy(value).to(device).view(1, -1, value.shape[-1])
        for name, value in weights.items()
    }


def hidden(x: Tensor, parameters: dict[str, Tensor], net: str) -> Tensor:
    """tanh layer of `net` ('encoder' or 'decoder'): (..., M, in) -> (..., M, H)."""
    return kernels.tanh(
        kernels.product(x, parameters[f"{net}.hidden.weight"], parameters[f"{net}.hidden.bias"])
    )


def output(h: Tensor, parameters: dict[str, Tensor], net: str) -> Tensor:
    """Linear output layer of `net`: (..., M, H) -> (..., M, out)."""
    return kernels.product(h, parameters[f"{net}.output.weight"], parameters[f"{net}.output.bias"])


def encode(x: Tensor, parameters: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """q(z|x) (eq. 9, appendix C.2): x (..., M, D) -> mean and log-variance, each (..., M, N_z)."""
    return output(hidden(x, parameters, "encoder"), parameters, "encoder").chunk(2, dim=-1)


def decode(z: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """p(x|z) (appendix C.1, C.2): z (..., M, N_z) -> what the likelihood takes, (..., M, out):
    the logits of the mean, (..., M, D), and what else it has for each pixel."""
    return output(hidden(z, parameters, "decoder"), parameters, "decoder")
