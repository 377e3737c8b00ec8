"""What the report says of every study: runs, step sizes, ends, data, cost, provenance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..config import Config
from ..core.words import count, joined, number, plural, short
from ..data import DATASETS
from ..learners import LEARNERS
from ..paper.facts import PAPER_MINUTES, PAPER_SAMPLES
from ..results import Gathered
from ..results.curves import in_figure3, last_shared, sound
from ..results.words import further, label, sizes
from .conventions import conventions
from .conventions import row as convention
from .costs import cost, cost_row, hours_said, kinds_of, rate
from .origin import code, commands, distinct, origins, settings
from .parts import Part, Section, Tabular, curves_of, place, tabular, title


def _errors(gathered: Gathered) -> str:
    """The Monte Carlo errors of all bounds of a study's figures, in a sentence."""
    worst: dict[str, float] = {}
    for run in gathered.runs.values():
        if LEARNERS[run.algorithm].online:
            errors = sound(run)[["train_se", "test_se"]].to_numpy()
            worst[run.experiment] = max(
                worst.get(run.experiment, 0.0), float(np.nanmax(errors, initial=0.0))
            )
    study = gathered.study
    parts = [
        f"{number(error, 2)} on {sizes(study, name) if in_figure3(study, name) else label(name)}"
        for name, error in worst.items()
    ]
    return f"The Monte Carlo standard error of a bound is at most {joined(parts)}." if parts else ""


def _ends(gathered: Gathered) -> list[dict]:
    """The last evaluation of every curve that has bounds, mean over the replicas that did not
    diverge (NaN if all did); where some seeds are trained further, the last of the others."""
    rows, study = [], gathered.study
    for _, runs in curves_of(gathered):
        if not LEARNERS[runs[0].algorithm].online:
            continue
        done = last_shared(study, runs)
        rows.append({**title(runs[0]), "replicas": len(done), **done.mean()})
    return rows


def _pilots(gathered: Gathered) -> list[dict]:
    rows = []
    for name, runs in curves_of(gathered):
        pilot = gathered.pilots[name]
        row = {**title(runs[0]), "cells": {}, "samples": None}
        row["chosen"] = f"{pilot.step_size:g}, given"
        if len(pilot.samples):
            steps = [f"{step:g}" for step in pilot.step_sizes]
            row["cells"] = dict(zip(steps, pilot.bounds[:, -1], strict=True))
            row |= {"chosen": f"{pilot.step_size:g}", "samples": count(pilot.samples[-1])}
        rows.append(row)
    return rows


def _given(study: Config) -> str:
    """A sentence, after a space, on step sizes that no pilot chose."""
    given = []
    for key, steps in study.step_sizes.items():
        name, _, learner = key.partition("/")
        who = f"{LEARNERS[learner].label} on {label(name)}" if learner else label(name)
        given += [f"{who} {steps[0]:g}"] if len(steps) == 1 else []
    if not given:
        return ""
    return (
        f" Given, not chosen by a pilot: {joined(given)}; if for closeness to the paper's curves, "
        "as in this project's configurations "
        "(docs/method.md), the distance of these curves is no independent test, and verdicts on "
        "them hold for that step size."
    )


def _budgets(study: Config) -> list[str]:
    """How much shorter than the paper's axes the curves of Figure 2 are, as a sentence."""
    asked = [("", study.samples)] if study.figure2 else []
    if study.extended:
        asked.append((" for the seeds trained further", study.extended.samples))
    short_of = [
        f"{short(budget)} training samples per curve{of}, {100 * budget / PAPER_SAMPLES:.2g} % of "
        f"the {short(PAPER_SAMPLES)} to which the axes of the paper's Figure 2 go"
        for of, budget in asked
        if budget < PAPER_SAMPLES
    ]
    if not short_of:
        return []
    return [f"The budget is {'; '.join(short_of)}: nothing here tells how its curves end."]


def beside_note(here: Config, there: Config) -> str:
    """From which results a chapter of another study is, in a sentence."""
    other = [
        f"{name} {getattr(there.training, name)} (here {getattr(here.training, name)})"
        for name in type(there.training).model_fields
        if not name.startswith(("pilot", "step"))  # which each curve has of its own
        and getattr(there.training, name) != getattr(here.training, name)
    ]
    trained = f", trained with {joined(other)}" if other else ""
    return f"From the study “{there.name}”, which is beside this one{trained}."


def _tables(found: dict, rows: list[dict], kinds: list[str]) -> dict[str, Tabular]:
    """Its tables by name; those that would be empty are left out."""
    lost = [
        {**place(row), "seed": str(row["seed"]), "step size": f"{row['step_size']:g}"}
        | {"samples": count(row["samples"]), "why": row["reason"]}
        for row in found["diverged"]
    ]
    made = {
        "pilots": ([_pilot(row, found["pilot_steps"]) for row in found["pilots"]], "data"),
        "ends": ([_end(row) for row in found["ends"]], "data"),
        "diverged": (lost, None),
        "conventions": ([convention(item) for item in found["conventions"].values()], None),
        "cost": ([cost_row(row, kinds) for row in rows], "data"),
        "settings": (found["settings"], None),
        "provenance": (
            [{"what": name, "value": v} for name, values in found["provenance"] for v in values],
            "what",
        ),
        "code": (found["code"], None),
    }
    return {name: tabular(part, by) for name, (part, by) in made.items() if part}


