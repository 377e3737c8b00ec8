"""How disentangled codes are, where the factors are known: MIG and the metric of FactorVAE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PRUNED = 0.05  # standard deviation of a mean below which its latent variable takes no part


def entropies(factors: np.ndarray) -> np.ndarray:
    """Entropy of every factor (N, K) in nats: (K,)."""
    counts = [np.unique(column, return_counts=True)[1] for column in factors.T]
    shares = [count / count.sum() for count in counts]
    return np.array([-(share * np.log(share)).sum() for share in shares])


def gaps(information: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    """Mutual information gap of every factor, (K,): by how much the latent variable that says most
    of it says more than the next, as a share of its entropy (Chen et al. 2018, eq. 6).

    `information` (N_z, K) and `entropy` (K,) in nats; the mean of the gaps is the MIG.
    """
    top = np.sort(information, axis=0)
    return (top[-1] - top[-2]) / entropy


def vote_score(
    generator: np.random.Generator,
    mean: np.ndarray,
    factors: np.ndarray,
    sizes: Sequence[int],
    votes: int,
    images: int,
) -> tuple[float, int]:
    """The metric of Kim and Mnih (2018, section 4), and how many latent variables take part.

    A vote: `images` images share one value of a factor and are random otherwise; cast for the
    latent variable whose mean varies least among them, relative to its variance over all. Each
    latent variable stands for the factor that it won most often. The metric is the share of as many
    fresh votes that this rule gets right; where no latent variable takes part, that of the best
    constant answer. `mean` (N, N_z), `factors` (N, K) the whole grid in row-major order, with
    `sizes` values each.
    """
    spread = mean.std(0)
    live = np.flatnonzero(spread >= PRUNED)
    codes = mean[:, live] / spread[live]
    drawn = [_ballots(generator, codes, sizes, votes, images) for _ in range(2)]
    table = np.zeros((max(1, len(live)), len(sizes)))
    np.add.at(table, drawn[0], 1)
    won, factor = drawn[1]
    return float((table.argmax(1)[won] == factor).mean()), len(live)


def _ballots(
    generator: np.random.Generator, codes: np.ndarray, sizes: Sequence[int], votes: int, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each vote the latent variable that it is cast for and the factor that was held: (V,)."""
    held = generator.integers(0, len(sizes), votes)
    at = np.stack([generator.integers(0, size, (votes, images)) for size in sizes])
    rows = np.arange(votes)
    at[held, rows] = at[held, rows, :1]
    found = codes[np.ravel_multi_index(tuple(at), sizes)]
    if not codes.shape[1]:
        return np.zeros(votes, int), held
    return found.var(axis=1).argmin(1), held
