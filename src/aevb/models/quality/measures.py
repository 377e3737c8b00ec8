"""Measures of a set of images: blur, classes, and the distance to another set."""

from __future__ import annotations

import numpy as np

LEAST = 0.01  # share of the samples from which a class counts as covered


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Frechet distance between Gaussians fitted to features a (n, F) and b (m, F):

        |mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2)

    (Dowson and Landau 1982, equation 4; Heusel et al. 2017 call it FID where features are those of
    the Inception network, which here they are not). It is too large on average by a term that falls
    as 1/n: compare sets of one size.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    root = _root(np.cov(a, rowvar=False, ddof=1))
    other = np.atleast_2d(np.cov(b, rowvar=False, ddof=1))
    crossed = np.linalg.eigvalsh(root @ other @ root).clip(min=0)
    spread = np.trace(root @ root) + np.trace(other) - 2 * np.sqrt(crossed).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + spread)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def high_frequency(images: np.ndarray, shape: tuple[int, int]) -> float:
    """The share of spectral energy above half the Nyquist frequency, over all images (n, D) of
    `shape`: sum of |2-D FFT|^2 at more than 1/4 cycle per pixel in any direction, over the sum
    without the mean of each image. 0 if no image has any contrast."""
    x = np.asarray(images, float).reshape(-1, *shape)
    x = x - x.mean((1, 2), keepdims=True)
    if np.abs(x).max() < 1e-9:  # what rounding leaves of constants
        return 0.0
    energy = (np.abs(np.fft.fft2(x)) ** 2).sum(0)
    rows, columns = (np.fft.fftfreq(size) for size in shape)
    high = np.hypot(rows[:, None], columns) > 0.25
    return float(energy[high].sum() / energy.sum())


def class_shares(probabilities: np.ndarray) -> np.ndarray:
    """The share of samples of each class: p(class | image) (n, C) -> (C,), by the most probable."""
    n, classes = probabilities.shape
    return np.bincount(probabilities.argmax(1), minlength=classes) / n


def coverage(shares: np.ndarray, least: float = LEAST) -> int:
    """How many classes have at least the share `least`."""
    return int((np.asarray(shares) >= least).sum())


def entropy(shares: np.ndarray) -> float:
    """- sum p log p of shares (C,), nats: log C where classes are alike, 0 where there is one."""
    shares = np.asarray(shares, float)
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum())
