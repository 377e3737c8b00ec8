"""What a study is about to do and what it will cost on this machine, from a calibration of a few
seconds.

`python -m aevb cost` reads {"config": ..., "cores": ..., "due": {"train": runs, "pilot": runs,
"evidence": runs, "estimators": runs, "variance": runs}} as JSON from stdin and prints to stderr.
"""

from __future__ import annotations

import json
import math
import sys
import time
from types import SimpleNamespace

import torch

from .. import config as configuration
from ..config import Config, Run
from ..core.words import duration, short
from ..data import DATASETS
from ..engine import training
from ..models import nets
from ..models.joint import Joint
from . import plan

EVALUATION_COST = (
    0.5  # of a training step, per datapoint: a forward pass against a forward and a backward pass
)
SMALLER = (10**8, 10**7, 10**6, 10**5)


def shape(config: Config, run: Run) -> tuple:
    """What decides the speed of training `run`; most variants have that of their base."""
    experiment, options = config.experiment(run.experiment), config.training_of(run.experiment)
    model = (experiment.dataset, experiment.likelihood, experiment.hidden, run.latent_dim)
    return (*model, run.algorithm, options.batch_size, options.draws)


def seconds_per_sample(config: Config, run: Run) -> float:
    """Time of one block of real training steps on stand-in data (uniform noise) of the right
    shape, per sample."""
    settings = training.Settings.from_dict(plan.settings(config, run))
    x = (
        torch.randint(0, 256, (1000, math.prod(DATASETS[settings.experiment.dataset].shape)))
        .float()
        .div_(255)
    )
    data = SimpleNamespace(train=x, test=x, scale=255.0, sha256="", max_log_density=float("inf"))
    stack = training.stack_of([run], settings.training.step_sizes[:1], settings, data)
    stack.train_block(
        2 if stack.branches is None else stack.block
    )  # on a GPU this captures the graph, too
    started = time.perf_counter()
    stack.step = 0
    stack.train_block(stack.block)
    return (time.perf_counter() - started) / stack.samples


def seconds_per_gradient(config: Config, name: str, latent_dim: int) -> float:
    """Time of one gradient of log p(x, z) with a model of the right shape, many at once as the
    estimators of log p(x) go."""
    experiment = config.experiments[name]
    where = training.device(config.device, config.threads, tf32=False)
    layout = nets.Layout(
        math.prod(DATASETS[experiment.dataset].shape),
        experiment.hidden,
        latent_dim,
        experiment.likelihood,
    )
    rows, repeats = 500, 10
    with where:  # new tensors are there
        joint = Joint(
            layout.view(0.1 * torch.randn(1, layout.n_parameters)),
            torch.rand(1, rows, layout.pixels),
            experiment.likelihood,
        )
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
    experiment = config.experiment(run.experiment)
    dataset = DATASETS[experiment.dataset]
    if run.algorithm == "mcem":  # nothing to evaluate without an encoder
        return per_sample * samples
    even = plan.settings(config, run, samples).get("snapshots", 0)
    evaluations = len(training.grid(options.first, samples, options.points_per_decade, 1, even))
    return per_sample * (
        samples
        + evaluations * ((experiment.n_train or dataset.n_train) + dataset.n_test) * EVALUATION_COST
    )


def announce(config: Config, cores: int, due: dict[str, list[Run]]) -> None:
    """Print what is to be trained, its estimated cost with all that follows, and what smaller
    budgets would cost.

    `due` has the runs to train, those of pilots, the models on which log p(x) is estimated
    (evidence, estimators) and those on which variances are measured (variance).
    """
    started = time.perf_counter()
    gpu = plan.on_gpu(config)
    cores_used = 1 if gpu else max(1, cores // config.threads)
    where = "a GPU, at most (each curve was timed alone)" if gpu else f"{cores} core(s)"
    todo, pilots = due["train"], due["pilot"]
    shapes = {shape(config, run): run for run in (*todo, *pilots, *due["variance"])}
    per_sample = {key: seconds_per_sample(config, run) for key, run in shapes.items()}
    models = [(kind, run) for kind in ("evidence", "estimators") for run in due[kind]]
    per_gradient = {
        shape: seconds_per_gradient(config, *shape)
        for shape in {(run.experiment, run.latent_dim) for _, run in models}
    }
    estimating = sum(
        plan.gradients(config, kind, run) * per_gradient[run.experiment, run.latent_dim]
        for kind, run in models
    )
    calibration = time.perf_counter() - started

    def seconds(samples: int) -> float:
        study = config.model_copy(update={"samples": samples})
        budgets = study.budgets()
        curves = sum(
            run_seconds(config, run, per_sample[shape(config, run)], budgets[run]) for run in todo
        )
        piloting = sum(
            per_sample[shape(config, run)] * plan.pilot_samples(config, run) for run in pilots
        )
        measuring = sum(
            per_sample[shape(config, run)] * plan.variance_work(study) for run in due["variance"]
        )
        return (curves + piloting + estimating + measuring) / cores_used

    algorithms = ", ".join(dict.fromkeys(run.algorithm for run in todo))
    experiments = ", ".join(dict.fromkeys(run.experiment.partition("+")[0] for run in todo))
    variants = sum("+" in run.experiment for run in todo)
    about_variants = (
        f"; {variants} of them variants, for the ablation or the trade-off" if variants else ""
    )
    asked = config.budgets()
    budgets = [asked[run] for run in todo]
    wanted = (
        " to ".join(dict.fromkeys(short(samples) for samples in (min(budgets), max(budgets))))
        if todo
        else ""
    )
    rates = [1 / value for value in per_sample.values()]
    for_estimates = (
        f" ({duration(estimating / cores_used)} of it to estimate log p(x))" if estimating else ""
    )
    if not todo:  # pilots or estimates alone
        print(
            f"\nEstimated time on {where}: {duration(seconds(config.samples))}{for_estimates}.\n",
            file=sys.stderr,
            flush=True,
        )
        return
    lines = [
        f"To train: {len(todo)} models ({experiments}; {algorithms}{about_variants}) of {wanted} "
        "samples each, "
        f"{sum(budgets):.2g} in all, after {len(pilots)} pilots.",
        f"Measured here in {calibration:.0f} s: {min(rates):,.0f} to {max(rates):,.0f} samples/s a "
        f"process of {config.threads} thread(s).",
        f"Estimated time on {where}: {duration(seconds(config.samples))}{for_estimates}, results "
        f"in {config.folder}/.",
    ]
    smaller = {
        n: seconds(n)
        for n in SMALLER
        if config.training.batch_size < n < config.samples and not config.results
    }
    saving = {
        n: less for n, less in smaller.items() if less < 0.9 * seconds(config.samples)
    }  # what is extended stays as long
    if saving and seconds(config.samples) > 600:
        options = ", ".join(f"samples={short(n)} ({duration(less)})" for n, less in saving.items())
        lines.append(
            f"Smaller budgets: --config {options}. Ctrl-C stops; the same command resumes."
        )
    print("\n" + "\n".join(lines) + "\n", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    """Read a request from stdin and announce what it will cost."""
    request = json.load(sys.stdin)
    due = {kind: [Run(*run) for run in runs] for kind, runs in request["due"].items()}
    announce(configuration.load(request["config"]), request["cores"], due)
