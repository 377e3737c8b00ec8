"""Errors against what is seen, and the completed images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...report.pictures import tile
from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from ...results.words import label
from ..figure4.encoding import WHITE
from . import STUDY, Task
from .columns import DENSITIES, METHODS, SHOWN
from .numbers import HOLES, pixels, said, shape_of
from .numbers import completion as summed

LOOKS = {  # colour and marker
    "posterior": ("#0072B2", "o"),
    "draw": ("#56B4E9", "o"),
    "gibbs": ("#CC79A7", "D"),
    "encoder": ("#E69F00", "s"),
    "nearest": ("#D55E00", "^"),
    "linear": ("#009E73", "v"),
    "mean": ("#999999", "X"),
    "whole": ("0.15", "_"),
}
DENSITY_LOOKS = {"model": LOOKS["posterior"], "linear": LOOKS["linear"], "pixels": LOOKS["mean"]}
KINDS = {
    "pixels": ("random pixels", "share of pixels seen"),
    "top": ("top rows", "share of rows seen"),
    "grid": ("grid", "share of pixels seen"),
    "blocks": ("block means", "numbers per pixel"),
    "noise": ("noise", ""),
}
HOLE = np.array([0.36, 0.52, 0.78])  # red, green and blue of pixels not seen
NAMES = {
    "image": "test image",
    "seen": "what is seen",
    "posterior": "posterior mean",
    "draw": "one sample",
    "other": "another",
    "encoder": "encoder",
    "nearest": "nearest",
}
TALLEST = 8.0  # inches


def errors(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A row per experiment, a panel per kind of task: error against what is seen, a line per
    method with its interval over seeds."""
    frame = summed(gathered, paper)
    figure = _panels(gathered, frame, LOOKS, "root mean squared error", METHODS)
    for axis in figure.axes[:: max(1, frame["kind"].nunique())]:
        # Intervals of two seeds may be wider than all else.
        mine = frame[frame["experiment"] == axis.get_gid()]
        axis.set_ylim(0, 1.1 * np.nanmax(mine[list(LOOKS)].to_numpy()))
    return figure


def density(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """The same of tasks with holes: log p(not seen | seen) per pixel that is not seen."""
    frame = summed(gathered, paper)
    frame = frame[frame["kind"].isin(HOLES)]
    for name in DENSITIES:
        for end in ("", "_low", "_high"):
            unseen = [
                (1 - row.share) * pixels(gathered.study, row.experiment)
                for row in frame.itertuples()
            ]
            frame = frame.assign(**{f"{name}{end}": frame[f"log_{name}{end}"] / unseen})
    return _panels(gathered, frame, DENSITY_LOOKS, "log p per unseen pixel / nats", DENSITIES)


def _panels(
    gathered: Gathered, frame: pd.DataFrame, looks: dict, about: str, names: dict[str, str]
) -> Figure:
    """A row per experiment, a panel per kind of task, a line per key of `looks`."""
    experiments = list(dict.fromkeys(frame["experiment"]))
    kinds = list(dict.fromkeys(frame["kind"]))
    with style():
        figure = Figure(figsize=(WIDTH, 0.7 + 2.1 * max(1, len(experiments))), layout="constrained")
        if frame.empty:
            figure.text(0.5, 0.5, "every model diverged", ha="center")
            return figure
        axes = figure.subplots(len(experiments), len(kinds), squeeze=False, sharey="row")
        for row, experiment in zip(axes, experiments, strict=True):
            mine = frame[frame["experiment"] == experiment]
            for axis, kind in zip(row, kinds, strict=True):
                likelihood = gathered.study.experiments[experiment].likelihood
                _panel(axis, mine[mine["kind"] == kind], kind, likelihood, looks)
            row[0].set_gid(experiment)
            row[0].set_ylabel(f"{label(experiment)}\n{about}")
        make_room(figure, 0.45)
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=3, label=names[name])
            for name, (colour, marker) in looks.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _panel(axis, rows: pd.DataFrame, kind: str, likelihood: str, looks: dict) -> None:
    if rows.empty:  # a kind of task that another experiment has
        axis.set_visible(False)
        return
    title, about = KINDS[kind]
    if kind == "noise":
        about = "probability of a flip" if likelihood == "bernoulli" else "sd of the noise"
    rows = rows.assign(at=rows["level" if kind == "noise" else "share"]).sort_values("at")
    for name, (colour, marker) in looks.items():
        if rows[name].isna().all():
            continue
        line = {"color": colour, "marker": marker, "markersize": 3, "markeredgewidth": 0}
        ends = np.abs(rows[[f"{name}_low", f"{name}_high"]].T - rows[name]).to_numpy()
        axis.errorbar(rows["at"], rows[name], ends, lw=1, elinewidth=0.6, **line)
    axis.set(xlabel=about, title=title, xlim=(0, 1.08 * rows["at"].max()))


