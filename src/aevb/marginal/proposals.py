"""Densities that importance sampling draws from: the encoder's q(z|x), and t distributions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import lgamma, log, pi
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..core.lazy import lazy
from .chains import FLOOR, Samples, enough_for_covariance, whitening
from .common import at_least, no_grad, standard_normal

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")
densities = lazy("aevb.models.densities")
nets = lazy("aevb.models.nets")


class Proposal(Protocol):
    """A density q(z) for each of N datapoints."""

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        """z (K, N, N_z)."""

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) of z (K, N, N_z): (K, N)."""


@dataclass(frozen=True)
class DiagonalGaussian:
    """A Gaussian per datapoint."""

    mean: Tensor  # (N, N_z)
    log_variance: Tensor  # (N, N_z)

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        """z (K, N, N_z)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * standard_normal(
            generator, (draws, *self.mean.shape), self.mean
        )

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) of z (K, N, N_z): (K, N)."""
        return densities.log_normal(z, self.mean, self.log_variance)


@dataclass(frozen=True)
class StudentT:
    """A mixture of C multivariate t distributions per datapoint.

    Its tails are heavier than the posterior's, so that no importance weight is huge.
    """

    mean: Tensor  # (C, N, N_z)
    root: Tensor  # (C, N, N_z, N_z), scale matrix = root root^T
    share: Tensor  # (C, N), of the components
    degrees: int = 5

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        """z (K, N, N_z)."""
        components, points, dim = self.mean.shape
        # All in one array: the order fits any chunks.
        noise = standard_normal(generator, (draws, points, 1 + dim + self.degrees), self.mean)
        uniform = torch.special.ndtr(noise[..., 0])
        component = (uniform.unsqueeze(1) > self.share.cumsum(0)).sum(1).clamp(max=components - 1)
        chosen = component, torch.arange(points, device=component.device)
        chi_square = noise[..., 1 + dim :].square().sum(-1, keepdim=True)
        return self.mean[chosen] + (
            self.root[chosen]
            @ (noise[..., 1 : 1 + dim] * (self.degrees / chi_square).sqrt()).unsqueeze(-1)
        ).squeeze(-1)

    @cached_property
    def _inverse(self) -> tuple[Tensor, Tensor]:
        """Inverse of root, and log |det root|."""
        return torch.linalg.inv(self.root), torch.linalg.slogdet(self.root)[1]

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) of z (K, N, N_z): (K, N)."""
        dim, nu = self.mean.shape[2], self.degrees
        inverse, log_det = self._inverse
        square = (inverse @ (z.unsqueeze(1) - self.mean).unsqueeze(-1)).square().sum((-2, -1))
        normaliser = lgamma((nu + dim) / 2) - lgamma(nu / 2) - 0.5 * dim * log(nu * pi)
        return normaliser + torch.logsumexp(
            self.share.log() - log_det - 0.5 * (nu + dim) * torch.log1p(square / nu), 1
        )

    def __or__(self, other: StudentT) -> StudentT:
        """The mixture of both, half and half."""
        pairs = (
            (self.mean, other.mean),
            (self.root, other.root),
            (0.5 * self.share, 0.5 * other.share),
        )
        return StudentT(*(torch.cat(pair) for pair in pairs), self.degrees)


@no_grad
def from_encoder(parameters: dict[str, Tensor], x: Tensor) -> DiagonalGaussian:
    """q(z|x) (eq. 9) of one model, parameters (1, ...) and x (1, N, D)."""
    mean, log_variance = nets.encode(x, parameters)
    return DiagonalGaussian(mean[0], log_variance[0])


@no_grad
def from_samples(samples: Samples, inflation: float = 1.2) -> StudentT:
    """A t distribution with 5 degrees of freedom around the samples' mean.

    Its scale matrix is their covariance times `inflation`^2; with fewer than 4 N_z samples, the
    diagonal of that. Raises UserError for a single sample.
    """
    at_least("the number of samples", len(samples.z), 2)
    z = samples.z.double().transpose(0, 1)
    mean, w, _, _ = whitening(z, enough_for_covariance(*z.shape[1:]))
    root = inflation * torch.linalg.inv(w)
    return StudentT(
        mean[None, :, 0].to(samples.z),
        root.unsqueeze(0).to(samples.z),
        samples.z.new_ones(1, len(z)),
    )


@no_grad
def from_weighted(z: Tensor, weights: Tensor, degrees: int = 5, inflation: float = 1.2) -> StudentT:
    """As from_samples, from draws z (S, N, N_z) with `weights` (S, N) of any sum.

    The scale matrix gets FLOOR times its largest eigenvalue in each direction, as a few draws may
    have all the weight.
    """
    share = (weights / weights.sum(0)).double().unsqueeze(2)
    mean = (share * z).sum(0)
    centred = (share.sqrt() * (z - mean)).transpose(0, 1)
    values, vectors = torch.linalg.eigh(centred.mT @ centred)
    regular = values.maximum((FLOOR * values[:, -1:]).clamp(min=1e-12))
    root = inflation * vectors * regular.sqrt().unsqueeze(1)
    return StudentT(
        mean.unsqueeze(0).to(z),
        root.unsqueeze(0).to(z),
        z.new_ones(1, z.shape[1]),
        degrees,
    )
