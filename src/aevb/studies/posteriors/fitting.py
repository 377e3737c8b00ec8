"""q(z|x) of each datapoint for itself, on a decoder that stays as it is.

Every datapoint has all weights of q to itself: the context is 0, and nothing is shared. What such
a q leaves of log p(x) is the approximation gap of its family, as there is no encoder to blame
(Cremer, Li and Duvenaud 2018), as far as the steps of the fit find the best one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ...core.streams import device_seed, stream
from ...marginal.proposals import DiagonalGaussian
from ..gaps.gaussian import balanced, best_gaussian
from .diagonal import Diagonal
from .measuring import BOUND_DRAWS
from .training import FAMILIES, Networks, Place, descent

ASCENT_DRAWS, ASCENT_STEPS = 64, 40  # as the study gaps has them
MEMORY_MB = 500.0
RATE = 0.01  # of Adam, falling linearly to 0


class Fitted(nn.Module):
    """q(z|x) for N datapoints, without an encoder: a copy of `q`, whose context has one entry, for
    each of them. `context` says which datapoints are meant: (N, 1), their numbers."""

    def __init__(self, q: nn.Module, points: int):
        super().__init__()
        self.template = [q]  # a list, so that its weights are not among the parameters
        self.names = [name for name, _ in q.named_parameters()]
        self.own = nn.ParameterList(
            part.detach().expand(points, *part.shape).clone() for part in q.parameters()
        )
        self.context = torch.arange(float(points)).unsqueeze(1)
        self.late = np.zeros(points)  # nats that the last quarter of the steps added to the bound

    def place(self, name: str, rows: Tensor) -> None:
        """Give a parameter of q these values, a row per datapoint."""
        with torch.no_grad():
            self.own[self.names.index(name)].copy_(rows)

    def _each(self, method: str, context: Tensor, values: Tensor, out):
        """What a method of q says of values (K, N, N_z), each datapoint with its own weights."""
        [q], rows = self.template, context[:, 0].long()
        own = {name: part[rows] for name, part in zip(self.names, self.own, strict=True)}

        def one(parameters: dict, value: Tensor):
            call = functional_call(_Method(q, method), _prefixed(parameters), (value.unsqueeze(1),))
            return tuple(part.squeeze(1) for part in call) if out == (1, 1) else call.squeeze(1)

        return vmap(one, in_dims=(0, 1), out_dims=out)(own, values)

    def forward(self, context: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z and log q(z|x): noise (K, N, N_z) -> (K, N, N_z) and (K, N)."""
        return self._each("forward", context, noise, (1, 1))

    def log_density(self, context: Tensor, z: Tensor) -> Tensor:
        """log q(z|x) of any z (K, N, N_z): (K, N)."""
        return self._each("log_density", context, z, 1)


class _Method(nn.Module):
    """A method of q, with a context of 0, as torch calls modules."""

    def __init__(self, q: nn.Module, method: str):
        super().__init__()
        self.q, self.method = q, method

    def forward(self, values: Tensor):
        return getattr(self.q, self.method)(torch.zeros(1, 1), values)


def _prefixed(parameters: dict) -> dict:
    return {f"q.{name}": part for name, part in parameters.items()}


def fitted(
    networks: Networks, x: Tensor, family: str, place: Place, draws: int, steps: int
) -> Fitted:
    """The q of `family` with the highest bound that was found for each of x (N, D), near the best
    diagonal Gaussian; a flow starts there as the identity, and climbs for `steps` steps with
    `draws` samples of z per datapoint. Raises FloatingPointError if a bound is no number."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(device_seed("posteriors-fit", *place))
        q = FAMILIES[family](place.latent_dim, 1)
    found, best = Fitted(q, len(x)), _best(networks, x, place)
    base = "base.bias" if family == "diagonal" else "start.base.bias"
    found.place(base, torch.cat([best.mean, best.log_variance], 1))
    if family == "diagonal":
        return found
    noise = stream("posteriors-fit", *place)
    for parameter in networks.parameters():
        parameter.requires_grad_(False)

    def bound(eps: np.ndarray) -> Tensor:
        z, log_q = found(found.context, torch.from_numpy(eps))
        return (networks.log_joint(x, z) - log_q).mean(0)

    shape = (len(x), place.latent_dim)
    generator = stream("posteriors-late", *place)
    fixed = generator.standard_normal((BOUND_DRAWS, *shape), dtype=np.float32)
    for slope in descent([*found.parameters()], steps, RATE):
        if slope.step == steps - steps // 4 + 1:
            with torch.no_grad():
                before = bound(fixed)
        slope.down(-bound(noise.standard_normal((draws, *shape), dtype=np.float32)).sum())
    with torch.no_grad():
        found.late = (bound(fixed) - before).numpy().astype(float)
    return found


def _best(networks: Networks, x: Tensor, place: Place) -> DiagonalGaussian:
    """The best diagonal Gaussians, from where the encoder's are (study gaps)."""
    with torch.no_grad():
        q = networks.q if isinstance(networks.q, Diagonal) else networks.q.start
        own = DiagonalGaussian(*q.moments(networks.encoder(x)))
    draws = max(ASCENT_DRAWS, 2 * place.latent_dim)
    eps = balanced(stream("posteriors-ascent", *place), len(x), draws, place.latent_dim, own.mean)
    return best_gaussian(networks.joint(x), own, eps, ASCENT_STEPS, MEMORY_MB).best
