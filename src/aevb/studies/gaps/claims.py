"""Claims on what the bound lacks of log p(x), and on why AEVB's bound is the better one.

Effects are means over test points, one per seed; AEVB and wake-sleep are compared seed by seed on
the same points. Where log p(x) is a lower bound, the width of its sandwich counts against the
claim.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import joined, short
from ...paper.claims import Found, claim
from ...paper.verdicts import Check
from ...results import Gathered
from .numbers import across, cells, difference

NEEDS = "the study `gaps`"


def _checked(effects: dict[str, np.ndarray]) -> Found:
    """A check above 0 of each effect (S, N), and what the interval over test points adds."""
    checks = [Check(name, list(values.mean(1))) for name, values in effects.items()]
    unsure = across(effects)
    said = [f"over test points the interval reaches across in {joined(unsure)}"] if unsure else []
    return checks, said


@claim(
    34,
    "wake-sleep's larger gap is an amortisation gap",
    paper=False,
    finding="{effect} nats in the weakest case ({check})",
    says="Wake-sleep's recognition model is not fitted to the bound that it is judged by (section "
    "1 and 4); the family of Gaussians is the same for both (eq. 9).",
    statement="Wake-sleep's bound lacks more of its model's log p(x) than AEVB's does of its own, "
    "and more than half of the difference is amortisation, not the family of Gaussians.",
    rule="At the largest budget, per N_z and seed, means over the same test points: wake-sleep's "
    "gap minus AEVB's; and the difference of the amortisation gaps minus half of that. Both above "
    "0, with the width of log p(x) against the claim. An interval of Student's t over test points "
    "that reaches across 0 is a qualification.",
    needs=NEEDS,
    figure="gaps",
)
def amortised(gathered: Gathered, paper: pd.DataFrame) -> Found:
    effects = {}
    for cell in cells(gathered, largest=True):
        found = difference(cell)
        whole = found.approximation + found.amortisation
        effects[f"gap, {cell.name}"] = whole - found.own_width
        half = (whole + found.other_width) / 2
        effects[f"amortisation beyond half, {cell.name}"] = found.amortisation - half
    return _checked(effects)


@claim(
    35,
    "the amortisation gap is larger than the approximation gap",
    paper=False,
    finding="it is larger by {effect} nats in the weakest case ({check})",
    says="Cremer, Li and Duvenaud (2018) find that amortisation, not the family of Gaussians, is "
    "most of what the bound of a variational autoencoder lacks.",
    statement="AEVB's amortisation gap on test points is larger than its approximation gap, at "
    "every N_z.",
    rule="AEVB's amortisation gap minus its approximation gap, at the largest budget, per N_z and "
    "seed, means over test points. Above 0, with the width of log p(x) added to the approximation "
    "gap. An interval of Student's t over test points that reaches across 0 is a qualification.",
    needs=NEEDS,
    figure="gaps",
)
def larger(gathered: Gathered, paper: pd.DataFrame) -> Found:
    effects = {}
    for cell in cells(gathered, largest=True):
        own = cell.by["aevb"]
        effects[cell.name] = own.amortisation - own.approximation - own.width[:, None]
    return _checked(effects)


@claim(
    36,
    "the generator, not the gap, makes AEVB's bound better",
    paper=False,
    finding="by {effect} nats in the weakest case ({check})",
    says="AEVB reaches a better bound than wake-sleep (section 5, Figure 2). A bound is log p(x) "
    "minus the gap (eq. 1), so that a better generator or a smaller gap can be the reason.",
    statement="At every N_z and budget, AEVB's model has more log p(x) than wake-sleep's, and "
    "this adds more to its bound than its smaller gap does.",
    rule="AEVB's log p(x) minus wake-sleep's, minus (wake-sleep's gap minus AEVB's), per N_z, "
    "budget and seed, means over the same test points. Above 0, with the width of log p(x) against "
    "the claim. Where AEVB's bound is not the better one, or an interval of Student's t over test "
    "points reaches across 0, that is a qualification.",
    needs=NEEDS,
    figure="gaps",
)
def generator(gathered: Gathered, paper: pd.DataFrame) -> Found:
    effects, worse = {}, []
    for cell in cells(gathered):
        found, name = difference(cell), f"{cell.name}, {short(cell.samples)} samples"
        effects[name] = found.log_p - found.approximation - found.amortisation
        effects[name] = effects[name] - 2 * found.other_width  # it raises one and lowers the other
        worse += [name] if found.bound.mean() <= 0 else []
    checks, remarks = _checked(effects)
    if worse:
        remarks.append(f"AEVB's bound is not the better one in {joined(worse)}")
    return checks, remarks
