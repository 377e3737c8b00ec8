"""How far each reading is from the first points of the paper's curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...paper.curves import averaged_bound, paper_curve
from ...paper.facts import READING
from ...results import Gathered, RunResult
from ...results.curves import at, replicas

#: up to here the paper's points choose a reading; those beyond are left to test the choice
CHOOSING = 1_000_000
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


def places(gathered: Gathered, paper: pd.DataFrame) -> Iterator[Place]:
    """The paper's curves that the study has runs for, with their points up to CHOOSING."""
    study, seen = gathered.study, {}
    for row in study.fingerprints.curves if study.fingerprints else ():
        for latent_dim in row.latent_dims:
            for algorithm in row.algorithms:
                known = seen.setdefault((row.experiment, algorithm, latent_dim), {})
                for reading in row.readings or study.fingerprints.readings:
                    found = replicas(gathered, f"{row.experiment}+{reading}", algorithm, latent_dim)
                    known |= {reading: found} if found else {}
    for (experiment, algorithm, latent_dim), runs in seen.items():
        points = []
        for split in ("train", "test"):
            curve = paper_curve(paper, study, experiment, latent_dim, algorithm, split)
            before = 0.0
            for samples, value in () if curve is None else curve.itertuples(index=False):
                if samples <= CHOOSING:
                    points.append((split, float(samples), before, float(value)))
                before = float(samples)
        if points and runs:
            accuracy = READING[study.experiments[experiment].dataset]
            yield Place(experiment, algorithm, latent_dim, runs, points, accuracy)


def _ours(run: RunResult, split: str, samples: float, before: float) -> float:
    """What a run has at a point of the paper: the test bound, or the mean of the minibatch bounds
    since the point `before`. NaN beyond its end."""
    if split == "test":
        return at(run.curve, "test", samples)
    return averaged_bound(run.curve, samples, samples - before)


def fingerprints(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per curve and reading; one more per reading, with latent_dim empty, for all curves of
    an experiment and algorithm. Columns: experiment, algorithm, latent_dim, reading, and

        seeds      that did not diverge
        diverged   number of the others
        points     of the paper's curve up to CHOOSING that ours reach
        first      samples at the first of its train curve, the mean of all minibatch bounds so far
        average    mean over seeds minus the paper's value there, nats per datapoint
        test       the same at the first point of the test curve that ours reach
        spread     the yardstick at `first`, nats
        score      root mean square over the points of |ours - the paper's| / yardstick; about 1
                   where a reading is the paper's; infinite where every seed diverged
        closest    whether the score is the least of the curve

    Yardstick of a point: what the paper's one run may differ from a mean of n seeds,
    sqrt(s^2 (1 + 1/n) + a^2). Here s^2 is the variance over seeds, the median over readings, and a
    the accuracy with which the paper's values are read.
    """
    rows = []
    for place in places(gathered, paper):
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
        spreads = [found.var(0, ddof=1) for found in values.values() if len(found) > 1]
        variance = np.nanmedian(spreads, axis=0) if spreads else np.full(len(place.points), np.nan)
        target = np.array([point[3] for point in place.points])
        splits = np.array([point[0] for point in place.points])
        for reading, found in values.items():
            n = len(found)
            row = {"experiment": place.experiment, "algorithm": place.algorithm}
            row |= {"latent_dim": place.latent_dim, "reading": reading, "seeds": n}
            row |= {"diverged": len(place.runs[reading]) - n, "points": 0, "score": np.inf}
            if n:
                away = found.mean(0) - target
                yard = np.sqrt(variance * (1 + 1 / n) + place.accuracy**2)
                reached = np.isfinite(away)
                for split, column in (("train", "average"), ("test", "test")):
                    (mine,) = np.nonzero(reached & (splits == split))
                    if len(mine):
                        row[column] = away[mine[0]]
                    if len(mine) and split == "train":
                        row |= {"first": place.points[mine[0]][1], "spread": yard[mine[0]]}
                row["points"] = int(reached.sum())
                score = sqrt(np.mean((away[reached] / yard[reached]) ** 2)) if any(reached) else 0
                row["score"] = score if any(reached) else np.nan
            rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return _with_all_curves(table) if rows else table


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
    table["closest"] = table["score"] == table.groupby(curves)["score"].transform("min")
    return table[COLUMNS]


def step_sizes(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The step size of each curve of the paper, recovered from the readings of
    `fingerprints.steps`, and the pilot that would have chosen it. One row per curve: experiment,
    algorithm, latent_dim, and

        step_size   that of the reading with the least score
        pilot       what a pilot as long as the first evaluation would choose
        needed      samples from which on every longer pilot chooses `step_size`; NaN if none does

    A pilot chooses by the mean of the minibatch bounds since the evaluation before, over seeds.
    """
    study = gathered.study
    steps = study.fingerprints.steps if study.fingerprints else []
    scores = fingerprints(gathered, paper) if steps else pd.DataFrame(columns=COLUMNS)
    rows = []
    for place in places(gathered, paper) if steps else ():
        key = (place.experiment, place.algorithm, place.latent_dim)
        mine = scores[(scores[["experiment", "algorithm", "latent_dim"]] == key).all(axis=1)]
        mine = mine[mine["reading"].isin(steps)].set_index("reading")["score"]
        bounds = {}  # of each step size, by samples
        for reading in steps:
            runs = place.runs.get(reading, [])
            if runs and all(run.status == "completed" for run in runs):
                series = [run.curve.set_index("samples")["running"] for run in runs]
                bounds[runs[0].attributes["step_size"]] = pd.concat(series, axis=1).mean(axis=1)
        if not len(mine) or not bounds:
            continue
        chosen = pd.DataFrame(bounds).dropna().idxmax(axis=1)
        best = study.training_of(f"{place.experiment}+{mine.idxmin()}").step_sizes[0]
        other = chosen.index[chosen != best]
        later = chosen.index[chosen.index > (other[-1] if len(other) else 0)]
        row = dict(zip(STEPS, (*key, best, chosen.iloc[0]), strict=False))
        rows.append(row | {"needed": later[0] if len(later) else np.nan})
    return pd.DataFrame(rows, columns=STEPS)
