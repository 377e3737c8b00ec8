"""What a configuration asks for, as jobs: which runs share one, and what each job's settings are.

Imports no torch: Snakemake reads this at every start.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .config import Config, Run
from .data import DATASETS


class Job(NamedTuple):
    name: str  # unique, without slashes
    experiment: str
    runs: tuple[Run, ...]

    @property
    def curves(self) -> list[str]:
        return list(dict.fromkeys(run.curve for run in self.runs))


def nominal_seconds(config: Config, run: Run, samples: int) -> float:
    """Rough time of training one replica on one CPU core, for packing small runs into jobs; never shown to anyone.

    Multiplications of M x D x H at 50 GFLOPS (AEVB needs 5, wake-sleep 7; a Gaussian decoder's output is twice as
    wide) and half a millisecond a step for all else.
    """
    experiment = config.experiments[run.experiment]
    gaussian = experiment.likelihood == "gaussian"
    products = {"aevb": 5 + 3 * gaussian, "wake_sleep": 7 + 4 * gaussian}[run.algorithm]
    pixels = math.prod(DATASETS[experiment.dataset].shape)
    steps = samples / config.training.batch_size
    return samples * products * 2 * pixels * experiment.hidden / 50e9 + steps * 5e-4


def _pack(config: Config, runs: list[Run], samples: int, replicas: int) -> list[Job]:
    """Consecutive runs of one experiment share a job until it is config.job_seconds long."""
    jobs: list[Job] = []
    spent = 0.0
    for run in runs:
        seconds = replicas * nominal_seconds(config, run, samples)
        if not jobs or jobs[-1].experiment != run.experiment or spent + seconds > config.job_seconds:
            number = sum(job.experiment == run.experiment for job in jobs)
            jobs.append(Job(f"{run.experiment}_{number}", run.experiment, ()))
            spent = 0.0
        spent += seconds
        jobs[-1] = jobs[-1]._replace(runs=(*jobs[-1].runs, run))
    return jobs


def train_jobs(config: Config) -> list[Job]:
    """Every run of the configuration, in jobs."""
    return _pack(config, sorted(config.runs(), key=lambda run: run.experiment), config.samples, 1)


def pilot_runs(config: Config) -> list[Run]:
    """One run a curve: the pilot has the curve's first seed."""
    return list({run.curve: run for run in reversed(config.runs())}.values())[::-1]


def pilot_jobs(config: Config) -> list[Job]:
    """Every pilot of the configuration, in jobs."""
    runs = sorted(pilot_runs(config), key=lambda run: run.experiment)
    return _pack(config, runs, config.training.pilot_samples, len(config.training.step_sizes))


def settings(config: Config, experiment: str) -> dict:
    """The slice of the configuration that decides the runs of `experiment`, as plain values (see training.Settings)."""
    names = ("training", "evaluation", "samples", "device", "threads", "tf32")
    chosen = config.model_dump(include=set(names))
    return {"experiment": config.experiments[experiment].model_dump(), **{name: chosen[name] for name in names}}


def pilot_settings(config: Config, experiment: str) -> dict:
    """The slice that decides its pilots: the budget and the evaluations do not."""
    chosen = settings(config, experiment)
    return {**chosen, "samples": config.training.pilot_samples, "evaluation": {}}


def run_path(config: Config, run: Run) -> str:
    return f"{config.folder}/runs/{run.name}.h5"


def pilot_path(config: Config, curve: str) -> str:
    return f"{config.folder}/pilots/{curve}.h5"
