"""The study's figures: bounds and gaps during training, and the linear model whose log p(X) is
known."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ...core.words import count
from ...report.style import DASHES, WIDTH, make_room, settle, style, value_range
from ...results import Gathered
from . import TABLE
from .numbers import NAMES, by_size, cases, residual

COLOURS = {"point": "#B3260F", "mean": "#56B4E9", "sampled": "#0B559F"}
LOOKS = {"orthogonal": "#0B559F", "correlated": "#B3260F", "latent": "0.35"}
MARKS = {"analytic": "o", "sampled": "s"}
FENCE = 3.0  # of value_range: the first evaluations of full VB lie far below
FLOOR = 1e-2  # nats: gaps below are drawn here
ROOM = 30  # times the highest value, for a legend


def networks(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A column for each number of training images. Above: bounds on training and test images.
    Below: their difference."""
    found = by_size(gathered)
    with style():
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots(2, len(found), squeeze=False, sharex="col")
        for (upper, lower), (n, frame) in zip(axes.T, found.items(), strict=True):
            _bounds(upper, frame)
            _gaps(lower, frame)
            upper.set_title(f"N = {n:,} training images")
            _samples(lower, frame)
        axes[0, 0].set_ylabel("bound,\nnats per datapoint")
        axes[1, 0].set_ylabel("training minus test bound,\nnats per datapoint")
        make_room(figure, 0.35)
        handles = [
            Line2D([], [], color=COLOURS[theta], label=name) for (_, theta), name in NAMES.items()
        ]
        handles += [
            Line2D([], [], color="0.25", linestyle=dashes, label=split)
            for split, dashes in DASHES.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False)
        settle(figure)
    return figure


def _samples(axis, frame: pd.DataFrame) -> None:
    """The axis of training samples, with the first, a middle and the last evaluation named."""
    points = sorted(frame["samples"].unique())
    named = [points[0], points[len(points) // 2], points[-1]]
    axis.set(xscale="log", xlabel="# training samples")
    axis.set_xticks(named, [count(point) for point in named])
    axis.xaxis.set_minor_locator(NullLocator())


def _bounds(axis, frame: pd.DataFrame) -> None:
    for (_, theta), _ in NAMES.items():
        rows = frame[frame["theta"] == theta]
        for split, dashes in DASHES.items():
            _over_seeds(axis, rows, rows[split], COLOURS[theta], dashes)
    lines = [line.get_ydata() for line in axis.get_lines()]
    axis.set_ylim(*value_range(list(np.concatenate(lines)), FENCE))


def _gaps(axis, frame: pd.DataFrame) -> None:
    for (_, theta), _ in NAMES.items():
        rows = frame[frame["theta"] == theta]
        _over_seeds(axis, rows, rows["train"] - rows["test"], COLOURS[theta], "-")
    axis.axhline(0, color="0.45", linewidth=0.8, zorder=1.5)


def _over_seeds(axis, rows: pd.DataFrame, values: pd.Series, colour: str, dashes) -> None:
    """Mean and range over seeds."""
    over = values.groupby(rows["samples"]).agg(["mean", "min", "max"])
    axis.plot(over.index, over["mean"], color=colour, linestyle=dashes, linewidth=1.1)
    axis.fill_between(over.index, over["min"], over["max"], color=colour, alpha=0.2, lw=0)


def linear(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Left: what the trained q lacks of log p(X), against training samples. Right: estimated bound
    + KL - log p(X), case by case."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _training(left, gathered)
        _residuals(right, gathered)
        settle(figure)
    return figure


def _training(axis, gathered: Gathered) -> None:
    for (design, form), rows in cases(gathered, "weights_regression").items():
        over = rows.groupby("samples")["kl"].mean().clip(lower=FLOOR)
        style_of = {"color": LOOKS[design], "marker": MARKS[form], "markersize": 3}
        style_of |= {"linestyle": "-" if form == "analytic" else ":", "linewidth": 1.0}
        axis.plot(over.index, over, label=f"{design}, {form}", **style_of)
        if form == "analytic" and rows["best_kl"].mean() > FLOOR:
            axis.axhline(rows["best_kl"].mean(), color=LOOKS[design], linestyle="--", lw=0.8)
    axis.axhline(1, color="0.45", linewidth=0.8)
    axis.set(
        yscale="log", ylabel="log p(X) − bound = KL, nats", title="q(θ), trained on known codes"
    )
    axis.set_ylim(top=axis.get_ylim()[1] * ROOM)
    _samples(axis, gathered.of("weights_regression")[TABLE].frame)
    axis.legend(frameon=False, loc="upper center", ncols=2)


def _residuals(axis, gathered: Gathered) -> None:
    found = cases(gathered, "weights_estimates")
    for place, ((design, form), rows) in enumerate(found.items()):
        mean, error = residual(rows)
        bars = {"fmt": MARKS[form], "color": LOOKS[design], "markersize": 4, "linewidth": 1.0}
        axis.errorbar(place, mean, 1.96 * error, **bars)
    names = [f"{design},\n{form}" for design, form in found]
    axis.set_xticks(range(len(names)), names, rotation=30)
    axis.axhline(0, color="0.45", linewidth=0.8, zorder=1.5)
    for side in (-1, 1):
        axis.axhline(side, color="0.45", linestyle="--", linewidth=0.8)
    axis.set(ylabel="bound + KL − log p(X), nats", title="estimators, at the best diagonal q")
    axis.set_xlim(-0.5, len(names) - 0.5)
