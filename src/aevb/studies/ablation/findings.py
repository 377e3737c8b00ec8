"""What the report says of the readings of the paper."""

from __future__ import annotations

import pandas as pd

from ...core.words import number
from ...learners import LEARNERS
from ...report.parts import Part, Section
from ...results import Gathered
from ...results.words import label


def closest(readings: pd.DataFrame) -> str:
    """Which reading comes closest to the paper's curves, for each experiment and algorithm, in a
    sentence; `readings`: columns of distance.ablation."""
    parts = []
    for (experiment, algorithm), part in readings[readings["latent_dim"].isna()].groupby(
        ["experiment", "algorithm"], sort=False
    ):
        if part["rms"].notna().any():
            best, default = (
                part.loc[part["rms"].idxmin()],
                part[part["reading"] == "default"]["rms"].iloc[0],
            )
            own = "" if best["reading"] == "default" else f"; default: {number(default)}"
            parts.append(
                f"{label(experiment)}, {LEARNERS[algorithm].label}: {best['reading']} "
                f"({number(best['rms'])} nats{own})"
            )
    seeds = readings["seeds"].min() if parts else 0
    noise = ", and one seed does not tell the noise" if seeds == 1 else ""
    return (
        f"Closest to the paper over all panels (rms{noise}): {', '.join(parts)}." if parts else ""
    )


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Which reading of the paper comes closest to its curves."""
    table = numbers.get("readings", pd.DataFrame())
    if not len(table):
        return Part({"closest": ""})
    section = Section(
        "readings", "Readings of the paper", [("text", "readings"), ("file", "readings")], 35
    )
    return Part({"closest": closest(table)}, sections=[section])
