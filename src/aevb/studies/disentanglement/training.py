"""beta-VAE and FactorVAE of all seeds side by side.

The engine's networks have one tanh layer and its stacks one loss, so that FactorVAE's second
network, with an update of its own, cannot be a learner there. This loop trains the seeds of one
setting as a stack, every product a batched one. Per image, in nats:

    beta-VAE    log p(x|z) - beta KL(q(z|x) || p(z))                  Higgins et al. (2017), eq. 4
    FactorVAE   log p(x|z) - KL(q(z|x) || p(z)) - gamma T             Kim and Mnih (2018), eq. 2

T estimates the total correlation KL(q(z) || prod_j q(z_j)) by the mean of log D / (1 - D) (their
eq. 3), where D is a discriminator between codes and codes permuted within a minibatch, each latent
variable by itself (their algorithms 1 and 2). beta = 1, or gamma = 0, is AEVB (eq. 7). p(x|z) is
Bernoulli; Adam (Kingma and Ba 2015) takes the steps.
"""

from __future__ import annotations

from itertools import pairwise
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, relu, softplus

from ...core.errors import UserError
from ...core.progress import Progress
from ...core.streams import stream
from ...models import densities
from . import Setting

BLOCK = 100  # steps for which random numbers are drawn at a time
SLOPE = 0.2  # of the discriminator's leaky ReLU, as in Kim and Mnih
MOMENTS = (0.5, 0.9)  # Adam's for the discriminator, as there
Weights = dict[str, Tensor]


def network(sizes: list[int], generators: list[np.random.Generator]) -> Weights:
    """Layers of a perceptron, one replica per generator: weights (R, in, out) with He's initial
    variance 2 / in (He et al. 2015), biases (R, 1, out) at 0."""
    found = {}
    for at, (into, out) in enumerate(pairwise(sizes)):
        drawn = [g.standard_normal((into, out), np.float32) for g in generators]
        found[f"w{at}"] = torch.from_numpy(np.stack(drawn) * np.float32((2 / into) ** 0.5))
        found[f"b{at}"] = torch.zeros(len(generators), 1, out)
    return found


def through(p: Weights, x: Tensor, bend=relu) -> Tensor:
    """x (R, M, in) through a perceptron: (R, M, out)."""
    last = len(p) // 2 - 1
    for at in range(last + 1):
        x = torch.baddbmm(p[f"b{at}"], x, p[f"w{at}"])
        x = bend(x) if at < last else x
    return x


class Model(NamedTuple):
    """R trained VAEs: perceptrons of encoder and decoder."""

    encoder: Weights
    decoder: Weights

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of q(z|x), x (R, M, D): two of (R, M, N_z)."""
        return through(self.encoder, x).chunk(2, dim=-1)

    def decode(self, z: Tensor) -> Tensor:
        """Logits of p(x|z), z (R, M, N_z): (R, M, D)."""
        return through(self.decoder, z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), nats per image: (R, M)."""
        logits = self.decode(z)
        return (x * logits - softplus(logits)).sum(-1)


def permuted(z: Tensor, keys: Tensor) -> Tensor:
    """Codes z (R, M, N_z), each latent variable in an order of its own, that of `keys`."""
    return z.gather(1, keys.argsort(dim=1))


class Noise:
    """Random numbers of the steps of every replica: minibatches, eps, orders of permutation."""

    def __init__(self, seeds: list[int], latent_dim: int, n: int, batch: int):
        self.seeds, self.latent_dim, self.n, self.batch = seeds, latent_dim, n, batch

    def block(self, number: int, what: str) -> tuple[Tensor, Tensor, Tensor]:
        """For the steps of one block, (BLOCK, R, ...): rows of x, eps, and keys to permute by.

        `what` is "vae" or "discriminator": all settings share the former.
        """
        found = []
        for seed in self.seeds:
            own = stream(f"disentanglement-{what}", "sprites", self.latent_dim, seed, block=number)
            shape = (BLOCK, self.batch, self.latent_dim)
            rows = own.integers(0, self.n, shape[:2])
            found.append((rows, own.standard_normal(shape, np.float32), own.random(shape)))
        return tuple(torch.from_numpy(np.stack(part, 1)) for part in zip(*found, strict=True))


