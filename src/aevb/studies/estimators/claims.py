"""The paper's claim that the estimator study tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...paper.claims import SMALL, Found, claim, short_of
from ...paper.facts import PAPER_DRAWS, PAPER_HIDDEN, PAPER_RELIABLE, PAPER_SAMPLES
from ...paper.verdicts import Check, state
from ...results import Gathered
from ...results.words import named


@claim(
    9,
    "the estimator of log p(x) is good below five dimensions",
    says="The estimator of log p(x) is good with fewer than five latent dimensions and unreliable "
    "with more (section 5, appendix D).",
    statement="The bias of the appendix-D estimator is below 1 nat for N_z < 5 and above 1 nat for "
    "N_z > 5.",
    rule="Size of the mean bias on test points, at the number of samples nearest to the paper's "
    "50, against quadrature where N_z < 4 and "
    "the tightest lower bound above; interval by Student's t over replicates. Below 1 nat under "
    "five dimensions and above 1 nat over five; at five the claim says nothing. Where the verdict "
    "is another with a Gaussian in place of the kernel density, that is a qualification.",
    finding="a bias of {effect} nats in the weakest case ({check})",
    needs="the estimator study on data of the paper, with N_z below and above five",
    figure="estimators",
)
def estimator(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks = _biases(gathered, "hmc_kde")
    if {check.side for check in checks} != {1, -1}:
        return [], []
    models = [gathered.runs[name] for name in gathered.of("estimators")]
    least = min(model.samples for model in models if model.dataset in PAPER_HIDDEN)
    remarks = short_of([least], PAPER_SAMPLES)
    others = {check.name: state(check) for check in _biases(gathered, "hmc_gaussian")}
    differs = [
        check.name for check in checks if others.get(check.name, "") not in ("", state(check))
    ]
    if differs:
        remarks.append(f"otherwise with a Gaussian for the kernel density: {'; '.join(differs)}")
    return checks, remarks


def _biases(gathered: Gathered, estimator: str) -> list[Check]:
    """Checks of the size of the bias of `estimator`, model by model."""
    part, checks = gathered.study.estimators, []
    for name, table in gathered.of("estimators").items():
        rows = table.frame[
            (table.frame["estimator"] == estimator) & (table.frame["data"] == "test")
        ]
        model = gathered.runs[name]
        if len(rows) and model.latent_dim != PAPER_RELIABLE and model.dataset in PAPER_HIDDEN:
            row = rows.loc[np.log(rows["samples"] / PAPER_DRAWS).abs().idxmin()]
            side = 1 if model.latent_dim > PAPER_RELIABLE else -1
            checks.append(
                Check(
                    named(model.experiment, model.latent_dim),
                    [abs(row["bias"])],
                    SMALL,
                    side,
                    row["bias_se"],
                    part.replicates - 1 if part else np.inf,
                )
            )
    return checks
