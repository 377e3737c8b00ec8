"""The paper's claims, one by one: what it says, what was measured, by which rule that is judged,
and the verdict.

Every claim is a function whose decorator states it. The rule is part of that statement, so that it
stands before the numbers. The function returns panels, the measured effects with the threshold that
the claim puts them above or below; judging.py does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..config import FIGURE3_SAMPLES, TRADEOFF, load
from ..core.words import short
from ..report.figures import ALGORITHMS, PAPER_DRAWS, label
from ..results import Gathered, Table
from .distance import at, completed, panels_of, paper_curve, replicas, training_points
from .verdicts import Panel, interval, judge, kind, state, support

PAPER_SAMPLES = 100_000_000  # where the printed axes of Figure 2 end
PAPER_HIDDEN = {
    "mnist": 500,
    "frey": 200,
}  # of Figure 2; other data sets are stand-ins, on which no claim is tested
PAPER_MINUTES = (
    20,
    40,
)  # for a million training samples, on a Xeon of about 40 GFLOPS (caption of Figure 2)
PAPER_RELIABLE = 5  # below so many dimensions the paper calls its estimator of log p(x) good
LEVELS = 20  # bounds at which two curves' samples are compared
SMALL = 1.0  # nats: what counts as small, as in the paper's "estimator variance < 1"
USELESS = (
    100.0  # times the variance: so many times the samples for the same precision of a gradient
)

PARTS = {
    "bound": "minibatch bound",
    "bound_all": "training-set bound",
    "encoder": "encoder",
}  # what the variance study measures

Curves = dict[str, dict[int, list[pd.DataFrame]]]  # by panel and seed: the curves that are compared
Found = tuple[
    list[Panel], list[str]
]  # panels, none where the study has not what a claim needs, and remarks that qualify the claim


class Claim(NamedTuple):
    number: int
    name: str
    panels: Callable[[Gathered, pd.DataFrame], Found]
    says: str  # what the paper says, in our words, and where
    statement: str  # what is measured
    rule: str
    needs: str
    unit: str = "nats per datapoint"
    figure: str = "figure2"  # that shows it
    logarithmic: bool = False  # panels hold logarithms of effects


CLAIMS: list[Claim] = []


def claim(number: int, name: str, **about):
    """Enter a function (gathered, paper) -> Found into CLAIMS."""

    def enter(function):
        CLAIMS.append(Claim(number, name, function, **about))
        return function

    return enter


def _tested(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]
) -> Iterator[tuple[Claim, str, list[Panel], list[str]]]:
    """Each claim with the name of the first study that has what it needs (without panels if none
    has)."""
    for entry in CLAIMS:
        for study in (gathered, *others):
            panels, remarks = entry.panels(study, paper)
            if panels:
                break
        yield entry, study.config["name"] if panels else "", panels, remarks


def _row(entry: Claim, panel: Panel) -> dict:
    """One panel as the tables show it."""
    scale = np.exp if entry.logarithmic else np.asarray
    effect, low, high, threshold = (
        float(scale(value)) for value in (*interval(panel), panel.threshold)
    )
    row = {
        "effect": effect,
        "low": low,
        "high": high,
        "unit": entry.unit,
        "seeds": len(panel.values),
        "panel": panel.name,
    }
    return {
        **row,
        "threshold": threshold,
        "side": "above" if panel.side > 0 else "below",
        "interval": kind(panel),
        "state": state(panel),
    }


VERDICTS = [
    "claim",
    "statement",
    "verdict",
    "effect",
    "low",
    "high",
    "unit",
    "seeds",
    "panels",
    "exceptions",
]
VERDICTS += [
    "panel",
    "threshold",
    "side",
    "interval",
    "median",
    "agreeing",
    "study",
    "says",
    "rule",
    "figure",
]
DETAILS = [
    "claim",
    "panel",
    "state",
    "effect",
    "low",
    "high",
    "unit",
    "seeds",
    "interval",
    "threshold",
    "side",
    "study",
]


def verdicts(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row a claim, judged on the first study of (gathered, *others) that has what it needs;
    `paper`: its curves.

    claim (number and name), statement, verdict ("holds", "holds with a qualification: ...", "does
    not hold", "not tested: why"); effect, low, high: mean and 95 % interval in the panel that
    speaks least for the claim (see judging.support), in `unit`; seeds (behind that effect), panels
    (how many), exceptions (panels that disagree); panel (whose effect it is), threshold and side
    (where the claim says the effect lies), interval (what it is), median (effect over the panels),
    agreeing (panels), study, says, rule, figure.
    """
    rows = []
    for entry, study, panels, remarks in _tested(gathered, paper, others):
        row = {
            "claim": f"{entry.number}. {entry.name}",
            "statement": entry.statement,
            "unit": entry.unit,
            "seeds": 0,
            "agreeing": 0,
        }
        row |= {
            "panels": len(panels),
            "study": study,
            "says": entry.says,
            "rule": entry.rule,
            "figure": entry.figure,
        }
        if panels:
            row["verdict"], row["exceptions"] = judge(panels, remarks)
            shown = [_row(entry, panel) for panel in panels]
            row |= {
                **_row(entry, min(panels, key=support)),
                "median": pd.Series([r["effect"] for r in shown]).median(),
            }
            row["agreeing"] = sum(r["state"] == "agrees" for r in shown)
        else:
            row |= {"verdict": f"not tested: it needs {entry.needs}", "exceptions": ""}
        rows.append(row)
    return pd.DataFrame(rows, columns=VERDICTS)


