"""What Higgins et al., Kim and Mnih and Locatello et al. say of weights on the KL divergence."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from ...core.words import plural
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import METRICS, NAMES, jackknifed, metric_table, of_method, paired, variances

NEEDS = "the study `disentanglement`"


@claim(
    45,
    "beta buys disentanglement with information",
    paper=False,
    finding="the change is {effect} in the weakest case ({check})",
    says="A weight beta > 1 on the KL divergence makes codes disentangled, at the price of "
    "reconstruction (Higgins et al. 2017); of the divergence, the mutual information is one term "
    "(Hoffman and Johnson 2016, Kim and Mnih 2018).",
    statement="On sprites with known factors, a larger beta lowers I(x; z), and MIG and the "
    "FactorVAE metric are higher than those of the VAE, beta = 1.",
    rule="Seed by seed, the same start and minibatches. At each beta above 1: MIG, and the "
    "FactorVAE metric, less that at beta = 1, above 0. From each beta to the next: I(x; z) "
    "falls, below 0 nats. These are fewer than the former, so that the price alone decides nothing."
    " A reconstruction error that does not rise is a remark.",
    needs=NEEDS,
    unit="of a metric from 0 to 1, or nats",
    figure="disentanglement",
)
def bought(gathered: Gathered, paper: pd.DataFrame) -> Found:
    found, checks, remarks = of_method(gathered, "beta_vae"), [], []
    for weight, frame in found.items():
        for metric, name in METRICS.items() if weight > 1 else ():
            more = frame[metric] - found[1][metric]
            checks.append(Check(f"{name}, beta = {weight:g} less 1", list(more)))
    for (low, one), (high, other) in pairwise(found.items()):
        fall = other["information"] - one["information"]
        checks.append(Check(f"I(x; z), beta {low:g} to {high:g}", list(fall), side=-1))
        if (other["error"] - one["error"]).mean() <= 0:
            remarks.append(f"the error does not rise from beta {low:g} to {high:g}")
    return checks, remarks


@claim(
    46,
    "FactorVAE disentangles more at equal reconstruction",
    paper=False,
    finding="the difference is {effect} in the weakest case ({check})",
    says="FactorVAE gives a better trade-off between disentanglement and reconstruction than "
    "beta-VAE (Kim and Mnih 2018, abstract).",
    statement="At the same reconstruction error FactorVAE's MIG and its own metric are above those "
    "of beta-VAE.",
    rule="Seed by seed and at each gamma: the metric less that of beta-VAE at the same error, "
    "interpolated linearly between the betas of that seed; above 0. Where no beta has such an "
    "error, the nearest one counts, and a remark says so.",
    needs=NEEDS,
    unit="of a metric from 0 to 1",
    figure="disentanglement",
)
def better_traded(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, beyond, total = [], 0, 0
    for weight in of_method(gathered, "factor_vae"):
        for metric, name in METRICS.items():
            values, outside = paired(gathered, weight, metric)
            checks.append(Check(f"{name}, gamma = {weight:g}", list(values)))
        beyond, total = beyond + int(outside.sum()), total + len(outside)
    said = f"{beyond} of {plural(total, 'FactorVAE')} have an error beyond those of beta-VAE"
    return checks, [said] if beyond else []


@claim(
    47,
    "the seed matters as much as the weight",
    paper=False,
    finding="the share of the seeds in the variance is {effect} in the weakest case ({check})",
    says="Random seeds and hyperparameters seem to matter more than the choice of the objective; a "
    "good run of a bad setting may beat a bad run of a good one (Locatello et al. 2019, section "
    "1).",
    statement="Of the variance of a metric of disentanglement over seeds and weights, at least "
    "half is between seeds of one weight.",
    rule="For each method and metric: variance over seeds within a weight, over the sum of it and "
    "the variance over weights (that of the means less what the interaction of seed and weight "
    "gives them, so that the share may exceed 1). Jackknife over seeds; above 1/2. Fewer than "
    "three seeds are not tested. Where more than a tenth of it is the error of the FactorVAE "
    "metric's own votes, a remark says so.",
    needs=NEEDS,
    unit="of the variance",
    figure="disentanglement",
)
def seeds_matter(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = [], []
    for method, label in NAMES.items():
        frames = of_method(gathered, method)
        if len(frames) < 2:
            continue
        voted = np.mean([np.mean(frame["vote_se"] ** 2) for frame in frames.values()])
        within, _ = variances(metric_table(gathered, method, "vote"))
        if voted > within / 10:
            remarks.append(
                f"{label}: the votes' error is {100 * voted / within:.0f} % of the seeds'"
            )
        for metric, name in METRICS.items():
            values = jackknifed(metric_table(gathered, method, metric))
            if len(values) and not np.isnan(values).any():
                checks.append(Check(f"{name} of {label}", list(values), threshold=0.5))
    return checks, remarks
