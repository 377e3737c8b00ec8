"""What the report says of reconstructions."""

from __future__ import annotations

import pandas as pd

from ...core.words import joined, plural
from ...learners import LEARNERS
from ...report.parts import Part
from ...results import Gathered
from ...results.words import label, trained
from . import STUDY


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Whose errors are smaller, for its caption."""
    study = gathered.study
    runs = [run for run, _ in STUDY.runs(study)]
    others = dict.fromkeys(a for p in study.reconstructed for a in p.algorithms if a != "aevb")
    return Part(
        {
            "reconstructed_after": trained(study, runs),
            "reconstructed_data": joined(label(p.experiment) for p in study.reconstructed),
            "reconstructed_pairs": [said for a in others if (said := _compared(gathered, a))],
        }
    )


def _compared(gathered: Gathered, other: str) -> str:
    """At how many pairs of models the error of `other` is not that of AEVB, by more than two
    standard errors of the difference; "" if there is no pair."""
    errors = {
        (run.experiment, run.latent_dim, run.algorithm): table.frame.iloc[0]
        for name, table in gathered.of("reconstructed").items()
        for run in [gathered.runs[name]]
    }
    scores = [
        (errors[*model, other]["error"] - row["error"])
        # as if both were independent, which makes it larger than it is
        / (errors[*model, other]["error_se"] ** 2 + row["error_se"] ** 2) ** 0.5
        for (*model, algorithm), row in errors.items()
        if algorithm == "aevb" and (*model, other) in errors
    ]
    if not scores:
        return ""
    larger, smaller = sum(s > 2 for s in scores), sum(s < -2 for s in scores)
    return (
        f"The error of {LEARNERS[other].label} is larger than AEVB's in {larger} of "
        f"{plural(len(scores), 'pair')} of models with the same data and N_z, and smaller in "
        f"{smaller}, by more than two standard errors over the test images."
    )
