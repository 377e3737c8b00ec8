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
from scipy.special import logsumexp, xlogy

REACH = 8.0  # standard deviations: how far beyond the outermost means the quadrature goes
STEP = 0.75  # of it, in the smallest standard deviation: entropies of Gaussians to 1e-12
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
    """Of codes N(mean, variance), two of (N, N_z), of images with these factors (N, K).

    I(z_j; v_k) = H(z_j) - H(z_j | v_k), where q(z_j | v_k) is the mean of q(z_j|x) over the images
    with that value (Chen et al. 2018, section 4).
    """
    every = np.ones((1, len(mean)))
    held = [np.equal.outer(np.unique(column), column) for column in factors.T]
    groups = np.concatenate([every, *held])
    shares = np.zeros((factors.shape[1], len(groups)))
    first = 1
    for k, part in enumerate(held):
        shares[k, first : first + len(part)] = part.mean(1)
        first += len(part)
    kl, information = [], []
    for m, sd in zip(mean.T, np.sqrt(variance).T, strict=True):
        entropy = entropies(m, sd, groups)
        # E log p(z_j) needs no more than the second moment.
        kl.append(0.5 * (np.log(2 * np.pi) + (m**2 + sd**2).mean()) - entropy[0])
        information.append(entropy[0] - shares @ entropy)
    return Marginals(np.array(kl), np.array(information))


def entropies(mean: np.ndarray, sd: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Entropies in nats of the mixtures of N(mean, sd^2), two of (N,), over each of `groups`, 0 or
    1 by component (G, N), by the trapezoid rule: (G,)."""
    low, high = (mean - REACH * sd).min(), (mean + REACH * sd).max()
    points = np.linspace(low, high, int((high - low) / (STEP * sd.min())) + 2)
    pick, total = groups / groups.sum(1, keepdims=True), np.zeros(len(groups))
    for part in np.array_split(points, -(-len(points) // CHUNK)):
        density = pick @ np.exp(log_normal(part, mean[:, None], sd[:, None] ** 2))
        total -= xlogy(density, density).sum(1)
    return total * (points[1] - points[0])
