"""What lectures say of VAE and GAN: blurred samples, modes that are lost, better samples."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from ...core.words import number
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .columns import METHODS, SAMPLED
from .numbers import LEAST, WHERE, ends, log_ratios, spread

NEEDS = "the study `gan`"


@claim(
    52,
    "the VAE's means are more blurred than the GAN's samples",
    paper=False,
    finding="in the weakest case the difference is {effect} of the data's share ({check})",
    says="Lectures set VAE against GAN: the VAE's samples are blurred, the GAN's sharp. What they "
    "show of a VAE are means of p(x|z) (as the paper's Figure 5).",
    statement="Means of p(x|z) at z ~ p(z) have a smaller share of spectral energy above half the "
    "Nyquist frequency than the data have, and than samples of a GAN of the same size.",
    rule="At the end of the same number of training samples, seed by seed, shares relative to that "
    "of the test images: 1 minus the means', and the GAN's minus the means'. Both above 0.",
    needs=NEEDS,
    unit="of the data's share",
    figure="gan",
)
def blurred(gathered: Gathered, paper: pd.DataFrame) -> Found:
    last = ends(gathered)
    if not last:
        return [], []
    means, gan = (last[method]["detail"] for method in ("vae_mean", "gan"))
    checks = [Check("data less means", list(1 - means)), Check("GAN less means", list(gan - means))]
    return checks, []


@claim(
    53,
    "the GAN loses classes, and seeds differ more",
    paper=False,
    finding="the difference is {effect} in the weakest case ({check})",
    says="Lectures name the GAN's weakness: its training is unstable, and modes of the data may be "
    "lost; the VAE's bound does not let it ignore a datapoint.",
    statement="The classes of a GAN's samples have a lower entropy than those of the VAE's means, "
    "and this entropy differs more from seed to seed.",
    rule="At the end of the same number of training samples, seed by seed, classes as a small "
    "classifier of this project gives them: entropy of the means minus the GAN's, in nats, "
    "above 0; and the natural logarithm of the standard deviation of the GAN's entropy over seeds "
    "divided by that of the means', above 0, with the interval that F gives for a ratio of two "
    "variances of normal values. Fewer than three seeds are not tested. If fewer than ten "
    "classes have 1 % of the samples, the first check's name says so; the verdict stands.",
    needs=f"{NEEDS} with three seeds or more",
    unit="nats, or the logarithm of a ratio",
    figure="gan",
)
def loses_classes(gathered: Gathered, paper: pd.DataFrame) -> Found:
    last = ends(gathered)
    if not last or len(last["gan"]) < LEAST:
        return [], []
    covered = {method: last[method]["covered"].mean() for method in ("vae_mean", "gan")}
    lost = [
        f"{METHODS[method]}: {number(mean, 1)} of 10 classes covered"
        for method, mean in covered.items()
        if mean < 10
    ]
    less = last["vae_mean"]["entropy"] - last["gan"]["entropy"]
    log, half = spread(gathered, "vae_mean")
    error = half / stats.norm.ppf(0.975)  # of which verdicts.interval makes `half` again
    checks = [
        Check("; ".join(["entropy", *lost]), list(less)),
        Check("log of its standard deviations' ratio", [log], error=error, over=len(less)),
    ]
    return checks, []


@claim(
    54,
    "the GAN's samples are nearer to the data",
    paper=False,
    finding="the VAE's Frechet distance is {effect} times the GAN's in the weakest case ({check})",
    says="Lectures name the GAN's strength: samples of higher quality than those of a VAE.",
    statement="In the features of a small classifier of this project, samples of the GAN have a "
    "smaller Frechet distance to test images than the VAE's, be they means of p(x|z) or draws.",
    rule="Ratio of the VAE's distance to the GAN's, seed by seed, geometric mean: at equal "
    "training samples, and at equal seconds on one core (when the faster of the two ends), for "
    "means and for draws. Above 1 everywhere.",
    needs=NEEDS,
    unit="times",
    figure="gan",
    logarithmic=True,
)
def nearer(gathered: Gathered, paper: pd.DataFrame) -> Found:
    if not ends(gathered):
        return [], []
    checks = [
        Check(f"{METHODS[vae]}, {where}", list(log_ratios(gathered, vae, where)))
        for vae in SAMPLED[:2]
        for where in WHERE
    ]
    return checks, []
