"""AEVB, wake-sleep and Monte Carlo EM on the linear-Gaussian model.

The engine's networks have a tanh layer, by name in models/nets.py and in each gradient by hand, so
no plug-in makes them linear. This loop has what the engine has otherwise: its Adagrad
(kernels.adagrad), its Hamiltonian Monte Carlo with the author's rule for step sizes, minibatches
with replacement, and the same objectives as learners/. Gradients are autograd's, there is no prior
on weights, and L = 1. R replicas are trained side by side in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...config.sections import Training
from ...learners.gradients import draw_z
from ...learners.mcem import Options
from ...marginal import hmc
from ...models import densities, kernels
from .closed import Model, Recognition
from .joint import LinearJoint

DECODER = ("weight", "mean", "log_variance")
ENCODER = ("encoder_weight", "encoder_bias", "encoder_log_variance")
BLOCK = 200  # steps for which noise is drawn at a time


class Replicas(NamedTuple):
    """What the replicas of a stack are: one generator each, which gives all its noise."""

    x: Tensor  # (R, N, D)
    latent_dim: int
    generators: list[np.random.Generator]
    variance: np.ndarray | None = None  # (R,), where sigma^2 is given and not learned

    def normal(self, *shape: int) -> Tensor:
        """Standard normal noise (R, *shape)."""
        return torch.from_numpy(np.stack([g.standard_normal(shape) for g in self.generators]))


class State(NamedTuple):
    """Parameters and Adagrad's accumulators, by name."""

    theta: dict[str, Tensor]
    accumulator: dict[str, Tensor]

    def ascend(self, objective: Tensor, step_size: float | None) -> None:
        """One Adagrad step (section 5 of the paper) up the sum of `objective` over replicas, on the
        parameters that it depends on; `step_size` None only accumulates."""
        names = [name for name in self.theta if self.theta[name].requires_grad]
        leaves = [self.theta[name] for name in names]
        found = torch.autograd.grad(objective.sum(), leaves, allow_unused=True)
        slopes = {k: g for k, g in zip(names, found, strict=True) if g is not None}
        moved = {name: self.theta[name] for name in slopes}
        with torch.no_grad():
            kernels.adagrad(moved, slopes, self.accumulator, step_size, 0.0, ())


def _start(replicas: Replicas, training: Training) -> State:
    """Weights N(0, initial_sd^2); mu, biases and log-variances at 0 (sigma^2 as given)."""
    count, _, d = replicas.x.shape
    q = replicas.latent_dim
    theta = {
        "weight": training.initial_sd * replicas.normal(q, d),
        "mean": torch.zeros(count, 1, d, dtype=torch.float64),
        "log_variance": torch.zeros(count, 1, 1, dtype=torch.float64),
        "encoder_weight": training.initial_sd * replicas.normal(d, q),
        "encoder_bias": torch.zeros(count, 1, q, dtype=torch.float64),
        "encoder_log_variance": torch.zeros(count, 1, q, dtype=torch.float64),
    }
    fixed = replicas.variance is not None
    if fixed:
        theta["log_variance"] = torch.from_numpy(np.log(replicas.variance)).view(-1, 1, 1)
    for name, value in theta.items():
        value.requires_grad_(not (fixed and name == "log_variance"))
    return State(theta, {k: torch.full_like(v, training.epsilon) for k, v in theta.items()})


def log_p(theta: dict[str, Tensor], x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z), x (R, M, D), z (R, M, q): (R, M)."""
    return densities.log_normal(x, z @ theta["weight"] + theta["mean"], theta["log_variance"])


def encode(theta: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (R, M, q) and log-variance (R, M, q) of q(z|x), which is the same for all x."""
    mean = x @ theta["encoder_weight"] + theta["encoder_bias"]
    return mean, theta["encoder_log_variance"].expand_as(mean)


def aevb(theta: dict[str, Tensor], x: Tensor, noise: list[Tensor]) -> Tensor:
    """Sum over a minibatch of estimator B of the bound (eq. 7), by reparameterisation (eq. 4)."""
    mean, log_variance = encode(theta, x)
    z, _ = draw_z(mean, log_variance, noise[0].unsqueeze(-3))
    return (log_p(theta, x, z) - densities.kl_to_prior(mean, log_variance)).sum(-1)


