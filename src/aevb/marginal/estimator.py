"""An estimator of log p(x) as the study of estimators grades it, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..models.joint import Joint
    from .chains import Samples
    from .common import Estimate, Progress
    from .proposals import Proposal


@dataclass(frozen=True)
class Task:
    """What an estimator works with at one number of samples, in one replicate."""

    joint: Joint  # of one model and N datapoints
    draws: int  # the number of samples
    generator: np.random.Generator  # of the estimator's noise
    proposal: Proposal  # the encoder's q(z|x)
    leapfrog: int  # steps per transition of Hamiltonian Monte Carlo
    acceptance: float  # at which its step sizes aim
    memory_mb: float
    progress: Progress  # for work that takes long
    samples: Samples | None = None  # `draws` per datapoint from p(z|x), for `needs_chain`
    exact: Tensor | None = None  # (N, N_z), drawn from p(z|x), for `needs_exact`


def one_per_sample(leapfrog: int) -> float:
    """The gradients that drawing and weighing a sample costs: about one."""
    return 1.0


@dataclass(frozen=True)
class Estimator:
    """A function that estimates log p(x), and what figures, tables and the plan say of it.

    To add one, write a file with a function and register its description:

        marginal.ESTIMATORS.register(Estimator("prior", "samples of the prior", function))
    """

    key: str  # its name in results
    label: str  # its name in figures and tables
    estimate: Callable[[Task], Estimate]
    #: colour (#RRGGBB) and Matplotlib's marker in figures; without them `appearance` chooses
    colour: str = ""
    marker: str = ""
    dashes: str | tuple = "-"  # Matplotlib's line style
    caption: str = ""  # what its number of samples means, where it is not draws per datapoint
    needs_chain: bool = False  # whether it works on posterior samples, whose time then counts
    needs_exact: bool = False  # whether it starts from exact ones: on simulated points alone
    #: gradients of log p(x, z) that a sample of a datapoint costs, of the leapfrog steps; the
    #: chain's are counted once for all
    gradients: Callable[[int], float] = one_per_sample
    #: Whether it draws from the generator that the project's estimators share, in their order.
    #: Others have a stream of their own, so that they change no number of these.
    shares_noise: bool = False
    order: int = 0  # its place among the project's: that of the noise, the figure and the table
