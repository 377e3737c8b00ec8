"""What the study measured, in two tables. Intervals are Student's t over seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...data import DATASETS
from ...paper.verdicts import named, student
from ...results import Gathered

#: the models of the second table, method and measure, for people
NAMES = {
    ("neighbour", "exact"): "nearest neighbour",
    ("neighbours", "exact"): "mean of neighbours",
    ("baseline", "exact"): "deterministic network",
    ("cvae", "bound"): "CVAE, bound",
    ("cvae", "prior"): "CVAE, draws of the prior",
    ("cvae", "importance"): "CVAE, importance sampling",
}
#: negative conditional log-likelihoods that Pyro's tutorial on this model gives, for 1, 2 and 3
#: observed quadrants, on all 10,000 test images of MNIST (pyro.ai/examples/cvae.html). Its "NN" is
#: a neural network; "CVAE (Monte Carlo)" is minus the bound, as its code computes it.
PUBLISHED = {
    ("baseline", "exact"): {1: 100.4, 2: 61.9, 3: 25.4},
    ("cvae", "bound"): {1: 71.8, 2: 51.0, 3: 24.2},
}
#: each with its interval, with and without
SPANS = ("bound", "kl", "given", "log_p", "accuracy", "linear", "near")
GAINS = ("gain_bound", "gain_log_p", "added", "tells")
LABEL = ["latent_dim", "label", "seeds", "samples", "chance", "gain_se"]
QUADRANTS = ["observed", "method", "measure", "points", "seeds", "nll", "low", "high"]
QUADRANTS += ["points_se", "mc_se", "more", "more_low", "more_high", "more_se", "neighbours"]
QUADRANTS += ["epsilon", "ahead", "ahead_low", "ahead_high", "published"]


def _with(name: str, values: Sequence[float]) -> dict[str, float]:
    return named(name, student(values))


def _numbered(gathered: Gathered, kind: str) -> dict[int, pd.DataFrame]:
    """The tables of a kind by the number in their name, rising."""
    tables = gathered.of(kind)
    return dict(sorted((int(re.sub(r"\D", "", k)), t.frame) for k, t in tables.items()))


def by_dim(gathered: Gathered) -> dict[int, pd.DataFrame]:
    """The models with and without the label, by N_z."""
    return _numbered(gathered, "conditional_label")


def by_observed(gathered: Gathered) -> dict[int, pd.DataFrame]:
    """The completions, by the number of observed quadrants."""
    return _numbered(gathered, "conditional_quadrants")


def pairs(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows without and with the label, seed by seed."""
    rows = frame.set_index("seed").sort_index()
    return rows[rows["label"] == 0], rows[rows["label"] == 1]


def per_seed(
    frame: pd.DataFrame, method: str, measure: str, points: float | None = None
) -> pd.DataFrame:
    """Rows of a method and measure by seed: on `points` test images, those that all methods
    complete unless given."""
    count = frame["points"].min() if points is None else points
    rows = frame[(frame["method"] == method) & (frame["measure"] == measure)]
    return rows[rows["points"] == count].set_index("seed").sort_index()


def label(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """Two rows per N_z, without and with the label; nats per image, with intervals over seeds
    (_low, _high).

    bound, kl, given, log_p,       as in the tables (columns.LABEL); chance: a mean
    accuracy, linear, near
    gain_bound, gain_log_p         with the label less without, seed by seed; gain_se: standard
                                   error of the latter over test images
    added                          what the last tenfold of draws added without the label
    tells                          given - log_p of the model with the label: what the label tells
    """
    rows = []
    for latent_dim, frame in by_dim(gathered).items():
        without, given = pairs(frame)
        for number, found in enumerate((without, given)):
            row = {"latent_dim": latent_dim, "label": number, "seeds": len(found)}
            row |= found[["samples", "chance", "gain_se"]].mean().to_dict()
            for name in SPANS:
                row |= _with(name, found[name])
            if number:
                row |= _with("gain_bound", given["bound"] - without["bound"])
                row |= _with("gain_log_p", given["gain"])
                row |= _with("added", without["added"])
                row |= _with("tells", given["given"] - given["log_p"])
            rows.append(row)
    spans = [f"{name}{end}" for name in (*SPANS, *GAINS) for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*LABEL, *spans])


def quadrants(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per number of observed quadrants, method, measure and set of test images.

    nll, low, high       -log p(missing | observed), nats per image, with the interval over seeds
    points_se, mc_se     means of the standard errors over test images, and of Monte Carlo
    more, ...            log p less that of the mean of neighbours, paired by image; more_se over
                         images
    ahead, ...           of a CVAE: log p less that of the deterministic network, seed by seed
    published            PUBLISHED, on all test images of MNIST
    """
    rows = []
    for observed, frame in by_observed(gathered).items():
        for method, measure in NAMES:
            own = frame[(frame["method"] == method) & (frame["measure"] == measure)]
            for points in sorted(own["points"].unique()):
                found = per_seed(frame, method, measure, points)
                row = {"observed": observed, "method": method, "measure": measure}
                row |= {"points": points, "seeds": found.index.notna().sum()}
                row |= dict(zip(("nll", "low", "high"), student(-found["value"]), strict=True))
                row |= _with("more", found["less"]) | {"more_se": found["less_se"].mean()}
                if method == "cvae":
                    network = per_seed(frame, "baseline", "exact", points)
                    row |= _with("ahead", found["value"] - network["value"])
                if points == _all(gathered):
                    row["published"] = PUBLISHED.get((method, measure), {}).get(observed, np.nan)
                means = found[["points_se", "mc_se", "neighbours", "epsilon"]].mean()
                rows.append(row | means.to_dict())
    return pd.DataFrame(rows, columns=QUADRANTS)


def _all(gathered: Gathered) -> int:
    """How many images the published test set has, if ours is the same; else 0."""
    study = gathered.study
    name = study.experiments[study.conditional.experiment].dataset
    return DATASETS[name].n_test if name == "mnist" else 0
