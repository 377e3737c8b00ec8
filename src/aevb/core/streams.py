"""Random numbers: which run draws which, by one rule.

Every draw comes from a stream that is named by purpose, experiment, latent dimension, seed,
algorithm where it matters, and the number of a block. The name is hashed (SHA-256). On a CPU the
first 128 bits seed numpy's SFC64. On a GPU the first 63 bits seed torch's generator (Philox), which
draws other numbers by the same rule (engine/gpu.py). So

* a run's numbers do not depend on the other runs it is trained with;
* a run resumes at any block without stored generator state;
* AEVB and wake-sleep of one seed start from the same parameters, see the same minibatches and are
  evaluated with the same noise: their difference is a paired one. Only purpose "learner" depends on
  the algorithm;
* a variant of an experiment, BASE+VARIANT, draws the numbers of its base, so that their difference
  is a paired one too (as far as it draws arrays of the same shape).
"""

from __future__ import annotations

import hashlib

import numpy as np

from .run import split


def stream(
    purpose: str,
    experiment: str,
    latent_dim: int,
    seed: int,
    *,
    algorithm: str = "",
    block: int = 0,
) -> np.random.Generator:
    """The generator of one block of one stream.

    Purposes: initial, minibatch, learner, chains, evaluate-train, evaluate-test, evidence-train,
    evidence-test, estimators, variance.
    """
    return np.random.Generator(
        np.random.SFC64(_hash(purpose, experiment, latent_dim, seed, algorithm, block) % 2**128)
    )


def device_seed(
    purpose: str,
    experiment: str,
    latent_dim: int,
    seed: int,
    *,
    algorithm: str = "",
    block: int = 0,
) -> int:
    """The seed of the same block of the same stream for a generator that takes 63 bits."""
    return _hash(purpose, experiment, latent_dim, seed, algorithm, block) % 2**63


def _hash(purpose: str, experiment: str, *name) -> int:
    name = (purpose, split(experiment)[0], *name)
    return int.from_bytes(hashlib.sha256("/".join(map(str, name)).encode()).digest(), "little")
