"""A likelihood: Laplace, its mean through a sigmoid, then the logarithm of its scale."""

import numpy as np

from aevb.core.lazy import lazy
from aevb.models.likelihoods import LIKELIHOODS, Likelihood

torch = lazy("torch")


class Laplace(Likelihood):
    key, title = "laplace", "Laplace"
    outputs, continuous, decimals, tolerance = 2, True, 1, 150.0

    def log_density(self, x, decoded):
        logits, log_scale = decoded.chunk(2, dim=-1)
        off = (x - logits.sigmoid()).abs() * torch.exp(-log_scale)
        return -(np.log(2) + log_scale + off).sum(-1)

    def noise(self, generator, shape):
        return generator.random(shape, dtype=np.float32)

    def sample(self, decoded, noise):
        logits, log_scale = decoded.chunk(2, dim=-1)
        centred = noise - 0.5
        tail = (1 - 2 * centred.abs()).clamp(min=1e-7)
        return logits.sigmoid() - log_scale.exp() * centred.sign() * tail.log()

    def ignoring_z(self, train, x):
        median = np.median(train.astype(float), 0)
        scale = np.abs(train - median).mean(0)
        return float(-(np.log(2 * scale) + np.abs(x - median) / scale).mean(0).sum())


LIKELIHOODS.register(Laplace())
