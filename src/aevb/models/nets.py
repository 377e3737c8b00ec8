"""Encoder and decoders of appendix C: one tanh layer each, of one model or of R replicas side by
side.

The parameters of a replica are a flat tensor (P,), a row of (R, P); `Layout.view` names the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

from . import kernels

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


@dataclass(frozen=True)
class Layout:
    """Shapes of one model: D pixels, H hidden units, N_z latent dimensions, the decoder's
    likelihood."""

    pixels: int
    hidden: int
    latent_dim: int
    likelihood: str  # "bernoulli" or "gaussian"

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        d, h, nz = self.pixels, self.hidden, self.latent_dim
        out = d if self.likelihood == "bernoulli" else 2 * d  # Gaussian: mean, then log-variance
        weights = (
            (d, h),
            (h, 2 * nz),
            (nz, h),
            (h, out),
        )  # encoder's output: mean, then log-variance
        biases = tuple((1, columns) for _, columns in weights)
        return dict(zip(WEIGHTS + BIASES, weights + biases, strict=True))

    @property
    def n_parameters(self) -> int:
        return sum(map(prod, self.shapes.values()))

    def view(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views (R, in, out) and (R, 1, out) into `flat` (R, P), or (in, out) and (1, out)
        into `flat` (P,)."""
        views, start = {}, 0
        for name, (rows, columns) in self.shapes.items():
            views[name] = flat[..., start : start + rows * columns].unflatten(-1, (rows, columns))
            start += rows * columns
        return views


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
    """p(x|z) (appendix C.1, C.2): z (..., M, N_z) -> logits (..., M, D), or for a Gaussian
    decoder (..., M, 2D): the mean's logits (the mean goes through a sigmoid) and the
    log-variances."""
    return output(hidden(z, parameters, "decoder"), parameters, "decoder")
