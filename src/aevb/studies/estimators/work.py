"""Bias and spread of the estimators of log p(x) on trained models.

The models are fixed, so a change here retrains nothing. Random numbers come from the stream
estimators. The project's estimators share one generator per replicate; an estimator of a plug-in
has a stream of its own.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch

from ... import results
from ...config.sections import Experiment
from ...core.errors import UserError
from ...core.progress import Progress
from ...core.provenance import fingerprint
from ...core.run import Job, Run
from ...core.streams import stream
from ...data import Data, load
from ...engine.settings import device
from ...marginal import ESTIMATORS, Task
from ...marginal.annealed import annealed
from ...marginal.chains import START_DRAWS, posterior_samples, prior_start
from ...marginal.common import Estimate
from ...marginal.importance import importance
from ...marginal.modes import COARSE
from ...marginal.options import Evidence
from ...marginal.proposals import from_encoder, from_samples
from ...marginal.provenance import attributes
from ...marginal.quadrature import truth
from ...models import nets
from ...models.joint import Joint
from ...models.likelihoods import LIKELIHOODS
from . import COLUMNS, EstimatorStudy, code

BOUND_DRAWS = 20_000  # importance samples of the reference where there is no quadrature
BOUND_CHAIN = 500  # HMC samples to which their proposal is fitted
BOUND_TEMPERATURES = 1000  # of its annealed rival, with BOUND_CHAINS chains
BOUND_CHAINS = 4


def work(jobs: list[Job]) -> None:
    """Grade the estimators on the models of `jobs`."""
    for job in jobs:
        settings = dict(job.settings)
        loaded = load(job.inputs["data"][0], Experiment(**settings.pop("experiment")))
        options = EstimatorStudy(**settings.pop("estimators"))
        sampling = Evidence(**settings.pop("evidence"))
        for run, path in zip(job.inputs["runs"], job.outputs, strict=True):
            results.write_table(path, study(run, loaded, options, sampling, **settings))


def study(
    path: str,
    data: Data,
    options: EstimatorStudy,
    sampling: Evidence,
    where: str,
    threads: int,
) -> results.Table:
    """Bias and spread of the estimators on the model of the run file `path`, columns COLUMNS.

    They are graded on test points, and on as many points that the model itself generated. For the
    latter, annealed importance sampling also runs backward from an exact posterior sample, and
    gives an upper bound on average. No rows if the run diverged.
    """
    started, chosen = time.perf_counter(), device(where, threads, tf32=False)
    settings = {"estimators": options.model_dump(), "evidence": sampling.model_dump()}
    result = results.read_run(path)
    run, rows = result.run, []
    if result.status == "diverged":
        print(
            f"{path} diverged ({result.reason}): there is no model to grade estimators on",
            file=sys.stderr,
        )
    else:
        parameters = nets.stored(result.weights, chosen)
        x = data.test[: options.datapoints].to(chosen).unsqueeze(0)
        test = Joint(parameters, x, result.likelihood)
        progress = Progress(f"estimators on {run.name}", 2 * (options.replicates + 1))
        rows += _graded(test, "test", run, options, sampling, progress)
        rows += _graded(test, "simulated", run, options, sampling, progress)
    made_by = fingerprint(code(result.likelihood))
    return results.Table(
        pd.DataFrame(rows, columns=list(COLUMNS)), attributes(settings, chosen, started, made_by)
    )


def _graded(
    test: Joint,
    kind: str,
    run: Run,
    options: EstimatorStudy,
    sampling: Evidence,
    progress: Progress,
) -> list[dict]:
    """Rows of COLUMNS on the datapoints of `kind`: test, or simulated by the model."""

    name = {"latent_dim": run.latent_dim, "data": kind}
    generator = _noise(run, kind, 0)
    joint, exact = (test, None) if kind == "test" else _simulated(test, generator)
    reference, best = _reference(joint, generator, sampling, progress)
    progress()
    errors: dict[tuple[str, int], list[np.ndarray]] = {}
    seconds: dict[tuple[str, int], list[float]] = {}
    for replicate in range(1, options.replicates + 1):
        noise = functools.partial(_noise, run, kind, replicate)
        for key, draws, estimate, spent in _estimates(
            joint, exact, noise, options, sampling, progress
        ):
            errors.setdefault((key, draws), []).append(estimate.value - best.value)
            seconds.setdefault((key, draws), []).append(spent / len(estimate.value))
        progress()
    value, error = best.mean()
    return [
        {
            **name,
            "reference": reference,
            "reference_value": value,
            "reference_se": error,
            "estimator": key,
            "samples": draws,
            "seconds": np.mean(seconds[key, draws]),
            **_bias_and_spread(np.stack(stacked), error, ESTIMATORS[key].needs_exact),
        }
        for (key, draws), stacked in errors.items()
    ]


def _noise(run: Run, kind: str, replicate: int, own: str = "") -> np.random.Generator:
    """The generator of one replicate, which the project's estimators share; with `own`, another."""
    name = (run.experiment, run.latent_dim, run.seed)
    return stream("estimators", *name, algorithm=kind + own, block=replicate)


