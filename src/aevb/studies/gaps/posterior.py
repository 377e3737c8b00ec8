"""Exact posteriors of two latent variables on a grid, beside both Gaussians."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pandas as pd
import torch

from ... import results
from ...core.run import Job
from ...marginal.common import as_numpy, shared_log_likelihood
from ...marginal.modes import COARSE, EXTENT
from ...marginal.options import Evidence
from ...marginal.proposals import DiagonalGaussian, from_encoder
from ...marginal.quadrature import truth
from ...models import densities
from ...models.joint import Joint
from . import Gaps
from .columns import POSTERIOR
from .work import climbed, loaded, noise_of

NODES = 72  # of the grid, along each axis
DEPTH = 6.0  # nats below its highest node where the exact posterior leaves the picture
SPREAD = 2.6  # standard deviations of a Gaussian that are in the picture


def work(jobs: list[Job]) -> None:
    """The posteriors of the first test points for the models of `jobs`, columns POSTERIOR."""
    for job in jobs:
        for joint, found, output, options, sampling in loaded(job):
            started, where, frames = time.perf_counter(), None, []
            if joint is not None:
                where = joint.x.device
                joint = Joint(joint.parameters, joint.x[:, : options.images], joint.likelihood)
                frames = list(grids(joint, noise_of(found), options, sampling))
            rows = pd.concat(frames) if frames else pd.DataFrame(columns=list(POSTERIOR))
            table = results.measured(job, rows[list(POSTERIOR)], started, where)
            results.write_table(output, table)


def grids(joint: Joint, noise, options: Gaps, sampling: Evidence) -> Iterator[pd.DataFrame]:
    """A frame per datapoint: log densities at the nodes of a square grid around all that counts."""
    own = from_encoder(joint.parameters, joint.x)
    best, _ = climbed(joint, own, noise, options, sampling)
    exact = truth(joint, torch.stack([own.mean, best.mean]), memory_mb=sampling.memory_mb)
    if exact is None:
        return
    axis = torch.arange(-EXTENT, EXTENT, COARSE[2]).to(joint.x)
    coarse = torch.cartesian_prod(axis, axis)
    high = log_joint(joint, coarse, sampling.memory_mb)
    for point in range(joint.x.shape[1]):
        seen = [coarse[high[point] > high[point].max() - DEPTH]]
        for q in (own, best):
            reach = SPREAD * torch.exp(0.5 * q.log_variance[point])
            seen += [(q.mean[point] - reach)[None], (q.mean[point] + reach)[None]]
        z = grid(torch.cat(seen))
        part = Joint(joint.parameters, joint.x[:, point : point + 1], joint.likelihood)
        gaussians = {
            name: as_numpy(DiagonalGaussian(q.mean[point], q.log_variance[point]).log_density(z))
            for name, q in (("encoder", own), ("best", best))
        }
        place = {"point": point, "z_1": as_numpy(z[:, 0]), "z_2": as_numpy(z[:, 1])}
        density = as_numpy(log_joint(part, z, sampling.memory_mb)[0]) - exact.value[point]
        yield pd.DataFrame({**place, "exact": density, **gaussians})


def log_joint(joint: Joint, z: torch.Tensor, memory_mb: float) -> torch.Tensor:
    """log p(x, z) of every datapoint at every z (G, N_z): (N, G), nats."""
    return shared_log_likelihood(joint, z, memory_mb) + densities.log_prior(z)


def grid(seen: torch.Tensor) -> torch.Tensor:
    """Nodes (G, 2) of a square that holds all of `seen` (M, 2)."""
    low, high = seen.min(0).values, seen.max(0).values
    centre, half = (low + high) / 2, (high - low).max() / 2
    axis = torch.linspace(-1, 1, NODES).to(seen) * half
    return torch.cartesian_prod(axis + centre[0], axis + centre[1])
