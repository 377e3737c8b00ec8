"""Our curves minus the paper's: how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..data import DATASETS
from ..results import Gathered
from ..results.curves import appendix_d, at, completed
from .curves import averaged_bound, panels_of, paper_curve
from .facts import CHOSEN_UP_TO, NEAR_NATS, NEAR_SHARE

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
DISTANCES = [*CURVE_COLUMNS, "study", "seeds", "points", "first", "last"]
DISTANCES += ["rms", "sd", "mean", "largest", "at", "target", "found"]
# What the points of the paper's curves were used for.
CHOSE, HELD_OUT = "chose the reading", "held out"


def _read(curve: pd.DataFrame, split: str, reading: str, samples: np.ndarray) -> np.ndarray:
    """What `reading` (see READINGS) makes of one replica's curve at `samples`."""
    if reading == "average":
        return averaged_bound(curve, samples)
    return (appendix_d if reading == "hmc" else at)(curve, split, samples)


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


def _together(curves: list[pd.DataFrame]) -> list[tuple[list[pd.DataFrame], float]]:
    """The replicas of a curve with the count up to which they are compared: all of them to where
    the first ends, and those trained further over their whole length. A mean over fewer seeds
    would jump."""
    ends = [curve["samples"].iloc[-1] for curve in curves]
    return [
        ([curve for curve, last in zip(curves, ends, strict=True) if last >= end], end)
        for end in sorted(set(ends))
    ]


def differences(gathered: Gathered, paper: pd.DataFrame) -> pd.DataFrame:
    """Ours minus the paper's along every curve of Figures 2 and 3 that both have.

    One row per curve, reading, seeds and count: figure, experiment, latent_dim, n_train (Figure 3),
    algorithm, split, reading, dataset, and the columns of `beside`. Readings of Figure 2 are
    "moment", the bound at that count, and for train also "average" (`averaged_bound`). Those of
    Figure 3 are "importance", which it shows, and "hmc", the paper's estimator. Seeds trained
    further have rows of their own, over their whole length.
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
                        place |= {"dataset": study.experiments[experiment].dataset}
                        rows += [
                            beside(members, theirs, split, reading, end).assign(**place)[
                                [*place, *BESIDE]
                            ]
                            for members, end in _together(curves)
                        ]
    return (
        pd.concat(rows, ignore_index=True)
        if rows
        else pd.DataFrame(columns=[*CURVE_COLUMNS, "dataset", *BESIDE])
    )


def distances(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """How far our curves are from the paper's: one row per curve, reading and seeds of
    `differences`, and in Figure 2 for the points that chose the reading and the others.

    Figure 3 is that of the first of (gathered, *others) that has it. Columns CURVE_COLUMNS and, in
    nats per datapoint,

        study          its name
        seeds          their number
        points         CHOSE up to CHOSEN_UP_TO samples in Figure 2, else HELD_OUT
        first, last    the range of samples
        rms            root mean square of the differences, over the log axis of the samples
        sd             the same of the spread over seeds; NaN for one
        mean           of the differences
        largest, at    the difference that is largest in size, and where it is
        target         the largest rms that is near enough, see `_target`; NaN but for held-out
                       values that are what the paper most likely shows, on its data
        found          "near", "as one run" (within the 95 % interval of a further seed), or "apart"
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
    held_out = (whole["figure"] == 3) | (whole["samples"] > CHOSEN_UP_TO)
    whole = whole.assign(points=np.where(held_out, HELD_OUT, CHOSE))
    for (*place, study, seeds, points), part in whole.groupby(
        [*CURVE_COLUMNS, "study", "seeds", "points"], sort=False, dropna=False
    ):
        worst = part.loc[part["difference"].abs().idxmax()]
        spread = part[part["sd"].notna()]
        size = {"rms": rms(part), "sd": _average(spread, spread["sd"] ** 2) ** 0.5}
        named = dict(zip(CURVE_COLUMNS, place, strict=True))
        rows.append(
            {
                **named,
                "study": study,
                "seeds": seeds,
                "points": points,
                "first": part["samples"].min(),
                "last": part["samples"].max(),
                **size,
                "mean": _average(part, part["difference"]),
                "largest": worst["difference"],
                "at": worst["samples"],
                **(_judged(part, named, size) if points == HELD_OUT else {}),
            }
        )
    return pd.DataFrame(rows, columns=DISTANCES)


def _target(figure: int, values: pd.Series, dataset: str, sd: float) -> float:
    """How far a curve may be from the paper's `values`: facts.NEAR_NATS or the spread over seeds,
    whichever is more, or facts.NEAR_SHARE of the value; nats."""
    if dataset in NEAR_SHARE:
        return NEAR_SHARE[dataset] * float(values.abs().mean())
    return max(NEAR_NATS[figure], 0.0 if np.isnan(sd) else sd)


def _judged(part: pd.DataFrame, place: dict, size: dict) -> dict:
    """The columns target and found of `distances`; none for what the paper does not show."""
    shown = (place["split"], place["reading"]) != ("train", "moment")
    if not shown or not DATASETS[part["dataset"].iloc[0]].in_paper:
        return {}
    target = _target(place["figure"], part["paper"], part["dataset"].iloc[0], size["sd"])
    seeds = int(part["seeds"].iloc[0])
    further = stats.t.ppf(0.975, seeds - 1) * np.sqrt(1 + 1 / seeds) if seeds > 1 else np.nan
    found = "near" if size["rms"] <= target else "apart"
    if found == "apart" and size["rms"] <= further * size["sd"]:
        found = "as one run"
    return {"target": target, "found": found}
