"""Full variational Bayes (appendix F): q(theta), its estimators, and a step of training.

The bound on log p(X) is, per theta ~ q(theta) and with one minibatch of M datapoints for the N,

    sampled (eq. 21, 22)  N mean f + log p(theta) - log q(theta)
    analytic (eq. 24)     N mean f - KL(q(theta) || p(theta))

f is a datapoint's part: log p(x|z) + log p(z) - log q(z|x), or log p(x|z) - KL(q(z|x) || p(z)).
Priors are N(0, I), q(theta) is a Gaussian with a diagonal covariance (eq. 23), and a minibatch
shares one theta. There is no local reparameterisation.
"""

from __future__ import annotations

from collections.abc import Collection
from math import log
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ...models import densities, kernels
from ...models.kernels import Parameters

FORMS = ("analytic", "sampled")


class Slopes(Protocol):
    """What gives the gradient of the sum of f over a minibatch; each learner of the engine does."""

    def gradient(self, p: Parameters, x: Tensor, noise: list[Tensor]) -> tuple[Tensor, Parameters]:
        """The mean of f, and the gradient of its sum for every parameter."""


class Weights(NamedTuple):
    """All parameters, and log sigma of those that q(theta) covers: N(mean, sigma^2)."""

    mean: Parameters
    log_sd: Parameters  # none: a point estimate

    @classmethod
    def start(cls, mean: Parameters, covered: Collection[str], sd: float) -> Weights:
        """q(theta) = N(mean, sd^2) over the parameters `covered`."""
        return cls(mean, {name: torch.full_like(mean[name], log(sd)) for name in covered})

    def noise(self, generator: np.random.Generator) -> Parameters:
        """zeta ~ N(0, I) (eq. 19), float32 or float64 as the parameters are."""
        return {
            name: torch.from_numpy(
                generator.standard_normal(tuple(part.shape), dtype=part.numpy().dtype)
            )
            for name, part in self.log_sd.items()
        }

    def drawn(self, zeta: Parameters) -> Parameters:
        """All parameters, with theta = mean + sigma zeta (eq. 19, appendix F.1)."""
        return self.mean | {
            name: self.mean[name] + torch.exp(log_sd) * zeta[name]
            for name, log_sd in self.log_sd.items()
        }

    def kl(self) -> Tensor:
        """KL(q || N(0, 1)) of each parameter under q(theta), in nats: the last terms of eq. 24."""
        parts = [
            densities.kl_to_prior(self.mean[name].view(-1, 1), 2 * log_sd.view(-1, 1))
            for name, log_sd in self.log_sd.items()
        ]
        return torch.cat(parts).double() if parts else torch.zeros(0, dtype=torch.float64)


def gradient(
    learner: Slopes,
    weights: Weights,
    x: Tensor,
    noise: list[Tensor],
    zeta: Parameters,
    share: float,
    form: str,
) -> tuple[Parameters, Parameters]:
    """Ascent directions of M/N times the bound, for the means and for log sigma.

    x (M, D); `noise` is that of z, as the learner takes it; `share` is M/N. With g the learner's
    gradient at theta:

        analytic    g - share mean,    sigma zeta g + share (1 - sigma^2)
        sampled     g - share theta,   sigma zeta (g - share theta) + share

    -share mean is left to kernels.adagrad, which adds it as MAP's prior.
    """
    theta = weights.drawn(zeta)
    _, slopes = learner.gradient(theta, x, noise)
    own = {}
    for name, log_sd in weights.log_sd.items():
        spread = theta[name] - weights.mean[name]
        if form == "analytic":
            own[name] = spread * slopes[name] + share * (1 - torch.exp(2 * log_sd))
        else:
            own[name] = spread * (slopes[name] - share * theta[name]) + share
            slopes[name] = slopes[name] - share * spread
    return slopes, own


class Ascent:
    """Adagrad (section 5 of the paper) on the means and on log sigma, which change in place."""

    def __init__(
        self, weights: Weights, epsilon: float, prior: Collection[str], factors: Parameters
    ):
        """`prior` are the parameters with the prior N(0, I), those of q(theta) among them;
        `factors` are those of kernels.adagrad."""
        self.weights, self.prior, self.factors = weights, prior, factors
        self.squares = [
            {name: torch.full_like(part, epsilon) for name, part in parts.items()}
            for parts in weights
        ]

    def step(
        self,
        learner: Slopes,
        x: Tensor,
        noise: list[Tensor],
        zeta: Parameters,
        share: float,
        form: str,
        rate: float | None,
    ) -> None:
        """One step on a minibatch, as of `gradient`; `rate` None only accumulates."""
        with torch.no_grad():
            up, own = gradient(learner, self.weights, x, noise, zeta, share, form)
            mean, log_sd = self.weights
            kernels.adagrad(mean, up, self.squares[0], rate, share, self.prior, self.factors)
            if log_sd:
                kernels.adagrad(log_sd, own, self.squares[1], rate, 0.0, ())