def details(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The panels behind `verdicts`, one row each, with the columns of it that apply to one
    panel, and its state (see judging.py)."""
    tested = _tested(gathered, paper, others)
    rows = [
        {"claim": f"{e.number}. {e.name}", "study": study, **_row(e, panel)}
        for e, study, panels, _ in tested
        for panel in panels
    ]
    return pd.DataFrame(rows, columns=DETAILS)


def _short_of(
    ends: Sequence[float], full: float, alone: Sequence[tuple[Panel, float]] = ()
) -> list[str]:
    """Remarks if a comparison ends before the paper's axis does, and on what one seed that goes
    on alone says (panels, and their ends)."""
    remarks = (
        [f"only to {short(int(min(ends)))} of the paper's {short(int(full))} samples"]
        if ends and min(ends) < 0.99 * full
        else []
    )
    against = [
        panel.name for panel, _ in alone if panel.side * (panel.values[0] - panel.threshold) <= 0
    ]
    if alone:
        said = (
            f"against it in {len(against)} of {len(alone)} panels ({'; '.join(against)})"
            if against
            else "on its side"
        )
        reached = sorted({end for _, end in alone})
        more = " or more" if len(reached) > 1 else ""
        remarks.append(f"the one seed that goes on, to {short(int(reached[0]))}{more}, is {said}")
    return remarks


def _named(experiment: str, latent_dim: int) -> str:
    return f"{label(experiment)}, N_z = {latent_dim}"


# --- Figure 2 ---


def _of_paper(
    gathered: Gathered, paper: pd.DataFrame, figure: int = 2
) -> list[tuple[str, int, list[str]]]:
    """The panels of Figure 2 or 3 that can be set beside the paper's: experiment, N_z and
    algorithms."""
    study = load(gathered.config)
    return [
        row
        for row in panels_of(study, figure)
        if paper_curve(paper, study, row[0], row[1], "aevb", "test") is not None
    ]


def _horizons(
    curves: Curves, limit: float = PAPER_SAMPLES
) -> Iterator[tuple[str, str, float, list[list[pd.DataFrame]]]]:
    """(panel, its name, last count of samples, curves of each seed that reaches it) for panels of
    curves by seed.

    Seeds may have different budgets: a panel whose seeds end at several counts comes once for each
    of them, in rising order, the first time with all seeds. Its name tells them apart if more than
    one is of two seeds or more.
    """
    for panel, seeds in curves.items():
        ends = {
            seed: min(float(limit), *(float(curve["samples"].iloc[-1]) for curve in mine))
            for seed, mine in seeds.items()
        }
        reached = {
            end: [seeds[seed] for seed in seeds if ends[seed] >= end]
            for end in sorted(set(ends.values()))
        }
        several = sum(len(mine) > 1 for mine in reached.values()) > 1
        for end, mine in reached.items():
            yield panel, f"{panel}, to {short(int(end))}" if several else panel, end, mine


def _ended(curves: Curves, effect: Callable, threshold: float = 0.0, side: int = 1) -> Found:
    """Panels of effect(*curves of a seed, last count), and remarks on these counts, and on what
    one seed that goes on alone shows."""
    panels, alone, ends = (
        [Panel(name, [], threshold, side) for name, seeds in curves.items() if not seeds],
        [],
        {},
    )
    for panel, name, end, seeds in _horizons(
        {name: seeds for name, seeds in curves.items() if seeds}
    ):
        found = Panel(name, [effect(*mine, end) for mine in seeds], threshold, side)
        if panel in ends and len(seeds) == 1:
            alone.append((found, end))
        else:
            panels.append(found)
            ends[panel] = end
    return panels, _short_of(list(ends.values()), PAPER_SAMPLES, alone)


def _against_wake_sleep(gathered: Gathered, paper: pd.DataFrame, effect: Callable) -> Found:
    """Panels of effect(AEVB's curve, wake-sleep's, last count) for Figure 2; none unless a panel
    was run with two seeds."""
    pairs, planned, lost = {}, [0], 0
    for experiment, latent_dim, algorithms in _of_paper(gathered, paper):
        if {"aevb", "wake_sleep"} <= set(algorithms):
            ours, theirs = (
                completed(gathered, experiment, algorithm, latent_dim)
                for algorithm in ("aevb", "wake_sleep")
            )
            both = sorted(set(ours) & set(theirs))
            pairs[_named(experiment, latent_dim)] = {
                seed: [ours[seed], theirs[seed]] for seed in both
            }
            planned.append(len(replicas(gathered, experiment, "aevb", latent_dim)))
            lost += planned[-1] - len(both)
    panels, ends = _ended(pairs, effect)
    remarks = [f"without {lost} pairs of replicas, of which one or both diverged"] if lost else []
    return (panels, remarks + ends) if max(planned) > 1 else ([], [])


def _speed_up(ours: pd.DataFrame, theirs: pd.DataFrame, end: float) -> float:
    """Mean logarithm of how many times the samples `theirs` needs to reach the same test bounds
    (see the rule of the first claim)."""
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
    needs="AEVB and wake-sleep in panels of the paper's Figure 2 with two seeds or more",
    unit="times the samples",
    logarithmic=True,
)
def speed(gathered: Gathered, paper: pd.DataFrame) -> Found:
    panels, remarks = _against_wake_sleep(gathered, paper, _speed_up)
    above, _ = _against_wake_sleep(
        gathered,
        paper,
        lambda ours, theirs, end: (
            ours["test"].iloc[0] >= theirs["test"][theirs["samples"] <= end].max()
        ),
    )
    limits = sum(any(panel.values) for panel in above)
    if limits:
        remarks.append(
            f"a lower limit in {limits} of {len(panels)} panels, where AEVB's first evaluation is "
            "above all of wake-sleep's for some seed"
        )
    return panels, remarks


@claim(
    2,
    "better bound",
    says="AEVB reaches a better solution than wake-sleep in every experiment (caption of Figure "
    "2).",
    statement="In every panel of Figure 2, AEVB's test bound at the end is above wake-sleep's.",
    rule="AEVB's test bound minus wake-sleep's, seed by seed, at the last count of samples that "
    "both reach (at most 1e8, the end of the "
    "paper's axis). Above 0 in every panel.",
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
    "(fall; before 1e8 samples not judged where every test bound is still at its best). How much "
    "each grows from the smallest to the "
    "largest N_z, by a straight line in log N_z through all of them, for each seed. Below 1 nat, "
    "for both measures and every data set; judged where all seeds end, at most at 1e8 samples, and "
    "again where two or more go on.",
    needs="AEVB at several N_z of the paper's Figure 2 with two seeds or more",
)
def overfitting(gathered: Gathered, paper: pd.DataFrame) -> Found:
    groups: dict[str, dict[int, dict[int, pd.DataFrame]]] = {}
    for experiment, latent_dim, algorithms in _of_paper(gathered, paper):
        if "aevb" in algorithms:
            groups.setdefault(experiment, {})[latent_dim] = completed(
                gathered, experiment, "aevb", latent_dim
            )
    panels, alone, ends, rising, lost = [], [], [], [], []
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
            panels.append(Panel(label(experiment), [], SMALL, -1))
        elif len(seeds) < len(planned):
            lost.append(
                f"without {len(planned) - len(seeds)} of {len(planned)} seeds on "
                f"{label(experiment)}, which diverged at some N_z"
            )
        by_seed = (
            {label(experiment): {seed: [mine[seed] for mine in curves.values()] for seed in seeds}}
            if seeds
            else {}
        )
        horizons = {
            end: (name, mine)
            for limit in (PAPER_SAMPLES, np.inf)
            for _, name, end, mine in _horizons(by_seed, limit)
        }
        for end, (name, mine) in horizons.items():
            name += (
                f", to {short(int(end))}"
                if end > PAPER_SAMPLES and len(mine) > 1 and ", to " not in name
                else ""
            )
            growth = np.transpose([_growth(np.log(list(curves)), seed, end) for seed in mine])
            found = [
                Panel(f"{name}: {what}", list(values), SMALL, -1)
                for what, values in zip(("gap", "fall"), growth, strict=True)
            ]
            rises = end < 0.99 * PAPER_SAMPLES and all(
                _at_best(curve, end) for seed in mine for curve in seed
            )
            found = found[:1] if rises else found
            if len(mine) == 1 < len(seeds):
                alone += [(panel, end) for panel in found]
            else:
                panels += found
                rising += [name] if rises else []
                judged = min(end, PAPER_SAMPLES)
        ends += [judged] if horizons else []
    remarks = lost + (
        [f"no fall to judge where every test bound still rises ({'; '.join(rising)})"]
        if rising
        else []
    )
    theirs = []
    for experiment, curves in groups.items():
        printed = [_printed(gathered, paper, experiment, latent_dim) for latent_dim in curves]
        gap = _growth(np.log(list(curves)), printed, PAPER_SAMPLES)[0] if len(printed) > 1 else 0.0
        theirs += [f"{gap:.3g} nats on {label(experiment)}"] if gap > SMALL else []
    remarks += (
        [f"the gap in the paper's own curves grows by {' and '.join(theirs)}"] if theirs else []
    )
    return (
        (panels, _short_of(ends, PAPER_SAMPLES, alone) + remarks)
        if any(len(panel.values) > 1 for panel in panels)
        else ([], [])
    )


def _printed(
    gathered: Gathered, paper: pd.DataFrame, experiment: str, latent_dim: int
) -> pd.DataFrame:
    """AEVB's curve in the paper's Figure 2, its train values at the samples of its test values."""
    test, train = (
        paper_curve(paper, load(gathered.config), experiment, latent_dim, "aevb", split).rename(
            columns={"value": split}
        )
        for split in ("test", "train")
    )
    return test.assign(train=at(train, "train", test["samples"])).dropna()


def _at_best(curve: pd.DataFrame, end: float) -> bool:
    test = curve.loc[curve["samples"] <= end, "test"]
    return test.iloc[-1] == test.max()


def _growth(sizes: np.ndarray, curves: list[pd.DataFrame], end: float) -> list[float]:
    """How much gap and fall at `end` grow over `sizes`, one for each of `curves`, by a straight
    line."""
    measures = []
    for curve in curves:
        best = curve.loc[curve["samples"] <= end, "test"].max()
        measures.append(
            [
                at(curve, "train", end) - at(curve, "test", end),
                max(best - at(curve, "test", end), 0.0),
            ]
        )
    return list(np.polyfit(sizes, measures, 1)[0] * np.ptp(sizes))


@claim(
    4,
    "variance of the estimated bound",
    says="The variance of the estimated bound is below 1 and therefore not drawn (caption of "
    "Figure 2).",
    statement="One draw of z for each datapoint estimates the mean bound of a data set with a "
    "variance below 1 nat².",
    rule="Largest variance over all evaluations of a curve (to where all seeds end, and again "
    "where two or more go on), train and test, of "
    "the mean bound over the data set from one draw for each datapoint (ours spends more draws "
    "where it would be large; where their number "
    "cannot be told from the standard error, an upper limit); and the same as the variance study "
    "measured it on the training set. Below 1 "
    "in every curve of Figure 2 and at every point of that study.",
    needs="curves of the paper's Figure 2",
    unit="nats²",
    logarithmic=True,
)
def variance_of_bound(gathered: Gathered, paper: pd.DataFrame) -> Found:
    options = load(gathered.config).evaluation

    def largest(curve: pd.DataFrame, end: float) -> float:
        errors = curve.loc[curve["samples"] <= end, ["train_se", "test_se"]].to_numpy()
        return float(np.log(_one_draw(errors, options.standard_error, options.max_draws).max()))

    curves = {
        f"{_named(experiment, latent_dim)}, {ALGORITHMS[algorithm]}": {
            seed: [curve]
            for seed, curve in completed(gathered, experiment, algorithm, latent_dim).items()
        }
        for experiment, latent_dim, algorithms in _of_paper(gathered, paper)
        for algorithm in algorithms
    }
    panels, remarks = _ended(curves, largest, np.log(SMALL**2), -1)
    planned = [
        replicas(gathered, name, algorithm, dim)
        for name, dim, algorithms in _of_paper(gathered, paper)
        for algorithm in algorithms
    ]
    lost = sum(map(len, planned)) - sum(map(len, curves.values()))
    remarks += [f"without {lost} replicas that diverged"] if lost else []
    for place, row in _measured(gathered, "bound_all", "B") if panels else ():
        panels.append(
            Panel(
                place,
                [float(np.log(row.variance))],
                np.log(SMALL**2),
                -1,
                row.variance_se / row.variance,
            )
        )
    return panels, remarks


def _one_draw(error: np.ndarray, target: float, most: int) -> np.ndarray:
    """Variance of the bound from one draw, at most, given its standard error after evaluation.bound
    had spent its draws.

    With v the variance of one draw, k = min(most, ceil(v / target²)) draws were spent, and error² =
    v / k. Above the target k = most; else k - 1 < k (error / target)², so k < 1 / (1 - (error /
    target)²).
    """
    share = (error / target) ** 2
    with np.errstate(divide="ignore"):
        draws = np.where(share < 1, np.ceil(1 / (1 - share)) - 1, most)
    return error**2 * np.clip(draws, 1, most)


# --- the method's own choices ---


@claim(
    5,
    "one draw is enough",
    says="With minibatches of M = 100, one sample of z for each datapoint, L = 1, is enough "
    "(section 2.3).",
    statement="With M = 100 and at equal cost, no L above 1 ends with a test bound more than 1 nat "
    "better than that of L = 1.",
    rule="Test bound of L = 1 minus that of each larger L, seed by seed, where the latter ends and "
    "L = 1 has cost as much, by having seen "
    "L times the datapoints. Above -1 nat for every L. If one is more than 1 nat better at equal "
    "datapoints, that is a qualification.",
    needs="the trade-off study on data of the paper, with M = 100 and L = 1 and more",
    figure="tradeoff",
)
def one_draw(gathered: Gathered, paper: pd.DataFrame) -> Found:
    training, panels, remarks, sizes = load(gathered.config).training, [], [], {}
    for run in gathered.runs.values():
        base, _, variant = run.experiment.partition("+")
        if run.dataset in PAPER_HIDDEN and (found := TRADEOFF.fullmatch(variant)):
            sizes.setdefault((base, run.latent_dim), {})[int(found[1]), int(found[2])] = (
                run.experiment
            )
    for (base, latent_dim), names in sizes.items():
        names.setdefault(
            (training.draws, training.batch_size), base
        )  # the study's own L and M have no name of their own
        one = completed(gathered, names[1, 100], "aevb", latent_dim) if (1, 100) in names else {}
        for draws in (
            sorted(draws for draws, batch in names if batch == 100 and draws > 1) if one else ()
        ):
            many = {
                seed: curve.iloc[-1]
                for seed, curve in completed(
                    gathered, names[draws, 100], "aevb", latent_dim
                ).items()
                if seed in one
            }
            cost, data = (
                # the last minibatch may end a little beyond the budget
                [
                    at(one[s], "test", min(factor * end["samples"], one[s]["samples"].iloc[-1]))
                    - end["test"]
                    for s, end in many.items()
                ]
                for factor in (draws, 1)
            )
            panels.append(Panel(f"{_named(base, latent_dim)}: L = {draws}", cost, -SMALL))
            if data and np.mean(data) < -SMALL:
                better, least, most = interval(Panel("", [-value for value in data]))
                known = f" [{least:.3g}, {most:.3g}]".replace("-", "−") if len(data) > 1 else ""
                remarks.append(
                    f"{_named(base, latent_dim)}: at equal datapoints L = {draws} is better by "
                    f"{better:.3g}{known} nats"
                )
    return panels, remarks


def _measured(gathered: Gathered, part: str, estimator: str) -> Iterator[tuple[str, NamedTuple]]:
    """Rows of the variance study on data of the paper, with the name of the model and the point
    of its training."""
    tables: dict[str, Table] = getattr(gathered, "variance", {})
    for name, table in tables.items():
        model, rows = (
            gathered.runs[name],
            table.frame[(table.frame["part"] == part) & (table.frame["estimator"] == estimator)],
        )
        for row in rows.itertuples() if model.dataset in PAPER_HIDDEN else ():
            point = short(int(row.samples)) + " samples" if row.samples else "start"
            yield f"{_named(model.experiment, model.latent_dim)}, {PARTS[part]} at {point}", row


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _ratios(gathered: Gathered, part: str, estimator: str, threshold: float = 0.0) -> list[Panel]:
    """Logarithms of how many times estimator B's variance another estimator has, with their
    Monte Carlo standard errors."""
    rows = _measured(gathered, part, estimator)
    return [
        Panel(place, [float(np.log(row.ratio))], threshold, error=row.ratio_se / row.ratio)
        for place, row in rows
    ]


@claim(
    6,
    "estimator B has the lower variance",
    says="Estimator B, with the KL divergence in closed form, typically varies less than estimator "
    "A (section 2.3, equations 6 and 7).",
    statement="Estimator A's variance is above estimator B's, for the bound and for the encoder's "
    "gradient (the decoder's is the same).",
    rule="Ratio of the variances, A over B, at each model and point of training that was measured. "
    "Above 1 everywhere.",
    needs="the variance study on data of the paper",
    unit="times the variance",
    figure="variance",
    logarithmic=True,
)
def lower_variance(gathered: Gathered, paper: pd.DataFrame) -> Found:
    parts = {
        name: _ratios(gathered, part, "A") for part, name in PARTS.items() if part != "bound_all"
    }
    apart = {
        name: judge(panels, [])[0].partition(":")[0] for name, panels in parts.items() if panels
    }
    remarks = (
        [f"{name} alone: {verdict}" for name, verdict in apart.items()]
        if len(set(apart.values())) > 1
        else []
    )
    return [panel for panels in parts.values() for panel in panels], remarks


@claim(
    7,
    "the score function's variance is too high",
    says="The naive gradient estimator, through the score function, varies too much to be of use "
    "(section 2.2).",
    statement="The score function gradient of the encoder has at least 100 times the variance of "
    "estimator B's.",
    rule="Ratio of the variances of the encoder's gradient, score function over B, at each model "
    "and point of training that was measured. "
    "Above 100 everywhere: a minibatch of 100 would have to be one of 10,000. If a baseline brings "
    "it below, that is a qualification.",
    needs="the variance study on data of the paper",
    unit="times the variance",
    figure="variance",
    logarithmic=True,
)
def score_function(gathered: Gathered, paper: pd.DataFrame) -> Found:
    remarks = []
    for estimator, name in (
        ("score_baseline", "a baseline"),
        ("score_oracle", "a baseline for each datapoint"),
    ):
        helped = [np.exp(panel.values[0]) for panel in _ratios(gathered, "encoder", estimator)]
        if helped and min(helped) < USELESS:
            remarks.append(
                f"with {name} it is {_times(min(helped))} to {_times(max(helped))} times"
            )
    return _ratios(gathered, "encoder", "score", np.log(USELESS)), remarks


# --- Figure 3, appendix D, cost ---


@claim(
    8,
    "Monte Carlo EM does well on few datapoints and does not scale",
    says="With 1,000 training points Monte Carlo EM leads before AEVB and wake-sleep; on all "
    "50,000 it is not efficient (Figure 3).",
    statement="Test log p(x) at the end: N_train = 1,000: MCEM above AEVB above wake-sleep; "
    "50,000: AEVB and wake-sleep above MCEM.",
    rule="Differences of log p(x) of the first 1,000 test points (importance sampling), seed by "
    "seed, at the last count of samples that "
    "both reach. Above 0 in all four comparisons.",
    needs="log p(x) of Figure 3 for all three algorithms and both sizes of the training set",
    figure="figure3",
)
def marginal_likelihood(gathered: Gathered, paper: pd.DataFrame) -> Found:
    study = load(gathered.config)
    by_size = {
        training_points(study.experiments[name]): (name, latent_dim)
        for name, latent_dim, _ in _of_paper(gathered, paper, 3)
    }
    pairs = {
        1000: [("mcem", "aevb"), ("aevb", "wake_sleep")],
        50_000: [("aevb", "mcem"), ("wake_sleep", "mcem")],
    }
    if (
        set(by_size) != set(pairs)
        or not gathered.evidence
        or not {"aevb", "wake_sleep", "mcem"} <= set(study.figure3.algorithms)
    ):
        return [], []
    panels, ends = [], []
    for size, (name, latent_dim) in by_size.items():
        for first, second in pairs[size]:
            above, below = (
                completed(gathered, name, algorithm, latent_dim) for algorithm in (first, second)
            )
            both = {
                seed: float(min(above[seed]["samples"].max(), below[seed]["samples"].max()))
                for seed in above
                if seed in below
            }
            values = [
                at(above[seed], "test", end) - at(below[seed], "test", end)
                for seed, end in both.items()
            ]
            panels.append(
                Panel(f"N_train = {size:,}: {ALGORITHMS[first]} above {ALGORITHMS[second]}", values)
            )
            ends += both.values()
    return panels, _short_of(ends, FIGURE3_SAMPLES)


@claim(
    9,
    "the estimator of log p(x) is good below five dimensions",
    says="The estimator of log p(x) is good with fewer than five latent dimensions and unreliable "
    "with more (section 5, appendix D).",
    statement="The bias of the appendix-D estimator is below 1 nat for N_z < 5 and above 1 nat for "
    "N_z > 5.",
    rule="Size of the mean bias on test points, at the number of samples nearest to the paper's "
    "50, against quadrature where N_z < 4 and "
    "the tightest lower bound above. Below 1 nat under five dimensions and above 1 nat over five; "
    "at five the claim says nothing.",
    needs="the estimator study on data of the paper, with N_z below and above five",
    figure="estimators",
)
def estimator(gathered: Gathered, paper: pd.DataFrame) -> Found:
    panels = []
    for name, table in gathered.estimators.items():
        rows = table.frame[
            (table.frame["estimator"] == "hmc_kde") & (table.frame["data"] == "test")
        ]
        model = gathered.runs[name]
        if len(rows) and model.latent_dim != PAPER_RELIABLE and model.dataset in PAPER_HIDDEN:
            row = rows.loc[np.log(rows["samples"] / PAPER_DRAWS).abs().idxmin()]
            side = 1 if model.latent_dim > PAPER_RELIABLE else -1
            panels.append(
                Panel(
                    _named(model.experiment, model.latent_dim),
                    [abs(row["bias"])],
                    SMALL,
                    side,
                    row["bias_se"],
                )
            )
    return (panels, []) if {panel.side for panel in panels} == {1, -1} else ([], [])


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
    needs="curves of Figure 2 with the paper's number of hidden units",
    unit="minutes per million samples",
    figure="cost",
)
def cost(gathered: Gathered, paper: pd.DataFrame) -> Found:
    panels, machines = [], {}
    for experiment, latent_dim, algorithms in _of_paper(gathered, paper):
        for algorithm in algorithms:
            runs = [
                run
                for run in replicas(gathered, experiment, algorithm, latent_dim)
                if run.hidden == PAPER_HIDDEN[run.dataset]
            ]
            values = [
                1e6 / run.samples_per_second / 60 for run in runs if run.samples_per_second > 0
            ]
            machines |= {
                f"{run.processor}, {run.device}, {run.threads} "
                f"thread{'s' * (run.threads > 1)}": None
                for run in runs
            }
            panels += (
                [
                    Panel(
                        f"{_named(experiment, latent_dim)}, {ALGORITHMS[algorithm]}",
                        values,
                        PAPER_MINUTES[1],
                        -1,
                    )
                ]
                if values
                else []
            )
    if not panels:
        return [], []
    middle = float(np.median([np.mean(panel.values) for panel in panels]))
    times = " to ".join(f"{minutes / middle:.3g}" for minutes in PAPER_MINUTES)
    return panels, [
        f"the paper's times are {times} times our median of {middle:.2g} minutes, on another "
        f"machine ({'; '.join(machines)})"
    ]
