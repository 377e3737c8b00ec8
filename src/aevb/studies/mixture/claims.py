"""What Blei, Kucukelbir & McAuliffe (2017) say of variational inference, on their own example."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...paper.claims import SMALL, Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from . import FAITHFUL
from .numbers import drawn, races, starts, variance_ratios

ROUNDING = 1e-12  # of the bound's size: a sum of thousands of float64 is known to about that
MIXED = 1.05  # R-hat up to which chains agree
NEEDS = "the mixture study"


@claim(
    21,
    "coordinate ascent never lowers the bound",
    paper=False,
    finding="the largest fall at an update is {effect} of the bound's size ({check})",
    says="Each update of coordinate ascent is the best for its factor, so that the bound climbs to "
    "a local optimum (Blei et al. 2017, section 2.4).",
    statement="No update of q(c) or of q(mu) lowers the bound by more than rounding does.",
    rule="Largest fall of the bound at a single update, over the size of the bound, 0 if there is "
    "none; over all starts of a data set, or of each start on Old Faithful. Below 1e-12.",
    needs=NEEDS,
    unit="of the bound's size",
    figure="mixture_optima",
)
def ascends(gathered: Gathered, paper: pd.DataFrame) -> Found:
    sets, real = drawn(gathered), starts(gathered).get(FAITHFUL)
    checks = [Check("data drawn from the model", [max(s.falls) for s in sets], ROUNDING, -1)]
    if real is not None:
        checks.append(Check("Old Faithful", list(real.falls), ROUNDING, -1))
    return (checks, []) if sets else ([], [])


@claim(
    22,
    "where coordinate ascent ends depends on the start",
    paper=False,
    finding="the best and the worst end are {effect} nats apart ({check})",
    says="The bound is not concave, so that coordinate ascent is sensitive to its start and only "
    "finds a local optimum (Blei et al. 2017, section 2.4).",
    statement="On one data set, starts end in optima whose bounds are more than 1 nat apart.",
    rule="Highest bound at the end minus the lowest, per data set drawn from the model. Above 1 "
    "nat: components whose labels are exchanged have the same bound and do not count.",
    needs=NEEDS,
    unit="nats",
    figure="mixture_optima",
)
def local_optima(gathered: Gathered, paper: pd.DataFrame) -> Found:
    sets, real = drawn(gathered), starts(gathered).get(FAITHFUL)
    if not sets:
        return [], []
    same = real is not None and real.optima == 1
    remarks = ["on Old Faithful all starts end in one optimum"] if same else []
    return [Check("data drawn from the model", [s.width for s in sets], SMALL)], remarks


@claim(
    23,
    "mean field underestimates the posterior's variance",
    paper=False,
    finding="its variance is {effect} times the posterior's where that is most ({check})",
    says="A factorised q cannot follow correlations, so that its marginal variances are below "
    "those of the posterior (Blei et al. 2017, section 2.3).",
    statement="The variance of the components' means under q is below that of the posterior.",
    rule="Variance of the means under q, at the best of the starts, over that under the posterior: "
    "by enumeration, and by Gibbs chains where that is out of reach. Means are sorted in each draw "
    "of either, so that exchanged labels do not count as variance. Below 1 in both.",
    needs=NEEDS,
    unit="times the variance",
    figure="mixture_exact",
    logarithmic=True,
)
def variance(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = [], []
    for method, rows in variance_ratios(gathered).items():
        checks.append(Check(method, list(np.log(rows["ratio"])), 0.0, -1))
        if apart := int((rows["r_hat"] > MIXED).sum()):
            remarks.append(f"chains disagree on {apart} of {len(rows)} data sets (R-hat > {MIXED})")
    return checks, remarks


@claim(
    24,
    "stochastic VI needs less than a pass",
    paper=False,
    finding="it is there after {effect} passes over the data ({check})",
    says="Coordinate ascent has to visit all data before it updates q(mu) once; stochastic VI "
    "subsamples them and so scales to massive data (Blei et al. 2017, section 4.3).",
    statement="Stochastic VI is within 0.001 nats per datapoint of coordinate ascent's last bound, "
    "and stays there, before it has seen as many datapoints as there are.",
    rule="Passes over the data from which on that holds, from the same start, per data set. Below "
    "1. A run that does not get there counts with its budget, at least 1 pass, and is a remark.",
    needs=NEEDS,
    unit="passes",
    figure="mixture_exact",
)
def fraction(gathered: Gathered, paper: pd.DataFrame) -> Found:
    found = races(gathered)
    if not found:
        return [], []
    values = [race.counted for race in found]
    lost = sum(np.isinf(race.svi) for race in found)
    remarks = [f"{lost} of {len(found)} runs did not get there"] if lost else []
    return [Check(f"{len(found)} data sets", values, 1.0, -1, limit=lost > 0)], remarks
