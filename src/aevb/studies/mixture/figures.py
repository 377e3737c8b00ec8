"""The study's figures: starts, optima and fits; and what the exact posterior says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import NullLocator

from ...report.style import WIDTH, log_ticks, settle, style
from ...results import Gathered
from . import FAITHFUL
from .numbers import CLOSE, by_data, starts, variance_ratios

SHOWN = "drawn_0"  # the data set that is drawn
BEST, WORST, OTHER = "#2166AC", "#B2182B", "0.7"
REACH = 2.0  # standard deviations of a component: the radius of its circle
LEAST = 1e-5  # nats per datapoint: what is closer to the end is drawn here


def optima(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Above: a data set drawn from the model, with the bound against sweeps from every start, the
    highest and the lowest end. Below: where its starts end; the same of Old Faithful."""
    with style():
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.subplots(2, 3)
        found = starts(gathered)[SHOWN]
        high, low = int(found.bounds.argmax()), int(found.bounds.argmin())
        _traces(axes[0, 0], gathered, SHOWN)
        _fit(axes[0, 1], gathered, SHOWN, high, BEST)
        axes[0, 1].set_title("highest end")
        _fit(axes[0, 2], gathered, SHOWN, low, WORST)
        axes[0, 2].set_title(f"lowest end, {found.width:,.0f} nats below")
        axes[1, 0].hist(found.bounds - found.bounds.max(), bins=30, color=BEST)
        axes[1, 0].set(xlabel="end minus the highest, nats", ylabel="starts", title="all ends")
        _traces(axes[1, 1], gathered, FAITHFUL)
        axes[1, 1].set_title("Old Faithful")
        _fit(axes[1, 2], gathered, FAITHFUL, 0, BEST)
        axes[1, 2].set(title="Old Faithful: the fit")
        axes[1, 2].set(xlabel="duration, scaled", ylabel="time to the next, scaled")
        settle(figure)
    return figure


def _traces(axis, gathered: Gathered, name: str) -> None:
    """The bound against sweeps from every start; the highest and the lowest end in colour."""
    table = by_data(gathered, "mixture_traces")[name]
    curves = dict(list(table[table["algorithm"] == "cavi"].groupby("start")))
    found = starts(gathered)[name]
    chosen = {found.bounds.argmin(): WORST, found.bounds.argmax(): BEST}
    for start, rows in curves.items():
        colour, wide = chosen.get(start, OTHER), start in chosen
        line = {"color": colour, "linewidth": 1.4 if wide else 0.6, "zorder": 2 + wide}
        axis.plot(rows["sweep"], rows["bound"], **line)
        axis.plot(rows["sweep"].iloc[-1], rows["bound"].iloc[-1], ".", markersize=3, **line)
    room = 0.35 * max(found.width, 1.0)
    bottom, top = found.bounds.min() - room, found.bounds.max() + 0.2 * room
    axis.set(xscale="log", xlabel="sweeps", ylabel="bound, nats", ylim=(bottom, top))
    axis.set_title("coordinate ascent")
    log_ticks(axis)


def _fit(axis, gathered: Gathered, name: str, start: int, colour: str) -> None:
    """The datapoints, and every component of q from one start: its mean and a circle."""
    points = by_data(gathered, "mixture_points")[name]
    table = by_data(gathered, "mixture_optima")[name]
    end = table[(table["start"] == start) & (table["algorithm"] == "cavi")]
    axis.plot(points["x_1"], points["x_2"], ".", color="0.6", markersize=2.5, markeredgewidth=0)
    for row in end.itertuples():
        place = (row.mean_1, row.mean_2)
        axis.add_patch(Circle(place, REACH, fill=False, edgecolor=colour, linewidth=1.1))
        axis.plot(*place, "+", color=colour, markersize=5)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set(xlabel="$x_1$", ylabel="$x_2$")


def exact(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Left: the bound and KL(q || posterior) add up to log p(x). Middle: the variance under q over
    the posterior's. Right: stochastic VI and coordinate ascent on their way to the latter's end."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
        axes = figure.subplots(1, 3)
        _sum(axes[0], by_data(gathered, "mixture_evidence")[SHOWN])
        _ratios(axes[1], variance_ratios(gathered))
        _race(axes[2], gathered)
        settle(figure)
    return figure


def _sum(axis, table: pd.DataFrame) -> None:
    sweeps, bound = table["sweep"], table["bound"]
    axis.fill_between(sweeps, bound, bound + table["divergence"], color=BEST, alpha=0.25, lw=0)
    axis.plot(sweeps, bound, color=BEST, label="bound")
    axis.plot(sweeps, table["log_p"], color="0.2", linestyle="--", label="log p(x)")
    axis.fill_between([], [], [], color=BEST, alpha=0.25, lw=0, label="KL(q || posterior)")
    axis.set(xscale="log", xlabel="sweeps", ylabel="nats", title="bound + KL = log p(x)")
    width = np.ptp([*bound, *table["log_p"]])
    axis.set_ylim(bound.min() - 0.45 * width, table["log_p"].max() + 0.1 * width)
    log_ticks(axis)
    axis.legend(loc="lower right", frameon=False)


def _ratios(axis, found: dict[str, pd.DataFrame]) -> None:
    for place, rows in enumerate(found.values()):
        spread = place + np.linspace(-0.15, 0.15, len(rows))
        bars = {"fmt": "o", "markersize": 3, "linewidth": 0.8, "color": BEST}
        axis.errorbar(spread, rows["ratio"], 1.96 * rows["error"], **bars)
    names = [f"{method},\nn = {rows['points'].iloc[0]:g}" for method, rows in found.items()]
    axis.set_xticks(range(len(names)), names)
    axis.axhline(1, color="0.3", linestyle="--", linewidth=0.8)
    axis.set(xlim=(-0.5, len(names) - 0.5), ylim=(0, 1.1), ylabel="variance, q over posterior")
    axis.set_title("mean field, data set by data set")


def _race(axis, gathered: Gathered) -> None:
    for number, table in enumerate(by_data(gathered, "mixture_svi").values()):
        curves = dict(list(table.groupby("algorithm")))
        end = curves["cavi"]["bound"].iloc[-1]
        looks = {"svi": (WORST, "-", "stochastic"), "cavi": (BEST, ".-", "coordinate ascent")}
        for name, (colour, marks, label) in looks.items():
            rows = curves[name][curves[name]["passes"] > 0]
            gap = (end - rows["bound"]).clip(lower=LEAST)
            about = {"color": colour, "linewidth": 0.8, "markersize": 3}
            axis.plot(rows["passes"], gap, marks, label=None if number else label, **about)
    axis.axhline(CLOSE, color="0.3", linestyle="--", linewidth=0.8)
    axis.axvline(1, color="0.3", linestyle=":", linewidth=0.8)
    axis.set(xscale="log", yscale="log", xlabel="passes over the data")
    axis.set(title="on the way to the same bound", ylim=(LEAST, None))
    axis.set_ylabel("below the last bound,\nnats per datapoint")
    axis.yaxis.set_minor_locator(NullLocator())
    log_ticks(axis)
    axis.set_ylim(top=30 * axis.get_ylim()[1])  # room for the legend above the lines
    axis.legend(loc="upper left", frameon=False, handlelength=1.2)
