"""Figures to look into, as Bokeh plots, and how such plots get into a page.

A page fetches nothing; equal plots give equal bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from bokeh.document import Document
from bokeh.embed import components
from bokeh.events import DocumentReady
from bokeh.model import Model
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    LinearScale,
    LogScale,
    LogTicker,
    NoOverlap,
    Range1d,
    ResetTool,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

from ..core.words import short
from ..learners import LEARNERS, appearance
from .panels import Curve, values
from .parts import Tabular
from .style import GROUNDS, legible, pale, value_range

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
GREY = "#737373"
OURS = 4.5  # contrast of our lines on their ground; the paper's have less, but style.LINE


class Axis(NamedTuple):
    """The x axis of a row of panels: samples or seconds, its ends either way, and as which of the
    two it is drawn at first."""

    x: str
    linear: tuple[float, float]
    log: tuple[float, float]
    at_first: str
    range: Range1d  # shared by the row


def axis(x: str, linear: tuple[float, float], log: tuple[float, float], at_first: str) -> Axis:
    return Axis(x, linear, log, at_first, Range1d(*{"linear": linear, "log": log}[at_first]))


class Panel(NamedTuple):
    """A panel to look into."""

    plot: Model
    axis: Axis
    values: Tabular  # the table behind it


def value_axis(panels: list[list[Curve]], first: float, last: float, fence: float) -> Range1d:
    """The y axis of a row of panels, by the rule of figures.py: from `first` to `last`, without
    diverged and the paper's train curves."""
    counted = [
        curve.frame
        for panel in panels
        for curve in panel
        if curve.kind != "diverged" and (curve.kind, curve.split) != ("paper", "train")
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


def colours() -> dict[str, dict[str, tuple[str, str]]]:
    """The colours of ours and of the paper's, by ground and by learner; 'ignoring' is the model
    that ignores z, and 'cursor' what marks a point."""
    own = {key: appearance(key).colour for key in LEARNERS}
    own |= {"ignoring": GREY, "cursor": GREY}
    return {
        name: {key: (legible(c, ground, OURS), pale(c, ground)) for key, c in own.items()}
        for name, ground in GROUNDS.items()
    }


def panel(drawn: list[Curve], axis: Axis, heights: Range1d) -> Panel:
    """A plot of the curves `drawn`, with the table of their values.

    The tags of its renderers say what switches them: the learner first, the split, paper, longer or
    diverged, and mean or seed. live.js colours them for the page's ground.
    """
    plot = figure(
        x_range=axis.range,
        y_range=heights,
        x_axis_type=axis.at_first,
        height=230,
        sizing_mode="stretch_width",
        toolbar_location="above",
        tools=[BoxZoomTool(description="zoom in"), ResetTool(description="zoom out")],
        active_drag=None,
        background_fill_color=None,
        border_fill_color=None,
    )
    # as wide as its tools, it would fold the last of them away
    plot.toolbar.update(logo=None, group=False, styles={"min_width": "100px"})
    plot.min_border_right = 12
    plot.xaxis.axis_label, plot.yaxis.axis_label = AXES[axis.x], "nats per datapoint"
    plot.xaxis.update(formatter=CustomJSTickFormatter(code=TICKS), major_label_policy=NoOverlap())
    for curve in drawn:
        _draw(plot, curve, axis.x, heights)
    ring = plot.scatter(x=[], y=[], size=14, line_width=2, fill_alpha=0, name="cursor")
    ring.tags = ["cursor"]
    return Panel(plot, axis, values(drawn, axis.x))


def _draw(plot, curve: Curve, x: str, heights: Range1d) -> None:
    data = {name: column.to_list() for name, column in curve.frame.items() if name != "samples"}
    source = ColumnDataSource(data | {"at": [*map(FORMAT[x], curve.frame["x"])]})
    tags = [curve.algorithm, curve.split, *([curve.kind] if curve.kind else [])]
    colour = colours()["light"][curve.algorithm][curve.kind == "paper"]
    line = {"source": source, "line_dash": DASHES[curve.split], "color": colour}
    own = {"source": source, "name": curve.name, "color": colour}
    seeds = [name for name in data if name.startswith("seed ")]
    for seed in seeds:
        name = f"{curve.name}, {seed}"
        plot.line("x", seed, visible=False, name=name, **line).tags = [*tags, "seed"]
    drawn = [plot.line("x", "value", line_width=1 if curve.kind else 2, name=curve.name, **line)]
    if not curve.kind:
        shape = SHAPES.get(appearance(curve.algorithm).marker, "circle_dot")
        drawn.append(plot.scatter("x", "value", size=5, marker=shape, **own))
        drawn.append(plot.varea("x", "low", "high", alpha=0.22, **own))
    elif curve.kind == "diverged":
        x, value = curve.stopped
        end = min(max(value, heights.start), heights.end)
        cross = {"size": 10, "marker": "x", "color": colour, "name": curve.name}
        drawn.append(plot.scatter(x=[x], y=[end], **cross))
    for renderer in drawn:
        renderer.tags = [*tags, "mean"] if seeds else tags


def script(panels: dict[str, Panel], code: Path) -> tuple[str, dict[str, str]]:
    """As `embed`: the plots of `panels`, and what the file `code` (live.js) does with them."""
    document = Document()
    arguments = {
        "panels": [{"plot": p.plot, **p.axis._asdict()} for p in panels.values()],
        "scales": {"linear": LinearScale(), "log": LogScale()},
        "tickers": {"linear": BasicTicker(), "log": LogTicker()},
        "colours": colours(),
    }
    for part in panels.values():
        document.add_root(part.plot)
    start = CustomJS(args=arguments, code=code.read_text(encoding="utf-8"))
    document.js_on_event(DocumentReady, start)
    return embed({name: part.plot for name, part in panels.items()})
