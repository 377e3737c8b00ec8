"""The linear-Gaussian model, learned and exact; and the estimators against its log p(x)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

from ...learners import appearance
from ...marginal import ESTIMATORS
from ...marginal import appearance as estimator_appearance
from ...report.style import WIDTH, log_ticks, make_room, settle, style
from ...results import Gathered
from ...results.words import label
from .numbers import ALGORITHMS, ends, in_order, named

FLOOR = 1e-5  # nats: gaps below are drawn there
HALVES = 16  # half steps of EM that are shown
OFF_SCALE = 200.0  # nats: estimates further off leave the axis
PLAIN = {"closed": ("0.1", "*"), "rotated": ("0.5", "X"), "em": ("0.1", "o")}
DATA = ("0.25", "#0072B2", "#D55E00")


def _look(algorithm: str) -> tuple[str, str]:
    """Colour and marker of a way to fit the model."""
    if algorithm in PLAIN:
        return PLAIN[algorithm]
    own = appearance(algorithm)
    return own.colour, own.marker


def _title(name: str) -> str:
    return named(name).replace("N_z", "$N_z$")


def linear(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Top: how far log p(x) is below the closed form, against training samples, a panel for each
    size. Below: EM half by half; what a diagonal encoder leaves at the ends; active directions
    against sigma^2."""
    tables = {name: table.frame for name, table in in_order(gathered, "linear_learners")}
    with style():
        figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
        places = figure.add_gridspec(2, 3 * len(tables))
        first = None
        for at, (name, frame) in enumerate(tables.items()):
            axis = figure.add_subplot(places[0, 3 * at : 3 * at + 3], sharey=first)
            _shortfalls(axis, frame)
            axis.set_title(_title(name))
            first = first or axis
        first.set_ylim(bottom=1e-4)
        first.set_ylabel("below the closed form,\nnats per datapoint")
        width = len(tables)
        lower = [figure.add_subplot(places[1, k * width : (k + 1) * width]) for k in range(3)]
        _halves(lower[0], gathered)
        _gaps(lower[1], tables)
        _active(lower[2], gathered)
        make_room(figure, 0.3)
        shown = ("em", "aevb", "wake_sleep", "mcem")
        handles = [_handle(key) for key in shown]
        dashes = {"color": "0.45", "linestyle": "--", "linewidth": 0.8}
        handles.append(Line2D([], [], label="P / (2 n)", **dashes))
        figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False)
        settle(figure)
    return figure


def _handle(algorithm: str) -> Line2D:
    colour, marker = _look(algorithm)
    place = {"color": colour, "marker": marker, "markersize": 3, "markeredgewidth": 0}
    return Line2D([], [], label=ALGORITHMS[algorithm], **place)


def _shortfalls(axis, frame: pd.DataFrame) -> None:
    """Mean and range over seeds of what every algorithm lacks, against training samples."""
    for algorithm in ("em", "aevb", "wake_sleep", "mcem"):
        part = frame[frame["algorithm"] == algorithm]
        over = part.groupby("samples")["shortfall"].agg(["mean", "min", "max"])
        over = over[over["mean"] > FLOOR]
        colour, marker = _look(algorithm)
        axis.plot(over.index, over["mean"], color=colour, marker=marker, markersize=2.2, lw=1)
        low = over["min"].clip(lower=FLOOR)
        axis.fill_between(over.index, low, over["max"], color=colour, alpha=0.2, lw=0)
    axis.axhline(frame["uncertainty"].iloc[0], color="0.45", linestyle="--", linewidth=0.8)
    axis.set(xscale="log", yscale="log", xlabel="# training samples")
    log_ticks(axis)


def _halves(axis, gathered: Gathered) -> None:
    """The first half steps of EM at the first seed of the middle size: bound and log p(x)."""
    tables = in_order(gathered, "linear_em")
    name, table = tables[(len(tables) - 1) // 2]
    frame = table.frame
    frame = frame[frame["seed"] == frame["seed"].iloc[0]].iloc[:HALVES]
    learned = gathered.of("linear_learners")[name].frame
    best = learned.loc[learned["seed"] == frame["seed"].iloc[0], "best"].iloc[0]
    x = np.arange(len(frame)) / 2 + 0.5
    log_p, bound = best - frame["log_p"], best - frame["bound"]
    axis.fill_between(x, log_p, bound, color="#0072B2", alpha=0.2, lw=0, label="KL(q || p(z|x))")
    axis.plot(x, bound, color="#0072B2", marker="o", markersize=2.2, lw=1, label="bound")
    axis.plot(x, log_p, color="0.1", marker="s", markersize=2.2, lw=1, label="log p(x)")
    axis.set(yscale="log", xlabel="iterations: E step, then M step", title=f"EM, {_title(name)}")
    axis.set_ylabel("below the closed form,\nnats per datapoint")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, loc="upper right")


