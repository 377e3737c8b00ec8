"""Test images and their reconstructions, drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...core.words import number, plural
from ...data import DATASETS
from ...learners import LEARNERS
from ...report.pictures import tile
from ...report.style import WIDTH, settle, style
from ...results import Gathered
from ...results.words import label, trained
from ..figure4.encoding import WHITE
from . import STUDY, Panel

GAP = 0.3  # of an image's height, between N_z
TALLEST = 7.5  # inches


def reconstructed(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """One panel per experiment: a row of test images, then a row per model, by N_z."""
    study = gathered.study
    panels = study.reconstructed
    shares = [_height(study, panel) / _width(study, panel) for panel in panels]
    wide = 1.45  # inches of a panel that names and errors take
    height = min(max(shares) * (WIDTH / len(panels) - wide) + 0.5, TALLEST)
    with style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            _draw(axis, gathered, panel)
        runs = [run for run, _ in STUDY.runs(study)]
        figure.suptitle(
            f"Test images and their reconstructions; after {trained(study, runs)} (1 of "
            f"{plural(len(study.seeds), 'seed')})"
        )
        settle(figure)
    return figure


def _width(study, panel: Panel) -> float:
    return panel.images * DATASETS[study.experiments[panel.experiment].dataset].shape[1]


def _height(study, panel: Panel) -> float:
    """Of a panel in pixels of its images."""
    rows = 1 + len(panel.latent_dims) * (len(panel.algorithms) + GAP)
    return rows * DATASETS[study.experiments[panel.experiment].dataset].shape[0]


def _draw(axis, gathered: Gathered, panel: Panel) -> None:
    """One panel: rows of pictures as images of their own, between y = 0 at the top and the foot."""
    study, tables = gathered.study, gathered.of("reconstructed")
    shape = DATASETS[study.experiments[panel.experiment].dataset].shape
    width, foot, names = _width(study, panel), 0.0, {}

    def row(images: np.ndarray) -> None:
        extent = (0, width, foot + shape[0], foot)
        picture = tile(images, panel.images, shape)
        # 'none' stores the pixels as they are in vector formats.
        axis.imshow(picture, cmap="gray", vmin=0, vmax=WHITE, interpolation="none", extent=extent)

    models = STUDY.models(study, panel)
    inputs = [tables[run.name].arrays["inputs"] for run in models if run.name in tables]
    if inputs:
        row(inputs[0])
    names[foot + shape[0] / 2] = "test images"
    side = {"va": "center", "fontsize": 6}
    axis.text(1.01 * width, foot + shape[0] / 2, "MSE\n× 10³", **side)
    for at, run in enumerate(models):
        foot += shape[0] * (1 + GAP * (at % len(panel.algorithms) == 0))
        middle = foot + shape[0] / 2
        names[middle] = f"{LEARNERS[run.algorithm].label}, $N_z$ = {run.latent_dim}"
        if run.name not in tables:
            axis.text(width / 2, middle, "this model diverged", ha="center", **side)
            continue
        row(tables[run.name].arrays["outputs"])
        error = 1000 * tables[run.name].frame["error"].iloc[0]
        axis.text(1.01 * width, middle, number(error, 1), **side)
    axis.set(xlim=(0, width), ylim=(foot + shape[0], 0), title=label(panel.experiment))
    axis.set_xticks([])
    axis.set_yticks([*names], names.values(), fontsize=6)
    axis.tick_params(length=0)
    axis.set_frame_on(False)
    axis.grid(False)
    axis.set_anchor("N")
