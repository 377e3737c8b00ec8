"""The study's figures: what the label buys, classes by style, and completed images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...data import DATASETS
from ...report.pictures import tile
from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from . import numbers
from .labels import CLASSES
from .work import COMPLETIONS, WHITE

BLUE, RED, GREY = "#0B559F", "#B3260F", "0.45"
PALE = "#56B4E9"
#: gains of the first figure: column of the table, name, colour
GAINS = [
    ("gain_bound", "bound", BLUE),
    ("gain_log_p", "log p(x), label summed out", PALE),
    ("tells", "log p(x|y) − log p(x), in one model", RED),
]
ROWS = ["observed", "neighbour", "network", *(["CVAE"] * COMPLETIONS), "truth"]
#: methods of the third figure: key of numbers.NAMES, colour, marker
METHODS = [
    (("neighbour", "exact"), GREY, "v"),
    (("neighbours", "exact"), GREY, "s"),
    (("baseline", "exact"), RED, "o"),
    (("cvae", "bound"), PALE, "D"),
    (("cvae", "importance"), BLUE, "o"),
]


def label(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Left: what the label adds, by N_z, in nats. Right: how well z tells the class."""
    table = numbers.label(gathered, paper)
    with style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        _gains(left, table[table["label"] == 1])
        _told(right, table)
        settle(figure)
    return figure


def _bar(axis, place: float, row, name: str, scale: float = 1.0, most=np.inf, **more) -> None:
    """A mean with its interval over seeds; a share's ends at 0 and at `most`."""
    mean, low, high = (scale * getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
    if np.isfinite(most):
        low, high = max(low, 0.0), min(high, most)
    spread = [[mean - low], [high - mean]] if np.isfinite(low) else None
    axis.errorbar(place, mean, spread, markersize=4, linewidth=1.0, **more)


def _groups(axis, table: pd.DataFrame) -> list[int]:
    """N_z along the axis; where each is."""
    dims = list(dict.fromkeys(table["latent_dim"]))
    axis.set_xticks(range(len(dims)), [f"$N_z$ = {dim}" for dim in dims])
    axis.set_xlim(-0.5, len(dims) - 0.5)
    axis.grid(False, axis="x")
    return dims


def _gains(axis, given: pd.DataFrame) -> None:
    dims = _groups(axis, given)
    for place, row in enumerate(given.itertuples()):
        for shift, (name, text, colour) in zip((-0.2, 0, 0.2), GAINS, strict=True):
            shown = text if place == 0 else "_"
            _bar(axis, place + shift, row, name, fmt="o", color=colour, label=shown)
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1.5)
    axis.axhline(np.log(CLASSES), color=RED, linestyle="--", linewidth=0.8, zorder=1.5)
    axis.text(len(dims) - 0.52, np.log(CLASSES), "log 10", color=RED, ha="right", va="bottom")
    axis.set(ylabel="nats per image", title="what the label adds")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.35 * (high - low))
    axis.legend(frameon=False, loc="upper right")


def _told(axis, table: pd.DataFrame) -> None:
    dims = _groups(axis, table)
    for row in table.itertuples():
        place, colour = dims.index(row.latent_dim), (RED, BLUE)[row.label]
        for name, marker, shift in (("linear", "o", -0.08), ("near", "s", 0.08)):
            _bar(axis, place + shift, row, name, 100, 100.0, fmt=marker, color=colour)
    axis.axhline(100 * table["chance"].mean(), color=GREY, linestyle="--", linewidth=0.8)
    axis.set(ylabel="classes told from z, %", title="what z says of the class", ylim=(0, 135))
    axis.set_yticks(range(0, 101, 20))
    handles = [
        Line2D([], [], color=c, marker=m, linestyle="none", markersize=4, label=text)
        for text, c, m in (
            ("without the label", RED, "."),
            ("with the label", BLUE, "."),
            ("linear", "0.25", "o"),
            ("nearest neighbours", "0.25", "s"),
        )
    ]
    handles.append(Line2D([], [], color=GREY, linestyle="--", lw=0.8, label="most frequent class"))
    axis.legend(handles=handles, frameon=False, loc="upper center", ncols=2)


