"""The variational bound of a model over a data set, with a known Monte Carlo error."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models import densities, kernels, nets

CHUNK = 1000  # rows at a time on a CPU: activations stay in cache, matrix products stay efficient
GPU_CHUNK = 10_000  # which fill a GPU
ACTIVE_VARIANCE = (
    0.01  # a unit is active if Var_x[E_q(z_j|x)] exceeds this (Burda, Grosse & Salakhutdinov 2016)
)


class Bound(NamedTuple):
    """Means over a data set, nats per datapoint."""

    value: float  # estimator B (eq. 7), whatever the learner optimises: the lower variance
    standard_error: float  # of `value`, from the noise of z alone: the data set is taken whole
    kl: float
    active_units: int
    draws: int  # samples of z per datapoint that were spent


def bound(
    flat: Tensor,
    layout: nets.Layout,
    x: Tensor,
    generator: np.random.Generator,
    standard_error: float,
    max_draws: int,
) -> Bound:
    """Evaluate one replica `flat` (1, P) on x (N, D).

    One draw of z per datapoint, and a second for the first chunk, give the variance of a draw given
    x; further draws for all follow until the standard error is reached or `max_draws` are spent.
    `generator` is numpy's or a gpu.Stream.
    """
    parameters = layout.view(flat)
    rows = GPU_CHUNK if x.is_cuda else CHUNK
    n, nz = len(x), layout.latent_dim
    totals = np.zeros(2)  # log-likelihood of the first draw, KL
    moments = np.zeros((2, nz))  # of the posterior means
    within = 0.0
    for start in range(0, n, rows):
        part = x[start : start + rows].unsqueeze(0)
        mean, log_variance = nets.encode(part, parameters)
        first = _log_likelihood(part, mean, log_variance, parameters, layout, generator)
        if start == 0:
            second = _log_likelihood(part, mean, log_variance, parameters, layout, generator)
            within = float(((first - second) ** 2).mean() / 2)
        totals += first.sum().item(), densities.kl_to_prior(mean, log_variance).sum().item()
        means = mean[0].double()
        moments += np.stack([means.sum(0).cpu().numpy(), (means**2).sum(0).cpu().numpy()])
    kl = totals[1] / n
    draws = 1
    if np.isfinite(within):
        draws = max(1, min(max_draws, ceil(within / (n * standard_error**2))))
    for _ in range(draws - 1):
        for start in range(0, n, rows):
            part = x[start : start + rows].unsqueeze(0)
            mean, log_variance = nets.encode(part, parameters)
            totals[0] += (
                _log_likelihood(part, mean, log_variance, parameters, layout, generator)
                .sum()
                .item()
            )
    reconstruction = totals[0] / (n * draws)
    variance = moments[1] / n - (moments[0] / n) ** 2
    return Bound(
        reconstruction - kl,
        (within / (n * draws)) ** 0.5,
        kl,
        int((variance > ACTIVE_VARIANCE).sum()),
        draws,
    )


def _log_likelihood(x, mean, log_variance, parameters, layout, generator) -> Tensor:
    """log p(x|z) at one draw z ~ q(z|x): (1, M, D) -> (1, M)."""
    noise = torch.as_tensor(generator.standard_normal(mean.shape, dtype=np.float32)).to(mean)
    z = mean + torch.exp(0.5 * log_variance) * noise
    return kernels.log_likelihood(x, nets.decode(z, parameters), layout.likelihood)
