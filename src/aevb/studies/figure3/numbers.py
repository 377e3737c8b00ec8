"""log p(x) beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...paper.comparison import comparison
from ...results import Gathered


def evidence(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """All rows of paper.comparison.comparison for Figure 3."""
    return comparison(gathered, paper, 3).drop(columns="averaged")
