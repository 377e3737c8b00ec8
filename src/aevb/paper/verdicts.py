"""How a claim is judged: effects measured with a few seeds, their intervals, and the verdict that
follows from them.

Intervals are percentile bootstraps of the mean over seeds. An effect that compares two runs is
their difference seed by seed, as they share start, minibatches and evaluation noise.

A plain bootstrap is too narrow (Hesterberg 2015, The American Statistician 69:371-386). With n
seeds, two factors widen the deviations of the resampled means. One is sqrt(n / (n - 1)), since a
bootstrap takes the spread about its own mean. The other is t / z, the ratio of Student's and the
normal 97.5 % quantiles at n - 1 degrees of freedom. For normal effects the true mean then
lies inside in 93 to 95 of 100 cases with 2 to 5 seeds; plain percentiles reach 50, 75, 81 and 84.
From so few seeds no interval can tell the shape of the distribution. With one seed there is none,
except where a Monte Carlo error of that one model is known. An effect that is one number of all
seeds (a ratio of variances, say) has the interval of its own law, which the claim's rule names.

Verdicts. A check is in one of these states:

    agrees       its interval lies on the claim's side of the threshold
    disagrees    its interval lies on the other side, or all of it on the threshold
    leans        the interval reaches across, or does not exist, but every seed is on one side
    open         otherwise

The verdict is a word, and what qualifies it. A claim

    holds           if no check disagrees, and more than half agree or lean towards it, one of
                    them surely ("with a qualification" if not all agree, or if there is a remark)
    is mixed        if some checks agree and others disagree: it says where
    does not hold   if some disagree, none agrees, and no more lean towards it than are against
    is undecided    otherwise: it was tested, with too little power to tell
    is not tested   if what it needs was not run

The effect shown is that of the weakest case: the check that supports the claim least.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 10_000


class Check(NamedTuple):
    """One comparison: the claim says on which side of a threshold the effect is."""

    name: str
    values: Sequence[float]  # the effect for each seed; none if the replicas diverged
    threshold: float = 0.0
    side: int = 1  # 1 above, -1 below
    error: float = np.nan  # Monte Carlo standard error of a single value
    freedom: float = np.inf  # degrees of freedom of that error, for Student's t
    limit: bool = False  # whether the effect is a lower limit: "more than"
    over: int = 0  # seeds behind a single value that has an `error` by a law over seeds


def interval(check: Check) -> tuple[float, float, float]:
    """Mean over the seeds and its 95 % interval (see the top); NaN where there is none."""
    n, mean = len(check.values), float(np.mean(check.values)) if len(check.values) else np.nan
    normal = stats.norm.ppf(0.975)
    if n < 2:
        half = stats.t.ppf(0.975, check.freedom) * check.error
        return mean, mean - half, mean + half
    widen = np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / normal
    resampled = np.asarray(check.values)[
        np.random.RandomState(0).randint(n, size=(RESAMPLES, n))
    ].mean(axis=1)
    low, high = mean + widen * (np.quantile(resampled, [0.025, 0.975]) - mean)
    return mean, float(low), float(high)


def student(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t; no interval for one value."""
    values = np.asarray(values, float)
    mean, n = values.mean(), len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5 if n > 1 else np.nan
    return float(mean), float(mean - half), float(mean + half)


def named(name: str, ends: Iterable[float]) -> dict[str, float]:
    """Columns NAME, NAME_low and NAME_high of a mean and its interval."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def over_seeds(name: str, values: Sequence[float]) -> dict[str, float]:
    """`named` mean and `interval` of one value per seed."""
    return named(name, interval(Check(name, list(values))))


def kind(check: Check) -> str:
    """What the interval of a check is."""
    if len(check.values) > 1:
        return f"bootstrap over {len(check.values)} seeds"
    if check.over:
        return f"law of the effect over {check.over} seeds"
    if np.isfinite(check.error):
        return "Monte Carlo error on one model"
    return "none: one seed" if len(check.values) else "none: diverged"


#: by how much a check supports the claim, the weakest first
STATES = ["disagrees", "leans against", "open", "leans towards", "agrees", "diverged"]


def state(check: Check) -> str:
    """One of STATES (see the top)."""
    if not len(check.values):
        return "diverged"
    ends, seeds = (
        check.side * (np.array(values) - check.threshold)
        for values in (interval(check)[1:], check.values)
    )
    if (ends > 0).all():
        return "agrees"
    if (ends < 0).all() or (ends == 0).all():
        return "disagrees"
    if np.isnan(check.error) and ((seeds > 0).all() or (seeds < 0).all()):
        return "leans towards" if seeds[0] > 0 else "leans against"
    return "open"


def support(check: Check) -> tuple[int, float]:
    """The order of checks from the weakest support to the strongest.

    First by state, then by how far the interval, or the one value, lies on the claim's side.
    """
    values = check.side * (np.array(interval(check)) - check.threshold)
    return STATES.index(state(check)), float(np.nanmin(values)) if len(check.values) else 0.0


def judge(checks: list[Check], remarks: list[str]) -> tuple[str, str]:
    """The verdict on a claim, which `remarks` qualify, and the exceptions: checks that disagree."""
    named: dict[str, list[str]] = {}
    for check in checks:
        named.setdefault(state(check), []).append(check.name)
    agree, lean, undecided, lost = (
        named.get(key, []) for key in ("agrees", "leans towards", "open", "diverged")
    )
    disagree, opposed = named.get("disagrees", []), named.get("leans against", [])
    against = disagree + opposed
    exceptions = "; ".join([*against, *(f"{name} (diverged)" for name in lost)])
    reasons = {
        "too few seeds to be sure, though all say the opposite, in": opposed,
        "every replica of an algorithm diverged in": lost,
        "too few seeds to be sure, though all say so, in": lean,
        "the interval reaches across in": undecided,
    }
    why = [f"{text} {_some(names, len(checks))}" for text, names in reasons.items() if names]
    why += remarks
    if agree and disagree:
        where = f"holds in {_some(agree, len(checks))}, fails in {_some(disagree, len(checks))}"
        return _said("mixed", [where, *why]), exceptions
    if agree and 2 * len(agree + lean) > len(checks):
        return _said("holds with a qualification" if why else "holds", why), exceptions
    if disagree and len(against) >= len(lean):
        return _said("does not hold", why), exceptions
    return _said("undecided", why), exceptions


def _said(word: str, why: list[str]) -> str:
    return f"{word}: {'; '.join(why)}" if why else word


def _some(names: list[str], total: int) -> str:
    named = f" ({'; '.join(names)})" if len(names) <= 3 else ""
    return f"{len(names)} of {total} checks{named}"
