"""How a claim is judged: effects measured with a few seeds, their intervals, and the verdict that
follows from them.

*Intervals* are percentile bootstraps of the mean over seeds. (An effect that compares two runs is
their difference for each seed, under which they share start, minibatches and evaluation noise.)
With n seeds the deviations of the resampled means are widened by sqrt(n / (n - 1)), since a
bootstrap takes the spread about its own mean, and by t / z, the ratio of Student's and the normal
97.5 % quantiles at n - 1 degrees of freedom (both defects: Hesterberg 2015, The American
Statistician 69:371-386). For normal effects the true mean then lies inside in 93 to 95 of 100 cases
with 2 to 5 seeds; plain percentiles reach 50, 75, 81 and 84. What no interval can tell from so few
seeds is the shape of the distribution. With one seed there is none, except where a Monte Carlo
error of that one model is known.

*Verdicts.* A panel agrees if its interval lies on the claim's side of the threshold and disagrees
if it lies on the other; it leans if the interval reaches across, or does not exist, but every seed
is on one side; otherwise it is open. A claim holds if all panels agree, and with a qualification if
more than half agree or lean towards it, one of them surely, or if there is a remark; it does not
hold if at least as many disagree or lean against it, one of them surely; else the panels leave it
undecided, which counts as not tested. The effect shown is that of the panel that speaks least for
the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 10_000


class Panel(NamedTuple):
    """One comparison: the claim says that the effect is above (side 1) or below (side -1) the
    threshold."""

    name: str
    values: Sequence[float]  # the effect for each seed; none if the replicas diverged
    threshold: float = 0.0
    side: int = 1
    error: float = np.nan  # Monte Carlo standard error of a single value


def interval(panel: Panel) -> tuple[float, float, float]:
    """Mean over the seeds and its 95 % interval (see the top); NaN where there is none."""
    n, mean = len(panel.values), float(np.mean(panel.values)) if len(panel.values) else np.nan
    normal = stats.norm.ppf(0.975)
    if n < 2:
        return mean, mean - normal * panel.error, mean + normal * panel.error
    widen = np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / normal
    resampled = np.asarray(panel.values)[
        np.random.RandomState(0).randint(n, size=(RESAMPLES, n))
    ].mean(axis=1)
    low, high = mean + widen * (np.quantile(resampled, [0.025, 0.975]) - mean)
    return mean, float(low), float(high)


def kind(panel: Panel) -> str:
    """What the interval of a panel is."""
    if len(panel.values) > 1:
        return f"bootstrap over {len(panel.values)} seeds"
    return (
        "Monte Carlo error on one model"
        if np.isfinite(panel.error)
        else "none: one seed"
        if len(panel.values)
        else "none: diverged"
    )


STATES = [
    "disagrees",
    "leans against",
    "open",
    "leans towards",
    "agrees",
    "diverged",
]  # from the one that speaks least for a claim


def state(panel: Panel) -> str:
    """One of STATES (see the top)."""
    if not len(panel.values):
        return "diverged"
    ends, seeds = (
        panel.side * (np.array(values) - panel.threshold)
        for values in (interval(panel)[1:], panel.values)
    )
    if (ends > 0).all() or (ends < 0).all():
        return "agrees" if ends[0] > 0 else "disagrees"
    if np.isnan(panel.error) and ((seeds > 0).all() or (seeds < 0).all()):
        return "leans towards" if seeds[0] > 0 else "leans against"
    return "open"


def support(panel: Panel) -> tuple[int, float]:
    """Sorts panels by how much they speak for the claim: by state, then by how far the interval
    (or the one value) reaches."""
    values = panel.side * (np.array(interval(panel)) - panel.threshold)
    return STATES.index(state(panel)), float(np.nanmin(values)) if len(panel.values) else 0.0


def judge(panels: list[Panel], remarks: list[str]) -> tuple[str, str]:
    """The verdict on a claim, and the exceptions, panels that disagree (counted in the verdict);
    `remarks` qualify the verdict."""
    named: dict[str, list[str]] = {}
    for panel in panels:
        named.setdefault(state(panel), []).append(panel.name)
    agree, lean, undecided, lost = (
        named.get(key, []) for key in ("agrees", "leans towards", "open", "diverged")
    )
    disagree, opposed = named.get("disagrees", []), named.get("leans against", [])
    against = disagree + opposed
    reasons = {
        "not in": disagree,
        "too few seeds to be sure, though all say the opposite, in": opposed,
    }
    reasons |= {"every replica of an algorithm diverged in": lost}  # these three are exceptions
    reasons |= {"too few seeds to be sure, though all say so, in": lean, "undecided in": undecided}
    why = [
        f"{text} {_some(names, len(panels), names in (lean, undecided))}"
        for text, names in reasons.items()
        if names
    ]
    exceptions = "; ".join([*against, *(f"{name} (diverged)" for name in lost)])
    if agree and 2 * len(agree + lean) > len(panels):
        return (
            f"holds with a qualification: {'; '.join(why + remarks)}" if why + remarks else "holds"
        ), exceptions
    if disagree and len(against) >= len(agree + lean):
        return ": ".join(["does not hold", *(["; ".join(remarks)] if remarks else [])]), exceptions
    return f"not tested (undecided): {'; '.join(why + remarks)}", exceptions


def _some(names: list[str], total: int, named: bool) -> str:
    return f"{len(names)} of {total} panels" + (
        f" ({'; '.join(names)})" if named and len(names) <= 3 else ""
    )
