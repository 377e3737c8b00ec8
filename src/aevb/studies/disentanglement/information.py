"""What codes say of images and of factors, where the data set is finite and known whole.

q(z) = mean over the N images of q(z|x_n) is then a mixture of N known Gaussians. The mean KL
divergence of the bound has two terms (Hoffman and Johnson 2016), the second of which has two
(Chen et al. 2018, eq. 2), in nats:

    E KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || p(z))
    KL(q(z) || p(z))     = TC + sum_j KL(q(z_j) || p(z_j)),   TC = KL(q(z) || prod_j q(z_j))

I(x; z) = E[log q(z|x) - log q(z)] is at most log N. Everything of one latent variable is a
quadrature; what needs log q(z) is a mean over samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

REACH = 8.0  # standard deviations: how far beyond the outermost means the quadrature goes
STEP = 0.5  # of it, in the smallest standard deviation: the error for a Gaussian is far below 1e-9
MOST = 20_000  # points of it
CHUNK = 500  # samples, or points, at a time


class Mean(NamedTuple):
    """A mean over samples."""

    value: float
    error: float  # its Monte Carlo standard error


def log_normal(z: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """log N(z; mean, variance), element by element."""
    return -0.5 * (np.log(2 * np.pi * variance) + (z - mean) ** 2 / variance)


def log_mixture(z: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """log q(z) at z (S, N_z) of the mixture with these means and variances (N, N_z): (S,)."""
    # The exponent is linear in (z^2, z, 1): one matrix product for all pairs.
    weights = np.concatenate([-0.5 / variance, mean / variance], axis=1)
    constant = log_normal(np.zeros(1), mean, variance).sum(1)
    found = [
        logsumexp(np.concatenate([part**2, part], axis=1) @ weights.T + constant, axis=1)
        for part in np.array_split(z, -(-len(z) // CHUNK))
    ]
    return np.concatenate(found) - np.log(len(mean))


def draw(
    generator: np.random.Generator, mean: np.ndarray, variance: np.ndarray, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """(x, z) ~ q(x, z): which image (S,), and its code (S, N_z)."""
    chosen = generator.integers(0, len(mean), samples)
    noise = generator.standard_normal((samples, mean.shape[1]))
    return chosen, mean[chosen] + np.sqrt(variance[chosen]) * noise


def mutual(
    generator: np.random.Generator, mean: np.ndarray, variance: np.ndarray, samples: int
) -> Mean:
    """I(x; z) (first term of Hoffman and Johnson 2016), nats."""
    chosen, z = draw(generator, mean, variance, samples)
    own = log_normal(z, mean[chosen], variance[chosen]).sum(1)
    return _mean(own - log_mixture(z, mean, variance))


def to_prior(
    generator: np.random.Generator, mean: np.ndarray, variance: np.ndarray, samples: int
) -> Mean:
    """KL(q(z) || p(z)), p(z) = N(0, I) (second term of Hoffman and Johnson 2016), nats."""
    _, z = draw(generator, mean, variance, samples)
    return _mean(log_mixture(z, mean, variance) - log_normal(z, 0.0, np.ones(1)).sum(1))


def _mean(values: np.ndarray) -> Mean:
    return Mean(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5))


class Marginals(NamedTuple):
    """What the latent variables are one by one, by quadrature; nats."""

    kl: np.ndarray  # (N_z,): KL(q(z_j) || p(z_j))
    information: np.ndarray  # (N_z, K): I(z_j; v_k), of each with each factor


def marginals(mean: np.ndarray, variance: np.ndarray, factors: np.ndarray) -> Marginals:
    """Of codes N(mean, variance), two of (N, N_z), of images with these factors (N, K)."""
    found = [_marginal(m, s, factors) for m, s in zip(mean.T, np.sqrt(variance).T, strict=True)]
    return Marginals(*map(np.array, zip(*found, strict=True)))


def _marginal(mean: np.ndarray, sd: np.ndarray, factors: np.ndarray) -> tuple[float, list[float]]:
    """KL(q(z_j) || p(z_j)) and I(z_j; v_k) of one latent variable.

    I(z_j; v_k) = H(z_j) - H(z_j | v_k), where q(z_j | v_k) is the mean of q(z_j|x) over the images
    with that value (Chen et al. 2018, eq. 5 and appendix).
    """
    low, high = (mean - REACH * sd).min(), (mean + REACH * sd).max()
    points = np.linspace(low, high, min(MOST, int((high - low) / (STEP * sd.min())) + 2))
    groups = [np.arange(len(mean)) == -1] + [
        factors[:, k] == value
        for k in range(factors.shape[1])
        for value in np.unique(factors[:, k])
    ]
    groups[0] = ~groups[0]
    pick = np.stack([group / group.sum() for group in groups])
    density = np.concatenate(
        [
            pick @ np.exp(log_normal(part[None, :], mean[:, None], sd[:, None] ** 2))
            for part in np.array_split(points, -(-len(points) // CHUNK))
        ],
        axis=1,
    )
    h = points[1] - points[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(density > 0, np.log(density), 0.0)
    entropy = -(density * logs).sum(1) * h
    # E log p(z_j) is known: its second moment is.
    to = -0.5 * (np.log(2 * np.pi) + (mean**2 + sd**2).mean())
    rest, at = [], 1
    for k in range(factors.shape[1]):
        counts = np.unique(factors[:, k], return_counts=True)[1]
        own = entropy[at : at + len(counts)]
        rest.append(float(entropy[0] - own @ counts / counts.sum()))
        at += len(counts)
    return float(-entropy[0] - to), rest
