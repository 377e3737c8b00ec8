"""The wake-sleep algorithm, which the paper compares with (section 5)."""

from __future__ import annotations

import numpy as np

from ..core.lazy import lazy
from ..models import densities, nets
from ..models.likelihoods import LIKELIHOODS
from . import OnlineLearner
from .gradients import decoder_gradient, draw_z, net_gradient

torch = lazy("torch")


class WakeSleep(OnlineLearner):
    """Wake-sleep (Hinton, Dayan, Frey & Neal 1995) on the same networks, both phases in one step.

    Wake: z ~ q(z|x) for a minibatch x, gradient of log p(x, z) for the decoder. Sleep: z ~ p(z), x
    ~ p(x|z), gradient of log q(z|x) for the encoder. Both phases are taken at the same parameters
    and have L draws.
    """

    key, label, title = "wake_sleep", "wake-sleep", "wake-sleep"
    colour, marker = "#17A589", "^"
    colour_word = "green"

    @staticmethod
    def products(outputs, draws, options):
        return 1 + (2 + 4 * outputs) * draws

    def noise(self, generator, steps, batch, layout):
        latent = (steps, self.training.draws, batch, layout.latent_dim)
        pixels = (steps, self.training.draws * batch, layout.pixels)
        return [
            generator.standard_normal(latent, dtype=np.float32),
            generator.standard_normal(latent, dtype=np.float32),
            LIKELIHOODS[self.likelihood].noise(generator, pixels),
        ]

    def gradient(self, p, x, noise):
        mean, log_variance = nets.encode(x, p)
        z, _ = draw_z(mean, log_variance, noise[0])
        value, gradient, _ = decoder_gradient(p, x, z, self.likelihood)
        value = value - densities.kl_to_prior(mean, log_variance).mean(-1)

        z = noise[1].flatten(-3, -2)
        fantasy = LIKELIHOODS[self.likelihood].sample(nets.decode(z, p), noise[2])
        h = nets.hidden(fantasy, p, "encoder")
        out = nets.output(h, p, "encoder")
        mean, log_variance = out.chunk(2, dim=-1)
        dout = torch.empty_like(out)
        dmean, dlog_variance = dout.chunk(2, dim=-1)
        residual = z - mean
        torch.mul(residual, torch.exp(-log_variance), out=dmean)
        torch.mul(residual, dmean, out=dlog_variance).sub_(1).mul_(0.5)
        return value, gradient | net_gradient(
            p, "encoder", fantasy, h, dout.div_(self.training.draws)
        )[0]


LEARNER = WakeSleep
