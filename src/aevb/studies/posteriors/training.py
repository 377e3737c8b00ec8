"""Training of all models of the study: encoder, q(z|x) and decoder, by one loop.

The networks are those of appendix C with one tanh layer each. The engine fixes an encoder's output
to a mean and a log-variance, so that no learner can bring a flow. One seed decides everything, and
models of one seed share the start of encoder and decoder, the minibatches and the noise of z:
their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.streams import device_seed, stream
from ...models import densities
from ...models.joint import Joint
from ...models.likelihoods import LIKELIHOODS
from .autoregressive import Autoregressive
from .diagonal import Diagonal
from .importance import bound, drawn
from .planar import Planar

FAMILIES = {"diagonal": Diagonal, "planar": Planar, "autoregressive": Autoregressive}


class Spec(NamedTuple):
    """Which model: its q(z|x), the bound L_k that trains it, and by which gradient."""

    family: str
    k: int = 1
    gradient: str = "plain"


class Place(NamedTuple):
    """What names the random numbers of a model."""

    experiment: str
    latent_dim: int
    seed: int


class Networks(nn.Module):
    """Encoder, q(z|x) and decoder."""

    def __init__(self, pixels: int, hidden: int, place: Place, family: str, likelihood: str):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(device_seed("posteriors-initial", *place))
            self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh())
            width = LIKELIHOODS[likelihood].width(pixels)
            self.decoder = nn.Sequential(
                nn.Linear(place.latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, width)
            )
            self.q = FAMILIES[family](place.latent_dim, hidden)
        self.likelihood, self.latent_dim = likelihood, place.latent_dim

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z): x (N, D), z (K, N, N_z) -> (K, N), nats."""
        log_likelihood = LIKELIHOODS[self.likelihood].log_density(x, self.decoder(z))
        return log_likelihood + densities.log_prior(z)

    def log_weights(self, x: Tensor, noise: Tensor, gradient: str = "plain") -> Tensor:
        """log p(x, z) / q(z|x) (K, N) with noise (K, N, N_z); see importance.drawn."""
        return drawn(self.q, self.encoder(x), noise, lambda z: self.log_joint(x, z), gradient)

    def joint(self, x: Tensor) -> Joint:
        """p(x, z) of x (N, D), as the estimators of log p(x) take it."""
        first, last = self.decoder[0], self.decoder[2]
        parameters = {
            f"decoder.{name}": part.detach().view(1, len(part), -1).mT.contiguous()
            for name, part in (
                ("hidden.weight", first.weight),
                ("hidden.bias", first.bias),
                ("output.weight", last.weight),
                ("output.bias", last.bias),
            )
        }
        return Joint(parameters, x.unsqueeze(0), self.likelihood)


class Schedule(NamedTuple):
    """How a model is trained: Adam (Kingma and Ba 2015), its rate falling linearly to 0."""

    samples: int
    batch: int
    rate: float
    sampled: bool = False  # whether each pixel of a minibatch is drawn anew, 1 with its grey value

    @property
    def steps(self) -> int:
        """Minibatches."""
        return -(-self.samples // self.batch)


def train(
    networks: Networks,
    spec: Spec,
    place: Place,
    x: Tensor,
    schedule: Schedule,
    progress: Callable[[int, int], None],
) -> None:
    """Train on x (N, D) in place. Raises FloatingPointError if the bound is no number."""
    rows = stream("posteriors-minibatch", *place)
    noise = stream("posteriors-noise", *place)
    parameters = [*networks.parameters()]
    shape = (spec.k, schedule.batch, place.latent_dim)
    for slope in descent(parameters, schedule.steps, schedule.rate):
        batch = x[torch.from_numpy(rows.integers(0, len(x), schedule.batch))]
        if schedule.sampled:
            uniform = rows.random(tuple(batch.shape), dtype=np.float32)
            batch = (torch.from_numpy(uniform) < batch).float()
        eps = torch.from_numpy(noise.standard_normal(shape, dtype=np.float32))
        slope.down(-bound(networks.log_weights(batch, eps, spec.gradient)).mean())
        progress(slope.step, schedule.steps)


def descent(parameters: list[Tensor], steps: int, rate: float):
    """`steps` steps of Adam, each to be taken by the caller: see Slope."""
    adam = torch.optim.Adam(parameters, lr=rate, foreach=True)
    for step in range(1, steps + 1):
        adam.param_groups[0]["lr"] = rate * (1 - (step - 1) / steps)
        yield Slope(adam, step)


class Slope(NamedTuple):
    """A step of Adam."""

    adam: torch.optim.Adam
    step: int  # from 1

    def down(self, loss: Tensor) -> None:
        """Take it. Raises FloatingPointError if the loss is no number."""
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the bound is not a number at step {self.step:,}")
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
