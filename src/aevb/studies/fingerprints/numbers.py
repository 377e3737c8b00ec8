"""How far each reading is from the first points of the paper's curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.interpolate import PchipInterpolator

from ...paper.curves import accuracy as read_to
from ...paper.curves import paper_curve
from ...paper.facts import CHOSEN_UP_TO
from ...results import Gathered, RunResult
from ...results.curves import replicas

COLUMNS = ["experiment", "algorithm", "latent_dim", "reading", "seeds", "diverged", "points"]
COLUMNS += ["first", "average", "test", "spread", "score", "closest"]
STEPS = ["experiment", "algorithm", "latent_dim", "step_size", "pilot", "needed"]


class Place(NamedTuple):
    """One curve of the paper, and ours under every reading of it."""

    experiment: str
    algorithm: str
    latent_dim: int
    runs: dict[str, list[RunResult]]  # by reading
    points: list[tuple[str, float, float, float]]  # split, samples, previous samples, value
    accuracy: float  # nats with which the paper's values are read
    steps: list[str]  # readings that differ in the step size alone

    @property
    def named(self) -> dict:
        """What rows of tables call the curve."""
        return {name: getattr(self, name) for name in ("experiment", "algorithm", "latent_dim")}


def places(gathered: Gathered, paper: pd.DataFrame) -> Iterator[Place]:
    """The paper's curves that the study has runs for, with their points up to CHOSEN_UP_TO."""
    study, seen, steps = gathered.study, {}, {}
    for row in study.fingerprints.curves if study.fingerprints else ():
        for latent_dim in row.latent_dims:
            for algorithm in row.algorithms:
                known = seen.setdefault((row.experiment, algorithm, latent_dim), {})
                steps.setdefault((row.experiment, algorithm, latent_dim), []).extend(row.steps)
                for reading in row.readings or study.fingerprints.readings:
                    found = replicas(gathered, f"{row.experiment}+{reading}", algorithm, latent_dim)
                    known |= {reading: found} if found else {}
    for (experiment, algorithm, latent_dim), runs in seen.items():
        curves = {
            split: paper_curve(paper, study, experiment, latent_dim, algorithm, split)
            for split in ("train", "test")
        }
        curves = {split: curve for split, curve in curves.items() if curve is not None}
        # Of both splits: where the line of one goes straight on, its point is not in the file.
        counts = sorted({0.0, *(n for curve in curves.values() for n in curve["samples"])})
        points = [
            (split, float(samples), max(n for n in counts if n < samples), float(value))
            for split, curve in curves.items()
            for samples, value in curve.itertuples(index=False)
            if samples <= CHOSEN_UP_TO
        ]
        if points and runs:
            accuracy = read_to(study.experiments[experiment].dataset)
            named = [name for name in steps[experiment, algorithm, latent_dim] if name in runs]
            yield Place(experiment, algorithm, latent_dim, runs, points, accuracy, named)


def _ours(run: RunResult, split: str, samples: float, before: float) -> float:
    """What a run has at a point of the paper: the test bound, or the mean of the minibatch bounds
    since the count `before`. NaN beyond its evaluations; between them by monotone cubics, of the
    test bound over the logarithm of the samples and of the sum of the bounds over the samples."""
    curve = run.curve
    counts = curve["samples"].to_numpy(float)
    if not (counts[0] if split == "test" else 0.0) <= samples <= counts[-1]:
        return np.nan
    if split == "test" and len(counts) == 1:
        return float(curve["test"].iloc[0])
    if split == "test":
        return float(PchipInterpolator(np.log(counts), curve["test"])(np.log(samples)))
    ends = np.append(0.0, counts)
    sums = np.append(0.0, np.cumsum(curve["running"].to_numpy(float) * np.diff(ends)))
    low, high = PchipInterpolator(ends, sums)([before, samples])
    return float(high - low) / (samples - before)


