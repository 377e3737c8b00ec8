"""The paper's claims, one by one: what it says, what was measured, by which rule, and the verdict.

Every claim is a function whose decorator states it. The rule is part of that statement, so that it
stands before the numbers. The function returns checks: the measured effects, with the threshold
that the claim puts them above or below. verdicts.py does the rest. Claims are in the studies that
test them, each in a file claims.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.run import absolute
from ..core.words import number, short
from ..data import DATASETS
from ..paper.curves import panels_of, paper_curve
from ..paper.facts import PAPER_SAMPLES
from ..results import Gathered
from ..studies import STUDIES
from .verdicts import Check, interval, judge, kind, state, support

SMALL = 1.0  # nats: what counts as small, as in the paper's "estimator variance < 1"
#: by check and seed: the curves that are compared
Curves = dict[str, dict[int, list[pd.DataFrame]]]
#: checks, none where the study has not what a claim needs, and remarks that qualify the claim
Found = tuple[list[Check], list[str]]


class Claim(NamedTuple):
    """A claim of the paper, or of a lecture on it, and how it is tested."""

    number: int
    name: str
    checks: Callable[[Gathered, pd.DataFrame], Found]
    says: str  # what the paper says, in our words, and where
    statement: str  # what is measured
    rule: str
    needs: str
    unit: str = "nats per datapoint"
    figure: str = "figure2"  # that shows it
    #: the finding, of the weakest case: {effect} with its interval, {check} the name of the case
    finding: str = "{effect} {unit} in the weakest case ({check})"
    logarithmic: bool = False  # checks hold logarithms of effects
    paper: bool = True  # whether the paper makes it; others show only where they are tested


CLAIMS: list[Claim] = []


def claim(number: int, name: str, **about):
    """A decorator that enters a function (gathered, paper) -> Found into CLAIMS.

    `about` are further fields of Claim. Raises UserError if the number is taken.
    """

    def enter(function):
        if any(entry.number == number for entry in CLAIMS):
            raise UserError(f"there are two claims {number}; give one of them another number")
        CLAIMS.append(Claim(number, name, function, **about))
        return function

    return enter


def catalogue() -> list[Claim]:
    """All claims, by number: those of the studies, and those that plug-ins enter."""
    for study in STUDIES.values():
        if study.claims:
            importlib.import_module(absolute(study.claims))
    return sorted(CLAIMS, key=lambda entry: entry.number)


def _tested(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered]
) -> Iterator[tuple[Claim, str, list[Check], list[str]]]:
    """Each claim with the first study that has what it needs: its name, checks and remarks.

    There are no checks if none has.
    """
    for entry in catalogue():
        for study in (gathered, *others):
            checks, remarks = entry.checks(study, paper)
            if checks:
                break
        if checks or entry.paper:
            yield entry, study.config["name"] if checks else "", checks, remarks


def _row(entry: Claim, check: Check) -> dict:
    """One check as the tables show it."""
    scale = np.exp if entry.logarithmic else np.asarray
    effect, low, high, threshold = (
        float(scale(value)) for value in (*interval(check), check.threshold)
    )
    row = {
        "effect": effect,
        "low": low,
        "high": high,
        "unit": entry.unit,
        "seeds": check.over or len(check.values),
        "check": check.name,
        "limit": check.limit,
    }
    return {
        **row,
        "threshold": threshold,
        "side": "above" if check.side > 0 else "below",
        "interval": kind(check),
        "state": state(check),
    }


VERDICTS = [
    "claim",
    "statement",
    "verdict",
    "finding",
    "effect",
    "low",
    "high",
    "unit",
    "seeds",
    "checks",
    "exceptions",
]
VERDICTS += [
    "check",
    "threshold",
    "side",
    "interval",
    "limit",
    "median",
    "agreeing",
    "study",
    "says",
    "rule",
    "figure",
    "paper",
]
DETAILS = [
    "claim",
    "check",
    "state",
    "effect",
    "low",
    "high",
    "unit",
    "seeds",
    "interval",
    "threshold",
    "side",
    "limit",
    "study",
]


def effect_said(row: Mapping[str, Any]) -> str:
    """The effect of a row of `verdicts` with its interval: "more than 2.03 [1.11, 3.65]"."""
    if not np.isfinite(row["effect"]):
        return "no number"
    effect, low, high = (
        f"{row[name]:,.0f}" if abs(row[name]) >= 1000 else number(row[name])
        for name in ("effect", "low", "high")
    )
    within = f" [{low}, {high}]" if np.isfinite(row["low"]) else ""
    return f"{'more than ' if row['limit'] is True else ''}{effect}{within}"


def verdicts(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per claim, judged on the first study of (gathered, *others) that has what it needs.

    `paper` are the paper's curves. Columns:

        claim                     number and name
        says, statement, rule     as the claim has them; figure, unit and paper too
        verdict                   a word and what qualifies it, see verdicts.py
        finding                   the effect of the weakest case in words
        effect, low, high         mean and 95 % interval of the weakest case (verdicts.support)
        check, seeds, interval    that case, the seeds behind its effect, what its interval is
        threshold, side           where the claim says that the effect lies
        limit                     whether that case's effect is a lower limit
        checks, agreeing          how many there are, and how many agree
        exceptions                checks that disagree
        median                    of the effects of the checks
        study                     on which it was judged
    """
    rows = []
    for entry, study, checks, remarks in _tested(gathered, paper, others):
        row = {
            "claim": f"{entry.number}. {entry.name}",
            "statement": entry.statement,
            "unit": entry.unit,
            "seeds": 0,
            "agreeing": 0,
        }
        row |= {
            "checks": len(checks),
            "study": study,
            "says": entry.says,
            "rule": entry.rule,
            "figure": entry.figure,
            "paper": entry.paper,
        }
        if checks:
            row["verdict"], row["exceptions"] = judge(checks, remarks)
            shown = [_row(entry, check) for check in checks]
            row |= {
                **_row(entry, min(checks, key=support)),
                "median": pd.Series([r["effect"] for r in shown]).median(),
            }
            row["agreeing"] = sum(r["state"] == "agrees" for r in shown)
            row["finding"] = entry.finding.format(
                effect=effect_said(row), unit=entry.unit, check=row["check"]
            )
        else:
            row |= {"verdict": f"not tested: it needs {entry.needs}", "exceptions": ""}
            row["finding"] = f"it needs {entry.needs}"
        rows.append(row)
    return pd.DataFrame(rows, columns=VERDICTS)


