"""The paper's cross-entropy (eq. 11, appendix C.1), which on grey values is no density, and the
continuous Bernoulli, which is one (Loaiza-Ganem and Cunningham 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from ....core.lazy import lazy
from . import NOISE_SD, Term

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")

NEAR = 0.1  # logits this near 0 take a series, whose error is below 1e-8
NODES = 400_001  # of a table of means
FARTHEST = 1e7  # logit in that table, where the mean is within 1e-7 of 0 or 1


@dataclass(frozen=True, kw_only=True)
class Bernoulli(Term):
    """x a - log(1 + e^a) per pixel with logit a. Its mean, sigmoid(a), is its best fit's."""

    normalised: bool = False

    def log_density(self, x, decoded, level):
        return (x * decoded - torch.nn.functional.softplus(decoded)).sum(-1)


@dataclass(frozen=True, kw_only=True)
class ContinuousBernoulli(Term):
    """The same plus log C, with which it integrates to 1 over [0, 1] (their eq. 7)."""

    def log_density(self, x, decoded, level):
        plain = x * decoded - torch.nn.functional.softplus(decoded)
        return (plain + log_normaliser(decoded)).sum(-1)

    def mean(self, decoded):
        return continuous_mean(decoded)


def _away(a: Tensor) -> tuple[Tensor, Tensor]:
    """Where the series applies, and logits that are 1 there, so that no branch divides by 0."""
    near = a.abs() < NEAR
    return near, torch.where(near, torch.ones_like(a), a)


def log_normaliser(a: Tensor) -> Tensor:
    """log C at logits a: C = 2 artanh(1 - 2p) / (1 - 2p) with p = sigmoid(a) is a / tanh(a/2)."""
    near, away = _away(a)
    square = torch.where(near, a, torch.zeros_like(a)).square()
    series = log(2) + square / 12 - 7 * square.square() / 1440
    return torch.where(near, series, (away / torch.tanh(away / 2)).log())


def continuous_mean(a: Tensor) -> Tensor:
    """The mean at logits a (their eq. 8): 1 / (1 - e^-a) - 1 / a."""
    near, away = _away(a)
    exact = -1 / torch.expm1(-away) - 1 / away
    return torch.where(near, 0.5 + a / 12 - a**3 / 720, exact)


def logit_of_mean(mean: Tensor) -> Tensor:
    """The logit at which a continuous Bernoulli has this mean, float64, to a relative 1e-6: by a
    table of means at logits sinh t, linear between the nodes t."""
    t = np.linspace(-1, 1, NODES) * np.arcsinh(FARTHEST)
    means = continuous_mean(torch.from_numpy(np.sinh(t))).numpy()
    found = np.sinh(np.interp(mean.double().numpy(), means, t))
    return torch.from_numpy(found)


TERM = (
    Bernoulli(key="bernoulli", title="Bernoulli on greys", order=50),
    ContinuousBernoulli(key="continuous", title="continuous Bernoulli", order=51),
    ContinuousBernoulli(
        key="denoising", title="denoising (cont. Bernoulli)", order=60, noise=NOISE_SD
    ),
)
