"""Three ways up the bound: coordinate ascent (CAVI), expectation maximisation, stochastic VI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, xlogy

from .model import (
    LOG_2PI,
    Factors,
    assignments,
    bound,
    divergence,
    log_weights,
    means,
    of_sums,
    statistics,
)

TOLERANCE = 1e-8  # nats: a sweep that raises the bound by less is the last
TOLERANCE_EACH = 1e-7  # nats per datapoint: the same where there are many datapoints
SWEEPS = 2000  # at most


class Sweep(NamedTuple):
    """The state after one sweep over both factors."""

    bound: float  # nats
    rise_c: float  # what the update of q(c) added; NaN in the first sweep, which has no q(c) before
    rise_mu: float  # what the update of q(mu) added
    gap: float  # EM: log p(x, mu) minus the bound after the update of q(c); CAVI: NaN
    phi: np.ndarray  # (n, K)
    factors: Factors


def cavi(x: np.ndarray, factors: Factors, prior_sd: float) -> list[Sweep]:
    """Coordinate ascent from q(mu) = `factors` (Blei et al. 2017, algorithm 2)."""
    sweeps: list[Sweep] = []
    before = np.nan
    while len(sweeps) < SWEEPS:
        phi = assignments(x, factors)
        between = bound(x, phi, factors, prior_sd)
        factors = means(x, phi, prior_sd)
        after = bound(x, phi, factors, prior_sd)
        sweeps.append(Sweep(after, between - before, after - between, np.nan, phi, factors))
        if after - before < TOLERANCE:
            break
        before = after
    return sweeps


def em(x: np.ndarray, factors: Factors, prior_sd: float) -> list[Sweep]:
    """EM for the mode of p(mu | x) from the means of `factors`.

    It is CAVI with a point for q(mu). The best q(c) then is p(c | x, mu) itself, so that the bound
    touches log p(x, mu) after every E step (Neal & Hinton 1998; Blei et al. 2017, section 2.2).
    """
    sweeps: list[Sweep] = []
    point, before = Factors(factors.mean, np.zeros(len(factors.mean))), np.nan
    while len(sweeps) < SWEEPS:
        phi = assignments(x, point)
        between = _with_point(x, phi, point, prior_sd)
        gap = log_joint(x, point, prior_sd) - between
        point = point._replace(mean=means(x, phi, prior_sd).mean)
        after = _with_point(x, phi, point, prior_sd)
        sweeps.append(Sweep(after, between - before, after - between, gap, phi, point))
        if after - before < TOLERANCE:
            break
        before = after
    return sweeps


def _log_prior(point: Factors, prior_sd: float) -> float:
    """log p(mu)."""
    size, squared = point.mean.size, float((point.mean**2).sum())
    return -0.5 * (size * (LOG_2PI + 2 * np.log(prior_sd)) + squared / prior_sd**2)


def _with_point(x: np.ndarray, phi: np.ndarray, point: Factors, prior_sd: float) -> float:
    """E log p(x, c, mu) - E log q(c) at the point mu, which EM raises."""
    expected = (phi * log_weights(x, point)).sum() - xlogy(phi, phi).sum()
    return float(expected) + _log_prior(point, prior_sd)


def log_joint(x: np.ndarray, point: Factors, prior_sd: float) -> float:
    """log p(x, mu) = log p(mu) + sum_i log sum_k p(x_i, c_i = k | mu)."""
    return float(logsumexp(log_weights(x, point), axis=1).sum()) + _log_prior(point, prior_sd)


def large_cavi(x: np.ndarray, factors: Factors, prior_sd: float) -> Iterator[tuple[float, Factors]]:
    """CAVI that keeps no phi, for many datapoints: after 0, 1, 2, ... passes the bound at the best
    phi, in nats per datapoint, and q(mu)."""
    before = -np.inf
    for _ in range(SWEEPS):
        sizes, sums, value = statistics(x, factors)
        found = (value - divergence(factors, prior_sd)) / len(x)
        yield found, factors
        if found - before < TOLERANCE_EACH:
            return
        before, factors = found, of_sums(sizes, sums, prior_sd)


def svi(
    x: np.ndarray,
    factors: Factors,
    prior_sd: float,
    generator: np.random.Generator,
    batch: int,
    delay: float,
    kappa: float,
) -> Iterator[Factors]:
    """Stochastic VI (Hoffman, Blei, Wang & Paisley 2013; Blei et al. 2017, algorithm 3): q(mu)
    after 1, 2, ... steps.

    Step t moves the natural parameters (m_k / v_k, 1 / v_k) by (t + delay)^-kappa along an estimate
    of the natural gradient from `batch` datapoints, drawn uniformly with replacement: what CAVI's
    update would be if all data were like them, minus the present value.
    """
    step, precision = 0, 1 / factors.variance
    shift = precision[:, None] * factors.mean
    while True:
        step += 1
        rate = (step + delay) ** -kappa
        sizes, sums, _ = statistics(x[generator.integers(len(x), size=batch)], factors)
        scale = len(x) / batch
        shift = shift + rate * (scale * sums - shift)
        precision = precision + rate * (1 / prior_sd**2 + scale * sizes - precision)
        factors = Factors(shift / precision[:, None], 1 / precision)
        yield factors