def wake_sleep(theta: dict[str, Tensor], x: Tensor, noise: list[Tensor]) -> Tensor:
    """Both phases at the same parameters, as in learners/wake_sleep.py.

    Wake: log p(x, z) at z ~ q(z|x), for the decoder. Sleep: log q(z|x) at z ~ p(z), x ~ p(x|z), for
    the encoder.
    """
    with torch.no_grad():
        z, _ = draw_z(*encode(theta, x), noise[0].unsqueeze(-3))
        dream = noise[1]
        spread = torch.exp(0.5 * theta["log_variance"])
        fantasy = dream @ theta["weight"] + theta["mean"] + spread * noise[2]
    return (log_p(theta, x, z) + densities.log_normal(dream, *encode(theta, fantasy))).sum(-1)


def _shapes(algorithm: str, batch: int, q: int, d: int) -> list[tuple[int, int]]:
    """Shapes of a step's noise for one replica."""
    return [(batch, q)] if algorithm == "aevb" else [(batch, q), (batch, q), (batch, d)]


OBJECTIVES: dict[str, Callable] = {"aevb": aevb, "wake_sleep": wake_sleep}


def online(
    algorithm: str, replicas: Replicas, training: Training, step_size: float, grid: list[int]
) -> Iterator[tuple[int, State]]:
    """Train by `algorithm`, "aevb" or "wake_sleep": yields the training samples seen and the state
    at the first step from each of `grid` on."""
    state, objective = _start(replicas, training), OBJECTIVES[algorithm]
    count, n, d = replicas.x.shape
    batch, rows = training.batch_size, torch.arange(count).unsqueeze(1)
    shapes = _shapes(algorithm, batch, replicas.latent_dim, d)
    for step in range(-(-max(grid) // batch)):
        if step % BLOCK == 0:
            block = [g.integers(n, size=(BLOCK, batch)) for g in replicas.generators]
            chosen = torch.from_numpy(np.stack(block))
            noise = [replicas.normal(BLOCK, *shape) for shape in shapes]
        at = step % BLOCK
        x = replicas.x[rows, chosen[:, at]]
        value = objective(state.theta, x, [array[:, at] for array in noise])
        state.ascend(value, step_size if step >= training.warmup_steps else None)
        seen = (step + 1) * batch
        if any(seen - batch < point <= seen for point in grid):
            yield seen, state


def monte_carlo_em(
    replicas: Replicas, training: Training, options: Options, step_size: float, grid: list[int]
) -> Iterator[tuple[int, State]]:
    """Monte Carlo EM (appendix E), as in learners/mcem.py: one transition of every datapoint's
    chain, then updates on all datapoints.

    As there, an iteration counts (leapfrog steps + updates) samples per datapoint.
    """
    state, x = _start(replicas, training), replicas.x
    count, n, _ = x.shape
    chains = replicas.normal(n, replicas.latent_dim)
    leapfrog_size = torch.full((count, 1, 1), options.step_size, dtype=torch.float64)
    cost = n * (options.leapfrog + options.updates)
    for iteration in range(-(-max(grid) // cost)):
        with torch.no_grad():
            joint = LinearJoint(x, *(state.theta[name].detach() for name in DECODER))
            momentum = replicas.normal(n, replicas.latent_dim)
            uniform = np.stack([g.random(n) for g in replicas.generators])
            moved, info = hmc.transition(
                joint,
                hmc.initial(joint, chains),
                momentum,
                torch.from_numpy(uniform),
                leapfrog_size,
                options.leapfrog,
            )
            chains, accepted = moved.z, info.accepted.double().mean(1).view(-1, 1, 1)
            leapfrog_size = hmc.author_rule(leapfrog_size, accepted, options.acceptance, n)
        for update in range(options.updates):
            warm = iteration * options.updates + update >= options.warmup_updates
            state.ascend(log_p(state.theta, x, chains).sum(-1), step_size if warm else None)
        seen = (iteration + 1) * cost
        if any(seen - cost < point <= seen for point in grid):
            yield seen, state


def found(state: State, replica: int) -> tuple[Model, Recognition]:
    """The model of one replica, and its encoder, which Monte Carlo EM leaves at its start."""
    theta = {k: v.detach()[replica].numpy().copy() for k, v in state.theta.items()}
    model = Model(theta["weight"].T, theta["mean"][0], float(np.exp(theta["log_variance"].item())))
    covariance = np.diag(np.exp(theta["encoder_log_variance"][0]))
    return model, Recognition(theta["encoder_weight"], theta["encoder_bias"][0], covariance)
