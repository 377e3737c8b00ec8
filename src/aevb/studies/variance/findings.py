"""What the report says of the variance study."""

from __future__ import annotations

import pandas as pd

from ...report.parts import Part, Section, plain
from ...results import Gathered


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """How much one-draw estimates vary."""
    table = numbers.get("variance", pd.DataFrame())
    blocks = [("text", "variance"), ("table", "variance")]
    section = Section("variance", "Variance of gradients and bounds", blocks, 80)
    return Part(tables={"variance": plain(table)}, sections=[section]) if len(table) else Part()