def _end(row: dict) -> dict:
    digits = row["digits"]
    cells = {**place(row), "seeds": str(row["replicas"])} | {
        split: number(row[split], digits) for split in ("train", "test")
    }
    cells["train − test"] = number(row["train"] - row["test"], digits, sign=True)
    cells |= {f"KL, {split}": number(row[f"{split}_kl"], 3) for split in ("train", "test")}
    cells |= {
        f"E log p, {split}": number(row[split] + row[f"{split}_kl"], digits)
        for split in ("train", "test")
    }
    return {**cells, "active units": number(row["active_units"], 1)}


def _pilot(row: dict, steps: list[str]) -> dict:
    bounds = {step: row["cells"].get(step) for step in steps}
    cells = {
        step: "diverged" if bound != bound else number(bound, row["digits"])
        for step, bound in bounds.items()
    }
    return {**place(row), "pilot samples": row["samples"], **cells, "chosen": row["chosen"]}


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What the report says of every study; `paper`: its curves, `numbers`: CSV tables by name."""
    study, everything = gathered.study, gathered.runs
    rows, total = cost(gathered)
    kinds = kinds_of(total, gathered)
    # Variants cost, and are listed nowhere else.
    whole, gathered = gathered, gathered.without_variants()
    variants = [run for name, run in everything.items() if name not in gathered.runs]
    known = {name: DATASETS[part.dataset] for name, part in study.experiments.items()}
    stand_ins = [name for name, part in known.items() if part.stand_in]
    pilots = _pilots(gathered)
    algorithms = dict.fromkeys(run.algorithm for run in gathered.runs.values())
    made, said = code(whole)
    facts = {
        "study": study,
        "budget": short(study.samples) + further(study),
        "shared": short(study.samples),
        "going_on": further(study),
        "seeds": f"{plural(len(study.seeds), 'seed')} ({', '.join(map(str, study.seeds))})",
        "stand_ins": joined(map(label, stand_ins)) if stand_ins else "",
        "stand_in_data": joined(dict.fromkeys(known[name].stand_in for name in stand_ins)),
        "others": not all(part.in_paper for part in known.values()),
        "samples": {label(name): part for name, part in known.items() if part.sample_of},
        "whole": DATASETS,
        "runs": len(gathered.runs),
        "variants": len(variants),
        "variants_diverged": sum(run.status == "diverged" for run in variants),
        "without_bound": joined(
            [LEARNERS[key].title for key in algorithms if not LEARNERS[key].online]
        )
        if not all(LEARNERS[key].online for key in algorithms)
        else "",
        "errors": _errors(gathered),
        "curves": len(curves_of(gathered)),
        "devices": joined(distinct(whole, "device")),
        "processors": joined(distinct(whole, "processor")),
        "threads": joined(distinct(whole, "threads", text=lambda n: plural(n, "thread"))),
        "conventions": conventions(whole, study),
        "pilots": pilots,
        "pilot_steps": list(dict.fromkeys(step for pilot in pilots for step in pilot["cells"])),
        "ends": _ends(gathered),
        "diverged": [
            {**run.attributes, **title(run)}
            for run in gathered.runs.values()
            if run.status == "diverged"
        ],
        "total": total,
        "hours": hours_said(total, kinds),
        "paper_minutes": PAPER_MINUTES,
        "given": _given(study),
        "settings": settings(study),
        "provenance": origins(whole),
        "code": made,
        "code_said": said,
        "commands": commands(study),
        "number": number,
        "count": count,
        "rate": rate,
    }
    return Part(facts, _tables(facts, rows, kinds), _sections(facts), _budgets(study))


def _sections(facts: dict) -> list[Section]:
    """Its sections, after those of the studies."""
    lost = [("table", "diverged")] if facts["diverged"] else [("text", "none-diverged")]
    trained = [("text", "lost"), ("text", "values"), ("table", "conventions")]
    if not facts["runs"] + facts["variants"]:
        lost, trained = [("table", "diverged")], []  # of nothing, which shows nothing
    command = facts["commands"]
    return [
        Section(
            "run",
            "What was run",
            [
                ("text", "run"),
                *trained,
                ("heading", "What was not run"),
                ("list", "not_run"),
            ],
            2000,
        ),
        Section(
            "steps",
            "Step sizes chosen by the pilot",
            [("text", "steps"), ("table", "pilots")],
            2010,
            appendix=True,
        ),
        Section(
            "ends",
            "KL and active units",
            [("text", "ends"), ("table", "ends"), ("file", "units")],
            2020,
        ),
        Section("diverged", "Diverged replicas", lost, 2030),
        Section("cost", "Cost", [("text", "cost"), ("table", "cost")], 2060),
        Section("settings", "Every setting", [("table", "settings")], 2070, appendix=True),
        Section("provenance", "Provenance", [("table", "code"), ("table", "provenance")], 2080),
        Section(
            "again",
            "How to regenerate",
            [
                ("text", "again"),
                ("code", command["study"]),
                ("text", "redraw"),
                ("code", command["redraw"]),
            ],
            2090,
        ),
    ]
