"""Both gaps from the tables, and AEVB's bound minus wake-sleep's taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ...learners import LEARNERS
from ...paper.verdicts import Check, interval
from ...results import Gathered
from . import ALGORITHMS, STUDY

#: of a width's interval that counts: standard errors over points above its mean
WIDER = 2.0
CLOSE = 0.01  # nats: two ends of the ascent that differ by less are one
PARTS = ("bound", "log_p", "approximation", "amortisation")
GAPS = ["latent_dim", "samples", "algorithm", "seeds", "points", "method", "width"]
GAPS += [f"{name}{end}" for name in PARTS for end in ("", "_low", "_high", "_points")]
GAPS += ["draw_error", "bracket", "left_50", "starts", "short"]
DIFFERENCES = ["latent_dim", "samples", "seeds", "points", "width"]
DIFFERENCES += [f"{name}{end}" for name in PARTS for end in ("", "_low", "_high", "_points")]
DIFFERENCES += ["share", "share_low", "share_high"]


class Measured(NamedTuple):
    """One algorithm's models of one N_z and budget: arrays (S, N) over seeds and test points."""

    bound: np.ndarray  # of the encoder's Gaussian, eq. 7
    log_p: np.ndarray  # exact, or a lower bound
    best: np.ndarray  # bound of the best diagonal Gaussian
    width: np.ndarray  # (S,), by how much log_p is too low at most; 0 for quadrature
    frame: pd.DataFrame  # rows of the test points of all seeds

    @property
    def approximation(self) -> np.ndarray:
        """log p(x) minus the bound of the best diagonal Gaussian, (S, N)."""
        return self.log_p - self.best

    @property
    def amortisation(self) -> np.ndarray:
        """The bound of the best diagonal Gaussian minus the encoder's, (S, N)."""
        return self.best - self.bound

    @property
    def gap(self) -> np.ndarray:
        """log p(x) minus the bound: both gaps together, equation 1."""
        return self.log_p - self.bound


class Cell(NamedTuple):
    """What was measured at one N_z and budget, by algorithm; the seeds that both have."""

    latent_dim: int
    samples: int
    by: dict[str, Measured]

    @property
    def name(self) -> str:
        """Of checks: 'N_z = 3'."""
        return f"N_z = {self.latent_dim}"


def _measured(tables: list[pd.DataFrame]) -> Measured:
    """Tables of the seeds of one algorithm, together."""
    tests = [frame[frame["data"] == "test"] for frame in tables]
    stacked = {
        name: np.stack([frame[name].to_numpy() for frame in tests])
        for name in ("encoder", "log_p", "best")
    }
    width = np.array([_width(frame[frame["data"] == "simulated"]) for frame in tables])
    frame = pd.concat(tests, ignore_index=True)
    return Measured(stacked["encoder"], stacked["log_p"], stacked["best"], width, frame)


def _width(rows: pd.DataFrame) -> float:
    """By how much the lower bound of log p(x) is too low, from simulated points: the mean width
    plus WIDER standard errors over points, at least 0."""
    if rows.empty:
        return 0.0
    wide = rows["upper"] - rows["log_p"]
    return max(0.0, float(wide.mean() + WIDER * wide.std(ddof=1) / len(wide) ** 0.5))


def cells(gathered: Gathered, largest: bool = False) -> Iterator[Cell]:
    """Every N_z and budget with the seeds that have a table of both algorithms; with `largest`,
    at the largest budget alone."""
    study, tables = gathered.study, gathered.of("gaps")
    if study.gaps is None:
        return
    for latent_dim, samples in STUDY.cells(study):
        if largest and samples < max(study.gaps.budgets):
            continue
        runs = STUDY.at(study, latent_dim, samples)
        frames = {run: t.frame for run in runs if (t := tables.get(run.name)) and len(t.frame)}
        both = [
            seed
            for seed in study.seeds
            if sum(run.seed == seed for run in frames) == len(ALGORITHMS)
        ]
        if both:
            by = {
                key: _measured(
                    [f for r, f in frames.items() if r.algorithm == key and r.seed in both]
                )
                for key in ALGORITHMS
            }
            yield Cell(latent_dim, samples, by)


def over_points(values: np.ndarray) -> float:
    """Half the 95 % interval of Student's t over test points, of the mean over seeds of (S, N)."""
    means = values.mean(0)
    return float(stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5)


