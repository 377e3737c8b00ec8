"""log p(x) of the datapoints: by quadrature, or from below by annealing from the best Gaussian.

On points that the model itself simulated, an exact sample of the posterior is known. From there
the annealing runs backward and bounds log p(x) from above (bidirectional Monte Carlo, Grosse et al.
2015). The width of that sandwich is how loose the lower bound can be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...marginal.annealed import annealed
from ...marginal.common import Estimate, no_grad
from ...marginal.options import Evidence
from ...marginal.proposals import DiagonalGaussian
from ...models import densities, nets
from ...models.joint import Joint
from ...models.likelihoods import LIKELIHOODS


@dataclass(frozen=True)
class FromGaussian:
    """log N(u; 0, I) + temperature log p(x, z) / q(z), with z = m + s u and q = N(m, diag s^2).

    At temperature 0 that is q and at 1 log p(x, z), so that `annealed` goes from q to the posterior
    instead of from the prior, which is much further away. `x` (1, N, D + 2 N_z) holds x, m and
    log s side by side, because estimators take datapoints apart by x. `model` is of one model, of
    the interface of models.joint.Joint at temperature 1; its own x does not count.
    """

    model: Joint
    x: Tensor
    temperature: float = 1.0

    @property
    def latent_dim(self) -> int:
        """N_z."""
        return self.model.latent_dim

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Those that the estimators check to be finite."""
        return self.model.parameters

    def _placed(self, u: Tensor) -> tuple[Joint, Tensor, Tensor]:
        """The model with its datapoints, z (1, K*N, N_z) and log s of every row."""
        dim, times = self.latent_dim, u.shape[1] // self.x.shape[1]
        x, mean, log_sd = self.x.split([self.x.shape[2] - 2 * dim, dim, dim], dim=2)
        mean, log_sd = mean.repeat(1, times, 1), log_sd.repeat(1, times, 1)
        return replace(self.model, x=x), mean + log_sd.exp() * u, log_sd

    def value(self, u: Tensor) -> Tensor:
        """The log density, (1, K*N), in nats."""
        return self.value_and_gradient(u)[0]

    def gradient(self, u: Tensor) -> Tensor:
        """Its gradient with respect to u, (1, K*N, N_z)."""
        return self.value_and_gradient(u)[1]

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Both at once."""
        model, z, log_sd = self._placed(u)
        log_joint, slope = model.value_and_gradient(z)
        prior = densities.log_prior(u)
        ratio = log_joint + log_sd.sum(-1) - prior
        gradient = self.temperature * (slope * log_sd.exp() + u) - u
        return prior + self.temperature * ratio, gradient


def from_gaussian(joint: Joint, q: DiagonalGaussian) -> FromGaussian:
    """The path from `q` to the posterior at the datapoints of `joint`."""
    own = torch.cat([q.mean, 0.5 * q.log_variance], 1).unsqueeze(0)
    return FromGaussian(joint, torch.cat([joint.x, own], 2))


def below(
    joint: Joint,
    q: DiagonalGaussian,
    generator: np.random.Generator,
    temperatures: int,
    chains: int,
    options: Evidence,
) -> Estimate:
    """Annealed importance sampling from `q` to the posterior (Neal 2001): a lower bound of log p(x)
    on average."""
    tuning = (temperatures, chains, options.leapfrog, options.acceptance)
    path = from_gaussian(joint, q)
    return annealed(path, generator, *tuning, memory_mb=options.memory_mb)


def above(
    joint: Joint,
    q: DiagonalGaussian,
    exact: Tensor,
    generator: np.random.Generator,
    temperatures: int,
    chains: int,
    options: Evidence,
) -> Estimate:
    """The same backward from `exact` samples (N, N_z) of the posterior: an upper bound of log p(x)
    on average."""
    tuning = (temperatures, chains, options.leapfrog, options.acceptance)
    start = (exact - q.mean) * torch.exp(-0.5 * q.log_variance)
    path = from_gaussian(joint, q)
    return annealed(path, generator, *tuning, start, memory_mb=options.memory_mb)


@no_grad
def simulated(joint: Joint, generator: np.random.Generator) -> tuple[Joint, Tensor]:
    """As many datapoints as `joint` has, drawn from its model, and the latents (N, N_z) that made
    them: exact samples of their posteriors."""
    likelihood, shape = LIKELIHOODS[joint.likelihood], (joint.x.shape[1], joint.latent_dim)
    z = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(joint.x)
    decoded = nets.decode(z.unsqueeze(0), joint.parameters)
    noise = torch.from_numpy(likelihood.noise(generator, joint.x.shape)).to(decoded)
    return Joint(joint.parameters, likelihood.sample(decoded, noise), joint.likelihood), z
