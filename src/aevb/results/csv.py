"""Tables as CSV files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..core.errors import Damaged
from ..core.files import atomic

# Columns of texts that may be empty in every row.
TEXTS = {"exceptions", "diverged", "check", "side", "interval", "study"}


def read(path: str | Path) -> pd.DataFrame:
    """A table that `write` wrote, its texts empty where they were.

    Raises Damaged, which is a UserError, if the file holds none.
    """
    try:
        table = pd.read_csv(path)
    except ValueError as error:  # that of pandas' parser, and what is no UTF-8
        raise Damaged(path, f"not a table: {type(error).__name__}") from error
    texts = [
        name
        for name in table
        if name in TEXTS or table[name].dtype == object or table[name].dtype == "string"
    ]
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV, numbers to six figures. Raises UserError if that fails."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
