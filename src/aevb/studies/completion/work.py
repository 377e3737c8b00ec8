"""What the jobs of the study measure: errors of each way to complete or clean test images.

Random numbers come from the stream completion: which pixels are seen, the noise, the chains. They
differ from seed to seed, so that the interval over seeds contains their spread too. The test images
are the same for all seeds and tasks, drawn from the stream completion-images: the first half of
MNIST's test set is cleaner than the second (web page of LeCun, Cortes and Burges).
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ... import results
from ...config.sections import Experiment
from ...core.run import Job
from ...core.streams import stream
from ...data import DATASETS, load
from ...engine.settings import device
from ...marginal.common import as_numpy
from ...marginal.options import Evidence
from ...models import nets
from ...models.joint import Joint
from ..figure4.encoding import eight_bits
from . import Completion, Task, observed
from .baselines import (
    Moments,
    encoded,
    iterated,
    linear,
    moments_of,
    nearest,
    noise_of,
)
from .columns import COMPLETION, METHODS
from .posterior import Chains, Completed, chains_of, completed, decoder

MIXED = 1.1  # R-hat below which chains count as mixed (Gelman et al. 2013, section 11.4)


class Setting(NamedTuple):
    """What the tasks of a model share."""

    parameters: dict[str, Tensor]
    likelihood: str
    shape: tuple[int, int]
    x: Tensor  # (N, D), test images
    train: Tensor  # (N_train, D)
    moments: Moments
    options: Completion
    evidence: Evidence


class Solved(NamedTuple):
    """One task on N images."""

    seen: np.ndarray  # (D,) bool
    y: np.ndarray  # (N, D), what is seen; the mean training image in holes
    chains: Chains
    posterior: Completed
    guesses: dict[str, np.ndarray]  # of METHODS but posterior and draw: (N, D)


def work(jobs: list[Job]) -> None:
    """Complete images with the models of `jobs`, columns COMPLETION; no rows where one diverged."""
    for job in jobs:
        settings = job.settings
        experiment, evidence = (
            Experiment(**settings["experiment"]),
            Evidence(**settings["evidence"]),
        )
        options = Completion(**settings["completion"], experiments=[experiment.dataset])
        chosen = device(settings["where"], settings["threads"], tf32=False)
        data = load(job.inputs["data"][0], experiment)
        shared = (
            DATASETS[experiment.dataset].shape,
            data.test[images_of(experiment.dataset, len(data.test), options)].to(chosen),
            data.train,
            moments_of(data.train),
            options,
            evidence,
        )
        for path, output in zip(job.inputs["runs"], job.outputs, strict=True):
            started, found = time.perf_counter(), results.read_run(path)
            frame, arrays = pd.DataFrame(columns=list(COMPLETION)), {}
            if found.status == "diverged":
                print(f"{path} diverged ({found.reason}): it completes nothing", file=sys.stderr)
            else:
                setting = Setting(nets.stored(found.weights, chosen), found.likelihood, *shared)
                pictures = found.run.seed == settings["shown_seed"]
                frame, arrays = measured(setting, found.run, pictures)
            results.write_table(output, results.measured(job, frame, started, chosen, arrays))


def images_of(dataset: str, count: int, options: Completion) -> Tensor:
    """Numbers of the test images, of `count`, in the order of the draw: (N,)."""
    generator = stream("completion-images", dataset, 0, 0)
    return torch.from_numpy(generator.permutation(count)[: options.datapoints])


def measured(setting: Setting, run, pictures: bool) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """One row of COMPLETION per task, and the arrays beside it (see columns.py)."""
    rows, errors, seen, shown = [], [], [], []
    x = as_numpy(setting.x)
    wanted = setting.options.shown(setting.likelihood) if pictures else []
    for task in setting.options.tasks(setting.likelihood):
        name = (run.experiment, run.latent_dim, run.seed)
        generator = stream("completion", *name, algorithm=task.name)
        solved = solve(setting, task, generator)
        judged = solved.seen if task.kind == "noise" else ~solved.seen
        rows.append(_row(task, solved, judged))
        errors.append(_errors(solved, x, judged))
        if task in wanted:
            seen.append(solved.seen)
            shown.append(_pictures(solved, x, setting.options.images))
    arrays = {"errors": np.array(errors, np.float32)}
    if pictures:
        arrays |= {"masks": np.array(seen, np.uint8), "pictures": eight_bits(np.array(shown))}
    return pd.DataFrame(rows, columns=list(COMPLETION)), arrays


def solve(setting: Setting, task: Task, generator: np.random.Generator) -> Solved:
    """One task, in every way."""
    parameters, likelihood = setting.parameters, setting.likelihood
    seen = observed.seen_pixels(task, setting.shape, generator)
    plain = decode = decoder(parameters, likelihood)
    if task.kind == "noise":
        y = observed.corrupted(setting.x, likelihood, task.level, generator)
        offset, gain = observed.channel(likelihood, task.level)
        joint = observed.Noisy(parameters, y.unsqueeze(0), likelihood, task.level)
        near = Joint(parameters, y.unsqueeze(0), likelihood)
        decode = decoder(parameters, likelihood, as_numpy(y), task.level)
    else:
        mean = torch.from_numpy(setting.moments.mean).to(setting.x)
        y = torch.where(torch.from_numpy(seen).to(mean.device), setting.x, mean)
        offset, gain = 0.0, 1.0
        own = observed.decoder_of(parameters, seen, likelihood)
        joint = near = Joint(own, setting.x[None, :, seen].contiguous(), likelihood)
    chains = chains_of(joint, near, generator, setting.options, setting.evidence)
    noise = noise_of(setting.moments, likelihood, *task)
    numbers = nearest(setting.train, y, seen, offset, gain)
    guesses = {
        "encoder": encoded(parameters, y, decode),
        "nearest": as_numpy(setting.train[numbers]),
        "linear": linear(setting.moments, as_numpy(y), seen, offset, gain, noise),
        "mean": np.broadcast_to(setting.moments.mean, y.shape),
        "whole": encoded(parameters, setting.x, plain),
    }
    if task.kind != "noise":
        chain = (generator, setting.options)
        guesses["gibbs"] = iterated(parameters, y, seen, likelihood, decode, *chain)
    return Solved(seen, as_numpy(y), chains, completed(chains.z, decode), guesses)


def _row(task: Task, solved: Solved, judged: np.ndarray) -> dict:
    chains = solved.chains
    return {
        **task._asdict(),
        "seen": int(solved.seen.sum()),
        "mc": solved.posterior.mc[:, judged].mean(),
        "rhat": np.median(chains.rhat),
        "rhat_95": np.quantile(chains.rhat, 0.95, method="higher"),
        "mixed": (chains.rhat < MIXED).mean(),
        "ess": np.median(chains.ess),
        "acceptance": chains.acceptance,
        "divergences": chains.divergences,
    }


def _errors(solved: Solved, x: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Squared errors of METHODS at the pixels `judged`, (METHODS, N). That of a draw,
    E[x | z, seen] at one sample of z, is its expectation over the samples: squared error of their
    mean plus their variance."""
    found = {name: ((g - x) ** 2)[:, judged].mean(1) for name, g in solved.guesses.items()}
    found["posterior"] = ((solved.posterior.mean - x) ** 2)[:, judged].mean(1)
    found["draw"] = found["posterior"] + solved.posterior.variance[:, judged].mean(1)
    return np.stack([found.get(name, np.full(len(x), np.nan)) for name in METHODS])


def _pictures(solved: Solved, x: np.ndarray, images: int) -> np.ndarray:
    """The first images as SHOWN: (images, SHOWN, D)."""
    rows = (x, solved.y, solved.posterior.mean, *solved.posterior.draws)
    rows += (solved.guesses["encoder"], solved.guesses["nearest"])
    return np.stack([row[:images] for row in rows], 1)
