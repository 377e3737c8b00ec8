"""Posteriors of two latent variables on a grid, with what each family fitted to them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...marginal.modes import EXTENT
from .columns import GRID
from .fitting import Fitted
from .training import Networks

NODES = 56  # of the grid, along each axis
COARSE = 201  # of the one that looks for the posterior
DEPTH = 6.0  # nats below its highest node where a posterior leaves the picture
FLOOR = -60.0  # nats: log densities below are drawn there


def _lattice(low: Tensor, high: Tensor, nodes: int) -> Tensor:
    """Nodes (G, 2) of the rectangle between two corners (2,)."""
    axes = [torch.linspace(float(a), float(b), nodes) for a, b in zip(low, high, strict=True)]
    return torch.cartesian_prod(*axes)


def grid(
    networks: Networks, x: Tensor, fits: dict[str, Fitted], point: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log densities of `point`, (len(GRID), NODES, NODES) as float16, and the corners (2, 2) of a
    square that holds the posterior. The exact one is normalised on that square."""
    own = x[point : point + 1]
    everywhere = torch.full((2,), EXTENT)
    coarse = _lattice(-everywhere, everywhere, COARSE)
    high = networks.log_joint(own, coarse.unsqueeze(1))[:, 0]
    seen = coarse[high > high.max() - DEPTH]
    low, top = seen.min(0).values, seen.max(0).values
    centre, half = (low + top) / 2, 1.1 * (top - low).max() / 2 + 0.02
    corners = torch.stack([centre - half, centre + half])
    z = _lattice(*corners, NODES).unsqueeze(1)
    exact = networks.log_joint(own, z)[:, 0].double()
    cell = (2 * half / (NODES - 1)) ** 2
    found = {"exact": exact - torch.logsumexp(exact, 0) - torch.log(cell)}
    for name, fit in fits.items():
        with torch.no_grad():
            found[name] = fit.log_density(fit.context[point : point + 1], z)[:, 0]
    shown = torch.stack([found[name].double().clamp(min=FLOOR) for name in GRID])
    return shown.view(len(GRID), NODES, NODES).numpy().astype(np.float16), corners.numpy()
