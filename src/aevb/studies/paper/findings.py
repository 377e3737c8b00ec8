"""What the report says of the paper's claims, and of the distance to its curves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number
from ...report.parts import Part, Section, Tabular, plain, tabular
from ...results import Gathered


def claims(frame: pd.DataFrame) -> Tabular:
    """The paper's claims with their verdicts (columns of claims.verdicts)."""

    def row(entry: pd.Series) -> dict:
        measured = np.isfinite(entry["effect"])
        effect, low, high = (
            f"{value:,.0f}" if abs(value) >= 1000 else number(value)
            for value in entry[["effect", "low", "high"]]
        )
        interval = f" [{low}, {high}]" if np.isfinite(entry["low"]) else ""
        effect = f"more than {effect}" if entry.get("limit") is True else effect
        beside = not str(entry.get("link", "#")).startswith(
            "#"
        )  # judged on another study, to whose report it leads
        other = f"; study {entry['study']}" if beside else ""
        where = f"{entry['check']} ({entry['interval']}{other})" if measured else "–"
        return {
            "claim": entry["claim"],
            "verdict": entry["verdict"],
            "effect [95 % interval]": f"{effect}{interval} {entry['unit']}" if measured else "–",
            "weakest case": where,
            "checks": f"{entry['checks']:g}",
            "exceptions": entry["exceptions"] or "–",
            "measured": entry["statement"],
        }

    return tabular([row(entry) for _, entry in frame.iterrows()])._replace(
        links=frame["link"].to_list() if "link" in frame else None
    )


def brief(frame: pd.DataFrame) -> Tabular:
    """The same for a README: the verdict without what qualifies it, the effect and its place."""
    full = claims(frame)
    rows = [dict(zip(full.head, row, strict=True)) for row in full.rows]
    shown = ("claim", "verdict", "effect [95 % interval]", "weakest case")
    cut = [{**row, "verdict": row["verdict"].partition(":")[0]} for row in rows]
    return tabular([{name: row[name] for name in shown} for row in cut])


def rules(frame: pd.DataFrame) -> Tabular:
    """What the paper says and how each claim is judged (columns of claims.verdicts)."""
    return tabular(frame[["claim", "says", "rule"]].rename(columns={"says": "the paper"}))


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
    sections = []
    if "claims" in numbers:
        frame = numbers["claims"]
        tested = frame[frame["checks"] > 0]
        if len(tested):
            tables |= {"claims": claims(tested), "rules": rules(tested)}
        behind = "Rules and checks behind the verdicts"
        blocks = [
            ("table", "claims"),
            ("list", _untested(frame)),
            ("details", (behind, [("table", "rules"), ("table", "checks")])),
        ]
        title = "The paper's claims"
        sections.append(
            Section(
                "claims", title, blocks if len(tested) else blocks[1:2], 0 if len(tested) else 15
            )
        )
    blocks = [("figure", "distance"), ("table", "distances")]
    sections.append(Section("distances", "Distance to the paper's curves", blocks, 30))
    return Part({}, tables, sections)
