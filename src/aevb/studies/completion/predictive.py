"""log p(unseen | seen): of the model by annealing from p(z | seen) to p(z | x), and of two simple
densities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy import linalg, stats
from torch import Tensor

from ...marginal import hmc
from ...marginal.annealed import sigmoidal_schedule
from ...marginal.common import as_numpy, log_mean_exp, no_grad, standard_normal
from ...models import densities
from .baselines import Moments, linear
from .observed import View

GAIN = 0.2  # of the pilot's step sizes, as in marginal/annealed.py
#: least probability of white and of black that linear prediction gives; of 1e-3, 3e-3, 1e-2, 3e-2
#: and 1e-1 the best on training images of MNIST, with a tenth and with half of the pixels seen
LEAST = 3e-3


@dataclass(frozen=True)
class Bridge:
    """log p(z) + log p(seen|z) + temperature log p(unseen|z), from the joints of both parts."""

    seen: object
    unseen: object
    temperature: float = 0.0

    def parts(self, z: Tensor) -> tuple[hmc.State, Tensor]:
        """The state of chains at z (1, M, N_z), and log p(unseen|z) (1, M)."""
        value, gradient = self.seen.value_and_gradient(z)
        other, slope = self.unseen.value_and_gradient(z)  # both with the prior's part
        other = other - densities.log_prior(z)
        value = value + self.temperature * other
        return hmc.State(z, value, gradient + self.temperature * (slope + z)), other

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The log density (1, M) in nats, and its gradient (1, M, N_z)."""
        state, _ = self.parts(z)
        return state.value, state.gradient

    def gradient(self, z: Tensor) -> Tensor:
        """Gradient of the log density, (1, M, N_z)."""
        return self.seen.gradient(z) + self.temperature * (self.unseen.gradient(z) + z)


class Predicted(NamedTuple):
    """log p(unseen | seen) of N images."""

    value: np.ndarray  # (N,), nats
    error: np.ndarray  # (N,), Monte Carlo standard error, by the delta method over the paths


@no_grad
def log_predictive(
    seen,
    unseen,
    z: Tensor,
    step_size: np.ndarray,
    generator: np.random.Generator,
    temperatures: int,
    leapfrog: int,
    acceptance: float,
) -> Predicted:
    """By annealed importance sampling (Neal 2001) from p(z | seen) to p(z | seen, unseen).

    One path begins at each of z (C, N, N_z), which are samples of p(z | seen) from independent
    chains, and makes one HMC transition at each temperature b of p(z) p(seen|z) p(unseen|z)^b. The
    mean of its weights is p(unseen | seen), so that the value is on average a lower bound. Step
    sizes follow those of a pilot path, begun at step_size (N,) and at the start of the first path.
    """
    paths, points, _ = z.shape
    schedule = sigmoidal_schedule(temperatures)
    pilot, own = (
        Bridge(*(replace(j, x=j.x.repeat(1, n, 1)) for j in (seen, unseen))) for n in (1, paths)
    )
    walk = (generator, schedule, leapfrog)
    _, sizes = _walked(pilot, z[:1].flatten(0, 1), [step_size], *walk, adapt_to=acceptance)
    logs, _ = _walked(own, z.flatten(0, 1), [np.tile(s, paths) for s in sizes], *walk)
    value, weights = log_mean_exp(logs.reshape(paths, points).T)
    return Predicted(value, weights.std(1, ddof=1) / paths**0.5)


def _walked(
    bridge: Bridge, z: Tensor, sizes: list, generator, schedule, leapfrog: int, adapt_to=None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Log weights (M,) of paths from z (M, N_z), and the step sizes (M,) of each temperature:
    `sizes`, or what the acceptance so far makes of the first of them."""
    z, logs = z.unsqueeze(0), 0.0
    used = list(sizes)
    for t in range(1, len(schedule)):
        at = replace(bridge, temperature=float(schedule[t]))
        state, other = at.parts(z)
        logs = logs + (schedule[t] - schedule[t - 1]) * as_numpy(other[0])
        if t == len(schedule) - 1:
            break
        momentum = standard_normal(generator, tuple(z.shape), z)
        uniform = torch.from_numpy(generator.random((1, z.shape[1]), dtype=np.float32)).to(z)
        size = torch.from_numpy(used[t - 1]).to(z).view(1, -1, 1)
        state, info = hmc.transition(at, state, momentum, uniform, size, leapfrog)
        z = state.z
        if adapt_to is not None:
            gain = GAIN * (as_numpy(info.acceptance[0]) - adapt_to)
            used.append(used[-1] * np.exp(gain))
    return logs, used


def pixelwise(moments: Moments, likelihood: str, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """log p (N,) of the pixels `hidden` (D,) of x (N, D), each with a distribution of its own: that
    of the training images."""
    x = x[:, hidden]
    if likelihood == "bernoulli":
        return _binary(x, _white(moments)[hidden])
    scale = np.sqrt(np.diag(moments.covariance)[hidden])
    return stats.norm.logpdf(x, moments.mean[hidden], scale).sum(1)


def linear_log(moments: Moments, likelihood: str, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """log p (N,) of the pixels `hidden` given the others. Gaussian: that of x ~ N(mean,
    covariance). Bernoulli: independent pixels with the means of linear prediction."""
    seen = View(np.flatnonzero(~hidden))
    if likelihood == "bernoulli":
        made = linear(moments, seen(x), seen, 0, 1, np.zeros(len(seen.index)))
        least = np.minimum(_white(moments), LEAST)  # many pixels are hardly ever white
        return _binary(x[:, hidden], made.clip(least, 1 - LEAST)[:, hidden])
    whole = View(np.arange(len(hidden)))
    return _normal(moments, x, whole) - _normal(moments, x, seen)


def _white(moments: Moments) -> np.ndarray:
    """The mean of each pixel (D,), with half an observation of black and of white, as the best
    bound without z has it (models/likelihoods/bernoulli.py)."""
    return (moments.mean * moments.count + 0.5) / (moments.count + 1)


def _binary(x: np.ndarray, white: np.ndarray) -> np.ndarray:
    """The cross-entropy of grey values, as eq. 11 has it."""
    return (x * np.log(white) + (1 - x) * np.log1p(-white)).sum(1)


def _normal(moments: Moments, x: np.ndarray, view: View) -> np.ndarray:
    root = linalg.cholesky(view(view(moments.covariance).T), lower=True)
    off = linalg.solve_triangular(root, view(x - moments.mean).T, lower=True)
    log_det = 2 * np.log(np.diag(root)).sum()
    return -0.5 * ((off**2).sum(0) + log_det + len(root) * np.log(2 * np.pi))
