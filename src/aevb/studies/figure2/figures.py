"""Figure 2, drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...report.panels import draw_diverged, draw_panel
from ...report.style import (
    DASHES,
    WIDTH,
    beside_paper,
    budget_line,
    legend,
    limits,
    log_ticks,
    make_room,
    settle,
    style,
)
from ...results import Gathered
from ...results.curves import ignoring_z
from ...results.words import further, label


def figure2(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 2: the bound against training samples, one row per data set, one panel per N_z.

    Lines are means over the seeds that did not diverge. Bands are their range, or with five seeds
    or more one standard deviation to each side. A diverged replica is drawn by itself, up to a
    cross. `paper` has the columns of curves.csv without the seed; its curves lie pale and thin
    behind ours.
    """
    study = gathered.study
    rows, columns = len(study.figure2), max(len(row.latent_dims) for row in study.figure2)
    with style():
        figure = Figure(figsize=(WIDTH, 0.75 + 1.95 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
        for row, line in zip(study.figure2, axes, strict=True):
            panels = list(zip(line, row.latent_dims, strict=False))
            for panel, latent_dim in panels:
                panel.set(
                    xscale="log",
                    xlim=(
                        0.9 * min(study.evaluation.first, study.samples),
                        1.5 * study.longest(row.experiment),
                    ),
                )
                log_ticks(panel)
                draw_panel(
                    panel, gathered, study, paper, row.experiment, latent_dim, row.algorithms
                )
                title = f"{label(row.experiment)}, $N_z$ = {latent_dim}"
                panel.set(title=title + beside_paper(study, row.experiment))
            line[0].set(
                ylim=limits([panel for panel, _ in panels], skip=0.2, fence=3),
                ylabel="bound, nats per datapoint",
            )
            for panel, latent_dim in panels:
                draw_diverged(panel, gathered, row.experiment, latent_dim, row.algorithms)
                _ignoring_z(panel, ignoring_z(gathered, row.experiment))
            for panel in line[len(panels) :]:
                panel.remove()
        height = make_room(figure, 0.4)
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        figure.suptitle(budget_line(study.samples, study.seeds) + further(study))
        legend(figure, [algorithm for row in study.figure2 for algorithm in row.algorithms])
        settle(figure)
    return figure


def _ignoring_z(axis, baseline: dict[str, float]) -> None:
    """Lines at the bounds of a model that ignores z (see Likelihood.ignoring_z), by split.

    Where they lie off the axis, an arrow and the number stand for them.
    """
    low, high = axis.get_ylim()
    inside = {split: value for split, value in baseline.items() if low <= value <= high}
    for split, value in inside.items():
        axis.axhline(
            value,
            color="0.45",
            linestyle=DASHES[split],
            linewidth=0.7,
            zorder=1.2,
            label=f"ignoring z {split}",
        )
    if not inside and np.isfinite(baseline.get("test", np.nan)):
        below = baseline["test"] < low
        place = {
            "x": 0.03,
            "y": 0.02 if below else 0.98,
            "ha": "left",
            "va": "bottom" if below else "top",
        }
        text = f"{'↓' if below else '↑'} ignoring z: {baseline['test']:.0f}".replace("-", "−")
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6}
        axis.text(
            s=text, **place, transform=axis.transAxes, fontsize=6, color="0.3", bbox=box, zorder=5
        )
