"""What Figure 3 and the estimator study measure: the estimators of evidence.py applied to trained
models.

Log p(x) is estimated on fixed models, so a change here retrains nothing. Random numbers come from
the streams evidence-train, evidence-test and estimators, which do not depend on the algorithm:
models of one seed are estimated with the same noise at equal counts of samples.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata

import numpy as np
import pandas as pd
import torch

from .. import config as configuration
from .. import results
from ..config import Run
from ..core import provenance
from ..core.errors import UserError
from ..core.streams import stream
from ..core.words import duration
from ..data import Data
from ..engine.training import PROGRESS_SECONDS, device
from ..marginal import evidence
from ..marginal.evidence import Estimate
from ..models import nets
from ..models.joint import Joint

# from the prior, among which a chain finds its start: the encoder's mean may lie in a minor mode
START_DRAWS = 10_000
BOUND_DRAWS = 20_000  # importance samples of the reference where there is no quadrature
BOUND_CHAIN = 500  # HMC samples to which their proposal is fitted
BOUND_TEMPERATURES = 1000  # of its annealed rival, with BOUND_CHAINS chains
BOUND_CHAINS = 4
CHAINS = 2  # of annealed importance sampling in the study
LATTICE_DIMS = 3  # up to which quadrature and the search for modes work
QUADRATURE_ERROR = (
    0.01  # nats, and share of the mass cut off: for any datapoint more, and quadrature is no truth
)
KHAT_LIMIT = 0.7  # Vehtari et al. 2024


class _Progress:
    """Lines on stderr, at most one in PROGRESS_SECONDS: share done and time left."""

    def __init__(self, name: str, total: int):
        self.name, self.total, self.done = name, total, 0
        self.start = self.last = time.monotonic()

    def __call__(self) -> None:
        """One of `total` is done."""
        self.done += 1
        self._say(self.done)

    def part(self, done: int, total: int) -> None:
        """So much of the one at work is done: for the estimators of evidence.py."""
        self._say(self.done + done / total)

    def _say(self, done: float) -> None:
        now = time.monotonic()
        if now - self.last > PROGRESS_SECONDS and done < self.total:
            self.last = now
            left = (now - self.start) * (self.total - done) / done
            print(
                f"{self.name}: {done:.2f} of {self.total} ({done / self.total:.0%}), "
                f"{duration(left)} left",
                file=sys.stderr,
                flush=True,
            )


def _attributes(options: dict, where: torch.device, started: float) -> dict:
    attributes = provenance.attributes(where, provenance.ESTIMATING)
    more = {name: metadata.version(name) for name in ("arviz-stats", "scipy")}
    attributes["versions"] = json.dumps(json.loads(attributes["versions"]) | more)
    return {"config": json.dumps(options), "seconds": time.perf_counter() - started, **attributes}


def _quadrature(joint: Joint, hints: torch.Tensor, memory: dict) -> Estimate | None:
    """The truth, or None where it cannot be had: too many dimensions, or (said on stderr) no
    convergence."""
    if joint.latent_dim > LATTICE_DIMS:
        return None
    truth = evidence.quadrature(joint, hints, **memory)
    off = {name: truth.diagnostics[name].max() for name in ("discretisation", "truncation")}
    if max(off.values()) > QUADRATURE_ERROR:
        found = ", ".join(f"{name} {value:.2g}" for name, value in off.items())
        print(
            f"quadrature did not converge ({found} for some datapoint), so it is left out",
            file=sys.stderr,
        )
        return None
    return truth


def _mean(estimate: Estimate) -> tuple[float, float]:
    """Mean over datapoints and its Monte Carlo standard error."""
    return float(estimate.value.mean()), float(
        np.sqrt((estimate.standard_error**2).sum()) / len(estimate.value)
    )


def figure3(
    path: str, data: Data, options: configuration.Evidence, where: str, threads: int
) -> results.Table:
    """Log p(x) of the run file `path` at each of its snapshots, columns results.EVIDENCE; no rows
    if it diverged.

    Every algorithm is treated alike, encoder or not: chains start from draws of the prior resampled
    by p(x|z), HMC gives the samples of appendix D; the proposal of importance sampling is a mixture
    of a t distribution fitted to the same samples and of others around the posterior's modes. Where
    an estimator gives up, the reason goes to stderr and the row holds no numbers. Raises UserError
    if the run kept no snapshots.
    """
    started, chosen = time.perf_counter(), device(where, threads, tf32=False)
    run = results.read_run(path)
    name = Run(run.experiment, run.algorithm, run.latent_dim, run.seed).name
    if run.status == "diverged":
        print(f"{name} diverged ({run.reason}): log p(x) is not estimated", file=sys.stderr)
        return results.Table(
            pd.DataFrame(columns=list(results.EVIDENCE)),
            _attributes(options.model_dump(), chosen, started),
        )
    if run.snapshots is None:
        raise UserError(f"{path} holds no snapshots; delete it and run again")
    layout = nets.Layout(data.train.shape[1], run.hidden, run.latent_dim, run.likelihood)
    progress = _Progress(f"log p(x) of {name}", 2 * len(run.curve))
    rows = []
    for k, point in enumerate(run.curve.itertuples()):
        last = k == len(run.curve) - 1
        for split in results.SPLITS:
            x = getattr(data, split)[: options.datapoints].to(chosen)
            joint = Joint(
                layout.view(torch.from_numpy(run.snapshots[k : k + 1]).to(chosen)),
                x.unsqueeze(0),
                run.likelihood,
            )
            generator = stream(
                f"evidence-{split}",
                run.experiment,
                run.latent_dim,
                run.seed,
                block=int(point.samples),
            )
            row = dict.fromkeys(results.EVIDENCE, np.nan) | {
                "samples": point.samples,
                "seconds": point.seconds,
                "split": split,
            }
            try:
                row |= _estimate(joint, generator, options, last)
            # of one snapshot: the others, and all that took days to train, are not lost for it
            except UserError as error:
                print(
                    f"{name}, {split}, {point.samples:,.0f} samples: no estimate: {error}",
                    file=sys.stderr,
                )
            rows.append(row)
            progress()
    return results.Table(
        pd.DataFrame(rows, columns=list(results.EVIDENCE)),
        _attributes(options.model_dump(), chosen, started),
    )


def _estimate(
    joint: Joint, generator: np.random.Generator, options: configuration.Evidence, check: bool
) -> dict[str, float]:
    memory = {"memory_mb": options.memory_mb}
    start = evidence.prior_start(joint, generator, START_DRAWS, **memory)
    samples = evidence.posterior_samples(
        joint,
        start,
        generator,
        options.draws,
        options.warmup,
        options.leapfrog,
        options.acceptance,
        **memory,
    )
    hmc = evidence.reciprocal(samples, **memory)
    proposal = evidence.from_samples(samples)
    if joint.latent_dim <= LATTICE_DIMS:
        proposal = proposal | evidence.from_modes(joint, **memory)
    importance = evidence.importance(joint, proposal, generator, options.importance_draws, **memory)
    truth = _quadrature(joint, samples.z, memory) if check else None
    (value, error), (hmc_value, hmc_error) = _mean(importance), _mean(hmc)
    return {
        **{"importance": value, "importance_se": error, "hmc": hmc_value, "hmc_se": hmc_error},
        "quadrature": np.nan if truth is None else _mean(truth)[0],
        "quadrature_error": np.nan
        if truth is None
        else float(truth.diagnostics["discretisation"].max()),
        "efficiency": float(np.median(importance.diagnostics["ess"]) / options.importance_draws),
        "khat_bad": float((importance.diagnostics["k_hat"] > KHAT_LIMIT).mean()),
        "divergences": float(samples.info["divergences"].sum()),
        "acceptance": float(hmc.diagnostics["acceptance"].mean()),
        "rhat": float(np.quantile(hmc.diagnostics["rhat"], 0.95)),
        "chain_ess": float(np.median(hmc.diagnostics["ess"])),
    }


def _simulated(joint: Joint, generator: np.random.Generator) -> tuple[Joint, torch.Tensor]:
    """As many datapoints as `joint` has, drawn from its model, and the latents that made them:
    exact posterior samples."""
    shape = (joint.x.shape[1], joint.latent_dim)
    z = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(joint.x)
    decoded = nets.decode(z.unsqueeze(0), joint.parameters)
    if joint.likelihood == "bernoulli":
        uniform = torch.from_numpy(generator.random(decoded.shape, dtype=np.float32)).to(decoded)
        x = (uniform < decoded.sigmoid()).to(decoded)
    else:
        logits, log_variance = decoded.chunk(2, dim=-1)
        noise = torch.from_numpy(generator.standard_normal(logits.shape, dtype=np.float32)).to(
            decoded
        )
        x = logits.sigmoid() + torch.exp(0.5 * log_variance) * noise
    return Joint(joint.parameters, x, joint.likelihood), z


def _reference(
    joint: Joint,
    generator: np.random.Generator,
    options: configuration.Evidence,
    progress: _Progress,
) -> tuple[str, Estimate]:
    """The truth, or the tightest of two stochastic lower bounds."""
    memory = {"memory_mb": options.memory_mb}
    encoder = evidence.from_encoder(joint.parameters, joint.x)
    if (truth := _quadrature(joint, encoder.sample(generator, 4), memory)) is not None:
        return "quadrature", truth
    memory["progress"] = progress.part
    start = encoder.sample(generator, 1)[0]
    samples = evidence.posterior_samples(
        joint,
        start,
        generator,
        BOUND_CHAIN,
        BOUND_CHAIN,
        options.leapfrog,
        options.acceptance,
        **memory,
    )
    bounds = {
        f"importance, {BOUND_DRAWS} samples": evidence.importance(
            joint, evidence.from_samples(samples), generator, BOUND_DRAWS, **memory
        ),
        f"ais, {BOUND_TEMPERATURES} temperatures": evidence.annealed(
            joint,
            generator,
            BOUND_TEMPERATURES,
            BOUND_CHAINS,
            options.leapfrog,
            options.acceptance,
            **memory,
        ),
    }
    return max(bounds.items(), key=lambda item: item[1].value.mean())


def study(
    path: str,
    data: Data,
    options: configuration.EstimatorStudy,
    sampling: configuration.Evidence,
    where: str,
    threads: int,
) -> results.Table:
    """Bias and spread of the estimators on the model of the run file `path`, columns
    results.ESTIMATORS.

    Graded on test points, and on as many points that the model itself generated, for which annealed
    importance sampling also runs backward from an exact posterior sample and gives an upper bound
    on average. No rows if the run diverged.
    """
    started, chosen = time.perf_counter(), device(where, threads, tf32=False)
    settings = {"estimators": options.model_dump(), "evidence": sampling.model_dump()}
    run = results.read_run(path)
    if run.status == "diverged":
        print(
            f"{path} diverged ({run.reason}): there is no model to grade estimators on",
            file=sys.stderr,
        )
        return results.Table(
            pd.DataFrame(columns=list(results.ESTIMATORS)), _attributes(settings, chosen, started)
        )
    parameters = {
        name: torch.from_numpy(value).to(chosen).view(1, -1, value.shape[-1])
        for name, value in run.weights.items()
    }
    test = Joint(
        parameters, data.test[: options.datapoints].to(chosen).unsqueeze(0), run.likelihood
    )
    name = (run.experiment, run.latent_dim, run.seed)
    progress = _Progress(
        f"estimators on {Run(run.experiment, run.algorithm, *name[1:]).name}",
        2 * (options.replicates + 1),
    )
    rows = []
    for kind in ("test", "simulated"):
        generator = stream("estimators", *name, algorithm=kind)
        joint, exact = (test, None) if kind == "test" else _simulated(test, generator)
        reference, truth = _reference(joint, generator, sampling, progress)
        progress()
        errors: dict[tuple[str, int], list[np.ndarray]] = {}
        seconds: dict[tuple[str, int], list[float]] = {}
        for replicate in range(options.replicates):
            generator = stream("estimators", *name, algorithm=kind, block=replicate + 1)
            for what, draws, estimate, spent in _all_estimates(
                joint, exact, generator, options, sampling, progress
            ):
                errors.setdefault((what, draws), []).append(estimate.value - truth.value)
                seconds.setdefault((what, draws), []).append(spent / len(estimate.value))
            progress()
        value, error = _mean(truth)
        shared = {
            "latent_dim": run.latent_dim,
            "data": kind,
            "reference": reference,
            "reference_value": value,
            "reference_se": error,
        }
        for (what, draws), stacked in errors.items():
            graded = {
                **shared,
                "estimator": what,
                "samples": draws,
                "seconds": np.mean(seconds[what, draws]),
            }
            rows.append(graded | _bias_and_spread(np.stack(stacked), error, what == "ais_backward"))
    return results.Table(
        pd.DataFrame(rows, columns=list(results.ESTIMATORS)), _attributes(settings, chosen, started)
    )


def _bias_and_spread(errors: np.ndarray, reference_se: float, same_start: bool) -> dict[str, float]:
    """Of estimates minus reference (replicates, N): the columns bias, bias_se and spread of
    results.ESTIMATORS.

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


