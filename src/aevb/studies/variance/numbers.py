"""The variances measured, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from ...core.words import short
from ...paper.facts import PAPER_HIDDEN
from ...results import Gathered
from ...results.words import named

COLUMNS = ["experiment", "latent_dim", "samples", "estimator", "part", "variance", "variance_se"]
COLUMNS += ["ratio", "ratio_se", "squared_norm"]


def variances(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The tables of the variance study below each other, with the experiment of their model."""
    tables = [
        table.frame.assign(experiment=gathered.runs[name].experiment)
        for name, table in gathered.of("variance").items()
    ]
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    return found[COLUMNS]


# What it measures, in words.
PARTS = {"bound": "minibatch bound", "bound_all": "training-set bound", "encoder": "encoder"}


def measured(gathered: Gathered, part: str, estimator: str) -> Iterator[tuple[str, NamedTuple]]:
    """Rows of the tables on data of the paper, with the model and the point of its training."""
    for name, table in gathered.of("variance").items():
        model, frame = gathered.runs[name], table.frame
        rows = frame[(frame["part"] == part) & (frame["estimator"] == estimator)]
        for row in rows.itertuples() if model.dataset in PAPER_HIDDEN else ():
            point = short(int(row.samples)) + " samples" if row.samples else "start"
            yield f"{named(model.experiment, model.latent_dim)}, {PARTS[part]} at {point}", row
