"""The report's tables as text, once for the page, the paper and the README: cells are formatted
here and nowhere else."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..core.words import count, number
from .figures import ALGORITHMS, ESTIMATORS, label
from .findings import ranked

#: a cell that is set like a number: one, with a sign, an exponent, thousands or the asterisk of an
#: interpolated value; or none
NUMBER = re.compile(r"([−+]?[\d,]+(\.\d+)?(e−?\d+)?\*?|–|diverged)?")
NOTHING = "no replica ran to an evaluation without diverging"
WIDE = 24  # letters from which a cell may break its line


class Tabular(NamedTuple):
    """A table of cells as text, row by row."""

    head: list[str]
    rows: list[list[str]]
    numeric: list[bool]  # by column: aligned right
    wide: list[bool]  # by column: may break its lines
    ruled: list[bool]  # by row: begins a group
    links: list[str] | None = None  # by row: where a page's first cell leads


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
            return {**ALGORITHMS}.get(value) or label(str(value))
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


def claims(frame: pd.DataFrame) -> Tabular:
    """The paper's claims with their verdicts (columns of claims.verdicts)."""

    def row(entry: pd.Series) -> dict:
        measured = np.isfinite(entry["effect"])
        effect, low, high = (
            f"{value:,.0f}" if abs(value) >= 1000 else number(value)
            for value in entry[["effect", "low", "high"]]
        )
        interval = f" [{low}, {high}]" if np.isfinite(entry["low"]) else ""
        beside = not str(entry.get("link", "#")).startswith(
            "#"
        )  # judged on another study, to whose report it leads
        other = f"; study {entry['study']}" if beside else ""
        where = f"{entry['panel']} ({entry['interval']}{other})" if measured else "–"
        return {
            "claim": entry["claim"],
            "verdict": entry["verdict"],
            "effect [95 % interval]": f"{effect}{interval} {entry['unit']}" if measured else "–",
            "in": where,
            "panels": f"{entry['panels']:g}",
            "exceptions": entry["exceptions"] or "–",
            "measured": entry["statement"],
        }

    return tabular([row(entry) for _, entry in frame.iterrows()])._replace(
        links=frame["link"].to_list() if "link" in frame else None
    )


def rules(frame: pd.DataFrame) -> Tabular:
    """What the paper says and how each claim is judged (columns of claims.verdicts)."""
    return tabular(frame[["claim", "says", "rule"]].rename(columns={"says": "the paper"}))


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


def _bounds(part: dict) -> Tabular:
    """One experiment of Figure 2 (an entry of report._panels)."""
    rows = []
    for panel in part["panels"]:
        for row in panel["rows"] or [{}]:
            cells = {
                "N_z": str(panel["latent_dim"]),
                "samples": count(row["samples"]) if row else "–",
            }
            rows.append(
                cells | (_beside(row, part, third=False) if row else {"algorithm": NOTHING})
            )
    return tabular(rows, "N_z")


def _beside(row: dict, part: dict, third: bool) -> dict:
    """A row of report.comparison from the algorithm on, for Figure 2 or the `third`; `part`: the
    experiment it belongs to."""
    digits, compared, ours = part["digits"], part["compared"], "log p(x)" if third else "this study"
    cells = {
        "algorithm": ALGORITHMS[row["algorithm"]],
        "split": row["split"],
        ours: number(row["ours"], digits),
    }
    cells |= {
        "± sd": number(row["sd"], digits),
        "seeds": str(row["replicas"]),
        "MC error": number(row["standard_error"], 3),
    }
    if third:
        cells |= {
            "appendix D": number(row["hmc"], digits),
            "bias": number(row["hmc"] - row["ours"], digits, sign=True),
        }
    else:
        cells |= {"averaged": number(row["averaged"], digits)}
    if compared:
        cells |= {"paper": number(row["paper"], digits) + "*" * row["interpolated"]}
        cells |= {
            "difference": number(row["difference"], digits, sign=True),
            "± noise": number(row["tolerance"], digits),
        }
        if third:
            cells["like with like"] = number(row["hmc"] - row["paper"], digits, sign=True)
    return cells


def _place(row: dict) -> dict:
    return {
        "data": row["experiment"],
        "N_z": f"{row['latent_dim']:g}",
        "algorithm": row["algorithm"],
    }


def _end(row: dict) -> dict:
    digits = row["digits"]
    cells = {**_place(row), "seeds": str(row["replicas"])} | {
        split: number(row[split], digits) for split in ("train", "test")
    }
    cells["train − test"] = number(row["train"] - row["test"], digits, sign=True)
    cells |= {f"KL, {split}": number(row[f"{split}_kl"], 3) for split in ("train", "test")}
    cells |= {
        f"E log p, {split}": number(row[split] + row[f"{split}_kl"], digits)
        for split in ("train", "test")
    }
    return {**cells, "active units": number(row["active_units"], 1)}


def _order(row: dict, names: dict, compared: bool) -> dict:
    cells = {
        "data": names[row["experiment"]],
        "split": row["split"],
        "samples": count(row["samples"]),
    }
    cells["this study"] = ranked(row["ours"], row["ties"]) or "–"
    agree = {None: "–", True: "yes", False: "no"}[row["agree"]]
    return cells | (
        {"paper": ranked(row["theirs"]) or "–", "same order": agree} if compared else {}
    )


