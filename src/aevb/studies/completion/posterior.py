"""Several chains of z given what is seen of each image, whether they agree, and the completion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from arviz_stats.base import array_stats
from torch import Tensor

from ...marginal import hmc
from ...marginal.chains import Samples, posterior_samples, prior_start
from ...marginal.common import as_numpy, no_grad, standard_normal
from ...models import nets
from ...models.likelihoods import LIKELIHOODS
from . import Completion
from .observed import cleaned

STARTS = 10_000  # draws of the prior, among which chains find their starts
SETTLED = 8  # transitions after the adaptation of step sizes that still belong to the warm-up
ROWS = 2000  # z decoded at a time


class Chains(NamedTuple):
    """C chains of S samples for each of N images."""

    z: Tensor  # (S, C, N, N_z)
    rhat: np.ndarray  # (N,), of the halves of all chains, the worst of log p and coordinates of z
    ess: np.ndarray  # (N,), the worst of the same
    acceptance: float
    divergences: float  # share of transitions


def chains_of(joint, near, generator: np.random.Generator, options: Completion, evidence) -> Chains:
    """HMC on `joint`, with x (1, N, D). Each chain starts at a draw of the prior that fits `near`,
    a joint of the same images (marginal.chains.prior_start); the starts differ.

    After the warm-up, which sets each chain's step size, the number of leapfrog steps of a
    transition is drawn from 1 to 2 `leapfrog` - 1: a fixed length that is near the period of an
    oscillation across a direction of the posterior would hardly move along it (Neal 2011, section
    3.2).
    """
    c = options.chains
    joint, near = (replace(each, x=each.x.repeat(1, c, 1)) for each in (joint, near))
    start = prior_start(near, generator, STARTS, evidence.memory_mb)
    steps = (SETTLED, options.warmup, options.leapfrog, evidence.acceptance)
    warm = posterior_samples(joint, start, generator, *steps, evidence.memory_mb)
    z, log_joint, info = _walked(joint, warm, generator, options)
    z, log_joint = (a.unflatten(1, (c, -1)) for a in (z, log_joint))
    both = np.concatenate([as_numpy(z), as_numpy(log_joint)[..., None]], -1)  # (S, C, N, N_z + 1)
    rhat, ess = agreement(both.transpose(2, 3, 1, 0))
    return Chains(z, rhat, ess, *info)


@no_grad
def _walked(
    joint, warm: Samples, generator: np.random.Generator, options: Completion
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """From the end of `warm` on: z (S, C*N, N_z), log p(seen, z) (S, C*N), mean acceptance and
    share of divergent transitions."""
    state = hmc.initial(joint, warm.z[-1:])
    size = torch.from_numpy(warm.info["step_size"]).to(state.z).view(1, -1, 1)
    path, told = [], np.zeros(2)
    for _ in range(options.draws):
        momentum = standard_normal(generator, tuple(state.z.shape), state.z)
        uniform = generator.random(tuple(state.value.shape), dtype=np.float32)
        uniform = torch.from_numpy(uniform).to(state.z)
        count = int(generator.integers(1, 2 * options.leapfrog))
        state, info = hmc.transition(joint, state, momentum, uniform, size, count)
        told += info.acceptance.mean().item(), info.divergent.double().mean().item()
        path.append((state.z[0], state.value[0]))
    z, value = (torch.stack(part) for part in zip(*path, strict=True))
    acceptance, divergences = told / options.draws
    return z, value, (float(acceptance), float(divergences))


def agreement(chains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest R-hat, of chains split in halves, and the smallest effective sample size of
    `chains` (N, K, C, S) over its K quantities: (N,) each. Infinite and 1 where nothing moved."""
    half = chains.shape[-1] // 2
    halves = np.concatenate([chains[..., :half], chains[..., -half:]], 2)
    axes = {"chain_axis": -2, "draw_axis": -1}
    with np.errstate(divide="ignore", invalid="ignore"):
        rhat = np.asarray(array_stats.rhat(halves, **axes, method="identity"))
        ess = np.asarray(array_stats.ess(chains, **axes, method="mean"))
    still = (np.ptp(chains, axis=-1) == 0).any(-1)
    rhat = np.where(np.isnan(rhat) | still, np.inf, rhat)
    return rhat.max(1), np.where(np.isfinite(ess) & ~still, ess, 1.0).min(1)


class Completed(NamedTuple):
    """What the chains make of N images."""

    mean: np.ndarray  # (N, D), of all samples: the posterior mean of the image
    variance: np.ndarray  # (N, D), over samples of z, of E[x | z, seen]: without that of x given z
    mc: np.ndarray  # (N, D), Monte Carlo variance of `mean`: that of chain means, divided by C
    draws: np.ndarray  # (2, N, D), E[x | z, seen] at the last sample of two chains


@no_grad
def completed(z: Tensor, decode: Callable[[Tensor], np.ndarray]) -> Completed:
    """Means and variances over chains z (S, C, N, N_z) of what `decode` makes of (M, N_z):
    (M, D), images in turn: E[x | z, seen], see `decoder`."""
    draws, chains, points, _ = z.shape
    means, squares = [], []
    for chain in range(chains):
        total = square = 0.0
        height = max(1, ROWS // points)
        for part in z[:, chain].split(height):
            made = decode(part.flatten(0, 1)).reshape(len(part), points, -1)
            total, square = total + made.sum(0), square + (made**2).sum(0)
        means.append(total / draws)
        squares.append(square / draws)
    mean = np.mean(means, 0)
    variance = np.maximum(np.mean(squares, 0) - mean**2, 0)
    last = np.stack([decode(z[-1, chain]) for chain in (0, 1)])
    return Completed(mean, variance, np.var(means, 0, ddof=1) / chains, last)


def decoder(
    parameters: dict[str, Tensor], likelihood: str, y: np.ndarray | None = None, level: float = 0.0
) -> Callable[[Tensor], np.ndarray]:
    """E[x | z, seen] (M, D) at z (M, N_z), float64: the decoder's mean where a pixel is not seen.

    With images y (N, D) of noise `level` it is that of observed.cleaned; then M is a multiple of N,
    of which z n, n + N, ... belong to image n.
    """

    @no_grad
    def decode(z: Tensor) -> np.ndarray:
        output = as_numpy(nets.decode(z.unsqueeze(0), parameters)[0])
        if y is None:
            return LIKELIHOODS[likelihood].mean(output)
        output = output.reshape(-1, len(y), output.shape[-1])
        return cleaned(output, y, likelihood, level).reshape(len(z), -1)

    return decode
