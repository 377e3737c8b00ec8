"""What the report says of completed images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label, trained
from . import STUDY, Task
from .columns import METHODS
from .numbers import said


def _ratio(row, name: str) -> str:
    """'1.23 [1.10, 1.36]'."""
    low, high = getattr(row, f"ratio_{name}_low"), getattr(row, f"ratio_{name}_high")
    within = f" [{number(low)}, {number(high)}]" if np.isfinite(low) else ""
    return f"{number(getattr(row, f'ratio_{name}'))}{within}"


def _named(row) -> str:
    return said(Task(row.kind, row.level), row.share)


def _listed(rows: pd.DataFrame, name: str) -> str:
    return "; ".join(f"{_named(row)}: {_ratio(row, name)}" for row in rows.itertuples())


def _of(experiment: str, rows: pd.DataFrame) -> list[str]:
    """One experiment: against the nearest image, the encoder, linear prediction; the chains."""
    holes = rows[rows["kind"] != "noise"]
    name = label(experiment)
    found = [
        f"{name}, error of the nearest training image over that of the posterior mean: "
        f"{_listed(rows, 'nearest')}."
    ]
    worse = rows[rows["draw"] >= rows["nearest"]]
    found[0] += (
        " One posterior sample, a picture without averaging, is also nearer to the truth than the "
        "nearest training image in all of them."
        if worse.empty
        else f" One posterior sample, a picture without averaging, is no nearer to the truth than "
        f"the nearest training image in {len(worse)} of {len(rows)} of them: "
        f"{'; '.join(map(_named, worse.itertuples()))}."
    )
    if len(holes):
        found.append(
            f"{name}, error of the encoder with holes filled by the mean image over that of the "
            f"posterior mean: {_listed(holes, 'encoder')}. Iterated, the encoder has "
            f"{number(holes['ratio_gibbs'].min())} to {number(holes['ratio_gibbs'].max())} times "
            "the error of the posterior mean."
        )
    found.append(
        f"{name}, error of linear prediction over that of the posterior mean (below 1: linear "
        f"prediction is better): {_listed(rows, 'linear')}."
    )
    last = rows[rows["kind"] == "pixels"].nlargest(1, "level")
    found[-1] += "".join(
        f" What N_z lets through: with {_named(row)}, the posterior mean has an error of "
        f"{number(row.posterior, 3)}, and {number(row.whole, 3)} is that of the encoder at the "
        "whole image."
        for row in last.itertuples()
    )
    found.append(
        f"{name}, the chains: R-hat of the worst coordinate is below 1.1 for "
        f"{rows['mixed'].min():.0%} to {rows['mixed'].max():.0%} of the images of a task, "
        f"median effective sample size {rows['ess'].min():.0f} to {rows['ess'].max():.0f}. Monte "
        f"Carlo variance is at most {100 * rows['mc_share'].max():.2g} % of the posterior mean's "
        "squared error."
    )
    return found


def _caption(table: pd.DataFrame) -> str:
    """In how many tasks the posterior mean has the smaller error, in a sentence."""
    wins = []
    for experiment, rows in table.groupby("experiment", sort=False):
        holes = rows[rows["kind"] != "noise"]
        better = (rows["ratio_nearest"] > 1).sum()
        counts = f"the nearest training image in {better} of {len(rows)} tasks"
        if len(holes):
            counts += (
                f" and the encoder with filled holes in {(holes['ratio_encoder'] > 1).sum()} "
                f"of {len(holes)}"
            )
        wins.append(f"on {label(experiment)} {counts}")
    return f"The posterior mean has a smaller error than: {'; '.join(wins)}."


def _table(table: pd.DataFrame) -> Tabular:
    rows = [
        {
            "data": label(row.experiment),
            "task": _named(row),
            **{title: number(getattr(row, name), 3) for name, title in METHODS.items()},
            "nearest / posterior": _ratio(row, "nearest"),
            "encoder / posterior": "–" if row.kind == "noise" else _ratio(row, "encoder"),
            "R̂ < 1.1": f"{row.mixed:.0%}",
            "ESS": f"{row.ess:.0f}",
        }
        for row in table.itertuples()
    ]
    return tabular(rows, "data")


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What the model is for."""
    table = numbers.get("completion", pd.DataFrame())
    study = gathered.study
    options = study.completion
    runs = [run for run, _ in STUDY.runs(study)]
    facts = {
        "completion_found": "",
        "completion_images": options.datapoints,
        "completion_seeds": plural(len(study.seeds), "seed"),
        "completion_after": trained(study, runs),
        "completion_chains": options.chains,
        "completion_draws": options.draws,
        "completion_warmup": options.warmup,
        "completion_latent_dim": options.latent_dim,
    }
    if table.empty:  # every model diverged
        return Part(facts)
    facts["completion_found"] = _caption(table)
    said_of = [s for name, rows in table.groupby("experiment", sort=False) for s in _of(name, rows)]
    blocks = [
        ("text", "completion-question"),
        ("list", said_of),
        ("figure", "completion"),
        ("figure", "completion_images"),
        ("details", ("Every task", [("table", "completion")])),
    ]
    section = Section("completion", "What the model is for: completed images", blocks, 140)
    return Part(facts, {"completion": _table(table)}, [section])
