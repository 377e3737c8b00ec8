"""What the jobs of the study measure: EM half by half, and the learners against the closed form.

Datapoints are centred, as for PCA; mu and all biases start at 0 and are learned. Random numbers
come from streams linear-data (the data of a seed) and linear (all else).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from ... import results
from ...config.sections import Training
from ...core.run import Job
from ...core.streams import stream
from ...engine.settings import device
from ...learners.mcem import Options
from . import closed, learners, simulate

POINTS_PER_DECADE = 6  # at which learners are compared with the closed form
FIRST = 1e4  # training samples at the first of them


def grid(samples: int) -> list[int]:
    """Training samples at which to compare, from FIRST to `samples`."""
    count = 1 + max(0, round(POINTS_PER_DECADE * np.log10(samples / FIRST)))
    return sorted({int(value) for value in np.geomspace(min(FIRST, samples), samples, count)})


def centred(latent_dim: int, dim: int, n: int, seed: int) -> np.ndarray:
    """The datapoints of a seed, (n, D), without their mean."""
    x = simulate.data(latent_dim, dim, n, seed)[1]
    return x - x.mean(0)


def em_work(jobs: list[Job]) -> None:
    """Follow EM half step by half step on the data of each of `jobs`."""
    for job in jobs:
        started = time.perf_counter()
        rows = [row for seed in job.settings["seeds"] for row in halves(seed, **_of(job))]
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(rows), started))


def _of(job: Job) -> dict:
    """The settings of the data, and of EM."""
    return {name: job.settings[name] for name in ("latent_dim", "dim", "n", "iterations")}


def halves(seed: int, latent_dim: int, dim: int, n: int, iterations: int) -> Iterator[dict]:
    """Rows of EM on the data of a seed: bound, KL and log p(x) after each E and each M step, each
    from its own closed form."""
    data = closed.moments(centred(latent_dim, dim, n, seed), latent_dim, "the simulated data")
    generator = stream("linear", f"d{dim}", latent_dim, seed, algorithm="em")
    model = simulate.em_start(generator, data, latent_dim)
    for number, (q, after) in enumerate(closed.em(model, data, iterations), 1):
        for half, now in (("E", model), ("M", after)):
            log_p, bound = closed.log_likelihood(now, data), closed.bound(now, q, data)
            kl = closed.kl_to_posterior(now, q, data)
            row = {"seed": seed, "iteration": number, "half": half, "log_p": log_p}
            yield {**row, "bound": bound, "kl": kl, "residual": log_p - bound - kl}
        model = after


def learners_work(jobs: list[Job]) -> None:
    """Train the learners on the data of each of `jobs`."""
    for job in jobs:
        started, settings = time.perf_counter(), job.settings
        device("cpu", settings["threads"], tf32=False)
        rows = compared(**{k: v for k, v in settings.items() if k != "threads"})
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(rows), started))


def compared(
    seeds: list[int],
    latent_dim: int,
    dim: int,
    n: int,
    iterations: int,
    samples: int,
    chain_samples: int,
    step_size: float,
    training: dict,
    mcem: dict,
) -> list[dict]:
    """Rows of every way to fit the model: how far below the closed form it is, seed by seed."""
    x = np.stack([centred(latent_dim, dim, n, seed) for seed in seeds])
    data = [closed.moments(part, latent_dim, "the simulated data") for part in x]
    best = [closed.maximum_likelihood(part, latent_dim) for part in data]

    def noise(name: str) -> list[np.random.Generator]:
        return [stream("linear", f"d{dim}", latent_dim, seed, algorithm=name) for seed in seeds]

    def row(k: int, algorithm: str, seen: int, model: closed.Model, q=None) -> dict:
        most = closed.log_likelihood(best[k], data[k])
        diagonal = closed.kl_to_posterior(model, closed.best_diagonal(model), data[k])
        found = {"seed": seeds[k], "algorithm": algorithm, "samples": seen, "best": most}
        found["shortfall"] = most - closed.log_likelihood(model, data[k])
        found["gap"] = np.nan if q is None else closed.kl_to_posterior(model, q, data[k])
        return {
            **found,
            "diagonal_gap": diagonal,
            "uncertainty": closed.uncertainty(dim, latent_dim, n),
        }

    rows = []
    for k, (turned, generator) in enumerate(zip(noise("rotated"), noise("em"), strict=True)):
        rotation = simulate.rotation(turned, latent_dim)
        rows.append(row(k, "closed", 0, best[k]))
        rows.append(row(k, "rotated", 0, closed.rotated(best[k], rotation)))
        start = simulate.em_start(generator, data[k], latent_dim)
        for number, (_, model) in enumerate(closed.em(start, data[k], iterations), 1):
            rows.append(row(k, "em", number * n, model))
    options = Training(**training)
    for name in ("aevb", "wake_sleep", "mcem"):
        replicas = learners.Replicas(torch.from_numpy(x), latent_dim, noise(name))
        if name == "mcem":
            points, own = grid(chain_samples), Options(**mcem)
            states = learners.monte_carlo_em(replicas, options, own, step_size, points)
        else:
            states = learners.online(name, replicas, options, step_size, grid(samples))
        for seen, state in states:
            for k in range(len(seeds)):
                model, q = learners.found(state, k)
                rows.append(row(k, name, seen, model, None if name == "mcem" else q))
    return rows
