"""What the report says of the variances."""

from __future__ import annotations

import pandas as pd

from ...report.parts import Part, Section, plain
from ...results import Gathered
from .numbers import PARTS


def _ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Variances over estimator B's, one row per model, quantity and point of training."""
    rows = table[table["part"].isin(PARTS) & (table["estimator"] != "B")]
    place = ["experiment", "latent_dim", "part", "samples"]
    wide = rows.pivot_table("ratio", place, "estimator", sort=False).reset_index()
    wide["part"] = wide["part"].map(PARTS)
    ratios = {name: f"{name} / B" for name in rows["estimator"].unique()}
    return wide.rename(columns={"part": "of", **ratios})


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """How much one-draw estimates vary."""
    table = numbers.get("variance", pd.DataFrame())
    if not len(table):
        return Part()
    blocks = [("text", "variance"), ("table", "variance"), ("file", "variance")]
    section = Section("variance", "Variance of gradients and bounds", blocks, 80)
    return Part(tables={"variance": plain(_ratios(table), "latent_dim")}, sections=[section])
