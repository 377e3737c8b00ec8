"""Laplace(x; m, 1): an L1 distance."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from . import Term


@dataclass(frozen=True, kw_only=True)
class Laplace(Term):
    """log Laplace(x; m, 1) = -|x - m| - log 2 per pixel."""

    def log_density(self, x, decoded, level):
        return -(log(2) + (x - decoded.sigmoid()).abs()).sum(-1)


TERM = Laplace(key="laplace", title="L1, Laplace with b = 1", order=40)