def _all_estimates(
    joint: Joint, exact, generator: np.random.Generator, options, sampling, progress: _Progress
):
    """(estimator, samples, Estimate, seconds) of every estimator at every number of samples, with
    noise of one replicate.

    A chain is as long as the largest number; smaller ones are its beginning, as they would be had
    it been stopped there.
    """
    memory = {"memory_mb": sampling.memory_mb}
    slow = {**memory, "progress": progress.part}
    proposal = evidence.from_encoder(joint.parameters, joint.x)
    started, longest = time.perf_counter(), max(options.draws)
    few = (
        joint.latent_dim <= LATTICE_DIMS
    )  # in more dimensions hardly one draw of the prior comes near
    start = (
        evidence.prior_start(joint, generator, START_DRAWS, **memory)
        if few
        else proposal.sample(generator, 1)[0]
    )
    to_start, started = time.perf_counter() - started, time.perf_counter()
    tuning = (sampling.warmup, sampling.leapfrog, sampling.acceptance)
    samples = evidence.posterior_samples(joint, start, generator, longest, *tuning, **slow)
    per_draw = (time.perf_counter() - started) / (longest + sampling.warmup)
    for draws in options.draws:
        part = samples._replace(z=samples.z[:draws], log_joint=samples.log_joint[:draws])
        chain = to_start + per_draw * (draws + sampling.warmup)
        for density in ("kde", "gaussian"):
            started = time.perf_counter()
            estimate = evidence.reciprocal(part, density, **memory)
            yield f"hmc_{density}", draws, estimate, time.perf_counter() - started + chain
        started = time.perf_counter()
        estimate = evidence.importance(joint, proposal, generator, draws, **memory)
        yield "importance", draws, estimate, time.perf_counter() - started
        started = time.perf_counter()
        estimate = evidence.importance(
            joint, evidence.from_samples(part), generator, draws, **memory
        )
        yield "importance_hmc", draws, estimate, time.perf_counter() - started + chain
        for what, source in (("ais", None), ("ais_backward", exact)):
            if what == "ais" or exact is not None:
                started = time.perf_counter()
                estimate = evidence.annealed(
                    joint,
                    generator,
                    draws,
                    CHAINS,
                    sampling.leapfrog,
                    sampling.acceptance,
                    source,
                    **slow,
                )
                yield what, draws, estimate, time.perf_counter() - started
