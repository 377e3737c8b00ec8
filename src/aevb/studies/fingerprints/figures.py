"""The fingerprints as a figure: readings against the paper's curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...learners import LEARNERS
from ...report.style import WIDTH, settle, style
from ...results import Gathered
from ...results.words import label
from .numbers import fingerprints as scores_of

LEAST, MOST = 1, 30  # of the colours: up to 1 is what the paper's own reading would have
FRAME = "#B3260F"


def fingerprints(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A panel per experiment: the score of every reading (rows) for every curve (columns), as a
    number and as a colour. A frame marks the closest of a curve."""
    table = scores_of(gathered, paper)
    table = table[table["latent_dim"].notna()]
    parts = list(table.groupby("experiment", sort=False))
    heights = [part["reading"].nunique() for _, part in parts] or [1]
    with style():
        height = 0.24 * sum(heights) + 0.9 * len(heights)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(
            len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        for axis, (experiment, part) in zip(axes, parts, strict=False):
            _panel(axis, part)
            axis.set_title(label(experiment), fontsize=8, loc="left")
        settle(figure)
    return figure


def _panel(axis, part: pd.DataFrame) -> None:
    columns = list(dict.fromkeys(zip(part["algorithm"], part["latent_dim"], strict=True)))
    columns.sort(key=lambda column: (list(LEARNERS).index(column[0]), column[1]))
    readings = list(dict.fromkeys(part["reading"]))
    scores = np.full((len(readings), len(columns)), np.nan)
    for row in part.itertuples():
        scores[readings.index(row.reading), columns.index((row.algorithm, row.latent_dim))] = (
            row.score
        )
    words = np.vectorize(_word)(scores)
    seaborn.heatmap(
        np.where(np.isinf(scores), 1e9, scores),
        ax=axis,
        annot=words,
        fmt="",
        annot_kws={"fontsize": 6.5},
        norm=LogNorm(LEAST, MOST),
        cmap="viridis_r",
        cbar=False,
        linewidths=0.5,
        yticklabels=readings,
        xticklabels=[f"{LEARNERS[a].label}\n$N_z$ = {n:g}" for a, n in columns],
    )
    axis.grid(False)
    axis.tick_params(length=0)
    axis.set_yticklabels(readings, rotation=0)
    for column in range(len(columns)):
        if np.isfinite(scores[:, column]).any():
            best = int(np.nanargmin(scores[:, column]))
            axis.add_patch(
                Rectangle((column, best), 1, 1, fill=False, edgecolor=FRAME, linewidth=1.5)
            )


def _word(score: float) -> str:
    if np.isnan(score):
        return ""
    if np.isinf(score):
        return "∞"
    return f"{score:.1f}" if score < 99.5 else "> 99"
