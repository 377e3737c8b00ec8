"""A generative adversarial network (Goodfellow et al. 2014) of the size of the paper's networks.

The generator is the decoder of the VAE: z ~ N(0, I), one tanh layer, and a sigmoid whose output is
the image. The discriminator is the encoder with one output, the log odds that an image is real. Of

    V(D, G) = E_data log D(x) + E_z log(1 - D(G(z)))    (equation 1 there)

the discriminator climbs V, and the generator E_z log D(G(z)), the non-saturating form of its
section 3. Its best discriminator is p_data / (p_data + p_G) (equation 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.run import Run
from ...core.streams import stream
from ...engine.stack import BLOCK
from ...models import kernels, nets
from ...models.kernels import Parameters

SLOPE = 0.2  # of the leaky ReLU below 0 (Radford et al. 2015)
BETA_2 = 0.999  # of Adam


class Adam:
    """Descent by Adam (Kingma and Ba 2014, algorithm 1) on named parameters, which change in
    place."""

    def __init__(self, parameters: Parameters, step_size: float, beta_1: float):
        self.names = list(parameters)
        self.own = torch.optim.Adam(
            [part.requires_grad_() for part in parameters.values()],
            step_size,
            (beta_1, BETA_2),
            fused=True,
        )

    def __call__(self, gradient: Parameters) -> None:
        """One step."""
        for name, parameter in zip(self.names, self.own.param_groups[0]["params"], strict=True):
            parameter.grad = gradient[name]
        self.own.step()


def start(generator: np.random.Generator, net: str, sizes: tuple[int, int, int]) -> Parameters:
    """A network with `sizes` inputs, hidden units and outputs: weights (in, out) from
    N(0, 2 / (in + out)) (Glorot and Bengio 2010), biases (1, out) of 0."""
    parameters = {}
    for layer, (rows, columns) in zip(("hidden", "output"), pairwise(sizes), strict=True):
        weight = generator.standard_normal((rows, columns), dtype=np.float32)
        weight *= np.float32((2 / (rows + columns)) ** 0.5)
        parameters[f"{net}.{layer}.weight"] = torch.from_numpy(weight)
        parameters[f"{net}.{layer}.bias"] = torch.zeros(1, columns)
    return parameters


def generated(z: Tensor, p: Parameters) -> Tensor:
    """Images G(z) from 0 to 1: z (n, N_z) -> (n, D)."""
    return nets.decode(z, p).sigmoid()


def hidden(x: Tensor, p: Parameters) -> Tensor:
    """The discriminator's hidden layer: images (n, D) -> (n, H)."""
    a = kernels.product(x, p["encoder.hidden.weight"], p["encoder.hidden.bias"])
    return functional.leaky_relu_(a, SLOPE)


def log_odds(x: Tensor, p: Parameters) -> Tensor:
    """log D(x) / (1 - D(x)): images (n, D) -> (n, 1)."""
    return nets.output(hidden(x, p), p, "encoder")


def backward(x: Tensor, h: Tensor, slope: Tensor, p: Parameters, net: str) -> Parameters:
    """The gradient of one network: x (n, in) and `slope` (n, out), that of what its output layer
    gives; overwritten is `h` (n, H), its hidden layer.

    The slope of that layer's argument, (n, H), comes as "hidden".
    """
    found = {f"{net}.output.weight": kernels.product(h.T, slope)}
    found[f"{net}.output.bias"] = slope.sum(0, keepdim=True)
    before = kernels.product(slope, p[f"{net}.output.weight"].T)
    if net == "decoder":
        before = kernels.tanh_backward(before, h)
    else:
        before = torch.where(h > 0, before, SLOPE * before)
    found[f"{net}.hidden.weight"] = kernels.product(x.T, before)
    found[f"{net}.hidden.bias"] = before.sum(0, keepdim=True)
    return found


def discriminator_gradient(real: Tensor, made: Tensor, d: Parameters) -> Parameters:
    """That of -V, the mean of -log D(real) plus that of -log(1 - D(made)); images (M, D) each."""
    x = torch.cat((real, made))
    h = hidden(x, d)
    slope = nets.output(h, d, "encoder").sigmoid_() / len(real)  # D: of -log(1 - D)
    slope[: len(real)] -= 1 / len(real)  # D - 1: of -log D
    return backward(x, h, slope, d, "encoder")


def generator_gradient(z: Tensor, h: Tensor, made: Tensor, g: Parameters, d: Parameters):
    """That of the mean of -log D(G(z)): z (M, N_z), the generator's hidden layer h (M, H) and what
    it makes of them, `made` (M, D)."""
    own = hidden(made, d)
    slope = (nets.output(own, d, "encoder").sigmoid_() - 1) / len(z)
    before = slope * d["encoder.output.weight"].T
    before = torch.where(own > 0, before, SLOPE * before)
    pixels = kernels.product(before, d["encoder.hidden.weight"].T) * made * (1 - made)
    return backward(z, h, pixels, g, "decoder")


def train(
    run: Run,
    x: Tensor,
    scale: float,
    units: int,
    batch: int,
    step_size: float,
    beta_1: float,
    steps: int,
) -> Iterator[Parameters]:
    """Train on x (N, D), grey values over `scale`: yields the generator, which changes in place,
    after every step, which updates the discriminator and then the generator once.

    The minibatches of real images are those of the VAE of the same `run`; all other random numbers
    come from the stream gan.
    """
    name = (run.experiment, run.latent_dim, run.seed)
    first = stream("gan", *name, algorithm="start")
    g = start(first, "decoder", (run.latent_dim, units, x.shape[1]))
    d = start(first, "encoder", (x.shape[1], units, 1))
    step_of = {net: Adam(own, step_size, beta_1) for net, own in (("g", g), ("d", d))}
    rows = kernels.Rows(x, scale)
    for step in range(steps):
        at = step % BLOCK
        if at == 0:
            generator = stream("minibatch", *name, block=step // BLOCK)
            chosen = torch.from_numpy(generator.integers(0, len(x), (BLOCK, batch)))
            generator = stream("gan", *name, block=step // BLOCK)
            shape = (BLOCK, batch, run.latent_dim)
            noise = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
        with torch.no_grad():
            h = nets.hidden(noise[at], g, "decoder")
            made = nets.output(h, g, "decoder").sigmoid_()
            step_of["d"](discriminator_gradient(rows[chosen[at]], made, d))
            step_of["g"](generator_gradient(noise[at], h, made, g, d))
        yield g
