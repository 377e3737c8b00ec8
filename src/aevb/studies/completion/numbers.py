"""Errors of every way to complete images, over seeds, and against the posterior mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ...data import DATASETS
from ...paper.verdicts import Check, interval, named
from ...results import Gathered
from ...results.words import label
from . import STUDY, Task
from .columns import DENSITIES, METHODS

HOLES = ("pixels", "top", "grid")  # kinds of tasks with pixels of which nothing is seen
AGAINST = ("nearest", "encoder", "gibbs", "linear")  # whose error is divided by the posterior's
LOGS = [f"log_{name}" for name in DENSITIES] + [f"gain_{name}" for name in ("linear", "pixels")]
COMPLETION = ["experiment", "kind", "level", "share", "seeds", "images"]
COMPLETION += [f"{name}{end}" for name in METHODS for end in ("", "_low", "_high")]
COMPLETION += [f"ratio_{name}{end}" for name in AGAINST for end in ("", "_low", "_high")]
COMPLETION += [f"{name}{end}" for name in LOGS for end in ("", "_low", "_high")]
COMPLETION += ["log_mc", "mc_share", "rhat", "mixed", "ess", "acceptance", "divergences"]


class Cell(NamedTuple):
    """One task on one experiment: S seeds, N images."""

    experiment: str
    task: Task
    share: float  # of pixels seen
    errors: dict[str, np.ndarray]  # of METHODS: squared errors (S, N), per pixel judged
    log_p: dict[str, np.ndarray]  # of DENSITIES: log p(not seen | seen) (S, N), nats
    rows: pd.DataFrame  # of COMPLETION in columns.py, one per seed

    @property
    def name(self) -> str:
        """'MNIST, random pixels, 5 % seen'."""
        return f"{label(self.experiment)}, {said(self.task, self.share)}"

    def rmse(self, method: str) -> np.ndarray:
        """Root mean squared error over images and pixels, per seed: (S,)."""
        return np.sqrt(self.errors[method].mean(1))

    def log_ratio(self, method: str) -> np.ndarray:
        """log of the RMSE of `method` over that of the posterior mean, per seed: (S,)."""
        return np.log(self.rmse(method) / self.rmse("posterior"))

    def across(self, method: str) -> bool:
        """Whether the 95 % interval of Student's t over images, of the difference in squared error
        between `method` and the posterior mean (mean over seeds), reaches across 0."""
        return reaches_across((self.errors[method] - self.errors["posterior"]).mean(0))


def reaches_across(found: np.ndarray) -> bool:
    """Whether the 95 % interval of Student's t of the mean of `found` (N,) reaches across 0."""
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return bool(abs(found.mean()) < half)


def said(task: Task, share: float) -> str:
    """A task for people."""
    if task.kind == "noise":
        return f"noise {task.level:g}"
    if task.kind == "blocks":
        return f"means of {task.level:g} × {task.level:g} pixels"
    if task.kind == "grid":
        return f"one pixel in {task.level:g} × {task.level:g}, {100 * share:.3g} % seen"
    name = {"pixels": "random pixels", "top": "top rows"}[task.kind]
    return f"{name}, {100 * task.level:.3g} % seen"


def cells(gathered: Gathered) -> Iterator[Cell]:
    """Every experiment and task, with the seeds that have a table."""
    study, tables = gathered.study, gathered.of("completion")
    for experiment in study.completion.experiments if study.completion else ():
        names = [run.name for run in STUDY.at(study, experiment)]
        found = [tables[name] for name in names if name in tables and len(tables[name].frame)]
        for at, row in enumerate(found[0].frame.itertuples() if found else ()):
            errors, log_p = (
                np.stack([table.arrays[name][at] for table in found]).astype(float)
                for name in ("errors", "log_p")
            )
            rows = pd.DataFrame([table.frame.iloc[at] for table in found])
            yield Cell(
                experiment,
                Task(row.kind, row.level),
                row.seen / pixels(study, experiment),
                dict(zip(METHODS, errors.transpose(1, 0, 2), strict=True)),
                dict(zip(DENSITIES, log_p.transpose(1, 0, 2), strict=True)),
                rows,
            )


def lost(gathered: Gathered) -> Iterator[tuple[str, Task]]:
    """Name and task of the cells of which there is no seed, as all of the experiment diverged."""
    study, tables = gathered.study, gathered.of("completion")
    for experiment in study.completion.experiments if study.completion else ():
        runs = STUDY.at(study, experiment)
        found = [tables[run.name] for run in runs if run.name in tables]
        if not found or any(len(table.frame) for table in found):
            continue
        for task in study.completion.tasks(study.experiments[experiment].likelihood):
            share = task.level
            if task.kind == "grid":
                k, shape = int(task.level), shape_of(study, experiment)
                share = np.prod([len(range(k // 2, side, k)) / side for side in shape])
            yield f"{label(experiment)}, {said(task, share)}", task


def pixels(study, experiment: str) -> int:
    """D."""
    return int(np.prod(shape_of(study, experiment)))


def shape_of(study, experiment: str) -> tuple[int, int]:
    """Rows and columns of an experiment's images."""
    return DATASETS[study.experiments[experiment].dataset].shape


def _summed(name: str, values: np.ndarray, scale=np.asarray) -> dict[str, float]:
    """Mean over seeds and its interval, as verdicts have them."""
    return named(name, (float(scale(end)) for end in interval(Check("", list(values)))))


def completion(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per experiment and task. Columns COMPLETION:

    METHODS        root mean squared error over images and pixels not seen (of noise: all), grey
                   values 0 to 1; mean over seeds; _low and _high: 95 % interval over seeds
    ratio_*        of that error over the posterior mean's, geometric mean over seeds
    log_*          log p(not seen | seen), nats per image; gain_*: the model's minus that of
                   linear prediction, and of pixels on their own; not a number of noise and blocks
    log_mc         Monte Carlo standard error of log_model
    mc_share       share of the posterior mean's squared error that is Monte Carlo variance
    rhat, ess      medians over images, the worst coordinate; mean over seeds
    mixed          share of images with R-hat below 1.1
    """
    rows = []
    for cell in cells(gathered):
        seeds, images = cell.errors["posterior"].shape
        row = {"experiment": cell.experiment, **cell.task._asdict(), "share": cell.share}
        row |= {"seeds": seeds, "images": images}
        for name in METHODS:
            row |= _summed(name, cell.rmse(name))
        for name in AGAINST:
            row |= _summed(f"ratio_{name}", cell.log_ratio(name), np.exp)
        for name, values in cell.log_p.items():
            row |= _summed(f"log_{name}", values.mean(1))
            if name != "model":
                row |= _summed(f"gain_{name}", (cell.log_p["model"] - values).mean(1))
        row["log_mc"] = np.linalg.norm(cell.rows["log_mc"]) / seeds
        row["mc_share"] = cell.rows["mc"].mean() / cell.errors["posterior"].mean()
        for name in ("rhat", "mixed", "ess", "acceptance", "divergences"):
            row[name] = cell.rows[name].mean()
        rows.append(row)
    return pd.DataFrame(rows, columns=COMPLETION)
