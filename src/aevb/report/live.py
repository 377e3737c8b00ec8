"""Figures to look into, as Bokeh plots, and how such plots get into a page.

A page fetches nothing; equal plots give equal bytes.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from bokeh.embed import components
from bokeh.model import Model
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    NoOverlap,
    Range1d,
    ResetTool,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

from ..core.words import short
from ..learners import LEARNERS, appearance
from ..paper.curves import paper_curve
from ..results import Gathered
from ..results.curves import completed, replicas, shown
from .panels import mean_and_longer
from .style import SEEDS_FOR_SD, value_range

#: what Bokeh counts up or draws at random: ids of models and of elements
IDS = re.compile(r'(?<=")p\d{4,}(?=")|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def library() -> str:
    """BokehJS as one script, without the parts for widgets, tables, formulas and WebGL."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw)


def embed(plots: dict[str, Model]) -> tuple[str, dict[str, str]]:
    """A script that draws `plots`, and by their names the elements to draw them in."""
    if not plots:
        return "", {}
    script, elements = components(plots, wrap_script=False)
    ids: dict[str, str] = {}

    def settled(text: str) -> str:
        return IDS.sub(lambda found: ids.setdefault(found[0], f"bokeh{len(ids)}"), text)

    return settled(script), {name: settled(element) for name, element in elements.items()}


DASHES = {"train": "solid", "test": [6, 3]}
#: Matplotlib's markers as Bokeh calls them; it has fewer, and draws the others as dotted circles
SHAPES = {
    "o": "circle",
    "^": "triangle",
    "s": "square",
    "D": "diamond",
    "v": "inverted_triangle",
    "P": "plus",
    "X": "x",
    "p": "star",
    "*": "asterisk",
    "h": "hex",
}
TICKS = "return tick >= 1e4 ? Number(tick.toPrecision(3)).toExponential().replace('+', '') : tick"
AXES = {"samples": "training samples", "seconds": "seconds of training"}
FORMAT = {
    "samples": lambda x: f"{short(int(float(f'{x:.3g}')))} samples",
    "seconds": lambda x: f"{x:.3g} seconds",
}


class Curve(NamedTuple):
    """One line of a panel: `frame` has x, value and, of ours, low, high and seeds (text); `tags`
    are what legends switch it by."""

    name: str
    tags: list[str]
    frame: pd.DataFrame


def curves(
    gathered: Gathered,
    paper: pd.DataFrame,
    experiment: str,
    latent_dim: int,
    algorithms: list[str],
    x: str,
) -> list[Curve]:
    """The lines of one panel of Figure 2 or 3, as figures.py draws them; `x` is samples or
    seconds."""
    found = []
    for algorithm, split in itertools.product(algorithms, ("train", "test")):
        name, tags = f"{LEARNERS[algorithm].label}, {split}", [algorithm, split]
        theirs = (
            paper_curve(paper, gathered.study, experiment, latent_dim, algorithm, split)
            if x == "samples"
            else None
        )
        if theirs is not None:
            found.append(
                Curve(
                    f"{name}, the paper", [*tags, "paper"], theirs.rename(columns={"samples": "x"})
                )
            )
        runs = replicas(gathered, experiment, algorithm, latent_dim)
        parts = mean_and_longer(completed(gathered, experiment, algorithm, latent_dim))
        for part, more in zip(parts, ([], ["longer"]), strict=False):
            values = part.pivot(index="samples", columns="seed", values=split)
            middle, sd = values.mean(axis=1), values.std(axis=1)
            by_sd = len(runs) >= SEEDS_FOR_SD
            frame = pd.DataFrame(
                {"value": middle, "low": middle - sd if by_sd else values.min(axis=1)}
            )
            frame["high"] = middle + sd if by_sd else values.max(axis=1)
            frame["seeds"] = [
                ", ".join(f"seed {s}: {value:.2f}" for s, value in row.dropna().items())
                for _, row in values.iterrows()
            ]
            frame["x"] = (
                values.index if x == "samples" else part.groupby("samples")["seconds"].mean()
            )
            found.append(
                Curve(name + ", seeds trained further" * bool(more), [*tags, *more], frame)
            )
        for run in runs:
            if run.status == "diverged":
                lost = shown(gathered, run)
                lost = pd.DataFrame({"x": lost[x], "value": lost[split]})[np.isfinite(lost[split])]
                found.append(Curve(f"{name}, seed {run.seed}, diverged", [*tags, "diverged"], lost))
    return found


def value_axis(panels: list[list[Curve]], first: float, last: float, fence: float) -> Range1d:
    """The y axis of a row of panels, by the rule of figures.py: from `first` to `last`, without
    diverged and the paper's train curves."""
    counted = [
        curve.frame
        for panel in panels
        for curve in panel
        if not {"paper", "train"} <= {*curve.tags} and "diverged" not in curve.tags
    ]
    return Range1d(
        *value_range(
            [
                value
                for frame in counted
                for value in frame["value"][frame["x"].between(first, last)]
            ],
            fence,
        )
    )


def plot(panel: list[Curve], x: str, ends: Range1d, heights: Range1d, log: bool) -> Model:
    axes = figure(
        x_range=ends,
        y_range=heights,
        x_axis_type="log" if log else "linear",
        height=230,
        sizing_mode="stretch_width",
        toolbar_location="above",
        tools=[BoxZoomTool(), ResetTool()],
        active_drag=None,
    )
    axes.toolbar.logo, axes.min_border_right = None, 12
    axes.xaxis.axis_label, axes.yaxis.axis_label = AXES[x], "nats per datapoint"
    axes.xaxis.update(formatter=CustomJSTickFormatter(code=TICKS), major_label_policy=NoOverlap())
    ours, theirs = [], []
    for curve in panel:
        algorithm, split, *kind = curve.tags
        data = {name: values.to_list() for name, values in curve.frame.items()} | {
            "at": [*map(FORMAT[x], curve.frame["x"])]
        }
        style = {
            "source": ColumnDataSource(data),
            "color": appearance(algorithm).colour,
            "name": curve.name,
        }
        width, alpha = (1, 0.45 if kind == ["paper"] else 1) if kind else (2, 1)
        drawn = [
            axes.line("x", "value", line_dash=DASHES[split], line_width=width, alpha=alpha, **style)
        ]
        if not kind:
            drawn.append(
                axes.scatter(
                    "x",
                    "value",
                    size=5,
                    marker=SHAPES.get(appearance(algorithm).marker, "circle_dot"),
                    **style,
                )
            )
            drawn.append(axes.varea("x", "low", "high", alpha=0.22, **style))
        elif kind == ["diverged"]:
            style["source"] = ColumnDataSource({name: values[-1:] for name, values in data.items()})
            drawn.append(axes.scatter("x", "value", size=10, marker="x", **style))
        (ours if "seeds" in data else theirs).append(drawn[0])
        for renderer in drawn:
            renderer.tags = curve.tags
    for lines, more in ((ours, "<br>@seeds"), (theirs, "")):
        tooltips = f"<b>$name</b><br>@at: @value{{0.00}} nats{more}"
        axes.add_tools(
            HoverTool(renderers=lines, tooltips=tooltips, line_policy="nearest", visible=False)
        )
    return axes
