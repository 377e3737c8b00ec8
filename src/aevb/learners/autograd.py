"""Learners that give a bound alone, and get its gradient by autograd."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from ..core.lazy import lazy
from . import OnlineLearner

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.kernels import Parameters

torch = lazy("torch")


class AutogradLearner(OnlineLearner):
    """A learner whose objective is a bound that autograd can differentiate.

    A subclass writes `bound`, with the functions of densities.py, nets.py and likelihoods/. A step
    takes about twice as long as one whose gradient is written by hand.
    """

    captured = False  # autograd's own threads take part in a step

    def noise(self, generator, steps, batch, layout):
        """One array, (steps, L, M, N_z): standard normal, for L draws of z per datapoint."""
        shape = (steps, self.training.draws, batch, layout.latent_dim)
        return [generator.standard_normal(shape, dtype=np.float32)]

    @abstractmethod
    def bound(self, p: Parameters, x: Tensor, noise: list[Tensor]) -> Tensor:
        """The minibatch's mean bound per datapoint, (...), in nats: shapes as for `gradient`."""

    def gradient(self, p, x, noise):
        with torch.enable_grad():
            leaves = {name: part.detach().requires_grad_() for name, part in p.items()}
            value = self.bound(leaves, x, noise)
            slopes = torch.autograd.grad(
                (value * x.shape[-2]).sum(), list(leaves.values()), materialize_grads=True
            )
        return value.detach(), {
            name: slope.contiguous() for name, slope in zip(leaves, slopes, strict=True)
        }
