"""E f(z) and its gradient with respect to phi, by quadrature over quantiles: the ground truth.

E f(z) is the integral of f(F^-1(u)) over u in (0, 1). Each half of it is taken over s = log u, or
log(1 - u), in which the tails of all distributions here are smooth: Gauss-Legendre panels from
log(1/2) down to where exp(s) is nothing beside 1. F^-1 is SciPy's, not the study's g. The gradient
is a central difference of fourth order, so that it also holds where the support moves with phi.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from ...core.lazy import lazy
from .entry import Distribution, Function

torch = lazy("torch")

PANELS, ORDER = 1000, 10
# s where half of the panels end, so that a cosine is resolved in the bulk; and where all of them do
BULK, LAST = -4.0, -36.0
STEP = 2e-4  # of the difference, of a parameter's size
#: that the gradient is good to, of its size where that is above 1; the tests hold it
ACCURACY = 1e-6


@functools.cache
def _nodes(panels: int) -> tuple[np.ndarray, np.ndarray]:
    """u and the weights du of the lower half."""
    x, weights = np.polynomial.legendre.leggauss(ORDER)
    tail = np.linspace(LAST, BULK, panels // 2, endpoint=False)
    ends = np.append(tail, np.linspace(BULK, np.log(0.5), panels // 2 + 1))
    half = np.diff(ends)[:, None] / 2
    s = (ends[:-1, None] + half * (1 + x)).ravel()
    return np.exp(s), (half * weights).ravel() * np.exp(s)


def expected(
    entry: Distribution, function: Function, phi: Mapping[str, float], panels: int = PANELS
) -> float:
    """E f(view(z)) under `phi`."""
    if entry.cosine is not None and function.frequency:
        return float(entry.cosine(function.frequency, **phi))
    u, weights = _nodes(panels)
    law = entry.law(**phi)
    halves = (function.of(torch.from_numpy(z)).numpy() for z in (law.ppf(u), law.isf(u)))
    return float(sum(weights @ half for half in halves))


def derivative(of: Callable[[float], float], at: float) -> float:
    """The derivative by a central difference of fourth order (Abramowitz & Stegun 25.3.6)."""
    h = STEP * (abs(at) or 1.0)
    near, far = (of(at + k * h) - of(at - k * h) for k in (1, 2))
    return (8 * near - far) / (12 * h)


def gradient(
    entry: Distribution, function: Function, phi: Mapping[str, float], panels: int = PANELS
) -> dict[str, float]:
    """d E f(view(z)) / d phi, by parameter."""

    def moved(name: str) -> Callable[[float], float]:
        return lambda value: expected(entry, function, {**phi, name: value}, panels)

    return {name: derivative(moved(name), value) for name, value in phi.items()}
