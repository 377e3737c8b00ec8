"""Bounds beside the paper's, and what the latent variables carry at the end of every curve."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...core.words import short
from ...learners import LEARNERS
from ...paper.comparison import comparison
from ...results import Gathered
from ...results.curves import last_shared


def bounds(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """All rows of paper.comparison.comparison for Figure 2."""
    return comparison(gathered, paper).drop(columns="hmc")


def units(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """What the latent variables carry at the end of every curve with a bound, one row per curve.

    Where some seeds are trained further, the end is that of the others. Columns: experiment,
    algorithm, latent_dim, and

        seeds               number of those that did not diverge
        samples             of the evaluation
        train_kl, test_kl   mean over these seeds, nats per datapoint
        active_units        mean over these seeds
        NAME_low, _high     least and most of these three
        diverged            seed, samples and reason of each replica that stopped
    """
    rows, curves, study = [], {}, gathered.study
    for run in gathered.runs.values():
        if LEARNERS[run.algorithm].online:
            curves.setdefault((run.experiment, run.algorithm, run.latent_dim), []).append(run)
    for place, runs in curves.items():
        done = last_shared(study, runs)
        row = {
            **dict(zip(("experiment", "algorithm", "latent_dim"), place, strict=True)),
            "seeds": len(done),
        }
        row["samples"] = done["samples"].max()
        for name in ("train_kl", "test_kl", "active_units"):
            row |= {
                name: done[name].mean(),
                f"{name}_low": done[name].min(),
                f"{name}_high": done[name].max(),
            }
        lost = [
            f"seed {run.seed} at {short(run.samples)}: {run.reason}"
            for run in runs
            if run.status == "diverged"
        ]
        rows.append({**row, "diverged": "; ".join(lost)})
    return pd.DataFrame(rows)
