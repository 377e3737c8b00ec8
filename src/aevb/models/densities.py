"""The densities and bounds of the paper, written plainly: evaluation runs on them, and autograd
through them is the reference for the learners' hand-written gradients. Everything is per datapoint,
in nats; the last axis is summed.
"""

from __future__ import annotations

from math import log, pi
from typing import TYPE_CHECKING

from ..core.lazy import lazy
from .likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


def log_normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mean, diag exp(log_variance)), (..., D) -> (...)."""
    return -0.5 * (log(2 * pi) + log_variance + (x - mean) ** 2 * torch.exp(-log_variance)).sum(-1)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I), (..., N_z) -> (...)."""
    return -0.5 * (log(2 * pi) + z**2).sum(-1)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)), (..., N_z) -> (...): minus the closed form of appendix B, eq. 10."""
    return -0.5 * (1 + log_variance - mean**2 - torch.exp(log_variance)).sum(-1)


def bound(
    x: Tensor,
    z: Tensor,
    decoded: Tensor,
    mean: Tensor,
    log_variance: Tensor,
    likelihood: str,
    estimator: str,
) -> Tensor:
    """One-sample estimate of the variational bound (eq. 3), shape (...).

    Estimator A (eq. 6): log p(x|z) + log p(z) - log q(z|x). Estimator B (eq. 7): log p(x|z) -
    KL(q(z|x) || p(z)).
    """
    reconstruction = LIKELIHOODS[likelihood].log_density(x, decoded)
    if estimator == "A":
        return reconstruction + log_prior(z) - log_normal(z, mean, log_variance)
    return reconstruction - kl_to_prior(mean, log_variance)
