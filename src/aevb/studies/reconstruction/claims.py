"""Claims on reconstruction terms. Effects compare models of one seed, which share start,
minibatches and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...core.words import joined, number
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from ...results.words import label
from . import PAPERS
from .numbers import by_experiment, lost, paired

NEEDS = "the study `reconstruction_terms`"
RIVAL = "euclidean_01"  # the VAE with the autoencoder's distance
#: log C + x a - log(1 + e^a) is log(a / tanh(a/2)) - log(1 + e^a) at x = 0: log |a| as a -> -inf
SATURATED = (
    "the density of the continuous Bernoulli is itself unbounded at pixels of exactly 0 or 1: "
    "there it grows as |a| with the logit a, so that nats may come from them alone"
)
#: what prior samples are judged by -> column
JUDGED = {"principal components": "frechet", "the classifier's features": "features"}
MEASURED = ["rmse", *JUDGED.values()]


@claim(
    37,
    "the plain Bernoulli on grey values gives up likelihood",
    paper=False,
    finding="it gives up {effect} {unit} in the weakest case ({check})",
    says="The paper models grey pixels by a Bernoulli (appendix C.1). Loaiza-Ganem and Cunningham "
    "(2019) call this a pervasive error: without its normaliser it is no density on [0, 1].",
    statement="A VAE trained with the continuous Bernoulli has a higher test bound under it "
    "than one trained with the plain Bernoulli, however the latter's output is read.",
    rule="Test bound under the continuous Bernoulli of the model trained with it, minus that of "
    "the model trained with the plain one, per data set and seed; the output of the latter is read "
    "as the logit, or as the mean, whichever has the higher mean bound. Above 0. That the measure "
    "itself is unbounded where pixels are 0 or 1 is a remark.",
    needs=NEEDS,
    figure="reconstruction_images",
)
def pervasive(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks = []
    for experiment, found in by_experiment(gathered).items():
        if apart := lost(found):
            least = min(apart.values(), key=np.mean)
            checks.append(Check(label(experiment), list(least)))
    return checks, [SATURATED] if checks else []


@claim(
    38,
    "the autoencoder reconstructs better and generates worse",
    paper=False,
    finding="{effect} times in the weakest case ({check})",
    says="The bound is an expected reconstruction error and a regulariser, the KL divergence "
    "(section 2.3). Without the latter nothing ties the codes to the prior that samples are drawn "
    "from.",
    statement="The deterministic autoencoder has a smaller reconstruction error on test images "
    "than VAEs, and its samples of the prior are further from test images.",
    rule="Per data set and seed, against the VAE with the paper's likelihood for it and against "
    "that with the autoencoder's own distance (sigma = 0.1): RMSE of the VAE over that of the "
    "autoencoder, from the mean of q; and Frechet distance of the autoencoder's samples of the "
    "prior to test images over that of the VAE's, in principal components of the pixels and, on "
    "digits, in a classifier's features. Each ratio above 1.",
    needs=NEEDS,
    unit="times",
    figure="reconstruction_tradeoff",
    logarithmic=True,
)
def regularised(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks = []
    for experiment, found in by_experiment(gathered).items():
        own = found.get("autoencoder")
        likelihood = gathered.study.experiments[experiment].likelihood
        rivals = [found.get(key) for key in (PAPERS.get(likelihood, ""), RIVAL)]
        for rival in filter(None, rivals if own else ()):
            mine, theirs = (np.log(case.last[MEASURED]) for case in (own, rival))
            where = f"{label(experiment)}, {rival.term.title}"
            checks.append(Check(f"RMSE, {where}", list(paired(theirs["rmse"], mine["rmse"]))))
            for name, column in JUDGED.items():
                if len(values := paired(mine[column], theirs[column])):
                    checks.append(Check(f"samples in {name}, {where}", list(values)))
    return checks, _diverged(gathered)


@claim(
    39,
    "learned variances fall without end",
    paper=False,
    finding="{effect} times in the weakest case ({check})",
    says="The likelihood of a decoder with a learned variance (appendix C.2) is unbounded: it "
    "grows without end as the variance at some training image falls to 0 (Mattei and Frellsen "
    "2018, theorem 1).",
    statement="The smallest learned variance still falls at the end of training, and ends below "
    "those of the same model with a floor and with dequantised images, each of which bounds it.",
    rule="Smallest variance of a pixel over training images, at the mean of q, per data set and "
    "seed: that at half of the training samples over that at the end; that of the model with a "
    "floor of one grey level, and that of the model on dequantised images, over that of the plain "
    "one, at the end. Each ratio above 1. A bound beyond the ceiling D ln(1 / grey level) is a "
    "remark.",
    needs=NEEDS,
    unit="times",
    figure="reconstruction_variances",
    logarithmic=True,
)
def unbounded(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = [], []
    for experiment, found in by_experiment(gathered).items():
        if (own := found.get("learned")) is None:
            continue
        end, name = np.log(own.last["smallest"]), label(experiment)
        half = np.log(own.half["smallest"])
        checks.append(Check(f"half over end, {name}", list(paired(half, end))))
        for key in ("floor", "dequantised"):
            if (other := found.get(key)) is not None:
                more = paired(np.log(other.last["smallest"]), end)
                checks.append(Check(f"{key} over plain, {name}", list(more)))
        if (above := own.last["above"].mean()) > 0:
            remarks.append(f"{number(100 * above, 1)} % of the test images of {name} are above it")
    said = [f"beyond the ceiling: {joined(remarks)}"] if remarks else []
    return checks, [*said, *_diverged(gathered, ("learned", "floor", "dequantised"))]


def _diverged(
    gathered: Gathered, keys: Sequence[str] = ("autoencoder", *PAPERS.values(), RIVAL)
) -> list[str]:
    """A remark on the seeds, of the terms `keys`, that have no end."""
    lost = []
    for experiment, found in by_experiment(gathered).items():
        for case in (found[key] for key in dict.fromkeys(keys) if key in found):
            seeds = set(case.frame["seed"])
            if gone := len(seeds - set(case.last.index)):
                lost.append(f"{gone} of {len(seeds)} of {case.term.title} on {label(experiment)}")
    return [f"seeds that diverged: {joined(lost)}"] if lost else []
