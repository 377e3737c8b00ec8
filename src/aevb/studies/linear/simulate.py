"""Data with a known W, and where learning starts; all from streams of the study's own."""

from __future__ import annotations

import numpy as np

from ...core.streams import stream
from .closed import Model, Moments, rotated

STRONGEST, WEAKEST = 8.0, 1.0  # squared lengths of the columns of W before they are rotated
VARIANCE = 1.0  # sigma^2


def rotation(generator: np.random.Generator, size: int) -> np.ndarray:
    """A uniform rotation or reflection (size, size): QR with a positive diagonal (Stewart
    1980)."""
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def true_model(generator: np.random.Generator, latent_dim: int, d: int) -> Model:
    """A model whose covariance has N_z eigenvalues from 9 to 2, geometrically spaced in the squared
    lengths, and D - N_z of 1. Its latent variables are rotated at random."""
    lengths = np.sqrt(np.geomspace(STRONGEST, WEAKEST, latent_dim))
    directions = rotation(generator, d)[:, :latent_dim]
    model = Model(directions * lengths, generator.standard_normal(d), VARIANCE)
    return rotated(model, rotation(generator, latent_dim))


def draw(model: Model, generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """x (n, D) and the latents z (n, N_z) that made them, which are exact posterior samples."""
    d, latent_dim = model.w.shape
    z = generator.standard_normal((n, latent_dim))
    noise = np.sqrt(model.variance) * generator.standard_normal((n, d))
    return z @ model.w.T + model.mean + noise, z


def data(latent_dim: int, d: int, n: int, seed: int) -> tuple[Model, np.ndarray, np.ndarray]:
    """The true model of a seed, x (n, D) and z (n, N_z), from stream linear-data."""
    generator = stream("linear-data", f"d{d}", latent_dim, seed)
    model = true_model(generator, latent_dim, d)
    return model, *draw(model, generator, n)


def em_start(
    generator: np.random.Generator, moments: Moments, latent_dim: int, variance: float | None = None
) -> Model:
    """Where EM starts: mu at the data's mean, W standard normal, sigma^2 (unless it is given) the
    mean variance of a pixel."""
    d = len(moments.mean)
    w = generator.standard_normal((d, latent_dim))
    return Model(w, moments.mean, variance or float(np.trace(moments.covariance)) / d)
