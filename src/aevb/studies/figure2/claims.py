"""The paper's claims that Figure 2 tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from ...core.words import short
from ...learners import LEARNERS
from ...paper.claims import SMALL, Found, claim, ended, horizons, of_paper, short_of
from ...paper.curves import paper_curve
from ...paper.facts import PAPER_HIDDEN, PAPER_MINUTES, PAPER_SAMPLES
from ...paper.verdicts import Check
from ...report.costs import minutes
from ...results import Gathered
from ...results.curves import at, completed, replicas
from ...results.words import label, named
from ..variance.numbers import measured

LEVELS = 20  # bounds at which two curves' samples are compared


def _against_wake_sleep(gathered: Gathered, paper: pd.DataFrame, effect: Callable) -> Found:
    """Checks of effect(AEVB's curve, wake-sleep's, last count) for Figure 2.

    There are none unless a check was run with two seeds.
    """
    pairs, planned, lost = {}, [0], 0
    for experiment, latent_dim, algorithms in of_paper(gathered, paper):
        if {"aevb", "wake_sleep"} <= set(algorithms):
            ours, theirs = (
                completed(gathered, experiment, algorithm, latent_dim)
                for algorithm in ("aevb", "wake_sleep")
            )
            both = sorted(set(ours) & set(theirs))
            pairs[named(experiment, latent_dim)] = {
                seed: [ours[seed], theirs[seed]] for seed in both
            }
            planned.append(len(replicas(gathered, experiment, "aevb", latent_dim)))
            lost += planned[-1] - len(both)
    checks, ends = ended(pairs, effect)
    remarks = [f"without {lost} pairs of replicas, of which one or both diverged"] if lost else []
    return (checks, remarks + ends) if max(planned) > 1 else ([], [])


def _speed_up(ours: pd.DataFrame, theirs: pd.DataFrame, end: float) -> float:
    """Mean logarithm of how many times the samples `theirs` needs to reach the same test bounds.

    See the rule of the first claim.
    """
    curves = [
        curve[curve["samples"] <= end][["samples", "test"]].to_numpy(float).T
        for curve in (ours, theirs)
    ]
    best = [np.maximum.accumulate(bound) for _, bound in curves]
    levels = np.linspace(min(b[0] for b in best), min(b[-1] for b in best), LEVELS + 1)[1:]
    reached = []
    for (samples, bound), running in zip(curves, best, strict=True):
        after = np.searchsorted(running, levels)  # the first evaluation at or above the level
        before = np.maximum(after - 1, 0)
        rise = np.where(after > 0, bound[after] - bound[before], 1.0)
        share = np.where(after > 0, (levels - bound[before]) / rise, 0.0)
        reached.append(np.log(samples[before]) + share * np.log(samples[after] / samples[before]))
    return float(np.mean(reached[1] - reached[0]))


@claim(
    1,
    "speed of convergence",
    says="AEVB converges considerably faster than wake-sleep in every experiment (caption of "
    "Figure 2).",
    statement="In every panel of Figure 2, wake-sleep needs more training samples than AEVB for "
    "the same test bounds.",
    rule="For each seed, the ratio of the samples that wake-sleep and AEVB need to come to a test "
    "bound first, as geometric mean over 20 "
    "bounds spread evenly from the lower of their first values to the lower of their best. A bound "
    "that one of them has passed before its "
    "first evaluation counts as reached there, so that the ratio errs towards 1. Above 1 in every "
    "panel.",
    finding="wake-sleep needs {effect} times AEVB's samples for the same test bounds where the "
    "ratio is least ({check})",
    needs="AEVB and wake-sleep in panels of the paper's Figure 2 with two seeds or more",
    unit="times the samples",
    logarithmic=True,
)
def speed(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = _against_wake_sleep(gathered, paper, _speed_up)
    above, _ = _against_wake_sleep(
        gathered,
        paper,
        lambda ours, theirs, end: (
            ours["test"].iloc[0] >= theirs["test"][theirs["samples"] <= end].max()
        ),
    )
    limits = [any(check.values) for check in above]
    if any(limits):
        remarks.append(
            f"a lower limit in {sum(limits)} of {len(checks)} checks, where AEVB's first "
            "evaluation is above all of wake-sleep's for some seed"
        )
    return [
        check._replace(limit=limit) for check, limit in zip(checks, limits, strict=True)
    ], remarks


@claim(
    2,
    "better bound",
    says="AEVB reaches a better solution than wake-sleep in every experiment (caption of Figure "
    "2).",
    statement="In every panel of Figure 2, AEVB's test bound at the end is above wake-sleep's.",
    rule="AEVB's test bound minus wake-sleep's, seed by seed, at the last count of samples that "
    "both reach (at most 1e8, the end of the "
    "paper's axis). Above 0 in every panel.",
    finding="AEVB ends {effect} nats above wake-sleep where they are nearest ({check})",
    needs="AEVB and wake-sleep in panels of the paper's Figure 2 with two seeds or more",
)
def better(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _against_wake_sleep(
        gathered, paper, lambda ours, theirs, end: at(ours, "test", end) - at(theirs, "test", end)
    )


@claim(
    3,
    "no more overfitting with more latent variables",
    says="Superfluous latent variables do not cause more overfitting, because the bound "
    "regularises (section 5, caption of Figure 2).",
    statement="For AEVB, neither the gap between train and test bound nor the fall of the test "
    "bound from its best grows with N_z.",
    rule="Two measures for each data set: train minus test bound at the end (gap), and the best "
    "test bound so far minus that at the end "
    "(fall, where it is more than two standard errors of the evaluations; before 1e8 samples not "
    "judged where no test bound has fallen). How much "
    "each grows from the smallest to the "
    "largest N_z, by a straight line in log N_z through all of them, for each seed. Below 1 nat, "
    "for both measures and every data set; judged where all seeds end, at most at 1e8 samples, and "
    "again where two or more are trained further.",
    finding="from the smallest to the largest N_z it grows by {effect} nats in the weakest case "
    "({check})",
    needs="AEVB at several N_z of the paper's Figure 2 with two seeds or more",
)
def overfitting(gathered: Gathered, paper: pd.DataFrame) -> Found:
    groups: dict[str, dict[int, dict[int, pd.DataFrame]]] = {}
    for experiment, latent_dim, algorithms in of_paper(gathered, paper):
        if "aevb" in algorithms:
            groups.setdefault(experiment, {})[latent_dim] = completed(
                gathered, experiment, "aevb", latent_dim
            )
    checks, alone, ends, rising, lost = [], [], [], [], []
    for experiment, curves in groups.items():
        if len(curves) < 2:
            continue
        seeds = sorted(set.intersection(*(set(mine) for mine in curves.values())))
        planned = {
            run.seed
            for latent_dim in curves
            for run in replicas(gathered, experiment, "aevb", latent_dim)
        }
        if not seeds:
            checks.append(Check(label(experiment), [], SMALL, -1))
        elif len(seeds) < len(planned):
            lost.append(
                f"without {len(planned) - len(seeds)} of {len(planned)} seeds on "
                f"{label(experiment)}, which diverged at some N_z"
            )
        judged = []
        for name, end, reaching, found in _growing(label(experiment), curves, seeds):
            if reaching == 1 < len(seeds):
                alone += [(check, end) for check in found]
            else:
                checks += found
                rising += [name] if len(found) == 1 else []
                judged = [min(end, PAPER_SAMPLES)]
        ends += judged
    if not any(len(check.values) > 1 for check in checks):
        return [], []
    remarks = short_of(ends, PAPER_SAMPLES, alone) + lost
    if rising:
        remarks.append(f"no fall to judge where every test bound still rises ({'; '.join(rising)})")
    return checks, remarks + _gap_of_paper(gathered, paper, groups)


def _growing(
    name: str, curves: dict[int, dict[int, pd.DataFrame]], seeds: list[int]
) -> Iterator[tuple[str, float, int, list[Check]]]:
    """How much gap and fall grow with N_z, at each count of samples at which `seeds` end.

    `curves` are by N_z and seed. Yields the name with the count where there are several, the count,
    how many seeds reach it, and the checks: no fall where every test bound still rises.
    """
    by_seed = {name: {seed: [mine[seed] for mine in curves.values()] for seed in seeds}}
    ending = {
        end: (place, mine)
        for limit in (PAPER_SAMPLES, np.inf)
        for _, place, end, mine in horizons(by_seed if seeds else {}, limit)
    }
    for end, (place, mine) in ending.items():
        beyond = end > PAPER_SAMPLES and len(mine) > 1 and ", to " not in place
        place += f", to {short(int(end))}" if beyond else ""
        growth = np.transpose([_growth(np.log(list(curves)), seed, end) for seed in mine])
        found = [
            Check(f"{place}: {what}", list(values), SMALL, -1)
            for what, values in zip(("gap", "fall"), growth, strict=True)
        ]
        rises = end < 0.99 * PAPER_SAMPLES and all(
            _fall(curve, end) == 0 for seed in mine for curve in seed
        )
        yield place, end, len(mine), found[:1] if rises else found


def _gap_of_paper(gathered: Gathered, paper: pd.DataFrame, groups: dict[str, dict]) -> list[str]:
    """A remark if the gap in the paper's own curves grows with N_z; `groups`: experiment -> N_z."""
    theirs = []
    for experiment, curves in groups.items():
        printed = [_printed(gathered, paper, experiment, latent_dim) for latent_dim in curves]
        gap = _growth(np.log(list(curves)), printed, PAPER_SAMPLES)[0] if len(printed) > 1 else 0.0
        theirs += [f"{gap:.3g} nats on {label(experiment)}"] if gap > SMALL else []
    return [f"the gap in the paper's own curves grows by {' and '.join(theirs)}"] if theirs else []


