"""What the report says of completed images."""

from __future__ import annotations

import pandas as pd

from ...core.words import number, plural, span_of
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label, trained
from . import STUDY, Task
from .numbers import HOLES, said

HEADS = {  # of the table
    "posterior": "model",
    "draw": "sample",
    "gibbs": "iterated",
    "encoder": "encoder",
    "nearest": "nearest",
    "linear": "linear",
    "mean": "mean",
    "whole": "all seen",
}


NATS = {"log_model": "log p", "gain_linear": "above linear", "gain_pixels": "above pixels"}


def _ratio(row, name: str) -> str:
    """'1.23 [1.10, 1.36]'."""
    return span_of(row, f"ratio_{name}")


def _named(row) -> str:
    return said(Task(row.kind, row.level), row.share)


def _nats(row, name: str) -> str:
    """'-102.4 [-104.0, -100.9]'; nothing for a task without holes."""
    return "" if pd.isna(getattr(row, name)) else span_of(row, name)


def _range(rows: pd.DataFrame, name: str) -> str:
    """The least and the largest ratio of `name` among tasks, each with its task."""
    ends = _ends(rows, f"ratio_{name}")
    return " to ".join(f"{_ratio(row, name)} ({_named(row)})" for row in ends)


def _ends(rows: pd.DataFrame, name: str) -> list:
    """The tasks with the least and the largest value of `name`."""
    order = list(rows.sort_values(name).itertuples())
    return [order[0], order[-1]]


def _of(experiment: str, rows: pd.DataFrame) -> list[str]:
    """One experiment: against the nearest image, the encoder, linear prediction; the chains."""
    holes, name, total = rows[rows["kind"].isin(HOLES)], label(experiment), len(rows)
    found = [
        f"{name}, error of the nearest training image over that of the posterior mean: "
        f"{_range(rows, 'nearest')}, above 1 in {(rows['ratio_nearest'] > 1).sum()} of {total} "
        "tasks. One posterior sample, a picture without averaging, has a smaller error than the "
        f"nearest training image in {(rows['draw'] < rows['nearest']).sum()} of {total}."
    ]
    if len(holes):
        found.append(
            f"{name}, error of the encoder with holes filled by the mean image over that of the "
            f"posterior mean: {_range(holes, 'encoder')}. Iterated, the encoder has "
            f"{number(holes['ratio_gibbs'].min())} to {number(holes['ratio_gibbs'].max())} times "
            "the error of the posterior mean."
        )
        gains = [
            f"{' to '.join(f'{_nats(row, gain)} ({_named(row)})' for row in _ends(holes, gain))} "
            f"nats per image above {against}"
            for gain, against in (("gain_linear", "linear prediction"), ("gain_pixels", "pixels"))
        ]
        found.append(
            f"{name}, log p(not seen | seen): {gains[0]}; {gains[1]} on their own. Monte Carlo "
            f"standard error: at most {number(holes['log_mc'].max(), 2)} nats."
        )
    found.append(
        f"{name}, error of linear prediction over that of the posterior mean (below 1: linear "
        f"prediction is better): {_range(rows, 'linear')}."
    )
    last = rows[rows["kind"] == "pixels"].nlargest(1, "level")
    found[-1] += "".join(
        f" For comparison: with {_named(row)}, the posterior mean has an error of "
        f"{number(row.posterior, 3)}, and the encoder at the whole image, decoded, one of "
        f"{number(row.whole, 3)} at the same pixels."
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
        holes = rows[rows["kind"].isin(HOLES)]
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
            **{title: number(getattr(row, name), 3) for name, title in HEADS.items()},
            "nearest / model": _ratio(row, "nearest"),
            "R̂ < 1.1": f"{row.mixed:.0%}",
            "ESS": f"{row.ess:.0f}",
            **{title: _nats(row, name) for name, title in NATS.items()},
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
        ("figure", "completion_density"),
        ("figure", "completion_images"),
        ("details", ("Every task", [("table", "completion")])),
    ]
    section = Section("completion", "What the model is for: completed images", blocks, 140)
    return Part(facts, {"completion": _table(table)}, [section])
