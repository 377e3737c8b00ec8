"""What the study measured, in three tables. Intervals are Student's t over seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...paper.verdicts import named, student
from ...results import Gathered
from . import TABLE

#: method and theta, as tables name them, for people
NAMES = {
    ("map", "point"): "MAP",
    ("full_vb", "mean"): "full VB, mean",
    ("full_vb", "sampled"): "full VB, sampled",
}
TRAINED = ["n_train", "method", "theta", "seeds", "samples"]
ENDS = ("train", "test", "gap", "best")  # each with its interval
OTHERS = ["best_at", "kl", "whole", "at_prior", "test_kl", "active_units"]
DIFFERENCES = ["n_train", "theta", "quantity", "difference", "low", "high", "seeds"]
LINEAR = ["design", "form", "seeds", "evidence", "bound", "kl", "residual", "low", "high"]
LINEAR += ["gap", "gap_low", "gap_high", "best_gap"]


def _with(name: str, values: Sequence[float]) -> dict[str, float]:
    return named(name, student(values))


def by_size(gathered: Gathered) -> dict[int, pd.DataFrame]:
    """The curves by number of training images, rising."""
    found = {
        int(re.sub(r"\D", "", name)): table.frame
        for name, table in gathered.of("weights_networks").items()
    }
    return dict(sorted(found.items()))


def ends(frame: pd.DataFrame, theta: str) -> pd.DataFrame:
    """By seed: the last row of the curves measured at `theta`, with `gap`, train minus test, and
    `best` and `best_at`, the highest test bound on the way and where it was."""
    rows = frame[frame["theta"] == theta]
    last = rows.loc[rows.groupby("seed")["samples"].idxmax()].set_index("seed")
    top = rows.loc[rows.groupby("seed")["test"].idxmax()].set_index("seed")
    return last.assign(gap=last["train"] - last["test"], best=top["test"], best_at=top["samples"])


def networks(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per number of training images, method and theta, at the end of training.

    train, test, gap         bounds, and train minus test, nats per datapoint, with intervals over
                             seeds (_low, _high)
    best, best_at            highest test bound on the way, chosen by the test bound itself; samples
    kl, whole, at_prior,     as in the tables of networks, means over seeds
    test_kl, active_units
    """
    rows = []
    for n, frame in by_size(gathered).items():
        for method, theta in NAMES:
            last = ends(frame, theta)
            row = {"n_train": n, "method": method, "theta": theta, "seeds": len(last)}
            row["samples"] = last["samples"].max()
            for name in ENDS:
                row |= _with(name, last[name])
            rows.append(row | last[OTHERS].mean().to_dict())
    columns = [name for end in ENDS for name in (end, f"{end}_low", f"{end}_high")]
    return pd.DataFrame(rows, columns=[*TRAINED, *columns, *OTHERS])


#: quantity -> what full VB has less MAP, or MAP less full VB, by seed
PAIRED = {
    "gap of MAP less that of full VB": lambda ours, theirs: theirs["gap"] - ours["gap"],
    "test bound of full VB less that of MAP": lambda ours, theirs: ours["test"] - theirs["test"],
    "the same, MAP at its best": lambda ours, theirs: ours["test"] - theirs["best"],
}


def paired(frame: pd.DataFrame, quantity: str, theta: str) -> np.ndarray:
    """One of PAIRED, seed by seed, for full VB at `theta`."""
    return PAIRED[quantity](ends(frame, theta), ends(frame, "point")).to_numpy()


def differences(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """Full VB against MAP seed by seed, nats per datapoint: above 0 speaks for full VB."""
    rows = []
    for n, frame in by_size(gathered).items():
        for theta in ("mean", "sampled"):
            for quantity in PAIRED:
                values = paired(frame, quantity, theta)
                mean, low, high = student(values)
                row = {"n_train": n, "theta": theta, "quantity": quantity, "difference": mean}
                rows.append({**row, "low": low, "high": high, "seeds": len(values)})
    return pd.DataFrame(rows, columns=DIFFERENCES)


def cases(gathered: Gathered, kind: str) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of a table of the linear model by design and form; none where it is not there."""
    table = gathered.of(kind).get(TABLE)
    if table is None:
        return {}
    return dict(list(table.frame.groupby(["design", "form"], sort=False)))


def trained_gaps(gathered: Gathered) -> dict[tuple[str, str], np.ndarray]:
    """By design and form: log p(X) minus the bound of the trained q, seed by seed, nats."""
    found = {}
    for case, rows in cases(gathered, "weights_regression").items():
        last = rows.loc[rows.groupby("seed")["samples"].idxmax()]
        found[case] = (last["evidence"] - last["bound"]).to_numpy()
    return found


def residual(rows: pd.DataFrame) -> tuple[float, float]:
    """Estimated bound + KL - log p(X), mean over seeds, and its Monte Carlo standard error."""
    values = rows["estimate"] + rows["kl"] - rows["evidence"]
    return float(values.mean()), float((rows["se"] ** 2).sum() ** 0.5 / len(rows))


def linear(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per design and form of the linear model, nats for all of X.

    evidence, bound, kl    log p(X); the bound as estimated at the best diagonal q, and its KL
    residual, low, high    bound + kl - evidence, with the 95 % interval of its Monte Carlo error
    gap, gap_low, gap_high log p(X) minus the bound of the q that was trained, interval over seeds
    best_gap               the same of the best diagonal q
    """
    trained, rows = trained_gaps(gathered), []
    for (design, form), found in cases(gathered, "weights_estimates").items():
        mean, error = residual(found)
        row = {"design": design, "form": form, "seeds": len(found), "residual": mean}
        row |= {"low": mean - 1.96 * error, "high": mean + 1.96 * error}
        row |= {"evidence": found["evidence"].mean(), "bound": found["estimate"].mean()}
        row |= {"kl": found["kl"].mean()}
        row["best_gap"] = (found["evidence"] - found["bound"]).mean()
        if (design, form) in trained:
            row |= _with("gap", trained[design, form])
        rows.append(row)
    return pd.DataFrame(rows, columns=LINEAR)
