"""log p(x): Hamiltonian Monte Carlo, and one file per estimator.

A file describes its estimators in a tuple ESTIMATORS; a plug-in registers its own. The study of
estimators grades those of this catalogue. quadrature.py is the ground truth that it grades by.
Planning and drawing import these modules, so torch is imported at its first use.
"""

from __future__ import annotations

from ..core.catalogue import Catalogue
from .estimator import Estimator, Task

__all__ = ["ESTIMATORS", "Estimator", "Task", "appearance"]

ESTIMATORS: Catalogue[Estimator] = Catalogue("estimator of log p(x)", "aevb.marginal", "ESTIMATORS")

#: What estimators without a colour or a marker of their own get, in turn: colours of Okabe and
#: Ito, and grey. As 3 and 8 have no common factor, 24 pairs differ.
COLOURS = ("#E69F00", "#CC79A7", "#999999")
MARKERS = ("X", "p", "*", "<", "h", ">", "d", "8")


def appearance(key: str) -> tuple[str, str]:
    """The colour (#RRGGBB) and Matplotlib's marker of the estimator `key` in figures.

    Raises UserError if there is no such estimator.
    """
    estimator = ESTIMATORS[key]
    without = [name for name, other in ESTIMATORS.items() if not (other.colour and other.marker)]
    place = without.index(key) if key in without else 0
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    return estimator.colour or colour, estimator.marker or marker
