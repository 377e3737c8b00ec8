"""The gaps drawn: at the largest budget, along training, as parts of a better bound; posteriors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from ...core.words import short
from ...learners import LEARNERS, appearance
from ...report.style import WIDTH, make_room, pale, settle, style
from ...results import Gathered
from . import ALGORITHMS, STUDY
from .columns import QUARTERS
from .numbers import Cell, cells, differences
from .numbers import gaps as summed

FLOOR = 1e-6  # nats: what is less is drawn there
HALF = 0.19  # of the distance between two N_z: where a bar of each algorithm stands
PARTS = {  # of AEVB's better bound: name and colour
    "bound": ("bound", "#8B5A2B"),
    "log_p": ("log p(x)", "#0072B2"),
    "approximation": ("approximation gap", "#E69F00"),
    "amortisation": ("amortisation gap", "#CC79A7"),
}


def gaps(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Top: both gaps at the largest budget, and along training for the first and last such N_z.
    Below: AEVB's bound minus wake-sleep's and its parts; how the ascent converged."""
    frame, apart = (make(gathered, paper) for make in (summed, differences))
    measured = list(cells(gathered))
    along = sorted(set(gathered.study.gaps.along))
    along = [along[0], along[-1]] if len(along) > 1 else along
    with style():
        figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
        if not measured:
            figure.text(
                0.5, 0.5, "no N_z with a model of both algorithms: some diverged", ha="center"
            )
            return figure
        top, bottom = figure.add_gridspec(2, 1)
        top = top.subgridspec(1, 1 + len(along), width_ratios=[5 - len(along), *[2] * len(along)])
        bottom = bottom.subgridspec(1, 2, width_ratios=[3, 2])
        _bars(figure.add_subplot(top[0]), _last(frame))
        first = None
        for at, latent_dim in enumerate(along, 1):
            axis = figure.add_subplot(top[at], sharey=first)
            if found := [cell for cell in measured if cell.latent_dim == latent_dim]:
                _along(axis, found, first is None)
            first = first or axis
        _parts(figure.add_subplot(bottom[0]), _last(apart))
        _converged(figure.add_subplot(bottom[1]), gathered)
        make_room(figure, 0.45)
        figure.legend(handles=_handles(), loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _last(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["samples"] == frame["samples"].max()]


def _handles() -> list:
    """Legend: algorithms, which gap is dark, and the parts of the bound."""
    handles = []
    for key in ALGORITHMS:
        own, name = appearance(key), LEARNERS[key].label
        line = {"color": own.colour, "marker": own.marker, "markersize": 3, "markeredgewidth": 0}
        handles.append(Line2D([], [], label=name, **line))
    handles.append(Patch(color="0.3", label="approximation (full lines)"))
    handles.append(Patch(color=pale("0.3"), label="amortisation (dashed lines)"))
    return handles + [Patch(color=colour, label=name) for name, colour in PARTS.values()]


def _bars(axis, frame: pd.DataFrame) -> None:
    """Both gaps on each other for each N_z, AEVB left of wake-sleep."""
    dims = list(dict.fromkeys(frame["latent_dim"]))
    for side, key in zip((-HALF, HALF), ALGORITHMS, strict=True):
        rows = frame[frame["algorithm"] == LEARNERS[key].label]
        x = np.array([dims.index(value) for value in rows["latent_dim"]]) + side
        colour = appearance(key).colour
        lower, upper = rows["approximation"], rows["amortisation"]
        axis.bar(x, lower, 2 * HALF * 0.92, color=colour, linewidth=0)
        axis.bar(x, upper, 2 * HALF * 0.92, bottom=lower, color=pale(colour), linewidth=0)
        for name, base, shift in (("approximation", 0, -0.06), ("amortisation", lower, 0.06)):
            ends = np.abs(rows[[f"{name}_low", f"{name}_high"]].T - rows[name]).to_numpy()
            place = {"fmt": "none", "ecolor": "0.15", "elinewidth": 0.7}
            axis.errorbar(x + shift, base + rows[name], ends, **place)
    axis.set_xticks(range(len(dims)), [f"{value:g}" for value in dims])
    axis.set(xlabel="$N_z$", ylabel="log p(x) minus bound,\nnats per datapoint")
    axis.set_title(f"gaps after {short(int(frame['samples'].iloc[0]))} samples")


def _along(axis, found: list[Cell], labelled: bool) -> None:
    """Both gaps of one N_z against training samples: mean over seeds, and each seed thinly."""
    samples = [cell.samples for cell in found]
    for key in ALGORITHMS:
        own = appearance(key)
        for name, dashes in (("approximation", "-"), ("amortisation", (0, (3.5, 1.6)))):
            line = {"color": own.colour, "linestyle": dashes, "markeredgewidth": 0}
            means = [getattr(cell.by[key], name).mean() for cell in found]
            axis.plot(samples, means, marker=own.marker, markersize=3, lw=1.2, **line)
            for seed in range(min(len(cell.by[key].bound) for cell in found)):
                each = [getattr(cell.by[key], name)[seed].mean() for cell in found]
                axis.plot(samples, each, lw=0.6, alpha=0.35, **line)
    axis.set(xscale="log", yscale="log", xlabel="# training samples")
    axis.set_title(f"along training, $N_z$ = {found[0].latent_dim}")
    axis.set_xticks(samples, [short(value) for value in samples])
    axis.xaxis.set_minor_locator(NullLocator())
    if labelled:
        axis.set_ylabel("nats per datapoint")
    else:
        axis.tick_params(labelleft=False)


def _parts(axis, frame: pd.DataFrame) -> None:
    """AEVB's bound minus wake-sleep's, and what it consists of."""
    dims, width = list(frame["latent_dim"]), 0.8 / len(PARTS)
    for at, (name, (_, colour)) in enumerate(PARTS.items()):
        x = np.arange(len(dims)) + (at - (len(PARTS) - 1) / 2) * width
        ends = np.abs(frame[[f"{name}_low", f"{name}_high"]].T - frame[name]).to_numpy()
        axis.bar(x, frame[name], 0.9 * width, color=colour, linewidth=0)
        axis.errorbar(x, frame[name], ends, fmt="none", ecolor="0.15", elinewidth=0.7)
    axis.axhline(0, color="0.45", linewidth=0.8)
    axis.set_xticks(range(len(dims)), [f"{value:g}" for value in dims])
    axis.set(xlabel="$N_z$", ylabel="nats per datapoint")
    axis.set_title("AEVB's bound above wake-sleep's, and why")


def _converged(axis, gathered: Gathered) -> None:
    """What the ascent still gains after parts of its steps: a line per N_z and algorithm."""
    for cell in cells(gathered, largest=True):
        for key, found in cell.by.items():
            left = [max(FLOOR, found.frame[f"left_{part}"].mean()) for part in QUARTERS]
            own = appearance(key)
            line = {"color": own.colour, "marker": own.marker, "markersize": 3, "lw": 0.8}
            axis.plot(QUARTERS, left, markeredgewidth=0, **line)
    axis.set(yscale="log", xlabel="per cent of the ascent's steps")
    axis.set_title("what the ascent still gains")
    axis.set_xticks(QUARTERS)
    axis.set_ylabel("nats per datapoint")


def posteriors(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """The exact posterior, the encoder's Gaussian and the best one: a row for each algorithm."""
    runs = STUDY.drawn_posteriors(gathered.study)
    tables = {run.algorithm: gathered.of("gaps_posterior").get(run.name) for run in runs}
    images = gathered.study.gaps.images
    with style():
        figure = Figure(figsize=(WIDTH, 0.55 + WIDTH / images * len(tables)), layout="constrained")
        axes = figure.subplots(len(tables), images, squeeze=False)
        for row, (key, found) in zip(axes, tables.items(), strict=True):
            for point, axis in enumerate(row):
                _posterior(axis, key, None if found is None else found.frame, point)
            row[0].set_ylabel(f"{LEARNERS[key].label}\n$z_2$")
        make_room(figure, 0.3)
        lines = [
            Line2D([], [], color="0.15", linestyle=dashes, lw=1, label=text)
            for dashes, text in (("--", "encoder's Gaussian"), ("-", "best diagonal Gaussian"))
        ]
        shade = Patch(color="0.6", label="exact posterior")
        figure.legend(handles=[shade, *lines], loc="lower center", ncols=3, frameon=False)
        settle(figure)
    return figure


def _posterior(axis, key: str, frame: pd.DataFrame | None, point: int) -> None:
    """One panel: the density in grey, both Gaussians at one and two standard deviations."""
    axis.grid(False)
    rows = None if frame is None else frame[frame["point"] == point]
    if rows is None or rows.empty:
        place = {"ha": "center", "va": "center", "transform": axis.transAxes}
        axis.text(0.5, 0.5, "diverged", **place)
        return
    side = round(len(rows) ** 0.5)
    shape = (side, side)
    x, y, exact = (rows[name].to_numpy().reshape(shape) for name in ("z_1", "z_2", "exact"))
    axis.pcolormesh(x, y, np.exp(exact), cmap="Greys", rasterized=True, vmin=0)
    for name, dashes, colour in (
        ("encoder", "--", appearance(key).colour),
        ("best", "-", "0.15"),
    ):
        density = rows[name].to_numpy().reshape(shape)
        # Two variables: a Gaussian's log density falls by r^2 / 2 at r standard deviations.
        levels = density.max() - np.array([2.0, 0.5])
        axis.contour(x, y, density, levels, colors=[colour], linestyles=[dashes], linewidths=0.9)
    axis.set(title=f"test image {point}", xlabel="$z_1$")
    axis.locator_params(nbins=4)