def details(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The checks behind `verdicts`, one row each.

    The columns are those of `verdicts` that apply to one check, and its state (see verdicts.py).
    """
    tested = _tested(gathered, paper, others)
    rows = [
        {"claim": f"{e.number}. {e.name}", "study": study, **_row(e, check)}
        for e, study, checks, _ in tested
        for check in checks
    ]
    return pd.DataFrame(rows, columns=DETAILS)


def short_of(
    ends: Sequence[float], full: float, alone: Sequence[tuple[Check, float]] = ()
) -> list[str]:
    """Remarks on how far a comparison goes.

    They say whether it ends before the paper's axis, `full`, does, and what the one seed trained
    further shows: `alone` are its checks, with their ends.
    """
    remarks = (
        [f"only to {short(int(min(ends)))} of the paper's {short(int(full))} samples"]
        if ends and min(ends) < 0.99 * full
        else []
    )
    against = [
        check.name for check, _ in alone if check.side * (check.values[0] - check.threshold) <= 0
    ]
    if alone:
        said = (
            f"disagrees in {len(against)} of {len(alone)} checks ({'; '.join(against)})"
            if against
            else "agrees"
        )
        reached = sorted({end for _, end in alone})
        more = " or more" if len(reached) > 1 else ""
        remarks.append(f"the seed trained to {short(int(reached[0]))}{more} {said}")
    return remarks


def of_paper(
    gathered: Gathered, paper: pd.DataFrame, figure: int = 2
) -> list[tuple[str, int, list[str]]]:
    """The panels of Figure 2 or 3 that have a curve of the paper, on its data: experiment, N_z,
    algorithms."""
    study = gathered.study
    return [
        row
        for row in panels_of(study, figure)
        if DATASETS[study.experiments[row[0]].dataset].in_paper
        and paper_curve(paper, study, row[0], row[1], "aevb", "test") is not None
    ]


def horizons(
    curves: Curves, limit: float = PAPER_SAMPLES
) -> Iterator[tuple[str, str, float, list[list[pd.DataFrame]]]]:
    """The counts of samples at which seeds end, check by check, up to `limit`.

    Yields the check, its name, the count, and the curves of each seed that reaches it. Seeds may
    have different budgets. A check whose seeds end at several counts comes once per count, in
    rising order, the first time with all seeds. Its name tells them apart if more than one is of
    two seeds or more.
    """
    for check, seeds in curves.items():
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
            yield check, f"{check}, to {short(int(end))}" if several else check, end, mine


def ended(curves: Curves, effect: Callable, threshold: float = 0.0, side: int = 1) -> Found:
    """Checks of effect(*curves of a seed, last count), with remarks as of `short_of`."""
    checks, alone, ends = (
        [Check(name, [], threshold, side) for name, seeds in curves.items() if not seeds],
        [],
        {},
    )
    for check, name, end, seeds in horizons(
        {name: seeds for name, seeds in curves.items() if seeds}
    ):
        found = Check(name, [effect(*mine, end) for mine in seeds], threshold, side)
        if check in ends and len(seeds) == 1:
            alone.append((found, end))
        else:
            checks.append(found)
            ends[check] = end
    return checks, short_of(list(ends.values()), PAPER_SAMPLES, alone)