def _simulated(joint: Joint, generator: np.random.Generator) -> tuple[Joint, torch.Tensor]:
    """As many datapoints as `joint` has, drawn from its model, and the latents (N, N_z) that made
    them: exact posterior samples."""
    likelihood, shape = LIKELIHOODS[joint.likelihood], (joint.x.shape[1], joint.latent_dim)
    z = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(joint.x)
    decoded = nets.decode(z.unsqueeze(0), joint.parameters)
    noise = torch.from_numpy(likelihood.noise(generator, joint.x.shape)).to(decoded)
    x = likelihood.sample(decoded, noise)
    return Joint(joint.parameters, x, joint.likelihood), z


def _reference(
    joint: Joint,
    generator: np.random.Generator,
    options: Evidence,
    progress: Progress,
) -> tuple[str, Estimate]:
    """The truth, or the tightest of two stochastic lower bounds."""
    memory = {"memory_mb": options.memory_mb}
    encoder = from_encoder(joint.parameters, joint.x)
    if (found := truth(joint, encoder.sample(generator, 4), **memory)) is not None:
        return "quadrature", found
    memory["progress"] = progress.part
    start = encoder.sample(generator, 1)[0]
    tuning = (options.leapfrog, options.acceptance)
    samples = posterior_samples(
        joint, start, generator, BOUND_CHAIN, BOUND_CHAIN, *tuning, **memory
    )
    bounds = {
        f"importance, {BOUND_DRAWS} samples": importance(
            joint, from_samples(samples), generator, BOUND_DRAWS, **memory
        ),
        f"ais, {BOUND_TEMPERATURES} temperatures": annealed(
            joint, generator, BOUND_TEMPERATURES, BOUND_CHAINS, *tuning, **memory
        ),
    }
    return max(bounds.items(), key=lambda item: item[1].value.mean())


def _estimates(
    joint: Joint,
    exact: torch.Tensor | None,
    noise: Callable[..., np.random.Generator],
    options: EstimatorStudy,
    sampling: Evidence,
    progress: Progress,
) -> Iterator[tuple[str, int, Estimate, float]]:
    """(key, samples, Estimate, seconds) of every estimator at every number of samples.

    The `noise` is that of one replicate. `exact` are exact posterior samples, or None. A chain is
    as long as the largest number. Shorter ones are its beginning, as they would be had it been
    stopped there. Raises UserError if an estimator does not give one value per datapoint.
    """
    shared, longest = noise(), max(options.draws)
    proposal = from_encoder(joint.parameters, joint.x)
    started = time.perf_counter()
    if joint.latent_dim in COARSE:
        start = prior_start(joint, shared, START_DRAWS, sampling.memory_mb)
    else:  # in more dimensions hardly one draw of the prior comes near
        start = proposal.sample(shared, 1)[0]
    to_start, started = time.perf_counter() - started, time.perf_counter()
    tuning = (sampling.warmup, sampling.leapfrog, sampling.acceptance, sampling.memory_mb)
    samples = posterior_samples(joint, start, shared, longest, *tuning, progress.part)
    per_draw = (time.perf_counter() - started) / (longest + sampling.warmup)
    for draws in options.draws:
        part = samples._replace(z=samples.z[:draws], log_joint=samples.log_joint[:draws])
        chain = to_start + per_draw * (draws + sampling.warmup)
        for key, estimator in ESTIMATORS.items():
            if estimator.needs_exact and exact is None:
                continue
            task = Task(
                joint=joint,
                draws=draws,
                generator=shared if estimator.shares_noise else noise(f"/{key}/{draws}"),
                proposal=proposal,
                leapfrog=sampling.leapfrog,
                acceptance=sampling.acceptance,
                memory_mb=sampling.memory_mb,
                progress=progress.part,
                samples=part if estimator.needs_chain else None,
                exact=exact if estimator.needs_exact else None,
            )
            started = time.perf_counter()
            estimate = estimator.estimate(task)
            spent = time.perf_counter() - started
            if np.shape(estimate.value) != (joint.x.shape[1],):
                raise UserError(
                    f"the estimator '{key}' gives values of shape {np.shape(estimate.value)} for "
                    f"{joint.x.shape[1]} datapoints; it must give one per datapoint"
                )
            yield key, draws, estimate, spent + chain if estimator.needs_chain else spent


def _bias_and_spread(errors: np.ndarray, reference_se: float, same_start: bool) -> dict[str, float]:
    """The columns bias, bias_se and spread of estimates minus reference, (replicates, N), in nats.

    Replicates from the `same_start` share the noise of that draw, so there the datapoints give the
    standard error.
    """
    means = errors.mean(0) if same_start else errors.mean(1)
    own = means.std(ddof=1) / np.sqrt(len(means))
    return {
        "bias": errors.mean(),
        "bias_se": np.hypot(own, reference_se),
        "spread": np.sqrt(errors.var(0, ddof=1).mean()),
    }
