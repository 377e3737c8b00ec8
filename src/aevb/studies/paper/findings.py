"""What the report says of the paper's claims, and of the distance to its curves."""

from __future__ import annotations

import pandas as pd

from ...core.words import joined, plural
from ...report.parts import Part, Section, Verdict
from ...results import Gathered

#: the word of a verdict -> its icon, in the order in which they are counted
ICONS = {"holds": "✓", "mixed": "±", "does not hold": "✗", "undecided": "?", "not tested": "–"}


def verdict_word(verdict: str) -> str:
    """The verdict without what qualifies it: one of ICONS."""
    word = verdict.partition(":")[0]
    return "holds" if word.startswith("holds") else word


def verdicts(frame: pd.DataFrame, name: str) -> list[Verdict]:
    """Claims with their verdicts (columns of claims.verdicts) in the study `name`, one sentence
    each."""
    found = []
    for entry in frame.to_dict("records"):
        word = verdict_word(entry["verdict"])
        number, _, title = entry["claim"].partition(". ")
        source = "The paper" if entry["paper"] else "The source"
        more = {source: entry["says"], "Measured": entry["statement"], "Rule": entry["rule"]}
        finding, beside = entry["finding"], entry["study"] != name
        if entry["checks"]:
            more["Verdict"] = entry["verdict"] + "."
            where = f"{entry['checks']:g} checks; weakest: {entry['check']}, {entry['interval']}"
            more["Checks"] = where + (f"; study {entry['study']}." if beside else ".")
            finding += f", in the study {entry['study']}" if beside and entry["paper"] else ""
        title = f"{number}. {title[0].upper()}{title[1:]}"
        link = f"#{entry['figure']}" if entry["checks"] else ""
        found.append(Verdict(ICONS[word], word, title, f"{finding}.", more, link))
    return found


#: the same in a sentence, of one claim and of several
SAID = {
    "holds": ("holds", "hold"),
    "mixed": ("holds in some places only", "hold in some places only"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
    "not tested": ("is not tested", "are not tested"),
}


def _counts(frame: pd.DataFrame) -> str:
    """How many of the claims hold, in a sentence."""
    found = frame["verdict"].map(verdict_word).value_counts()
    counts = [
        f"{found[word]} {SAID[word][int(found[word] > 1)]}" for word in ICONS if word in found
    ]
    none = "" if "does not hold" in found else "; none fails everywhere"
    return f"Of {plural(len(frame), 'claim')} of the paper, {joined(counts)}{none}."


def _failing(frame: pd.DataFrame) -> str:
    """What does not hold everywhere, in a sentence; '' where all holds."""
    lines = []
    for entry in frame.to_dict("records"):
        if verdict_word(entry["verdict"]) in ("mixed", "does not hold"):
            places = entry["exceptions"].split("; ")
            where = f"{len(places)} of {entry['checks']:g} checks"
            where = entry["exceptions"] if len(places) <= 3 else where
            lines.append(f"{entry['claim'].partition('. ')[2]} ({where})")
    return f"What does not hold, and where: {'; '.join(lines)}." if lines else ""


def _untested(frame: pd.DataFrame) -> list[str]:
    """The claims that this study cannot test, in a sentence."""
    names = frame.loc[frame["checks"] == 0, "claim"]
    if not len(names):
        return []
    if len(names) == len(frame):
        return ["None of the paper's claims can be tested on this study."]
    return [f"Not tested, because this study lacks the data: {'; '.join(names)}."]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The verdicts first, or after the figures where there is none; the distances after them."""
    sections, answer = [], []
    if "claims" in numbers:
        frame, name = numbers["claims"], gathered.config["name"]
        others = frame[~frame["paper"].astype(bool)]  # claims of studies around the paper
        if len(others):
            blocks = [("verdicts", verdicts(others, name))]
            sections.append(Section("around", "The studies around the paper", blocks, 75))
        frame = frame[frame["paper"].astype(bool)]
        tested = frame[frame["checks"] > 0]
        blocks = [("list", _untested(frame))]
        if len(tested):
            failing = _failing(tested)
            answer = [(0, _counts(tested)), *([(9, failing)] if failing else [])]
            behind = (
                "Rules and checks behind the verdicts",
                [("text", "rules"), ("file", "checks")],
            )
            blocks = [
                ("list", "answer"),
                ("verdicts", verdicts(tested, name)),
                *blocks,
                ("details", behind),
            ]
        title, order = ("Does it hold?", 0) if len(tested) else ("The paper's claims", 15)
        sections.append(Section("claims", title, blocks, order))
    blocks = [("figure", "distance"), ("file", "distances")]
    sections.append(Section("distances", "Distance to the paper's curves", blocks, 30))
    return Part({}, sections=sections, answer=answer)
