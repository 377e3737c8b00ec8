"""What the jobs of the study measure: both gaps of each datapoint, and posteriors on a grid.

Random numbers come from the stream gaps. Models of both algorithms share them, so that their
differences are paired.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from ... import results
from ...config.sections import Experiment
from ...core.run import Job
from ...core.streams import stream
from ...data import load
from ...engine.settings import device
from ...marginal.chains import prior_start
from ...marginal.common import Estimate
from ...marginal.options import Evidence
from ...marginal.proposals import DiagonalGaussian, from_encoder
from ...marginal.quadrature import truth
from ...models import nets
from ...models.joint import Joint
from . import Gaps
from .columns import GAPS, QUARTERS
from .evidence import above, below, simulated
from .gaussian import balanced, best_gaussian, sampled

CHAINS = 2  # of annealed importance sampling
STARTS = 1000  # draws of the prior, one of which is the second start of the ascent


def loaded(job: Job) -> Iterator[tuple[Joint, results.RunResult, str, Gaps, Evidence]]:
    """The models of `job` with the test points that it measures, and where its tables go.

    One that diverged is told of and has no joint.
    """
    settings = job.settings
    options, sampling = Gaps(**settings["gaps"]), Evidence(**settings["evidence"])
    chosen = device(settings["where"], settings["threads"], tf32=False)
    data = load(job.inputs["data"][0], Experiment(**settings["experiment"]))
    x = data.test[: options.datapoints].to(chosen).unsqueeze(0)
    for path, output in zip(job.inputs["runs"], job.outputs, strict=True):
        found = results.read_run(path)
        if found.status == "diverged":
            print(f"{path} diverged ({found.reason}): it has no gaps", file=sys.stderr)
            yield None, found, output, options, sampling
        else:
            parameters = nets.stored(found.weights, chosen)
            yield Joint(parameters, x, found.likelihood), found, output, options, sampling


def work(jobs: list[Job]) -> None:
    """Measure the gaps of the models of `jobs`, columns GAPS; no rows where one diverged."""
    for job in jobs:
        for joint, found, output, options, sampling in loaded(job):
            started, rows = time.perf_counter(), []
            if joint is not None:
                rows = measured(joint, noise_of(found), options, sampling)
            frame = pd.DataFrame(rows, columns=list(GAPS))
            results.write_table(output, results.measured(job, frame, started, _where(joint)))


def _where(joint: Joint | None) -> torch.device | None:
    return None if joint is None else joint.x.device


def noise_of(found: results.RunResult):
    """The generators of a model's measurements by name, the same for every algorithm."""
    run = found.run

    def noise(name: str) -> np.random.Generator:
        return stream("gaps", run.experiment, run.latent_dim, run.seed, algorithm=name)

    return noise


def measured(joint: Joint, noise, options: Gaps, sampling: Evidence) -> list[dict]:
    """Rows of the test points, and where log p(x) is but bounded, of as many simulated ones."""
    own = from_encoder(joint.parameters, joint.x)
    best, columns = climbed(joint, own, noise, options, sampling)
    fresh = torch.from_numpy(
        noise("evaluate").standard_normal(
            (options.evaluation_draws, *own.mean.shape), dtype=np.float32
        )
    ).to(own.mean)
    columns |= compared(joint, own, best, fresh, sampling)
    hints = torch.stack([own.mean, best.mean])
    exact = truth(joint, hints, memory_mb=sampling.memory_mb)
    path = (options.temperatures, CHAINS, sampling)
    low = below(joint, best, noise("anneal"), *path)
    columns["annealed"] = low.value
    rows = _rows("test", exact or low, "quadrature" if exact else "annealed", columns)
    return rows if exact else rows + sandwich(joint, noise, options, sampling)


def sandwich(joint: Joint, noise, options: Gaps, sampling: Evidence) -> list[dict]:
    """Rows of simulated points: log p(x) from below and from above."""
    other, z = simulated(joint, noise("simulate"))
    start = from_encoder(other.parameters, other.x)
    best, _ = climbed(other, start, noise, options, sampling)
    path = (options.temperatures, CHAINS, sampling)
    low = below(other, best, noise("anneal-simulated"), *path)
    high = above(other, best, z, noise("anneal-backward"), *path)
    upper = {"annealed": low.value, "upper": high.value, "upper_se": high.standard_error}
    return _rows("simulated", low, "annealed", upper)


def _rows(data: str, log_p: Estimate, method: str, columns: dict[str, np.ndarray]) -> list[dict]:
    estimate = {"log_p": log_p.value, "log_p_se": log_p.standard_error, **columns}
    frame = pd.DataFrame({"point": np.arange(len(log_p.value)), **estimate})
    return frame.assign(data=data, method=method).to_dict("records")


def climbed(
    joint: Joint, own: DiagonalGaussian, noise, options: Gaps, sampling: Evidence
) -> tuple[DiagonalGaussian, dict[str, np.ndarray]]:
    """The best Gaussian of each datapoint, and the columns on its ascent.

    The ascent starts at the encoder's Gaussian `own`, and a second time at a draw of the prior near
    the posterior (marginal.chains.prior_start), with the encoder's variance: an encoder may sit in
    a mode that is not the highest. The higher end counts.
    """
    memory = sampling.memory_mb
    shape = (joint.x.shape[1], options.draws, joint.latent_dim)
    eps = balanced(noise("ascent"), *shape, own.mean)
    prior = prior_start(joint, noise("start"), STARTS, memory)
    first, second = (
        best_gaussian(joint, start, eps, options.steps, memory)
        for start in (own, DiagonalGaussian(prior, own.log_variance))
    )
    more = second.bounds[-1] - first.bounds[-1]
    row = torch.from_numpy(more > 0).to(own.mean.device).unsqueeze(1)
    pairs = zip(
        (second.best.mean, second.best.log_variance),
        (first.best.mean, first.best.log_variance),
        strict=True,
    )
    best = DiagonalGaussian(*(torch.where(row, a, b) for a, b in pairs))
    columns = {"climbed": np.maximum(first.bounds[-1], second.bounds[-1]), "other": np.abs(more)}
    for part in QUARTERS:
        at = options.steps * part // 100
        columns[f"left_{part}"] = first.bounds[-1] - first.bounds[at]
    return best, columns


def compared(
    joint: Joint,
    own: DiagonalGaussian,
    best: DiagonalGaussian,
    fresh: torch.Tensor,
    sampling: Evidence,
) -> dict[str, np.ndarray]:
    """Bounds of the encoder's and of the best Gaussian with the same noise `fresh` (K, N, N_z)."""
    draws = [sampled(joint, q, fresh, sampling.memory_mb) for q in (own, best)]
    columns = {}
    for name, values in zip(("encoder", "best"), draws, strict=True):
        columns[name] = values.mean(0)
        columns[f"{name}_se"] = _error(values)
    return {**columns, "amortisation_se": _error(draws[1] - draws[0])}


def _error(values: np.ndarray) -> np.ndarray:
    """Standard errors (N,) of the means of values (K, N)."""
    return values.std(0, ddof=1) / len(values) ** 0.5
