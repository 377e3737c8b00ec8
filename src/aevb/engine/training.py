"""The training that all learners share: curves to their budget, evaluated on the way; results.

A stack (stack.py) advances in blocks. On a GPU all curves of a job advance together (gpu.py), and
look up from it at evaluations and every GPU_CHECK steps.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from .. import results
from ..core import provenance
from ..core.run import Run
from ..data import Data
from ..learners import LEARNERS
from . import checkpoints, gpu
from .progress import Progress
from .roots import deciding
from .settings import Settings, device
from .stack import BLOCK, Stack, say_too_small, stack_of

# Steps after which a GPU's replicas are checked for divergence and may be interrupted: a second or
# less.
GPU_CHECK = 50 * BLOCK


def grid(first: int, last: int, points_per_decade: int, quantum: int, even: int = 0) -> list[int]:
    """Sample counts of the evaluations: a logarithmic grid from `first`, and `last` itself.

    The counts are rounded to `quantum`. With `even`, that many are spread evenly up to `last`, and
    the logarithmic grid ends before the first of them.
    """
    points = {max(1, round(last * k / even / quantum)) * quantum for k in range(1, even)} | {last}
    k, stop = 0, min(points)
    while (point := first * 10 ** (k / points_per_decade)) < stop:
        rounded = max(quantum, round(point / quantum) * quantum)
        if rounded < last:
            points.add(rounded)
        k += 1
    return sorted(points)


class Curve(NamedTuple):
    """What one stack trains: the replicas `runs` of a curve, to settings.samples.

    Each has one of `step_sizes`. `states` is the folder that keeps the states of finished runs.
    """

    runs: list[Run]
    step_sizes: list[float]
    settings: Settings
    data: Data
    checkpoint: Path | None = None
    states: str | None = None


def train(
    runs: list[Run],
    step_sizes: list[float],
    settings: Settings,
    data: Data,
    checkpoint: Path | None = None,
) -> list[results.RunResult]:
    """Train the replicas `runs` (one curve) as a stack, each with one of `step_sizes`, to
    settings.samples.

    With `checkpoint`, state is kept there every half minute, and on SIGTERM or SIGINT, which raise
    Interrupted. Training continues from a checkpoint that is there. The result has the same bits
    either way.
    """
    return train_fitting([Curve(runs, step_sizes, settings, data, checkpoint)])[0]


def train_together(curves: list[Curve]) -> list[list[results.RunResult]]:
    """Train `curves`, which have the same batch size, budget and evaluations.

    There are several of them only on a GPU, by on-line learners.
    """
    stacks = [stack_of(*curve[:4]) for curve in curves]
    first, settings = stacks[0], curves[0].settings
    last_step = -(-settings.samples // first.samples_per_step)
    points, stops = _points(first, settings, last_step)
    keeper = checkpoints.Keeper(stacks, curves, last_step)
    keeper.restore(settings.samples)
    for stack in stacks:
        stack.evaluate_once(points)  # a state is kept before that
    progress = Progress(stacks, last_step * first.samples_per_step)
    with checkpoints.signals() as received:
        while due := [stack for stack in stacks if stack.step < last_step and stack.live]:
            # Those that resumed at an older checkpoint catch up first.
            step = min(stack.step for stack in due)
            due = [stack for stack in due if stack.step == step]
            if first.branches is None:
                first.train_block(last_step)
            else:
                first.branches.train(due, next(stop for stop in stops if stop > step))
            for stack in due:
                keeper.keep(stack)
                stack.evaluate_once(points)
            if received or keeper.due:
                keeper.save()
            if received:
                print(
                    f"{progress.name}: stopped by signal {received[0]} at {due[0].samples:,} "
                    "samples; run again to resume",
                    file=sys.stderr,
                )
                raise checkpoints.Interrupted(128 + received[0])
            progress(due)
        keeper.save()  # finished: a job that is stopped in a later curve does not repeat this one
    return [
        [_result(stack, replica, step_size) for replica, step_size in enumerate(curve.step_sizes)]
        for stack, curve in zip(stacks, curves, strict=True)
    ]


def _points(stack: Stack, settings: Settings, last_step: int) -> tuple[list[int], list[int]]:
    """The samples at which `stack` is evaluated on its way to `last_step`, and the steps at which
    a GPU pauses."""
    size, options = stack.samples_per_step, settings.evaluation
    points = grid(
        options.first,
        last_step * size,
        options.points_per_decade,
        stack.block * size,
        settings.snapshots,
    )
    stops = {*range(GPU_CHECK, last_step, GPU_CHECK), *(point // size for point in points)}
    stops.add(checkpoints.whole(last_step, stack))
    return points, sorted(stops)


def train_fitting(curves: list[Curve]) -> list[list[results.RunResult]]:
    """Train `curves` together, or by halves where a GPU's memory does not hold all.

    One half of the curves, or of the replicas of one, then follows the other. A replica's random
    numbers do not depend on its companions. Raises UserError if the memory does not hold a single
    replica.
    """
    with contextlib.suppress(torch.OutOfMemoryError):
        return train_together(curves)
    first = curves[0]
    replicas = sum(len(curve.runs) for curve in curves)
    say_too_small(first.runs[0], replicas)
    if len(curves) > 1:
        half = len(curves) // 2
        return train_fitting(curves[:half]) + train_fitting(curves[half:])
    trained = []
    for part in (slice(replicas // 2), slice(replicas // 2, None)):
        runs = first.runs[part]
        checkpoint = first.checkpoint and checkpoints.path_beside(
            first.checkpoint.with_name(Path(runs[0].name).name + ".h5")
        )
        trained += train_fitting(
            [first._replace(runs=runs, step_sizes=first.step_sizes[part], checkpoint=checkpoint)]
        )[0]
    return [trained]


def _result(stack: Stack, replica: int, step_size: float) -> results.RunResult:
    run, settings = stack.runs[replica], stack.settings
    diverged = bool(stack.reasons[replica])
    seconds = float(stack.train_seconds[replica])
    attributes = {
        "schema": results.SCHEMA,
        "experiment": run.experiment,
        "dataset": stack.data.name,
        "likelihood": settings.experiment.likelihood,
        "algorithm": run.algorithm,
        "latent_dim": run.latent_dim,
        "hidden": settings.experiment.hidden,
        "n_train": len(stack.train),
        "n_test": len(stack.test),
        "seed": run.seed,
        "step_size": step_size,
        "status": "diverged" if diverged else "completed",
        "reason": stack.reasons[replica],
        "samples": stack.samples_at_end[replica],
        "config": settings.to_json(run.algorithm),
        "data_sha256": stack.data.sha256,
        "threads": settings.threads,
        "train_seconds": seconds,
        "evaluation_seconds": float(stack.evaluation_seconds[replica]),
        "samples_per_second": stack.samples_at_end[replica] / seconds,
        **provenance.attributes(stack.device, deciding(run, settings)),
    }
    curve = pd.DataFrame(stack.curves[replica], columns=list(results.CURVE), dtype=float)
    weights = {}
    if not diverged:
        views = stack.layout.view(stack.theta[[stack.live.index(replica)]].cpu())
        weights = {
            name: value[0].squeeze(0).numpy() if name.endswith("bias") else value[0].numpy()
            for name, value in views.items()
        }
    snapshots = stack.snapshots[replica]
    return results.RunResult(attributes, curve, weights, np.stack(snapshots) if snapshots else None)


class Job(NamedTuple):
    """Runs of one experiment with what decides them."""

    runs: dict[Run, str]  # run -> output file
    pilots: dict[str, str]  # curve name -> pilot file
    settings: Settings
    data: Data
    states: str | None = None  # folder that keeps the states of finished runs


def train_jobs(jobs: list[Job]) -> None:
    """Train the runs of `jobs` and write their files: curve by curve, the seeds of a curve stacked.

    On a GPU all curves of on-line learners that can go in step train together, those of all jobs.
    All checkpoints are removed when the last result is written, so that a job that is stopped and
    started again repeats none of its curves (with `states`, but for replicas that diverged).
    """
    files: dict[Run, str] = {}
    groups: dict[object, list[Curve]] = {}
    for job in jobs:
        files |= job.runs
        settings, data = job.settings, job.data
        together = gpu.serves(where := device(settings.device, settings.threads, settings.tf32))
        if together:  # one copy there for all curves
            data = replace(data, train=data.train.to(where), test=data.test.to(where))
        curves: dict[str, list[Run]] = {}
        for run in job.runs:
            curves.setdefault(run.curve, []).append(run)
        states = checkpoints.States(job.states, settings, data, where)
        for curve, members in curves.items():
            chosen = results.read_pilot(job.pilots[curve]).step_size
            learner = LEARNERS[members[0].algorithm]
            steps = {run: states.step(run, chosen) for run in members}
            for step in dict.fromkeys(steps.values()):  # those that go on from one go together
                mine = [run for run in members if steps[run] == step]
                group: object = (curve, len(groups))  # by itself
                if together and learner.online:
                    group = (
                        settings.training.batch_size,
                        settings.samples,
                        settings.snapshots,
                        settings.evaluation,
                        learner.captured,
                    )
                beside = checkpoints.path_beside(job.runs[mine[0]])
                sizes = [chosen] * len(mine)
                groups.setdefault(group, []).append(
                    Curve(mine, sizes, settings, data, beside, job.states)
                )
    for curves in groups.values():
        for curve, trained in zip(curves, train_fitting(curves), strict=True):
            for run, result in zip(curve.runs, trained, strict=True):
                results.write_run(files[run], result)
    # Of every run: where a GPU was too small, parts of curves have some.
    for path in files.values():
        checkpoints.path_beside(path).unlink(missing_ok=True)
