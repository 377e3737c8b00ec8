"""Samples of p(z|x) by Hamiltonian Monte Carlo, one chain per datapoint, and what they tell.

That is the effective sample size, R-hat, and the transformation that makes their covariance 1.
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from . import hmc
from .common import (
    Progress,
    as_numpy,
    at_least,
    blocks,
    check_acceptance,
    check_joint,
    check_latents,
    no_grad,
    rows_at_once,
    shared_log_likelihood,
    standard_normal,
    which,
)

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")
arviz = lazy("arviz_stats.base")

#: draws of the prior among which a chain finds its start: the encoder's mean may be a minor mode
START_DRAWS = 10_000
GAIN = 2.0  # of the step size's adaptation: log step size per unit of acceptance probability
#: of chains that may accept nothing: more, and the sampler does not fit the model
STUCK_SHARE = 0.01
FLOOR = 1e-6  # smallest eigenvalue of a fitted covariance, relative to the largest


class Samples(NamedTuple):
    """One chain per datapoint."""

    z: Tensor  # (S, N, N_z)
    log_joint: Tensor  # (S, N), log p(x, z), nats
    #: each (N,): acceptance (mean), energy_error (largest, absolute), divergences (number),
    #: step_size
    info: dict[str, np.ndarray]


@no_grad
def prior_start(
    joint, generator: np.random.Generator, draws: int, memory_mb: float = 500
) -> Tensor:
    """Starts (N, N_z) of chains without an encoder: one of `draws` draws from the prior each.

    All datapoints share the draws. Each takes one with probability proportional to p(x|z). Raises
    UserError if `memory_mb` does not hold the draws for one datapoint.
    """
    check_joint(joint)
    at_least("draws", draws, 1)
    points = joint.x.shape[1]
    z = standard_normal(generator, (draws, joint.latent_dim), joint.x)
    uniform = torch.from_numpy(generator.random(points)).to(joint.x.device)
    step = int(memory_mb * 2**20 / (24 * draws))
    if step < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold {draws} draws for one datapoint; give more, "
            "or take fewer draws"
        )
    chosen = []
    for start in range(0, points, step):
        part = replace(joint, x=joint.x[:, start : start + step])
        cumulative = shared_log_likelihood(part, z, memory_mb).double().softmax(1).cumsum(1)
        at = (uniform[start : start + step] * cumulative[:, -1]).unsqueeze(1)
        chosen.append(torch.searchsorted(cumulative, at, right=True)[:, 0].clamp(max=draws - 1))
    return z[torch.cat(chosen)]


class _StepSizes:
    """Step sizes (N,) that Robbins-Monro steps adapt to an acceptance probability.

    After `warmup` transitions the mean of their logarithms over the second half stays fixed.
    """

    def __init__(self, points: int, warmup: int, acceptance: float):
        self.warmup, self.acceptance = warmup, acceptance
        self.log, self.history = np.full(points, log(0.1)), []

    @property
    def sizes(self) -> np.ndarray:
        return np.exp(self.log)

    def adapt(self, probability: np.ndarray) -> None:
        gain = GAIN * (len(self.history) + 1) ** -0.6
        self.log = self.log + gain * (probability - self.acceptance)
        self.history.append(self.log)
        if len(self.history) == self.warmup:
            self.log = np.mean(self.history[self.warmup // 2 :], 0)


def _started(targets: list, starts: list[Tensor]) -> list[hmc.State]:
    """The states of chains at `starts`. Raises UserError where log p(x, z) is not finite."""
    states = [hmc.initial(target, z) for target, z in zip(targets, starts, strict=True)]
    bad = ~np.isfinite(as_numpy(torch.cat([state.value[0] for state in states])))
    if bad.any():
        raise UserError(f"log p(x, z) is not finite at the start of {which(bad)}; start elsewhere")
    return states


class _Record:
    """What one chain per datapoint did in `draws` transitions from `start` (N, N_z)."""

    def __init__(self, start: Tensor, draws: int):
        points, self.draws = len(start), draws
        self.z = start.new_empty(draws, *start.shape)
        self.log_joint = start.new_empty(draws, points)
        names = ("acceptance", "energy_error", "divergences", "accepted")
        self.totals = {name: np.zeros(points) for name in names}

    def add(self, draw: int, states, columns: list[slice], info: list[np.ndarray]) -> None:
        """Enter one transition: `states` of the chains in `columns`, and hmc.Info of all."""
        probability, accepted, error, divergent = info
        for state, n in zip(states, columns, strict=True):
            self.z[draw, n] = state.z[0]
            self.log_joint[draw, n] = state.value[0]
        totals = self.totals
        totals["acceptance"] += probability / self.draws
        totals["accepted"] += accepted
        totals["divergences"] += divergent
        totals["energy_error"] = np.maximum(totals["energy_error"], np.abs(error))

    def samples(self, step_sizes: np.ndarray) -> Samples:
        """All of it. Raises UserError if too many chains accepted nothing."""
        never = self.totals.pop("accepted") == 0
        if never.mean() > STUCK_SHARE:
            raise UserError(
                f"HMC accepted none of {self.draws} transitions for {which(never)}; lengthen the "
                "warm-up, raise the target acceptance or start nearer to the posterior"
            )
        return Samples(self.z, self.log_joint, {**self.totals, "step_size": step_sizes})


@no_grad
def posterior_samples(
    joint,
    start: Tensor,
    generator: np.random.Generator,
    draws: int,
    warmup: int,
    leapfrog: int,
    acceptance: float,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Samples:
    """`draws` samples of p(z|x) for each datapoint: one HMC chain each, from `start` (N, N_z),
    after `warmup` transitions.

    Each chain has a step size of its own, because posteriors differ in width by a factor of ten.
    Robbins-Monro steps of size 2 t^-0.6 on its logarithm drive the acceptance probability to
    `acceptance` during warm-up. The mean over the second half of warm-up then stays fixed.

    Raises UserError when log p(x, z) is not finite at a start, or when more than STUCK_SHARE of the
    chains accept nothing after warm-up. Fewer go on as constants, which the diagnostics of their
    estimates show (degenerate, k_hat).
    """
    check_joint(joint)
    start = check_latents("start", start, joint)
    for name, number in (("draws", draws), ("warmup", warmup), ("leapfrog", leapfrog)):
        at_least(name, number, 1)
    check_acceptance(acceptance)
    points, latent_dim = start.shape
    columns = [n for _, n in blocks(1, points, rows_at_once(joint, memory_mb))]
    targets = [replace(joint, x=joint.x[:, n]) for n in columns]
    states = _started(targets, [start[None, n] for n in columns])
    record = _Record(start, draws)
    steps = _StepSizes(points, warmup, acceptance)
    for iteration in range(warmup + draws):
        momentum = standard_normal(generator, (1, points, latent_dim), start)
        uniform = torch.from_numpy(generator.random((1, points), dtype=np.float32)).to(start)
        step_size = torch.from_numpy(steps.sizes).to(start).view(1, -1, 1)
        moved = [
            hmc.transition(target, state, momentum[:, n], uniform[:, n], step_size[:, n], leapfrog)
            for target, state, n in zip(targets, states, columns, strict=True)
        ]
        states, infos = zip(*moved, strict=True)
        info = [
            as_numpy(torch.cat([part[0] for part in parts])) for parts in zip(*infos, strict=True)
        ]
        if iteration < warmup:
            steps.adapt(hmc.Info(*info).acceptance)
        else:
            record.add(iteration - warmup, states, columns, info)
        if progress:
            progress(iteration + 1, warmup + draws)
    return record.samples(steps.sizes)


def effective_size(chains: np.ndarray) -> np.ndarray:
    """Effective sample size of the mean of each chain, split in halves: (N, S) -> (N,)."""
    ess = np.asarray(
        arviz.array_stats.ess(chains[:, None], chain_axis=1, draw_axis=2, method="mean")
    )
    return np.where(np.isfinite(ess) & (np.ptp(chains, axis=1) > 0), ess, 1.0)


def split_rhat(chains: np.ndarray) -> np.ndarray:
    """R-hat of the two halves of each chain, infinite where it has not moved: (N, S) -> (N,)."""
    half = chains.shape[1] // 2
    halves = np.stack([chains[:, :half], chains[:, -half:]], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rhat = np.asarray(
            arviz.array_stats.rhat(halves, chain_axis=1, draw_axis=2, method="identity")
        )
    # Rounding can give what has not moved a variance.
    return np.where(np.isnan(rhat) | (np.ptp(chains, axis=1) == 0), np.inf, rhat)


def whitening(z: Tensor, full: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What whitens the samples z (N, S, d): mean (N, 1, d), W (N, d, d) and log det W (N,).

    W cov W^T = 1; cov is the diagonal of the covariance alone unless `full`. Last comes whether it
    was degenerate, (N,). A direction in which a chain hardly moved gets FLOOR times the largest
    variance.
    """
    mean = z.mean(1, keepdim=True)
    centred = z - mean
    covariance = centred.mT @ centred / (z.shape[1] - 1)
    if not full:
        covariance = torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
    values, vectors = torch.linalg.eigh(covariance)
    floor = (FLOOR * values[:, -1:]).clamp(min=1e-12)
    regular = values.maximum(floor)
    return (
        mean,
        vectors.mT / regular.sqrt().unsqueeze(2),
        -0.5 * regular.log().sum(1),
        (values < floor).any(1),
    )


def enough_for_covariance(samples: int, dim: int) -> bool:
    """Whether `samples` are enough for a full covariance; its diagonal is taken otherwise."""
    return samples >= 4 * dim
