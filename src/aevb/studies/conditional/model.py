"""The conditional variational autoencoder (Sohn, Lee and Yan 2015), and its training.

A target t (an image, or the missing part of one) is modelled given a condition c (a label, or the
observed part). Their x is our c, their y our t. The networks are those of the paper's appendix C,
one tanh layer each:

    recognition    q(z|t, c)    a diagonal Gaussian, of t and c side by side
    prior          p(z|c)       N(0, I), or a diagonal Gaussian of c
    decoder        p(t|z, c)    Bernoulli, of z and c side by side

Without a condition it is the paper's AEVB. Without latent variables it is a deterministic network
from c to t: their baseline. Both are tested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...engine.stack import BLOCK
from ...models import kernels
from ...models.kernels import Parameters
from ...models.likelihoods import LIKELIHOODS

BERNOULLI = LIKELIHOODS["bernoulli"]


class Shape(NamedTuple):
    """Which networks a model has, and how wide they are."""

    target: int  # width of t
    condition: int  # width of c; 0 for none
    hidden: int  # H
    latent_dim: int  # N_z; 0 for a deterministic network
    prior: bool = False  # whether p(z|c) is a network

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each weight, then (1, out) of each bias, by name: those of nets.Layout
        first, in its order."""
        nets_of = {"decoder": (self.latent_dim + self.condition, self.target)}
        if self.latent_dim:
            nets_of = {"encoder": (self.target + self.condition, 2 * self.latent_dim), **nets_of}
        if self.prior:
            nets_of["prior"] = (self.condition, 2 * self.latent_dim)
        sizes = {}
        for net, (wide, out) in nets_of.items():
            sizes[f"{net}.hidden.weight"] = (wide, self.hidden)
            sizes[f"{net}.output.weight"] = (self.hidden, out)
        biases = {n.replace("weight", "bias"): (1, out) for n, (_, out) in sizes.items()}
        return {**sizes, **biases}


def initial(shape: Shape, generator: np.random.Generator) -> Parameters:
    """Weights N(0, 1 / (inputs)), biases 0; those of log-variances start at 0, too."""
    p = {}
    for name, size in shape.shapes.items():
        drawn = generator.standard_normal(size, dtype=np.float32) * (size[0] > 1) / size[0] ** 0.5
        p[name] = torch.from_numpy(drawn.astype(np.float32))
        if name in ("encoder.output.weight", "prior.output.weight"):
            p[name][:, shape.latent_dim :] = 0
    return p


class Linear(torch.autograd.Function):
    """x w + b by the products of models.kernels, which autograd's own are half as fast as."""

    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w)
        return kernels.product(x, w, b)

    @staticmethod
    def backward(ctx, slope):
        x, w = ctx.saved_tensors
        own = kernels.product(slope, w.T) if ctx.needs_input_grad[0] else None
        return own, kernels.product(x.T, slope), slope.sum(0, keepdim=True)


class LogBernoulli(torch.autograd.Function):
    """log p(t) for logits a, (N, T) each: (N,), with its derivative in the same pass."""

    @staticmethod
    def forward(ctx, t, a):
        slope = a.clone()
        value = BERNOULLI.fast_log_density(t, slope, gradient=True)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx, outer):
        return None, ctx.saved_tensors[0] * outer.unsqueeze(-1)


def network(p: Parameters, net: str, *inputs: Tensor) -> Tensor:
    """One tanh layer and a linear one, of inputs side by side: (N, ...) -> (N, out)."""
    x = torch.cat(inputs, -1)
    h = torch.tanh(Linear.apply(x, p[f"{net}.hidden.weight"], p[f"{net}.hidden.bias"]))
    return Linear.apply(h, p[f"{net}.output.weight"], p[f"{net}.output.bias"])


def recognition(p: Parameters, t: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """q(z|t, c): t (N, T), c (N, C) -> mean and log-variance, each (N, N_z)."""
    return network(p, "encoder", t, c).chunk(2, dim=-1)


def prior(p: Parameters, c: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """p(z|c): mean and log-variance, each (N, N_z) as `like`."""
    if "prior.hidden.weight" not in p:
        return torch.zeros_like(like), torch.zeros_like(like)
    return network(p, "prior", c).chunk(2, dim=-1)


def decode(p: Parameters, z: Tensor, c: Tensor) -> Tensor:
    """p(t|z, c): z (N, N_z), c (N, C) -> logits (N, T)."""
    return network(p, "decoder", z, c)


def kl(mean: Tensor, log_variance: Tensor, to: tuple[Tensor, Tensor]) -> Tensor:
    """KL between diagonal Gaussians, N(mean, e^log_variance) from N(*to): (N, N_z) -> (N,), nats.

    To N(0, I) it is minus the closed form of appendix B.
    """
    other, spread = to
    square = (mean - other) ** 2 + torch.exp(log_variance)
    return 0.5 * (spread - log_variance - 1 + square * torch.exp(-spread)).sum(-1)


def bound(p: Parameters, t: Tensor, c: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The conditional bound and its KL term, each (N,), with one z per datapoint, noise (N, N_z).

    log p(t|c) >= E_q[log p(t|z, c)] - KL(q(z|t, c) || p(z|c)) (Sohn et al., section 4; the
    paper's eq. 7 given c). Without latent variables it is log p(t|c) itself.
    """
    if not noise.shape[-1]:
        value = LogBernoulli.apply(t, decode(p, noise, c))
        return value, torch.zeros_like(value)
    mean, log_variance = recognition(p, t, c)
    z = mean + torch.exp(0.5 * log_variance) * noise
    divergence = kl(mean, log_variance, prior(p, c, mean))
    return LogBernoulli.apply(t, decode(p, z, c)) - divergence, divergence


def train(
    noise: Callable[[str, int], np.random.Generator],
    t: kernels.Rows,
    c: Tensor,
    shape: Shape,
    step_size: float,
    batch: int,
    steps: int,
    told: Callable[[int, int], None],
) -> Parameters:
    """Train on targets t and conditions c (N, C) by Adam, as published reproductions do.

    `told` hears of every step and how many there are. `noise` gives the generator of a purpose
    (initial, minibatch, z) and a block of BLOCK steps. Minibatches are drawn uniformly with
    replacement, one z per datapoint.
    """
    p = initial(shape, noise("initial", 0))
    leaves = [part.requires_grad_() for part in p.values()]
    optimiser = torch.optim.Adam(leaves, lr=step_size, maximize=True, fused=True)
    for step in range(steps):
        if step % BLOCK == 0:
            block = step // BLOCK
            drawn = noise("minibatch", block).integers(0, len(c), (BLOCK, batch))
            chosen = torch.from_numpy(drawn)
            size = (BLOCK, batch, shape.latent_dim)
            eps = torch.from_numpy(noise("z", block).standard_normal(size, dtype=np.float32))
        rows = chosen[step % BLOCK]
        optimiser.zero_grad()
        bound(p, t[rows], c[rows], eps[step % BLOCK])[0].mean().backward()
        optimiser.step()
        told(step + 1, steps)
    return {name: part.detach() for name, part in p.items()}
