"""Images with missing quadrants, and what the nearest training images make of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ROWS = 500  # images whose distances to all training images are held at a time
COUNTS = (1, 2, 5, 10, 20, 50, 100)  # neighbours to choose from
EPSILONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
HELD = 1000  # last training images held out for that choice, at most a fifth of all


class Parts(NamedTuple):
    """Images in two parts, each (N, pixels)."""

    observed: Tensor
    missing: Tensor


class Choice(NamedTuple):
    """How many neighbours, and how far from 0 and 1 their mean is clipped."""

    neighbours: int
    epsilon: float


def mask(shape: tuple[int, int], observed: int) -> np.ndarray:
    """Which pixels (D,) are observed: the lower left quadrant, the upper left, the upper right, the
    first `observed` of them (as Sohn et al., and Pyro's tutorial)."""
    seen, (half, middle) = np.zeros(shape, bool), (shape[0] // 2, shape[1] // 2)
    places = [(slice(half, None), slice(None, middle)), (slice(None, half), slice(None, middle))]
    places.append((slice(None, half), slice(middle, None)))
    for place in places[:observed]:
        seen[place] = True
    return seen.ravel()


def parts(x: Tensor, seen: np.ndarray) -> Parts:
    """x (N, D) in its observed and its missing pixels."""
    where = torch.from_numpy(seen)
    return Parts(x[:, where].contiguous(), x[:, ~where].contiguous())


def nearest(among: Parts, observed: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the images of `among` whose observed pixels are the nearest, by
    Euclid's distance, the nearest first."""
    squares, found = (among.observed**2).sum(1), []
    for rows in observed.split(ROWS):
        distance = torch.addmm(squares, rows, among.observed.T, alpha=-2)
        found.append(distance.topk(count, dim=1, largest=False, sorted=True).indices)
    return torch.cat(found)


def log_density(missing: Tensor, mean: Tensor, epsilon: float) -> np.ndarray:
    """log p of missing pixels (N, pixels), Bernoulli with probabilities `mean`, clipped to between
    epsilon and 1 - epsilon: (N,), nats."""
    p = mean.double().clamp(epsilon, 1 - epsilon)
    x = missing.double()
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(1).numpy()


def averaged(among: Parts, index: Tensor) -> Tensor:
    """Mean of the missing pixels of the images `index` (N, k): (N, pixels)."""
    total = torch.zeros(len(index), among.missing.shape[1])
    for column in index.T:
        total += among.missing[column]
    return total / index.shape[1]


def choose(train: Parts) -> tuple[Choice, Choice]:
    """The choice with one neighbour, and the choice of all, that give the highest log density on
    the last training images, from the others."""
    held = min(HELD, len(train.observed) // 5)
    rest, own = (Parts(*(a[s] for a in train)) for s in (slice(None, -held), slice(-held, None)))
    counts = [k for k in COUNTS if k <= len(rest.observed)]
    index = nearest(rest, own.observed, counts[-1])
    scores = {}
    for k in counts:
        mean = averaged(rest, index[:, :k])
        for epsilon in EPSILONS:
            scores[Choice(k, epsilon)] = log_density(own.missing, mean, epsilon).mean()
    single = {choice: score for choice, score in scores.items() if choice.neighbours == 1}
    return max(single, key=single.get), max(scores, key=scores.get)
