"""Roots of the code that decides a result: what it calls, and the entries of catalogues in use.

See core/fingerprint.py. Imports no torch: planning names what results will carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.provenance import Code, fingerprint, root
from ..core.run import Run, absolute
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    from .settings import Settings

#: A run, with the pilot that chose its step size.
TRAINING = ("aevb.engine.training:train_jobs", "aevb.engine.pilot:pilot", "aevb.data:load")


def roots(
    *functions: str, algorithm: str | None = None, likelihood: str | None = None
) -> tuple[str, ...]:
    """`functions`, a learner with its engine, and a likelihood, each as fingerprint takes it."""
    found = list(functions)
    if algorithm is not None:
        found += [root(LEARNERS[algorithm]), absolute(LEARNERS[algorithm].stack)]
    if likelihood is not None:
        found.append(root(LIKELIHOODS[likelihood]))
    return tuple(found)


def deciding(run: Run, settings: Settings) -> Code:
    """The code that decides a run, and the pilot of its curve."""
    likelihood = settings.experiment.likelihood
    return fingerprint(roots(*TRAINING, algorithm=run.algorithm, likelihood=likelihood))
