"""log p(x, z) of linear-Gaussian models, in the interface of models.joint.Joint.

So the project's Hamiltonian Monte Carlo and its estimators of log p(x) take it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models import densities
from .closed import Model


@dataclass(frozen=True)
class LinearJoint:
    """log p(z) + temperature log p(x|z) of R models: arguments z are (R, K*N, N_z), draw k of
    datapoint n at row k*N + n."""

    x: Tensor  # (R, N, D) or (1, N, D)
    weight: Tensor  # W^T, (R, N_z, D)
    mean: Tensor  # mu, (R, 1, D)
    log_variance: Tensor  # log sigma^2, (R, 1, 1)
    temperature: float = 1.0

    @property
    def latent_dim(self) -> int:
        """N_z."""
        return self.weight.shape[1]

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Those that the estimators check to be finite."""
        return {"weight": self.weight, "mean": self.mean, "log_variance": self.log_variance}

    def _residual(self, z: Tensor) -> Tensor:
        """x - W z - mu, (R, K, N, D)."""
        decoded = z @ self.weight + self.mean
        return self.x.unsqueeze(1) - decoded.unflatten(1, (-1, self.x.shape[1]))

    def _log_likelihood(self, residual: Tensor) -> Tensor:
        zero = residual.new_zeros(())
        scale = self.log_variance.unsqueeze(1)
        return densities.log_normal(residual, zero, scale).flatten(1, 2)

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x|z), (R, K*N)."""
        return self._log_likelihood(self._residual(z))

    def value(self, z: Tensor) -> Tensor:
        """The log density, (R, K*N), in nats."""
        return densities.log_prior(z) + self.temperature * self.log_likelihood(z)

    def gradient(self, z: Tensor) -> Tensor:
        """Its gradient with respect to z, (R, K*N, N_z): temperature W^T (x - W z - mu) / sigma^2
        - z."""
        return self._gradient(z, self._residual(z))

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Both at once."""
        residual = self._residual(z)
        value = densities.log_prior(z) + self.temperature * self._log_likelihood(residual)
        return value, self._gradient(z, residual)

    def _gradient(self, z: Tensor, residual: Tensor) -> Tensor:
        scale = self.temperature * torch.exp(-self.log_variance)
        return residual.flatten(1, 2) @ self.weight.mT * scale - z


def joint_of(model: Model, x: np.ndarray) -> LinearJoint:
    """The joint of one model and datapoints x (N, D), in float64."""
    return LinearJoint(
        torch.from_numpy(np.ascontiguousarray(x)).unsqueeze(0),
        torch.from_numpy(np.ascontiguousarray(model.w.T)).unsqueeze(0),
        torch.from_numpy(model.mean).view(1, 1, -1),
        torch.tensor(float(np.log(model.variance)), dtype=torch.float64).view(1, 1, 1),
    )
