"""The page to play with: the latent planes of Figure 4's models as maps.

The browser decodes the z under the pointer. The page holds the decoders' weights and BokehJS, and
fetches nothing. Identical results give identical bytes.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS, Range1d
from bokeh.palettes import Category10_10, Viridis256
from bokeh.plotting import figure
from bokeh.transform import linear_cmap
from scipy.special import expit

from ...core.files import atomic
from ...core.words import number, short
from ...data import DATASETS, Dataset
from ...models.likelihoods import LIKELIHOODS
from ...report import live
from ...report.pages import TEMPLATES, filled
from ...report.pictures import decode, manifold_latents, outputs
from ...results import Gathered, RunResult, Table
from ...results.words import label
from . import STUDY

LEVELS = 127  # of the size of a weight in 8 bits
PLANE = 3.0  # prior standard deviations from the middle of a map to its edge, at least
COLOURS = [*Category10_10[:7], "black", *Category10_10[8:]]  # grey would be lost on the pictures
TILES = 16  # decoded pictures from the top of a map to its foot


def shipped(run: RunResult) -> dict[str, np.ndarray]:
    """The parameters of the mean's decoder as the page holds them.

    The large weight matrix (H, D) has 8 bits, with a `step` (D,) per pixel; the rest has 32 bits.
    """
    # The mean's logits come first in the output of any likelihood.
    pixels = np.prod(DATASETS[run.dataset].shape)
    parts = {
        name.removeprefix("decoder."): value
        for name, value in run.weights.items()
        if name.startswith("decoder.")
    }
    weight, bias = parts["output.weight"][:, :pixels], parts["output.bias"][..., :pixels]
    step = (np.abs(weight).max(0) / LEVELS).astype("<f4")
    parts |= {
        "output.weight": np.round(weight / np.where(step > 0, step, 1)).astype(np.int8),
        "output.bias": bias,
        "step": step,
    }
    return {
        name: np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        for name, value in parts.items()
    }


def decode_shipped(parts: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """What the page shows: means (n, D) in [0, 1] at the latent points z (n, 2)."""
    weights = {f"decoder.{name}": value for name, value in parts.items()}
    weights["decoder.output.weight"] = parts["output.weight"] * parts["step"].astype(float)
    return expit(outputs(weights, z))


def _points(frame: pd.DataFrame) -> ColumnDataSource:
    return ColumnDataSource({name: values.to_numpy(np.float32) for name, values in frame.items()})


def _map(known: Dataset, encoded: Table | None, reach: float):
    """The map of one model, with points if there are any.

    Returns the plot, the source of the cursor and that of the picture behind.
    """
    plot = figure(
        x_range=Range1d(-reach, reach),
        y_range=Range1d(-reach, reach),
        x_axis_label="z₁",
        y_axis_label="z₂",
        sizing_mode="stretch_width",
        aspect_ratio=1,
        tools="",
        toolbar_location=None,
    )
    plot.grid.visible = False
    tiles = ColumnDataSource({"url": [], "x": [], "y": [], "side": []})
    plot.image_url("url", "x", "y", "side", "side", anchor="center", alpha=0.3, source=tiles)
    if encoded is not None:
        what = json.loads(encoded.attributes["config"])["label"]
        _scatter(plot, known, encoded.frame, f"test points by {what}")
    cursor = ColumnDataSource({"x": [0.0], "y": [0.0]})
    plot.scatter(
        "x",
        "y",
        size=18,
        marker="circle_cross",
        fill_color=None,
        line_color="black",
        line_width=2,
        source=cursor,
    )
    return plot, cursor, tiles


def _scatter(plot, known: Dataset, frame: pd.DataFrame, title: str) -> None:
    """Test points (columns of ENCODED) on a map: by class, or by what they count along."""
    dots = {"size": 5, "line_color": "white", "line_width": 0.4}
    classes = sorted(frame["label"].unique())
    if frame["label"].isna().all():
        plot.scatter("z1", "z2", source=_points(frame[["z1", "z2"]]), **dots)
    elif not known.along and len(classes) <= len(COLOURS):
        for colour, shown in zip(COLOURS, classes, strict=False):
            style = {"color": colour, "legend_label": f"{shown:g}", **dots}
            part = frame[frame["label"] == shown]
            plot.scatter("z1", "z2", source=_points(part), **style)
        [legend] = plot.legend
        legend.update(
            click_policy="hide",
            orientation="horizontal",
            ncols=10,
            spacing=0,
            label_text_font_size="10px",
            glyph_width=12,
        )
        legend.update(
            padding=2,
            margin=0,
            title=f"{title}; press one to hide or show it",
            title_text_font_size="11px",
        )
        plot.add_layout(legend, "below")
    else:
        lowest = min(0, float(frame["label"].min()))
        colours = linear_cmap("label", Viridis256, lowest, float(frame["label"].max()))
        title += f" of {known.along}" if known.along else ""
        points = plot.scatter("z1", "z2", color=colours, source=_points(frame), **dots)
        plot.add_layout(points.construct_color_bar(title=title, height=8), "below")


def _model(name: str, run: RunResult, encoded: Table | None, grid: int) -> dict:
    """What the page says of one model, and holds of it."""
    parts, z = shipped(run), manifold_latents(grid)
    off = np.abs(decode_shipped(parts, z) - decode(run.weights, z, run.likelihood))
    height, width = DATASETS[run.dataset].shape
    packed = {part: base64.b64encode(value.tobytes()).decode() for part, value in parts.items()}
    return {
        "id": f"map-{name}",
        "name": label(name),
        "height": height,
        "width": width,
        "bound": number(run.curve["test"].iloc[-1], LIKELIHOODS[run.likelihood].decimals),
        "samples": short(run.samples),
        "seed": run.seed,
        "n_test": run.n_test,
        "points": 0 if encoded is None else len(encoded.frame),
        "largest": number(off.max(), 4),
        "average": number(off.mean(), 5),
        "decoder": json.dumps({"height": height, "width": width, "tiles": TILES, **packed}),
    }


def render(gathered: Gathered, output: str | Path) -> None:
    """Write the page as one HTML file that refers to nothing outside itself.

    Raises UserError if it cannot be written.
    """
    template = TEMPLATES / "manifold.html.j2"
    study, document, plots, models, lost = gathered.study, Document(), {}, [], []
    code = template.with_name("manifold.js").read_text(encoding="utf-8")
    grids = {entry.experiment: entry.grid for entry in study.figure4}
    for run in STUDY.drawn(study):
        if gathered.runs[run.name].status == "diverged":
            lost.append(label(run.experiment))
            continue
        encoded = gathered.of("encoded").get(run.name)
        model = _model(run.experiment, gathered.runs[run.name], encoded, grids[run.experiment])
        reach = PLANE
        if encoded is not None:
            reach = max(PLANE, 1.05 * float(encoded.frame[["z1", "z2"]].abs().to_numpy().max()))
        known = DATASETS[gathered.runs[run.name].dataset]
        plot, cursor, tiles = _map(known, encoded, reach)
        document.add_root(plot)
        start = CustomJS(
            args={"id": model["id"], "plot": plot, "cursor": cursor, "tiles": tiles}, code=code
        )
        document.js_on_event(DocumentReady, start)
        models.append(model)
        plots[model["id"]] = plot
    script, elements = live.embed(plots) if plots else ("", {})
    page = {
        "study": study,
        "models": models,
        "lost": lost,
        "script": script,
        "elements": elements,
        "library": live.library(),
    }
    with atomic(output) as temporary:
        temporary.write_text(filled(template, page), encoding="utf-8")
