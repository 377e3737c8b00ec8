"""Our curves minus the paper's: how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..results import Gathered
from ..results.curves import at, completed
from .curves import averaged_bound, panels_of, paper_curve

# What of ours stands beside a curve of the paper: the bound at that moment, averaged minibatch
# bounds, and the estimates of log p(x).
READINGS = {
    (2, "train"): ("moment", "average"),
    (2, "test"): ("moment",),
    **{(3, s): ("importance", "hmc") for s in ("train", "test")},
}
# Columns of the tables below.
CURVE_COLUMNS = ["figure", "experiment", "latent_dim", "n_train", "algorithm", "split", "reading"]
BESIDE = ["samples", "ours", "sd", "seeds", "paper", "difference"]
DISTANCES = [
    *CURVE_COLUMNS,
    "study",
    "seeds",
    "first",
    "last",
    "rms",
    "sd",
    "mean",
    "largest",
    "at",
]


def _read(curve: pd.DataFrame, split: str, reading: str, samples: np.ndarray) -> np.ndarray:
    """What `reading` (see READINGS) makes of one replica's curve at `samples`."""
    if reading == "average":
        return averaged_bound(curve, samples)
    return at(curve, f"{split}_hmc" if reading == "hmc" else split, samples)


def beside(
    curves: list[pd.DataFrame],
    theirs: pd.DataFrame,
    split: str,
    reading: str,
    until: float = np.inf,
) -> pd.DataFrame:
    """Replicas beside a curve of the paper: at its points that ours reach, and where ours end.

    Counts go up to `until`. Ours is evaluated more often, so ours is interpolated but for the ends.
    Columns: samples, ours (mean over the replicas that reach this count), sd (over them; NaN for
    one), seeds (how many), paper and difference (ours - paper), nats per datapoint. No rows without
    a shared range.
    """
    low = max(theirs["samples"].iloc[0], min(curve["samples"].iloc[0] for curve in curves))
    high = min(
        theirs["samples"].iloc[-1], max(curve["samples"].iloc[-1] for curve in curves), until
    )
    points = theirs["samples"][theirs["samples"].between(low, high)]
    ends = [
        end
        for end in (*(curve["samples"].iloc[-1] for curve in curves), high)
        if low <= end <= high
    ]
    samples = np.unique([*points, *ends]).astype(float)
    ours = pd.DataFrame([_read(curve, split, reading, samples) for curve in curves])
    beside = pd.DataFrame(
        {"samples": samples, "ours": ours.mean(), "sd": ours.std(ddof=1), "seeds": ours.count()}
    )
    beside["paper"] = at(theirs, "value", samples)
    known = beside[beside["ours"].notna()]  # log p(x) may be missing
    return known.assign(difference=lambda frame: frame["ours"] - frame["paper"])


def _average(beside: pd.DataFrame, values: pd.Series) -> float:
    """Mean of `values` at the counts of `beside` over the log axis of the samples.

    By the trapezoid rule; NaN without any.
    """
    steps = np.diff(np.log(beside["samples"])) if len(beside) > 1 else np.ones(1)
    weights = (np.append(steps, 0) + np.append(0, steps))[: len(beside)]
    return float(np.average(values, weights=weights)) if len(beside) else np.nan


def rms(beside: pd.DataFrame) -> float:
    """Root mean square of the differences in a table of `beside` over the log axis, nats."""
    return _average(beside, beside["difference"] ** 2) ** 0.5


def differences(gathered: Gathered, paper: pd.DataFrame) -> pd.DataFrame:
    """Ours minus the paper's along every curve of Figures 2 and 3 that both have.

    One row per curve, reading and count: figure, experiment, latent_dim, n_train (Figure 3),
    algorithm, split, reading, and the columns of `beside`. Readings of Figure 2 are "moment", the
    bound at that count, and for train also "average" (`averaged_bound`). Those of Figure 3 are
    "importance", which it shows, and "hmc", the paper's estimator.
    """
    study, rows = gathered.study, []
    for figure in (2, 3):
        for experiment, latent_dim, algorithms in panels_of(study, figure):
            for algorithm in algorithms:
                curves = list(completed(gathered, experiment, algorithm, latent_dim).values())
                for split in ("train", "test") if curves else ():
                    theirs = paper_curve(paper, study, experiment, latent_dim, algorithm, split)
                    for reading in READINGS[figure, split] if theirs is not None else ():
                        n_train = study.n_train(experiment) if figure == 3 else np.nan
                        place = {
                            "figure": figure,
                            "experiment": experiment,
                            "latent_dim": latent_dim,
                            "n_train": n_train,
                        }
                        place |= {"algorithm": algorithm, "split": split, "reading": reading}
                        rows.append(
                            beside(curves, theirs, split, reading).assign(**place)[
                                [*place, *BESIDE]
                            ]
                        )
    return (
        pd.concat(rows, ignore_index=True)
        if rows
        else pd.DataFrame(columns=[*CURVE_COLUMNS, *BESIDE])
    )


def distances(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """How far our curves are from the paper's: one row per curve and reading of `differences`.

    Where some seeds are trained further, a second row is for the samples beyond the others. Figure
    3 is that of the first of (gathered, *others) that has it. Columns CURVE_COLUMNS and, in nats
    per datapoint,

        study          its name
        seeds          their number
        first, last    the shared range of samples
        rms            root mean square of the differences, over the log axis of the samples
        sd             the same of the spread over seeds, where two reach, to hold rms against
        mean           of the differences
        largest, at    the difference that is largest in size, and where it is
    """
    rows = []
    found = [
        differences(study, paper).assign(study=study.config["name"])
        for study in (gathered, *others)
    ]
    third = next(
        (part for part in (table[table["figure"] == 3] for table in found) if len(part)),
        found[0][:0],
    )
    whole = pd.concat(
        [part for part in (found[0][found[0]["figure"] == 2], third) if len(part)] or [found[0]]
    )
    for (*place, study, seeds), part in whole.groupby(
        [*CURVE_COLUMNS, "study", "seeds"], sort=False, dropna=False
    ):
        worst = part.loc[part["difference"].abs().idxmax()]
        about = {
            "study": study,
            "seeds": seeds,
            "first": part["samples"].min(),
            "last": part["samples"].max(),
        }
        spread = part[part["sd"].notna()]
        size = {
            "rms": rms(part),
            "sd": _average(spread, spread["sd"] ** 2) ** 0.5,
            "mean": _average(part, part["difference"]),
        }
        rows.append(
            {
                **dict(zip(CURVE_COLUMNS, place, strict=True)),
                **about,
                **size,
                "largest": worst["difference"],
                "at": worst["samples"],
            }
        )
    return pd.DataFrame(rows, columns=DISTANCES)
