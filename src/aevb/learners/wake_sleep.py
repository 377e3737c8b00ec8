"""The wake-sleep algorithm, which the paper compares with (section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ..core.lazy import lazy
from ..core.sections import Strict
from ..models import densities, nets
from ..models.likelihoods import LIKELIHOODS
from . import OnlineLearner
from .gradients import decoder_gradient, draw_z, net_gradient

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.kernels import Parameters

torch = lazy("torch")


class Options(Strict):
    """The wake-sleep algorithm (section 5), where the paper leaves it open."""

    sleep: Literal["same", "after"] = Field(
        "same",
        description="the decoder that fantasies come from: the one of the wake phase, or the one "
        "it has just updated (the author's code)",
    )
    clip_fantasies: bool = Field(
        False,
        description="clip the fantasies of a continuous likelihood to [0, 1], as one of the "
        "author's programs does and another does not",
    )


class WakeSleep(OnlineLearner):
    """Wake-sleep (Hinton, Dayan, Frey & Neal 1995) on the same networks, both phases in one step.

    Wake: z ~ q(z|x) for a minibatch x, gradient of log p(x, z) for the decoder. Sleep: z ~ p(z), x
    ~ p(x|z), gradient of log q(z|x) for the encoder. Both have L draws. Unless the options say
    otherwise, both phases are taken at the same parameters.
    """

    key, label, title = "wake_sleep", "wake-sleep", "wake-sleep"
    colour, marker = "#17A589", "^"
    colour_word = "green"
    Options = Options

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
        value, gradient = self.wake(p, x, noise)
        return value, gradient | self.sleep(p, noise)

    def step(self, p, x, noise, ascend):
        if self.options.sleep == "same":
            return super().step(p, x, noise, ascend)
        value, gradient = self.wake(p, x, noise)
        ascend({name: p[name] for name in gradient}, gradient)
        gradient = self.sleep(p, noise)
        ascend({name: p[name] for name in gradient}, gradient)
        return value

    def wake(self, p: Parameters, x: Tensor, noise: list[Tensor]) -> tuple[Tensor, Parameters]:
        """The minibatch's mean bound, (...), and the gradient of log p(x, z) for the decoder."""
        mean, log_variance = nets.encode(x, p)
        z, _ = draw_z(mean, log_variance, noise[0])
        value, gradient, _ = decoder_gradient(p, x, z, self.likelihood)
        return value - densities.kl_to_prior(mean, log_variance).mean(-1), gradient

    def sleep(self, p: Parameters, noise: list[Tensor]) -> Parameters:
        """The gradient of log q(z|x) for the encoder, at fantasies (x, z) of the decoder."""
        likelihood = LIKELIHOODS[self.likelihood]
        z = noise[1].flatten(-3, -2)
        fantasy = likelihood.sample(nets.decode(z, p), noise[2])
        if self.options.clip_fantasies and likelihood.continuous:
            fantasy = fantasy.clamp_(0, 1)
        h = nets.hidden(fantasy, p, "encoder")
        out = nets.output(h, p, "encoder")
        mean, log_variance = out.chunk(2, dim=-1)
        dout = torch.empty_like(out)
        dmean, dlog_variance = dout.chunk(2, dim=-1)
        residual = z - mean
        torch.mul(residual, torch.exp(-log_variance), out=dmean)
        torch.mul(residual, dmean, out=dlog_variance).sub_(1).mul_(0.5)
        return net_gradient(p, "encoder", fantasy, h, dout.div_(self.training.draws))[0]


LEARNER = WakeSleep
