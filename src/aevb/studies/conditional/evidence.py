"""log p(t|c) of a trained model: bounds, importance sampling, and the label summed out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from ...marginal.common import as_numpy, log_mean_exp, no_grad
from ...models import densities
from ...models.kernels import Parameters
from . import model

ROWS = 1000  # rows at a time: activations stay in cache
BOUND_DRAWS = 10  # z per image for a bound


class Values(NamedTuple):
    """One value per image, (N,), with its Monte Carlo standard error (N,), in nats."""

    value: np.ndarray
    error: np.ndarray

    def mean(self) -> float:
        """Over images."""
        return float(self.value.mean())

    def error_of_mean(self) -> float:
        """Monte Carlo standard error of the mean over images."""
        return float(np.sqrt((self.error**2).sum()) / len(self.error))


@no_grad
def bounds(
    p: Parameters, t: Tensor, c: Tensor, latent_dim: int, generator: np.random.Generator
) -> tuple[Values, float]:
    """The bound of each image, mean over BOUND_DRAWS z, and the mean KL term."""
    draws, divergence = np.empty((BOUND_DRAWS, len(t))), 0.0
    for draw in draws:
        noise = generator.standard_normal((len(t), latent_dim), dtype=np.float32)
        for n in range(0, len(t), ROWS):
            rows = slice(n, n + ROWS)
            value, kl = model.bound(p, t[rows], c[rows], torch.from_numpy(noise[rows]))
            draw[rows] = as_numpy(value)
            divergence += float(kl.double().sum())
    error = draws.std(0, ddof=1) / BOUND_DRAWS**0.5
    return Values(draws.mean(0), error), divergence / draws.size


@no_grad
def log_marginal(
    p: Parameters,
    t: Tensor,
    c: Tensor,
    proposal: tuple[Tensor, Tensor],
    generator: np.random.Generator,
    draws: int,
) -> Values:
    """log p(t|c) by importance sampling, with `draws` z from N(*proposal) per image.

    log (1/K) sum of p(t|z, c) p(z|c) / q(z) (Sohn et al., section 4; Rezende et al. 2014, appendix
    E). With p(z|c) as the proposal it is plain Monte Carlo. Its expectation is below log p(t|c).
    """
    mean, log_variance = proposal
    width, values, errors = max(1, ROWS // draws), [], []
    for n in range(0, len(t), width):
        own = [a[n : n + width].repeat_interleave(draws, 0) for a in (mean, log_variance, t, c)]
        noise = generator.standard_normal(tuple(own[0].shape), dtype=np.float32)
        z = own[0] + torch.exp(0.5 * own[1]) * torch.from_numpy(noise)
        log_w = model.BERNOULLI.fast_log_density(own[2], model.decode(p, z, own[3]))
        ratio = densities.log_normal(z, *model.prior(p, own[3], z))
        log_w = log_w + ratio - densities.log_normal(z, own[0], own[1])
        value, weights = log_mean_exp(as_numpy(log_w).reshape(-1, draws))
        values.append(value)
        errors.append(weights.std(1, ddof=1) / draws**0.5)
    return Values(np.concatenate(values), np.concatenate(errors))


def summed_out(
    log_p: np.ndarray, errors: np.ndarray, prior: np.ndarray
) -> tuple[Values, np.ndarray]:
    """log p(x) = log sum over y of p(y) p(x|y), from log p(x|y) (N, Y) with their errors and p(y)
    (Y,), and p(y|x) (N, Y). The errors of different y are independent (delta method)."""
    joint = log_p + np.log(prior)
    value = logsumexp(joint, axis=1)
    posterior = np.exp(joint - value[:, None])
    return Values(value, np.sqrt((posterior**2 * errors**2).sum(1))), posterior
