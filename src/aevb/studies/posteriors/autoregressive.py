"""Inverse autoregressive flow (Kingma et al. 2016), through zuko's masked networks.

A step maps z_i to exp(a_i) z_i + m_i, with m_i and a_i from z_1 to z_(i-1) and the context, so that
the Jacobian is triangular and its log-determinant the sum of a_i. zuko calls that direction the
forward one of its MaskedAutoregressiveTransform: one pass of the network. Training needs samples
with their density, so that is the direction from noise to z here (IAF). MAF takes it from z to
noise, and N_z passes for a sample. Here N_z passes are for the density of any other z.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from zuko.flows import MaskedAutoregressiveTransform

from .diagonal import Diagonal

STEPS = 2  # with the coordinates in rising and in falling order
HIDDEN = (64,)  # units of the network of a step


class Autoregressive(nn.Module):
    """Autoregressive steps on a diagonal Gaussian, the identity at the start. N_z is 2 or more."""

    def __init__(self, latent_dim: int, width: int):
        super().__init__()
        self.start = Diagonal(latent_dim, width)
        order = torch.arange(latent_dim)
        self.steps = nn.ModuleList(
            MaskedAutoregressiveTransform(
                latent_dim,
                width,
                order=order.flip(0) if step % 2 else order,
                hidden_features=HIDDEN,
                activation=nn.Tanh,
            )
            for step in range(STEPS)
        )
        for step in self.steps:
            nn.init.zeros_(step.hyper[-1].weight)
            nn.init.zeros_(step.hyper[-1].bias)

    def forward(self, context: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z and log q(z|x): noise (K, N, N_z) -> (K, N, N_z) and (K, N)."""
        z, log_q = self.start(context, noise)
        for step in self.steps:
            z, log_scale = step(context).call_and_ladj(z)
            log_q = log_q - log_scale
        return z, log_q

    def log_density(self, context: Tensor, z: Tensor) -> Tensor:
        """log q(z|x) of any z (K, N, N_z): (K, N), by N_z passes per step."""
        total = 0.0
        for step in reversed(self.steps):
            transform = step(context)
            before = transform.inv(z)
            total = total + transform.log_abs_det_jacobian(before, z)
            z = before
        return self.start.log_density(context, z) - total
