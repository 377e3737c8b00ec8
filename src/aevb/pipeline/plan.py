"""What a configuration asks for, as jobs: which runs share one, and what each job's settings are.

Imports no torch: Snakemake reads this at every start.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ..config import PILOT_POINTS, Config, Run
from ..data import DATASETS

# gradients' worth of the search for modes and of the kernel density, per datapoint (measured:
# MNIST, N_z = 3)
SEARCH = 1700
# gradients' worth, per datapoint, of the long annealing that is the reference where quadrature is
# out of reach
REFERENCE = 45_000
GRADIENT_ESTIMATORS = 5  # whose variance is measured, see variance.py


START_MINUTES = (
    15  # of every time limit: Python and torch on a cold node and file system, data, results
)
# of a time limit over the nominal time, which is that of one 50-GFLOPS core and leaves evaluations
# out
MARGIN = 5
# cores that a GPU is worth at least when it trains a job's curves together: assumed, not measured
GPU_CORES = 10
LONGEST_MINUTES = (
    24 * 60
    # a time limit that most sites allow; training that needs more goes on from its checkpoint in the
    # next attempt
)


class Job(NamedTuple):
    name: str  # unique, without slashes
    experiment: str
    runs: tuple[Run, ...]
    seconds: float  # nominal, see nominal_seconds
    samples: int = 0  # budget of each run, where jobs are packed by it

    @property
    def curves(self) -> list[str]:
        return list(dict.fromkeys(run.curve for run in self.runs))


def nominal_seconds(config: Config, run: Run, samples: int) -> float:
    """Rough time of training one replica on one CPU core, for packing small runs into jobs; never
    shown to anyone.

    Multiplications of M x D x H at 50 GFLOPS (AEVB needs 2 and 3 for each draw, wake-sleep 1 and 6,
    a gradient of Monte Carlo EM 2; a Gaussian decoder's output is twice as wide) and half a
    millisecond a step for all else.
    """
    experiment, options = config.experiment(run.experiment), config.training_of(run.experiment)
    gaussian = experiment.likelihood == "gaussian"
    fixed, per_draw = {
        "aevb": (2, 3 + 3 * gaussian),
        "wake_sleep": (1, 6 + 4 * gaussian),
        "mcem": (2, 0),
    }[run.algorithm]
    products = fixed + options.draws * per_draw
    pixels = math.prod(DATASETS[experiment.dataset].shape)
    steps = samples / options.batch_size
    return samples * products * 2 * pixels * experiment.hidden / 50e9 + steps * 5e-4


def on_gpu(config: Config) -> bool:
    """Whether jobs will run on a GPU: asked for, or left open where the system shows an NVIDIA
    device. (torch, which decides, is not imported here.)"""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(
        Path("/dev").glob("nvidia[0-9]*")
    )
    return config.device == "cuda" or (config.device == "auto" and visible)


def _pack(
    config: Config,
    runs: Iterable[Run],
    seconds: Callable[[Run], float],
    budgets: dict[Run, int] | None = None,
) -> list[Job]:
    """Consecutive runs of one experiment, and of one of `budgets` if they matter, share a job
    until it is config.job_seconds long or has config.job_runs of them; on a GPU, which trains
    them all at once, its length does not matter."""
    longest = math.inf if on_gpu(config) else config.job_seconds
    most = config.job_runs or math.inf

    def settings(run: Run) -> tuple[str, int]:
        return run.experiment, budgets[run] if budgets else 0

    packs: list[list[Run]] = []
    spent: list[float] = []
    for run in sorted(runs, key=settings):
        nominal = seconds(run)
        full = (
            not packs
            or settings(packs[-1][0]) != settings(run)
            or spent[-1] + nominal > longest
            or len(packs[-1]) == most
        )
        if full:
            packs.append([])
            spent.append(0.0)
        packs[-1].append(run)
        spent[-1] += nominal
    jobs: list[Job] = []
    numbers: Counter[str] = Counter()  # of the jobs of each experiment so far
    for members, nominal in zip(packs, spent, strict=True):
        experiment, samples = settings(members[0])
        jobs.append(
            Job(f"{experiment}_{numbers[experiment]}", experiment, tuple(members), nominal, samples)
        )
        numbers[experiment] += 1
    return jobs


def minutes(config: Config, job: Job, together: bool = False) -> int:
    """Time limit of a job on a cluster, in minutes: generous, as the nominal time is rough;
    `together` if a GPU, where there is one, advances all its runs at once."""
    seconds = job.seconds / (GPU_CORES if together and on_gpu(config) else 1)
    return min(LONGEST_MINUTES, math.ceil(START_MINUTES + MARGIN * seconds / 60))


def train_jobs(config: Config) -> list[Job]:
    """Every run of the configuration, in jobs."""
    budgets = config.budgets()
    return _pack(config, budgets, lambda run: nominal_seconds(config, run, budgets[run]), budgets)


def pilot_runs(config: Config) -> list[Run]:
    """One run a curve: the pilot has the curve's first seed."""
    return list({run.curve: run for run in reversed(config.runs())}.values())[::-1]


def pilot_samples(config: Config, run: Run) -> int:
    """Training samples of a curve's pilot, all its step sizes together."""
    training, mcem = config.training_of(run.experiment), config.mcem
    samples = training.pilot_samples
    if run.algorithm == "mcem":
        n_train = (
            config.experiments[run.experiment].n_train
            or DATASETS[config.experiments[run.experiment].dataset].n_train
        )
        samples = (
            min(n_train, PILOT_POINTS) * mcem.pilot_iterations * (mcem.leapfrog + mcem.updates)
        )
    return samples * len(training.step_sizes)


def pilot_jobs(config: Config) -> list[Job]:
    """Every pilot of the configuration, in jobs."""
    return _pack(
        config,
        pilot_runs(config),
        lambda run: nominal_seconds(config, run, pilot_samples(config, run)),
    )


def gradients(config: Config, kind: str, run: Run) -> int:
    """About how many gradients of log p(x, z) the estimates on the model `run` cost: `kind`
    "evidence" (a run of Figure 3) or "estimators" (a model of the estimator study)."""
    options = config.evidence
    if kind == "evidence":
        evaluations = (
            1.7 * config.figure3.points
        )  # those before the first even one lie more densely
        per_point = (
            (options.draws + options.warmup) * (options.leapfrog + 1)
            + options.importance_draws
            + SEARCH
        )
        return round(evaluations * 2 * options.datapoints * per_point)
    study = config.estimators
    # a chain; for each number of samples two importance samplers, and annealing of a pilot and two
    # chains, on simulated data both ways
    annealing = 1.5 * 3 * options.leapfrog
    per_replicate = max(study.draws) * (options.leapfrog + 1) + sum(study.draws) * (2 + annealing)
    reference = 0 if run.latent_dim <= 3 else REFERENCE
    return round(2 * study.datapoints * (study.replicates * per_replicate + reference))


def _estimate_jobs(config: Config, runs: list[Run], kind: str) -> list[Job]:
    def seconds(run: Run) -> float:  # many rows at once cost less than the small steps of training
        return (
            nominal_seconds(config, run._replace(algorithm="mcem"), gradients(config, kind, run))
            / 3
        )

    return _pack(config, runs, seconds)


def evidence_jobs(config: Config) -> list[Job]:
    """The runs of Figure 3, in jobs that estimate log p(x) at their evaluations."""
    return _estimate_jobs(config, config.figure3_runs(), "evidence")


def estimator_jobs(config: Config) -> list[Job]:
    """The models of the estimator study, in jobs."""
    return _estimate_jobs(config, config.estimator_models(), "estimators")


def variance_work(config: Config) -> int:
    """About how many training samples' worth of time the measurements on one model cost, its
    training to the last of them included."""
    study, points = config.variance, config.variance_samples
    per_point = (
        study.minibatches * study.replicates * config.training.batch_size * GRADIENT_ESTIMATORS
    )
    return max(points, default=0) + round(1.5 * len(points) * per_point)  # by autograd


def variance_jobs(config: Config) -> list[Job]:
    """The models on which variances are measured, in jobs."""
    return _pack(
        config,
        config.variance_models(),
        lambda run: nominal_seconds(config, run, variance_work(config)),
    )


def settings(config: Config, run: Run, samples: int | None = None) -> dict:
    """The slice of the configuration that decides `run`, and all others of its experiment and
    budget, as plain values (see training.Settings). `samples` is that budget, looked up unless
    given: over all runs, so not for each of thousands."""
    names = ["training", "evaluation", "device", "threads", "tf32"]
    of_figure3 = config.figure3 is not None and run.experiment in config.figure3.experiments
    chosen = config.model_dump(include={*names, *(["mcem"] if of_figure3 else [])})
    chosen["training"] = config.training_of(run.experiment).model_dump()
    chosen["evaluation"] = config.evaluation_of(run.experiment).model_dump()
    if of_figure3:
        chosen["snapshots"] = config.figure3.points
    budget = config.budget(run) if samples is None else samples
    return {
        "experiment": config.experiment(run.experiment).model_dump(),
        "samples": budget,
        **chosen,
    }


def pilot_settings(config: Config, run: Run) -> dict:
    """The slice that decides its pilot: the budget and the evaluations do not."""
    samples = config.training_of(run.experiment).pilot_samples
    chosen = {
        name: value for name, value in settings(config, run, samples).items() if name != "snapshots"
    }
    return {**chosen, "evaluation": {}}


def variance_settings(config: Config, run: Run) -> dict:
    """The slice that decides the variances measured on the model of `run`: `training` (see
    training.Settings) and the arguments of variance.study."""
    options = config.model_dump(include={"variance": {"minibatches", "replicates"}})["variance"]
    return {
        "training": {**pilot_settings(config, run), "samples": config.variance_samples[-1]},
        "points": config.variance_samples,
        **options,
    }


def estimate_settings(config: Config, kind: str, experiment: str) -> dict:
    """The slice that decides estimates of log p(x), `kind` "evidence" or "estimators" (see
    estimates.py)."""
    chosen = config.model_dump(include={"evidence", kind, "threads"})
    if kind == "estimators":  # which have datapoints and numbers of samples of their own
        chosen["evidence"] = {
            name: chosen["evidence"][name]
            for name in ("warmup", "leapfrog", "acceptance", "memory_mb")
        }
    return {
        "experiment": config.experiments[experiment].model_dump(),
        "where": config.device,
        **chosen,
    }


def run_path(config: Config, run: Run) -> str:
    return f"{config.folder}/runs/{run.name}.h5"


def pilot_path(config: Config, curve: str) -> str:
    return f"{config.folder}/pilots/{curve}.h5"


def table_path(config: Config, kind: str, run: Run) -> str:
    """The file of what is measured on a model: `kind` is "evidence", "estimators" or "variance"."""
    return f"{config.folder}/{kind}/{run.name}.h5"
