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
from .observed import View

ROWS = 10_000  # training images at a time
#: added to all variances, lest the covariance is singular; of 3e-5, 1e-4, 3e-4 and 1e-3 the best
#: for the density of 160 training frames of Frey Face given the others
RIDGE = 1e-4


class Moments(NamedTuple):
    """Those of the training images, float64: x ~ N(mean, covariance)."""

    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D), with RIDGE on its diagonal
    count: int  # of images


def moments_of(train: Tensor) -> Moments:
    """Those of train (N_train, D)."""
    mean = as_numpy(train.double().mean(0))
    total = 0.0
    for part in train.split(ROWS):
        centred = as_numpy(part) - mean
        total = total + centred.T @ centred
    ridge = RIDGE * np.eye(len(mean))
    return Moments(mean, total / len(train) + ridge, len(train))


def nearest(train: Tensor, y: Tensor, view: View, offset: float, gain: float) -> np.ndarray:
    """Of each y (N, B) the number of the training image t (N_train, D) for which offset + gain
    view(t) is nearest, in squared distance: (N,)."""
    found = []
    for part in train.split(ROWS):
        expected = offset + gain * view(part.to(y.device))
        found.append(expected.square().sum(1) - 2 * y @ expected.T)
    return torch.cat(found, 1).argmin(1).cpu().numpy()


def linear(
    moments: Moments, y: np.ndarray, view: View, offset: float, gain: float, noise: np.ndarray
) -> np.ndarray:
    """The best linear prediction of the images, (N, D), from y (N, B).

    y = offset + gain S x + noise with variances `noise` (B,), S x what `view` sees of x: E[x] +
    gain C S^T (gain^2 S C S^T + N)^-1 (y - E[y]). Grey values beyond 0 and 1 are cut off.
    """
    rows = view(moments.covariance).T
    observed = gain**2 * view(rows) + np.diag(noise)
    off = y - (offset + gain * view(moments.mean))
    return (moments.mean + off @ np.linalg.solve(observed, gain * rows)).clip(0, 1)


def noise_of(moments: Moments, likelihood: str, kind: str, level: float) -> np.ndarray:
    """Variance (D,) of what is seen of each pixel beyond gain^2 times that of the pixel: none of
    what is seen as it is; level^2 of Gaussian noise; of a binary pixel, which is drawn and perhaps
    flipped, what makes the variance that of one."""
    if kind not in ("noise", "blocks") or (likelihood, kind) == ("gaussian", "blocks"):
        return np.zeros(len(moments.mean))
    if likelihood != "bernoulli":
        return np.full(len(moments.mean), level**2)
    flips = level if kind == "noise" else 0.0
    white = flips + (1 - 2 * flips) * moments.mean
    # Of a pixel that is always black, the ridge is more than that.
    left = white * (1 - white) - (1 - 2 * flips) ** 2 * np.diag(moments.covariance)
    return np.maximum(left, 0)


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
