"""The grades of all estimators, as one table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...results import Gathered
from . import STUDY


def estimators(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """All rows of the study's tables, model by model; columns as in `columns`."""
    tables = gathered.of("estimators")
    frames = [table.frame.assign(model=name) for name, table in tables.items() if len(table.frame)]
    columns = ["model", *STUDY.columns["estimators"]]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame([], [], columns)
    )
