"""Figure 3, drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...core.words import short
from ...report.panels import curves, draw_diverged, draw_panel, name_diverged
from ...report.style import (
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
from ...results.curves import replicas, seeds_of
from ...results.words import label
from . import STUDY


def figure3(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 3: log p(x), above against training samples, below against seconds.

    One column per size of the training set. Ours is the estimate by importance sampling. Lines,
    bands, crosses and, above alone, the paper's curves are as in Figure 2. Seconds are means over
    the replicas at each evaluation.
    """
    study = gathered.study
    part = study.figure3
    names, latent_dim, algorithms = part.experiments, part.latent_dim, part.algorithms
    budget = STUDY.budget(study)
    drawn = {
        (x, name): curves(gathered, paper, name, latent_dim, algorithms, x)
        for x, name in itertools.product(("samples", "seconds"), names)
    }
    with style():
        figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
        above, below = figure.subplots(2, len(names), squeeze=False, sharex="row", sharey=True)
        for name, panel, timed in zip(names, above, below, strict=True):
            reached = [
                run.samples
                for algorithm in algorithms
                for run in replicas(gathered, name, algorithm, latent_dim)
            ]
            panel.set(xlim=(0, 1.02 * max(budget, *reached)))
            panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            panel.xaxis.set_major_formatter(
                FuncFormatter(lambda value, _: short(int(value)) if value else "0")
            )
            draw_panel(panel, drawn["samples", name])
            name_diverged(panel, drawn["samples", name])
            title = f"{label(study.experiments[name].dataset)}, $N_z$ = {latent_dim}, "
            title += f"$N_\\mathrm{{train}}$ = {study.n_train(name)}{beside_paper(study, name)}"
            panel.set(title=title, xlabel="# training samples evaluated")
            timed.set(xscale="log")
            draw_panel(timed, drawn["seconds", name])
            timed.set(xlabel="seconds of training")
            log_ticks(timed)
        heights = limits(list(above), skip=0.5, fence=20)
        _seconds_axis(below, heights[0])
        for line in (above, below):
            line[0].set(ylim=heights, ylabel="log p(x), nats per datapoint")
        for name, panel, timed in zip(names, above, below, strict=True):
            draw_diverged(panel, drawn["samples", name])
            draw_diverged(timed, drawn["seconds", name])
        make_room(figure, 0.3)
        pairs = itertools.product(names, algorithms)
        runs = [run for pair in pairs for run in replicas(gathered, *pair, latent_dim)]
        where = dict.fromkeys(
            f"{run.processor}, {run.threads} thread{'s' if run.threads > 1 else ''}" for run in runs
        )
        figure.suptitle(
            f"{budget_line(budget, seeds_of(study, names[0]))}\n"
            f"Seconds: training of one replica on {'; '.join(where)}"
        )
        legend(figure, algorithms)
        settle(figure)
    return figure


def _seconds_axis(panels, lowest: float) -> None:
    """Let the seconds begin where the first curve rises above `lowest`, the same in all panels."""
    lines = [line.get_data(orig=False) for panel in panels for line in panel.get_lines()]
    drawn = np.vstack([*map(np.column_stack, lines)] or [np.empty((0, 2))])
    seconds = drawn[drawn[:, 1] >= lowest, 0]
    if len(seconds):
        panels[0].set(xlim=(0.7 * seconds.min(), 1.4 * seconds.max()))
