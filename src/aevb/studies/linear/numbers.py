"""What the study measured, in three tables with intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from ...paper.verdicts import Check, interval
from ...results import Gathered, Table

ALGORITHMS = {
    "closed": "closed form",
    "rotated": "closed form, rotated",
    "em": "exact EM",
    "aevb": "AEVB",
    "wake_sleep": "wake-sleep",
    "mcem": "Monte Carlo EM",
}
LEARNED = ["size", "algorithm", "seeds", "samples", "shortfall", "low", "high", "limit"]
LEARNED += ["gap", "gap_low", "gap_high", "diagonal_gap", "diagonal_low", "diagonal_high"]
GRADED = ["latent_dim", "estimator", "samples", "bias", "bias_se", "spread", "exact"]
GRADED += ["second_moment"]
COLLAPSED = ["data", "variance", "seeds", "theory", "em", "em_low", "em_high"]
COLLAPSED += ["aevb", "aevb_low", "aevb_high", "aevb_shortfall"]


def in_order(gathered: Gathered, kind: str) -> list[tuple[str, Table]]:
    """The tables of a kind with the numbers in their names rising: nz2-d20 before nz10-d100."""
    tables = gathered.of(kind).items()
    return sorted(tables, key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])])


def named(name: str) -> str:
    """A table's name for people: 'nz5-d50' -> 'N_z = 5, D = 50'."""
    latent_dim, dim = name.split("-")
    return f"N_z = {latent_dim.removeprefix('nz')}, D = {dim.removeprefix('d')}"


def ends(frame: pd.DataFrame) -> pd.DataFrame:
    """The last row of every seed and algorithm, in the order of ALGORITHMS."""
    last = frame.loc[frame.groupby(["algorithm", "seed"])["samples"].idxmax()]
    order = last["algorithm"].map(list(ALGORITHMS).index)
    return last.iloc[order.argsort(kind="stable")]


def _with_interval(values: pd.Series, name: str, low: str, high: str) -> dict[str, float]:
    """Mean over seeds and its 95 % interval, as of the verdicts."""
    return dict(zip((name, low, high), interval(Check("", list(values))), strict=True))


def learned(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per size and way to fit the model, at the end of its budget. Columns LEARNED:

    size                 N_z and D
    shortfall, low, high log p(x) of the closed form minus that of the model: mean over seeds,
                         95 % interval; nats per datapoint
    limit                P / (2 n), what the data cannot tell (studies/linear/closed.py)
    gap, ...             exact log p(x) minus the exact bound, with the learner's own encoder
    diagonal_gap, ...    the same with the best encoder of diagonal covariance
    """
    rows = []
    for name, table in in_order(gathered, "linear_learners"):
        for algorithm, part in ends(table.frame).groupby("algorithm", sort=False):
            row = {"size": named(name), "algorithm": ALGORITHMS[algorithm], "seeds": len(part)}
            row |= {"samples": part["samples"].max(), "limit": part["uncertainty"].iloc[0]}
            row |= _with_interval(part["shortfall"], "shortfall", "low", "high")
            row |= _with_interval(part["gap"], "gap", "gap_low", "gap_high")
            own = ("diagonal_gap", "diagonal_low", "diagonal_high")
            rows.append(row | _with_interval(part["diagonal_gap"], *own))
    return pd.DataFrame(rows, columns=LEARNED)


def graded(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The tables of graded estimators below each other."""
    tables = [table.frame for _, table in in_order(gathered, "linear_estimators")]
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=GRADED)
    return found[GRADED]


def collapsed(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per data and sigma^2: active directions in theory, by EM and by AEVB, means over the
    seeds with 95 % intervals."""
    rows = []
    for name, table in gathered.of("linear_collapse").items():
        for variance, part in table.frame.groupby("variance"):
            row = {"data": name, "variance": variance, "seeds": len(part)}
            row |= {"theory": part["theory"].mean()}
            for algorithm in ("em", "aevb"):
                own = (algorithm, f"{algorithm}_low", f"{algorithm}_high")
                row |= _with_interval(part[algorithm], *own)
            rows.append(row | {"aevb_shortfall": part["aevb_shortfall"].mean()})
    return pd.DataFrame(rows, columns=COLLAPSED)
