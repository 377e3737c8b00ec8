"""Figure 4, drawn."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...core.words import plural
from ...data import DATASETS
from ...report.pictures import draw_picture, manifold_latents
from ...report.style import WIDTH, settle, style
from ...results import Gathered
from ...results.words import trained
from . import STUDY


def figure4(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 4: the manifold each AEVB model with two latent dimensions has learned, as decoder
    means (see manifold_latents)."""
    study = gathered.study
    shapes = [
        DATASETS[study.experiments[entry.experiment].dataset].shape for entry in study.figure4
    ]
    aspects = [width / height for height, width in shapes]
    with style():
        figure = Figure(
            figsize=(WIDTH, min(WIDTH / sum(aspects), 4.2) + 0.38), layout="constrained"
        )
        axes = figure.subplots(1, len(aspects), squeeze=False, width_ratios=aspects)[0]
        for axis, entry in zip(axes, study.figure4, strict=True):
            draw_picture(axis, gathered, entry.experiment, manifold_latents(entry.grid), entry.grid)
        figure.suptitle(
            f"Decoder means; AEVB after {trained(study, STUDY.drawn(study))} (1 of "
            f"{plural(len(study.seeds), 'seed')})"
        )
        settle(figure)
    return figure
