"""The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2016), AEVB's closest kin.

It is no part of the paper. Its bound is tighter: L_1 <= L_k <= log p(x), and L_1 is AEVB's.
"""

from __future__ import annotations

from math import log, pi
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..core.lazy import lazy
from ..core.sections import Size, Strict
from ..models import densities, nets
from ..models.likelihoods import LIKELIHOODS
from .autograd import AutogradLearner
from .gradients import draw_z

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class Options(Strict):
    """The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2016)."""

    k: Size = Field(
        5, description="samples of z in a bound, L_k; 1 makes it AEVB with estimator A (eq. 6)"
    )


class IWAE(AutogradLearner):
    """Stochastic gradient of the importance-weighted bound, by reparameterisation.

    L_k = E[log 1/k sum_i p(x, z_i) / q(z_i|x)] with z_1 to z_k from q(z|x) (Burda et al., eq. 8).
    With L draws (`training.draws`) a step averages L such bounds per datapoint. Evaluations
    measure L_k too; KL divergence and active units are those of q(z|x), as of every learner.
    """

    key, label, title = "iwae", "IWAE", "the importance-weighted autoencoder"
    Options = Options
    subtracts_kl = False

    @staticmethod
    def products(outputs, draws, options):
        return 2 + 3 * outputs * draws * options.k

    def noise(self, generator, steps, batch, layout):
        """One array, (steps, L*k, M, N_z): standard normal."""
        shape = (steps, self.training.draws * self.options.k, batch, layout.latent_dim)
        return [generator.standard_normal(shape, dtype=np.float32)]

    def bound(self, p, x, noise):
        mean, log_variance = nets.encode(x, p)
        log_weights = self._log_weights(p, x, mean, log_variance, noise[0])
        log_weights = log_weights.unflatten(-2, (self.training.draws, self.options.k))
        return _bound(log_weights).mean((-2, -1))

    def sampled(self, p, x, mean, log_variance, generator):
        log_weights = []
        for _ in range(self.options.k):  # one after the other: k times less memory
            noise = generator.standard_normal(tuple(mean.shape), dtype=np.float32)
            noise = torch.as_tensor(noise).to(mean).unsqueeze(-3)
            log_weights.append(self._log_weights(p, x, mean, log_variance, noise))
        return _bound(torch.cat(log_weights, -2))

    def _log_weights(self, p, x, mean, log_variance, noise) -> Tensor:
        """log p(x|z) + log p(z) - log q(z|x) at z = mean + sd noise, (..., draws, M)."""
        z, _ = draw_z(mean, log_variance, noise)
        draws = noise.shape[-3]
        decoded = nets.decode(z, p).unflatten(-2, (draws, -1))
        log_q = -0.5 * (log(2 * pi) + log_variance.unsqueeze(-3) + noise**2).sum(-1)
        log_p = LIKELIHOODS[self.likelihood].log_density(x.unsqueeze(-3), decoded)
        return log_p + densities.log_prior(z.unflatten(-2, (draws, -1))) - log_q


def _bound(log_weights: Tensor) -> Tensor:
    """log 1/k sum_i w_i: (..., k, M) -> (..., M)."""
    return torch.logsumexp(log_weights, -2) - log(log_weights.shape[-2])


LEARNER = IWAE