def _summed(name: str, values: np.ndarray) -> dict[str, float]:
    """Mean of values (S, N), its interval over seeds, and half that over test points."""
    ends = interval(Check("", list(values.mean(1))))
    found = dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    return {**found, f"{name}_points": over_points(values)}


def gaps(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """One row per N_z, budget and algorithm. Columns GAPS, in nats per datapoint:

    bound, log_p, approximation, amortisation   means; _low and _high: 95 % interval over seeds;
                                                _points: half the interval over test points
    method      quadrature or annealed, of log p(x)
    width       by how much log_p, and so the approximation gap, is too low at most; largest seed
    draw_error  Monte Carlo standard error of the mean amortisation gap, largest seed
    bracket     bound of the best Gaussian with the noise of the ascent minus that with fresh noise
    left_50     what the ascent still gained after half of its steps
    starts      share of test points at which its two starts ended within 0.01 nats
    short       by how much annealing misses quadrature; not a number where there is none
    """
    rows = []
    for cell in cells(gathered):
        for key, found in cell.by.items():
            seeds, points = found.bound.shape
            frame, shape = found.frame, found.bound.shape
            errors = frame["amortisation_se"].to_numpy().reshape(shape)
            row = {"latent_dim": cell.latent_dim, "samples": cell.samples, "seeds": seeds}
            row |= {"algorithm": LEARNERS[key].label, "points": points, "width": found.width.max()}
            row |= {"method": " and ".join(dict.fromkeys(frame["method"]))}
            for name in PARTS:
                row |= _summed(name, getattr(found, name))
            row["draw_error"] = (np.sqrt((errors**2).sum(1)) / points).max()
            row["bracket"] = (frame["climbed"] - frame["best"]).mean()
            rows.append(row | {"left_50": frame["left_50"].mean()})
            rows[-1]["starts"] = (frame["other"] < CLOSE).mean()
            known = frame[frame["method"] == "quadrature"]
            rows[-1]["short"] = (known["log_p"] - known["annealed"]).mean()
    return pd.DataFrame(rows, columns=GAPS)


class Difference(NamedTuple):
    """AEVB against wake-sleep, (S, N) each: log_p and bound are AEVB's minus wake-sleep's, the
    gaps wake-sleep's minus AEVB's, so that bound = log_p + approximation + amortisation."""

    bound: np.ndarray
    log_p: np.ndarray
    approximation: np.ndarray
    amortisation: np.ndarray
    own_width: np.ndarray  # (S, 1), of AEVB's log_p
    other_width: np.ndarray  # (S, 1), of wake-sleep's


def difference(cell: Cell) -> Difference:
    """The two algorithms of a cell, seed by seed and point by point."""
    own, other = (cell.by[key] for key in ALGORITHMS)
    return Difference(
        own.bound - other.bound,
        own.log_p - other.log_p,
        other.approximation - own.approximation,
        other.amortisation - own.amortisation,
        own.width[:, None],
        other.width[:, None],
    )


def differences(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per N_z and budget: AEVB's bound minus wake-sleep's, and its parts (`Difference`),
    with intervals as of `gaps`. width: by how much log_p and approximation may be off. share: of
    amortisation in the difference of the gaps, with its interval over seeds; not a number where
    the gaps do not differ by more than 0."""
    rows = []
    for cell in cells(gathered):
        found = difference(cell)
        row = {"latent_dim": cell.latent_dim, "samples": cell.samples}
        row |= dict(zip(("seeds", "points"), found.bound.shape, strict=True))
        row["width"] = max(found.own_width.max(), found.other_width.max())
        for name in PARTS:
            row |= _summed(name, getattr(found, name))
        rows.append(row | _share(found))
    return pd.DataFrame(rows, columns=DIFFERENCES)


def _share(found: Difference) -> dict[str, float]:
    """The share of amortisation in the difference of the gaps, per seed."""
    parts = [values.mean(1) for values in (found.amortisation, found.approximation)]
    whole = parts[0] + parts[1]
    names = ("share", "share_low", "share_high")
    ends = interval(Check("", list(parts[0] / whole))) if (whole > 0).all() else [np.nan] * 3
    return dict(zip(names, ends, strict=True))


def across(found: dict[str, np.ndarray]) -> list[str]:
    """The names of effects (S, N) whose interval over test points reaches 0."""
    return [name for name, v in found.items() if abs(v.mean()) < over_points(v)]
