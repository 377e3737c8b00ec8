"""The smallest model with latent codes whose log p(X) is known: one pixel, x = w z + sigma eps with
w, z, eps ~ N(0, 1).

Given w, x ~ N(0, w^2 + sigma^2), so that log p(X) is an integral over one weight: a quadrature.
With more pixels or codes the integral over W has no closed form, and only the bound is known. q(w)
and q(z|x) = N(a x, c^2) are Gaussian. Nats for all of X.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import integrate, optimize, stats

VARIANCE = 1.0  # sigma^2
BLOCK = 1000  # estimates whose noise is drawn at a time
REACH = 12.0  # of the quadrature over w, from its prior: 12 standard deviations
POINTS = 20_001  # of the quadrature


class Q(NamedTuple):
    """q(w) = N(mean, sd^2) and q(z|x) = N(a x, c^2)."""

    mean: float
    sd: float
    a: float
    c: float


def data(generator: np.random.Generator, n: int) -> np.ndarray:
    """X (n,), with w at 2: away from 0, so that the posterior has two modes."""
    return 2 * generator.standard_normal(n) + np.sqrt(VARIANCE) * generator.standard_normal(n)


def bound(x: np.ndarray, q: Q) -> float:
    """The bound of appendix F (eq. 14 with eq. 16) in closed form."""
    n, square = len(x), float((x**2).sum())
    z_2, w_2 = q.a**2 * square + n * q.c**2, q.mean**2 + q.sd**2  # sum of E z^2; E w^2
    error = square - 2 * q.mean * q.a * square + w_2 * z_2  # sum of E (x - w z)^2
    fit = -0.5 * (n * np.log(2 * np.pi * VARIANCE) + error / VARIANCE)
    kl_z = 0.5 * (z_2 - n - 2 * n * np.log(q.c))
    return float(fit - kl_z - 0.5 * (w_2 - 1 - 2 * np.log(q.sd)))


def best(x: np.ndarray) -> Q:
    """The q with the highest bound, on the side w > 0."""

    def at(values: np.ndarray) -> Q:
        return Q(values[0], float(np.exp(values[1])), values[2], float(np.exp(values[3])))

    found = optimize.minimize(lambda v: -bound(x, at(v)), [1.0, -1.0, 0.5, -0.5])
    return at(found.x)


class Exact(NamedTuple):
    """What quadrature knows."""

    evidence: float  # log p(X)
    kl_w: float  # KL(q(w) || p(w|X)) (eq. 13)
    kl_z: float  # E_q(w) of the sum of KL(q(z|x) || p(z|x, w)) (eq. 15)


def exact(x: np.ndarray, q: Q) -> Exact:
    """log p(X) and both divergences, by Simpson's rule over w, without the bound."""
    w = np.linspace(-REACH, REACH, POINTS)
    spread, square = w**2 + VARIANCE, float((x**2).sum())  # spread: variance of x given w
    log_joint = -0.5 * (len(x) * np.log(2 * np.pi * spread) + square / spread)
    log_joint += stats.norm.logpdf(w)
    top = log_joint.max()
    evidence = top + np.log(integrate.simpson(np.exp(log_joint - top), x=w))
    log_q = stats.norm.logpdf(w, q.mean, q.sd)
    density = np.exp(log_q)
    kl_w = integrate.simpson(density * (log_q - log_joint), x=w) + evidence
    variance, slope = VARIANCE / spread, w / spread  # of p(z|x, w) = N(slope x, variance)
    each = len(x) * (np.log(variance) - 2 * np.log(q.c) - 1 + q.c**2 / variance)
    each = 0.5 * (each + (q.a - slope) ** 2 * square / variance)
    return Exact(float(evidence), float(kl_w), float(integrate.simpson(density * each, x=w)))


def estimates(
    x: np.ndarray, q: Q, generator: np.random.Generator, batch: int, count: int, form: str
) -> np.ndarray:
    """`count` independent estimates of the bound: eq. 21 and 22, or eq. 24, one w per minibatch."""
    found = []
    for begin in range(0, count, BLOCK):
        size = min(BLOCK, count - begin)
        rows = x[generator.integers(0, len(x), (size, batch))]
        w = q.mean + q.sd * generator.standard_normal((size, 1))
        z = q.a * rows + q.c * generator.standard_normal(rows.shape)
        f = stats.norm.logpdf(rows, w * z, np.sqrt(VARIANCE))
        if form == "sampled":
            f += stats.norm.logpdf(z) - stats.norm.logpdf(z, q.a * rows, q.c)
            prior = (stats.norm.logpdf(w) - stats.norm.logpdf(w, q.mean, q.sd))[:, 0]
        else:
            f += 0.5 * (1 + 2 * np.log(q.c) - (q.a * rows) ** 2 - q.c**2)
            prior = 0.5 * (1 + 2 * np.log(q.sd) - q.mean**2 - q.sd**2)
        found.append(len(x) * f.mean(1) + prior)
    return np.concatenate(found)
