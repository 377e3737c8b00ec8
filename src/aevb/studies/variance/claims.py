"""The paper's claims that the variance study tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import measured

# Times the variance: so many times the samples for the same precision of a gradient.
USELESS = 100.0


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def _ratios(gathered: Gathered, part: str, estimator: str, threshold: float = 0.0) -> list[Check]:
    """Checks of the logarithm of another estimator's variance over estimator B's."""
    rows = measured(gathered, part, estimator)
    return [
        Check(
            place,
            [float(np.log(row.ratio))],
            threshold,
            error=row.ratio_se / row.ratio,
            freedom=row.minibatches - 1,
        )
        for place, row in rows
    ]


@claim(
    6,
    "estimator B has the lower variance",
    says="Estimator B, with the KL divergence in closed form, typically varies less than estimator "
    "A (section 2.3, equations 6 and 7).",
    statement="Estimator A's variance is above estimator B's, for the bound, of which the paper "
    "speaks.",
    rule="Ratio of the variances of the bound of the training set from one draw per datapoint, A "
    "over B, at each model and point of training that was measured. Above 1 everywhere.",
    finding="A's variance is {effect} times B's in the weakest case ({check})",
    needs="the variance study on data of the paper",
    unit="times the variance",
    figure="variance",
    logarithmic=True,
)
def lower_variance(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _ratios(gathered, "bound_all", "A"), []


@claim(
    11,
    "estimator B's gradient has the lower variance",
    paper=False,
    says="The paper says it of the bound alone; what training needs is the gradient (section 2.3, "
    "algorithm 1).",
    statement="Estimator A's variance is above estimator B's, for the encoder's gradient (the "
    "decoder's is the same).",
    rule="Ratio of the variances of the encoder's gradient, A over B, at each model and point of "
    "training that was measured. Above 1 everywhere.",
    finding="A's variance is {effect} times B's in the weakest case ({check})",
    needs="the variance study on data of the paper",
    unit="times the variance",
    figure="variance",
    logarithmic=True,
)
def lower_variance_of_gradient(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _ratios(gathered, "encoder", "A"), []


@claim(
    7,
    "the score function's variance is too high",
    says="The naive gradient estimator, through the score function, varies too much to be of use "
    "(section 2.2).",
    statement="The score function gradient of the encoder has at least 100 times the variance of "
    "estimator B's.",
    rule="Ratio of the variances of the encoder's gradient, score function over B, at each model "
    "and point of training that was measured. "
    "Above 100 everywhere: a minibatch of 100 would have to be one of 10,000. If a baseline brings "
    "it below, that is a qualification.",
    finding="its variance is {effect} times estimator B's where it is least ({check})",
    needs="the variance study on data of the paper",
    unit="times the variance",
    figure="variance",
    logarithmic=True,
)
def score_function(gathered: Gathered, paper: pd.DataFrame) -> Found:
    remarks = []
    for estimator, name in (
        ("score_baseline", "a baseline"),
        ("score_oracle", "a baseline for each datapoint"),
    ):
        helped = [np.exp(check.values[0]) for check in _ratios(gathered, "encoder", estimator)]
        if helped and min(helped) < USELESS:
            remarks.append(
                f"with {name} it is {_times(min(helped))} to {_times(max(helped))} times"
            )
    return _ratios(gathered, "encoder", "score", np.log(USELESS)), remarks
