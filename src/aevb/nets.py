"""Encoder and decoders of appendix C: one tanh layer each, R replicas side by side.

The parameters of a replica are one row of a flat tensor (R, P): all weight matrices first, then all biases, so that
Adagrad is a few passes over one array and the prior on weight matrices is one slice. `Layout.view` names the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

WEIGHTS = ("encoder.hidden.weight", "encoder.output.weight", "decoder.hidden.weight", "decoder.output.weight")
BIASES = ("encoder.hidden.bias", "encoder.output.bias", "decoder.hidden.bias", "decoder.output.bias")


@dataclass(frozen=True)
class Layout:
    """Shapes of one model: D pixels, H hidden units, N_z latent dimensions, the decoder's likelihood."""

    pixels: int
    hidden: int
    latent_dim: int
    likelihood: str  # "bernoulli" or "gaussian"

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        d, h, nz = self.pixels, self.hidden, self.latent_dim
        out = d if self.likelihood == "bernoulli" else 2 * d  # Gaussian: mean, then log-variance
        weights = ((d, h), (h, 2 * nz), (nz, h), (h, out))  # encoder's output: mean, then log-variance
        biases = tuple((1, columns) for _, columns in weights)
        return dict(zip(WEIGHTS + BIASES, weights + biases, strict=True))

    @property
    def n_weights(self) -> int:
        """Entries of the flat tensor that belong to weight matrices: the first ones."""
        return sum(prod(self.shapes[name]) for name in WEIGHTS)

    @property
    def n_parameters(self) -> int:
        return sum(map(prod, self.shapes.values()))

    def view(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views (R, in, out) and (R, 1, out) into `flat` (R, P)."""
        views, start = {}, 0
        for name, (rows, columns) in self.shapes.items():
            views[name] = flat[:, start : start + rows * columns].view(len(flat), rows, columns)
            start += rows * columns
        return views


def hidden(x: Tensor, parameters: dict[str, Tensor], net: str) -> Tensor:
    """tanh layer of `net` ('encoder' or 'decoder'): (R, M, in) -> (R, M, H)."""
    return torch.baddbmm(parameters[f"{net}.hidden.bias"], x, parameters[f"{net}.hidden.weight"]).tanh_()


def output(h: Tensor, parameters: dict[str, Tensor], net: str) -> Tensor:
    """Linear output layer of `net`: (R, M, H) -> (R, M, out)."""
    return torch.baddbmm(parameters[f"{net}.output.bias"], h, parameters[f"{net}.output.weight"])


def encode(x: Tensor, parameters: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """q(z|x) (eq. 9, appendix C.2): x (R, M, D) -> mean and log-variance, each (R, M, N_z)."""
    return output(hidden(x, parameters, "encoder"), parameters, "encoder").chunk(2, dim=-1)


def decode(z: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """p(x|z) (appendix C.1, C.2): z (R, M, N_z) -> logits (R, M, D), or for a Gaussian decoder (R, M, 2D):
    the mean's logits (the mean goes through a sigmoid) and the log-variances."""
    return output(hidden(z, parameters, "decoder"), parameters, "decoder")
