"""A linear decoder whose codes are known: x = W^T z + sigma eps, with W and eps ~ N(0, I).

That is Bayesian linear regression (Bishop 2006, section 3.3): log p(X), the posterior of the
weights, the bound of any Gaussian q and the best diagonal one are known in closed form. All values
are nats for all of X. Columns of W, one per pixel, are independent and share a covariance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from ...config.sections import Training
from ...models import densities
from .full import Ascent, Weights

DESIGNS = ("orthogonal", "correlated")
CORRELATION = 0.9  # between any two codes of the correlated design
VARIANCE = 1.0  # sigma^2
LOG_2PI = float(np.log(2 * np.pi))
BLOCK = 100  # steps, or estimates, whose noise is drawn at a time


class Regression(NamedTuple):
    """X and its codes."""

    x: np.ndarray  # (N, D)
    codes: np.ndarray  # z, (N, K)


def data(generator: np.random.Generator, design: str, n: int, k: int, d: int) -> Regression:
    """Codes of variance 1, which are orthogonal over the N points or correlated, and X from W drawn
    from its prior."""
    codes = generator.standard_normal((n, k))
    if design == "orthogonal":
        codes = np.sqrt(n) * linalg.qr(codes, mode="economic")[0]
    else:
        cov = CORRELATION + (1 - CORRELATION) * np.eye(k)
        codes = codes @ linalg.cholesky(cov)
    w = generator.standard_normal((k, d))
    return Regression(codes @ w + np.sqrt(VARIANCE) * generator.standard_normal((n, d)), codes)


def precision(of: Regression) -> np.ndarray:
    """I + Z^T Z / sigma^2 (Bishop eq. 3.54), (K, K): that of each column of W given X."""
    return np.eye(of.codes.shape[1]) + of.codes.T @ of.codes / VARIANCE


def posterior_mean(of: Regression) -> np.ndarray:
    """The mean of W given X (Bishop eq. 3.53), (K, D)."""
    return linalg.solve(precision(of), of.codes.T @ of.x / VARIANCE, assume_a="pos")


def evidence(of: Regression) -> float:
    """log p(X), of every pixel log N(x_d; 0, Z Z^T + sigma^2 I), by the K x K determinant (Bishop
    eq. 3.86)."""
    n, d = of.x.shape
    square = (of.x**2).sum() / VARIANCE
    square -= (posterior_mean(of) * (of.codes.T @ of.x)).sum() / VARIANCE
    log_det = n * np.log(VARIANCE) + np.linalg.slogdet(precision(of))[1]
    return float(-0.5 * (d * (n * LOG_2PI + log_det) + square))


def best(of: Regression) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, (K, D) each, of the diagonal q with the highest bound: the posterior's
    mean, and one over the diagonal of its precision (Bishop 2006, section 10.1.2)."""
    mean = posterior_mean(of)
    return mean, np.broadcast_to(1 / np.diag(precision(of))[:, None], mean.shape)


def bound(of: Regression, mean: np.ndarray, variance: np.ndarray) -> float:
    """The bound (eq. 14) of q(W) = N(mean, variance), (K, D) each: E log p(X|W) - KL(q || p)."""
    residual = of.x - of.codes @ mean
    square = (residual**2).sum() + ((of.codes**2).sum(0) @ variance).sum()
    fit = -0.5 * (of.x.size * (LOG_2PI + np.log(VARIANCE)) + square / VARIANCE)
    return float(fit - 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum())


def kl_to_posterior(of: Regression, mean: np.ndarray, variance: np.ndarray) -> float:
    """KL(q(W) || p(W|X)): what the bound lacks of log p(X) (eq. 13)."""
    inverse, off = precision(of), mean - posterior_mean(of)
    square = (off * (inverse @ off)).sum() + (np.diag(inverse) @ variance).sum()
    log_det = mean.shape[1] * np.linalg.slogdet(inverse)[1] + np.log(variance).sum()
    return float(0.5 * (square - mean.size - log_det))


class Known:
    """full.Slopes of log p(x|z, W) where z is known: rows are a datapoint and its codes."""

    def __init__(self, pixels: int):
        self.pixels = pixels

    def log_p(self, w: Tensor, rows: Tensor) -> Tensor:
        """rows (..., M, D + K), w (..., K, D) -> log p(x|z, W), (..., M)."""
        x, codes = rows[..., : self.pixels], rows[..., self.pixels :]
        return densities.log_normal(x, codes @ w, torch.full_like(x, float(np.log(VARIANCE))))

    def gradient(self, p, rows, noise):
        """As of full.Slopes; there is no z to draw, and `noise` is not used."""
        x, codes = rows[:, : self.pixels], rows[:, self.pixels :]
        slope = codes.T @ (x - codes @ p["w"]) / VARIANCE
        return self.log_p(p["w"], rows).mean(), {"w": slope}


def rows_of(of: Regression) -> Tensor:
    """The datapoints with their codes, (N, D + K)."""
    return torch.from_numpy(np.hstack([of.x, of.codes]))


def train(
    of: Regression,
    generator: np.random.Generator,
    training: Training,
    step_size: float,
    steps: int,
    form: str,
    start_sd: float,
) -> Iterator[Weights]:
    """q(W) by the plain estimator, from mean 0: yields it, changing in place, after every step."""
    rows, (n, d) = rows_of(of), of.x.shape
    mean = {"w": torch.zeros(of.codes.shape[1], d, dtype=torch.float64)}
    weights = Weights.start(mean, ["w"], start_sd)
    ascent, learner = Ascent(weights, training.epsilon, ["w"], {}), Known(d)
    for step in range(steps):
        if step % BLOCK == 0:
            chosen = torch.from_numpy(generator.integers(0, n, (BLOCK, training.batch_size)))
        rate = step_size if step >= training.warmup_steps else None
        x, zeta = rows[chosen[step % BLOCK]], weights.noise(generator)
        ascent.step(learner, x, [], zeta, training.batch_size / n, form, rate)
        yield weights


def estimates(
    of: Regression,
    weights: Weights,
    generator: np.random.Generator,
    batch: int,
    count: int,
    form: str,
) -> np.ndarray:
    """`count` independent estimates of the bound at q(W): eq. 21 and 22, or eq. 24."""
    rows, learner, found = rows_of(of), Known(of.x.shape[1]), []
    mean, log_sd = weights.mean["w"], weights.log_sd["w"]
    for begin in range(0, count, BLOCK):
        size = min(BLOCK, count - begin)
        chosen = generator.integers(0, len(rows), (size, batch))
        zeta = torch.from_numpy(generator.standard_normal((size, *mean.shape)))
        w = mean + torch.exp(log_sd) * zeta
        fit = len(rows) * learner.log_p(w, rows[torch.from_numpy(chosen)]).mean(-1)
        found.append(fit + prior_part(weights, w, form))
    return torch.cat(found).numpy()


def prior_part(weights: Weights, w: Tensor, form: str) -> Tensor:
    """What an estimate has beside the datapoints, (...): log p(W) - log q(W) at w (..., K, D), or
    -KL(q || p)."""
    if form == "analytic":
        return -weights.kl().sum()
    mean, log_sd = (part["w"].flatten() for part in weights)
    flat = w.flatten(-2)
    return densities.log_prior(flat) - densities.log_normal(flat, mean, 2 * log_sd)
