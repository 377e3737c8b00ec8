"""Figure 2, drawn."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...config import Config
from ...paper.curves import paper_curve
from ...paper.facts import PAPER_SAMPLES
from ...report.panels import curves, draw_diverged, draw_panel, name_diverged
from ...report.style import (
    DASHES,
    WIDTH,
    beside_paper,
    budget_line,
    legend,
    limits,
    log_ticks,
    make_room,
    mark_hidden,
    settle,
    style,
)
from ...results import Gathered
from ...results.curves import ignoring_z
from ...results.words import further, label
from . import Curves

SKIP = 0.2  # the share of the x axis on which values rise steeply: see style.limits


def ends(study: Config, paper: pd.DataFrame, row: Curves) -> tuple[float, float]:
    """The x axis of a row of panels: from the first evaluation to the end of the paper's axis if it
    has a curve there, or else to ours."""
    theirs = any(
        paper_curve(paper, study, row.experiment, latent_dim, algorithm, "test") is not None
        for latent_dim in row.latent_dims
        for algorithm in row.algorithms
    )
    last = max(study.longest(row.experiment), PAPER_SAMPLES if theirs else 0)
    return 0.9 * min(study.evaluation.first, study.samples), 1.5 * last


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
            drawn = {
                d: curves(gathered, paper, row.experiment, d, row.algorithms)
                for d in row.latent_dims
            }
            for panel, latent_dim in panels:
                panel.set(
                    xscale="log",
                    xlim=ends(study, paper, row),
                )
                log_ticks(panel)
                draw_panel(panel, drawn[latent_dim])
                name_diverged(panel, drawn[latent_dim])
                title = f"{label(row.experiment)}, $N_z$ = {latent_dim}"
                panel.set(title=title + beside_paper(study, row.experiment))
            line[0].set(
                ylim=limits([panel for panel, _ in panels], skip=SKIP, fence=3),
                ylabel="bound, nats per datapoint",
            )
            for panel, latent_dim in panels:
                draw_diverged(panel, drawn[latent_dim])
                _ignoring_z(panel, ignoring_z(gathered, row.experiment))
                mark_hidden(panel, skip=SKIP)
            for panel in line[len(panels) :]:
                panel.remove()
        height = make_room(figure, 0.4)
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        figure.suptitle(budget_line(study.samples, study.seeds) + further(study))
        legend(figure, [algorithm for row in study.figure2 for algorithm in row.algorithms])
        settle(figure)
    return figure


def _ignoring_z(axis, baseline: dict[str, float]) -> None:
    """Lines at the bounds of a model that ignores z (see Likelihood.ignoring_z), by split, where
    they lie on the axis; the caption names them all."""
    low, high = axis.get_ylim()
    for split, value in baseline.items():
        if low <= value <= high:
            axis.axhline(
                value,
                color="0.45",
                linestyle=DASHES[split],
                linewidth=0.7,
                zorder=1.2,
                label=f"ignoring z {split}",
            )
