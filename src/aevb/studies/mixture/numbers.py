"""The study's numbers in one table, each with its interval over data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...paper.verdicts import Check, interval
from ...results import Gathered
from . import FAITHFUL, TABLE

COLUMNS = ["quantity", "data", "value", "low", "high", "unit", "values"]
SAME = 0.01  # nats: starts whose bounds differ by less ended in the same optimum
CLOSE = (
    0.001  # nats per datapoint from coordinate ascent's last bound: stochastic VI has reached it
)
DRAWN, TRUE = "drawn", "Old Faithful"


class Starts(NamedTuple):
    """Where the starts of coordinate ascent on one data set ended, and how they got there."""

    bounds: np.ndarray  # (S,), nats, at the end
    falls: np.ndarray  # (S,), by how much one update lowered the bound at most, over its last size
    sweeps: np.ndarray  # (S,)

    @property
    def width(self) -> float:
        """Nats between the highest and the lowest end."""
        return float(np.ptp(self.bounds))

    @property
    def best(self) -> np.ndarray:
        """Which starts ended highest, (S,)."""
        return self.bounds > self.bounds.max() - SAME

    @property
    def optima(self) -> int:
        """How many bounds the ends have, further apart than SAME."""
        return 1 + int((np.diff(np.sort(self.bounds)) > SAME).sum())


def by_data(gathered: Gathered, kind: str) -> dict[str, pd.DataFrame]:
    """The table of a kind by data set; none where it is not there."""
    table = gathered.of(kind).get(TABLE)
    return dict(list(table.frame.groupby("data", sort=False))) if table is not None else {}


def starts(gathered: Gathered) -> dict[str, Starts]:
    """By data set: what its starts of coordinate ascent did."""
    found = {}
    for name, table in by_data(gathered, "mixture_traces").items():
        rows = table[table["algorithm"] == "cavi"].groupby("start")
        bounds = rows["bound"].last()
        fall = -rows[["rise_c", "rise_mu"]].min().min(axis=1).clip(upper=0)
        found[name] = Starts(
            bounds.to_numpy(),
            (fall / bounds.abs()).to_numpy(),
            rows["sweep"].last().to_numpy(),
        )
    return found


def drawn(gathered: Gathered) -> list[Starts]:
    """The same of the data sets that were drawn from the model."""
    return [found for name, found in starts(gathered).items() if name != FAITHFUL]


def variance_ratios(gathered: Gathered) -> dict[str, pd.DataFrame]:
    """By method: one row per data set, with the `ratio` of the variance under q to the posterior's
    and its Monte Carlo standard error, and `labels`, the ratio to that of all labellings."""
    table = gathered.of("mixture_variance").get(TABLE)
    if table is None:
        return {}
    rows = table.frame
    ratio = rows["mean_field"] / rows["posterior"]
    errors = (rows[f"{name}_se"] / rows[name] for name in ("mean_field", "posterior"))
    rows = rows.assign(ratio=ratio, error=ratio * np.hypot(*errors))
    rows["labels"] = rows["mean_field"] / rows["unsorted"]
    return dict(list(rows.groupby("method", sort=False)))


class Race(NamedTuple):
    """Passes over the data after which an algorithm stays CLOSE to coordinate ascent's end."""

    svi: float  # infinite: not within its budget
    cavi: float
    budget: float  # of stochastic VI
    ahead: float  # stochastic VI's last bound minus coordinate ascent's, nats per datapoint

    @property
    def counted(self) -> float:
        """`svi`; of a run that does not get there its whole budget, and at least a pass."""
        return self.svi if np.isfinite(self.svi) else max(1.0, self.budget)


def races(gathered: Gathered) -> list[Race]:
    """Stochastic VI against coordinate ascent, data set by data set."""
    found = []
    for table in by_data(gathered, "mixture_svi").values():
        curves = dict(list(table.groupby("algorithm")))
        end = curves["cavi"]["bound"].iloc[-1]
        passes = {name: _stays(rows, end - CLOSE) for name, rows in curves.items()}
        last = curves["svi"].iloc[-1]
        found.append(Race(**passes, budget=last["passes"], ahead=last["bound"] - end))
    return found


