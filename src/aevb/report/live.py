"""Figures 2 and 3 to look into, as Bokeh plots; and how such plots get into a page: fetching
nothing, equal bytes for equal plots."""

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
    Span,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

from ..config import load
from ..core.words import short
from ..paper.distance import completed, paper_curve, replicas, shown
from ..results import Gathered
from .figures import ALGORITHMS, COLOURS, MARKERS, SEEDS_FOR_SD, mean_and_beyond, value_range

#: what Bokeh counts up or draws at random: ids of models and of elements
IDS = re.compile(r'(?<=")p\d{4,}(?=")|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def library() -> str:
    """BokehJS as one script, without the parts for widgets, tables, formulas and WebGL."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw)


def embed(plots: dict[str, Model]) -> tuple[str, dict[str, str]]:
    """A script that draws `plots`, and by their names the elements to draw them in."""
    script, elements = components(plots, wrap_script=False)
    ids: dict[str, str] = {}

    def settled(text: str) -> str:
        return IDS.sub(lambda found: ids.setdefault(found[0], f"bokeh{len(ids)}"), text)

    return settled(script), {name: settled(element) for name, element in elements.items()}


DASHES = {"train": "solid", "test": [6, 3]}
SHAPES = {"o": "circle", "^": "triangle", "s": "square"}
TICKS = "return tick >= 1e4 ? Number(tick.toPrecision(3)).toExponential().replace('+', '') : tick"
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
        name, tags = f"{ALGORITHMS[algorithm]}, {split}", [algorithm, split]
        theirs = (
            paper_curve(paper, load(gathered.config), experiment, latent_dim, algorithm, split)
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
        parts = mean_and_beyond(completed(gathered, experiment, algorithm, latent_dim))
        for part, more in zip(parts, ([], ["beyond"]), strict=False):
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
                Curve(name + ", where some seeds go on" * bool(more), [*tags, *more], frame)
            )
        for run in runs:
            if run.status == "diverged":
                lost = shown(gathered, run)
                lost = pd.DataFrame({"x": lost[x], "value": lost[split]})[np.isfinite(lost[split])]
                found.append(Curve(f"{name}, seed {run.seed}, diverged", [*tags, "diverged"], lost))
    return found


def _range(panels: list[list[Curve]], first: float, last: float, fence: float) -> Range1d:
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


def _panel(panel: list[Curve], x: str, ends: Range1d, heights: Range1d, log: bool) -> Model:
    plot = figure(
        x_range=ends,
        y_range=heights,
        x_axis_type="log" if log else "linear",
        height=230,
        sizing_mode="stretch_width",
        toolbar_location="above",
        tools=[BoxZoomTool(), ResetTool()],
        active_drag=None,
    )
    plot.toolbar.logo, plot.min_border_right = None, 12
    plot.xaxis.update(formatter=CustomJSTickFormatter(code=TICKS), major_label_policy=NoOverlap())
    ours, theirs = [], []
    for curve in panel:
        algorithm, split, *kind = curve.tags
        data = {name: values.to_list() for name, values in curve.frame.items()} | {
            "at": [*map(FORMAT[x], curve.frame["x"])]
        }
        style = {"source": ColumnDataSource(data), "color": COLOURS[algorithm], "name": curve.name}
        width, alpha = (1, 0.45 if kind == ["paper"] else 1) if kind else (2, 1)
        drawn = [
            plot.line("x", "value", line_dash=DASHES[split], line_width=width, alpha=alpha, **style)
        ]
        if not kind:
            drawn.append(
                plot.scatter("x", "value", size=5, marker=SHAPES[MARKERS[algorithm]], **style)
            )
            drawn.append(plot.varea("x", "low", "high", alpha=0.22, **style))
        elif kind == ["diverged"]:
            style["source"] = ColumnDataSource({name: values[-1:] for name, values in data.items()})
            drawn.append(plot.scatter("x", "value", size=10, marker="x", **style))
        (ours if "seeds" in data else theirs).append(drawn[0])
        for renderer in drawn:
            renderer.tags = curve.tags
    for lines, more in ((ours, "<br>@seeds"), (theirs, "")):
        tooltips = f"<b>$name</b><br>@at: @value{{0.00}} nats{more}"
        plot.add_tools(
            HoverTool(renderers=lines, tooltips=tooltips, line_policy="nearest", visible=False)
        )
    return plot


def figure2(gathered: Gathered, paper: pd.DataFrame) -> dict[str, Model]:
    """The panels of Figure 2, by experiment and N_z: 'mnist-3'; see figures.figure2."""
    study, panels = load(gathered.config), {}
    for row in study.figure2:
        ends = Range1d(
            0.9 * min(study.evaluation.first, study.samples), 1.5 * study.longest(row.experiment)
        )
        drawn = {
            d: curves(gathered, paper, row.experiment, d, row.algorithms, "samples")
            for d in row.latent_dims
        }
        heights = _range([*drawn.values()], ends.start**0.8 * ends.end**0.2, ends.end, fence=3)
        for d, panel in drawn.items():
            plot = panels[f"{row.experiment}-{d}"] = _panel(
                panel, "samples", ends, heights, log=True
            )
            for split, value in gathered.baselines.get(row.experiment, {}).items():
                plot.add_layout(
                    Span(
                        location=value,
                        dimension="width",
                        line_dash=DASHES[split],
                        line_color="#737373",
                        name="ignoring z",
                    )
                )
    return panels


def figure3(gathered: Gathered, paper: pd.DataFrame) -> dict[str, Model]:
    """The panels of Figure 3, by x axis and experiment: 'samples-mnist_1000'; see
    figures.figure3."""
    study = load(gathered.config)
    if (part := study.figure3) is None:
        return {}
    drawn = {
        (x, name): curves(gathered, paper, name, part.latent_dim, part.algorithms, x)
        for x in FORMAT
        for name in part.experiments
    }
    ours = {
        key: [curve.frame for curve in panel if "seeds" in curve.frame]
        for key, panel in drawn.items()
    }
    whole = 1.02 * max(
        run.samples for run in gathered.runs.values() if run.experiment in part.experiments
    )
    heights = _range(
        [drawn["samples", name] for name in part.experiments], whole / 2, whole, fence=20
    )
    timed = [frame for name in part.experiments for frame in ours["seconds", name]]
    seconds = [at for frame in timed for at in frame["x"][frame["value"] >= heights.start]] or [1.0]
    ends = {
        "samples": Range1d(0, whole),
        "seconds": Range1d(0.7 * min(seconds), 1.4 * max(seconds)),
    }
    return {
        f"{x}-{name}": _panel(panel, x, ends[x], heights, log=x == "seconds")
        for (x, name), panel in drawn.items()
    }
