"""Ratios of variances by family, and g as transport of noise to samples, drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...core.words import plural
from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from .catalogue import DISTRIBUTIONS
from .entry import FAMILIES, FUNCTIONS
from .numbers import ratios

COLOURS = dict(
    zip(FUNCTIONS, [*seaborn.color_palette("colorblind", len(FUNCTIONS) - 1), "black"], strict=True)
)
LEAST, MOST = 1e-3, 1e3  # of the axis; beyond it, and at 0 or infinity, a triangle at the edge
ROW = 0.28  # inches per distribution
LINES = 40  # draws that are led from noise to sample


def variances(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A panel per family: variance of the pathwise gradient over the score function's, by
    distribution (rows) and f (colours), with intervals over seeds. Hollow: implicit gradients, for
    all parameters, where the paper's g does not give all of them."""
    table = ratios(gathered, paper)
    table = table[table["against"] == "score"]
    chosen = gathered.study.reparameterisation
    keys = [k for k in DISTRIBUTIONS if not chosen.distributions or k in chosen.distributions]
    families = {f: [k for k in keys if DISTRIBUTIONS[k].family == f] for f in FAMILIES}
    families = {family: mine for family, mine in families.items() if mine}
    heights = [len(mine) for mine in families.values()]
    with style():
        height = ROW * sum(heights) + 0.35 * len(heights) + 1.3
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = {"height_ratios": heights}
        axes = figure.subplots(len(families), 1, squeeze=False, sharex=True, gridspec_kw=grid)[:, 0]
        for axis, (family, mine) in zip(axes, families.items(), strict=True):
            _panel(axis, table[table["family"] == family], mine)
            axis.set_title(FAMILIES[family], fontsize=8, loc="left")
        axes[-1].set_xlabel("variance of the pathwise gradient / of the score function's")
        figure.suptitle(
            f"{chosen.samples:,} samples each; mean and 95 % interval over "
            f"{plural(len(chosen.seeds), 'seed')}; left of 1 the pathwise gradient varies less"
        )
        make_room(figure, 0.42)
        figure.legend(handles=_handles(), loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _panel(axis, table: pd.DataFrame, keys: list[str]) -> None:
    offsets = dict(zip(FUNCTIONS, np.linspace(-0.36, 0.36, len(FUNCTIONS)), strict=True))
    for at, key in enumerate(keys):
        entry, mine = DISTRIBUTIONS[key], table[table["distribution"] == key]
        for row in mine.itertuples():
            if row.estimator == "pathwise" or entry.fixed:
                hollow = row.estimator == "torch"
                _mark(axis, row, at + offsets[row.function], hollow)
        if not len(mine):
            place = {"ha": "center", "va": "center", "fontsize": 6.5, "color": "0.35"}
            axis.text(LEAST**0.5, at, "the score function is biased: the support moves", **place)
        if at % 2:
            axis.axhspan(at - 0.5, at + 0.5, color="0.96", zorder=0, linewidth=0)
    axis.axvline(1, color="0.45", linewidth=0.8, zorder=1)
    axis.set(xscale="log", xlim=(LEAST / 1.6, MOST * 1.6), ylim=(len(keys) - 0.5, -0.5))
    axis.set_yticks(range(len(keys)), [DISTRIBUTIONS[key].title for key in keys])
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")


def _mark(axis, row, y: float, hollow: bool) -> None:
    """A ratio with its interval; a triangle at the edge where it is 0, infinite or beyond."""
    colour = COLOURS[row.function]
    face = "white" if hollow else colour
    looks = {"color": colour, "markerfacecolor": face, "markersize": 3, "markeredgewidth": 0.7}
    if row.note or not LEAST <= row.ratio <= MOST:
        right = row.note.startswith("the pathwise") or (not row.note and row.ratio > 1)
        edge, marker = (MOST * 1.25, ">") if right else (LEAST / 1.25, "<")
        axis.plot([edge], [y], marker, **looks)
        return
    axis.plot([max(row.low, LEAST), row.high], [y, y], color=colour, linewidth=0.9)
    axis.plot([row.ratio], [y], "o", **looks)


def _handles() -> list[Line2D]:
    def dot(label: str, colour, **more) -> Line2D:
        looks = {"marker": "o", "markersize": 3.5, "markeredgewidth": 0.7, "linestyle": "none"}
        return Line2D([], [], color=colour, label=label, **(looks | more))

    return [
        *(dot(f"f = {name}", colour) for name, colour in COLOURS.items()),
        dot("hollow: implicit, all parameters", "0.5", markerfacecolor="white"),
        dot("triangle: 0, infinite or beyond the axis", "0.5", marker=">"),
    ]


def transport(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """g of a handful of distributions: on the line, the curve z = g(epsilon) with draws led from
    noise to sample and histograms of both; in the plane, noise and samples with arrows."""
    table = gathered.of("reparameterisation_transport")["shown"].frame
    parts = list(table.groupby("distribution", sort=False))
    rows = -(-len(parts) // 3)
    with style():
        figure = Figure(figsize=(WIDTH, 2.35 * rows + 0.3), layout="constrained")
        axes = figure.subplots(rows, 3, squeeze=False).ravel()
        for axis, (key, part) in zip(axes, parts, strict=False):
            plane = part["noise_2"].notna().all()
            (_plane if plane else _line)(axis, part)
            entry = DISTRIBUTIONS[key]
            axis.set_title(f"{entry.title}: z = {entry.shown}", fontsize=7)
        for axis in axes[len(parts) :]:
            axis.set_axis_off()
        settle(figure)
    return figure


def _line(axis, part: pd.DataFrame) -> None:
    """The curve, and draws from the foot (noise) over it to the left side (samples)."""
    part = part.sort_values("noise_1")
    noise, sample = part["noise_1"].to_numpy(), part["sample_1"].to_numpy()
    low, high = np.quantile(sample, [0.02, 0.98])
    pad, wide = 0.25 * (high - low), np.ptp(noise)
    left, foot = noise.min() - 0.28 * wide, low - 1.6 * pad
    for x, y in zip(noise[:: len(noise) // LINES], sample[:: len(noise) // LINES], strict=True):
        axis.plot([x, x, left], [foot, y, y], color="0.8", linewidth=0.4, zorder=1)
    axis.plot(noise, sample, color=COLOURS["z"], linewidth=1.4, zorder=3)
    looks = {"align": "edge", "color": COLOURS["z^2"], "alpha": 0.8, "zorder": 2}
    counts, edges = np.histogram(noise, 20)
    axis.bar(edges[:-1], counts / counts.max() * 0.9 * pad, np.diff(edges), foot, **looks)
    counts, edges = np.histogram(sample, 20, (max(low - pad, sample.min()), high + pad))
    axis.barh(edges[:-1], counts / counts.max() * 0.2 * wide, np.diff(edges), left, **looks)
    axis.set(xlabel="ε", ylabel="z", xlim=(left, noise.max() + 0.04 * wide))
    axis.set_ylim(foot, high + pad)
    axis.grid(False)


def _plane(axis, part: pd.DataFrame) -> None:
    """Noise and samples, with arrows for some."""
    for name, colour, label in (("noise", COLOURS["z^2"], "ε"), ("sample", COLOURS["z"], "z")):
        looks = {"color": colour, "markersize": 1.5, "markeredgewidth": 0, "label": label}
        axis.plot(part[f"{name}_1"], part[f"{name}_2"], "o", **looks)
    some = part.iloc[:LINES]
    start = some["noise_1"], some["noise_2"]
    way = some["sample_1"] - some["noise_1"], some["sample_2"] - some["noise_2"]
    looks = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": "0.3", "width": 0.004}
    axis.quiver(*start, *way, headwidth=5, zorder=3, **looks)
    axis.set(xlabel="first component", ylabel="second component")
    axis.legend(loc="upper left", frameon=False, handletextpad=0.1, markerscale=3)
    axis.grid(False)
