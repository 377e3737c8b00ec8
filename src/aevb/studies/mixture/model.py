"""A Bayesian mixture of Gaussians, its mean-field family and the bound.

The model (Blei, Kucukelbir & McAuliffe 2017, section 2.1, there in one dimension):

    mu_k ~ N(0, s^2 I),  c_i uniform over K,  x_i | c_i, mu ~ N(mu_{c_i}, I)

The family (section 2.3): q(mu, c) = prod_k N(mu_k; m_k, v_k I) prod_i phi_i[c_i]. Arrays are
float64: x (n, D), phi (n, K). All values are in nats, of all n datapoints together. Sums go through
einsum, which no number of threads changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, xlogy

LOG_2PI = np.log(2 * np.pi)
CHUNK = 50_000  # datapoints at a time
SHORT = 3.0  # minutes, between Old Faithful's short and long eruptions


class Factors(NamedTuple):
    """q(mu): a Gaussian per component. With variance 0 it is a point."""

    mean: np.ndarray  # (K, D)
    variance: np.ndarray  # (K,), of each coordinate


def generate(
    generator: np.random.Generator, n: int, components: int, dimensions: int, prior_sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Datapoints x (n, D) drawn from the model, and their components c (n,)."""
    means = prior_sd * generator.standard_normal((components, dimensions))
    c = generator.integers(components, size=n)
    return means[c] + generator.standard_normal((n, dimensions)), c


def old_faithful() -> np.ndarray:
    """Eruptions of Old Faithful, (272, 2): minutes of eruption, minutes to the next.

    Each column is centred and divided by its standard deviation within groups, pooled over short
    and long eruptions: then a component of unit variance is as wide as a group. The data are those
    of Härdle 1991 (Azzalini & Bowman 1990), `faithful` in R.
    """
    raw = np.loadtxt(Path(__file__).with_name("faithful.csv"), delimiter=",", skiprows=1)
    short = raw[:, 0] < SHORT
    within = raw - np.where(short[:, None], raw[short].mean(0), raw[~short].mean(0))
    return (raw - raw.mean(0)) / np.sqrt((within**2).sum(0) / (len(raw) - 2))


def at(x: np.ndarray, chosen: np.ndarray, prior_sd: float) -> Factors:
    """A start: the means are the datapoints `chosen`, the variances those of n/K points each."""
    variance = 1 / (1 / prior_sd**2 + len(x) / len(chosen))
    return Factors(x[chosen], np.full(len(chosen), variance))


def start(
    generator: np.random.Generator, x: np.ndarray, components: int, prior_sd: float
) -> Factors:
    """A start at datapoints that are drawn uniformly without replacement."""
    return at(x, generator.choice(len(x), components, replace=False), prior_sd)


def spread_start(
    generator: np.random.Generator, x: np.ndarray, components: int, prior_sd: float
) -> Factors:
    """A start at datapoints far from each other.

    Each is drawn in proportion to its squared distance from the nearest one before it (k-means++,
    Arthur & Vassilvitskii 2007).
    """
    chosen = [int(generator.integers(len(x)))]
    nearest = np.full(len(x), np.inf)
    while len(chosen) < components:
        nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(generator.choice(len(x), p=nearest / nearest.sum())))
    return at(x, np.array(chosen), prior_sd)


def log_weights(x: np.ndarray, factors: Factors) -> np.ndarray:
    """E log p(x_i, c_i = k | mu) under q(mu), (n, K)."""
    (k, d), mean = factors.mean.shape, factors.mean
    cross = np.einsum("nd,kd->nk", x, mean)
    distance = (x**2).sum(1)[:, None] - 2 * cross + (mean**2).sum(1)  # |x - m|^2
    return -np.log(k) - 0.5 * (d * LOG_2PI + distance + d * factors.variance)


def assignments(x: np.ndarray, factors: Factors) -> np.ndarray:
    """The best phi (n, K) for q(mu): phi_ik ~ exp(E mu_k . x_i - E |mu_k|^2 / 2) (section 3.1)."""
    weights = log_weights(x, factors)
    return np.exp(weights - logsumexp(weights, axis=1, keepdims=True))


def means(x: np.ndarray, phi: np.ndarray, prior_sd: float) -> Factors:
    """The best q(mu) for phi (section 3.2):
    v_k = 1 / (1/s^2 + sum_i phi_ik) and m_k = v_k sum_i phi_ik x_i."""
    return of_sums(phi.sum(0), np.einsum("nk,nd->kd", phi, x), prior_sd)


def of_sums(sizes: np.ndarray, sums: np.ndarray, prior_sd: float) -> Factors:
    """The same from sum_i phi_ik (K,) and sum_i phi_ik x_i (K, D)."""
    variance = 1 / (1 / prior_sd**2 + sizes)
    return Factors(variance[:, None] * sums, variance)


def divergence(factors: Factors, prior_sd: float) -> float:
    """KL(q(mu) || p(mu)), a sum over Gaussians."""
    d = factors.mean.shape[1]
    ratio = factors.variance / prior_sd**2
    squared = (factors.mean**2).sum(1) / prior_sd**2
    return float(0.5 * (squared + d * (ratio - 1 - np.log(ratio))).sum())


def bound(x: np.ndarray, phi: np.ndarray, factors: Factors, prior_sd: float) -> float:
    """E log p(x, c, mu) - E log q(c, mu) for any phi and q(mu) (section 3, the mixture's ELBO)."""
    expected = (phi * log_weights(x, factors)).sum() - xlogy(phi, phi).sum()
    return float(expected) - divergence(factors, prior_sd)


def statistics(x: np.ndarray, factors: Factors) -> tuple[np.ndarray, np.ndarray, float]:
    """At the best phi for q(mu): sum_i phi_ik (K,), sum_i phi_ik x_i (K, D), and the bound without
    -KL(q(mu) || p(mu)). Datapoints go in chunks, so that memory does not grow with n."""
    sizes, sums, value = np.zeros(len(factors.mean)), np.zeros(factors.mean.shape), 0.0
    for first in range(0, len(x), CHUNK):
        rows = x[first : first + CHUNK]
        weights = log_weights(rows, factors)
        evidence = logsumexp(weights, axis=1, keepdims=True)
        phi = np.exp(weights - evidence)
        sizes += phi.sum(0)
        sums += np.einsum("nk,nd->kd", phi, rows)
        value += float(evidence.sum())
    return sizes, sums, value