def _printed(
    gathered: Gathered, paper: pd.DataFrame, experiment: str, latent_dim: int
) -> pd.DataFrame:
    """AEVB's curve in the paper's Figure 2, its train values at the samples of its test values."""
    test, train = (
        paper_curve(paper, gathered.study, experiment, latent_dim, "aevb", split).rename(
            columns={"value": split}
        )
        for split in ("test", "train")
    )
    return test.assign(train=at(train, "train", test["samples"])).dropna()


def _fall(curve: pd.DataFrame, end: float) -> float:
    """By how much the test bound at `end` is below its best so far, nats; 0 within two standard
    errors of the two evaluations. The paper's curves have none."""
    before = curve[curve["samples"] <= end]
    error = at(curve, "test_se", end) if "test_se" in curve else 0.0
    at_best = before["test"].idxmax()
    noise = 2 * np.hypot(error, before.at[at_best, "test_se"] if error else 0.0)
    fall = before.at[at_best, "test"] - at(curve, "test", end)
    return float(fall) if fall > noise else 0.0


def _growth(sizes: np.ndarray, curves: list[pd.DataFrame], end: float) -> list[float]:
    """How much gap and fall at `end` grow over `sizes`, one per curve, by a straight line."""
    measures = [
        [at(curve, "train", end) - at(curve, "test", end), _fall(curve, end)] for curve in curves
    ]
    return list(np.polyfit(sizes, measures, 1)[0] * np.ptp(sizes))


