"""Claims on what the learned model is for: the unseen part of an image, given what is seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import HOLES, cells, lost, reaches_across

NEEDS = "the study `completion`"
TRUSTED = 0.1  # of the posterior mean's squared error: more Monte Carlo variance is a qualification
SAYS = (
    "A model of x is good for denoising, inpainting and super-resolution, by inference with the "
    "learned p(x) as a prior over images (section 2.1)."
)
RULE = (
    "per data set, task and level, as a ratio to that of the posterior mean, with the same model "
    "for each seed: root mean squared error over test images, at the pixels that were not seen"
    "{scope}. Above 1. Where the interval of Student's t over test images of the difference in "
    "squared error reaches across 0, and where Monte Carlo variance is more than a tenth of the "
    "posterior mean's squared error, that is a qualification."
)


def _against(gathered: Gathered, method: str, holes: bool) -> Found:
    """The posterior mean against `method`, on holes alone if `holes`."""
    checks, unsure, rough = [], [], []
    for cell in cells(gathered):
        if holes and cell.task.kind not in HOLES:
            continue
        checks.append(Check(cell.name, list(cell.log_ratio(method))))
        unsure += [cell.name] if cell.across(method) else []
        share = cell.rows["mc"].mean() / cell.errors["posterior"].mean()
        rough += [cell.name] if share > TRUSTED else []
    checks += [Check(name, []) for name, task in lost(gathered) if task.kind in HOLES or not holes]
    return checks, _remarks(unsure, rough, "the chains leave more than a tenth of the error in")


def _remarks(unsure: list[str], rough: list[str], why: str) -> list[str]:
    """Qualifications: names of checks over whose images the interval reaches across 0, and of those
    with much Monte Carlo error."""
    told = {"over test images the interval reaches across in": unsure, why: rough}
    return [f"{text} {'; '.join(names)}" for text, names in told.items() if names]


@claim(
    40,
    "the model completes images better than the nearest training image",
    paper=False,
    finding="in the weakest case the nearest training image's error is {effect} times the model's "
    "({check})",
    says=SAYS,
    statement="The posterior mean of what was not seen, given what was, has a smaller error than "
    "the training image that is nearest in what was seen, for every share of pixels seen, size of "
    "blocks and level of noise.",
    rule="Error of the nearest training image, "
    + RULE.format(scope=" (blocks and noise: at all pixels)"),
    needs=NEEDS,
    unit="times",
    figure="completion",
    logarithmic=True,
)
def better_than_nearest(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _against(gathered, "nearest", holes=False)


@claim(
    41,
    "an encoder does not make inference given a part needless",
    paper=False,
    finding="in the weakest case the encoder's error is {effect} times that of the posterior mean "
    "({check})",
    says="The recognition model approximates the posterior given all of x (section 2.2); given a "
    "part of x it is no approximation of anything.",
    statement="With holes, the encoder at the image whose holes are filled with the mean training "
    "image, decoded, has a larger error than the posterior mean by HMC, for every share of pixels "
    "seen.",
    rule="Error of the encoder, " + RULE.format(scope=""),
    needs=NEEDS,
    unit="times",
    figure="completion",
    logarithmic=True,
)
def better_than_encoder(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _against(gathered, "encoder", holes=True)


@claim(
    55,
    "the model gives what is not seen a higher density than linear prediction",
    paper=False,
    finding="in the weakest case it is {effect} nats per image above linear prediction ({check})",
    says=SAYS,
    statement="log p(not seen | seen) of the model is above that of the linear prediction: of the "
    "Gaussian with mean and covariance of the training images (Gaussian likelihood), of "
    "independent pixels with the linear prediction as their means (Bernoulli likelihood); for "
    "every share of pixels seen.",
    rule="Mean difference over test images, per data set, task with holes and level; the model's "
    "is a lower bound on average. Above 0. Where the interval of Student's t over test images "
    "reaches across 0, and where the Monte Carlo standard error is more than a tenth of the "
    "difference, that is a qualification.",
    needs=NEEDS,
    unit="nats per image",
    figure="completion_density",
)
def denser_than_linear(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, unsure, rough = [], [], []
    for cell in cells(gathered):
        if cell.task.kind not in HOLES:
            continue
        gain = cell.log_p["model"] - cell.log_p["linear"]
        checks.append(Check(cell.name, list(gain.mean(1))))
        unsure += [cell.name] if reaches_across(gain.mean(0)) else []
        error = np.linalg.norm(cell.rows["log_mc"]) / len(gain)
        rough += [cell.name] if error > TRUSTED * abs(gain.mean()) else []
    checks += [Check(name, []) for name, task in lost(gathered) if task.kind in HOLES]
    return checks, _remarks(unsure, rough, "Monte Carlo error is more than a tenth in")
