"""What a study's models and measurements cost, and how they share jobs.

Imports no torch: Snakemake reads this at every start.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.run import Job, Run
from ..data import DATASETS
from ..engine.roots import TRAINING, roots
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS
from . import STUDIES

if TYPE_CHECKING:
    from ..config import Config
    from ..config.sections import Training
    from ..core.sections import Strict

START_MINUTES = 15  # of every time limit: Python and torch on a cold node and file system, data
MARGIN = 5  # of a time limit over the nominal time, which leaves evaluations out
# Cores that a GPU is worth at least when it trains all curves of a job. An H200 was worth 236
# (config/gpu.yaml, 54 models); older ones are slower.
GPU_CORES = 50
# A time limit that most sites allow; training that needs more goes on in the next attempt.
LONGEST_MINUTES = 24 * 60


def budgets(config: Config) -> dict[Run, int]:
    """Every run of the studies and its training samples, the most that one of them asks for."""
    asked: dict[Run, int] = {}
    for study in STUDIES.values():
        for run, samples in study.runs(config):
            asked[run] = max(samples, asked.get(run, 0))
    return asked


def listed(config: Config) -> list[Run]:
    """The runs that are curves of their own, not parts of a comparison of variants."""
    wanted = [study for study in STUDIES.values() if study.listed]
    runs = dict.fromkeys(run for study in wanted for run, _ in study.runs(config))
    return [run for run in runs if not run.variant]


def drawn(config: Config) -> list[Run]:
    """The models whose weights figures draw."""
    models = [run for study in STUDIES.values() for run in study.drawn(config)]
    return list(dict.fromkeys(models))


def pilot_runs(config: Config) -> list[Run]:
    """One run per curve: the pilot has the curve's first seed."""
    return list({run.curve: run for run in reversed(budgets(config))}.values())[::-1]


def settings(config: Config, runs: Sequence[Run], samples: int) -> dict:
    """The part of the configuration that decides `runs`, of one experiment, with the same step
    sizes, and of budget `samples`.

    It is plain values, see engine.settings.Settings.
    """
    name = runs[0].experiment
    chosen = config.model_dump(include={"device", "threads", "tf32", "bfloat16"})
    chosen["experiment"] = config.experiment(name).model_dump()
    chosen["training"] = config.training_of(name, runs[0].algorithm).model_dump()
    chosen["evaluation"] = config.evaluation_of(name).model_dump()
    for key in dict.fromkeys(run.algorithm for run in runs):
        if (options := config.options_of(key, name)) is not None:
            chosen[key] = options.model_dump()
    for study in STUDIES.values():
        chosen |= study.settings(config, runs[0])
    return {**chosen, "samples": samples}


def pilot_limits(config: Config, run: Run) -> tuple[Training, Strict | None]:
    """The training and options of the learner of `run` in its pilot, which is no longer than the
    largest budget of the experiment or variant."""
    name, learner = run.experiment, LEARNERS[run.algorithm]
    most = max(samples for run, samples in budgets(config).items() if run.experiment == name)
    training = config.training_of(name, run.algorithm)
    options = config.options_of(run.algorithm, name)
    capped = training.model_copy(update={"pilot_samples": min(training.pilot_samples, most)})
    return capped, learner.pilot_options(training, options, config.n_train(name), most)


def pilot_settings(config: Config, runs: Sequence[Run]) -> dict:
    """The part that decides the pilots of `runs`.

    The evaluations do not, and the budget only caps the pilots.
    """
    chosen = settings(config, runs, config.training_of(runs[0].experiment).pilot_samples)
    for run in runs:
        training, options = pilot_limits(config, run)
        chosen["training"] |= {"pilot_samples": training.pilot_samples}
        if options is not None:
            chosen[run.algorithm] = options.model_dump()
    return {**{k: v for k, v in chosen.items() if k != "snapshots"}, "evaluation": {}}


def nominal_seconds(config: Config, run: Run, samples: int) -> float:
    """Rough time of training one replica on one CPU core, for packing; never shown to anyone.

    Multiplications of M x D x H at 50 GFLOPS and half a millisecond per step for all else.
    """
    experiment, options = config.experiment(run.experiment), config.training_of(run.experiment)
    outputs, learner = LIKELIHOODS[experiment.likelihood].outputs, LEARNERS[run.algorithm]
    own = config.options_of(run.algorithm, run.experiment)
    products = learner.products(outputs, options.draws, own)
    pixels = math.prod(DATASETS[experiment.dataset].shape)
    steps = samples / options.batch_size
    return samples * products * 2 * pixels * experiment.hidden / 50e9 + steps * 5e-4


