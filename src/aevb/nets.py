"""Encoder and decoders of appendix C: one tanh layer each, R replicas side by side.

The parameters of a replica are one row of a flat tensor (R, P); `Layout.view` names the parts.
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
    def n_parameters(self) -> int:
        return sum(map(prod, self.shapes.values()))

    def view(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views (R, in, out) and (R, 1, out) into `flat` (R, P)."""
        views, start = {}, 0
        for name, (rows, columns) in self.shapes.items():
            views[name] = flat[:, start : start + rows * columns].view(len(flat), rows, columns)
            start += rows * columns
        return views


# oneDNN's float32 product, which torch.compile uses and eager torch does not. At this project's shapes it was twice as fast as
# MKL's on an AMD processor with AVX-512 (240 against 115 GFLOPS a core, Zen 5, torch 2.15), whose units MKL leaves half idle. It
# has no backward pass and is no public name of torch: where it is missing, or a gradient is wanted, bmm takes its place.
_onednn_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a b + bias for each replica: (R, M, K), (R, K, N), (R, 1, N) -> (R, M, N)."""
    wants_gradient = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    if _onednn_linear is None or wants_gradient or a.device.type != "cpu" or a.dtype != torch.float32:
        return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)
    products = [_onednn_linear(a[r], b[r].T, None if bias is None else bias[r, 0], "none", [], "") for r in range(len(a))]
    return products[0].unsqueeze(0) if len(products) == 1 else torch.stack(products)


def hidden(x: Tensor, parameters: dict[str, Tensor], net: str) -> Tensor:
    """tanh layer of `net` ('encoder' or 'decoder'): (R, M, in) -> (R, M, H)."""
    a = product(x, parameters[f"{net}.hidden.weight"], parameters[f"{net}.hidden.bias"])
    return 2 * torch.sigmoid(2 * a) - 1  # tanh a, five times faster than torch.tanh on a CPU, to 1e-7


def output(h: Tensor, parameters: dict[str, Tensor], net: str) -> Tensor:
    """Linear output layer of `net`: (R, M, H) -> (R, M, out)."""
    return product(h, parameters[f"{net}.output.weight"], parameters[f"{net}.output.bias"])


def encode(x: Tensor, parameters: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """q(z|x) (eq. 9, appendix C.2): x (R, M, D) -> mean and log-variance, each (R, M, N_z)."""
    return output(hidden(x, parameters, "encoder"), parameters, "encoder").chunk(2, dim=-1)


def decode(z: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """p(x|z) (appendix C.1, C.2): z (R, M, N_z) -> logits (R, M, D), or for a Gaussian decoder (R, M, 2D):
    the mean's logits (the mean goes through a sigmoid) and the log-variances."""
    return output(hidden(z, parameters, "decoder"), parameters, "decoder")
