"""What the report says of the three sources, and of Figure 2 under two readings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import count, joined, number, plural
from ...learners import LEARNERS
from ...models.likelihoods import LIKELIHOODS
from ...paper.claims import effect_said
from ...paper.distance import HELD_OUT
from ...paper.facts import CHOSEN_UP_TO
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label, named

SPLITS = {"test": "test", "train": "train (running average)"}


JUDGED = ("near", "as one run", "apart")  # `found` of paper.distance.distances; else missing


def met(found: pd.Series) -> str:
    """How many of these curves (their column `found`) are near."""
    return f"{(found == 'near').sum()} of {len(found)}" if found.isin(JUDGED).all() else "–"


def distances_table(table: pd.DataFrame, names: dict[str, str]) -> Tabular:
    """The held-out rows of numbers.shown_distances, summed up over N_z; `names`: prefix of columns
    -> what the study is called."""
    rows, table = [], table[table["points"] == HELD_OUT]
    by = ["experiment", "algorithm", "split", "further"]
    for (experiment, algorithm, split, _), part in table.groupby(by, sort=False):
        row = {"data": label(experiment), "algorithm": LEARNERS[algorithm].label}
        seeds = dict.fromkeys(part[f"{prefix}seeds"].max() for prefix in names)
        row |= {"values": SPLITS[split], "seeds": ", ".join(map(str, seeds))}
        row |= {"samples": f"{count(part['first'].min())} to {count(part['last'].max())}"}
        for prefix, name in names.items():
            row[f"{name}: rms"] = number(part[f"{prefix}rms"].median(), 1)
            row[f"{name}: near"] = met(part[f"{prefix}found"])
        rows.append(row)
    return tabular(rows, "data")


def apart(table: pd.DataFrame, gathered: Gathered) -> list[str]:
    """The curves beyond their target on held-out points, each with a reason or 'unexplained'."""
    study, lines = gathered.study, []
    rows = table[(table["points"] == HELD_OUT) & table["found"].isin(JUDGED[1:])]
    for row in rows.itertuples():
        digits = LIKELIHOODS[study.experiments[row.experiment].likelihood].decimals
        why = "unexplained"
        if row.found == "as one run":
            why = "the paper shows one run, and one more of ours would differ as much from the mean"
        elif row.seeds == 1:
            why = "one seed, whose noise is not known"
        where = f"{named(row.experiment, row.latent_dim)}, {LEARNERS[row.algorithm].label}"
        lines.append(
            f"{where}, {SPLITS[row.split]}, {plural(row.seeds, 'seed')} to {count(row.last)} "
            f"samples: {number(row.rms, digits)} nats (target {number(row.target, digits)}): {why}."
        )
    return lines


def _reached(table: pd.DataFrame, names: dict[str, str]) -> str:
    """How many curves are near under each reading, in a sentence."""
    held = table[(table["points"] == HELD_OUT) & ~table["further"]]
    if not len(held):
        return ""
    by = list(held.groupby("experiment", sort=False))
    said = [
        joined(f"{met(part[f'{prefix}found'])} on {label(experiment)}" for experiment, part in by)
        for prefix in names
    ]
    return (
        f"Of the curves, {said[0]} lie near the paper's (within 1 nat or the spread over seeds; on "
        f"Frey Face 3 %), judged from {count(CHOSEN_UP_TO)} to {count(held['last'].max())} samples "
        f"on points that chose nothing but Frey Face's step size; {names['other_']} it is "
        f"{said[1]}."
    )


def _difference(table: pd.DataFrame) -> str:
    """In what the two readings differ, and who says so, in a sentence."""
    differs = table[table["here"] != table["there"]]
    inferred = differs["the author's code"] == "not known"
    said = [
        f"{joined(differs.loc[rows, 'detail'])} ({source})"
        for rows, source in (
            (~inferred, "the author's code"),
            (inferred, "inferred from the paper's curves"),
        )
        if rows.any()
    ]
    start = "What the paper does not print, or prints otherwise, made the difference"
    return f"{start}: {joined(said)}."


def _claims(table: pd.DataFrame, names: dict[str, str]) -> Tabular:
    def cells(row, prefix: str) -> str:
        said = str(row[f"{prefix}verdict"]).partition(":")[0]
        if not np.isfinite(row[f"{prefix}effect"]):
            return said
        effect = effect_said({n: row[prefix + n] for n in ("effect", "low", "high", "limit")})
        return f"{said}: {effect} {row['unit']} ({row[f'{prefix}check']})"

    return tabular(
        [
            {"claim": row["claim"]} | {name: cells(row, prefix) for prefix, name in names.items()}
            for row in table.to_dict("records")
        ]
    )


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The three sources, distances and verdicts under both readings."""
    about = gathered.study.sources
    names = {"": about.reading, "other_": about.other_reading}
    tables, answer, lines = {}, [], []
    if "sources" in numbers:
        shown = numbers["sources"].fillna("").replace("", "–")
        readings = {"here": about.reading, "there": about.other_reading}
        tables["sources"] = tabular(shown.rename(columns=readings))
        answer.append((2, _difference(shown)))
    if len(distances := numbers.get("both_distances", ())):
        tables["both_distances"] = distances_table(distances, names)
        if near := _reached(distances, names):
            answer.append((1, near))
        lines = apart(distances, gathered)
    if len(verdicts := numbers.get("both_claims", ())):
        tables["both_claims"] = _claims(verdicts, names)
        differing = verdicts[
            verdicts["verdict"].str.partition(":")[0]
            != verdicts["other_verdict"].str.partition(":")[0]
        ]
        which = joined(name.partition(".")[0] for name in differing["claim"])
        there = about.other_reading[0].upper() + about.other_reading[1:]
        if not len(differing):
            said = "every verdict is the same"
        elif len(differing) == 1:
            said = f"the verdict on claim {which} differs"
        else:
            said = f"the verdicts on claims {which} differ"
        answer.append((3, f"{there}, {said}."))
    blocks = [("text", "sources"), ("table", "sources"), ("table", "both_claims")]
    blocks += [("table", "both_distances"), ("file", "both_distances")]
    if lines:
        blocks.append(("details", ("Curves beyond their target", [("list", lines)])))
    section = Section("sources", "What the paper leaves out, and both readings", blocks, 12)
    hard = [("text", "easy"), ("text", "hard")]
    discussion = Section("discussion", "What was easy, what was hard", hard, 72)
    return Part({}, tables, [section, discussion], answer=answer)
