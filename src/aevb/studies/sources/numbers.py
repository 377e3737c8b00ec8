"""Figure 2 under two readings of the paper, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...config import Config
from ...core.errors import UserError
from ...core.words import joined
from ...data import DATASETS
from ...paper.claims import verdicts
from ...paper.distance import distances
from ...results import Gathered
from ..planning import budgets

DETAILS = Path(__file__).with_name("details.csv")
CURVE = ["experiment", "latent_dim", "algorithm", "split", "further", "points"]
OF_BOTH = ["seeds", "first", "last", "rms", "sd", "target", "found"]


def named_study(key: str, name: str, others: Sequence[Gathered]) -> Gathered:
    """The study `name` of those beside, which the configuration gives as `key`. Raises UserError
    if it is not there."""
    for study in others:
        if study.config["name"] == name:
            return study
    there = joined(study.config["name"] for study in others)
    raise UserError(f"{key} is '{name}', but the studies of `beside` are called {there}")


def other(gathered: Gathered, others: Sequence[Gathered]) -> Gathered:
    """The study of the other reading. Raises UserError if it is not beside."""
    return named_study("sources.other", gathered.study.sources.other, others)


def _value(study: Config, experiment: str, key: str) -> str:
    """What a key of the configuration is for an experiment."""
    if key == "batch_sizes":
        return str(study.training_of(experiment).batch_size)
    if key == "step_sizes":
        found = {run.algorithm for run in budgets(study) if run.experiment == experiment}
        sizes = {s for learner in found for s in study.training_of(experiment, learner).step_sizes}
        return " or ".join(f"{size:g}" for size in sorted(sizes))
    section, name = key.split(".")
    part = study.training_of(experiment)
    if section != "training":
        part = study.options_of(section, experiment)
    value = getattr(part, name)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _values(study: Config, key: str) -> str:
    """The same for all experiments of Figure 2."""
    experiments = list(dict.fromkeys(row.experiment for row in study.figure2))
    values = {name: _value(study, name, key) for name in experiments}
    if len(set(values.values())) == 1:
        return values[experiments[0]]
    titles = {name: DATASETS[study.experiments[name].dataset].title for name in experiments}
    return ", ".join(f"{titles[name]}: {value}" for name, value in values.items())


def sources(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]) -> pd.DataFrame:
    """Details that the paper does not print or print rightly, one row each: `detail`, what each of
    the three sources says, the key of the configuration, and what this study (here) and that of
    the other reading (there) do."""
    table = pd.read_csv(DETAILS, keep_default_na=False)
    studies = {"here": gathered.study, "there": other(gathered, others).study}
    for name, study in studies.items():
        done = [_values(study, key) if key else "both are stored" for key in table["key"]]
        table[name] = done
    return table


def shown_distances(study: Gathered, paper: pd.DataFrame) -> pd.DataFrame:
    """Distances of Figure 2 (paper.distance.distances), of what the paper most likely shows: test
    bounds and running averages; `further`: whether the row is of seeds that are trained further
    alone."""
    table = distances(study, paper)
    shown = (table["split"] == "test") | (table["reading"] == "average")
    table = table[(table["figure"] == 2) & shown]
    most = table.groupby(["experiment", "latent_dim", "algorithm"])["seeds"].transform("max")
    return table.assign(further=table["seeds"] < most)


def both_distances(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]
) -> pd.DataFrame:
    """`shown_distances` under both readings: one row per curve and points, of all seeds and where
    both studies have some that are trained further, of these.

    Columns CURVE and OF_BOTH; those of the other reading are called other_seeds and so on.
    """
    mine, theirs = (
        shown_distances(study, paper).set_index(CURVE)[OF_BOTH]
        for study in (gathered, other(gathered, others))
    )
    return mine.join(theirs.add_prefix("other_"), how="inner").reset_index()


def both_claims(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]
) -> pd.DataFrame:
    """The verdicts on the paper's claims under both readings, of those that both can test.

    Under this reading they are judged on this study, or else on the first of the keys of
    `sources.also` that can test them; under the other one on `other`, or else on the studies that
    the keys stand for. Columns claim, unit, and verdict, effect, low, high, check, limit and those
    of the other reading, called other_verdict and so on.
    """
    also = gathered.study.sources.also
    here, there = (
        [named_study("sources.also", name, others) for name in names]
        for names in (also, also.values())
    )
    shown = ["verdict", "effect", "low", "high", "check", "limit"]
    mine, theirs = (
        table[table["checks"] > 0].set_index(["claim", "unit"])[shown]
        for table in (
            verdicts(gathered, paper, here),
            verdicts(other(gathered, others), paper, there),
        )
    )
    return mine.join(theirs.add_prefix("other_"), how="inner").reset_index()
