"""Claims on what the learned model is for: the unseen part of an image, given what is seen."""

from __future__ import annotations

import pandas as pd

from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import cells, lost

NEEDS = "the study `completion`"
TRUSTED = 0.1  # of the posterior mean's squared error: more Monte Carlo variance is a qualification
SAYS = (
    "A model of x is good for denoising, inpainting and super-resolution, by inference with the "
    "learned p(x) as a prior over images (section 2.1)."
)
RULE = (
    "per data set, task and level, as a ratio to that of the posterior mean, with the same model "
    "for each seed: root mean squared error over test images, at the pixels that were not seen "
    "({scope}). Above 1. Where the interval of Student's t over test images of the difference in "
    "squared error reaches across 0, and where Monte Carlo variance is more than a tenth of the "
    "posterior mean's squared error, that is a qualification."
)


def _against(gathered: Gathered, method: str, noise: bool) -> Found:
    """The posterior mean against `method`, on holes, and on noise if `noise`."""
    checks, unsure, rough = [], [], []
    for cell in cells(gathered):
        if cell.task.kind == "noise" and not noise:
            continue
        checks.append(Check(cell.name, list(cell.log_ratio(method))))
        unsure += [cell.name] if cell.across(method) else []
        share = cell.rows["mc"].mean() / cell.errors["posterior"].mean()
        rough += [cell.name] if share > TRUSTED else []
    checks += [Check(name, []) for name, task in lost(gathered) if noise or task.kind != "noise"]
    remarks = []
    if unsure:
        remarks.append(f"over test images the interval reaches across in {'; '.join(unsure)}")
    if rough:
        remarks.append(f"the chains leave more than a tenth of the error in {'; '.join(rough)}")
    return checks, remarks


@claim(
    40,
    "the model completes images better than the nearest training image",
    paper=False,
    finding="in the weakest case the nearest training image's error is {effect} times the model's "
    "({check})",
    says=SAYS,
    statement="The posterior mean of what was not seen, given what was, has a smaller error than "
    "the training image that is nearest in what was seen, for every share of pixels seen and every "
    "level of noise.",
    rule="Error of the nearest training image, " + RULE.format(scope="with noise, at all pixels"),
    needs=NEEDS,
    unit="times",
    figure="completion",
    logarithmic=True,
)
def better_than_nearest(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _against(gathered, "nearest", noise=True)


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
    rule="Error of the encoder, " + RULE.format(scope="holes alone, no noise"),
    needs=NEEDS,
    unit="times",
    figure="completion",
    logarithmic=True,
)
def better_than_encoder(gathered: Gathered, paper: pd.DataFrame) -> Found:
    return _against(gathered, "encoder", noise=False)
