"""The Gaussian likelihood (appendix C.2, eq. 12): a mean through a sigmoid, and an unbounded
log-variance."""

from __future__ import annotations

from math import log, pi

import numpy as np

from ...core.lazy import lazy
from . import Likelihood

torch = lazy("torch")
densities = lazy("aevb.models.densities")


class Gaussian(Likelihood):
    """log p(x|z) = log N(x; m, diag e^v): the output holds the logits of m, then v."""

    key, title = "gaussian", "Gaussian"
    outputs, continuous, decimals = 2, True, 1
    # Another version of torch, or other routines for the products, moved the first bounds of AEVB
    # on Frey Face, whose first steps are far from smooth, by up to 77 nats.
    tolerance = 150.0

    def log_density(self, x, decoded):
        logits, log_variance = decoded.chunk(2, dim=-1)
        return densities.log_normal(x, torch.sigmoid(logits), log_variance)

    def fast_log_density(self, x, decoded, value=True, gradient=False):
        """Eq. 12, as Likelihood.fast_log_density, by its derivatives:

        logits    (x - m) e^-v m (1 - m)
        v         ((x - m)^2 e^-v - 1) / 2
        """
        logits, log_variance = decoded.chunk(2, dim=-1)
        mean = logits.sigmoid()
        residual = x - mean
        scaled = residual * torch.exp(-log_variance)
        squared = residual.mul_(scaled)
        total = None
        if value:
            total = (log_variance + squared).sum(-1).add_(x.shape[-1] * log(2 * pi)).mul_(-0.5)
        if gradient:
            torch.sub(squared, 1, out=log_variance).mul_(0.5)
            logits.copy_(torch.ops.aten.sigmoid_backward(scaled, mean))
        return total

    def shared_log_density(self, x, decoded):
        """The square expanded, in float64, because its terms cancel."""
        logits, log_variance = decoded.double().chunk(2, dim=-1)
        mean, precision, wide = logits.sigmoid(), torch.exp(-log_variance), x.double()
        constant = (log(2 * pi) + log_variance + mean.square() * precision).sum(-1)
        return wide @ (mean * precision).T - 0.5 * (wide.square() @ precision.T + constant)

    def noise(self, generator, shape):
        return generator.standard_normal(shape, dtype=np.float32)

    def sample(self, decoded, noise):
        logits, log_variance = decoded.chunk(2, dim=-1)
        return torch.exp(log_variance.mul_(0.5)).mul_(noise).add_(logits.sigmoid_())

    def ignoring_z(self, train, x):
        """Means and variances of maximum likelihood; infinite if a pixel of `train` is constant."""
        variance = train.var(0, dtype=float)
        if not (variance > 0).all():
            return np.inf
        square = ((x - train.mean(0, dtype=float)) ** 2).mean(0)
        return float(-0.5 * (np.log(2 * np.pi * variance) + square / variance).sum())


LIKELIHOOD = Gaussian()
