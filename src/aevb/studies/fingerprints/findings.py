"""What the report says of the fingerprints."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import joined, number
from ...learners import LEARNERS
from ...report.parts import Part, Section, plain
from ...results import Gathered
from ...results.words import label


def closest(table: pd.DataFrame) -> str:
    """Which reading comes closest to all curves of an experiment and algorithm, in a sentence."""
    parts = []
    for (experiment, algorithm), part in table[table["latent_dim"].isna()].groupby(
        ["experiment", "algorithm"], sort=False
    ):
        part = part[np.isfinite(part["score"])].sort_values("score", kind="stable")
        if len(part):
            found = [f"{row.reading} ({number(row.score)})" for row in part.head(2).itertuples()]
            then = f", then {found[1]}" if len(found) > 1 else ""
            parts.append(f"{label(experiment)}, {LEARNERS[algorithm].label}: {found[0]}{then}")
    return f"Closest, over all curves: {'; '.join(parts)}." if parts else ""


def steps(table: pd.DataFrame) -> str:
    """The recovered step sizes, in a sentence; '' without any."""
    if not len(table):
        return ""
    counts = table["step_size"].value_counts()
    found = joined([f"{step:g} for {n}" for step, n in counts.items()])
    missed = int((table["pilot"] != table["step_size"]).sum())
    return (
        f"The step size that comes closest is {found} of {len(table)} curves. A pilot as long as "
        f"the first evaluation would have chosen another for {missed} of them."
    )


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Which reading gives the first points of the paper's curves."""
    table = numbers.get("fingerprints", pd.DataFrame())
    if not len(table):
        return Part({"closest_reading": "", "recovered": ""})
    found = numbers.get("step_sizes", pd.DataFrame())
    blocks = [("text", "first-points"), ("figure", "fingerprints"), ("file", "fingerprints")]
    blocks.append(("table", "step_sizes"))
    section = Section("fingerprints", "Readings by fingerprint", blocks, 34)
    facts = {"closest_reading": closest(table), "recovered": steps(found)}
    tables = {"step_sizes": plain(found)} if len(found) else {}
    return Part(facts, tables, [section])
