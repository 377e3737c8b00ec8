"""Signal and noise of the gradient of L_k for the encoder (Rainforth et al. 2018).

For gradients g_1 to g_R on one minibatch, independent but for that, with mean m and the trace t of
their covariance, the squared length of E g is estimated by |m|^2 - t / R without bias. The ratio
of signal to noise here is |E g| / sqrt(t), over all parameters of encoder and q at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .importance import GRADIENTS, bound
from .measuring import Noise
from .training import Networks


class Moments:
    """Mean and trace of the covariance of vectors, one after the other."""

    def __init__(self, size: int):
        self.count, self.mean = 0, torch.zeros(size, dtype=torch.float64)
        self.squares = torch.zeros(size, dtype=torch.float64)

    def add(self, vector: Tensor) -> None:
        """Welford's update."""
        self.count += 1
        off = vector.double() - self.mean
        self.mean += off / self.count
        self.squares += off * (vector.double() - self.mean)

    @property
    def variances(self) -> Tensor:
        """Of each entry."""
        return self.squares / (self.count - 1)


def measured(
    networks: Networks, x: Tensor, ks: list[int], replicates: int, noise: Noise
) -> Iterator[dict]:
    """A row for each k and gradient, columns GRADIENTS, on the minibatch x (M, D)."""
    parameters = [*networks.encoder.parameters(), *networks.q.parameters()]
    size = sum(part.numel() for part in parameters)
    for k in ks:
        for gradient in GRADIENTS:
            generator, found = noise(f"{gradient}-{k}"), Moments(size)
            shape = (k, len(x), networks.latent_dim)
            for _ in range(replicates):
                eps = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
                value = bound(networks.log_weights(x, eps, gradient)).mean()
                slopes = torch.autograd.grad(value, parameters)
                found.add(torch.cat([slope.flatten() for slope in slopes]))
            trace = float(found.variances.sum())
            signal = float((found.mean**2).sum()) - trace / replicates
            row = {"k": k, "gradient": gradient, "signal": signal, "noise": trace}
            yield row | {"replicates": replicates}