def _check(row: dict, names: dict) -> dict:
    cells = {
        "data": names[row["experiment"]],
        "algorithm": ALGORITHMS[row["algorithm"]],
        "split": row["split"],
    }
    digits = {
        "importance": ("log p(x)", 2),
        "quadrature": ("quadrature", 2),
        "off": ("off", 3),
        "hmc_off": ("appendix D, off", 3),
    }
    digits |= {
        "efficiency": ("efficiency", 2),
        "khat_bad": ("k̂ > 0.7", 3),
        "acceptance": ("acceptance", 2),
    }
    digits |= {"divergences": ("divergences", 1), "rhat": ("R̂", 2), "chain_ess": ("chain ESS", 1)}
    return cells | {title: number(row[key], places) for key, (title, places) in digits.items()}


def _grade(row: dict) -> dict:
    cells = {
        "N_z": f"{row['latent_dim']:g}",
        "data": row["data"],
        "estimator": ESTIMATORS[row["estimator"]][0],
    }
    cells |= {
        "samples": f"{row['samples']:g}",
        "bias": number(row["bias"], sign=True),
        "± se": number(row["bias_se"]),
    }
    cells |= {"spread": number(row["spread"]), "s per datapoint": f"{row['seconds']:.2g}"}
    return {
        **cells,
        "reference, its mean ± se": f"{row['reference']}: {number(row['reference_value'])} ± "
        f"{number(row['reference_se'], 3)}",
    }


def _pilot(row: dict, steps: list[str]) -> dict:
    bounds = {step: row["cells"].get(step) for step in steps}
    cells = {
        step: "diverged" if bound != bound else number(bound, row["digits"])
        for step, bound in bounds.items()
    }
    return {**_place(row), "pilot samples": count(row["samples"]), **cells, "chosen": row["chosen"]}


def _cost(row: dict, estimates: bool) -> dict:
    hours = {"training": "training, h", "evaluation": "evaluation, h", "pilots": "pilot, h"} | (
        {"estimates": "log p(x), h"} if estimates else {}
    )
    cells = {
        **_place(row),
        "replicas": str(row["replicas"]),
        **{title: number(row[key], 3) for key, title in hours.items()},
    }
    return {**cells, "samples/s": rate(row["minutes"]), "min per 1e6": number(row["minutes"])}


def rate(minutes: float) -> str:
    """Training samples a second, of minutes for a million."""
    return f"{1e6 / minutes / 60:,.0f}" if np.isfinite(minutes) else "–"


def _convention(item: dict) -> dict:
    sizes = {
        "train": f"{item['n_train']:,}",
        "test": f"{item['n_test']:,}",
        "values": item["values"],
        "likelihood": item["likelihood"],
    }
    about = {
        "experiment": item["name"],
        "data": item["dataset"],
        **sizes,
        "hidden units": str(item["hidden"]),
    }
    return {**about, "not as by default": "; ".join(item["departures"]) or "nothing"}


def tables(found: dict) -> dict[str, Tabular]:
    """Every table of a study by name, of what report.py found (`found`: report.findings); those
    that would be empty are left out."""
    study, names = (
        found["study"],
        {name: item["name"] for name, item in found["conventions"].items()},
    )
    rows = {
        "order": [_order(row, names, found["compared3"]) for row in found["order3"]],
        "checks": [_check(row, names) for row in found["checks"]],
        "graded": [_grade(row) for row in found["graded"]]
        or ([{"N_z": "every model of it diverged"}] if study.estimators else []),
        "pilots": [_pilot(row, found["pilot_steps"]) for row in found["pilots"]],
        "ends": [_end(row) for row in found["ends"]],
        "diverged": [
            {**_place(row), "seed": str(row["seed"]), "step size": f"{row['step_size']:g}"}
            | {"samples": count(row["samples"]), "why": row["reason"]}
            for row in found["diverged"]
        ],
        "conventions": [_convention(item) for item in found["conventions"].values()],
        "cost": [_cost(row, bool(study.figure3 or study.estimators)) for row in found["cost"]],
        "settings": [{"setting": name, "value": value} for name, value in found["settings"]],
        "provenance": [
            {"what": name, "value": value}
            for name, values in found["provenance"]
            for value in values
        ],
        "code": found["code"],
    }
    groups = {
        "order": "split",
        "graded": "data",
        "pilots": "data",
        "ends": "data",
        "cost": "data",
        "provenance": "what",
    }
    made = {f"bounds-{part['id']}": _bounds(part) for part in found["experiments"]}
    for part in found["experiments3"]:
        beside = [
            {"samples": count(row["samples"]), **_beside(row, part, third=True)}
            for row in part["rows"]
        ]
        rows[f"evidence-{part['id']}"] = beside or [{"samples": "–", "algorithm": NOTHING}]
        groups[f"evidence-{part['id']}"] = "samples"
    return made | {name: tabular(part, groups.get(name)) for name, part in rows.items() if part}
