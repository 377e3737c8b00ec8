"""What a study is about to do and what it will cost on this machine, from a short calibration."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Iterable
from types import SimpleNamespace

import torch
from pydantic import ValidationError

from .. import config as configuration
from ..config import Config
from ..core.errors import UserError
from ..core.run import Job, Run
from ..core.words import duration, short
from ..data import DATASETS
from ..engine import training
from ..engine.settings import Settings, device
from ..engine.stack import stack_of
from ..learners import LEARNERS
from ..models import nets
from ..models.joint import Joint
from ..studies import STUDIES
from ..studies.planning import budgets, nominal_seconds, on_gpu, settings
from . import local, made, plan

# Of a training step, per datapoint: a forward pass against a forward and a backward pass.
EVALUATION_COST = 0.5
SMALLER = (10**8, 10**7, 10**6, 10**5)
CALIBRATION_SECONDS = 10.0  # after which no further shape is timed
WORTH_SAYING = 600.0  # seconds from which smaller budgets are offered


def shape(config: Config, run: Run) -> tuple:
    """What decides the speed of training `run`; most variants have that of their base."""
    experiment, options = config.experiment(run.experiment), config.training_of(run.experiment)
    model = (experiment.dataset, experiment.likelihood, experiment.hidden, run.latent_dim)
    own = str(config.options_of(run.algorithm, run.experiment))
    return (*model, run.algorithm, own, options.batch_size, options.draws)


def seconds_per_sample(config: Config, run: Run) -> float:
    """Time of one block of real training steps on stand-in data (uniform noise) of the right
    shape, per sample."""
    options = Settings.from_dict(settings(config, [run], config.samples))
    pixels = math.prod(DATASETS[options.experiment.dataset].shape)
    x = torch.randint(0, 256, (1000, pixels)).float().div_(255)
    data = SimpleNamespace(train=x, test=x, scale=255.0, sha256="")
    stack = stack_of([run], options.training.step_sizes[:1], options, data)
    stack.train_block(2 if stack.branches is None else stack.block)  # a GPU captures its graph, too
    started = time.perf_counter()
    stack.step = 0
    stack.train_block(stack.block)
    return (time.perf_counter() - started) / stack.samples


def seconds_per_gradient(config: Config, name: str, latent_dim: int) -> float:
    """Time of one gradient of log p(x, z) with a model of the right shape, many at once as the
    estimators of log p(x) go."""
    experiment = config.experiment(name)
    where = device(config.device, config.threads, tf32=False)
    pixels = math.prod(DATASETS[experiment.dataset].shape)
    layout = nets.Layout(pixels, experiment.hidden, latent_dim, experiment.likelihood)
    rows, repeats = 500, 10
    with where:  # new tensors are there
        parameters = layout.view(0.1 * torch.randn(1, layout.n_parameters))
        joint = Joint(parameters, torch.rand(1, rows, layout.pixels), experiment.likelihood)
        z = torch.randn(1, rows, latent_dim)
    joint.value_and_gradient(z)[0].cpu()
    started = time.perf_counter()
    for _ in range(repeats):
        last = joint.value_and_gradient(z)[0]
    last.cpu()
    return (time.perf_counter() - started) / (repeats * rows)


def run_seconds(config: Config, run: Run, per_sample: float, samples: int) -> float:
    """Training and evaluation of one run to `samples`."""
    options = config.evaluation_of(run.experiment)
    if not LEARNERS[run.algorithm].online:  # nothing to evaluate without an encoder
        return per_sample * samples
    even = settings(config, [run], samples).get("snapshots", 0)
    evaluations = len(training.grid(options.first, samples, options.points_per_decade, 1, even))
    points = config.n_train(run.experiment)
    points += DATASETS[config.experiment(run.experiment).dataset].n_test
    return per_sample * (samples + evaluations * points * EVALUATION_COST)


class Rates:
    """Measured times per training sample and per gradient, shape by shape.

    After CALIBRATION_SECONDS further shapes are not timed: their nominal time is taken, by as much
    longer or shorter as that of the others was on average.
    """

    def __init__(self, config: Config, runs: Iterable[Run], models: Iterable[tuple[str, int]]):
        started = time.perf_counter()
        self.config = config
        self.samples: dict[tuple, float] = {}
        self.gradients: dict[tuple[str, int], float] = {}
        factors, self.untimed = [], 0
        shapes = {shape(config, run): run for run in runs}
        for key, run in shapes.items():
            nominal = nominal_seconds(config, run, 10**6) / 10**6
            if time.perf_counter() - started < CALIBRATION_SECONDS or not factors:
                self.samples[key] = seconds_per_sample(config, run)
                factors.append(math.log(self.samples[key] / nominal))
            else:
                self.samples[key] = nominal * math.exp(sum(factors) / len(factors))
                self.untimed += 1
        for place in dict.fromkeys(models):
            self.gradients[place] = seconds_per_gradient(config, *place)
        self.seconds = time.perf_counter() - started

    def sample(self, run: Run) -> float:
        """Seconds per training sample of `run`."""
        return self.samples[shape(self.config, run)]


def _measuring(config: Config, jobs: list[Job]) -> list[tuple[Job, Run, float, float]]:
    """Every table that `jobs` measure: its job, run, training samples and gradients."""
    kinds = {kind: study for study in STUDIES.values() for kind in study.columns}
    return [
        (job, run, *kinds[job.kind].effort(config, job.kind, run))
        for job in jobs
        if job.kind in kinds
        for run in job.runs
    ]


def announce(config: Config, cores: int, due: list[Job], start: float = 0.0) -> None:
    """Print what the jobs `due` train, what that costs, and what smaller budgets would cost.

    Each job takes `start` seconds of a core to start.
    """
    cores_used = 1 if on_gpu(config) else max(1, cores // config.threads)
    where = f"{cores} core(s)"
    if on_gpu(config):
        where = "a GPU, at most (each curve was timed alone)"
    todo = [run for job in due if job.kind == "train" for run in job.runs]
    pilots = [run for job in due if job.kind == "pilot" for run in job.runs]
    pilots = [run for run in pilots if plan.pilot_cost(config, run)]
    measuring = _measuring(config, due)
    rates = Rates(
        config,
        [*todo, *pilots, *(run for _, run, samples, _ in measuring if samples)],
        [(run.experiment, run.latent_dim) for _, run, _, gradients in measuring if gradients],
    )
    known = {job.rule for job, _, samples, gradients in measuring if samples + gradients}
    kinds = {kind for study in STUDIES.values() for kind in study.columns}
    nominal = sum(job.seconds for job in due if job.kind in kinds and job.rule not in known)

    def on_models(measuring: Iterable[tuple]) -> float:
        """Seconds of what is measured on trained models."""
        return nominal + sum(
            gradients * rates.gradients[run.experiment, run.latent_dim]
            for _, run, _, gradients in measuring
            if gradients
        )

    def seconds(samples: int) -> float:
        """For the study with that budget. Raises ValidationError if it has none."""
        study = type(config).model_validate({**config.model_dump(), "samples": samples})
        asked = budgets(study)
        curves = sum(run_seconds(study, run, rates.sample(run), asked[run]) for run in todo)
        piloting = sum(rates.sample(run) * plan.pilot_cost(study, run) for run in pilots)
        effort = _measuring(study, due)
        anew = sum(rates.sample(run) * samples for _, run, samples, _ in effort if samples)
        work = curves + piloting + on_models(effort) + anew
        return work / cores_used + len(due) * start / cores

    for_estimates = ""
    if estimating := on_models(measuring):
        spent = duration(estimating / cores_used)
        for_estimates = f" ({spent} of it to measure on trained models)"
    whole = seconds(config.samples)
    if not todo:  # pilots or measurements alone
        print(f"\nEstimated time on {where}: {duration(whole)}{for_estimates}.\n", file=sys.stderr)
        return
    lines = [
        _to_train(config, todo, pilots),
        *_idle(config, todo),
        _measured(config, rates),
        f"Estimated time on {where}: {duration(whole)}{for_estimates}, results in "
        f"{config.folder}/.",
    ]
    smaller = {}
    for n in SMALLER if not config.results else ():
        with contextlib.suppress(ValidationError):  # too short for the warm-up, or for a part
            smaller |= {n: seconds(n)} if n < config.samples else {}
    # what is extended stays as long
    saving = {n: less for n, less in smaller.items() if less < 0.9 * whole}
    if saving and whole > WORTH_SAYING:
        offers = ", ".join(f"samples={short(n)} ({duration(less)})" for n, less in saving.items())
        lines.append(f"Smaller budgets: --config {offers}. Ctrl-C stops; the same command resumes.")
    print("\n" + "\n".join(lines) + "\n", file=sys.stderr, flush=True)


def _to_train(config: Config, todo: list[Run], pilots: list[Run]) -> str:
    asked = budgets(config)
    goals = [asked[run] for run in todo]
    wanted = " to ".join(dict.fromkeys(map(short, (min(goals), max(goals)))))
    algorithms = ", ".join(dict.fromkeys(LEARNERS[run.algorithm].label for run in todo))
    experiments = ", ".join(dict.fromkeys(run.base for run in todo))
    variants = sum(bool(run.variant) for run in todo)
    about = f"; {variants} of them variants" if variants else ""
    piloting = sum(plan.pilot_cost(config, run) for run in pilots)
    after = f", after {len(pilots)} pilots of {piloting:.2g}" if pilots else ""
    return (
        f"To train: {len(todo)} models ({experiments}; {algorithms}{about}) of {wanted} samples "
        f"each, {sum(goals):.2g} in all{after}."
    )


def _idle(config: Config, todo: list[Run]) -> list[str]:
    """Curves whose budget ends within their warm-up, as a sentence."""
    asked, found = budgets(config), {}
    for run in todo:
        learner, training = LEARNERS[run.algorithm], config.training_of(run.experiment)
        options, n_train = (
            config.options_of(run.algorithm, run.experiment),
            config.n_train(run.experiment),
        )
        idle = learner.idle_samples(training, options, n_train)
        if idle >= asked[run]:
            found[f"{learner.label} on {run.experiment}"] = short(idle)
    listed = ", ".join(f"{name} (up to {idle})" for name, idle in found.items())
    return (
        [f"These budgets end within the warm-up, which trains nothing: {listed}."] if found else []
    )


def _measured(config: Config, rates: Rates) -> str:
    speeds = [1 / value for value in rates.samples.values()]
    guessed = (
        f" ({rates.untimed} of {len(speeds)} shapes estimated by size)" if rates.untimed else ""
    )
    return (
        f"Measured here in {rates.seconds:.0f} s: {min(speeds):,.0f} to {max(speeds):,.0f} "
        f"samples/s per process of {config.threads} thread(s){guessed}."
    )


def _anew(job: Job) -> Job:
    """`job` with what it makes anew: what is there and fits stays (kept.py)."""
    if job.kind not in made.measured():
        return job
    return made.due(job) or job._replace(runs=(), seconds=0.0)


def main(arguments: list[str]) -> None:
    """Say what a study trains and how long that takes on this machine."""
    start = time.process_time()  # of Python with torch, which a job loads too
    parser = argparse.ArgumentParser(prog="python -m aevb cost", description=main.__doc__)
    parser.add_argument("config", help="the configuration file; - for a request of the pipeline")
    parser.add_argument("--cores", type=int, default=1, choices=range(1, 10_001), metavar="N")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.config == "-":
        try:
            request = json.load(sys.stdin)
        except ValueError:
            raise UserError("the pipeline sends what `-` reads; name a configuration") from None
        study, cores = configuration.load(request["config"]), request["cores"]
        jobs = [job for job in plan.jobs(study) if job.rule in request["due"]]
        jobs = jobs if request["forced"] else [*map(_anew, jobs)]
    else:
        study = configuration.load(local.override(local.read(options.config), options.set))
        cores, jobs = options.cores, plan.jobs(study)
    announce(study, cores, jobs, start)
