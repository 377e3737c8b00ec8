"""What the report says of Figure 2 to more samples."""

from __future__ import annotations

import pandas as pd

from ...core.words import count, joined, plural
from ...learners import LEARNERS
from ...paper.distance import HELD_OUT
from ...paper.facts import CHOSEN_UP_TO
from ...report.parts import Part, Section
from ...results import Gathered
from ...results.words import label
from ..paper.findings import SAID, verdict_word
from ..sources.findings import distances_table, met

FILES = ("longer_distances", "longer_claims", "longer_ends", "longer_collapse")


def _again(distances: pd.DataFrame, claims: pd.DataFrame) -> str:
    """What all curves show where they are longer: which verdicts change, and how many are near."""
    held = distances[(distances["points"] == HELD_OUT) & ~distances["further"]]
    if not len(held):
        return ""
    here, longer = (claims[name].map(verdict_word) for name in ("here", "longer"))
    changed = claims[here != longer]
    said = [
        f"claim {name.partition('.')[0]} {SAID[now][0]}"
        for name, now in zip(changed["claim"], longer[changed.index], strict=True)
    ]
    same = f"{len(claims) - len(said)} of the {len(claims)}" if said else f"all {len(claims)}"
    verdicts = f"the verdicts on {same} claims that can be tested there are the same"
    verdicts += f", and {joined(said)}" if said else ""
    by = held.groupby("experiment", sort=False)
    near = joined(f"{met(part['found'])} on {label(name)}" for name, part in by)
    return (
        f"On to {count(held['last'].max())} samples ({plural(held['seeds'].max(), 'seed')}) "
        f"{verdicts}; of the curves, {near} lie near the paper's."
    )


def _ends(table: pd.DataFrame) -> str:
    """Whether both studies end at the same bounds, in a sentence."""
    known = table.dropna(subset="low")
    if not len(known):
        return ""
    outside = int(((known["low"] > 0) | (known["high"] < 0)).sum())
    return (
        f"At {count(known['samples'].max())} samples, which both studies reach, {outside} of "
        f"{len(known)} differences of mean bounds have a 95 % interval without 0; noise "
        f"alone would put {len(known) / 20:.1f} there."
    )


def _collapse(table: pd.DataFrame) -> str:
    """Which curves ignore z for long, and what the paper's do, in sentences."""
    lines = []
    for (experiment, algorithm), part in table.groupby(["experiment", "algorithm"], sort=False):
        ours, theirs = part[part["seed"] >= 0], part[part["seed"] < 0]
        late = ours[ours["left"].fillna(ours["last"]) > CHOSEN_UP_TO]
        if not len(late):
            continue
        left = late["left"].dropna()
        said = [f"{len(late) - len(left)} never"] * (len(left) < len(late))
        if len(left):
            ends = f"from {count(left.min())} to {count(left.max())} samples on"
            said = [f"{len(left)} use it {ends}", *said]
        line = (
            f"Of {plural(len(ours), 'run')} of {LEARNERS[algorithm].label} on {label(experiment)}, "
            f"{len(late)} ignore z for more than {count(CHOSEN_UP_TO)} samples: {joined(said)}."
        )
        if len(theirs) and theirs["left"].isna().all():
            line += f" The paper's ignore it to their end, {count(theirs['last'].max())}."
        lines.append(line)
    return " ".join(lines)


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The longer curves, their distances, and where both studies end."""
    if "longer_distances" not in numbers:
        return Part()
    facts = {
        "ends": _ends(numbers["longer_ends"]),
        "collapse": _collapse(numbers["longer_collapse"]),
    }
    name = gathered.study.longer.other
    again = _again(numbers["longer_distances"], numbers["longer_claims"])
    tables = {"longer_distances": distances_table(numbers["longer_distances"], {"": name})}
    blocks = [("figure", "longer"), ("table", "longer_distances")]
    blocks += [("file", name) for name in FILES]
    section = Section("longer", "Figure 2 to more samples", blocks, 31)
    return Part(facts, tables, [section], answer=[(4, again)] if again else [])
