"""The estimators of log p(x) against its exact value, for as many N_z as quadrature cannot reach.

The model is the one that made the data, so that exact posterior samples are known as well. The
encoder is the best of diagonal covariance, for latent variables that are rotated at random.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from ... import results
from ...core.run import Job
from ...core.streams import stream
from ...engine.settings import device
from ...marginal import ESTIMATORS, Task
from ...marginal.chains import posterior_samples
from ...marginal.options import Evidence
from ...marginal.proposals import DiagonalGaussian
from . import closed, simulate
from .joint import joint_of


def grading_work(jobs: list[Job]) -> None:
    """Grade every estimator on the model of each of `jobs`."""
    for job in jobs:
        started, settings = time.perf_counter(), dict(job.settings)
        device("cpu", settings.pop("threads"), tf32=False)
        sampling = Evidence(**settings.pop("evidence"))
        frame = pd.DataFrame(graded(sampling=sampling, **settings))
        results.write_table(job.outputs[0], results.measured(job, frame, started))


def second_moment(model: closed.Model) -> float:
    """E_q[w^2] / E_q[w]^2 of the weights w = p(z|x) / q(z|x), q the best encoder of diagonal
    covariance; infinite where they have no variance.

    With the precisions P of the posterior and D of q, both with the same mean, it is the Gaussian
    integral |P| / sqrt(|D| |2 P - D|), if 2 P - D is positive definite.
    """
    precision = closed.precision(model)
    diagonal = np.diag(np.diag(precision))
    rest = 2 * precision - diagonal
    if np.linalg.eigvalsh(rest)[0] <= 0:
        return np.inf
    log_dets = [np.linalg.slogdet(part)[1] for part in (precision, diagonal, rest)]
    return float(np.exp(log_dets[0] - 0.5 * (log_dets[1] + log_dets[2])))


def encoder(model: closed.Model, x: np.ndarray) -> DiagonalGaussian:
    """The best encoder of diagonal covariance at x (N, D), as a proposal."""
    q = closed.best_diagonal(model)
    mean = torch.from_numpy(x @ q.a + q.b)
    return DiagonalGaussian(mean, torch.from_numpy(np.log(np.diag(q.covariance))).expand_as(mean))


def exact_samples(model: closed.Model, x: np.ndarray, generator: np.random.Generator):
    """One sample of p(z|x) for each of x (N, D): (N, N_z)."""
    q = closed.posterior(model)
    noise = generator.standard_normal((len(x), len(q.b)))
    return torch.from_numpy(x @ q.a + q.b + noise @ np.linalg.cholesky(q.covariance).T)


def graded(
    latent_dim: int,
    dim: int,
    datapoints: int,
    replicates: int,
    draws: list[int],
    seed: int,
    sampling: Evidence,
) -> list[dict]:
    """Rows of every estimator and number of samples: bias and spread of log p(x) against the exact
    value, over independent replicates on the same datapoints."""
    model, x, _ = simulate.data(latent_dim, dim, datapoints, seed)
    exact = closed.log_density(model, x)
    errors: dict[tuple[str, int], list[np.ndarray]] = {}
    for replicate in range(replicates):
        for key, number, value in _estimates(model, x, draws, seed, replicate, sampling):
            errors.setdefault((key, number), []).append(value - exact)
    rows = []
    for (key, number), found in errors.items():
        means = np.mean(found, 1)
        rows.append(
            {
                "latent_dim": latent_dim,
                "estimator": key,
                "samples": number,
                "bias": means.mean(),
                "bias_se": means.std(ddof=1) / np.sqrt(replicates),
                "spread": np.sqrt(np.var(found, 0, ddof=1).mean()),
                "exact": exact.mean(),
                "second_moment": second_moment(model) if key == "importance" else np.nan,
            }
        )
    return rows


def _estimates(
    model: closed.Model,
    x: np.ndarray,
    draws: list[int],
    seed: int,
    replicate: int,
    sampling: Evidence,
) -> Iterator[tuple[str, int, np.ndarray]]:
    """(key, samples, values (N,)) of one replicate. Each estimator has noise of its own; a shorter
    chain is the beginning of the longest."""
    joint, proposal = joint_of(model, x), encoder(model, x)

    def noise(what: str) -> np.random.Generator:
        name = (f"d{x.shape[1]}", model.w.shape[1], seed)
        return stream("linear", *name, algorithm=f"grade/{what}", block=replicate)

    generator = noise("chain")
    start = proposal.sample(generator, 1)[0]
    tuning = (sampling.warmup, sampling.leapfrog, sampling.acceptance, sampling.memory_mb)
    chain = posterior_samples(joint, start, generator, max(draws), *tuning)
    for number in draws:
        part = chain._replace(z=chain.z[:number], log_joint=chain.log_joint[:number])
        for key, estimator in ESTIMATORS.items():
            own = noise(f"{key}/{number}")
            task = Task(
                joint=joint,
                draws=number,
                generator=own,
                proposal=proposal,
                leapfrog=sampling.leapfrog,
                acceptance=sampling.acceptance,
                memory_mb=sampling.memory_mb,
                progress=lambda done, total: None,
                samples=part if estimator.needs_chain else None,
                exact=exact_samples(model, x, own) if estimator.needs_exact else None,
            )
            yield key, number, estimator.estimate(task).value