def _gaps(axis, tables: dict[str, pd.DataFrame]) -> None:
    """What the best diagonal encoder leaves at the end, seed by seed: sizes from left to right."""
    shift = np.linspace(-0.25, 0.25, len(tables)) if len(tables) > 1 else [0.0]
    for place, algorithm in enumerate(ALGORITHMS):
        colour, marker = _look(algorithm)
        for off, frame in zip(shift, tables.values(), strict=True):
            last = ends(frame)
            values = last.loc[last["algorithm"] == algorithm, "diagonal_gap"].clip(lower=FLOOR)
            x = np.full(len(values), place + off)
            axis.plot(x, values, marker, color=colour, markersize=3, markeredgewidth=0, alpha=0.7)
    names = [name.removeprefix("closed form, ") for name in ALGORITHMS.values()]
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axis.set(yscale="log", title="bound of the best diagonal encoder")
    axis.set_ylabel("below log p(x),\nnats per datapoint")
    axis.set_ylim(bottom=FLOOR / 2)


def _active(axis, gathered: Gathered) -> None:
    """Active directions against sigma^2, mean over seeds: theory, EM and AEVB."""
    colour, _ = _look("aevb")
    for own, (name, table) in zip(DATA, gathered.of("linear_collapse").items(), strict=False):
        over = table.frame.groupby("variance")[["theory", "em", "aevb"]].agg(["mean", "min", "max"])
        title = name if name == "simulated" else label(name)
        axis.plot(over.index, over["theory", "mean"], color=own, lw=1, label=f"theory, {title}")
        axis.plot(over.index, over["em", "mean"], "o", color=own, mfc="none", ms=5, mew=0.7)
        bars = np.abs(over["aevb"][["min", "max"]].T - over["aevb", "mean"])
        place = {"fmt": "o", "ms": 2.4, "color": colour, "elinewidth": 0.7}
        axis.errorbar(over.index, over["aevb", "mean"], bars.to_numpy(), **place)
    axis.plot([], [], "o", color="0.25", mfc="none", ms=5, mew=0.7, label="exact EM")
    axis.plot([], [], "o", color=colour, ms=2.4, label="AEVB")
    top = gathered.study.linear.collapse_latent_dim
    axis.set(xscale="log", xlabel="σ², fixed", ylabel="active directions")
    axis.set(title=f"collapse, $N_z$ = {top}", ylim=(-0.4, 1.75 * top))
    axis.yaxis.set_major_locator(FixedLocator(range(0, top + 1, max(1, top // 5))))
    axis.legend(frameon=False, loc="upper right")


def estimators(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Bias and spread of every estimator against N_z, a column for each number of samples."""
    found = [table.frame for _, table in in_order(gathered, "linear_estimators")]
    frame, part = pd.concat(found), gathered.study.linear
    keys = [key for key in ESTIMATORS if key in set(frame["estimator"])]
    with style():
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots(2, len(part.draws), squeeze=False, sharex=True, sharey="row")
        for (upper, lower), draws in zip(axes.T, sorted(part.draws), strict=True):
            rows = frame[frame["samples"] == draws].sort_values("latent_dim")
            for key in keys:
                _graded(upper, lower, rows[rows["estimator"] == key], key)
            upper.set_title(f"{draws} samples per datapoint")
            upper.axhline(0, color="0.45", linewidth=0.8, zorder=1.5)
            lower.set(xscale="log", yscale="log", xlabel="$N_z$")
            lower.xaxis.set_major_locator(FixedLocator(sorted(part.graded_dims)))
            lower.xaxis.set_major_formatter("{x:g}")
            lower.xaxis.set_minor_locator(NullLocator())
        axes[0, 0].set_yscale("symlog", linthresh=0.1, linscale=0.6)
        axes[0, 0].yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=0.1))
        axes[0, 0].set_ylim(-OFF_SCALE, OFF_SCALE)
        axes[0, 0].set_ylabel("bias,\nnats per datapoint")
        axes[1, 0].set(ylabel="spread of a datapoint,\nnats")
        axes[1, 0].set_ylim(top=OFF_SCALE)
        figure.suptitle(
            f"D = {part.graded_dim}, {part.datapoints} datapoints, {part.replicates} replicates; "
            "bars: ± 1 standard error; 0 is the exact log p(x)"
        )
        make_room(figure, 0.5)
        handles = [_estimator_handle(key) for key in keys]
        figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False)
        settle(figure)
    return figure


def _line(key: str) -> dict:
    colour, marker = estimator_appearance(key)
    line = {"color": colour, "marker": marker, "linestyle": ESTIMATORS[key].dashes}
    return {**line, "linewidth": 1.0, "markersize": 2.8, "markeredgewidth": 0}


def _estimator_handle(key: str) -> Line2D:
    return Line2D([], [], label=ESTIMATORS[key].label, **_line(key))


def _graded(upper, lower, rows: pd.DataFrame, key: str) -> None:
    upper.plot("latent_dim", "bias", data=rows, label="", **_line(key))
    bars = {"fmt": "none", "ecolor": estimator_appearance(key)[0], "elinewidth": 0.7}
    upper.errorbar("latent_dim", "bias", "bias_se", data=rows, **bars)
    lower.plot("latent_dim", "spread", data=rows, label="", **_line(key))