def styles(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Test images above, and their styles in every class below, a panel per N_z."""
    tables, shape = gathered.of("conditional_label"), _shape(gathered)
    dims = numbers.by_dim(gathered)
    count = gathered.study.conditional.styles
    share = (CLASSES + 1) * shape[0] / (count * shape[1])
    with style():
        figure = Figure(
            figsize=(WIDTH, 0.3 + share * (WIDTH / len(dims) - 0.5)), layout="constrained"
        )
        for axis, dim in zip(figure.subplots(1, len(dims), squeeze=False)[0], dims, strict=True):
            names = ["test", *map(str, range(CLASSES))]
            _raster(axis, tables[f"nz{dim}"].arrays["grid"], count, shape, names)
            axis.set_title(f"$N_z$ = {dim}")
        settle(figure)
    return figure


def _shape(gathered: Gathered) -> tuple[int, int]:
    study = gathered.study
    return DATASETS[study.experiments[study.conditional.experiment].dataset].shape


def _raster(axis, images: np.ndarray, columns: int, shape, names: list[str]) -> None:
    """Rows of images as one picture, with their names."""
    picture = tile(images, columns, shape)
    # 'none' stores the pixels as they are in vector formats.
    axis.imshow(picture, cmap="gray", vmin=0, vmax=WHITE, interpolation="none")
    for row in range(1, len(names)):
        axis.axhline(row * shape[0] - 0.5, color="0.6", linewidth=0.5)
    for column in range(1, columns):
        axis.axvline(column * shape[1] - 0.5, color="0.6", linewidth=0.5)
    middles = [(row + 0.5) * shape[0] - 0.5 for row in range(len(names))]
    axis.set_yticks(middles, names, fontsize=6)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.set_frame_on(False)
    axis.grid(False)


def quadrants(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A column for each number of observed quadrants. Above: completed test images. Below: minus
    log p(missing | observed) of each method."""
    tables, shape = gathered.of("conditional_quadrants"), _shape(gathered)
    found = numbers.quadrants(gathered, paper)
    seen = list(dict.fromkeys(found["observed"]))
    count = gathered.study.conditional.images
    with style():
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.subplots(2, len(seen), squeeze=False, height_ratios=[1.15, 1])
        for (upper, lower), observed in zip(axes.T, seen, strict=True):
            names = ROWS if observed == seen[0] else [""] * len(ROWS)
            _raster(upper, tables[f"q{observed}"].arrays["pictures"], count, shape, names)
            upper.set_title(f"{observed} quadrant{'s' * (observed > 1)} observed")
            _losses(lower, found[found["observed"] == observed])
        axes[1, 0].set_ylabel("−log p(missing | observed),\nnats per image")
        make_room(figure, 0.4)
        handles = [
            Line2D(
                [], [], color=c, marker=m, linestyle="none", markersize=4, label=numbers.NAMES[k]
            )
            for k, c, m in METHODS
        ]
        if found["published"].notna().any():
            marks = {"marker": "_", "linestyle": "none", "markersize": 9}
            handles.append(Line2D([], [], color="0.1", label="published (Pyro)", **marks))
        figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False)
        settle(figure)
    return figure


def _losses(axis, found: pd.DataFrame) -> None:
    """All methods on the same test images; what is published, on all."""
    for place, (key, colour, marker) in enumerate(METHODS):
        rows = found[(found["method"] == key[0]) & (found["measure"] == key[1])]
        row = rows.loc[rows["points"].idxmin()]
        half = max(1.96 * row["points_se"], np.nan_to_num(row["high"] - row["nll"]))
        axis.errorbar(place, row["nll"], half, fmt=marker, color=colour, markersize=4, linewidth=1)
        published = rows["published"].max()
        if np.isfinite(published):
            axis.plot(place + 0.3, published, "_", color="0.1", markersize=9)
    axis.set_xticks([])
    axis.set_xlim(-0.6, len(METHODS) - 0.4)
