"""Which latent directions collapse, for a range of sigma^2 (Lucas et al. 2019, section 4).

With sigma^2 fixed, a direction is of use where its eigenvalue exceeds sigma^2, whatever the
algorithm. EM has the exact posterior and no bound to blame.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch

from ... import results
from ...config.sections import Experiment, Training
from ...core.run import Job
from ...core.streams import stream
from ...data import load
from ...engine.settings import device
from . import closed, learners, simulate, work

BEYOND = 1.5  # by this factor the range of sigma^2 goes beyond the eigenvalues of N_z directions
ITERATIONS = 2000  # of EM


def collapse_work(jobs: list[Job]) -> None:
    """Count active directions on the data of each of `jobs`, simulated or of an experiment."""
    for job in jobs:
        started, settings = time.perf_counter(), dict(job.settings)
        device("cpu", settings.pop("threads"), tf32=False)
        seeds, latent_dim = settings["seeds"], settings["latent_dim"]
        if "experiment" in settings:
            experiment = Experiment(**settings.pop("experiment"))
            train = load(job.inputs["data"][0], experiment).train.double().numpy()
            closed.moments(train, latent_dim, f"the data set '{experiment.dataset}'")  # or says why
            x = np.stack([train - train.mean(0)] * len(seeds))
        else:
            dim, n = settings.pop("dim"), settings.pop("n")
            x = np.stack([work.centred(latent_dim, dim, n, seed) for seed in seeds])
        rows = counted(x, job.name, **settings)
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(rows), started))


def variances(data: closed.Moments, latent_dim: int, points: int) -> np.ndarray:
    """sigma^2 in equal steps of its logarithm, (points,), from below the eigenvalue N_z to above
    the first."""
    values = np.linalg.eigvalsh(data.covariance)[::-1]
    return np.geomspace(values[latent_dim - 1] / BEYOND, values[0] * BEYOND, points)


def counted(
    x: np.ndarray,
    name: str,
    seeds: list[int],
    latent_dim: int,
    points: int,
    samples: int,
    step_size: float,
    training: dict,
) -> list[dict]:
    """Rows of every seed and sigma^2: active directions in theory, by EM and by AEVB, on centred x
    (seeds, n, D). All replicas of AEVB are trained side by side."""
    data = [closed.moments(part, latent_dim, name) for part in x]
    sizes = variances(data[0], latent_dim, points)
    cells = [(k, j) for k in range(len(seeds)) for j in range(points)]

    def noise(k: int, j: int, algorithm: str) -> np.random.Generator:
        return stream("linear", name, latent_dim, seeds[k], algorithm=algorithm, block=j)

    replicas = learners.Replicas(
        torch.from_numpy(x)[[k for k, _ in cells]],
        latent_dim,
        [noise(k, j, "collapse-aevb") for k, j in cells],
        sizes[[j for _, j in cells]],
    )
    *_, (_, state) = learners.online("aevb", replicas, Training(**training), step_size, [samples])
    rows = []
    for place, (k, j) in enumerate(cells):
        variance, generator = float(sizes[j]), noise(k, j, "collapse-em")
        best = closed.maximum_likelihood(data[k], latent_dim, variance)
        start = simulate.em_start(generator, data[k], latent_dim, variance)
        *_, (_, exact) = closed.em(start, data[k], ITERATIONS, variance)
        learned, q = learners.found(state, place)
        most = closed.log_likelihood(best, data[k])
        rows.append(
            {
                "seed": seeds[k],
                "variance": variance,
                "theory": closed.active_in_theory(data[k], latent_dim, variance),
                "em": closed.active(closed.posterior(exact), data[k]),
                "aevb": closed.active(q, data[k]),
                "em_shortfall": most - closed.log_likelihood(exact, data[k]),
                "aevb_shortfall": most - closed.log_likelihood(learned, data[k]),
            }
        )
    return rows
