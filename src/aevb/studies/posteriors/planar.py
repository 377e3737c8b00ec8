"""Planar flows (Rezende and Mohamed 2015), written out: the readable case of a normalising flow.

A layer bends the space along one direction w:

    f(z) = z + u tanh(w'z + b)                                       (their eq. 10)
    log |det df/dz| = log(1 + u'w (1 - tanh^2(w'z + b)))             (eq. 11 and 12)
    log q(f(z)) = log q(z) - log |det df/dz|                         (eq. 5 to 7)

f is invertible where w'u > -1. So u is moved along w until w'u = m(w'u), m(a) = -1 + log(1 + e^a)
(appendix A.1). Here m(a) = -1 + log(1 + (e - 1) e^a): then m(0) = 0, and u = 0 is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import e, log

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .diagonal import Diagonal

LAYERS = 10
HALVINGS = 60  # of an interval, to invert a layer in float64


class Planar(nn.Module):
    """Planar layers on a diagonal Gaussian; u, w and b of each are linear in the context. At the
    start the layers are the identity."""

    def __init__(self, latent_dim: int, width: int):
        super().__init__()
        self.start, self.latent_dim = Diagonal(latent_dim, width), latent_dim
        self.layers = nn.Linear(width, LAYERS * (2 * latent_dim + 1))
        nn.init.zeros_(self.layers.weight)
        u, w, b = self._apart(self.layers.bias.data)
        u.zero_()
        w.normal_(std=latent_dim**-0.5)
        b.zero_()

    def _apart(self, rows: Tensor) -> tuple[Tensor, ...]:
        """u, w (..., LAYERS, N_z) and b (..., LAYERS, 1): views of rows (..., outputs)."""
        return rows.unflatten(-1, (LAYERS, -1)).split([self.latent_dim, self.latent_dim, 1], -1)

    def _each(self, context: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """u with w'u > -1, w, each (N, N_z), and b (N,), layer by layer."""
        u, w, b = self._apart(self.layers(context))
        along = (w * u).sum(-1, keepdim=True)
        allowed = softplus(along + log(e - 1)) - 1
        u = u + (allowed - along) * w / (w**2).sum(-1, keepdim=True)
        yield from zip(u.unbind(-2), w.unbind(-2), b.squeeze(-1).unbind(-1), strict=True)

    def forward(self, context: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z and log q(z|x): noise (K, N, N_z) -> (K, N, N_z) and (K, N)."""
        z, log_q = self.start(context, noise)
        for u, w, b in self._each(context):
            bend = torch.tanh((w * z).sum(-1) + b)
            log_q = log_q - torch.log1p((u * w).sum(-1) * (1 - bend**2))
            z = z + u * bend.unsqueeze(-1)
        return z, log_q

    def log_density(self, context: Tensor, z: Tensor) -> Tensor:
        """log q(z|x) of any z (K, N, N_z): (K, N), in float64.

        The inverse of a layer is a root in one dimension: a = w'z solves w'f = a + w'u tanh(a + b),
        which rises in a, and lies within |w'u| of w'f.
        """
        z, bent = z.double(), torch.zeros(z.shape[:-1], dtype=torch.float64)
        for u, w, b in reversed([[part.double() for part in each] for each in self._each(context)]):
            at, along = (w * z).sum(-1), (w * u).sum(-1)
            low, high = at - along.abs(), at + along.abs()
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                below = middle + along * torch.tanh(middle + b) < at
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            bend = torch.tanh((low + high) / 2 + b)
            z = z - u * bend.unsqueeze(-1)
            bent = bent + torch.log1p(along * (1 - bend**2))
        mean, log_variance = (part.double() for part in self.start.moments(context))
        from_start = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        return from_start.log_prob(z).sum(-1) - bent
