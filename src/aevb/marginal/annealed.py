"""Annealed importance sampling of log p(x), from the prior to the posterior or backward."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from . import hmc
from .common import (
    Estimate,
    Progress,
    as_numpy,
    at_least,
    blocks,
    check_acceptance,
    check_joint,
    check_latents,
    flat,
    log_mean_exp,
    no_grad,
    rows_at_once,
    standard_normal,
    which,
)
from .estimator import Estimator, Task

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")
densities = lazy("aevb.models.densities")

CHAINS = 2  # of the estimators that the study grades


def sigmoidal_schedule(steps: int, spread: float = 4.0) -> np.ndarray:
    """Temperatures 0 = b_0 < ... < b_steps = 1, (steps + 1,): a sigmoid over [-spread, spread],
    rescaled.

    Its steps are fine at both ends, where the distribution changes fastest (Grosse, Ghahramani &
    Adams 2015).
    """
    s = 1 / (1 + np.exp(-np.linspace(-spread, spread, steps + 1)))
    return (s - s[0]) / (s[-1] - s[0])


def _schedule(temperatures: int | np.ndarray) -> np.ndarray:
    """Temperatures from 0 to 1 of their number, or those given. Raises UserError for others."""
    if np.ndim(temperatures) == 0:
        at_least("temperatures", int(temperatures), 2)
        temperatures = sigmoidal_schedule(int(temperatures))
    schedule = np.asarray(temperatures, np.float64)
    if (
        schedule.ndim != 1
        or len(schedule) < 3
        or schedule[0] != 0
        or schedule[-1] != 1
        or not (np.diff(schedule) > 0).all()
    ):
        raise UserError(
            "temperatures must be a number of steps, or at least three increasing values from 0 to "
            "1"
        )
    return schedule


@no_grad
def annealed(
    joint,
    generator: np.random.Generator,
    temperatures: int | np.ndarray,
    chains: int,
    leapfrog: int,
    acceptance: float,
    backward_from: Tensor | None = None,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Estimate:
    """Annealed importance sampling (Neal 2001) from the prior to the posterior through p(z)
    p(x|z)^b, one HMC transition at each temperature b.

    `temperatures` is a number of steps (sigmoidal_schedule) or an increasing array from 0 to 1.
    There is one step size per temperature and datapoint. A pilot path of one chain adapts them to
    `acceptance`; then they are fixed for the `chains` that count. So no weight depends on the
    acceptance of its own path, and exp(value) is unbiased exactly. The value is on average a lower
    bound of log p(x).

    `backward_from` (N, N_z) are exact samples of p(z|x), as simulated data have: z ~ p(z), x ~
    p(x|z). With them the chains go from the posterior to the prior, and the value is on average an
    upper bound (bidirectional Monte Carlo: Grosse et al. 2015).

    Standard error by the delta method over chains; backward, the chains share their start, so it is
    too small. Diagnostics: ess of the weights; acceptance, the mean. Raises UserError for
    impossible options and where a weight is not finite.
    """
    check_joint(joint)
    for name, number, least in (("chains", chains, 2), ("leapfrog", leapfrog, 1)):
        at_least(name, number, least)
    check_acceptance(acceptance)
    schedule = _schedule(temperatures)
    if backward_from is not None:
        backward_from = check_latents("backward_from", backward_from, joint)

    points, inner = joint.x.shape[1], len(schedule) - 2
    walk = functools.partial(_anneal, joint, leapfrog, generator, memory_mb)
    z = standard_normal(generator, (1, points, joint.latent_dim), joint.x)
    start = np.full(points, 0.5)  # of the prior's standard deviation
    half = progress and (lambda done: progress(done, 2 * inner))
    steps = walk(z, schedule, start, half, adapt_to=acceptance).step_sizes
    if backward_from is None:
        z = standard_normal(generator, (chains, points, joint.latent_dim), joint.x)
    else:
        z = backward_from.expand(chains, -1, -1)
        schedule, steps = schedule[::-1], steps[::-1]
    half = progress and (lambda done: progress(inner + done, 2 * inner))
    path = walk(z, schedule, steps, half)
    bad = ~np.isfinite(path.log_weights).all(1)
    if bad.any():
        raise UserError(
            f"annealed weights are not finite for {which(bad)}; check the model, or raise the "
            "target acceptance"
        )
    # Backward, the weights are those of 1 / p(x).
    log_mean, weights = log_mean_exp(path.log_weights)
    value = log_mean if backward_from is None else -log_mean
    diagnostics = {"ess": chains / (weights**2).mean(1), "acceptance": path.acceptance}
    return Estimate(value, weights.std(1, ddof=1) / chains**0.5, diagnostics)


class _Path(NamedTuple):
    log_weights: np.ndarray  # (N, K)
    acceptance: np.ndarray  # (N,)
    step_sizes: np.ndarray  # (T - 1, N), at the inner temperatures in the order of the path


def _anneal(
    joint, leapfrog, generator, memory_mb, z, schedule, step_sizes, progress, adapt_to=None
) -> _Path:
    """Chains z (K, N, N_z) along `schedule` (T + 1,), with a transition at each inner b_t.

    The log weight is the sum of (b_t - b_{t-1}) log p(x|z). `step_sizes` (T - 1, N) are used as
    they are. With a target acceptance `adapt_to` they are (N,), those of the first temperature. The
    next ones then follow from the acceptance so far, with a gain that suits one chain's noise.
    """
    draws, points = z.shape[:2]
    chunks = list(blocks(draws, points, rows_at_once(joint, memory_mb)))
    z = z.clone()
    likelihood, slope = z.new_empty(draws, points), torch.empty_like(z)  # log p(x|z), its gradient
    for block in chunks:
        rows = flat(z, block)
        state = hmc.initial(replace(joint, x=joint.x[:, block[1]], temperature=1.0), rows)
        likelihood[block] = (state.value - densities.log_prior(rows)).view_as(likelihood[block])
        slope[block] = (state.gradient + rows).view_as(slope[block])
    log_weights = np.zeros((draws, points))
    acceptance = np.zeros(points)
    used = []
    for t in range(1, len(schedule)):
        log_weights += (schedule[t] - schedule[t - 1]) * as_numpy(likelihood)
        if t == len(schedule) - 1:
            break
        step = step_sizes if adapt_to is not None else step_sizes[t - 1]
        step_tensor = torch.from_numpy(np.ascontiguousarray(step)).to(z)
        step_tensor = step_tensor.view(1, points, 1).expand(draws, -1, -1)
        momentum = standard_normal(generator, tuple(z.shape), z)
        uniform = torch.from_numpy(generator.random((draws, points), dtype=np.float32)).to(z)
        probability = z.new_empty(draws, points)
        for block in chunks:
            target = replace(joint, x=joint.x[:, block[1]], temperature=float(schedule[t]))
            noise = (flat(momentum, block), flat(uniform, block))
            acceptances = _move(
                target, block, z, likelihood, slope, noise, flat(step_tensor, block), leapfrog
            )
            probability[block] = acceptances.view_as(probability[block])
        mean = as_numpy(probability).mean(0)
        acceptance += mean / (len(schedule) - 2)
        used.append(step)
        if adapt_to is not None:
            step_sizes = step * np.exp(0.2 * (mean - adapt_to))
        if progress:
            progress(t)
    return _Path(log_weights.T, acceptance, np.stack(used))


def _move(target, block, z, likelihood, slope, noise, step_size, leapfrog) -> Tensor:
    """One transition of the chains in `block`, in place, with log p(x|z) and its gradient `slope`.

    Returns the acceptance probabilities.
    """
    temperature, rows = target.temperature, flat(z, block)
    old = hmc.State(
        rows,
        densities.log_prior(rows) + temperature * flat(likelihood, block),
        temperature * flat(slope, block) - rows,
    )
    new, info = hmc.transition(target, old, *noise, step_size, leapfrog)
    # Where nothing moved the old numbers stay: no rounding builds up.
    moved = info.accepted.view_as(likelihood[block])
    z[block] = new.z.view_as(z[block])
    now = ((new.value - densities.log_prior(new.z)) / temperature).view_as(likelihood[block])
    likelihood[block] = torch.where(moved, now, likelihood[block])
    now = ((new.gradient + new.z) / temperature).view_as(slope[block])
    slope[block] = torch.where(moved.unsqueeze(-1), now, slope[block])
    return info.acceptance


def forward(task: Task, backward_from: Tensor | None = None) -> Estimate:
    """From the prior to the posterior, through `task.draws` temperatures."""
    return annealed(
        task.joint,
        task.generator,
        task.draws,
        CHAINS,
        task.leapfrog,
        task.acceptance,
        backward_from,
        task.memory_mb,
        task.progress,
    )


def backward(task: Task) -> Estimate:
    """From the task's exact posterior samples to the prior."""
    return forward(task, task.exact)


def _gradients(leapfrog: int) -> float:
    """Per temperature: a transition of the pilot and one of each chain."""
    return (1 + CHAINS) * leapfrog


_SHARED = {"gradients": _gradients, "shares_noise": True, "order": 3}
ESTIMATORS = (
    Estimator(
        key="ais",
        label="annealed importance sampling (AIS)",
        estimate=forward,
        colour="#009E73",
        marker="^",
        caption="annealed importance sampling: temperatures",
        **_SHARED,
    ),
    Estimator(
        key="ais_backward",
        label="AIS, backward",
        estimate=backward,
        colour="#009E73",
        marker="v",
        dashes=(0, (2.0, 1.2)),
        caption="annealed importance sampling: temperatures",
        needs_exact=True,
        **_SHARED,
    ),
)