@claim(
    4,
    "variance of the estimated bound",
    says="The variance of the estimated bound is below 1 and therefore not drawn (caption of "
    "Figure 2).",
    statement="One draw of z for each datapoint estimates the mean bound of a data set with a "
    "variance below 1 nat².",
    rule="Largest variance over all evaluations of a curve (to where all seeds end, and again "
    "where two or more are trained further), train and test, of "
    "the mean bound over the data set from one draw for each datapoint (ours spends more draws "
    "where it would be large; where their number is not stored, as in older results, and "
    "cannot be told from the standard error, an upper limit); and the same as the variance study "
    "measured it on the training set. Below 1 "
    "in every curve of Figure 2 and at every point of that study.",
    finding="the largest variance is {effect} nats² ({check})",
    needs="curves of the paper's Figure 2",
    unit="nats²",
    logarithmic=True,
)
def variance_of_bound(gathered: Gathered, paper: pd.DataFrame) -> Found:
    options = gathered.study.evaluation

    def largest(curve: pd.DataFrame, end: float) -> float:
        before = curve[curve["samples"] <= end]
        errors, draws = (
            before[[f"train_{what}", f"test_{what}"]].to_numpy(float) for what in ("se", "draws")
        )
        most = _one_draw(errors, options.standard_error, options.max_draws)
        return float(np.log(np.where(np.isfinite(draws), errors**2 * draws, most).max()))

    curves = {
        f"{named(experiment, latent_dim)}, {LEARNERS[algorithm].label}": {
            seed: [curve]
            for seed, curve in completed(gathered, experiment, algorithm, latent_dim).items()
        }
        for experiment, latent_dim, algorithms in of_paper(gathered, paper)
        for algorithm in algorithms
    }
    checks, remarks = ended(curves, largest, np.log(SMALL**2), -1)
    planned = [
        replicas(gathered, name, algorithm, dim)
        for name, dim, algorithms in of_paper(gathered, paper)
        for algorithm in algorithms
    ]
    lost = sum(map(len, planned)) - sum(map(len, curves.values()))
    remarks += [f"without {lost} replicas that diverged"] if lost else []
    for place, row in measured(gathered, "bound_all", "B") if checks else ():
        checks.append(
            Check(
                place,
                [float(np.log(row.variance))],
                np.log(SMALL**2),
                -1,
                row.variance_se / row.variance,
                row.minibatches - 1,
            )
        )
    return checks, remarks


