"""Monte Carlo EM, which the paper compares with (section 5, appendix E)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from ..core.lazy import lazy
from ..core.sections import Count, Positive, Size, Strict, Whole
from ..marginal import hmc
from ..models import densities
from ..models.joint import Joint
from . import Learner
from .gradients import decoder_gradient

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.kernels import Parameters

torch = lazy("torch")


class Options(Strict):
    """Monte Carlo EM (appendix E): one HMC transition of every datapoint's chain, then weight
    updates with that sample."""

    leapfrog: Size = Field(10, description="leapfrog steps of a transition")
    acceptance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="acceptance rate the step size is adapted towards"
    )
    step_size: Positive = Field(0.01, description="leapfrog step size at the start")
    updates: Count = Field(
        5, description="Adagrad updates after each transition, each on the whole training set"
    )
    warmup_updates: Whole = Field(
        10, description="first updates that only accumulate squared gradients; 0 for none"
    )
    pilot_iterations: Count = Field(
        80,
        description="iterations of the pilot, on at most the first 1,000 training points; no more "
        "than the budget has",
    )


class MonteCarloEM(Learner):
    """Monte Carlo EM (appendix E): no encoder, a persistent chain for every datapoint, updates on
    the whole training set.

    The replicas' step sizes `step_size` (R, 1, 1) belong to the leapfrog integrator. Datapoints are
    visited in chunks, which keeps a chunk's trajectory in cache. The order does not matter, as the
    chains are independent.
    """

    key, label, title = "mcem", "MCEM", "Monte Carlo EM"
    colour, marker = "#12307F", "s"
    colour_word = "blue"
    Options = Options
    stack = "engine.chains:ChainStack"
    pilot_points = 1000
    chunk = 500  # datapoints at a time

    @staticmethod
    def products(outputs, draws, options):
        return 2

    @staticmethod
    def samples_per_step(training, options, n_train):
        """A datapoint counts once for each leapfrog step and each update: gradients of log p(x, z).

        The paper's own points lie on multiples of that number (docs/method.md).
        """
        return n_train * (options.leapfrog + options.updates)

    @classmethod
    def pilot_samples(cls, training, options, n_train):
        points = min(n_train, cls.pilot_points)
        return options.pilot_iterations * cls.samples_per_step(training, options, points)

    @classmethod
    def pilot_options(cls, training, options, n_train, samples):
        """As many iterations as the budget has, but two after the warm-up, lest step sizes tie."""
        per_iteration = cls.samples_per_step(training, options, min(n_train, cls.pilot_points))
        most = max(samples // per_iteration, options.warmup_updates // options.updates + 2)
        return options.model_copy(update={"pilot_iterations": min(options.pilot_iterations, most)})

    @classmethod
    def idle_samples(cls, training, options, n_train):
        whole = options.warmup_updates // options.updates  # iterations that move nothing
        return whole * cls.samples_per_step(training, options, n_train)

    def noise(self, generator: np.random.Generator, n: int, latent_dim: int) -> list[np.ndarray]:
        """Momenta (N, N_z) and uniform numbers (N,) of one transition of one replica."""
        return [
            generator.standard_normal((n, latent_dim), dtype=np.float32),
            generator.random(n, dtype=np.float32),
        ]

    def _chunks(self, n: int):
        return (slice(start, start + self.chunk) for start in range(0, n, self.chunk))

    def expectation(
        self, p: Parameters, x: Tensor, chains: Tensor, noise: list[Tensor], step_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E-step: one HMC transition of `chains` (R, N, N_z), in place, towards p(z|x), x (1, N,
        D).

        Returns the mean acceptance (R,) and the step size for the next transition (R, 1, 1).
        """
        accepted = torch.zeros(len(chains), device=x.device)
        for rows in self._chunks(x.shape[1]):
            joint = Joint(p, x[:, rows], self.likelihood)
            momentum, uniform = (array[:, rows] for array in noise)
            state, info = hmc.transition(
                joint,
                hmc.initial(joint, chains[:, rows]),
                momentum,
                uniform,
                step_size,
                self.options.leapfrog,
            )
            chains[:, rows] = state.z
            accepted += info.accepted.sum(1)
        acceptance = accepted / x.shape[1]
        return acceptance, hmc.author_rule(
            step_size, acceptance.view(-1, 1, 1), self.options.acceptance, x.shape[1]
        )

    def gradient(self, p: Parameters, x: Tensor, z: Tensor) -> tuple[Tensor, Parameters]:
        """M-step: mean of log p(x, z) over all datapoints, (R,), in nats, and the gradient of its
        sum for the decoder's parameters. x (1, N, D), z (R, N, N_z)."""
        n, value, gradient = x.shape[1], densities.log_prior(z).sum(1), {}
        for rows in self._chunks(n):
            part = z[:, rows]
            mean, summands, _ = decoder_gradient(
                p, x[:, rows].expand(len(z), -1, -1), part, self.likelihood
            )
            value = value + mean * part.shape[1]
            gradient = (
                {name: gradient[name] + summand for name, summand in summands.items()}
                if gradient
                else summands
            )
        return value / n, gradient


LEARNER = MonteCarloEM
