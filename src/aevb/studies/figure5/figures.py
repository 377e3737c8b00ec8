"""Figure 5, drawn."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...core.words import plural
from ...report.pictures import draw_picture, prior_latents
from ...report.style import WIDTH, settle, style
from ...results import Gathered
from ...results.words import trained
from . import STUDY


def figure5(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 5: random samples of the prior decoded to means, one panel for each AEVB model."""
    study = gathered.study
    seed, rows = study.seeds[0], len(study.figure5)
    columns = max(len(entry.latent_dims) for entry in study.figure5)
    with style():
        figure = Figure(
            figsize=(WIDTH, 0.22 + rows * (WIDTH / max(columns, 2) + 0.15)), layout="constrained"
        )
        axes = figure.subplots(rows, columns, squeeze=False)
        for entry, line in zip(study.figure5, axes, strict=True):
            for axis, latent_dim in zip(line, entry.latent_dims, strict=False):
                draw_picture(
                    axis,
                    gathered,
                    entry.experiment,
                    prior_latents(entry.grid**2, latent_dim, seed),
                    entry.grid,
                )
            for axis in line[len(entry.latent_dims) :]:
                axis.remove()
        figure.suptitle(
            f"Random samples, as decoder means; AEVB after {trained(study, STUDY.drawn(study))} "
            f"(1 of {plural(len(study.seeds), 'seed')})"
        )
        settle(figure)
    return figure
