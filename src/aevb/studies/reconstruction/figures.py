"""The study's figures: reconstructions and samples, one against the other, and variances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ...core.words import count
from ...data import DATASETS
from ...paper.verdicts import over_seeds
from ...report.pictures import tile
from ...report.style import DASHES, WIDTH, make_room, settle, style, value_range
from ...results import Gathered
from ...results.words import label
from . import KIND
from .numbers import by_experiment
from .terms import TERMS

#: of marks: VAEs of a fixed distance and their limit, and all others
COLOURS = {"fixed": "#0B559F", "limit": "#B3260F", "other": "0.25"}
LOOKS = {"learned": "#B3260F", "floor": "#0B559F", "dequantised": "#E69F00"}
FENCE = 3.0  # of value_range: a bound may be thrown far down
GAP = 6  # pixels between what is reconstructed and what is sampled
LABELS, TALLEST = 1.9, 4.4  # inches: for the names of terms; of the images at most


def images(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A panel for each data set: test images above, then a row for each term with what it makes of
    them, and samples of its prior."""
    pictures = {}
    keys = [key for key in TERMS if any(_drawn(gathered, key))]
    for model in gathered.study.reconstruction_terms.models:
        dataset = gathered.study.experiments[model.experiment].dataset
        found = [_arrays(gathered, model.experiment, key) for key in keys]
        if any(found):
            pictures[model.experiment] = _grid(found, DATASETS[dataset].shape)
    names = ["test images", *(TERMS[key].title for key in keys)]
    shares = [picture.shape[1] / picture.shape[0] for picture in pictures.values()]
    height = min(TALLEST, (WIDTH - LABELS) / max(sum(shares), 0.1))
    with style():
        figure = Figure(figsize=(WIDTH, height + 0.45), layout="constrained")
        if not pictures:
            return figure
        axes = figure.subplots(1, len(pictures), squeeze=False, width_ratios=shares)[0]
        for axis, (experiment, picture) in zip(axes, pictures.items(), strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none")
            at = len(picture) / len(names) * (np.arange(len(names)) + 0.5) - 0.5
            axis.set_yticks(at, names if axis is axes[0] else [])
            axis.set(xticks=[], title=f"{label(experiment)}: reconstructions │ samples")
            axis.tick_params(length=0)
            axis.grid(False)
            axis.set_frame_on(False)
        settle(figure)
    return figure


def _arrays(gathered: Gathered, experiment: str, key: str) -> dict[str, np.ndarray]:
    """The images of a model; none where every seed diverged, or there is no such model."""
    table = gathered.of(KIND).get(f"{experiment}_{key}")
    return table.arrays if table is not None else {}


def _drawn(gathered: Gathered, key: str) -> Iterator[bool]:
    """Whether a term has images, by data set."""
    for model in gathered.study.reconstruction_terms.models:
        yield bool(_arrays(gathered, model.experiment, key))


def _grid(found: list[dict[str, np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """One raster (rows * height, columns): test images, then a row for each of `found`, white
    where there is none."""
    white = np.full_like(next(filter(None, found))["generated"], 255)
    first = next((arrays["originals"] for arrays in found if "originals" in arrays), white)
    lines = []
    for arrays in ({"reconstructions": first}, *found):
        halves = [arrays.get(name, white) for name in ("reconstructions", "generated")]
        left, right = (tile(part, len(part), shape) for part in halves)
        lines.append(np.hstack([left, np.full((shape[0], GAP), 255), right]))
    return np.vstack(lines)


def tradeoff(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Reconstruction error against the distance of samples, a panel for each data set and kind of
    features; the way from Sigma = I to the autoencoder is a line."""
    found = by_experiment(gathered)
    panels = [
        (experiment, cases, column)
        for experiment, cases in found.items()
        for column in ("frechet", "features")
        if any(case.last[column].notna().any() for case in cases.values())
    ]
    with style():
        figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0] if panels else ()
        for axis, (experiment, cases, column) in zip(axes, panels, strict=True):
            _plane(axis, cases, column)
            what = {"frechet": "principal components", "features": "classifier's features"}[column]
            axis.set(title=f"{label(experiment)}\n{what}", xlabel="RMSE of test images")
        if panels:
            axes[0].set_ylabel("Fréchet distance of samples")
        make_room(figure, 0.75)
        keys = [key for key in TERMS if any(key in cases for cases in found.values())]
        handles = [
            Line2D([], [], ls="", marker=f"${_letter(key)}$", color=_colour(key), label=_named(key))
            for key in keys
        ]
        figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _letter(key: str) -> str:
    """What stands for a term in the plane."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[list(TERMS).index(key)]


def _named(key: str) -> str:
    return TERMS[key].title


def _colour(key: str) -> str:
    sd = TERMS[key].sd
    return COLOURS["other" if sd is None else "fixed" if sd else "limit"]


def _bars(values: dict[str, float], name: str) -> np.ndarray | None:
    """Lengths (2, 1) of the bars down and up; the former ends above 0, as an axis is logarithmic.
    None where there is no interval."""
    middle = values[name]
    down, up = middle - values[f"{name}_low"], values[f"{name}_high"] - middle
    if np.isnan([down, up]).any():
        return None
    return np.array([[np.clip(down, 0, 0.9 * middle)], [max(up, 0)]])


def _plane(axis, cases: dict, column: str) -> None:
    way = []
    for key, case in cases.items():
        if case.last[column].isna().all():
            continue
        x, y = over_seeds("x", case.last["rmse"]), over_seeds("y", case.last[column])
        if TERMS[key].sd is not None:
            way.append((TERMS[key].sd, x["x"], y["y"]))
        bars = {"yerr": _bars(y, "y"), "xerr": _bars(x, "x")}
        axis.errorbar(
            x["x"], y["y"], **bars, fmt="none", ecolor=(_colour(key), 0.3), elinewidth=0.7
        )
        place = {"ha": "center", "va": "center", "fontsize": 7, "weight": "bold"}
        halo = withStroke(linewidth=2, foreground="white")
        axis.text(x["x"], y["y"], _letter(key), color=_colour(key), path_effects=[halo], **place)
        axis.plot(x["x"], y["y"], alpha=0)  # for the limits of the axes
    way.sort(reverse=True)
    axis.plot([x for _, x, _ in way], [y for *_, y in way], color="0.7", lw=0.8, zorder=1)
    data = np.nanmean([case.last[f"{column}_data"].mean() for case in cases.values()])
    axis.axhline(data, color="0.45", linestyle="--", linewidth=0.8)
    axis.set(yscale="log")


def variances(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Above: the smallest learned variance and its 1 per cent quantile along training. Below: the
    bound on training and test images."""
    found = {
        experiment: {key: case for key, case in cases.items() if key in LOOKS}
        for experiment, cases in by_experiment(gathered).items()
    }
    found = {experiment: cases for experiment, cases in found.items() if cases}
    with style():
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.subplots(2, max(1, len(found)), squeeze=False, sharex="col")
        for (upper, lower), (experiment, cases) in zip(axes.T, found.items(), strict=False):
            level = 1 / gathered.study.experiments[experiment].scale
            for key, case in cases.items():
                _fall(upper, case.frame, LOOKS[key])
                _bounds(lower, case.frame, LOOKS[key])
            upper.axhline(level**2 / 12, color="0.45", linewidth=0.8)
            upper.set(xscale="log", yscale="log", title=label(experiment))
            lower.set(xlabel="# training samples")
            shown = [line.get_ydata() for line in lower.get_lines()]
            lower.set_ylim(*value_range(list(np.concatenate(shown)), FENCE))
            samples = sorted(case.frame["samples"].unique())
            named = [samples[0], samples[len(samples) // 2], samples[-1]]
            lower.set_xticks(named, [count(value) for value in named])
            lower.minorticks_off()
        axes[0, 0].set_ylabel("variance of a pixel")
        axes[1, 0].set_ylabel("bound, nats per datapoint")
        make_room(figure, 0.5)
        figure.legend(handles=_handles(), loc="lower center", ncols=4, frameon=False)
        settle(figure)
    return figure


def _handles() -> list[Line2D]:
    handles = [Line2D([], [], color=colour, label=_named(key)) for key, colour in LOOKS.items()]
    for name, dashes in (("smallest", "-"), ("1 % quantile", ":")):
        handles.append(Line2D([], [], color="0.25", linestyle=dashes, label=name))
    for split, dashes in DASHES.items():
        handles.append(Line2D([], [], color="0.25", linestyle=dashes, label=f"bound, {split}"))
    handles.append(Line2D([], [], color="0.25", marker="x", ls="", label="the seed diverges next"))
    return [*handles, Line2D([], [], color="0.45", lw=0.8, label="rounding to a grey level")]


def _fall(axis, frame: pd.DataFrame, colour: str) -> None:
    for _, rows in frame.groupby("seed"):
        for name, dashes in (("smallest", "-"), ("low", ":")):
            axis.plot(rows["samples"], rows[name], color=colour, linestyle=dashes, linewidth=1.0)
        if not (rows["last"] == 1).any():
            end = rows.iloc[-1]
            axis.plot(end["samples"], end["smallest"], marker="x", color=colour, ls="")


def _bounds(axis, frame: pd.DataFrame, colour: str) -> None:
    for _, rows in frame.groupby("seed"):
        for split, dashes in DASHES.items():
            axis.plot(rows["samples"], rows[split], color=colour, linestyle=dashes, linewidth=1.0)
