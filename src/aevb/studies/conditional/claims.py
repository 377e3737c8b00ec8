"""What a condition buys: claims of Sohn, Lee and Yan (2015) and of the paper's section 7, whose
future work conditional models are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .labels import CLASSES
from .numbers import by_dim, by_observed, pairs, per_seed

NEEDS = "the study `conditional`"
CLEARLY = 0.1  # of all test images: by so much a code that tells the class beats chance


@claim(
    42,
    "a label raises the bound, and not only by what it tells",
    paper=False,
    says="Supervised models with latent variables are future work (section 7 of the paper); given "
    "y, the bound is one on log p(x|y) (Sohn, Lee and Yan 2015). In one model, log p(x|y) less "
    "log p(x) is log p(y|x) less log p(y), on average at most H(y): log 10 = 2.3 nats.",
    statement="With the label the test bound is higher than without; and with the label summed "
    "out again, log p(x) = log sum over y of p(y) p(x|y) is still higher than that of the model "
    "without.",
    rule="Same minibatches, noise, step size and training samples, seed by seed, at each N_z: the "
    "test bound with the label less that without, above 0; and log p(x) with the label summed out "
    "less that without, by importance sampling on the same test images, above 0. The latter have "
    "as many draws of z in all, and what the last tenfold of them added to log p(x) without the "
    "label is subtracted, too: importance sampling is too low on average, and further draws are "
    "taken to add no more than that. log 10 is the yardstick for the first, and a "
    "remark where its mean stays below.",
    needs=NEEDS,
    figure="conditional",
)
def raises(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = [], []
    for latent_dim, frame in by_dim(gathered).items():
        without, given = pairs(frame)
        gain = given["bound"] - without["bound"]
        summed = given["gain"] - without["added"]
        checks.append(Check(f"bound, N_z = {latent_dim}", list(gain)))
        checks.append(Check(f"label summed out, N_z = {latent_dim}", list(summed)))
        if gain.mean() < np.log(CLASSES):
            remarks.append(
                f"at N_z = {latent_dim} the bound gains less than the {number(np.log(CLASSES))} "
                "nats that a label can tell"
            )
    return checks, remarks


@claim(
    43,
    "the conditional model completes images better than rivals without latent variables",
    paper=False,
    says="A conditional variational autoencoder predicts structured outputs better than a "
    "deterministic network (Sohn, Lee and Yan 2015, section 5.1).",
    statement="With 1, 2 and 3 quadrants observed, log p(missing | observed) of the conditional "
    "model on test images is above that of nearest neighbours and that of a deterministic network "
    "of the same size, trained alike.",
    rule="Per seed, whose minibatches both networks share, and number of quadrants, means over the "
    "same test images: the importance-sampled log p, which is too low if anything, less that of "
    "the better of one neighbour and the mean of several, whose number and clipping held-out "
    "training images choose; and less that of the network. Each above 0.",
    needs=NEEDS,
    unit="nats per image",
    figure="conditional_quadrants",
)
def completes(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks = []
    for observed, frame in by_observed(gathered).items():
        own = per_seed(frame, "cvae", "importance")
        # less holds log p less that of the several neighbours, image by image
        rivals = frame[(frame["measure"] == "exact") & (frame["method"] != "baseline")]
        network = own["less"] - per_seed(frame, "baseline", "exact")["less"]
        name = f"{observed} observed"
        checks.append(Check(f"neighbours, {name}", list(own["less"] - rivals["less"].max())))
        checks.append(Check(f"network, {name}", list(network)))
    return checks, []


@claim(
    44,
    "given the label, z tells at most half as much of the class",
    paper=False,
    says="Given y, z need only say what y does not: the style (Kingma, Mohamed, Rezende and "
    "Welling 2014). The bound charges for what z repeats (eq. 7, its KL term).",
    statement="Without the label a linear discriminant on the mean of q(z|x) tells the class of "
    "test images clearly better than the most frequent class does; with it, on that of q(z|x, y), "
    "at most half as much better.",
    rule="Per seed and N_z, accuracy less the share of the most frequent class: without the label "
    f"above {CLEARLY}; and with it less half of that without, below 0. The 10 nearest neighbours, "
    "which need no line, are judged alike by the latter and qualify the claim.",
    needs=NEEDS,
    unit="of all test images",
    figure="conditional",
)
def style_alone(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, remarks = [], []
    for latent_dim, frame in by_dim(gathered).items():
        without, given = pairs(frame)
        excess = {
            name: (given[name] - given["chance"]) - 0.5 * (without[name] - without["chance"])
            for name in ("linear", "near")
        }
        told = without["linear"] - without["chance"]
        checks.append(Check(f"without the label, N_z = {latent_dim}", list(told), CLEARLY))
        checks.append(Check(f"half as much, N_z = {latent_dim}", list(excess["linear"]), 0.0, -1))
        if excess["near"].mean() >= 0:
            remarks.append(
                f"at N_z = {latent_dim} nearest neighbours still tell "
                f"{100 * given['near'].mean():.0f} % of classes"
            )
    return checks, remarks