def images(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A panel per experiment, one raster each: rows as SHOWN, a block of columns per task."""
    study, tables = gathered.study, gathered.of("completion")
    names = study.completion.experiments
    found = [tables.get(STUDY.at(study, name)[0].name) for name in names]
    heights = [len(SHOWN) * shape_of(study, n)[0] / _columns(study, n) for n in names]
    with style():
        height = min(0.45 * len(names) + sum(heights) * (WIDTH - 1), TALLEST)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.get_layout_engine().set(rect=(0.01, 0, 0.99, 1))
        axes = figure.subplots(len(names), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, name, table in zip(axes, names, found, strict=True):
            _grid(axis, study, name, table)
        figure.draw_without_rendering()  # names find room once the rasters have their width
        settle(figure)
    return figure


def _columns(study, experiment: str) -> int:
    """Width of an experiment's raster in pixels: images, and a gap between tasks."""
    part = study.completion
    tasks = len(part.shown(study.experiments[experiment].likelihood))
    width = shape_of(study, experiment)[1]
    return tasks * part.images * width + (tasks - 1) * _gap(width)


def _gap(width: int) -> int:
    return max(1, width // 4)


def _grid(axis, study, experiment: str, table) -> None:
    """The raster of one experiment, or why there is none."""
    shape, likelihood = shape_of(study, experiment), study.experiments[experiment].likelihood
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.set_frame_on(False)
    if table is None or table.frame.empty:
        axis.text(0.5, 0.5, "this model diverged", ha="center", transform=axis.transAxes)
        return
    blocks, ticks, at = [], {}, 0
    for task, seen, pictures in zip(
        study.completion.shown(likelihood),
        table.arrays["masks"].astype(bool),
        table.arrays["pictures"],
        strict=True,
    ):
        if blocks:
            blocks.append(np.ones((blocks[0].shape[0], _gap(shape[1]), 3)))
            at += _gap(shape[1])
        blocks.append(_block(pictures, seen, shape))
        share = seen.sum() / pixels(study, experiment)
        ticks[at + blocks[-1].shape[1] / 2] = said(Task(*task), share)
        at += blocks[-1].shape[1]
    axis.imshow(np.concatenate(blocks, 1), interpolation="none", vmin=0, vmax=1)
    axis.set_xticks([*ticks], ticks.values(), fontsize=6)
    middles = (np.arange(len(SHOWN)) + 0.5) * shape[0]
    axis.set_yticks(middles, [NAMES[name] for name in SHOWN], fontsize=6)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.set_title(f"{label(experiment)}, $N_z$ = {study.completion.latent_dim}")


def _block(pictures: np.ndarray, seen: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pictures (images, SHOWN, D) of one task as (height, width, 3), holes in a colour."""
    rgb = np.repeat(pictures[..., None] / WHITE, 3, -1)
    rgb[:, SHOWN.index("seen"), ~seen] = HOLE
    count = len(pictures)
    layers = [
        tile(rgb[..., c].swapaxes(0, 1).reshape(-1, seen.size), count, shape) for c in range(3)
    ]
    return np.stack(layers, -1)
