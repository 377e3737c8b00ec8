"""What the report says of the mixture study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural
from ...report.parts import Part, Section, tabular
from ...results import Gathered
from . import FAITHFUL
from .numbers import CLOSE, evidence, races, starts, variance_ratios

BLOCKS = [
    ("text", "mixture"),
    ("figure", "mixture_optima"),
    ("text", "mixture-exact"),
    ("figure", "mixture_exact"),
    ("table", "mixture"),
]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Local optima, the exact decomposition of log p(x), variances, and stochastic VI."""
    table = numbers.get("mixture", pd.DataFrame())
    if table.empty:
        return Part()
    section = Section("mixture", "A mixture whose posterior is known", BLOCKS, 200)
    shown = tabular([_row(row) for row in table.itertuples()])
    return Part(_facts(gathered), {"mixture": shown}, [section])


def _facts(gathered: Gathered) -> dict:
    """What the paragraphs say."""
    found, raced = starts(gathered), races(gathered)
    ratios = [value for rows in variance_ratios(gathered).values() for value in rows["ratio"]]
    lost = sum(np.isinf(race.svi) for race in raced)
    passes = [race.svi for race in raced if np.isfinite(race.svi)] or [np.nan]
    return {
        "mixture": gathered.study.mixture,
        "mixture_ends": plural(next(iter(found.values())).optima, "different bound"),
        "faithful_ends": found[FAITHFUL].optima,
        "mixture_residual": _short(evidence(gathered)["residual"].max()),
        "mixture_ratios": f"{number(min(ratios))} to {number(max(ratios))}",
        "mixture_passes": f"{number(min(passes))} to {number(max(passes))}",
        "mixture_lost": f"{lost} of {plural(len(raced), 'run')}" if lost else "",
        "mixture_close": f"{CLOSE:g}",
    }


def _row(row) -> dict[str, str]:
    """A quantity with its interval, as the report shows it."""
    low, high = _short(row.low), _short(row.high)
    between = f"{low} to {high}" if np.isfinite(row.low) else "–"
    cells = {"quantity": row.quantity, "data": row.data, "mean": _short(row.value)}
    return {
        **cells,
        "95 % interval": between,
        "unit": str(row.unit or "–"),
        "values": f"{row.values}",
    }


def _short(value: float) -> str:
    """Three figures, small and large numbers as powers of ten."""
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return number(value, 1 if abs(value) >= 100 else 3)
