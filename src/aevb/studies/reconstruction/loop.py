"""The training loop of the study: AEVB by hand, with any reconstruction term.

The engine's stack knows the likelihoods of its catalogue and an encoder that sees the image as it
is. Here the term may be any, the encoder's input may carry noise, and there may be no posterior.
Start, minibatches, noise of z and Adagrad are the engine's, with the same random numbers: with the
paper's terms this is AEVB (algorithm 1), and terms differ from one another by themselves alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...config.sections import Training
from ...core.run import Run
from ...core.streams import stream
from ...engine import start
from ...engine.stack import BLOCK
from ...learners.gradients import draw_z, net_gradient
from ...models import kernels, nets
from ...models.kernels import Parameters
from .terms import Term


def slope(term: Term, x: Tensor, decoded: Tensor, level: float) -> Tensor:
    """The gradient of the sum of log p(x|z) at the decoder's output, of its shape."""
    with torch.enable_grad():
        leaf = decoded.detach().requires_grad_()
        (found,) = torch.autograd.grad(term.log_density(x, leaf, level).sum(), leaf)
    return found


def gradient(
    term: Term, p: Parameters, x: Tensor, seen: Tensor, noise: Tensor, level: float
) -> Parameters:
    """The gradient of the minibatch's sum of log p(x|z) - KL(q(z|seen) || p(z)) (eq. 7), one z per
    datapoint; without the KL divergence, at the encoder's mean, if the term has no posterior.

    x and `seen`, what the encoder sees, are (M, D); `noise` of z is (M, N_z).
    """
    h = nets.hidden(seen, p, "encoder")
    out = nets.output(h, p, "encoder")
    mean, log_variance = out.chunk(2, dim=-1)
    z, spread = draw_z(mean, log_variance, noise[None]) if term.variational else (mean, None)
    inner = nets.hidden(z, p, "decoder")
    decoded = nets.output(inner, p, "decoder")
    found, dh = net_gradient(p, "decoder", z, inner, slope(term, x, decoded, level))
    dz = kernels.product(dh, p["decoder.hidden.weight"].mT)
    if spread is None:
        dout = torch.cat([dz, torch.zeros_like(dz)], -1)
    else:  # - KL in closed form (appendix B)
        own = 0.5 * (dz * spread[0] + 1 - torch.exp(log_variance))
        dout = torch.cat([dz - mean, own], -1)
    return found | net_gradient(p, "encoder", seen, h, dout)[0]


def train(
    run: Run,
    term: Term,
    x: Tensor,
    scale: float,
    layout: nets.Layout,
    training: Training,
    step_size: float,
    steps: int,
) -> Iterator[Parameters]:
    """Train on x (N, D), grey values over `scale`: yields the parameters, which change in place,
    after every step."""
    name, n = (run.experiment, run.latent_dim, run.seed), len(x)
    theta = layout.view(start.initial(layout, training, stream("initial", *name)))
    prior, factors = nets.REGULARISED[training.prior], start.factors(layout, training)
    squares = {key: torch.full_like(part, training.epsilon) for key, part in theta.items()}
    rows, batch, nz = kernels.Rows(x, scale), training.batch_size, layout.latent_dim
    for step in range(steps):
        if step % BLOCK == 0:
            block = step // BLOCK
            generator = stream("minibatch", *name, block=block)
            chosen = torch.from_numpy(generator.integers(0, n, (BLOCK, batch)))
            generator = stream("learner", *name, algorithm="aevb", block=block)
            noise = generator.standard_normal((BLOCK, batch, nz), dtype="float32")
            noise, own = (
                torch.from_numpy(noise),
                stream("reconstruction-noise-on-x", *name, block=block),
            )
        at, rate = step % BLOCK, step_size if step >= training.warmup_steps else None
        with torch.no_grad():
            seen = target = rows[chosen[at]]
            if term.dequantise:
                seen = target = dequantised(target, own, scale)
            if term.noise:
                seen = corrupted(target, own, term.noise)
            up = gradient(term, theta, target, seen, noise[at], 1 / scale)
            kernels.adagrad(theta, up, squares, rate, batch / n, prior, factors)
        yield theta


def dequantised(x: Tensor, generator, scale: float) -> Tensor:
    """x + u / scale with u ~ U(0, 1) (Theis, van den Oord and Bethge 2016, eq. 5 f.)."""
    u = torch.from_numpy(generator.random(tuple(x.shape), dtype="float32"))
    return x + u / scale


def corrupted(x: Tensor, generator, sd: float) -> Tensor:
    """x + sd * N(0, I)."""
    noise = generator.standard_normal(tuple(x.shape), dtype="float32")
    return x + sd * torch.from_numpy(noise)
