"""The Bernoulli likelihood (appendix C.1, eq. 11): the cross-entropy of grey values in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.lazy import lazy
from . import Likelihood

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")
kernels = lazy("aevb.models.kernels")


class Bernoulli(Likelihood):
    """log p(x|z) = sum of x a - softplus(a) over pixels with logits a, on grey values that need not
    be binarised."""

    key, title = "bernoulli", "Bernoulli"
    outputs, continuous, decimals = 1, False, 2
    # Another version of torch, or other routines for the products, moved MNIST's first bounds by
    # up to 0.04 nats.
    tolerance = 1.0

    def log_density(self, x, decoded):
        return (x * decoded - softplus(decoded)).sum(-1)

    def fast_log_density(self, x, decoded, value=True, gradient=False):
        kernel = in_few_launches if decoded.is_cuda else in_few_logarithms
        return kernel(x, decoded, value, gradient)

    def shared_log_density(self, x, decoded):
        """X a^T - sum of softplus(a)."""
        found = kernels.product(x[None], decoded.T[None])[0]
        return found.sub_(softplus(decoded).sum(-1))

    def noise(self, generator, shape):
        return generator.random(shape, dtype=np.float32)

    def sample(self, decoded, noise):
        return decoded.sigmoid_().gt_(noise)

    def ignoring_z(self, train, x):
        """The best bound without z; half an observation of black and of white is added to each
        pixel's mean (Krichevsky and Trofimov 1981).

        Without it, one grey test pixel that is black in all of `train` would cost infinitely much.
        """
        p = (train.mean(0, dtype=float) * len(train) + 0.5) / (len(train) + 1)
        mean = x.mean(0, dtype=float)
        return float(mean @ np.log(p) + (1 - mean) @ np.log(1 - p))


def softplus(a: Tensor) -> Tensor:
    """log(1 + e^a) = max(a, 0) - log sigmoid(|a|), ten times faster on a CPU than torch's.

    The absolute error in float32 is the same, as the logarithm's argument stays in [1/2, 1].
    """
    return a.relu() - a.abs().sigmoid().log()


def in_few_logarithms(x: Tensor, a: Tensor, value: bool, gradient: bool) -> Tensor | None:
    """Eq. 11 and its derivative x - sigmoid(a), as Likelihood.fast_log_density.

    softplus(a) = max(a, 0) - log sigmoid(|a|), where sigmoid(|a|) = max(s, 1 - s) lies in [1/2, 1].
    Pixels are multiplied in pairs, five times over where their number can be halved so often,
    before the logarithm is taken: at least 2^-32, and one logarithm for 32 pixels. One sigmoid
    serves value and derivative.
    """
    total, s = None, torch.sigmoid(a)
    if value:
        buffer = torch.sub(1, s)
        larger = torch.maximum(s, buffer, out=buffer)
        for _ in range(5):
            half, odd = divmod(larger.shape[-1], 2)
            if odd:
                break
            larger = larger[..., :half] * larger[..., half:]
        total = larger.log().sum(-1)
        positive = torch.clamp_min(a, 0, out=buffer)
        total.sub_(positive.addcmul_(x, a, value=-1).sum(-1))
    if gradient:
        torch.sub(x, s, out=a)
    return total


def in_few_launches(x: Tensor, a: Tensor, value: bool, gradient: bool) -> Tensor | None:
    """The same for a GPU, where a launch costs more than a logarithm."""
    total = None
    if value:
        plain = torch.nn.functional.softplus(a, threshold=50)
        total = plain.addcmul_(x, a, value=-1).sum(-1).neg_()
    if gradient:
        torch.sub(x, a.sigmoid_(), out=a)
    return total


LIKELIHOOD = Bernoulli()
