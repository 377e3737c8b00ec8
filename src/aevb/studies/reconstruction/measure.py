"""What is measured on a trained model: errors, bounds under its own and a common likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from math import log, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...models import densities, nets
from ...models.kernels import Parameters
from .loop import corrupted, dequantised
from .terms import NOISE_SD, Term
from .terms.bernoulli import ContinuousBernoulli, logit_of_mean

CHUNK = 1000  # images at a time


class Model(NamedTuple):
    """A trained model."""

    term: Term
    parameters: Parameters
    scale: float

    @property
    def level(self) -> float:
        """One grey level."""
        return 1 / self.scale

    @property
    def shift(self) -> float:
        """What training added to a pixel on average: half a level if it is on dequantised images,
        x + u level with u ~ U(0, 1). So the encoder is given x + shift where no u is drawn, and
        the mean of x is the decoder's less the shift."""
        return self.level / 2 if self.term.dequantise else 0.0

    def mean(self, decoded: Tensor) -> Tensor:
        """The mean (n, D) of x, without noise of dequantisation, at the decoder's output."""
        return self.term.mean(decoded) - self.shift

    def decode(self, z: Tensor) -> Tensor:
        """The means (n, D) of x at z (n, N_z)."""
        parts = [nets.decode(part, self.parameters) for part in z.split(CHUNK)]
        return torch.cat([self.mean(part) for part in parts])

    def codes(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), (n, N_z)."""
        parts = (x + self.shift).split(CHUNK)
        return torch.cat([nets.encode(part, self.parameters)[0] for part in parts])


class Sampled(NamedTuple):
    """What z ~ q(z|x) gives for n images: arrays (draws, n), nats but for `squares`."""

    own: np.ndarray  # log p(x|z) under the model's own term
    squares: np.ndarray  # squared distance of x to the decoder's mean
    same_logits: np.ndarray  # log density of the continuous Bernoulli at the same logits
    same_mean: np.ndarray  # at logits that have the same mean
    kl: np.ndarray  # (draws, n)

    def bound(self, values: np.ndarray) -> tuple[float, float]:
        """Mean of `values` less the KL divergence, and its Monte Carlo standard error."""
        found = values - self.kl
        draws, n = found.shape
        return float(found.mean()), float((found.var(0, ddof=1).mean() / (draws * n)) ** 0.5)

    def common(self, sigma: float, pixels: int) -> np.ndarray:
        """log N(x; m, sigma^2 I) (draws, n) from the squared distances."""
        return -0.5 * (pixels * log(2 * pi * sigma**2) + self.squares / sigma**2)


def sampled(
    model: Model, x: Tensor, draws: int, generator: np.random.Generator, crossed: bool = False
) -> Sampled:
    """Draw z for every image of x (n, D), as the model is trained: what the encoder sees is noisy
    if the term has it so. `crossed`: whether the continuous Bernoulli is asked for."""
    drawn = []
    for _ in range(draws):
        parts = _chunks(model, x, generator, crossed)
        drawn.append([np.concatenate(part) for part in zip(*parts, strict=True)])
    return Sampled(*(np.stack(values) for values in zip(*drawn, strict=True)))


def _chunks(
    model: Model, x: Tensor, generator: np.random.Generator, crossed: bool
) -> Iterator[tuple[np.ndarray, ...]]:
    """One draw of z per image."""
    term, p = model.term, model.parameters
    for plain in x.split(CHUNK):
        part = dequantised(plain, generator, model.scale) if term.dequantise else plain
        seen = corrupted(part, generator, term.noise) if term.noise else part
        mean, log_variance = nets.encode(seen, p)
        kl, z = torch.zeros(len(part)), mean
        if term.variational:
            noise = generator.standard_normal(tuple(mean.shape), dtype=np.float32)
            z = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(noise)
            kl = densities.kl_to_prior(mean, log_variance)
        decoded = nets.decode(z, p)
        own = term.log_density(part, decoded, model.level)
        squares = (plain - model.mean(decoded)).square().sum(-1)
        other = [torch.full_like(own, torch.nan)] * 2
        if crossed:
            logits = (decoded.double(), logit_of_mean(decoded.sigmoid()))
            rival = ContinuousBernoulli(key="", title="")
            other = [rival.log_density(part.double(), each, model.level) for each in logits]
        yield tuple(part.double().numpy() for part in (own, squares, *other, kl))


def errors(model: Model, x: Tensor, generator: np.random.Generator) -> dict[str, float]:
    """Root mean square errors on x (n, D), from the image and from the image with noise."""
    noisy = corrupted(x, generator, NOISE_SD)
    return {
        name: float((model.decode(model.codes(seen)) - x).square().mean().sqrt())
        for name, seen in (("rmse", x), ("noisy_rmse", noisy))
    }


def learned_variances(model: Model, x: Tensor) -> dict[str, float]:
    """The least learned variance of a pixel and its 1 per cent quantile, over x (n, D) at the mean
    of q(z|x). Not a number where no variance is learned."""
    parts = []
    for part in x.split(CHUNK):
        decoded = nets.decode(model.codes(part), model.parameters)
        parts.append(model.term.variance(decoded, model.level))
    if parts[0] is None:
        return dict.fromkeys(("smallest", "low"), np.nan)
    smallest, low = np.quantile(torch.cat(parts).numpy(), [0, 0.01])
    return {"smallest": smallest, "low": low}
