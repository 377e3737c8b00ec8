"""A learner is a gradient rule: (parameters, minibatch, noise) -> gradient of its objective, summed
over the minibatch.

The backward passes are written out by hand, because that is about twice as fast on a CPU as
recording a graph of these small layers each step; tests hold them against autograd through
objectives.py in float64. Arrays are stacked over R replicas: x (R, M, D), z (R, L*M, N_z), draw l
of datapoint m at row l*M + m.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import log, pi

import numpy as np
import torch
from torch import Tensor

from ..marginal import hmc
from ..models import densities, kernels, nets
from ..models.joint import Joint
from ..models.kernels import Parameters


def decoder_gradient(
    p: Parameters, x: Tensor, z: Tensor, likelihood: str
) -> tuple[Tensor, Parameters, Tensor]:
    """Value and gradient of log p(x|z), the gradient as (1/L) of the sum over datapoints and draws.

    x (..., M, D), z (..., L*M, N_z). Returns the mean of log p(x|z), (...); the gradient with
    respect to the decoder's parameters; and that with respect to the decoder's tanh layer before
    the tanh, (..., L*M, H).
    """
    draws = z.shape[-2] // x.shape[-2]
    h = nets.hidden(z, p, "decoder")
    decoded = nets.output(h, p, "decoder")
    rows = decoded.unflatten(-2, (draws, -1))
    value = kernels.log_likelihood(x.unsqueeze(-3), rows, likelihood, gradient=True).mean((-2, -1))
    if draws > 1:
        decoded.div_(draws)
    gradient, dh = _net_gradient(p, "decoder", z, h, decoded)
    return value, gradient, dh


def _net_gradient(
    p: Parameters, net: str, inputs: Tensor, h: Tensor, dout: Tensor
) -> tuple[Parameters, Tensor]:
    """Back-propagate `dout`, the gradient at the output of `net`, whose tanh layer gave `h` from
    `inputs`: the gradient with respect to the parameters of `net`, and that before the tanh."""
    dh = kernels.tanh_backward(kernels.product(dout, p[f"{net}.output.weight"].mT), h)
    gradient = {
        f"{net}.output.weight": kernels.product(h.mT, dout),
        f"{net}.output.bias": dout.sum(-2, keepdim=True),
        f"{net}.hidden.weight": kernels.product(inputs.mT, dh),
        f"{net}.hidden.bias": dh.sum(-2, keepdim=True),
    }
    return gradient, dh


def _draw_z(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """z = mean + sd * noise (eq. 4 and 10): noise (..., L, M, N_z) -> z (..., L*M, N_z) and sd *
    noise (..., L, M, N_z)."""
    spread = torch.exp(0.5 * log_variance).unsqueeze(-3) * noise
    return (mean.unsqueeze(-3) + spread).flatten(-3, -2), spread


class Learner(ABC):
    """What the training engine asks of a learner."""

    def __init__(self, likelihood: str, draws: int = 1, estimator: str = "B"):
        self.likelihood, self.draws, self.estimator = likelihood, draws, estimator

    @abstractmethod
    def noise(
        self, generator: np.random.Generator, steps: int, batch: int, layout: nets.Layout
    ) -> list[np.ndarray]:
        """Noise of `steps` steps of one replica: arrays whose first axis is the step."""

    @abstractmethod
    def gradient(self, p: Parameters, x: Tensor, noise: list[Tensor]) -> tuple[Tensor, Parameters]:
        """The minibatch's mean bound per datapoint, (...), in nats, and the ascent direction,
        summed over the minibatch, for every parameter. x (..., M, D); `noise` are the arrays of
        `noise()` at this step."""


class AEVB(Learner):
    """Auto-Encoding VB (algorithm 1): stochastic gradient of estimator A (eq. 6) or B (eq. 7) by
    reparameterisation."""

    def noise(self, generator, steps, batch, layout):
        return [
            generator.standard_normal(
                (steps, self.draws, batch, layout.latent_dim), dtype=np.float32
            )
        ]

    def gradient(self, p, x, noise):
        h = nets.hidden(x, p, "encoder")
        out = nets.output(h, p, "encoder")
        mean, log_variance = out.chunk(2, dim=-1)
        z, spread = _draw_z(mean, log_variance, noise[0])
        value, gradient, dh = decoder_gradient(p, x, z, self.likelihood)
        dz = kernels.product(dh, p["decoder.hidden.weight"].mT).view_as(
            spread
        )  # carries the factor 1/L
        dout = torch.empty_like(out)
        dmean, dlog_variance = dout.chunk(2, dim=-1)
        if self.estimator == "A":  # + log p(z) - log q(z|x): -z, and 1/2 for each log-variance
            z = z.view_as(spread)
            value = value + (
                densities.log_prior(z)
                + 0.5 * (log(2 * pi) + log_variance.unsqueeze(-3) + noise[0] ** 2).sum(-1)
            ).mean((-2, -1))
            dz = dz - z / self.draws
            torch.sum(dz, -3, out=dmean)
            torch.sum(dz * spread, -3, out=dlog_variance).mul_(0.5).add_(0.5)
        else:  # - KL, in closed form (appendix B)
            value = value - densities.kl_to_prior(mean, log_variance).mean(-1)
            torch.sub(dz.sum(-3), mean, out=dmean)
            torch.sub(
                (dz * spread).sum(-3).add_(1), torch.exp(log_variance), out=dlog_variance
            ).mul_(0.5)
        return value, gradient | _net_gradient(p, "encoder", x, h, dout)[0]


class WakeSleep(Learner):
    """Wake-sleep (Hinton, Dayan, Frey & Neal 1995) on the same networks, both phases in one step.

    Wake: z ~ q(z|x) for a minibatch x, gradient of log p(x, z) for the decoder. Sleep: z ~ p(z), x
    ~ p(x|z), gradient of log q(z|x) for the encoder. Both are taken at the same parameters. L draws
    in each phase.
    """

    def noise(self, generator, steps, batch, layout):
        latent = (steps, self.draws, batch, layout.latent_dim)
        pixels = (steps, self.draws * batch, layout.pixels)
        fantasy = generator.random if self.likelihood == "bernoulli" else generator.standard_normal
        return [
            generator.standard_normal(latent, dtype=np.float32),
            generator.standard_normal(latent, dtype=np.float32),
            fantasy(pixels, dtype=np.float32),
        ]

    def gradient(self, p, x, noise):
        mean, log_variance = nets.encode(x, p)
        z, _ = _draw_z(mean, log_variance, noise[0])
        value, gradient, _ = decoder_gradient(p, x, z, self.likelihood)
        value = value - densities.kl_to_prior(mean, log_variance).mean(-1)

        z = noise[1].flatten(-3, -2)
        fantasy = self._fantasy(nets.decode(z, p), noise[2])
        h = nets.hidden(fantasy, p, "encoder")
        out = nets.output(h, p, "encoder")
        mean, log_variance = out.chunk(2, dim=-1)
        dout = torch.empty_like(out)
        dmean, dlog_variance = dout.chunk(2, dim=-1)
        residual = z - mean
        torch.mul(residual, torch.exp(-log_variance), out=dmean)
        torch.mul(residual, dmean, out=dlog_variance).sub_(1).mul_(0.5)
        return value, gradient | _net_gradient(p, "encoder", fantasy, h, dout.div_(self.draws))[0]

    def _fantasy(self, decoded: Tensor, noise: Tensor) -> Tensor:
        """x ~ p(x|z) from uniform (Bernoulli) or standard normal (Gaussian) noise, (..., L*M,
        D). Overwrites `decoded`."""
        if self.likelihood == "bernoulli":
            return decoded.sigmoid_().gt_(noise)
        logits, log_variance = decoded.chunk(2, dim=-1)
        return torch.exp(log_variance.mul_(0.5)).mul_(noise).add_(logits.sigmoid_())


LEARNERS: dict[str, type[Learner]] = {"aevb": AEVB, "wake_sleep": WakeSleep}


class MonteCarloEM:
    """Monte Carlo EM (appendix E): no encoder, a persistent chain for every datapoint, updates on
    the whole training set.

    The replicas' step sizes `step_size` (R, 1, 1) belong to the leapfrog integrator. Datapoints are
    visited in chunks, which keeps a chunk's trajectory in cache; their chains are independent, so
    the order does not matter.
    """

    def __init__(self, likelihood: str, options, chunk: int = 500):
        self.likelihood, self.options, self.chunk = likelihood, options, chunk

    def noise(self, generator: np.random.Generator, n: int, latent_dim: int) -> list[np.ndarray]:
        """Momenta (N, N_z) and uniform numbers (N,) of one transition of one replica."""
        return [
            generator.standard_normal((n, latent_dim), dtype=np.float32),
            generator.random(n, dtype=np.float32),
        ]

    def _chunks(self, n: int):
        return (slice(start, start + self.chunk) for start in range(0, n, self.chunk))

    def expectation(
        self, p: Parameters, x: Tensor, chains: Tensor, noise: list[Tensor], step_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E-step: one HMC transition of `chains` (R, N, N_z), in place, towards p(z|x), x (1, N,
        D).

        Returns the mean acceptance (R,) and the step size for the next transition (R, 1, 1).
        """
        accepted = torch.zeros(len(chains), device=x.device)
        for rows in self._chunks(x.shape[1]):
            joint = Joint(p, x[:, rows], self.likelihood)
            momentum, uniform = (array[:, rows] for array in noise)
            state, info = hmc.transition(
                joint,
                hmc.initial(joint, chains[:, rows]),
                momentum,
                uniform,
                step_size,
                self.options.leapfrog,
            )
            chains[:, rows] = state.z
            accepted += info.accepted.sum(1)
        acceptance = accepted / x.shape[1]
        return acceptance, hmc.author_rule(
            step_size, acceptance.view(-1, 1, 1), self.options.acceptance, x.shape[1]
        )

    def gradient(self, p: Parameters, x: Tensor, z: Tensor) -> tuple[Tensor, Parameters]:
        """M-step: mean of log p(x, z) over all datapoints, (R,), and the gradient of its sum for
        the decoder's parameters."""
        n, value, gradient = x.shape[1], densities.log_prior(z).sum(1), {}
        for rows in self._chunks(n):
            part = z[:, rows]
            mean, summands, _ = decoder_gradient(
                p, x[:, rows].expand(len(z), -1, -1), part, self.likelihood
            )
            value = value + mean * part.shape[1]
            gradient = (
                {name: gradient[name] + summand for name, summand in summands.items()}
                if gradient
                else summands
            )
        return value / n, gradient
