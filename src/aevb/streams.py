"""Random numbers: which run draws which, by one rule.

Every draw comes from a stream that is named by purpose, experiment, latent dimension, seed, algorithm where it
matters, and the number of a block. The name is hashed (SHA-256, first 128 bits) and seeds numpy's SFC64. So

* a run's numbers do not depend on the other runs it is trained with;
* a run resumes at any block without stored generator state;
* AEVB and wake-sleep of one seed start from the same parameters, see the same minibatches and are evaluated with
  the same noise: their difference is a paired one. Only purpose "learner" depends on the algorithm;
* a variant of an experiment, BASE+VARIANT, draws the numbers of its base, so that their difference is a paired one too (as
  far as it draws arrays of the same shape).
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(purpose: str, experiment: str, latent_dim: int, seed: int, *, algorithm: str = "", block: int = 0) -> np.random.Generator:
    """The generator of one block of one stream. Purposes: initial, minibatch, learner, evaluate-train, evaluate-test, variance."""
    name = f"{purpose}/{experiment.partition('+')[0]}/{latent_dim}/{seed}/{algorithm}/{block}"
    return np.random.Generator(np.random.SFC64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")))
