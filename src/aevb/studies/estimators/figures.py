"""Bias and spread of the estimators, drawn."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, SymmetricalLogLocator

from ...marginal import ESTIMATORS, appearance
from ...paper.facts import PAPER_DRAWS
from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from ...results.words import label, trained
from . import STUDY

DATA = {"test": "test points", "simulated": "points simulated by the model"}
# Nats: with few samples a kernel density is wrong by any amount. Such points leave the axis.
OFF_SCALE = 200.0


def estimators(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """How far estimators of log p(x) are from the reference, against samples per datapoint.

    One column per N_z. Two rows show the bias, on test points and on points that the model
    simulated, with one standard error to each side. The third shows the spread of one datapoint's
    estimate on test points. The grey line at 0 is the reference, named in each panel.
    """
    study = gathered.study
    models, tables = STUDY.models(study), gathered.of("estimators")
    graded = {key: ESTIMATORS[key] for table in tables.values() for key in table.frame["estimator"]}
    graded = {key: graded[key] for key in ESTIMATORS if key in graded}
    with style():
        figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
        axes = figure.subplots(3, len(models), squeeze=False, sharex=True, sharey="row")
        for model, column in zip(models, axes.T, strict=True):
            column[0].set_title(f"$N_z$ = {model.latent_dim}", pad=14)
            _panels(column, tables[model.name].frame if model.name in tables else None)
        _symlog(list(axes[:2].flat))
        for axis in axes.flat:
            _samples_axis(axis, study.estimators.draws)
        axes[2, 0].set(yscale="log", ylabel="spread on test points,\nnats")
        axes[2, 0].set_ylim(top=min(axes[2, 0].get_ylim()[1], OFF_SCALE))
        axes[2, 0].yaxis.set_minor_locator(NullLocator())
        for line, kind in zip(axes, DATA.values(), strict=False):
            line[0].set(ylabel=f"bias on {kind},\nnats per datapoint".replace(" by the model", ""))
        height = make_room(figure, 0.62)
        others = "; ".join(dict.fromkeys(e.caption for e in graded.values() if e.caption))
        foot = f"# samples per datapoint{f' ({others})' if others else ''}; dotted: the paper's"
        figure.text(0.5, 0.47 / height, f"{foot} {PAPER_DRAWS}", ha="center", va="bottom")
        part = study.estimators
        about = f"{label(part.experiment)}, AEVB after {trained(study, models)}"
        figure.suptitle(
            f"{about}; {part.datapoints} points each, {part.replicates} replicates; bars: ± 1 "
            "standard error"
        )
        figure.legend(
            handles=[_handle(key) for key in graded],
            loc="lower center",
            ncols=3,
            frameon=False,
            handlelength=2.4,
            columnspacing=1.2,
        )
        settle(figure)
    return figure


def _panels(column, table: pd.DataFrame | None) -> None:
    """The panels of one model: biases, then spread; without a table it diverged."""
    if table is None:
        place = {"ha": "center", "va": "center", "fontsize": 7.5}
        for axis in column:
            axis.text(0.5, 0.5, "this model\ndiverged", transform=axis.transAxes, **place)
        return
    for axis, kind in zip(column, DATA, strict=False):
        part = table[table["data"] == kind]
        _graded(axis, part, "bias")
        axis.axhline(0, color="0.45", linewidth=0.8, zorder=1.5)
        text = textwrap.fill(f"0: {', '.join(dict.fromkeys(part['reference']))}", 30)
        place = {"ha": "center", "va": "bottom", "fontsize": 5.5, "color": "0.3"}
        axis.text(0.5, 1.02, text, transform=axis.transAxes, **place)
    _graded(column[2], table[table["data"] == "test"], "spread")


def _samples_axis(axis, draws: list[int]) -> None:
    """The x axis: the numbers of samples, and a line at the paper's."""
    axis.set(xscale="log", xlim=(0.8 * min(draws), 1.25 * max(draws)))
    axis.xaxis.set_major_locator(
        FixedLocator([10**k for k in range(9)] if max(draws) / min(draws) > 10 else draws)
    )
    axis.xaxis.set_major_formatter("{x:g}")
    axis.axvline(PAPER_DRAWS, color="0.45", linestyle=(0, (1, 1.5)), linewidth=0.8, zorder=1.5)
    axis.xaxis.set_minor_locator(NullLocator())


def _handle(key: str) -> Line2D:
    """An estimator in the legend."""
    colour, marker = appearance(key)
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        linestyle=ESTIMATORS[key].dashes,
        markersize=3,
        markeredgewidth=0,
        label=ESTIMATORS[key].label,
    )


def _graded(axis, table: pd.DataFrame, column: str) -> None:
    """A line for each estimator, with error bars if there is a standard error of `column`."""
    for key, estimator in ESTIMATORS.items():
        colour, marker = appearance(key)
        part = table[table["estimator"] == key].sort_values("samples")
        if len(part):
            style = {
                "color": colour,
                "marker": marker,
                "linestyle": estimator.dashes,
                "linewidth": 1.0,
                "markersize": 2.8,
                "markeredgewidth": 0,
            }
            axis.plot("samples", column, data=part, label=key, **style)
            if f"{column}_se" in part:
                axis.errorbar(
                    "samples",
                    column,
                    f"{column}_se",
                    data=part,
                    fmt="none",
                    ecolor=colour,
                    elinewidth=0.7,
                )


def _symlog(panels: list) -> None:
    """One y axis for biases, linear within a tenth of a nat of 0 and logarithmic beyond."""
    lines = [line.get_ydata(orig=False) for panel in panels for line in panel.get_lines()]
    bars = [
        segment[:, 1]
        for panel in panels
        for bars in panel.collections
        for segment in bars.get_segments()
    ]
    values = np.concatenate([*lines, *bars, []])
    low, high = (2 * side(values[np.isfinite(values)], initial=0.0) for side in (np.min, np.max))
    for panel in panels:
        panel.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        panel.set_ylim(max(min(low, -0.2), -OFF_SCALE), min(max(high, 0.2), OFF_SCALE))
        panel.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=0.1))
