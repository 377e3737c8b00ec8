"""The study's figures: samples side by side, and what is measured during training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from ...core.words import count
from ...data import DATASETS
from ...report.pictures import tile
from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from ..figure4.encoding import WHITE
from .columns import METHODS, SAMPLED
from .numbers import by_seed

COLOURS = {"data": "0.35", "vae_mean": "#0B559F", "vae_draw": "#56B4E9", "gan": "#B3260F"}
MARKS = {"data": "_", "vae_mean": "o", "vae_draw": "s", "gan": "^"}
GAP = 0.4  # of an image's width, between methods


def samples(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Images of the data and samples of each method, side by side in one picture."""
    study = gathered.study
    side = study.gan.side
    shape = DATASETS[study.experiments[study.gan.experiment].dataset].shape
    table = gathered.of("gan")[f"seed{study.gan.seeds[0]}"]
    blocks = [tile(part, side, shape) for part in np.split(table.arrays["shown"], len(METHODS))]
    gap = np.full((blocks[0].shape[0], round(GAP * shape[1])), WHITE, np.uint8)
    parts = [block for each in blocks for block in (each, gap)][:-1]
    picture = np.concatenate(parts, 1)
    height = WIDTH * picture.shape[0] / picture.shape[1]
    with style():
        figure = Figure(figsize=(WIDTH, height + 0.25), layout="constrained")
        axis = figure.subplots()
        # 'none' stores the pixels as they are in vector formats.
        axis.imshow(picture, cmap="gray", vmin=0, vmax=WHITE, interpolation="none")
        width, step = blocks[0].shape[1], blocks[0].shape[1] + gap.shape[1]
        for at, name in enumerate(METHODS.values()):
            axis.text(at * step + width / 2, -0.15 * shape[0], name, ha="center", va="bottom")
        axis.set_axis_off()
        settle(figure)
    return figure


def curves(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Frechet distance against training samples and seconds, high frequencies against samples; the
    shares of classes at the end."""
    found = by_seed(gathered)
    with style():
        figure = Figure(figsize=(WIDTH, 4.5), layout="constrained")
        ((near, timed), (detail, classes)) = figure.subplots(2, 2)
        for axis, x, y in (
            (near, "samples", "frechet"),
            (timed, "seconds", "frechet"),
            (detail, "samples", "detail"),
        ):
            _curves(axis, found, x, y)
        data = np.mean([frame["frechet"].iloc[0] for frame in found.values()])
        for axis in (near, timed):
            axis.axhline(data, color=COLOURS["data"], linestyle="--", linewidth=0.8)
            axis.set_ylabel("Fréchet distance")
        detail.axhline(1, color=COLOURS["data"], linestyle="--", linewidth=0.8)
        detail.set_ylabel("high frequencies, relative to data")
        near.set_xlabel("# training samples")
        detail.set_xlabel("# training samples")
        timed.set_xlabel("seconds of one core")
        _classes(classes, gathered)
        make_room(figure, 0.3)
        handles = [
            Line2D([], [], color=COLOURS[key], marker=MARKS[key], markersize=3, lw=1, label=name)
            for key, name in METHODS.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _curves(axis, found: dict[int, pd.DataFrame], x: str, y: str) -> None:
    """Every seed thinly, and their geometric mean."""
    for method in SAMPLED:
        rows = [frame[frame["method"] == method] for frame in found.values()]
        for each in rows:
            axis.plot(each[x], each[y], color=COLOURS[method], linewidth=0.5, alpha=0.5)
        xs, ys = (np.exp(np.log([each[name] for each in rows]).mean(0)) for name in (x, y))
        line = {"color": COLOURS[method], "marker": MARKS[method], "markersize": 3}
        axis.plot(xs, ys, linewidth=1.2, markeredgewidth=0, **line)
    axis.set(xscale="log", yscale="log")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(LogLocator(subs=(1, 2, 5)))
        each.set_major_formatter("{x:g}")
        each.set_minor_formatter(NullFormatter())
    if x == "samples":
        points = rows[0][x].to_list()
        named = [points[0], points[len(points) // 2], points[-1]]
        axis.set_xticks(named, [count(point) for point in named])
        axis.xaxis.set_minor_locator(NullLocator())


def _classes(axis, gathered: Gathered) -> None:
    """The share of every class at the end: one mark per seed, the mean a larger one."""
    tables = gathered.of("gan").values()
    for at, method in enumerate(METHODS):
        last = [
            table.arrays["shares"][table.frame.index[table.frame["method"] == method][-1]]
            for table in tables
        ]
        shares = 100 * np.array(last)
        x = np.arange(shares.shape[1]) + 0.2 * (at - 1.5)
        look = {"color": COLOURS[method], "linestyle": "none"}
        axis.plot(np.tile(x, len(shares)), shares.ravel(), ".", markersize=2, alpha=0.6, **look)
        axis.plot(x, shares.mean(0), MARKS[method], markersize=4, **look)
    axis.set(xlabel="class, as the classifier sees it", ylabel="share of samples, %")
    axis.set_ylim(bottom=0)
    axis.set_xticks(range(shares.shape[1]))
