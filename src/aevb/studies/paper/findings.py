"""What the report says of the paper's claims, and of the distance to its curves."""

from __future__ import annotations

import pandas as pd

from ...core.words import joined, plural
from ...report.parts import Part, Section, Verdict, plain
from ...results import Gathered

#: the word of a verdict -> its icon, in the order in which they are counted
ICONS = {"holds": "✓", "mixed": "±", "does not hold": "✗", "undecided": "?", "not tested": "–"}


def _word(verdict: str) -> str:
    """The verdict without what qualifies it: one of ICONS."""
    word = verdict.partition(":")[0]
    return "holds" if word.startswith("holds") else word


def verdicts(frame: pd.DataFrame) -> list[Verdict]:
    """The paper's claims with their verdicts (columns of claims.verdicts), one sentence each."""
    found = []
    for entry in frame.to_dict("records"):
        word = _word(entry["verdict"])
        number, _, name = entry["claim"].partition(". ")
        more = {"The paper": entry["says"], "Measured": entry["statement"], "Rule": entry["rule"]}
        if entry["checks"]:
            more["Verdict"] = entry["verdict"] + "."
            where = f"{entry['checks']:g} checks; weakest: {entry['check']}, {entry['interval']}"
            # judged on another study, to whose report it leads
            beside = not str(entry.get("link", "#")).startswith("#")
            more["Checks"] = where + (f"; study {entry['study']}." if beside else ".")
        title = f"{number}. {name[0].upper()}{name[1:]}"
        link = str(entry.get("link") or "")
        found.append(Verdict(ICONS[word], word, title, f"{entry['finding']}.", more, link))
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
    found = frame["verdict"].map(_word).value_counts()
    counts = [
        f"{found[word]} {SAID[word][int(found[word] > 1)]}" for word in ICONS if word in found
    ]
    return f"Of {plural(len(frame), 'claim')} tested here, {joined(counts)}."


def _failing(frame: pd.DataFrame) -> str:
    """What does not hold everywhere, in a sentence; '' where all holds."""
    lines = []
    for entry in frame.to_dict("records"):
        if _word(entry["verdict"]) in ("mixed", "does not hold"):
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
    tables = {name: plain(numbers[name]) for name in ("checks", "distances") if name in numbers}
    sections, answer = [], []
    if "claims" in numbers:
        frame = numbers["claims"]
        tested = frame[frame["checks"] > 0]
        blocks = [("list", _untested(frame))]
        if len(tested):
            answer = [_counts(tested), _failing(tested)]
            behind = (
                "Rules and checks behind the verdicts",
                [("text", "rules"), ("table", "checks")],
            )
            blocks = [
                ("list", "answer"),
                ("verdicts", verdicts(tested)),
                *blocks,
                ("details", behind),
            ]
        title, order = ("Does it hold?", 0) if len(tested) else ("The paper's claims", 15)
        sections.append(Section("claims", title, blocks, order))
    blocks = [("figure", "distance"), ("table", "distances")]
    sections.append(Section("distances", "Distance to the paper's curves", blocks, 30))
    return Part({}, tables, sections, answer=[sentence for sentence in answer if sentence])
