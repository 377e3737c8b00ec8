"""Claims on richer posteriors. Effects are means over the same test points, seed by seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from ...core.words import joined
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from . import FLOWS
from .numbers import baseline, gain, models, own_gaps, ratios

NEEDS = "the study `posteriors`"
CAREFUL = (
    "log p(x) is quadrature, or above N_z = 3 importance sampling from a planar flow fitted to "
    "each test point on that model's decoder. That is too low on average: what the last tenfold of "
    "draws added to the other model's estimate counts against the claim."
)


def _dims(found: dict) -> list[int]:
    return sorted({key[0] for key in found})


def _unsafe(found: dict) -> list[str]:
    """A remark where most k-hats of a model say that its standard errors cannot be trusted."""
    bad = [
        f"{key[1]}, k = {key[2]}, N_z = {key[0]}"
        for key, model in found.items()
        if model.method == "importance" and (model.best["k_hat"] > 0.7).mean() > 0.5
    ]
    return [f"k-hat is above 0.7 at most test points for {joined(bad)}"] if bad else []


@claim(
    48,
    "more importance samples in the bound raise log p(x)",
    paper=False,
    finding="{effect} nats in the weakest case ({check})",
    says="L_k rises with k towards log p(x), and IWAE's test log p(x) is better with k = 50 than "
    "with 5, and with 5 than with 1 (Burda, Grosse and Salakhutdinov 2016).",
    statement="Trained by the plain gradient of L_k on as many samples, a model has more log p(x) "
    "the larger k is.",
    rule="log p(x) at each k minus that at the next smaller k, per N_z and seed, means over the "
    f"same test points. {CAREFUL} Above 0.",
    needs=NEEDS,
    figure="posteriors",
)
def importance(gathered: Gathered, paper: pd.DataFrame) -> Found:
    found, checks = models(gathered), []
    plain = {key: each for key, each in found.items() if key[1] == "diagonal" and key[3] == "plain"}
    for nz in _dims(plain):
        rising = sorted(key[2] for key in plain if key[0] == nz)
        for less, more in pairwise(rising):
            pair = (plain[nz, "diagonal", k, "plain"] for k in (more, less))
            checks.append(Check(f"k = {more} over {less}, N_z = {nz}", list(gain(*pair))))
    return checks, _unsafe(plain) if checks else []


@claim(
    49,
    "a normalising flow raises log p(x)",
    paper=False,
    finding="{effect} nats in the weakest case ({check})",
    says="Planar flows raise the bound by about a nat and more on MNIST, the more layers the "
    "better (Rezende and Mohamed 2015); inverse autoregressive flows raise it, too (Kingma et al. "
    "2016).",
    statement="Trained with a flow for q(z|x), on as many samples, a model has more log p(x) than "
    "with the diagonal Gaussian.",
    rule="log p(x) of the model with the flow minus that of the one with the diagonal Gaussian, "
    "per flow, N_z and seed, means over the same test points. "
    f"{CAREFUL} Above 0.",
    needs=NEEDS,
    figure="posteriors",
)
def flows(gathered: Gathered, paper: pd.DataFrame) -> Found:
    found, checks = models(gathered), []
    used = {key: each for key, each in found.items() if key[2:] == (1, "plain")}
    for nz in _dims(used):
        first = baseline(used, nz)
        for family in FLOWS:
            if (model := used.get((nz, family, 1, "plain"))) and first is not None:
                checks.append(Check(f"{family}, N_z = {nz}", list(gain(model, first))))
    return checks, _unsafe(used) if checks else []


@claim(
    50,
    "a flow closes most of the approximation gap",
    paper=False,
    unit="of the gap",
    finding="in the weakest case {effect} of the gap ({check})",
    says="log p(x) minus the bound of the best q in a family is that family's approximation gap; a "
    "richer family makes it smaller (Cremer, Li and Duvenaud 2018).",
    statement="On one decoder, trained with a diagonal q, a flow that is fitted to each test point "
    "with weights of its own closes more than half of the gap that the best diagonal Gaussian "
    "leaves.",
    rule="(bound of the flow - bound of the best diagonal Gaussian) / (log p(x) - bound of the "
    "best diagonal Gaussian), each a mean over the same test points, per flow, N_z and seed. log "
    "p(x) by quadrature, or above N_z = 3 by importance sampling from the planar flow, to which "
    "what its last tenfold of draws added is added once more. Above 0.5. A gap "
    "below 0.01 nats is a qualification. So is a fit whose last quarter of steps still closed more "
    "than 2 % of the gap: a longer one would find a better q, and the share is too low.",
    needs=NEEDS,
    figure="posteriors",
)
def closed(gathered: Gathered, paper: pd.DataFrame) -> Found:
    checks, small, moving = [], [], []
    for each in own_gaps(gathered):
        if each.family in FLOWS:
            name = f"{each.family}, N_z = {each.latent_dim}"
            checks.append(Check(name, list(each.share(careful=True)), 0.5))
            small += [name] if each.diagonal.min() < 0.01 else []
            late = each.late.mean() / each.diagonal.mean()
            moving += [f"{name} ({100 * late:.0f} %)"] if late > 0.02 else []
    said = [f"there is hardly a gap to close in {joined(small)}"] if small else []
    if moving:
        said.append(f"the last quarter of the fit still closed more of the gap: {joined(moving)}")
    return checks, said


@claim(
    51,
    "the encoder's gradient drowns in noise as k grows, unless reparameterised twice",
    paper=False,
    unit="times",
    logarithmic=True,
    finding="{effect} times in the weakest case ({check})",
    says="The ratio of signal to noise of the encoder's gradient of L_k falls with k (Rainforth et "
    "al. 2018); the doubly reparameterised gradient of the same bound does not have that fault "
    "(Tucker et al. 2019).",
    statement="At one model and minibatch, the plain gradient of L_k for the encoder has a lower "
    "ratio of signal to noise at the largest k than at 1; and at the largest k the doubly "
    "reparameterised one has a higher ratio than the plain one.",
    rule="Length of the mean gradient over the root of the trace of its covariance, on models with "
    "a diagonal q that L_1 trained, per N_z and seed. Both gradients have the same mean; its "
    "length is estimated from the one with less noise. Ratios: plain at k = 1 over plain at the "
    "largest k; doubly over plain at the largest k. Each above 1.",
    needs=NEEDS,
    figure="posteriors",
)
def signal(gathered: Gathered, paper: pd.DataFrame) -> Found:
    found, checks, remarks = ratios(gathered), [], []
    for nz in _dims(found):
        most = max(key[1] for key in found if key[0] == nz)
        plain, first = found[nz, most, "plain"], found[nz, 1, "plain"]
        doubly = found[nz, most, "doubly"]
        seen = (plain > 0) & (doubly > 0) & (first > 0)
        if not seen.all():
            remarks.append(f"no signal could be told from noise for a seed of N_z = {nz}")
        if not seen.any():
            continue
        falls = f"plain, k = 1 over {most}, N_z = {nz}"
        checks.append(Check(falls, list(np.log(first[seen] / plain[seen]))))
        rises = f"doubly over plain, k = {most}, N_z = {nz}"
        checks.append(Check(rises, list(np.log(doubly[seen] / plain[seen]))))
    return checks, remarks
