"""The best diagonal Gaussian of each datapoint, found by natural gradient ascent of its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.errors import UserError
from ...marginal.common import as_numpy, blocks, flat, no_grad, rows_at_once, which
from ...marginal.proposals import DiagonalGaussian
from ...models import densities

FIRST = 0.5  # step size at which the ascent begins; 1 would be that of a quadratic with no slopes
GROWTH = 1.3  # of a step size after a step that is taken; one that is refused halves it
REACH = (1.0, 0.5)  # longest step: of the mean, in standard deviations; of log sigma


class Ascent(NamedTuple):
    """Where the ascent ends, and its way there."""

    best: DiagonalGaussian
    bounds: np.ndarray  # (steps + 1, N), the bound with the noise of the ascent, nats


class _Slope(NamedTuple):
    """The bound at a Gaussian per datapoint, and its derivatives."""

    bound: Tensor  # (N,), float64
    mean: Tensor  # (N, N_z), by the mean
    log_sd: Tensor  # (N, N_z), by log sigma


def balanced(
    generator: np.random.Generator, points: int, draws: int, latent_dim: int, like: Tensor
) -> Tensor:
    """Noise (K, N, N_z) of the ascent: per datapoint in antithetic pairs, decorrelated, so that
    its K = `draws` draws have the mean 0 and the covariance I exactly.

    A quadratic log p(x, z), as that of a linear-Gaussian model, is then integrated exactly. The
    first datapoints have the same noise, whatever their number. Raises UserError for an odd number
    of draws, or for fewer than 2 N_z.
    """
    if draws % 2 or draws < 2 * latent_dim:
        raise UserError(
            f"{draws} draws of the ascent do not balance N_z = {latent_dim}; give an even number, "
            f"at least {2 * latent_dim}"
        )
    half = generator.standard_normal((points, draws // 2, latent_dim))
    root = np.linalg.cholesky(half.transpose(0, 2, 1) @ half / (draws // 2))
    half = np.linalg.solve(root, half.transpose(0, 2, 1)).transpose(2, 0, 1)
    return torch.from_numpy(np.concatenate([half, -half])).to(like)


@no_grad
def best_gaussian(
    joint, start: DiagonalGaussian, noise: Tensor, steps: int, memory_mb: float
) -> Ascent:
    """The Gaussian N(mu, diag sigma^2) with the highest bound for each datapoint, near `start`.

    The bound is that of equation 7 with `noise` (K, N, N_z) of `balanced`, the same at every step:
    E log p(x, mu + sigma eps) plus the Gaussian's entropy. With Fisher information 1 / sigma^2 of
    mu and 2 of log sigma, the natural gradient (Amari 1998) is sigma^2 dL/dmu and dL/dlog sigma
    divided by 2. A step that lowers a datapoint's bound is refused and its step size halved, so
    that no bound ever falls. Raises UserError where the start has no finite bound.
    """
    mean, log_sd = start.mean.clone(), 0.5 * start.log_variance
    now = _slope(joint, mean, log_sd, noise, memory_mb)
    bad = ~np.isfinite(as_numpy(now.bound))
    if bad.any():
        raise UserError(
            f"the bound at the encoder's Gaussian is not finite for {which(bad)}; take another run"
        )
    size, bounds = torch.full_like(mean[:, :1], FIRST), [as_numpy(now.bound)]
    for _ in range(steps):
        sd = log_sd.exp()
        moved = mean + sd * (size * sd * now.mean).clamp(-REACH[0], REACH[0])
        scaled = log_sd + (size * now.log_sd / 2).clamp(-REACH[1], REACH[1])
        new = _slope(joint, moved, scaled, noise, memory_mb)
        taken = new.bound >= now.bound
        row = taken.unsqueeze(1)
        mean, log_sd = torch.where(row, moved, mean), torch.where(row, scaled, log_sd)
        now = _Slope(
            torch.where(taken, new.bound, now.bound),
            torch.where(row, new.mean, now.mean),
            torch.where(row, new.log_sd, now.log_sd),
        )
        size = torch.where(row, (GROWTH * size).clamp(max=1.0), 0.5 * size)
        bounds.append(as_numpy(now.bound))
    return Ascent(DiagonalGaussian(mean, 2 * log_sd), np.stack(bounds))


def _slope(joint, mean: Tensor, log_sd: Tensor, noise: Tensor, memory_mb: float) -> _Slope:
    """The bound and its derivatives, through z = mu + sigma eps (section 2.4)."""
    draws, points, dim = noise.shape
    sd = log_sd.exp()
    value, by_mean, by_log_sd = torch.zeros_like(mean[:, 0]).double(), 0 * mean, 0 * mean
    for block, part in _parts(joint, draws, points, memory_mb):
        eps, own = noise[block], block[1]
        z = mean[own] + sd[own] * eps
        log_joint, gradient = part.value_and_gradient(z.flatten(0, 1).unsqueeze(0))
        gradient = gradient.view_as(eps)
        value[own] += log_joint.view(len(eps), -1).double().sum(0)
        by_mean[own] += gradient.sum(0)
        by_log_sd[own] += (gradient * eps).sum(0) * sd[own]
    entropy = log_sd.double().sum(1) + 0.5 * dim * (1 + log(2 * pi))
    return _Slope(value / draws + entropy, by_mean / draws, by_log_sd / draws + 1)


def _parts(joint, draws: int, points: int, memory_mb: float) -> Iterator[tuple]:
    """Blocks of (draws, datapoints) that fit the memory, and the joint of these datapoints."""
    for block in blocks(draws, points, rows_at_once(joint, memory_mb)):
        yield block, replace(joint, x=joint.x[:, block[1]])


@no_grad
def sampled(joint, q: DiagonalGaussian, noise: Tensor, memory_mb: float) -> np.ndarray:
    """Estimates (K, N) of the bound of `q`, equation 7, one for each draw z = mu + sigma eps with
    `noise` eps (K, N, N_z); nats."""
    draws, points, _ = noise.shape
    z = q.mean + torch.exp(0.5 * q.log_variance) * noise
    log_likelihood = torch.empty_like(z[..., 0])
    for block, part in _parts(joint, draws, points, memory_mb):
        found = part.log_likelihood(flat(z, block))
        log_likelihood[block] = found.view_as(log_likelihood[block])
    return as_numpy(log_likelihood - densities.kl_to_prior(q.mean, q.log_variance))
