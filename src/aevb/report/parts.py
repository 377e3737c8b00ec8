"""What a study adds to the report: sections of blocks, tables of text, facts for its paragraphs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..core.words import count, number
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS
from ..results import Gathered, RunResult
from ..results.words import label

#: a cell that is set like a number: one, with a sign, an exponent, thousands or the asterisk of an
#: interpolated value; or none
NUMBER = re.compile(r"([−+]?[\d,]+(\.\d+)?(e−?\d+)?\*?|–|diverged)?")
NOTHING = "no replica ran to an evaluation without diverging"
LAST = 1000  # place of a section of a study that does not say where it comes
WIDE = 24  # letters from which a cell may break its line


class Tabular(NamedTuple):
    """A table of cells as text, row by row."""

    head: list[str]
    rows: list[list[str]]
    numeric: list[bool]  # by column: aligned right
    wide: list[bool]  # by column: may break its lines
    ruled: list[bool]  # by row: begins a group


def tabular(rows: list[dict] | pd.DataFrame, by: str | None = None) -> Tabular:
    """A table of texts by column name, ruled where the column `by` changes; absent cells are
    dashes."""
    frame = pd.DataFrame(rows).fillna("–").astype(str)
    numeric = [all(map(NUMBER.fullmatch, frame[name])) for name in frame]
    wide = [max(map(len, frame[name]), default=0) > WIDE for name in frame]
    ruled = [
        by is not None and at > 0 and frame[by].iloc[at] != frame[by].iloc[at - 1]
        for at in range(len(frame))
    ]
    return Tabular(list(frame), frame.to_numpy().tolist(), numeric, wide, ruled)


def plain(frame: pd.DataFrame, by: str | None = None) -> Tabular:
    """A table of numbers, as claims.py and distance.py make them, with names and formats for
    people."""
    counts = {"samples", "first", "last", "at"}
    names = {
        "experiment": "data",
        "latent_dim": "N_z",
        "n_train": "N_train",
        "draws": "L",
        "batch_size": "M",
    }

    def cell(name: str, value) -> str:
        if name in ("experiment", "algorithm"):
            learner = LEARNERS.get(value) if name == "algorithm" else None
            return learner.label if learner else label(str(value))
        if isinstance(value, (bool, np.bool_)):
            return "yes" if value else "no"
        if isinstance(value, str):
            return value or "–"
        if value is None or not np.isfinite(value):
            return "–"
        if name in counts:
            return count(value) if value else "0"
        if (
            abs(value) >= 1e6 or 0 < abs(value) < 0.1
        ):  # bounds that Adagrad's first steps threw far down; variances at the start
            mantissa, _, exponent = f"{value:.2g}".partition("e")
            return (f"{mantissa}e{int(exponent)}" if exponent else mantissa).replace("-", "−")
        return (
            f"{value:,.0f}".replace("-", "−")
            if float(value).is_integer() or abs(value) >= 1000
            else number(float(value))
        )

    rows = [
        {names.get(name, name.replace("_", " ")): cell(name, value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    return tabular(rows, names.get(by, by))


def markdown(table: Tabular) -> str:
    """A table for a README."""

    def line(cells) -> str:
        return "| " + " | ".join(re.sub(r"([|<])", r"\\\1", cell) for cell in cells) + " |"

    return "\n".join(
        [
            line(table.head),
            "|" + "|".join("---:" if right else "---" for right in table.numeric) + "|",
            *map(line, table.rows),
        ]
    )


def curves_of(gathered: Gathered) -> list[tuple[str, list[RunResult]]]:
    """(curve name, runs of it) in the order of the results."""
    curves: dict[str, list[RunResult]] = {}
    for run in gathered.runs.values():
        curves.setdefault(run.run.curve, []).append(run)
    return list(curves.items())


def title(run: RunResult) -> dict:
    """What a row of a table says of a run's curve: names for people, and decimals of bounds."""
    names = {"experiment": label(run.experiment), "latent_dim": run.latent_dim}
    names["algorithm"] = LEARNERS[run.algorithm].label
    return {**names, "digits": LIKELIHOODS[run.likelihood].decimals}


def place(row: dict) -> dict:
    """The first cells of a row with the keys of `title`."""
    names = {"data": row["experiment"], "N_z": f"{row['latent_dim']:g}"}
    return {**names, "algorithm": row["algorithm"]}


class Verdict(NamedTuple):
    """A claim as the report opens with it."""

    icon: str
    word: str  # "holds"
    claim: str  # number and name
    finding: str  # one sentence with its number
    more: dict[str, str]  # what folds away: heading -> text
    link: str  # where its figure is


class Section(NamedTuple):
    """A section of page and paper: what it shows, in order.

    Blocks are ("text", name of a paragraph), ("items", names of such), ("list", sentences),
    ("note", a sentence), ("table", name), ("file", name of a CSV table, which is linked),
    ("figure", name), ("verdicts", a list of Verdict), ("heading", words), ("code", a command), and
    ("details", (words, blocks)). The lists "answer" and "not_run" are those of all studies. Details
    fold away on the page; in the paper they are an appendix. What is not there shows nothing.
    """

    id: str  # its anchor, and what leads to it
    title: str
    blocks: list[tuple[str, Any]]
    order: int = LAST
    appendix: bool = False


@dataclass
class Part:
    """What a study adds to the report."""

    facts: dict[str, Any] = field(default_factory=dict)  # for its paragraphs (Study.text)
    tables: dict[str, Tabular] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what of the paper is not run, as sentences
    live: dict[str, Any] = field(default_factory=dict)  # figure -> LiveFigure, to look into
    # sentences that open the report, with their places there
    answer: list[tuple[int, str]] = field(default_factory=list)
    findings: dict[str, str] = field(default_factory=dict)  # figure -> what it shows, a sentence


class LiveFigure(NamedTuple):
    """A figure to look into: what its legend switches, and its panels by title."""

    algorithms: list[str]
    panels: dict[str, Any]  # title -> live.Panel
