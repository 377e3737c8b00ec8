"""What a study took: hours by kind of work, and minutes per million samples."""

from __future__ import annotations

import numpy as np

from ..core.words import number
from ..learners import LEARNERS
from ..paper.facts import PAPER_HIDDEN
from ..results import Gathered, RunResult
from ..studies import STUDIES
from .parts import curves_of, place, title

TRAINING = ("training", "evaluation", "pilots")  # work of every study; others are kinds of tables
SHOWN = 5e-4  # hours of other work from which it is listed


def minutes(runs: list[RunResult]) -> float:
    """Minutes of training for a million samples, of the median run; NaN without any."""
    speeds = [run.samples_per_second for run in runs if run.samples_per_second > 0]
    return 1e6 / float(np.median(speeds)) / 60 if speeds else np.nan


def cost(gathered: Gathered) -> tuple[list[dict], dict]:
    """Cost of every curve and of the whole study: hours by kind of work (`TRAINING`, and the
    kinds of tables), and minutes for a million samples."""
    rows = []
    for name, runs in curves_of(gathered):
        names = {run.run.name for run in runs}
        seconds = {
            "training": sum(run.train_seconds for run in runs),
            "evaluation": sum(run.evaluation_seconds for run in runs),
            "pilots": gathered.pilots[name].seconds,
        }
        for kind, tables in gathered.tables.items():
            seconds[kind] = _seconds(table for at, table in tables.items() if at in names)
        hours = {part: value / 3600 for part, value in seconds.items()}
        rows.append({**title(runs[0]), "replicas": len(runs), **hours, "minutes": minutes(runs)})
    # A learner that is not on-line counts its samples in another way, and variants have steps of
    # another size.
    alike = [
        r for r in gathered.runs.values() if LEARNERS[r.algorithm].online and not r.run.variant
    ]
    total = {part: sum(row[part] for row in rows) for part in TRAINING}
    for kind, tables in gathered.tables.items():  # those of experiments as well as of runs
        total[kind] = _seconds(tables.values()) / 3600
    # Only models of the paper's size can be set beside its times.
    of_paper = [run for run in alike if PAPER_HIDDEN.get(run.dataset) == run.hidden]
    hours = sum(total.values())
    return rows, {**total, "hours": hours, "minutes": minutes(alike), "alike": minutes(of_paper)}


def _seconds(tables) -> float:
    return sum(float(table.attributes.get("seconds", 0.0)) for table in tables)


def kinds_of(total: dict, gathered: Gathered) -> list[str]:
    """The kinds of work to list: that of every study, and others that took `SHOWN` or more."""
    return [*TRAINING, *(kind for kind in gathered.tables if total[kind] >= SHOWN)]


def called(kind: str) -> str:
    """A kind of work as people call it."""
    names = {key: word for study in STUDIES.values() for key, word in study.work.items()}
    return names.get(kind, kind)


def cost_row(row: dict, kinds: list[str]) -> dict:
    """A row of `cost` for the table, with hours of `kinds` of work; a dash where there was none."""
    hours = {f"{called(kind)}, h": number(row[kind], 3) if row[kind] else "–" for kind in kinds}
    speed = {"samples/s": rate(row["minutes"]), "min per 1e6": number(row["minutes"])}
    return {**place(row), "replicas": str(row["replicas"]), **hours, **speed}


def rate(per_million: float) -> str:
    """Training samples per second, of minutes for a million."""
    return f"{1e6 / per_million / 60:,.0f}" if np.isfinite(per_million) else "–"


def hours_said(total: dict, kinds: list[str]) -> str:
    """'1.20 of training, 0.10 of evaluation, ...'."""
    said = [kind for kind in kinds if kind in TRAINING or number(total[kind]) != "0.00"]
    return ", ".join(f"{number(total[kind])} of {called(kind)}" for kind in said)
