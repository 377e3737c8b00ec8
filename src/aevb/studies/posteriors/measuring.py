"""Bounds, log p(x) and densities of q(z|x), whether it comes from an encoder or was fitted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...marginal.common import as_numpy, standard_normal
from ...marginal.importance import importance
from ...marginal.quadrature import truth
from ...models.joint import Joint
from .training import Networks

BOUND_DRAWS = 1000  # of z per datapoint, of L_1
TENTH = 10  # log p(x) again, from so many times fewer draws

Noise = Callable[[str], np.random.Generator]


class Proposal:
    """q(z|x) as importance sampling takes it. It knows the density of what it drew last, which for
    a flow costs nothing, where that of any other z needs the inverse."""

    def __init__(self, q: torch.nn.Module, context: Tensor, latent_dim: int):
        self.q, self.context, self.latent_dim = q, context, latent_dim

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        """z (K, N, N_z)."""
        shape = (draws, len(self.context), self.latent_dim)
        self.last = self.q(self.context, standard_normal(generator, shape, self.context))
        return self.last[0]

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) (K, N) of z as drawn last."""
        if z is not self.last[0]:
            raise ValueError("a flow's density is known where it drew last; draw first")
        return self.last[1]


def measured(
    networks: Networks, proposal: Proposal, x: Tensor, draws: int, noise: Noise
) -> dict[str, np.ndarray]:
    """By column: L_1 of q, and log p(x) by importance sampling from it, of x (N, D), in nats."""
    joint = networks.joint(x)
    with torch.no_grad():
        z = proposal.sample(noise("bound"), BOUND_DRAWS)
        values = as_numpy(networks.log_joint(x, z) - proposal.log_density(z))
    whole = importance(joint, proposal, noise("importance"), draws)
    part = importance(joint, proposal, noise("tenth"), max(2, draws // TENTH))
    return {
        "bound": values.mean(0),
        "bound_se": values.std(0, ddof=1) / len(values) ** 0.5,
        "log_p": whole.value,
        "log_p_se": whole.standard_error,
        "k_hat": whole.diagnostics["k_hat"],
        "tenth": part.value,
    }


def exact(joint: Joint, hints: Tensor) -> np.ndarray:
    """log p(x) (N,) by quadrature with `hints` (N, N_z), where N_z allows it; else not a number."""
    found = truth(joint, hints)
    return np.full(joint.x.shape[1], np.nan) if found is None else found.value
