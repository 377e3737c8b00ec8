"""The page to play with: the latent planes of Figure 4's models as maps.

The browser decodes the z under the pointer, shows the test points near it, and encodes what is
drawn. The page holds the networks' weights, test images and BokehJS, and fetches nothing. Identical
results give identical bytes.
"""

from __future__ import annotations

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

from ...config.sections import Experiment
from ...core.files import atomic
from ...core.words import number, short
from ...data import DATASETS, Dataset
from ...models.likelihoods import LIKELIHOODS
from ...report import live
from ...report.pages import TEMPLATES, filled
from ...report.pictures import decode, manifold_latents
from ...results import Gathered, RunResult, Table
from ...results.words import label
from . import STUDY, shipped, unfolding
from .encoding import WHITE

COLOURS = [*Category10_10[:7], "black", *Category10_10[8:]]  # grey would be lost on the pictures
TILES = 16  # decoded pictures from the top of a map to its foot
#: the sources of a map that its script fills -> their columns
FILLED = {
    "tiles": ["url", "x", "y", "side"],
    "near": ["x", "y"],
    "drawn": ["x", "y"],
    "classes": ["x", "y", "text"],
    "cursor": ["x", "y"],
}


def _map(known: Dataset, encoded: Table | None, reach: float):
    """The map of one model, with points if there are any.

    Returns the plot, and the sources FILLED by name.
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
    sources = {
        name: ColumnDataSource({column: [] for column in columns})
        for name, columns in FILLED.items()
    }
    behind = sources["tiles"]
    plot.image_url("url", "x", "y", "side", "side", anchor="center", alpha=0.3, source=behind)
    if encoded is not None:
        what = json.loads(encoded.attributes["config"])["label"]
        _scatter(plot, known, encoded.frame, f"test points by {what}")
    bold = {"text_align": "center", "text_baseline": "middle", "text_font_style": "bold"}
    for outline in ({"text_outline_color": "white", "text_outline_width": 5}, {}):
        style = {"text_color": "black", "text_font_size": "20px", **bold, **outline}
        plot.text("x", "y", "text", source=sources["classes"], **style)
    line = {"line_color": "black", "line_width": 2}
    for marker, size, name, fill in (
        ("circle", 12, "near", None),
        ("star", 26, "drawn", "yellow"),
        ("circle_cross", 18, "cursor", None),
    ):
        style = {"size": size, "marker": marker, "fill_color": fill, **line}
        plot.scatter("x", "y", source=sources[name], **style)
    return plot, sources


def _scatter(plot, known: Dataset, frame: pd.DataFrame, title: str) -> None:
    """Test points (columns of ENCODED) on a map: by class, or by what they count along.

    Their renderers are called "points"; their sources say which row of `frame` each is.
    """
    dots = {"size": 5, "line_color": "white", "line_width": 0.4, "name": "points"}
    frame = frame.astype(np.float32).assign(row=np.arange(len(frame), dtype=np.int32))
    classes = sorted(frame["label"].unique())
    if frame["label"].isna().all():
        plot.scatter("z1", "z2", source=_points(frame), **dots)
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


def _points(frame: pd.DataFrame) -> ColumnDataSource:
    return ColumnDataSource({name: values.to_numpy() for name, values in frame.items()})


def _held(
    run: RunResult, experiment: Experiment, encoded: Table | None
) -> tuple[dict, dict[str, np.ndarray], str]:
    """What the script of the page gets of a model: facts, and arrays by name; and how far 8 bits
    move the test points at most ("" where it has no encoder)."""
    known = DATASETS[run.dataset]
    height, width = known.shape
    about = {"height": height, "width": width, "tiles": TILES, "grey": WHITE}
    about |= {"what": known.label, "along": known.along, "binary": experiment.binarise}
    arrays = {f"decoder.{name}": value for name, value in shipped.decoder(run).items()}
    images = None if encoded is None else encoded.arrays.get("images")
    if images is None:
        return about, arrays, ""
    arrays["images"] = images
    frame = shipped.framed(images, known.shape)
    if known.label != "digit" or not frame:  # who could draw a face?
        return about, arrays, ""
    parts = shipped.encoder(run)
    arrays |= {f"encoder.{name}": value for name, value in parts.items()}
    moved = np.abs(shipped.encode(parts, images / WHITE) - encoded.frame[["z1", "z2"]].to_numpy())
    return about | {"frame": frame}, arrays, number(moved.max(), 3)


def _steps(gathered: Gathered, run: RunResult, encoded: Table | None) -> tuple[dict, dict]:
    """What the slider through training shows, up to `run`: facts, and arrays by name. Both empty
    where nothing was kept on the way."""
    study, steps, arrays = gathered.study, [], {}
    kept = gathered.of("unfolding")
    along = sorted(STUDY.along(study).items(), key=lambda item: item[1])
    earlier = [r.name for r, _ in along if r.base == run.experiment]
    tables = [(gathered.runs[name], kept[name]) for name in earlier if name in kept]
    if not tables or encoded is None:
        return {}, {}
    last = encoded.frame[: unfolding.POINTS]
    whole = Table(last, {}, {"tiles": unfolding.tiles(run, unfolding.reach(last))})
    sizes = {model.step_size for model, _ in [*tables, (run, whole)]}
    for step, (model, table) in enumerate([*tables, (run, whole)]):
        half = unfolding.reach(table.frame)
        places = table.frame[["z1", "z2"]].to_numpy() / half
        arrays[f"tiles.{step}"] = table.arrays["tiles"]
        arrays[f"places.{step}"] = np.round(shipped.LEVELS * places).astype(np.int8)
        bound = number(model.curve["test"].iloc[-1], LIKELIHOODS[model.likelihood].decimals)
        said = f"{short(model.samples)} training samples, test bound {bound} nats"
        said += f", step size {model.step_size:g}" if len(sizes) > 1 else ""
        steps.append(f"{said}, plane to ±{half:.1f}")
    about = {
        "steps": steps,
        "rows": unfolding.ROWS,
        "columns": unfolding.columns(DATASETS[run.dataset].shape),
        "colours": _colours(DATASETS[run.dataset], encoded.frame["label"])[: len(last)],
    }
    return {"unfolding": about}, arrays


def _colours(known: Dataset, labels: pd.Series) -> list[str]:
    """A colour of each point, as on the map."""
    classes = sorted(labels.dropna().unique())
    if not classes:
        return [COLOURS[0]] * len(labels)
    if not known.along and len(classes) <= len(COLOURS):
        return [COLOURS[classes.index(label)] for label in labels]
    place = (labels - classes[0]) / max(classes[-1] - classes[0], 1)
    return [Viridis256[int(255 * value)] for value in place]


def _model(
    gathered: Gathered, run: RunResult, experiment: Experiment, encoded: Table | None, grid: int
) -> dict:
    """What the page says of one model, and holds of it."""
    z, reach = manifold_latents(grid), unfolding.reach(encoded and encoded.frame)
    off = np.abs(shipped.decode(shipped.decoder(run), z) - decode(run.weights, z, run.likelihood))
    about, arrays, moved = _held(run, experiment, encoded)
    steps, kept = _steps(gathered, run, encoded)
    about |= {"reach": reach, **steps}
    arrays |= kept
    return {
        "id": f"map-{run.experiment}",
        "name": label(run.experiment),
        "bound": number(run.curve["test"].iloc[-1], LIKELIHOODS[run.likelihood].decimals),
        "samples": short(run.samples),
        "seed": run.seed,
        "n_test": run.n_test,
        "points": 0 if encoded is None else len(encoded.frame),
        "images": "images" in arrays,
        "largest": number(off.max(), 4),
        "average": number(off.mean(), 5),
        "moved": moved,
        "about": about,
        "data": json.dumps(about | shipped.packed(arrays)),
    }


def render(gathered: Gathered, output: str | Path) -> None:
    """Write the page as one HTML file that refers to nothing outside itself.

    Raises UserError if it cannot be written.
    """
    template = TEMPLATES / "manifold.html.j2"
    study, document, plots, models, lost = gathered.study, Document(), {}, [], []
    grids = {entry.experiment: entry.grid for entry in study.figure4}
    for run in (gathered.runs[drawn.name] for drawn in STUDY.drawn(study)):
        if run.status == "diverged":
            lost.append(label(run.experiment))
            continue
        encoded = gathered.of("encoded").get(run.run.name)
        experiment = study.experiments[run.experiment]
        model = _model(gathered, run, experiment, encoded, grids[run.experiment])
        plot, sources = _map(DATASETS[run.dataset], encoded, model["about"]["reach"])
        document.add_root(plot)
        names = ", ".join(sources)
        start = CustomJS(
            args={"id": model["id"], "plot": plot, **sources},
            code=f"startPlane(id, plot, {{{names}}})",
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
        "code": template.with_name("manifold.js").read_text(encoding="utf-8"),
    }
    with atomic(output) as temporary:
        temporary.write_text(filled(template, page), encoding="utf-8")
