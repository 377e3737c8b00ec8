"""What the report says of Monte Carlo EM in Figure 3, whose chains the others do not have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...config import Config
from ...core.words import number, plural
from ...paper.curves import panels_of, paper_curve
from ...paper.facts import PAPER_MCEM
from ...results import Gathered
from ...results.curves import at, replicas, shown
from ...results.words import sizes

KEY = "mcem"


def iterations(gathered: Gathered, entries: list[dict], study: Config) -> list[str]:
    """Sentences on how far Monte Carlo EM came, and how far behind AEVB it ends."""
    sentences = []
    for name, latent_dim, algorithms in panels_of(study, 3):
        runs = (
            [run for run in replicas(gathered, name, KEY, latent_dim) if run.status == "completed"]
            if KEY in algorithms
            else []
        )
        if not runs:
            continue
        step = study.n_train(name) * (study.mcem.leapfrog + study.mcem.updates)
        text = f"{sizes(study, name)}: the budget is {runs[0].samples // step:,} iterations of "
        text += "Monte Carlo EM"
        last = [
            entry for entry in entries if entry["experiment"] == name and entry["split"] == "test"
        ][-1]
        gaps = [
            dict(side).get(KEY, np.nan) - dict(side).get("aevb", np.nan)
            for side in (last["ours"], last["theirs"])
        ]
        ours, theirs = ("above" if gap > 0 else "below" for gap in gaps)
        if np.isfinite(gaps[0]):
            text += f", after which its test log p(x) is {number(abs(gaps[0]))} nats {ours} AEVB's"
            known = np.isfinite(gaps[1])
            text += f" (the paper: {number(abs(gaps[1]))} {theirs})" if known else ""
        sentences.append(f"{text}.")
    return sentences


def chain_values(gathered: Gathered, paper: pd.DataFrame, study: Config) -> list[str]:
    """Sentences on whether the paper's training values of Monte Carlo EM are like values at chains.

    They may be nearer to our log p(x), or to log p(x, z) at our chains. Those lag behind the
    posterior of parameters that change.
    """
    sentences = []
    for name, latent_dim, algorithms in panels_of(study, 3):
        theirs = (
            paper_curve(paper, study, name, latent_dim, KEY, "train") if KEY in algorithms else None
        )
        runs = [
            run for run in replicas(gathered, name, KEY, latent_dim) if run.status == "completed"
        ]
        if theirs is None or not runs:
            continue
        points = theirs[
            (theirs["samples"] >= runs[0].curve["samples"].iloc[0])
            & (theirs["samples"] <= runs[0].samples)
        ]
        curves = [
            shown(gathered, run).merge(run.curve[["samples", "running"]], on="samples")
            for run in runs
        ]
        away = {
            column: np.median(
                [
                    abs(np.mean([at(curve, column, samples) for curve in curves]) - value)
                    for samples, value in points.to_numpy()
                ]
                or np.nan
            )
            for column in ("train", "running")
        }
        if len(points):
            lag = away["running"] < away["train"]
            sentences.append(
                f"{sizes(study, name)}: the {plural(len(points), 'training value')} of MCEM in "
                "the paper lie a median of "
                f"{number(away['train'])} nats from our log p(x), and {number(away['running'])} "
                "from the mean of log p(x, z) at our chains"
                + (
                    ": they are like values at chains that lag behind the posterior."
                    if lag
                    else "."
                )
            )
    return sentences


def counting(paper: pd.DataFrame) -> list[str]:
    """Sentences on whether the paper's points of Monte Carlo EM lie on whole iterations.

    Those are multiples of N_train x (leapfrog steps + updates).
    """
    sentences, steps = [], sum(PAPER_MCEM)
    rows = paper[(paper["figure"] == 3) & (paper["algorithm"] == KEY)]
    for n_train, points in rows.groupby("n_train")["samples"]:
        units = [multiple * n_train for multiple in (steps, PAPER_MCEM[0], 2 * steps)]
        off, *others = (
            f"{(points - unit * (points / unit).round()).abs().max():,.0f}" for unit in units
        )
        sentences.append(
            f"N_train = {n_train:,.0f}: all {len(points)} points lie within {off} samples of a "
            f"multiple of {units[0]:,.0f}, "
            f"{steps} N_train; from multiples of {PAPER_MCEM[0]} and {2 * steps} N_train they lie "
            f"up to {others[0]} and {others[1]} away."
        )
    return sentences


def compared(study: Config) -> bool:
    """Whether Figure 3 shows it."""
    return KEY in study.figure3.algorithms
