"""What is seen of an image, and log p(seen, z) as a function of z.

Pixels are independent given z (appendix C), so that holes only leave terms out of log p(x|z): a
decoder that has the seen pixels alone is a models.joint.Joint of its own. Noise on pixels changes
the terms, as do means of blocks (blocks.py); `Indirect` takes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from ...models import densities, kernels, nets
from ...models.likelihoods import LIKELIHOODS
from . import Task


@dataclass(frozen=True)
class View:
    """What is seen of an image, before noise: B pixels, or the means of B blocks of pixels."""

    index: np.ndarray  # (B,), or (B, pixels of a block)

    def __call__(self, x):
        """x (..., D), an array or a tensor -> (..., B)."""
        found = x[..., self.index]
        return found if self.index.ndim == 1 else found.mean(-1)

    def variance(self, v: np.ndarray) -> np.ndarray:
        """That of what is seen, where pixels are independent with variances v (D,): (B,)."""
        return self(v) * len(self.index) / self.index.size


def seen_pixels(task: Task, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Which pixels of an image of `shape` are seen, (D,) bool; of holes at least one, and not all.

    A grid begins in the middle of its first cell.
    """
    rows = shape[0]
    seen = np.zeros(shape, bool)
    if task.kind in ("noise", "blocks"):
        seen[:] = True
    elif task.kind == "top":
        seen[: min(max(1, round(task.level * rows)), rows - 1)] = True
    elif task.kind == "grid":
        k = int(task.level)
        seen[k // 2 :: k, k // 2 :: k] = True
    else:
        count = min(max(1, round(task.level * seen.size)), seen.size - 1)
        seen.flat[generator.permutation(seen.size)[:count]] = True
    return seen.ravel()


def decoder_of(
    parameters: dict[str, Tensor], seen: np.ndarray, likelihood: str
) -> dict[str, Tensor]:
    """Parameters whose decoder has the pixels `seen` (D,) alone: of each kind of output (see
    Likelihood) those columns."""
    at = np.flatnonzero(seen)
    columns = np.concatenate([at + k * seen.size for k in range(LIKELIHOODS[likelihood].outputs)])
    chosen = torch.from_numpy(columns).to(parameters["decoder.output.weight"].device)
    names = ("decoder.output.weight", "decoder.output.bias")
    return {**parameters, **{name: parameters[name][..., chosen].contiguous() for name in names}}


def corrupted(x: Tensor, likelihood: str, level: float, generator: np.random.Generator) -> Tensor:
    """Images x (N, D) with noise.

    Bernoulli: a grey value is the probability of white, as eq. 11 reads it; the binary pixel drawn
    from it is flipped with probability `level`. Else Gaussian noise with that sd is added.
    """
    if likelihood == "bernoulli":
        white = drawn(x, generator)
        flipped = generator.random(x.shape, dtype=np.float32) < level
        return (white - torch.from_numpy(flipped).to(x)).abs()
    noise = generator.standard_normal(x.shape, dtype=np.float32)
    return x + level * torch.from_numpy(noise).to(x)


def drawn(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Binary images drawn from grey values x (N, D), the probabilities of white."""
    white = generator.random(x.shape, dtype=np.float32) < x.cpu().numpy()
    return torch.from_numpy(white).to(x)


def channel(likelihood: str, level: float) -> tuple[float, float]:
    """Offset and gain: the mean of a noisy pixel is offset + gain times that of the pixel."""
    return (level, 1 - 2 * level) if likelihood == "bernoulli" else (0.0, 1.0)


def noisy(decoded: Tensor, likelihood: str, level: float) -> Tensor:
    """The decoder's output for noisy pixels, with the same likelihood.

    Bernoulli with mean m: a flip of probability f makes it Bernoulli with mean f + (1 - 2f) m.
    Gaussian: variances add, e^v + level^2.
    """
    if likelihood == "bernoulli":
        offset, gain = channel(likelihood, level)
        return torch.logit(offset + gain * torch.sigmoid(decoded))
    logits, log_variance = decoded.chunk(2, dim=-1)
    own = log_variance.new_tensor(2 * math.log(level))
    return torch.cat([logits, torch.logaddexp(log_variance, own)], -1)


def cleaned(decoded: np.ndarray, y: np.ndarray, likelihood: str, level: float) -> np.ndarray:
    """E[x | z, y] from the decoder's output at z (..., outputs * D) and noisy pixels y (..., D).

    Given z, a noisy pixel still tells of its own pixel, by Bayes' rule. Bernoulli with mean m and
    flips of probability f: m (1 - f) / (m (1 - f) + (1 - m) f) where y = 1, m f / (m f + (1 - m)
    (1 - f)) where y = 0, that is, (2y - 1) log((1 - f) / f) is added to the logit. Gaussian with
    variance v and noise of sd s: m + v / (v + s^2) (y - m) (Bishop 2006, eq. 2.116 and 2.117).
    """
    if likelihood == "bernoulli":
        return special.expit(decoded + (2 * y - 1) * math.log((1 - level) / level))
    mean = LIKELIHOODS[likelihood].mean(decoded)
    log_variance = np.split(decoded, 2, -1)[1]
    return mean + special.expit(log_variance - 2 * math.log(level)) * (y - mean)


def noisy_density(likelihood: str, level: float, y: Tensor, decoded: Tensor) -> Tensor:
    """log p(y|z) of noisy pixels y (..., D): decoded (..., outputs * D) -> (...)."""
    return LIKELIHOODS[likelihood].log_density(y, noisy(decoded, likelihood, level))


@dataclass(frozen=True)
class Indirect:
    """log p(z) + log p(y|z) of what is seen of images, y = x (1, N, B), the target of HMC:
    arguments z are (1, N, N_z)."""

    parameters: dict[str, Tensor]
    x: Tensor
    density: Callable[[Tensor, Tensor], Tensor]  # log p(y|z) of y and the decoder's output

    @property
    def latent_dim(self) -> int:
        """N_z."""
        return self.parameters["decoder.hidden.weight"].shape[1]

    def gradient(self, z: Tensor) -> Tensor:
        """Gradient of the log density, (1, N, N_z)."""
        return self.value_and_gradient(z)[1]

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The log density (1, N) in nats, and its gradient (1, N, N_z)."""
        h = nets.hidden(z, self.parameters, "decoder")
        with torch.enable_grad():  # of what comes after the decoder alone
            decoded = nets.output(h, self.parameters, "decoder").detach().requires_grad_()
            value = self.density(self.x, decoded)
            (slope,) = torch.autograd.grad(value.sum(), decoded)
        back = kernels.product(slope, self.parameters["decoder.output.weight"].mT)
        back = kernels.tanh_backward(back, h)
        gradient = kernels.product(back, self.parameters["decoder.hidden.weight"].mT) - z
        return densities.log_prior(z) + value.detach(), gradient