def _stays(rows: pd.DataFrame, target: float) -> float:
    """The first passes from which on every bound is at least `target`; infinite if none is."""
    below = np.flatnonzero(rows["bound"].to_numpy() < target)
    first = below[-1] + 1 if len(below) else 0
    return float(rows["passes"].iloc[first]) if first < len(rows) else np.inf


def evidence(gathered: Gathered) -> pd.DataFrame:
    """The last sweep of every data set whose log p(x) is known, with `residual`, the largest size
    of log p(x) - bound - KL over its sweeps."""
    rows = []
    for table in by_data(gathered, "mixture_evidence").values():
        residual = table["log_p"] - table["bound"] - table["divergence"]
        rows.append({**table.iloc[-1], "residual": residual.abs().max()})
    return pd.DataFrame(rows)


def gaps(gathered: Gathered) -> list[float]:
    """By data set that was drawn: EM's largest gap after an E step, over the size of its bound."""
    found = []
    for name, table in by_data(gathered, "mixture_traces").items():
        rows = table[table["algorithm"] == "em"]
        if name != FAITHFUL:
            found.append(float((rows["gap"] / rows["bound"]).abs().max()))
    return found


def summary(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """What was measured, one row per quantity. Columns:

    quantity, data, unit   of what, on which data, in what
    value, low, high       mean and its 95 % interval (see paper/verdicts.py)
    values                 how many there are: data sets; on Old Faithful starts, or 1 of all
    """
    rows = []
    for quantity, data, unit, values in _measured(gathered):
        values = [float(value) for value in values]
        mean, low, high = interval(Check("", values)) if values else (np.nan,) * 3
        row = (quantity, data, mean, low, high, unit, len(values))
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _measured(gathered: Gathered) -> Iterator[tuple[str, str, str, Sequence[float]]]:
    """(quantity, data, unit, values)."""
    sets = drawn(gathered)
    if sets:
        falls = [max(s.falls) for s in sets]
        yield "largest fall of the bound at an update", DRAWN, "bounds", falls
        yield "sweeps to the end", DRAWN, "", [s.sweeps.mean() for s in sets]
        yield "ends of different bounds", DRAWN, "", [s.optima for s in sets]
        yield "highest end minus lowest", DRAWN, "nats", [s.width for s in sets]
        yield "starts that end highest", DRAWN, "share", [s.best.mean() for s in sets]
        yield "EM: largest gap after an E step", DRAWN, "bounds", gaps(gathered)
    if (real := starts(gathered).get(FAITHFUL)) is not None:
        yield "sweeps to the end", TRUE, "", real.sweeps
        yield "highest end minus lowest", TRUE, "nats", [real.width]
        yield "starts that end highest", TRUE, "share", real.best
    if len(known := evidence(gathered)):
        yield "log p(x)", "drawn, enumerated", "nats", known["log_p"]
        yield "bound", "drawn, enumerated", "nats", known["bound"]
        yield "KL(q || posterior)", "drawn, enumerated", "nats", known["divergence"]
        yield "|log p(x) - bound - KL|", "drawn, enumerated", "nats", known["residual"]
    for method, rows in variance_ratios(gathered).items():
        yield "variance, q over posterior", f"drawn, {method}", "ratio", rows["ratio"]
        if rows["labels"].notna().all():
            yield "the same, all labellings", f"drawn, {method}", "ratio", rows["labels"]
    if found := races(gathered):
        least = ", at least" if any(np.isinf(race.svi) for race in found) else ""
        yield (
            f"stochastic VI: passes to the bound{least}",
            DRAWN,
            "passes",
            [race.counted for race in found],
        )
        yield "coordinate ascent: passes to it", DRAWN, "passes", [race.cavi for race in found]
        ahead = [race.ahead for race in found]
        yield "stochastic VI: its end minus the other's", DRAWN, "nats per datapoint", ahead
