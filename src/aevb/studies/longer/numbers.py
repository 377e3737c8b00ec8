"""Figure 2 to more samples: how far from the paper, and where both studies end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ...paper.claims import verdicts
from ...paper.curves import paper_curve
from ...results import SPLITS, Gathered
from ...results.curves import at, completed, ignoring_z
from ..sources.numbers import named_study, shown_distances

LEFT = 10.0  # nats above the bound of a model that ignores z, from where z counts as used


def _other(gathered: Gathered, others: Sequence[Gathered]) -> Gathered:
    return named_study("longer.other", gathered.study.longer.other, others)


def distances(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]) -> pd.DataFrame:
    """`shown_distances` of the longer study."""
    return shown_distances(_other(gathered, others), paper)


def claims(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]) -> pd.DataFrame:
    """The verdicts on the paper's claims that both studies can test: columns claim, `here` and
    `longer`, the words of each."""
    mine, theirs = (
        table[(table["checks"] > 0) & table["paper"].astype(bool)].set_index("claim")["verdict"]
        for table in (verdicts(study, paper) for study in (gathered, _other(gathered, others)))
    )
    return pd.concat({"here": mine, "longer": theirs}, axis=1, join="inner").reset_index()


def _curves(study: Gathered):
    """experiment, latent_dim, algorithm and completed curves by seed, of each curve of Figure 2."""
    for row in study.study.figure2:
        for latent_dim in row.latent_dims:
            for algorithm in row.algorithms:
                curves = completed(study, row.experiment, algorithm, latent_dim)
                yield row.experiment, latent_dim, algorithm, curves


def ends(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]) -> pd.DataFrame:
    """Bounds of both studies at the last count that all seeds of this one have, one row per curve
    and split: the difference of their means over seeds, longer minus this one, nats per datapoint,
    and its 95 % interval by Welch's t (low, high; NaN unless both have two seeds)."""
    theirs = {tuple(key): curves for *key, curves in _curves(_other(gathered, others))}
    rows = []
    for *place, mine in _curves(gathered):
        if not mine or not theirs.get(tuple(place)):
            continue
        samples = min(curve["samples"].iloc[-1] for curve in mine.values())
        for split in SPLITS:
            values = [
                np.array([at(curve, split, samples) for curve in curves.values()])
                for curves in (theirs[tuple(place)], mine)
            ]
            rows.append([*place, split, samples, *map(len, values), *_difference(*values)])
    columns = ["experiment", "latent_dim", "algorithm", "split", "samples"]
    return pd.DataFrame(
        rows, columns=[*columns, "longer_seeds", "seeds", "difference", "low", "high"]
    )


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """mean a - mean b, and its 95 % interval by Welch's t."""
    difference = a.mean() - b.mean()
    if min(len(a), len(b)) < 2:
        return difference, np.nan, np.nan
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return difference, interval.low, interval.high


def collapse(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]) -> pd.DataFrame:
    """When the longer curves leave the bound of a model that ignores z: from `left` samples on the
    test bound is LEFT nats above it (NaN: it never is). One row per curve and seed, which ends at
    `last`; the paper's has the seed -1."""
    study, rows = _other(gathered, others), []
    for experiment, latent_dim, algorithm, curves in _curves(study):
        if "test" not in (bounds := ignoring_z(study, experiment)):
            continue
        limit = bounds["test"] + LEFT
        found = {seed: curve[["samples", "test"]] for seed, curve in curves.items()}
        theirs = paper_curve(paper, study.study, experiment, latent_dim, algorithm, "test")
        if theirs is not None:
            found[-1] = theirs[["samples", "value"]]
        for seed, curve in found.items():
            samples, test = curve.to_numpy().T
            below = np.flatnonzero(~(test > limit))
            left = [*samples, np.nan][below[-1] + 1 if len(below) else 0]
            rows.append([experiment, latent_dim, algorithm, seed, left, samples[-1]])
    columns = ["experiment", "latent_dim", "algorithm", "seed", "left", "last"]
    return pd.DataFrame(rows, columns=columns)
