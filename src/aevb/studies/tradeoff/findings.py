"""What the report says of the trade-off."""

from __future__ import annotations

import pandas as pd

from ...report.parts import Part, Section, plain
from ...results import Gathered


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """L draws against minibatches of M, at equal cost."""
    table = numbers.get("tradeoff", pd.DataFrame())
    blocks = [("text", "tradeoff"), ("table", "tradeoff")]
    section = Section("tradeoff", "Draws against minibatches", blocks, 70)
    return Part(tables={"tradeoff": plain(table)}, sections=[section]) if len(table) else Part()
