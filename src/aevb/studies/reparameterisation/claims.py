"""What section 2.4 claims of its families of distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import joined, plural
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .catalogue import DISTRIBUTIONS
from .numbers import by_seed, endless, gradients, tests

# Standard deviations of one estimate: a bias that the mean of fewer than 2,500 would not show.
SMALL = 0.02


def _titles(keys) -> str:
    return joined(DISTRIBUTIONS[key].title for key in dict.fromkeys(keys))


def _largest(table: pd.DataFrame, by: list[str]) -> list[Check]:
    """For each group of `by`, a check of the largest bias, in standard deviations of one estimate.

    Its Monte Carlo error is that of any of them.
    """
    checks = []
    for group, rows in table.groupby(by, sort=False):
        row = rows.loc[rows["bias"].abs().idxmax()]
        title = DISTRIBUTIONS[row["distribution"]].title
        name = ", ".join([title, *group[1:], f"f = {row['function']}"])
        error, freedom = 1 / np.sqrt(row["samples"]), row["samples"] - 1
        checks.append(Check(name, [abs(row["bias"])], SMALL, -1, error, freedom))
    return checks


@claim(
    29,
    "the pathwise gradient is unbiased for every family",
    paper=False,
    finding="the largest bias is {effect} standard deviations of one estimate ({check})",
    says="For the named distributions of three families, z can be written as g(epsilon, phi), so "
    "that a Monte Carlo estimate of an expectation is differentiable with respect to phi (section "
    "2.4).",
    statement="The gradient of E f(z) through the paper's g has no bias, for each named "
    "distribution, each f and each parameter that g depends on smoothly.",
    rule="Mean of the estimates minus the gradient by quadrature, in standard deviations of one "
    "estimate; of each distribution, the largest over f and parameters. Below 0.02 for each: a "
    "bias that fewer than 2,500 samples would not show. Distributions whose g gives no gradient, "
    "and estimates of infinite variance, are qualifications.",
    needs="the study reparameterisation",
    unit="standard deviations of one estimate",
    figure="reparameterisation",
)
def unbiased(gathered: Gathered, paper: pd.DataFrame) -> Found:
    table = gradients(gathered, paper)
    mine = table[table["estimator"] == "pathwise"]
    checks, remarks = _largest(mine[mine["note"] == ""], ["distribution"]), []
    if none := [
        key for key in dict.fromkeys(table["distribution"]) if key not in set(mine["distribution"])
    ]:
        remarks.append(
            f"g gives no gradient for {_titles(none)}, whose parameters are whole numbers"
        )
    lost = mine[mine["note"] != ""]
    for key, rows in lost.groupby("distribution", sort=False):
        remarks.append(
            f"the variance is infinite for {DISTRIBUTIONS[key].title} with f = "
            f"{joined(dict.fromkeys(rows['function']))}"
        )
    tested = tests(gathered)
    if rejected := list(tested[tested["p_value"] < tested["level"]]["distribution"]):
        remarks.append(f"samples of {_titles(rejected)} are not of that distribution")
    if absent := len(DISTRIBUTIONS) - table["distribution"].nunique():
        remarks.append(f"{plural(absent, 'distribution')} of the catalogue left out")
    return checks, remarks


@claim(
    30,
    "the pathwise gradient varies less than the score function's",
    paper=False,
    finding="its variance is {effect} times the score function's where that is most ({check})",
    says="The naive estimator, through the score function, has a very high variance (section 2.2); "
    "the reparameterised one takes its place (section 2.4).",
    statement="The variance of the gradient through the paper's g is below that of the score "
    "function's estimate of as many samples, for each named distribution and each f of z, z^2, "
    "log z, tanh z, cos z and cos 5z that it has moments for.",
    rule="Ratio of the variances, pathwise over score function, summed over the parameters for "
    "which both are unbiased. Below 1 for each distribution and f. Where one of the two variances "
    "is infinite, no sample shows the ratio: a qualification.",
    needs="the study reparameterisation",
    unit="times the variance",
    figure="reparameterisation",
)
def varies_less(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, pathwise, score, above = [], [], [], {}
    for key, function, by, against, _, values in by_seed(gathered):
        if (by, against) != ("pathwise", "score"):
            continue
        name = f"{DISTRIBUTIONS[key].title}, f = {function}"
        if endless(gathered, key, function):
            pathwise.append(name)
        elif DISTRIBUTIONS[key].infinite:
            score.append(key)
        else:
            checks.append(Check(name, list(values), 1.0, -1))
            above.setdefault(function, []).append(values.mean() > 1)
    remarks = [
        f"with f = {function} it is above in {sum(found)} of {plural(len(found), 'distribution')}"
        for function, found in above.items()
        if any(found)
    ]
    if pathwise:
        remarks.append(f"the pathwise variance is infinite for {'; '.join(pathwise)}")
    if score:
        remarks.append(f"the score function's variance is infinite for {_titles(score)}")
    biased = [key for key in gathered_keys(gathered) if DISTRIBUTIONS[key].moves]
    if biased and checks:
        remarks.append(f"the score function is biased for {_titles(biased)}")
    return checks, remarks


def gathered_keys(gathered: Gathered) -> list[str]:
    """The distributions that were measured."""
    return list(dict.fromkeys(tests(gathered)["distribution"]))


@claim(
    31,
    "implicit gradients cover what the paper's g does not",
    paper=False,
    finding="the largest bias is {effect} standard deviations of one estimate ({check})",
    says="Gamma, Dirichlet, beta, chi-squared and F variates are compositions of simpler ones, a "
    "gamma variate a sum of exponential ones (section 2.4); a sum has a whole number of terms.",
    statement="Implicit reparameterisation, as torch's rsample has it, gives unbiased gradients "
    "with respect to the parameters for which the paper's g gives none.",
    rule="Mean of the estimates by rsample minus the gradient by quadrature, in standard "
    "deviations of one estimate, for each such parameter the largest over f. Below 0.02 for each. "
    "Parameters that neither gives are a qualification.",
    needs="the study reparameterisation with a distribution of whole shape",
    unit="standard deviations of one estimate",
    figure="reparameterisation",
)
def implicit(gathered: Gathered, paper: pd.DataFrame) -> Found:
    table = gradients(gathered, paper)
    lacking = [row.parameter in DISTRIBUTIONS[row.distribution].fixed for row in table.itertuples()]
    mine = table[(table["estimator"] == "torch") & np.array(lacking, bool)]
    neither = [
        f"{DISTRIBUTIONS[key].title} ({joined(DISTRIBUTIONS[key].fixed)})"
        for key in gathered_keys(gathered)
        if DISTRIBUTIONS[key].fixed and not DISTRIBUTIONS[key].torch
    ]
    remarks = [f"torch has no sampler of {joined(neither)}"] if neither else []
    return _largest(mine, ["distribution", "parameter"]), remarks