class Trainer:
    """Networks of one stack, and their steps."""

    def __init__(self, setting: Setting, x: Tensor, seeds: list[int], options: dict):
        """x (N, D); `options` is the section of the configuration."""
        latent_dim, hidden = options["latent_dim"], [options["hidden"]] * 2
        self.setting, self.x = setting, x
        generators = [
            stream("disentanglement-initial", "sprites", latent_dim, seed) for seed in seeds
        ]
        pixels = x.shape[1]
        self.model = Model(
            network([pixels, *hidden, 2 * latent_dim], generators),
            network([latent_dim, *hidden, pixels], generators),
        )
        self.critic = network([latent_dim, *hidden, 1], generators)
        own = {"lr": options["step_size"], "fused": True}
        leaves = [*self.model.encoder.values(), *self.model.decoder.values()]
        self.optimiser = torch.optim.Adam([leaf.requires_grad_() for leaf in leaves], **own)
        leaves = [leaf.requires_grad_() for leaf in self.critic.values()]
        self.judge = torch.optim.Adam(leaves, betas=MOMENTS, **own)

    def logits(self, z: Tensor) -> Tensor:
        """log D / (1 - D) of the discriminator: (R, M)."""
        return through(self.critic, z, lambda x: leaky_relu(x, SLOPE)).squeeze(-1)

    def drawn(self, rows: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, z ~ q(z|x) (eq. 4) and mean and log-variance, of the rows (R, M)."""
        x = self.x[rows]
        mean, log_variance = self.model.encode(x)
        return x, mean + torch.exp(0.5 * log_variance) * eps, mean, log_variance

    def step(self, vae: list[Tensor], other: list[Tensor]) -> Tensor:
        """One step on one minibatch per replica; the objectives (R,). `other` is a second
        minibatch, of the discriminator. Both networks step from the same parameters."""
        factor = self.setting.method == "factor_vae"
        x, z, mean, log_variance = self.drawn(*vae[:2])
        kl = densities.kl_to_prior(mean, log_variance)
        objective = self.model.log_likelihood(x, z)
        if factor:
            objective = objective - kl - self.setting.weight * self.logits(z)
        else:
            objective = objective - self.setting.weight * kl
        objective = objective.mean(1)
        self.optimiser.zero_grad()
        (-objective.sum()).backward()
        if factor:
            with torch.no_grad():
                z, apart = z.detach(), permuted(self.drawn(*other[:2])[1], other[2])
            self.judge.zero_grad()  # the objective has left gradients there
            loss = softplus(-self.logits(z)).mean(1) + softplus(self.logits(apart)).mean(1)
            (0.5 * loss.sum()).backward()
            self.judge.step()
        self.optimiser.step()
        return objective.detach()


def train(
    setting: Setting,
    images: np.ndarray,
    seeds: list[int],
    options: dict,
    progress: Progress | None = None,
) -> Trainer:
    """Train one VAE per seed on images (N, D). Raises UserError if one diverges."""
    x = torch.from_numpy(images)
    trainer = Trainer(setting, x, seeds, options)
    noise = Noise(seeds, options["latent_dim"], len(x), options["batch_size"])
    steps, value = options["steps"], torch.tensor(nan)
    for step in range(steps):
        at = step % BLOCK
        if at == 0:
            vae, other = (noise.block(step // BLOCK, what) for what in ("vae", "discriminator"))
            if progress:
                progress.part(step, steps)
        value = trainer.step([part[at] for part in vae], [part[at] for part in other])
    if not torch.isfinite(value).all():
        raise UserError(
            f"{setting.name} of the study 'disentanglement' diverged; give a smaller "
            "disentanglement.step_size"
        )
    return trainer
