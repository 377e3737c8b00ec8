"""The posterior without approximation: by enumeration, and by a Gibbs sampler."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, xlogy

from .model import LOG_2PI, Factors


class Posterior(NamedTuple):
    """p(c, mu | x) with every one of the A = K^n assignments c."""

    c: np.ndarray  # (A, n) int8
    log_p: float  # log p(x), nats
    log_weights: np.ndarray  # (A,), log p(c | x)
    mean: np.ndarray  # (A, K, D), of p(mu_k | c, x)
    variance: np.ndarray  # (A, K), of each coordinate

    @property
    def weights(self) -> np.ndarray:
        """p(c | x), (A,)."""
        return np.exp(self.log_weights)


def enumerated(x: np.ndarray, components: int, prior_sd: float) -> Posterior:
    """The posterior of x (n, D) by enumeration.

    mu is integrated out in closed form: with n_k points of sum S_k in component k,
    p(mu_k | c, x) is N(v_k S_k, v_k I), v_k = 1 / (1/s^2 + n_k), and (Bishop 2006, section 2.3)
    log p(x, c) = -n log K - (n D log 2 pi + sum |x_i|^2)/2
                  + sum_k (v_k |S_k|^2 + D log(v_k / s^2))/2.
    """
    n, d = x.shape
    powers = components ** np.arange(n)
    c = (np.arange(components**n)[:, None] // powers % components).astype(np.int8)
    sizes = np.stack([(c == k).sum(1) for k in range(components)], 1)
    sums = np.stack([np.einsum("an,nd->ad", c == k, x) for k in range(components)], 1)
    variance = 1 / (1 / prior_sd**2 + sizes)
    inside = variance * (sums**2).sum(2) + d * np.log(variance / prior_sd**2)
    constant = -n * np.log(components) - 0.5 * (n * d * LOG_2PI + (x**2).sum())
    joint = constant + 0.5 * inside.sum(1)
    log_p = float(logsumexp(joint))
    return Posterior(c, log_p, joint - log_p, variance[:, :, None] * sums, variance)


def divergence(posterior: Posterior, phi: np.ndarray, factors: Factors) -> float:
    """KL(q || p(c, mu | x)), from its definition and without the bound.

    By the chain rule it is KL(q(c) || p(c | x)), a sum over assignments, and the mean under q(c) of
    KL(q(mu) || p(mu | c, x)), which are Gaussians.
    """
    n, d = phi.shape[0], factors.mean.shape[1]
    q = np.prod(phi[np.arange(n), posterior.c], axis=1)
    discrete = (xlogy(q, q) - q * posterior.log_weights).sum()
    ratio = factors.variance / posterior.variance
    squared = ((factors.mean - posterior.mean) ** 2).sum(2) / posterior.variance
    gaussian = 0.5 * (squared + d * (ratio - 1 - np.log(ratio))).sum(1)
    return float(discrete + (q * gaussian).sum())


def total_variance(posterior: Posterior) -> float:
    """The exact variance of mu, summed over components and coordinates, under all labellings."""
    mean = np.einsum("a,akd->kd", posterior.weights, posterior.mean)
    between = np.einsum("a,akd->", posterior.weights, (posterior.mean - mean) ** 2)
    return float(posterior.mean.shape[2] * (posterior.weights @ posterior.variance).sum() + between)


def draw(posterior: Posterior, generator: np.random.Generator, draws: int) -> np.ndarray:
    """Independent draws of mu from the posterior, (draws, K, D)."""
    rows = generator.choice(len(posterior.weights), size=draws, p=posterior.weights)
    noise = generator.standard_normal((draws, *posterior.mean.shape[1:]))
    return posterior.mean[rows] + np.sqrt(posterior.variance[rows])[:, :, None] * noise


def gibbs(
    x: np.ndarray,
    components: int,
    prior_sd: float,
    generator: np.random.Generator,
    chains: int,
    draws: int,
) -> np.ndarray:
    """Draws of mu from `chains` Gibbs chains, (chains, draws, K, D); as many more are warm-up.

    Each draws c given mu, then mu given c (Bishop 2006, section 11.3), from a start at datapoints.
    """
    n, d = x.shape
    mu = x[generator.integers(n, size=(chains, components))]
    kept = np.empty((chains, draws, components, d))
    for step in range(2 * draws):
        logits = np.einsum("nd,ckd->nck", x, mu) - 0.5 * (mu**2).sum(2)
        p = np.exp(logits - logits.max(2, keepdims=True)).cumsum(2)
        c = (generator.random((n, chains, 1)) * p[:, :, -1:] > p).sum(2)
        chosen = (c[:, :, None] == np.arange(components)).astype(float)
        variance = 1 / (1 / prior_sd**2 + chosen.sum(0))[:, :, None]
        noise = generator.standard_normal(mu.shape)
        mu = variance * np.einsum("nck,nd->ckd", chosen, x) + np.sqrt(variance) * noise
        if step >= draws:
            kept[:, step - draws] = mu
    return kept


def variance_of(mu: np.ndarray) -> tuple[float, float]:
    """Variance of draws (chains, draws, K), summed over the last axis, and its standard error,
    from the spread over the chains."""
    squared = ((mu - mu.mean((0, 1))) ** 2).sum(2).mean(1)
    return float(squared.mean()), float(squared.std(ddof=1) / np.sqrt(len(squared)))
