"""What the study measured, in three tables. Intervals are those of paper.verdicts, over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...paper.verdicts import over_seeds
from ...results import Gathered
from . import KIND
from .terms import TERMS, Term

#: columns with an interval over seeds, and those of which the mean is enough
ENDS = ["rmse", "noisy_rmse", "test", "common", "frechet", "frechet_codes", "features"]
ENDS += ["features_codes", "code_sd"]
MEANS = ["train", "kl", "sigma", "above", "sharpness", "test_se"]
MEANS += ["frechet_data", "features_data", "sharpness_data"]
CASE = ["experiment", "term", "seeds"]
BERNOULLI = [*CASE[::2], "continuous", "continuous_low", "continuous_high"]
BERNOULLI += ["same_logits", "same_mean"]
LOST = ("lost_logits", "lost_mean")  # nats
VARIANCES = ["experiment", "term", "samples", "seeds", "smallest", "low"]
VARIANCES += ["smallest_low", "smallest_high", "train", "test", "test_low", "test_high", "above"]


class Case(NamedTuple):
    """One term on one data set, over seeds."""

    experiment: str
    term: Term
    frame: pd.DataFrame

    @property
    def last(self) -> pd.DataFrame:
        """Rows of the end of training, by seed."""
        return self.frame[self.frame["last"] == 1].set_index("seed")

    @property
    def half(self) -> pd.DataFrame:
        """Rows at half of the samples, by seed."""
        middle = self.frame["samples"].max() / 2
        off = (self.frame["samples"] - middle).abs()
        return self.frame[off == off.min()].set_index("seed")


def cases(gathered: Gathered) -> Iterator[Case]:
    """Every table in the order of configuration and terms; where every seed diverged on the way,
    without an end."""
    found = gathered.of(KIND)
    models = gathered.study.reconstruction_terms.models if found else ()
    for model in models:
        for key, term in TERMS.items():
            table = found.get(f"{model.experiment}_{key}")
            if table is not None and len(table.frame):
                yield Case(model.experiment, term, table.frame)


def by_experiment(gathered: Gathered) -> dict[str, dict[str, Case]]:
    """Cases by experiment and key of the term."""
    found: dict[str, dict[str, Case]] = {}
    for case in cases(gathered):
        found.setdefault(case.experiment, {})[case.term.key] = case
    return found


def paired(one: pd.Series, other: pd.Series) -> pd.Series:
    """one - other, by the seeds that both have."""
    return (one - other).dropna()


def terms(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """One row per data set and term, at the end of training; columns as in columns.py, means over
    seeds, some with an interval (_low, _high)."""
    rows = []
    for case in cases(gathered):
        if not len(last := case.last):
            continue
        row = {"experiment": case.experiment, "term": case.term.key, "seeds": len(last)}
        for name in ENDS:
            row |= over_seeds(name, last[name])
        rows.append(row | last[MEANS].mean().to_dict())
    columns = [f"{name}{end}" for name in ENDS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*CASE, *columns, *MEANS])


def lost(found: dict[str, Case]) -> dict[str, pd.Series]:
    """By seed: the test bound of the model trained with the continuous Bernoulli less that of the
    model trained with the plain one, under the continuous Bernoulli at the same logits, and at the
    same means. Nothing where one of them is not there."""
    pair = [found.get(key) for key in ("continuous", "bernoulli")]
    if not all(case is not None and len(case.last) for case in pair):
        return {}
    own, plain = found["continuous"].last["test"], found["bernoulli"].last
    columns = zip(LOST, ("same_logits", "same_mean"), strict=True)
    return {name: paired(own, plain[column]) for name, column in columns}


def bernoulli(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per data set: test bounds under the continuous Bernoulli, nats per datapoint.

    continuous                of the model trained with it
    same_logits, same_mean    of the model trained with the plain Bernoulli, read in two ways
    lost_logits, lost_mean    the differences, paired by seed, with intervals over seeds
    """
    rows = []
    for experiment, found in by_experiment(gathered).items():
        apart = lost(found)
        if not apart:
            continue
        plain = found["bernoulli"].last
        row = {"experiment": experiment, "seeds": len(apart[LOST[0]])}
        row |= over_seeds("continuous", found["continuous"].last["test"])
        row |= plain[["same_logits", "same_mean"]].mean().to_dict()
        for name, values in apart.items():
            row |= over_seeds(name, values)
        rows.append(row)
    columns = [f"{name}{end}" for name in LOST for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*BERNOULLI, *columns])


def variances(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per data set, term with learned variances and evaluation: geometric means over seeds
    of the smallest variance (with its interval) and of the 1 per cent quantile; bounds, that
    of test images with its interval."""
    rows = []
    for case in cases(gathered):
        if case.term.outputs == 1:
            continue
        for samples, found in case.frame.groupby("samples"):
            row = {"experiment": case.experiment, "term": case.term.key, "samples": samples}
            row |= {"seeds": len(found)}
            row |= over_seeds("smallest", np.log(found["smallest"]))
            row["low"] = np.log(found["low"]).mean()
            logarithms = [name for name in row if name not in VARIANCES[:4]]
            row |= {name: np.exp(row[name]) for name in logarithms}
            row |= found[["train", "above"]].mean().to_dict() | over_seeds("test", found["test"])
            rows.append(row)
    return pd.DataFrame(rows, columns=VARIANCES)
