"""q(z|x) of each datapoint for itself, on a decoder that stays as it is.

A context of one-hot vectors makes the outputs of q's linear layers parameters of one datapoint
each; the weights behind an autoregressive step's first layer are shared. What such a q leaves of
log p(x) is the approximation gap of its family, as there is no encoder to blame (Cremer, Li and
Duvenaud 2018).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ...core.streams import device_seed, stream
from ...marginal.proposals import DiagonalGaussian
from ..gaps.gaussian import balanced, best_gaussian
from .diagonal import Diagonal
from .training import FAMILIES, Networks, Place, descent

ASCENT_DRAWS, ASCENT_STEPS = 64, 40  # as the study gaps has them
MEMORY_MB = 500.0
RATE = 0.01  # of Adam, falling linearly to 0


class Fitted(nn.Module):
    """q(z|x) for N datapoints, without an encoder."""

    def __init__(self, q: nn.Module, points: int):
        super().__init__()
        self.q, self.context = q, torch.eye(points)


def fitted(
    networks: Networks, x: Tensor, family: str, place: Place, draws: int, steps: int
) -> Fitted:
    """The q of `family` with the highest bound for each of x (N, D), near the best diagonal
    Gaussian; a flow starts there as the identity, and climbs for `steps` steps with `draws`
    samples of z per datapoint."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(device_seed("posteriors-fit", *place))
        q = FAMILIES[family](place.latent_dim, len(x))
    found = Fitted(q, len(x))
    _place(q if isinstance(q, Diagonal) else q.start, _best(networks, x, place))
    if family == "diagonal":
        return found
    noise = stream("posteriors-fit", *place)
    for parameter in networks.parameters():
        parameter.requires_grad_(False)
    for slope in descent([*q.parameters()], steps, RATE):
        eps = noise.standard_normal((draws, len(x), place.latent_dim), dtype=np.float32)
        z, log_q = q(found.context, torch.from_numpy(eps))
        slope.down((log_q - networks.log_joint(x, z)).mean(0).sum())
    return found


def _best(networks: Networks, x: Tensor, place: Place) -> DiagonalGaussian:
    """The best diagonal Gaussians, from where the encoder's are (study gaps)."""
    with torch.no_grad():
        q = networks.q if isinstance(networks.q, Diagonal) else networks.q.start
        own = DiagonalGaussian(*q.moments(networks.encoder(x)))
    draws = max(ASCENT_DRAWS, 2 * place.latent_dim)
    eps = balanced(stream("posteriors-ascent", *place), len(x), draws, place.latent_dim, own.mean)
    return best_gaussian(networks.joint(x), own, eps, ASCENT_STEPS, MEMORY_MB).best


def _place(start: Diagonal, best: DiagonalGaussian) -> None:
    """Give `start`, with a one-hot context, the Gaussians `best`."""
    with torch.no_grad():
        start.base.weight.copy_(torch.cat([best.mean, best.log_variance], 1).T)
        start.base.bias.zero_()
