"""Auto-Encoding Variational Bayes (section 2, algorithm 1)."""

from __future__ import annotations

from math import log, pi

import numpy as np

from ..core.lazy import lazy
from ..models import densities, kernels, nets
from . import OnlineLearner
from .gradients import decoder_gradient, draw_z, net_gradient

torch = lazy("torch")


class AEVB(OnlineLearner):
    """Auto-Encoding VB (algorithm 1): stochastic gradient of estimator A (eq. 6) or B (eq. 7) by
    reparameterisation."""

    key, label, title = "aevb", "AEVB", "Auto-Encoding VB"
    colour, marker = "#B3260F", "o"
    colour_word = "red"

    def noise(self, generator, steps, batch, layout):
        return [
            generator.standard_normal(
                (steps, self.training.draws, batch, layout.latent_dim), dtype=np.float32
            )
        ]

    def gradient(self, p, x, noise):
        h = nets.hidden(x, p, "encoder")
        out = nets.output(h, p, "encoder")
        mean, log_variance = out.chunk(2, dim=-1)
        z, spread = draw_z(mean, log_variance, noise[0])
        value, gradient, dh = decoder_gradient(p, x, z, self.likelihood)
        # The gradient for z carries the factor 1/L.
        dz = kernels.product(dh, p["decoder.hidden.weight"].mT).view_as(spread)
        dout = torch.empty_like(out)
        dmean, dlog_variance = dout.chunk(2, dim=-1)
        if self.training.estimator == "A":
            # + log p(z) - log q(z|x): -z, and 1/2 for each log-variance
            z = z.view_as(spread)
            value = value + (
                densities.log_prior(z)
                + 0.5 * (log(2 * pi) + log_variance.unsqueeze(-3) + noise[0] ** 2).sum(-1)
            ).mean((-2, -1))
            dz = dz - z / self.training.draws
            torch.sum(dz, -3, out=dmean)
            torch.sum(dz * spread, -3, out=dlog_variance).mul_(0.5).add_(0.5)
        else:  # - KL, in closed form (appendix B)
            value = value - densities.kl_to_prior(mean, log_variance).mean(-1)
            torch.sub(dz.sum(-3), mean, out=dmean)
            torch.sub(
                (dz * spread).sum(-3).add_(1), torch.exp(log_variance), out=dlog_variance
            ).mul_(0.5)
        return value, gradient | net_gradient(p, "encoder", x, h, dout)[0]


LEARNER = AEVB