def gradient_seconds(config: Config, run: Run, gradients: float) -> float:
    """The same for `gradients` of log p(x, z): a third of two products each.

    Many rows at once cost less than the small steps of training.
    """
    experiment, options = config.experiment(run.experiment), config.training_of(run.experiment)
    pixels = math.prod(DATASETS[experiment.dataset].shape)
    flops = gradients * 2 * 2 * pixels * experiment.hidden
    return (flops / 50e9 + gradients / options.batch_size * 5e-4) / 3


def on_gpu(config: Config) -> bool:
    """Whether jobs will run on a GPU: asked for, or left open where the system shows one.

    It looks for an NVIDIA device; torch, which decides, is not imported here.
    """
    devices = Path("/dev").glob("nvidia[0-9]*")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(devices)
    return config.device == "cuda" or (config.device == "auto" and visible)


class Pack(list[Run]):
    """Runs that share a job: its name, nominal seconds and budget."""

    name: str = ""
    seconds: float = 0.0
    samples: int = 0


def pack(
    config: Config,
    runs: Iterable[Run],
    seconds: Callable[[Run], float],
    budgets: dict[Run, int] | None = None,
) -> list[Pack]:
    """Jobs of runs: consecutive runs of one experiment with the same step sizes, and of one budget
    if `budgets` is given.

    They share a job until it is config.job_seconds long or has config.job_runs of them. On a GPU,
    which trains them all at once, its length does not matter.
    """
    longest = math.inf if on_gpu(config) else config.job_seconds
    most = config.job_runs or math.inf

    def settings(run: Run) -> tuple[str, int, list[float]]:
        sizes = config.training_of(run.experiment, run.algorithm).step_sizes
        return run.experiment, budgets[run] if budgets else 0, sizes

    packs: list[Pack] = []
    numbers: Counter[str] = Counter()  # of the jobs of each experiment so far
    for run in sorted(runs, key=settings):
        nominal, last = seconds(run), packs[-1] if packs else None
        if (
            last is None
            or settings(last[0]) != settings(run)
            or last.seconds + nominal > longest
            or len(last) == most
        ):
            packs.append(last := Pack())
            last.name = f"{run.experiment}_{numbers[run.experiment]}"
            last.samples = settings(run)[1]
            numbers[run.experiment] += 1
        last.append(run)
        last.seconds += nominal
    return packs


def minutes(config: Config, job: Job) -> int:
    """Time limit of a job on a cluster, in minutes: generous, as the nominal time is rough."""
    seconds = job.seconds / (GPU_CORES if job.together and on_gpu(config) else 1)
    return min(LONGEST_MINUTES, math.ceil(START_MINUTES + MARGIN * seconds / 60))


def data_path(config: Config, experiment: str) -> str:
    """The prepared data set of an experiment or variant."""
    return f"{config.data}/{config.experiment(experiment).dataset}.h5"


def run_path(config: Config, run: Run) -> str:
    """The file of a trained model."""
    return f"{config.folder}/runs/{run.name}.h5"


def pilot_path(config: Config, curve: str) -> str:
    """The file of the pilot of a curve."""
    return f"{config.folder}/pilots/{curve}.h5"


def table_path(config: Config, kind: str, name: str) -> str:
    """The file of a table that a study measures, of the model or experiment `name`."""
    return f"{config.folder}/{kind}/{name}.h5"


def deciding(config: Config, run: Run, *functions: str) -> tuple[str, ...]:
    """Roots of the code that decides a result on `run`: `functions`, its learner and likelihood."""
    likelihood = config.experiment(run.experiment).likelihood
    return roots(*functions, algorithm=run.algorithm, likelihood=likelihood)


def codes(config: Config) -> dict[tuple[str, str], tuple[str, ...]]:
    """Roots of the code that decides each result, by kind and name.

    Kinds are "runs", "pilots" and those of tables.
    """
    runs = budgets(config)
    found = {("runs", run.name): deciding(config, run, *TRAINING) for run in runs}
    found |= {("pilots", run.curve): deciding(config, run, *TRAINING) for run in runs}
    for study in STUDIES.values():
        for job in study.jobs(config) if study.active(config) else ():
            for output in job.outputs:
                name = output.removeprefix(f"{config.folder}/{job.kind}/").removesuffix(".h5")
                found[job.kind, name] = job.code
    return found


def tables_on(
    config: Config,
    kind: str,
    pack: Pack,
    settings: dict,
    work: str,
    code: tuple[str, ...],
    makes: str,
    **more,
) -> Job:
    """A job that measures a table of `kind` on each of the trained models of a pack."""
    return Job(
        kind,
        pack.name,
        work,
        [table_path(config, kind, run.name) for run in pack],
        {
            "data": [data_path(config, pack[0].experiment)],
            "runs": [run_path(config, run) for run in pack],
        },
        settings,
        code,
        tuple(pack),
        pack.seconds,
        makes,
        **{"gpu": True, "memory_mb": 3000, **more},
    )
