"""Other guesses of what is not seen: the encoder alone, training images, linear prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...marginal.common import as_numpy, no_grad
from ...models import nets
from ...models.likelihoods import LIKELIHOODS
from . import Completion

ROWS = 10_000  # training images at a time
RIDGE = 1e-3  # added to the variances of seen pixels, lest their covariance is singular


class Moments(NamedTuple):
    """Mean (D,) and covariance (D, D) of the training images, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def moments_of(train: Tensor) -> Moments:
    """Those of train (N_train, D)."""
    mean = as_numpy(train.double().mean(0))
    total = 0.0
    for part in train.split(ROWS):
        centred = as_numpy(part) - mean
        total = total + centred.T @ centred
    return Moments(mean, total / len(train))


def nearest(train: Tensor, y: Tensor, seen: np.ndarray, offset: float, gain: float) -> np.ndarray:
    """Of each image y (N, D) the number of the training image t (N_train, D) for which offset +
    gain t is nearest at the pixels `seen`, in squared distance: (N,)."""
    at = torch.from_numpy(np.flatnonzero(seen)).to(y.device)
    mine, found = y[:, at], []
    for part in train.split(ROWS):
        expected = offset + gain * part.to(y.device)[:, at]
        found.append(expected.square().sum(1) - 2 * mine @ expected.T)
    return torch.cat(found, 1).argmin(1).cpu().numpy()


def linear(
    moments: Moments, y: np.ndarray, seen: np.ndarray, offset: float, gain: float, noise: np.ndarray
) -> np.ndarray:
    """The best linear prediction of the images, (N, D), from y (N, D) at the pixels `seen`.

    y = offset + gain x + noise with variances `noise` (D,): E[x] + gain C_xo (gain^2 C_oo + N)^-1
    (y - E[y]), with the covariance C of the training images. Grey values beyond 0 and 1 are cut
    off.
    """
    rows = moments.covariance[seen]
    observed = gain**2 * rows[:, seen] + np.diag(noise[seen])
    off = y[:, seen] - (offset + gain * moments.mean[seen])
    return (moments.mean + off @ np.linalg.solve(observed, gain * rows)).clip(0, 1)


def noise_of(moments: Moments, likelihood: str, kind: str, level: float) -> np.ndarray:
    """Variance (D,) of each seen pixel beyond gain^2 times its covariance entry: RIDGE of holes;
    level^2 of Gaussian noise; of flips what makes the variance that of a binary pixel."""
    if kind != "noise":
        return np.full(len(moments.mean), RIDGE)
    if likelihood != "bernoulli":
        return np.full(len(moments.mean), level**2)
    white = level + (1 - 2 * level) * moments.mean
    return white * (1 - white) - (1 - 2 * level) ** 2 * np.diag(moments.covariance)


@no_grad
def encoded(parameters: dict[str, Tensor], y: Tensor, decode: Callable) -> np.ndarray:
    """What `decode` makes of the encoder's mean at y (N, D): (N, D)."""
    mean, _ = nets.encode(y.unsqueeze(0), parameters)
    return decode(mean[0])


@no_grad
def iterated(
    parameters: dict[str, Tensor],
    filled: Tensor,
    seen: np.ndarray,
    likelihood: str,
    decode: Callable,
    generator: np.random.Generator,
    options: Completion,
) -> np.ndarray:
    """The mean image (N, D) of chains that draw z ~ q(z|x), then the pixels that are not seen from
    p(x|z), from the images `filled` (N, D) on (Rezende, Mohamed and Wierstra 2014, appendix F), as
    many and as long as those of HMC. Their stationary distribution is the posterior if q is."""
    model, hole = LIKELIHOODS[likelihood], torch.from_numpy(~seen).to(filled.device)
    x, total = filled.repeat(options.chains, 1).unsqueeze(0), 0.0
    for iteration in range(options.warmup + options.draws):
        mean, log_variance = nets.encode(x, parameters)
        eps = generator.standard_normal(tuple(mean.shape), dtype=np.float32)
        z = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(eps).to(x)
        noise = torch.as_tensor(model.noise(generator, tuple(x.shape))).to(x)
        drawn = model.sample(nets.decode(z, parameters), noise).to(x)
        x = torch.where(hole, drawn, x)
        if iteration >= options.warmup:
            total = total + decode(z[0]).reshape(options.chains, *filled.shape).mean(0)
    return total / options.draws
