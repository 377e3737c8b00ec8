"""The variational bound of a model over a data set, with a known Monte Carlo error."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..learners import OnlineLearner
from ..models import densities, nets

CHUNK = 1000  # rows at a time on a CPU: activations stay in cache, matrix products stay efficient
GPU_CHUNK = 10_000  # which fill a GPU
# A unit is active if Var_x[E_q(z_j|x)] exceeds this (Burda, Grosse & Salakhutdinov 2016).
ACTIVE_VARIANCE = 0.01


class Bound(NamedTuple):
    """Means over a data set, nats per datapoint."""

    value: float  # the bound that the learner is evaluated by: estimator B (eq. 7) or its own
    standard_error: float  # of `value`, from the noise of z alone: the data set is taken whole
    kl: float
    active_units: int
    draws: int  # samples per datapoint that were spent


def bound(
    learner: OnlineLearner,
    flat: Tensor,
    layout: nets.Layout,
    x: Tensor,
    generator: np.random.Generator,
    standard_error: float,
    max_draws: int,
) -> Bound:
    """Evaluate one replica `flat` (1, P), trained by `learner`, on x (N, D).

    One sample per datapoint (learner.sampled), and a second for the first chunk, give the variance
    of a sample given x. Further samples for all follow until `standard_error`, in nats, is reached
    or `max_draws` are spent. `generator` is numpy's or a gpu.DeviceGenerator.
    """
    parameters = layout.view(flat)
    rows = GPU_CHUNK if x.is_cuda else CHUNK
    n, nz = len(x), layout.latent_dim
    totals = np.zeros(2)  # of the samples, KL
    moments = np.zeros((2, nz))  # of the posterior means
    within = 0.0
    for start in range(0, n, rows):
        part = x[start : start + rows].unsqueeze(0)
        mean, log_variance = nets.encode(part, parameters)
        first = learner.sampled(parameters, part, mean, log_variance, generator)
        if start == 0:
            second = learner.sampled(parameters, part, mean, log_variance, generator)
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
            sample = learner.sampled(parameters, part, mean, log_variance, generator)
            totals[0] += sample.sum().item()
    value = totals[0] / (n * draws)
    variance = moments[1] / n - (moments[0] / n) ** 2
    return Bound(
        value - kl if learner.subtracts_kl else value,
        (within / (n * draws)) ** 0.5,
        kl,
        int((variance > ACTIVE_VARIANCE).sum()),
        draws,
    )
