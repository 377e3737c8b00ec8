"""What appendix F claims of its bound, and what a Bayesian treatment of weights is hoped to do."""

from __future__ import annotations

import pandas as pd

from ...core.words import number
from ...paper.claims import SMALL, Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import by_size, cases, ends, paired, residual, trained_gaps

NEEDS = "the study `weights`"


@claim(
    32,
    "the bound of appendix F is tight where it can be",
    paper=False,
    finding="in the weakest case the difference is {effect} nats ({check})",
    says="log p(X) is the bound plus KL(q(theta) || p(theta|X)), so that the bound is log p(X) "
    "itself where q is the posterior (appendix F, equation 13).",
    statement="On linear-Gaussian models with a known log p(X), both estimators (equations 22 and "
    "24) have a mean to which the exact KL adds up to log p(X). Trained on orthogonal codes, where "
    "the posterior is in its family, q reaches log p(X); on correlated ones it does not.",
    rule="In nats for all of X, against 1 nat: a Bayes factor below e is not worth a mention (Kass "
    "and Raftery 1995). Size of estimated bound + KL - log p(X), mean over seeds with its Monte "
    "Carlo error, per design and form: below 1. log p(X) minus the bound of the trained q, per "
    "seed: below 1 on orthogonal codes; on correlated codes by more than 1 further away.",
    needs=NEEDS,
    unit="nats",
    figure="weights_linear",
)
def tight(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks = []
    for (design, form), rows in cases(gathered, "weights_estimates").items():
        mean, error = residual(rows)
        name = f"bound + KL, {design}, {form}"
        checks.append(Check(name, [abs(mean)], SMALL, -1, error))
    gaps = trained_gaps(gathered)
    for (design, form), values in gaps.items():
        if design == "orthogonal":
            checks.append(Check(f"trained, orthogonal, {form}", list(values), SMALL, -1))
        else:
            more = values - gaps["orthogonal", form]
            checks.append(Check(f"correlated less orthogonal, {form}", list(more), SMALL))
    return checks, []


@claim(
    33,
    "full VB overfits less than MAP",
    paper=False,
    finding="the difference is {effect} nats per datapoint in the weakest case ({check})",
    says="Appendix F derives variational inference on the parameters too and leaves experiments to "
    "others; a distribution over weights in place of a point is hoped to overfit less.",
    statement="On N_train images of their own per seed, with the same start and minibatches, full "
    "VB ends with a smaller gap between training and test bound than MAP, and with a higher test "
    "bound.",
    rule="At the end of the same budget, seed by seed, with theta sampled from q(theta), at each "
    "N_train: the gap (train minus test) of MAP less that of full VB, above 0; and the test bound "
    "of full VB less that of MAP, above 0, as a gap also closes by fitting nothing. MAP stopped at "
    "its best test bound is a rival, and a remark.",
    needs=NEEDS,
    figure="weights",
)
def overfits_less(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = [], []
    names = {"gap of MAP less that of full VB": "gap"}
    names["test bound of full VB less that of MAP"] = "test bound"
    for n, frame in by_size(gathered).items():
        for quantity, name in names.items():
            values = paired(frame, quantity, "sampled")
            checks.append(Check(f"{name}, N = {n:,}", list(values)))
        early = paired(frame, "the same, MAP at its best", "sampled").mean()
        stopped = (ends(frame, "point")["best"] > ends(frame, "point")["test"]).any()
        if early < 0 and stopped:
            remarks.append(
                f"at N = {n:,} MAP stopped at its best is above full VB by {number(-early, 1)} nats"
            )
    return checks, remarks
