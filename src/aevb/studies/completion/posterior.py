"""Several chains of z given what is seen of each image, whether they agree, and the completion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from arviz_stats.base import array_stats
from torch import Tensor

from ...marginal import hmc
from ...marginal.chains import posterior_samples, prior_start
from ...marginal.common import as_numpy, no_grad, standard_normal
from ...models import nets
from ...models.likelihoods import LIKELIHOODS
from . import Completion

STARTS = 10_000  # draws of the prior, among which chains find their starts
SETTLED = 30  # transitions that adapt step sizes once z is whitened
ROWS = 2000  # z decoded at a time


class Chains(NamedTuple):
    """C chains of S samples for each of N images."""

    z: Tensor  # (S, C, N, N_z)
    rhat: np.ndarray  # (N,), of the halves of all chains, the worst of log p and coordinates of z
    ess: np.ndarray  # (N,), the worst of the same
    acceptance: float
    divergences: float  # share of transitions
    step_size: np.ndarray  # (N,), of the first chain


@dataclass(frozen=True)
class Whitened:
    """A target of HMC in coordinates u of z = root u, which is HMC with the masses (root root^T)^-1
    (Neal 2011, section 4.1)."""

    target: object
    root: Tensor  # (1, M, N_z, N_z), lower triangular

    def latents(self, u: Tensor) -> Tensor:
        """z (1, M, N_z)."""
        return (self.root @ u.unsqueeze(-1)).squeeze(-1)

    def _back(self, gradient: Tensor) -> Tensor:
        return (self.root.mT @ gradient.unsqueeze(-1)).squeeze(-1)

    def gradient(self, u: Tensor) -> Tensor:
        """Gradient of the log density, (1, M, N_z)."""
        return self._back(self.target.gradient(self.latents(u)))

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The log density of z (1, M) in nats, and its gradient (1, M, N_z)."""
        value, gradient = self.target.value_and_gradient(self.latents(u))
        return value, self._back(gradient)


def chains_of(joint, near, generator: np.random.Generator, options: Completion, evidence) -> Chains:
    """HMC on `joint`, with x (1, N, B). Each chain starts at a draw of the prior that fits `near`,
    a joint of the same images (marginal.chains.prior_start); the starts differ.

    The first half of the warm-up adapts step sizes; the second gives the covariance of each image's
    posterior, by which z is whitened: without that 42 % of the images of Frey Face with half of the
    pixels seen had an R-hat below 1.1, with it 93 %, at half the cost. Then step sizes are adapted
    again and stay. The number of leapfrog steps of a transition is drawn from 1
    to 2 `leapfrog` - 1: a fixed length that is near the period of an oscillation across a direction
    of the posterior would hardly move along it (Neal 2011, section 3.2).
    """
    c, half = options.chains, -(-options.warmup // 2)
    joint, near = (replace(each, x=each.x.repeat(1, c, 1)) for each in (joint, near))
    start = prior_start(near, generator, STARTS, evidence.memory_mb)
    steps = (half, half, options.leapfrog, evidence.acceptance)
    warm = posterior_samples(joint, start, generator, *steps, evidence.memory_mb)
    target = Whitened(joint, root_of(warm.z, c))
    u = torch.linalg.solve_triangular(target.root, warm.z[-1:].unsqueeze(-1), upper=False)
    state = hmc.initial(target, u.squeeze(-1))
    state, sizes = _settled(target, state, generator, options, evidence.acceptance)
    z, log_joint, info = _walked(target, state, sizes, generator, options)
    z, log_joint = (a.unflatten(1, (c, -1)) for a in (z, log_joint))
    both = np.concatenate([as_numpy(z), as_numpy(log_joint)[..., None]], -1)  # (S, C, N, N_z + 1)
    rhat, ess = agreement(both.transpose(2, 3, 1, 0))
    return Chains(z, rhat, ess, *info, warm.info["step_size"][: z.shape[2]])


def root_of(z: Tensor, chains: int) -> Tensor:
    """Cholesky factors (1, C*N, N_z, N_z) of the covariance of samples z (S, C*N, N_z) of C chains
    of each image, shrunk a little to 1e-3, as Stan does (reference manual, section on HMC)."""
    pooled = z.unflatten(1, (chains, -1)).permute(2, 0, 1, 3).flatten(1, 2).double()  # (N, S*C, .)
    centred, n = pooled - pooled.mean(1, keepdim=True), pooled.shape[1]
    covariance = (centred.mT @ centred) / (n - 1) * n / (n + 5)
    covariance += 1e-3 * 5 / (n + 5) * torch.eye(z.shape[-1]).to(covariance)
    root = torch.linalg.cholesky(covariance).to(z)
    return root.repeat(chains, 1, 1).unsqueeze(0)


def _moved(target, state: hmc.State, size: Tensor, count: int, generator):
    """One transition of all chains, with `count` leapfrog steps."""
    momentum = standard_normal(generator, tuple(state.z.shape), state.z)
    uniform = generator.random(tuple(state.value.shape), dtype=np.float32)
    return hmc.transition(
        target, state, momentum, torch.from_numpy(uniform).to(state.z), size, count
    )


@no_grad
def _settled(
    target, state: hmc.State, generator, options: Completion, acceptance: float
) -> tuple[hmc.State, Tensor]:
    """Step sizes (1, M, 1) by Robbins-Monro steps as in marginal/chains.py, and where the chains
    are then."""
    log, history = np.full(state.z.shape[1], math.log(0.3)), []
    for t in range(SETTLED):
        size = torch.from_numpy(np.exp(log)).to(state.z).view(1, -1, 1)
        state, info = _moved(target, state, size, options.leapfrog, generator)
        log = log + 2 * (t + 1) ** -0.6 * (as_numpy(info.acceptance[0]) - acceptance)
        history.append(log)
    found = np.exp(np.mean(history[SETTLED // 2 :], 0))
    return state, torch.from_numpy(found).to(state.z).view(1, -1, 1)


@no_grad
def _walked(
    target: Whitened, state: hmc.State, size: Tensor, generator, options: Completion
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """From `state` on: z (S, C*N, N_z), log p(seen, z) (S, C*N), mean acceptance and share of
    divergent transitions."""
    path, told = [], np.zeros(2)
    for _ in range(options.draws):
        count = int(generator.integers(1, 2 * options.leapfrog))
        state, info = _moved(target, state, size, count, generator)
        told += info.acceptance.mean().item(), info.divergent.double().mean().item()
        path.append((target.latents(state.z)[0], state.value[0]))
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
    parameters: dict[str, Tensor],
    likelihood: str,
    y: np.ndarray | None = None,
    mended: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Callable[[Tensor], np.ndarray]:
    """E[x | z, seen] (M, D) at z (M, N_z), float64: the decoder's mean where a pixel is not seen.

    Where y (N, B) tells of the pixels beyond z it is `mended(output, y)`, of the decoder's output
    (K, N, outputs * D); then z n, n + N, ... of M = K N belong to image n.
    """

    @no_grad
    def decode(z: Tensor) -> np.ndarray:
        output = as_numpy(nets.decode(z.unsqueeze(0), parameters)[0])
        if y is None:
            return LIKELIHOODS[likelihood].mean(output)
        output = output.reshape(-1, len(y), output.shape[-1])
        return mended(output, y).reshape(len(z), -1)

    return decode
