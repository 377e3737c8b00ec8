"""Decoded latent points as pictures: Figures 4 and 5, and the page of latent planes."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ..config import Config
from ..core.run import Run
from ..core.words import number, short
from ..data import DATASETS
from ..models.likelihoods import LIKELIHOODS
from ..results import Gathered
from ..results.words import label


def decode(weights: dict[str, np.ndarray], z: np.ndarray, likelihood: str) -> np.ndarray:
    """Means of the decoder, (n, D) in [0, 1], at the latent points z (n, nz)."""
    return LIKELIHOODS[likelihood].mean(outputs(weights, z))


def outputs(weights: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """What the decoder gives, (n, out), at the latent points z (n, nz)."""
    hidden = np.tanh(
        z @ weights["decoder.hidden.weight"].astype(float) + weights["decoder.hidden.bias"]
    )
    return hidden @ weights["decoder.output.weight"].astype(float) + weights["decoder.output.bias"]


def tile(images: np.ndarray, columns: int, shape: tuple[int, int]) -> np.ndarray:
    """Images (n, D) of `shape` side by side without gaps, row by row from the top left: (rows *
    height, columns * width)."""
    height, width = shape
    rows = len(images) // columns
    return (
        images.reshape(rows, columns, height, width)
        .transpose(0, 2, 1, 3)
        .reshape(rows * height, columns * width)
    )


def manifold_latents(grid: int) -> np.ndarray:
    """Latent points of Figure 4, (grid * grid, 2), row by row from the top left.

    The inverse Gaussian CDF of the cell centres of a regular grid on the unit square: every point
    stands for the same prior probability. The first coordinate grows to the right, the second
    upwards.
    """
    quantiles = ndtri((np.arange(grid) + 0.5) / grid)
    return np.column_stack([np.tile(quantiles, grid), np.repeat(quantiles[::-1], grid)])


def prior_latents(count: int, latent_dim: int, seed: int) -> np.ndarray:
    """Latent points of Figure 5, (count, latent_dim): draws from the prior N(0, I), the same for
    the same seed."""
    return np.random.RandomState(seed).standard_normal((count, latent_dim))


def draw_picture(axis, gathered: Gathered, experiment: str, latents: np.ndarray, grid: int) -> None:
    """One panel of decoder means at `latents` (grid², nz), or the reason why there is none."""
    latent_dim = latents.shape[1]
    axis.set(title=f"{label(experiment)}, $N_z$ = {latent_dim}", xticks=[], yticks=[])
    run = gathered.runs[Run(experiment, "aevb", latent_dim, gathered.config["seeds"][0]).name]
    if run.status == "diverged":
        text = f"this model diverged\nafter {short(run.samples)} samples"
        axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", fontsize=7.5)
        axis.set_aspect("equal")
        return
    picture = tile(decode(run.weights, latents, run.likelihood), grid, DATASETS[run.dataset].shape)
    # 'none' stores the pixels as they are in vector formats.
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axis.set_frame_on(False)


def models_said(gathered: Gathered, entries, study: Config) -> str:
    """Bounds and active units of the models that Figures 4 and 5 draw, in a sentence; `entries`:
    (experiment, N_z)."""
    parts = []
    for name, latent_dim in entries:
        run = gathered.runs[Run(name, "aevb", latent_dim, study.seeds[0]).name]
        text = "diverged"
        if run.status == "completed":
            last = run.curve.iloc[-1]
            bound = number(last["test"], LIKELIHOODS[run.likelihood].decimals)
            units = f"{last['active_units']:g} of {latent_dim} latent units active"
            text = f"{bound} nats, {units}"
        parts.append(f"{label(name)}, N_z = {latent_dim}: {text}")
    return f"Test bounds of the models drawn: {'; '.join(parts)}."
