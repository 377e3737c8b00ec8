"""What the jobs of the study measure: errors of each way to complete or clean test images.

Random numbers come from the stream completion: which pixels are seen, the noise, the chains. They
differ from seed to seed, so that the interval over seeds contains their spread too. The test images
are the same for all seeds and tasks, drawn from the stream completion-images: the first half of
MNIST's test set is cleaner than the second (web page of LeCun, Cortes and Burges).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
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
from . import Completion, Task, blocks, observed
from .baselines import (
    Moments,
    encoded,
    iterated,
    linear,
    moments_of,
    nearest,
    noise_of,
)
from .columns import COMPLETION, DENSITIES, METHODS
from .observed import View
from .posterior import Chains, Completed, chains_of, completed, decoder
from .predictive import linear_log, log_predictive, pixelwise

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


class Seen(NamedTuple):
    """What is seen of N images, and log p(z, seen)."""

    mask: np.ndarray  # (D,) bool: pixels of which something is seen
    judged: np.ndarray  # (D,) bool: those of which errors are taken
    view: View
    y: Tensor  # (N, B), the numbers that are seen
    filled: Tensor  # (N, D), the image that the encoder takes: in holes the mean training image
    joint: object  # log p(z, seen), the target of HMC
    near: Joint  # one near it, for the starts
    decode: Callable  # E[x | z, seen], see posterior.decoder


class Solved(NamedTuple):
    """One task on N images."""

    seen: Seen
    chains: Chains
    posterior: Completed
    guesses: dict[str, np.ndarray]  # of METHODS but posterior and draw: (N, D)
    log_p: dict[str, np.ndarray]  # of DENSITIES: (N,), none for noise and blocks
    log_mc: float  # see COMPLETION


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
    rows, errors, log_p, masks, shown = [], [], [], [], []
    x = as_numpy(setting.x)
    wanted = setting.options.shown(setting.likelihood) if pictures else []
    for task in setting.options.tasks(setting.likelihood):
        name = (run.experiment, run.latent_dim, run.seed)
        generator = stream("completion", *name, algorithm=task.name)
        solved = solve(setting, task, generator)
        rows.append(_row(task, solved))
        errors.append(_errors(solved, x))
        none = np.full(len(x), np.nan)
        log_p.append([solved.log_p.get(name, none) for name in DENSITIES])
        if task in wanted:
            masks.append(solved.seen.mask)
            shown.append(_pictures(solved, x, setting.options.images))
    arrays = {"errors": np.array(errors, np.float32), "log_p": np.array(log_p, np.float32)}
    if pictures:
        arrays |= {"masks": np.array(masks, np.uint8), "pictures": eight_bits(np.array(shown))}
    return pd.DataFrame(rows, columns=list(COMPLETION)), arrays


def look(setting: Setting, task: Task, generator: np.random.Generator) -> Seen:
    """What is seen in a task."""
    parameters, likelihood, x = setting.parameters, setting.likelihood, setting.x
    mask = observed.seen_pixels(task, setting.shape, generator)
    view = View(np.flatnonzero(mask))
    if task.kind not in ("noise", "blocks"):
        mean = torch.from_numpy(setting.moments.mean).to(x)
        filled = torch.where(torch.from_numpy(mask).to(mean.device), x, mean)
        own = observed.decoder_of(parameters, mask, likelihood)
        joint = Joint(own, x[None, :, mask].contiguous(), likelihood)
        decode = decoder(parameters, likelihood)
        return Seen(mask, ~mask, view, joint.x[0], filled, joint, joint, decode)
    if task.kind == "noise":
        filled = y = observed.corrupted(x, likelihood, task.level, generator)
        density = partial(observed.noisy_density, likelihood, task.level)
        mended = partial(observed.cleaned, likelihood=likelihood, level=task.level)
    else:
        view = blocks.blocks_of(setting.shape, int(task.level))
        y = view(observed.drawn(x, generator) if likelihood == "bernoulli" else x)
        filled = blocks.spread(y, view)
        density = partial(blocks.log_density, view, likelihood)
        mended = partial(blocks.sharpened, view, likelihood)
    joint = observed.Indirect(parameters, y.unsqueeze(0), density)
    near = Joint(parameters, filled.unsqueeze(0), likelihood)
    decode = decoder(parameters, likelihood, as_numpy(y), mended)
    return Seen(mask, mask, view, y, filled, joint, near, decode)


def solve(setting: Setting, task: Task, generator: np.random.Generator) -> Solved:
    """One task, in every way."""
    parameters, likelihood, options = setting.parameters, setting.likelihood, setting.options
    moments, evidence = setting.moments, setting.evidence
    seen = look(setting, task, generator)
    chains = chains_of(seen.joint, seen.near, generator, options, evidence)
    offset, gain = observed.channel(likelihood, task.level) if task.kind == "noise" else (0.0, 1.0)
    noise = seen.view.variance(noise_of(moments, likelihood, *task))
    numbers = nearest(setting.train, seen.y, seen.view, offset, gain)
    guesses = {
        "encoder": encoded(parameters, seen.filled, seen.decode),
        "nearest": as_numpy(setting.train[numbers]),
        "linear": linear(moments, as_numpy(seen.y), seen.view, offset, gain, noise),
        "mean": np.broadcast_to(moments.mean, seen.filled.shape),
        "whole": encoded(parameters, setting.x, decoder(parameters, likelihood)),
    }
    log_p, log_mc = {}, np.nan
    if not seen.mask.all():
        chain = (generator, options)
        holes = (parameters, seen.filled, seen.mask, likelihood, seen.decode)
        guesses["gibbs"] = iterated(*holes, *chain)
        log_p, log_mc = densities_of(setting, seen, chains, generator)
    return Solved(seen, chains, completed(chains.z, seen.decode), guesses, log_p, log_mc)


def densities_of(
    setting: Setting, seen: Seen, chains: Chains, generator: np.random.Generator
) -> tuple[dict[str, np.ndarray], float]:
    """log p (N,) of the pixels not seen, by DENSITIES, and the Monte Carlo error of its mean."""
    likelihood, options = setting.likelihood, setting.options
    own = observed.decoder_of(setting.parameters, seen.judged, likelihood)
    unseen = Joint(own, setting.x[None, :, seen.judged].contiguous(), likelihood)
    steps = (options.temperatures, options.leapfrog, setting.evidence.acceptance)
    start = (chains.z[-1], chains.step_size)
    model = log_predictive(seen.joint, unseen, *start, generator, *steps)
    x = as_numpy(setting.x)
    rest = (setting.moments, likelihood, x, seen.judged)
    found = {"model": model.value, "linear": linear_log(*rest), "pixels": pixelwise(*rest)}
    return found, float(np.sqrt((model.error**2).sum()) / len(x))


def _row(task: Task, solved: Solved) -> dict:
    chains = solved.chains
    return {
        **task._asdict(),
        "seen": len(solved.seen.view.index),
        "mc": solved.posterior.mc[:, solved.seen.judged].mean(),
        "log_mc": solved.log_mc,
        "rhat": np.median(chains.rhat),
        "rhat_95": np.quantile(chains.rhat, 0.95, method="higher"),
        "mixed": (chains.rhat < MIXED).mean(),
        "ess": np.median(chains.ess),
        "acceptance": chains.acceptance,
        "divergences": chains.divergences,
    }


def _errors(solved: Solved, x: np.ndarray) -> np.ndarray:
    """Squared errors of METHODS at the pixels that are judged, (METHODS, N). That of a draw,
    E[x | z, seen] at one sample of z, is its expectation over the samples: squared error of their
    mean plus their variance."""
    judged = solved.seen.judged
    found = {name: ((g - x) ** 2)[:, judged].mean(1) for name, g in solved.guesses.items()}
    found["posterior"] = ((solved.posterior.mean - x) ** 2)[:, judged].mean(1)
    found["draw"] = found["posterior"] + solved.posterior.variance[:, judged].mean(1)
    return np.stack([found.get(name, np.full(len(x), np.nan)) for name in METHODS])


def _pictures(solved: Solved, x: np.ndarray, images: int) -> np.ndarray:
    """The first images as SHOWN: (images, SHOWN, D)."""
    rows = (x, as_numpy(solved.seen.filled), solved.posterior.mean, *solved.posterior.draws)
    rows += (solved.guesses["encoder"], solved.guesses["nearest"])
    return np.stack([row[:images] for row in rows], 1)
