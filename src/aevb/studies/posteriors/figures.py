"""The study's figures: what flows and importance weights gain, and posteriors in two dimensions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from .columns import GRID
from .numbers import gaps, gradients
from .numbers import posteriors as summed

COLOURS = {"diagonal": "0.35", "planar": "#E69F00", "autoregressive": "#0B559F"}
LOOKS = {"plain": "#B3260F", "doubly": "#56B4E9"}
MARKS = "os^DvP*Xhp"  # by N_z, in turn
WAYS = {"plain": "", "doubly": ", doubly"}


def name_of(family: str, k: int, gradient: str) -> str:
    """'planar flow', 'k = 50, doubly'."""
    if k > 1:
        return f"k = {k}{WAYS[gradient]}"
    return f"{family} flow" if family != "diagonal" else "diagonal"


def posteriors(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Left: log p(x) above that of AEVB's model. Middle: approximation gaps on one decoder. Right:
    signal against noise of the encoder's gradient."""
    found, apart, signals = (make(gathered, paper) for make in (summed, gaps, gradients))
    dims = sorted({*found["latent_dim"], *signals["latent_dim"]})
    with style():
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
        _gains(left, found, dims)
        _gaps(middle, apart)
        _signals(right, signals, dims)
        make_room(figure, 0.3)
        handles = [Patch(color=colour, label=family) for family, colour in COLOURS.items()]
        handles += [Patch(color=colour, label=f"$L_k$, {way}") for way, colour in LOOKS.items()]
        handles += [
            Line2D(
                [],
                [],
                color="0.25",
                marker=MARKS[at % len(MARKS)],
                linestyle="none",
                ms=4,
                label=name,
            )
            for at, name in enumerate(f"$N_z$ = {nz:g}" for nz in dims)
        ]
        figure.legend(handles=handles, loc="lower center", ncols=7, frameon=False)
        settle(figure)
    return figure


def _gains(axis, frame: pd.DataFrame, dims: list) -> None:
    rows = frame[frame["gain"].notna()]
    cases = [name_of(row.family, row.k, row.gradient) for row in rows.itertuples()]
    names = list(dict.fromkeys(cases))
    for case, row in zip(cases, rows.itertuples(), strict=True):
        at = dims.index(row.latent_dim)
        y = len(names) - 1 - names.index(case) - 0.24 * (at - (len(dims) - 1) / 2)
        colour = COLOURS[row.family] if row.k == 1 else LOOKS[row.gradient]
        bars = {"fmt": MARKS[at % len(MARKS)], "color": colour, "markersize": 4, "lw": 1.0}
        axis.errorbar(row.gain, y, xerr=_ends(row, "gain"), **bars)
    axis.axvline(0, color="0.45", linewidth=0.8, zorder=1.5)
    axis.set_yticks(range(len(names)), names[::-1])
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set(xlabel="nats per datapoint", title="log p(x) above the diagonal q's")


def _ends(row, name: str) -> np.ndarray:
    """Distances (2, 1) of an interval's ends from its mean; 0 where there is none."""
    mean = getattr(row, name)
    ends = [[mean - getattr(row, f"{name}_low")], [getattr(row, f"{name}_high") - mean]]
    return np.nan_to_num(np.clip(ends, 0, None))


def _gaps(axis, frame: pd.DataFrame) -> None:
    dims = list(dict.fromkeys(frame["latent_dim"]))
    for at, (family, colour) in enumerate(COLOURS.items()):
        rows = frame[frame["family"] == family]
        x = np.arange(len(rows)) + 0.27 * (at - 1)
        ends = np.concatenate([_ends(row, "gap") for row in rows.itertuples()], 1)
        axis.bar(x, rows["gap"], 0.25, color=colour, linewidth=0)
        axis.errorbar(x, rows["gap"], ends, fmt="none", ecolor="0.15", elinewidth=0.7)
    axis.axhline(0, color="0.45", linewidth=0.8)
    axis.set_xticks(range(len(dims)), [f"{value:g}" for value in dims])
    axis.set(xlabel="$N_z$", ylabel="nats per datapoint", title="approximation gap")


def _signals(axis, frame: pd.DataFrame, dims: list) -> None:
    ks = sorted(frame["k"].unique())
    for (nz, gradient), own in frame.groupby(["latent_dim", "gradient"]):
        rows = own.sort_values("k")
        ends = np.concatenate([_ends(row, "ratio") for row in rows.itertuples()], 1)
        line = {
            "color": LOOKS[gradient],
            "marker": MARKS[dims.index(nz) % len(MARKS)],
            "markersize": 4,
        }
        axis.errorbar(rows["k"], rows["ratio"], ends, lw=1.0, **line)
    seen = frame.loc[frame["ratio"] > 0, "ratio"]
    if len(seen):  # an interval that reaches 0 has no end on a logarithmic axis
        axis.set(yscale="log", ylim=(seen.min() / 2, seen.max() * 2))
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
    axis.set(xscale="log", xlabel="k", title="signal to noise,\nencoder's gradient")
    axis.set_xticks(ks, [f"{k:g}" for k in ks])
    axis.xaxis.set_minor_locator(NullLocator())


def drawn(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A column for each test image, a row for each family: the exact posterior in grey, the q
    fitted to it at one and two standard deviations' depth."""
    densities, corners = _grids(gathered)
    with style():
        columns = len(corners)
        height = 0.6 + 0.93 * WIDTH / max(columns, 5) * (len(GRID) - 1)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(len(GRID) - 1, columns, squeeze=False)
        for row, (at, family) in zip(axes, enumerate(GRID[1:], 1), strict=True):
            for point, axis in enumerate(row):
                _posterior(axis, densities[point, [0, at]], corners[point], COLOURS[family])
            row[0].set_ylabel(f"{family}\n$z_2$")
        for point in range(columns):
            axes[0, point].set_title(f"test image {point}")
            axes[-1, point].set_xlabel("$z_1$")
        make_room(figure, 0.3)
        handles = [Patch(color="0.6", label="exact posterior")]
        handles += [Line2D([], [], color=c, lw=1, label=f) for f, c in COLOURS.items()]
        figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _grids(gathered: Gathered) -> tuple[np.ndarray, np.ndarray]:
    """Log densities (images, len(GRID), nodes, nodes) and corners (images, 2, 2)."""
    for table in gathered.of("posteriors").values():
        if "densities" in table.arrays:
            return table.arrays["densities"].astype(float), table.arrays["corners"]
    return np.zeros((1, len(GRID), 2, 2)), np.array([[[0.0, 0.0], [1.0, 1.0]]])


def _posterior(axis, densities: np.ndarray, corners: np.ndarray, colour: str) -> None:
    exact, q = (each.T for each in densities)  # z_2 rises along the rows
    (left, bottom), (right, top) = corners
    extent = (left, right, bottom, top)
    image = {"cmap": "Greys", "vmin": 0, "origin": "lower", "interpolation": "none"}
    axis.imshow(np.exp(exact), extent=extent, aspect="auto", **image)
    nodes = [np.linspace(*ends, len(q)) for ends in ((left, right), (bottom, top))]
    # Two variables: a Gaussian's log density falls by r^2 / 2 at r standard deviations.
    if q.max() > q.min():
        axis.contour(
            *nodes,
            q,
            q.max() - np.array([2.0, 0.5]),
            colors=[colour],
            linestyles="-",
            linewidths=0.9,
        )
    axis.grid(False)
    axis.locator_params(nbins=3)
