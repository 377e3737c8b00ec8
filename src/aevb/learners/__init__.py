"""Learners: what a model is trained by, one file per learner.

A learner is a gradient rule: (parameters, minibatch, noise) -> gradient of its objective, summed
over the minibatch. Its class says, too, what planning, figures, tables and texts need to know of
it; no other place lists learners. Its file exposes the class as LEARNER; a plug-in registers it:

    LEARNERS.register(MyLearner)

Arrays are stacked over R replicas: x (R, M, D), z (R, L*M, N_z), draw l of datapoint m at row
l*M + m. Planning and drawing import these modules, so torch is imported at its first use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from ..core.catalogue import Catalogue, lacking
from ..core.lazy import lazy
from ..core.sections import Strict
from ..core.words import joined
from ..models import nets
from ..models.likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    from torch import Tensor

    from ..config.sections import Training
    from ..models.kernels import Parameters

torch = lazy("torch")


class Learner(ABC):
    """A learner of any kind: its class attributes describe it, an object trains one curve.

    The engine builds objects: `likelihood` is the decoder's, `training` the section of the
    configuration. `options` is an object of `Options`, by default the default one; None if the
    learner has no options.
    """

    key: ClassVar[str]  #: the name in configurations and result files
    label: ClassVar[str]  #: the name in figures and tables
    title: ClassVar[str]  #: the name in long texts
    #: colour (#RRGGBB) and matplotlib's marker in figures; without them `appearance` chooses
    colour: ClassVar[str] = ""
    colour_word: ClassVar[str] = "its colour"  #: what captions call it
    marker: ClassVar[str] = ""
    #: whether it trains an encoder on minibatches, and so has a bound to evaluate
    online: ClassVar[bool] = False
    #: its section of the configuration, which has the learner's key; None: it has none
    Options: ClassVar[type[Strict] | None] = None
    #: the engine that trains it, see core.run.found
    stack: ClassVar[str]
    #: its pilot runs on so many of the first training points; None: on all
    pilot_points: ClassVar[int | None] = None

    def __init__(self, likelihood: str, training: Training, options: Strict | None = None):
        self.likelihood, self.training = likelihood, training
        self.options = options or (self.Options() if self.Options else None)

    @staticmethod
    @abstractmethod
    def products(outputs: int, draws: int, options: Strict | None) -> int:
        """Multiplications of M x D x H per step with L = `draws`, for rough times.

        The decoder has `outputs` numbers per pixel: 1 if Bernoulli, 2 if Gaussian.
        """

    @staticmethod
    @abstractmethod
    def samples_per_step(training: Training, options: Strict | None, n_train: int) -> int:
        """Training samples that a step counts for on the x axis, with `n_train` datapoints."""

    @classmethod
    @abstractmethod
    def pilot_samples(cls, training: Training, options: Strict | None, n_train: int) -> int:
        """Training samples of the pilot, for each step size, with `n_train` datapoints."""

    @classmethod
    def pilot_options(
        cls, training: Training, options: Strict | None, n_train: int, samples: int
    ) -> Strict | None:
        """`options` for a pilot of a run of `samples` training samples, which it must not exceed.

        `training.pilot_samples` is capped already.
        """
        return options

    @classmethod
    @abstractmethod
    def idle_samples(cls, training: Training, options: Strict | None, n_train: int) -> int:
        """Training samples during which its warm-up only accumulates squares: up to there nothing
        is trained."""


class OnlineLearner(Learner):
    """A learner that takes minibatches and trains encoder and decoder together."""

    online = True
    stack = "engine.stack:Stack"
    #: whether a CUDA graph can hold its steps; without one a GPU's are launched one by one
    captured: ClassVar[bool] = True
    #: whether evaluations subtract KL(q(z|x) || p(z)), in closed form, from what `sampled` gives
    subtracts_kl: ClassVar[bool] = True

    @staticmethod
    def products(outputs, draws, options):
        return 2 + 3 * outputs * draws

    @staticmethod
    def samples_per_step(training, options, n_train):
        return training.batch_size

    @classmethod
    def pilot_samples(cls, training, options, n_train):
        return training.pilot_samples

    @classmethod
    def idle_samples(cls, training, options, n_train):
        return training.warmup_steps * training.batch_size

    @abstractmethod
    def noise(
        self, generator: np.random.Generator, steps: int, batch: int, layout: nets.Layout
    ) -> list[np.ndarray]:
        """Noise of `steps` steps of one replica: arrays whose first axis is the step."""

    @abstractmethod
    def gradient(self, p: Parameters, x: Tensor, noise: list[Tensor]) -> tuple[Tensor, Parameters]:
        """The minibatch's mean bound per datapoint, (...), in nats, and the ascent direction for
        every parameter, summed over the minibatch.

        x (..., M, D); `noise` are the arrays of `noise()` at this step.
        """

    def step(
        self,
        p: Parameters,
        x: Tensor,
        noise: list[Tensor],
        ascend: Callable[[Parameters, Parameters], None],
    ) -> Tensor:
        """One step of training: `ascend(p, gradient)` changes the parameters `p` in place.

        Arrays are as for `gradient`. Returns the minibatch's mean bound per datapoint, (...).
        """
        value, gradient = self.gradient(p, x, noise)
        ascend(p, gradient)
        return value

    def sampled(
        self,
        p: Parameters,
        x: Tensor,
        mean: Tensor,
        log_variance: Tensor,
        generator: np.random.Generator,
    ) -> Tensor:
        """One independent sample per datapoint, (R, M), of the bound that evaluations measure.

        x (R, M, D); `mean` and `log_variance` of q(z|x), (R, M, N_z). This one is for estimator B
        (eq. 7), whatever the learner optimises, as it varies least: log p(x|z) at one z ~ q(z|x),
        from which the KL divergence will be subtracted. `generator` may be a gpu.DeviceGenerator.
        """
        noise = torch.as_tensor(generator.standard_normal(mean.shape, dtype=np.float32)).to(mean)
        z = mean + torch.exp(0.5 * log_variance) * noise
        return LIKELIHOODS[self.likelihood].fast_log_density(x, nets.decode(z, p))


def _wrong(learner: type[Learner]) -> str:
    """What a learner lacks, '' if nothing."""
    if not isinstance(learner, type) or not issubclass(learner, Learner):
        return "is no class that is derived from Learner; register the class"
    if missing := sorted(learner.__abstractmethods__):
        return f"has no {joined(f'`{name}`' for name in missing)}"
    if learner.Options is not None and not learner.key.isidentifier():
        return "needs a key that is a name in Python: its section has that name"
    return lacking(learner, "label", "title", "stack")


LEARNERS: Catalogue[type[Learner]] = Catalogue("learner", "aevb.learners", "LEARNER", _wrong)


class Appearance(NamedTuple):
    """How figures draw a learner."""

    colour: str  # #RRGGBB
    marker: str  # matplotlib's
    word: str = ""  # what the colour is called


# The paper's learners are red, green and blue as in the paper, but apart for colour-blind readers
# (red leans to orange, green to blue). Those of seaborn's colour-blind palette are equally light,
# the same grey in print; these are 20 or more apart in CIE lightness. The markers differ too.

#: What learners without an appearance of their own get, in turn: for colour-blind readers too, and
#: the first as far apart in lightness as those.
PALETTE = [
    Appearance("#F2B134", "D", "gold"),
    Appearance("#CC79A7", "v", "pink"),
    Appearance("#56B4E9", "P", "light blue"),
    Appearance("#000000", "X", "black"),
    Appearance("#F0E442", "p", "yellow"),
]


def appearance(key: str) -> Appearance:
    """How figures draw the learner `key`.

    A learner without a colour or a marker of its own gets the palette's by its place among such
    learners in the catalogue; the palette starts again after its end. Raises UserError if there is
    no such learner.
    """
    learner = LEARNERS[key]
    without = [name for name, other in LEARNERS.items() if not (other.colour and other.marker)]
    free = PALETTE[without.index(key) % len(PALETTE)] if key in without else Appearance("", "")
    word = learner.colour_word if learner.colour else free.word
    return Appearance(learner.colour or free.colour, learner.marker or free.marker, word)