def fingerprints(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per curve and reading; one more per reading, with latent_dim empty, for all curves of
    an experiment and algorithm. Columns: experiment, algorithm, latent_dim, reading, and

        seeds      that did not diverge
        diverged   number of the others
        points     of the paper's curve up to CHOSEN_UP_TO that ours reach
        first      samples at the first of its train curve, the mean of all minibatch bounds so far
        average    mean over seeds minus the paper's value there, nats per datapoint
        test       the same at the first point of the test curve that ours reach
        spread     the yardstick at `first`, nats
        score      root mean square over the points of |ours - the paper's| / yardstick; about 1
                   for the paper's own reading; infinite if a seed diverged, as the paper's did not;
                   NaN where no point is reached, or a spread is not known
        closest    whether the score is the least of the curve

    Yardstick of a point: what the paper's one run may differ from a mean of n seeds,
    sqrt(s^2 (1 + 1/n) + a^2). Here a is the accuracy with which the paper's values are read, and
    s^2 the variance over seeds: the median over readings, divided by that of chi^2 / (n - 1).
    """
    rows = [{**place.named, **row} for place in places(gathered, paper) for row in _scored(place)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return _with_all_curves(table) if rows else table


def _scored(place: Place) -> Iterator[dict]:
    """A row of `fingerprints` for each reading of one curve."""
    values = {
        reading: np.array(
            [
                [_ours(run, *point[:3]) for point in place.points]
                for run in runs
                if run.status == "completed"
            ]
        ).reshape(-1, len(place.points))
        for reading, runs in place.runs.items()
    }
    variance = _variance(list(values.values()), len(place.points))
    target = np.array([point[3] for point in place.points])
    splits = np.array([point[0] for point in place.points])
    for reading, found in values.items():
        n = len(found)
        diverged = len(place.runs[reading]) - n
        row = {"reading": reading, "seeds": n, "diverged": diverged, "points": 0}
        if n:
            away = found.mean(0) - target
            yard = np.sqrt(variance * (1 + 1 / n) + place.accuracy**2)
            for split, column in (("train", "average"), ("test", "test")):
                (mine,) = np.nonzero(np.isfinite(away) & (splits == split))
                if len(mine):
                    row[column] = away[mine[0]]
                if len(mine) and split == "train":
                    row |= {"first": place.points[mine[0]][1], "spread": yard[mine[0]]}
            reached = np.isfinite(away)
            row["points"] = int(reached.sum())
            if reached.any():
                row["score"] = sqrt(np.mean((away[reached] / yard[reached]) ** 2))
        if row["diverged"]:
            row["score"] = np.inf
        yield row


def _variance(values: list[np.ndarray], points: int) -> np.ndarray:
    """Variance over seeds at each of the points, (points,): see `fingerprints`. `values` are those
    of each reading, (seeds, points); NaN where no reading has two seeds."""
    spreads = [
        found.var(0, ddof=1) / (stats.chi2.median(len(found) - 1) / (len(found) - 1))
        for found in values
        if len(found) > 1
    ]
    return np.median(spreads, axis=0) if spreads else np.full(points, np.nan)


def _with_all_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `fingerprints` with those for all curves of an experiment and algorithm, where a
    reading has been trained for each of them; and which of each is closest."""
    groups = table.groupby(["experiment", "algorithm"], sort=False)
    whole = groups["latent_dim"].transform("nunique")
    by = ["experiment", "algorithm", "reading"]
    full = table[table.groupby(by)["latent_dim"].transform("nunique") == whole]
    pooled = full.groupby(by, sort=False, as_index=False).agg(
        seeds=("seeds", "min"),
        diverged=("diverged", "sum"),
        points=("points", "sum"),
        score=("score", lambda part: float(np.sqrt((part**2).mean(skipna=False)))),
    )
    table = pd.concat([table, pooled.assign(latent_dim=np.nan)], ignore_index=True)
    curves = [table["experiment"], table["algorithm"], table["latent_dim"].fillna(0)]
    least = table.groupby(curves)["score"].transform("min")
    table["closest"] = (table["score"] == least) & np.isfinite(least)
    return table[COLUMNS]


def step_sizes(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The step size of each curve of the paper, recovered from readings that differ in it alone
    (`steps` of a row), and the pilot that would have chosen it. One row per curve: experiment,
    algorithm, latent_dim, and

        step_size   that of the reading with the least score
        pilot       what a pilot up to the first evaluation would choose
        needed      samples from which on every longer pilot chooses `step_size`; NaN if none does

    A pilot chooses by the mean of the minibatch bounds since the evaluation before, over seeds.
    """
    rows = []
    for place in places(gathered, paper):
        scores = {row["reading"]: row.get("score", np.nan) for row in _scored(place)}
        steps = {name: place.runs[name] for name in place.steps if np.isfinite(scores[name])}
        if len(steps) < 2:
            continue
        bounds = {
            runs[0].step_size: pd.concat(
                [run.curve.set_index("samples")["running"] for run in runs], axis=1
            ).mean(axis=1)
            for runs in steps.values()
        }
        chosen = pd.DataFrame(bounds).dropna().idxmax(axis=1)
        best = steps[min(steps, key=scores.__getitem__)][0].step_size
        other = chosen.index[chosen != best]
        later = chosen.index[chosen.index > other[-1]] if len(other) else chosen.index
        row = {"step_size": best, "pilot": chosen.iloc[0] if len(chosen) else np.nan}
        rows.append({**place.named, **row, "needed": later[0] if len(later) else np.nan})
    return pd.DataFrame(rows, columns=STEPS)
