"""What the report says of reparameterisations."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from ...core.words import joined, number, plural
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from .catalogue import DISTRIBUTIONS
from .entry import FUNCTIONS
from .numbers import LEVEL

SHOWN = "reparameterisation"
NAMES = {"gradient": "gradient of g", "none": "no gradient", "torch": "torch's rsample"}
NAMES |= {"score": "score function", "p_value": "KS p", "off": "off by at most, se"}


def _catalogue(table: pd.DataFrame) -> Tabular:
    """The table of distributions for people."""
    table = table.drop(columns=["rejected", "estimates"])
    cells = {"p_value": lambda p: f"{p:.2g}", "off": lambda se: number(se, 1)}
    table = table.assign(**{name: table[name].map(cell) for name, cell in cells.items()})
    return tabular(table.rename(columns=NAMES), "family")


def _ratios(table: pd.DataFrame) -> Tabular:
    """Ratios by distribution and f: mean [interval], in words where one variance is infinite."""
    rows: dict[tuple[str, str], dict] = {}
    for row in table[table["against"] == "score"].itertuples():
        entry = DISTRIBUTIONS[row.distribution]
        if row.estimator == "torch" and not entry.fixed:
            continue  # torch has the paper's g, or one like it
        place = {"distribution": entry.title, "gradient": row.estimator}
        cells = rows.setdefault((row.distribution, row.estimator), place)
        cells |= {name: "–" for name in FUNCTIONS if name not in cells}
        cells[row.function] = _cell(row)
    return tabular(list(rows.values()))


def _cell(row) -> str:
    if row.note:
        return "infinite" if row.note.startswith("the pathwise") else "0 in the limit"
    if row.ratio == 0:
        return "0"
    mean, low, high = (
        f"{value:.0f}" if value >= 100 else f"{value:.2g}"
        for value in (row.ratio, row.low, row.high)
    )
    return f"{mean} [{low}, {high}]"


def _facts(table: pd.DataFrame, gradients: pd.DataFrame, ratios: pd.DataFrame) -> dict:
    pathwise = gradients[(gradients["estimator"] == "pathwise") & (gradients["note"] == "")]
    rejected = int(table["rejected"].sum())
    none = table[table["gradient"] == "none"]["distribution"]
    return {
        "reparameterised": plural(len(table), "distribution"),
        "estimated": plural(len(pathwise), "pathwise gradient"),
        "furthest": _furthest(pathwise),
        "rejected": "none is"
        if not rejected
        else f"those of {plural(rejected, 'distribution')} are",
        "level": f"{100 * LEVEL:g} %",
        "less": _less(ratios, "score"),
        "less_baseline": _less(ratios, "score_baseline"),
        "beside": _beside(ratios),
        "without": joined(none) if len(none) else "",
    }


def _furthest(pathwise: pd.DataFrame) -> str:
    """The gradient furthest from the truth, and how far the furthest of so many may be."""
    if not len(pathwise):
        return "nothing"
    row = pathwise.loc[pathwise["off"].abs().idxmax()]
    bound = stats.norm.isf(LEVEL / 2 / len(pathwise))
    return (
        f"{number(abs(row['off']), 1)} standard errors "
        f"({DISTRIBUTIONS[row['distribution']].title}, f = {row['function']}, {row['parameter']}; "
        f"up to {number(bound, 1)} is what chance explains among so many)"
    )


def _less(ratios: pd.DataFrame, against: str) -> str:
    """In how many distributions the pathwise gradient varies less, by f."""
    rows = ratios[(ratios["estimator"] == "pathwise") & (ratios["against"] == against)]
    rows = rows[rows["note"] == ""]
    return joined(
        f"{name} in {int((part['ratio'] < 1).sum())} of {len(part)}"
        for name in FUNCTIONS
        if len(part := rows[rows["function"] == name])
    )


def _beside(ratios: pd.DataFrame) -> str:
    """Torch's variance over that of g, for the parameters that both have, in a sentence."""
    rows = ratios[(ratios["against"] == "pathwise") & (ratios["note"] == "")]
    if not len(rows):
        return ""
    inside = int(((rows["low"] <= 1) & (rows["high"] >= 1)).sum())
    return (
        f"For the parameters that both have, torch's variance is {rows['ratio'].min():.2f} to "
        f"{rows['ratio'].max():.2f} times that of g; the interval holds 1 in {inside} of "
        f"{plural(len(rows), 'case')}."
    )


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The families of section 2.4: g, gradients and variances."""
    names = (SHOWN, f"{SHOWN}_gradients", f"{SHOWN}_ratios")
    table, gradients, ratios = (numbers.get(name, pd.DataFrame()) for name in names)
    if not len(table):
        return Part()
    drawn = [("figure", f"{SHOWN}_transport")]
    if not gathered.of(f"{SHOWN}_transport"):
        drawn = []
    blocks = [
        ("text", "reparameterisation-g"),
        *drawn,
        ("table", SHOWN),
        ("text", "reparameterisation-variance"),
    ]
    blocks += [("figure", SHOWN), ("table", f"{SHOWN}_ratios")]
    section = Section(SHOWN, "Reparameterisation, family by family", blocks, 82)
    tables = {SHOWN: _catalogue(table), f"{SHOWN}_ratios": _ratios(ratios)}
    return Part(_facts(table, gradients, ratios), tables, [section])
