"""Claims that the linear-Gaussian model tests, because everything about it is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...paper.claims import SMALL, Found, claim
from ...paper.facts import PAPER_DRAWS, PAPER_RELIABLE
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import ALGORITHMS, ends, in_order, named

LEARNERS = ("aevb", "wake_sleep", "mcem")
NEEDS = "the study `linear`"


def _ends(gathered: Gathered, algorithm: str):
    """The size and the last rows of `algorithm`, one per seed, table by table."""
    for name, table in in_order(gathered, "linear_learners"):
        last = ends(table.frame)
        yield named(name), last[last["algorithm"] == algorithm]


@claim(
    25,
    "the linear model: learners reach the maximum likelihood",
    paper=False,
    finding="where it is least sure the learner ends {effect} nats below the closed form ({check})",
    says="AEVB does approximate maximum likelihood (sections 1 and 2.1); section 5 compares it "
    "with wake-sleep and Monte Carlo EM, which aim at the same.",
    statement="On the linear-Gaussian model AEVB, wake-sleep and Monte Carlo EM end so near to "
    "the closed-form maximum likelihood that the data cannot tell the difference.",
    rule="Log likelihood of the closed form minus the exact one of the learned model, per "
    "datapoint and seed, at the end of the budget. Below P / (2 n) for every learner and size: by "
    "Wilks' theorem that is by how much the maximum likelihood itself overfits n datapoints with P "
    "parameters.",
    needs=NEEDS,
    figure="linear",
)
def maximum_likelihood(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return [
        Check(
            f"{ALGORITHMS[algorithm]}, {size}",
            list(rows["shortfall"]),
            float(rows["uncertainty"].iloc[0]),
            -1,
        )
        for algorithm in LEARNERS
        for size, rows in _ends(gathered, algorithm)
    ], []


@claim(
    26,
    "the linear model: the bound is tight where q can be the posterior",
    paper=False,
    finding="in the weakest case the difference is {effect} nats ({check})",
    says="The bound falls short of log p(x) by KL(q(z|x) || p(z|x)) alone (equations 1 and 2), so "
    "it is tight if q can be the posterior.",
    statement="AEVB ends with W's columns orthogonal, where the posterior's covariance is diagonal "
    "and the bound of its diagonal encoder tight. In a random rotation of the latent variables, "
    "which leaves log p(x) as it is, no diagonal encoder is.",
    rule="Exact log p(x) minus the exact bound, per datapoint and seed. Below P / (2 n) for AEVB "
    "with its own encoder. And larger, seed by seed, for the best diagonal encoder at the closed "
    "form rotated at random than for AEVB: above 0.",
    needs=NEEDS,
    figure="linear",
)
def tight(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks = []
    turned = dict(_ends(gathered, "rotated"))
    for size, rows in _ends(gathered, "aevb"):
        limit = float(rows["uncertainty"].iloc[0])
        checks.append(Check(f"AEVB, {size}", list(rows["gap"]), limit, -1))
        other = turned[size].set_index("seed")["diagonal_gap"]
        more = other.loc[rows["seed"]].to_numpy() - rows["gap"].to_numpy()
        checks.append(Check(f"rotated less AEVB, {size}", list(more)))
    return checks, []


@claim(
    27,
    "the linear model: the estimator of log p(x) is good below five dimensions",
    paper=False,
    finding="a bias of {effect} nats in the weakest case ({check})",
    says="The estimator of log p(x) is good with fewer than five latent dimensions and unreliable "
    "with more (section 5, appendix D).",
    statement="On linear-Gaussian models, whose log p(x) is known exactly, the bias of the "
    "appendix-D estimator is below 1 nat for N_z < 5 and above 1 nat for N_z > 5.",
    rule="Size of the mean bias at the number of samples nearest to the paper's 50, interval by "
    "Student's t over replicates. Below 1 nat under five dimensions and above 1 nat over five; at "
    "five the claim says nothing.",
    needs=f"{NEEDS}, with N_z below and above five",
    figure="linear_estimators",
)
def estimator(gathered: Gathered, paper: pd.DataFrame) -> Found:
    part, checks = gathered.study.linear, []
    for _, table in in_order(gathered, "linear_estimators"):
        rows = table.frame[table.frame["estimator"] == "hmc_kde"]
        row = rows.loc[np.log(rows["samples"] / PAPER_DRAWS).abs().idxmin()]
        if row["latent_dim"] != PAPER_RELIABLE:
            side = 1 if row["latent_dim"] > PAPER_RELIABLE else -1
            name, effect = f"N_z = {row['latent_dim']:g}", abs(row["bias"])
            error, freedom = row["bias_se"], part.replicates - 1
            checks.append(Check(name, [effect], SMALL, side, error, freedom))
    return (checks, []) if {check.side for check in checks} == {1, -1} else ([], [])


@claim(
    28,
    "the linear model: collapse is the model's, not the bound's",
    paper=False,
    finding="the two differ by {effect} directions in the weakest case ({check})",
    says="A latent direction of a linear VAE collapses where sigma^2 exceeds its eigenvalue, as in "
    "PPCA, and the bound adds no local maxima (Lucas, Tucker, Grosse and Norouzi 2019, \"Don't "
    'Blame the ELBO!"). The paper sees no overfitting with superfluous latent variables (section '
    "5).",
    statement="With sigma^2 fixed, AEVB keeps as many active directions as the closed form, to "
    "less than one.",
    rule="Active directions of AEVB's encoder minus those of the closed form, size of the mean "
    "over seeds, at every sigma^2 and on all data. Below 1. If exact EM, which has no bound, "
    "differs from the closed form, that is a qualification.",
    needs=NEEDS,
    unit="directions",
    figure="linear",
)
def collapse(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, off = [], 0
    for name, table in gathered.of("linear_collapse").items():
        for variance, rows in table.frame.groupby("variance"):
            excess = rows["aevb"] - rows["theory"]
            sign = -1 if excess.mean() < 0 else 1
            where = f"{name}, sigma^2 = {variance:.3g}"
            checks.append(Check(where, list(sign * excess), 1.0, -1))
            off += int((rows["em"] != rows["theory"]).sum())
    remarks = [f"exact EM differs from the closed form in {off} fits"] if off else []
    return checks, remarks
