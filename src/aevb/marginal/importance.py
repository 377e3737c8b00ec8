"""Importance sampling of log p(x)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from .common import (
    Estimate,
    Progress,
    as_numpy,
    at_least,
    blocks,
    check_joint,
    flat,
    log_mean_exp,
    no_grad,
    rows_at_once,
    which,
)
from .estimator import Estimator, Task
from .proposals import Proposal, StudentT, from_samples, from_weighted

torch = lazy("torch")
arviz = lazy("arviz_stats.base")

KHAT_DRAWS = 25  # k-hat wants five draws in the tail


@no_grad
def importance(
    joint,
    proposal: Proposal,
    generator: np.random.Generator,
    draws: int,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Estimate:
    """log mean_k p(x, z_k) / q(z_k), z_k ~ q: on average a lower bound of log p(x), as the mean is
    an unbiased estimate of p(x).

    The standard error is by the delta method from the normalised weights; trust it where k-hat is
    below 0.7 (Vehtari, Simpson, Gelman, Yao & Gabry 2024). Diagnostics: ess, (sum w)^2 / sum w^2;
    k_hat, the Pareto shape of the largest weights (not a number with fewer than KHAT_DRAWS draws).
    Raises UserError if the proposal is for other datapoints, or a weight is not finite.
    """
    check_joint(joint)
    at_least("draws", draws, 2)
    value, weights, log_weights, _ = _weighed(
        joint, proposal, generator, draws, memory_mb, progress
    )
    return Estimate(
        value,
        weights.std(1, ddof=1) / draws**0.5,
        {"ess": draws / (weights**2).mean(1), "k_hat": _k_hat(log_weights)},
    )


@no_grad
def refined(
    joint,
    proposal: StudentT,
    generator: np.random.Generator,
    draws: int,
    memory_mb: float = 500,
) -> StudentT:
    """`proposal`, half and half with a t distribution that `draws` weighted draws from it fit.

    That is adaptive importance sampling in two stages (Oh and Berger 1992): the second draws are
    independent of the first, so that an estimate from them is unbiased for p(x). It sees where a
    posterior leaves the Gaussian at its mode. Raises as `importance`.
    """
    at_least("draws", draws, 2)
    _, weights, _, z = _weighed(joint, proposal, generator, draws, memory_mb)
    return from_weighted(z, torch.from_numpy(weights.T).to(z), proposal.degrees) | proposal


def _weighed(joint, proposal, generator, draws, memory_mb, progress=None) -> tuple:
    """Log mean weight (N,), weights over their mean (N, K), log weights (N, K) and draws (K, N,
    N_z)."""
    points, rows = joint.x.shape[1], rows_at_once(joint, memory_mb)
    log_weights, drawn = np.empty((points, draws)), []
    # All datapoints at each draw, so that the order of the noise is the same for any memory:
    # `height` draws at a time.
    height = max(1, rows // points)
    for k in range(0, draws, height):
        z = proposal.sample(generator, min(height, draws - k))
        if tuple(z.shape[1:]) != (points, joint.latent_dim):
            expected = f"({points}, {joint.latent_dim})"
            raise UserError(
                f"the proposal draws z of shape {tuple(z.shape[1:])} instead of {expected}; make "
                "it for the same datapoints"
            )
        log_q = proposal.log_density(z)
        for block in blocks(len(z), points, rows):
            value = (
                replace(joint, x=joint.x[:, block[1]]).value(flat(z, block)).view_as(log_q[block])
            )
            log_weights[block[1], k + block[0].start : k + min(block[0].stop, len(z))] = as_numpy(
                value - log_q[block]
            ).T
        drawn.append(z)
        if progress:
            progress(min(k + height, draws), draws)
    bad = ~np.isfinite(log_weights).all(1)
    if bad.any():
        raise UserError(
            f"importance weights are not finite for {which(bad)}; check the model and take "
            "another proposal"
        )
    return *log_mean_exp(log_weights), log_weights, torch.cat(drawn)


def _k_hat(log_weights: np.ndarray) -> np.ndarray:
    """Pareto shape of the largest of the weights (N, K): (N,)."""
    points, draws = log_weights.shape
    if draws < KHAT_DRAWS:
        return np.full(points, np.nan)
    # psislw takes log likelihoods, of which importance weights are the inverse, and no ties: hence
    # the signs and the slight slope.
    slope = np.linspace(0, 1e-10, draws)
    ratios = log_weights.max(1, keepdims=True) - log_weights + slope
    return np.asarray(arviz.array_stats.psislw(ratios, axis=1)[1])


def from_the_encoder(task: Task) -> Estimate:
    """With the encoder's q(z|x) as the proposal."""
    return importance(task.joint, task.proposal, task.generator, task.draws, task.memory_mb)


def from_the_chain(task: Task) -> Estimate:
    """With a t distribution fitted to as many posterior samples as the proposal."""
    proposal = from_samples(task.samples)
    return importance(task.joint, proposal, task.generator, task.draws, task.memory_mb)


ESTIMATORS = (
    Estimator(
        key="importance",
        label="importance sampling from the encoder",
        estimate=from_the_encoder,
        colour="#0072B2",
        marker="s",
        shares_noise=True,
        order=2,
    ),
    Estimator(
        key="importance_hmc",
        label="importance sampling, t fitted to HMC",
        estimate=from_the_chain,
        colour="#56B4E9",
        marker="P",
        needs_chain=True,
        shares_noise=True,
        order=2,
    ),
)