def _one_draw(error: np.ndarray, target: float, most: int) -> np.ndarray:
    """Variance of the bound from one draw, at most, given the standard error of an evaluation.

    With v the variance of one draw, k = min(most, ceil(v / target²)) draws were spent, and error² =
    v / k. Above the target k = most; else k - 1 < k (error / target)², so k < 1 / (1 - (error /
    target)²).
    """
    share = (error / target) ** 2
    with np.errstate(divide="ignore"):
        draws = np.where(share < 1, np.ceil(1 / (1 - share)) - 1, most)
    return error**2 * np.clip(draws, 1, most)


@claim(
    10,
    "cost",
    says="A million training samples take 20 to 40 minutes on a Xeon of about 40 GFLOPS (caption "
    "of Figure 2).",
    statement="A million training samples take at most 40 minutes, one model of the paper's size "
    "in float32.",
    rule="Minutes of training, evaluations left out, for a million samples of each curve of Figure "
    "2 with the paper's number of hidden "
    "units. At most 40 in every curve; never without the qualification that machine and program "
    "are others.",
    finding="the slowest model takes {effect} minutes per million samples ({check})",
    needs="curves of Figure 2 with the paper's number of hidden units",
    unit="minutes per million samples",
    figure="cost",
)
def cost(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, machines, counted = [], {}, []
    for experiment, latent_dim, algorithms in of_paper(gathered, paper):
        for algorithm in algorithms:
            runs = [
                run
                for run in replicas(gathered, experiment, algorithm, latent_dim)
                if run.hidden == PAPER_HIDDEN[run.dataset]
            ]
            values = [
                1e6 / run.samples_per_second / 60 for run in runs if run.samples_per_second > 0
            ]
            counted += runs
            machines |= {
                f"{run.processor}, {run.device}, {run.threads} "
                f"thread{'s' * (run.threads > 1)}": None
                for run in runs
            }
            checks += (
                [
                    Check(
                        f"{named(experiment, latent_dim)}, {LEARNERS[algorithm].label}",
                        values,
                        PAPER_MINUTES[1],
                        -1,
                    )
                ]
                if values
                else []
            )
    if not checks:
        return [], []
    middle = minutes(counted)
    times = " to ".join(f"{minutes / middle:.3g}" for minutes in PAPER_MINUTES)
    return checks, [
        f"the paper's times are {times} times our median of {middle:.2g} minutes, on another "
        f"machine ({'; '.join(machines)})"
    ]
