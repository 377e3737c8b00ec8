"""What a study is about to do and what it will cost on this machine, from a calibration of a few seconds.

`python -m aevb.cost` reads {"config": ..., "cores": ..., "train": runs, "pilots": runs} as JSON from stdin and prints to
stderr.
"""

from __future__ import annotations

import json
import math
import sys
import time
from types import SimpleNamespace

import torch

from . import config as configuration
from . import plan
from .config import Config, Run
from .console import duration
from .data import DATASETS
from .errors import UserError
from .training import Settings, grid, stack_of

EVALUATION_COST = 0.5  # of a training step, per datapoint: a forward pass against a forward and a backward pass
SMALLER = (10**8, 10**7, 10**6, 10**5)


def seconds_per_sample(config: Config, run: Run) -> float:
    """Time of one block of real training steps on stand-in data (uniform noise) of the right shape, per sample."""
    settings = Settings.from_dict(plan.settings(config, run.experiment))
    x = torch.rand(1000, math.prod(DATASETS[settings.experiment.dataset].shape))
    data = SimpleNamespace(train=x, test=x, sha256="", max_log_density=float("inf"))
    stack = stack_of([run], settings.training.step_sizes[:1], settings, data)
    stack.train_block(2)
    started = time.perf_counter()
    stack.step = 0
    stack.train_block(stack.block)
    if stack.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / stack.samples


def run_seconds(config: Config, run: Run, per_sample: float, samples: int) -> float:
    """Training and evaluation of one run, to its budget in a study of `samples`."""
    options = config.evaluation
    dataset = DATASETS[config.experiments[run.experiment].dataset]
    samples = config.model_copy(update={"samples": samples}).budget(run.experiment)
    if run.algorithm == "mcem":  # nothing to evaluate without an encoder
        return per_sample * samples
    evaluations = len(grid(options.first, samples, options.points_per_decade, 1))
    return per_sample * (samples + evaluations * (dataset.n_train + dataset.n_test) * EVALUATION_COST)


def announce(config: Config, cores: int, todo: list[Run], pilots: list[Run]) -> None:
    """Print what is to be trained (`todo`, after `pilots`), its estimated cost, and what smaller budgets would cost."""
    started = time.perf_counter()
    by_curve = {run.curve: seconds_per_sample(config, run) for run in {run.curve: run for run in (*todo, *pilots)}.values()}
    calibration = time.perf_counter() - started

    def seconds(samples: int) -> float:
        training = sum(run_seconds(config, run, by_curve[run.curve], samples) for run in todo)
        piloting = sum(by_curve[run.curve] * plan.pilot_samples(config, run) for run in pilots)
        return (training + piloting) / max(1, cores // config.threads)

    algorithms = ", ".join(dict.fromkeys(run.algorithm for run in todo))
    experiments = ", ".join(dict.fromkeys(run.experiment for run in todo))
    budgets = " or ".join(dict.fromkeys(f"{config.budget(run.experiment):.3g}" for run in todo))
    rates = [1 / value for value in by_curve.values()]
    lines = [
        f"To train: {len(todo)} models ({experiments}; {algorithms}) of {budgets} samples each, "
        f"{sum(config.budget(run.experiment) for run in todo):.2g} in all, after {len(pilots)} pilots.",
        f"Measured here in {calibration:.0f} s: {min(rates):,.0f} to {max(rates):,.0f} samples/s a process of {config.threads} thread(s).",
        f"Estimated time on {cores} core(s): {duration(seconds(config.samples))}, results in {config.folder}/.",
    ]
    smaller = [n for n in SMALLER if config.training.batch_size < n < config.samples]
    if smaller and seconds(config.samples) > 600:
        options = ", ".join(f"samples={configuration.short(n)} ({duration(seconds(n))})" for n in smaller)
        lines.append(f"Smaller budgets: --config {options}. Ctrl-C stops; the same command resumes.")
    print("\n" + "\n".join(lines) + "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    request = json.load(sys.stdin)
    try:
        runs = ([Run(*run) for run in request[kind]] for kind in ("train", "pilots"))
        announce(configuration.load(request["config"]), request["cores"], *runs)
    except UserError as error:
        sys.exit(f"error: {error}")
