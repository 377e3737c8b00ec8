"""What figures share: style, axes, legends, and how they are written to files.

Identical results give identical bytes: fonts, style and metadata are fixed. Nothing here depends on
the time, on the user's matplotlib settings or on pyplot's global state.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib.style
import numpy as np
import seaborn
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from ..config import Config
from ..core.files import atomic
from ..core.words import plural, short
from ..data import DATASETS
from ..learners import LEARNERS, appearance
from ..report.conventions import hidden_of_paper

DASHES = {"train": "-", "test": (0, (3.5, 1.6))}
# Below this many seeds the band is the range: a standard deviation of so few says little.
SEEDS_FOR_SD = 5
GROUNDS = {"light": "#ffffff", "dark": "#15181c"}  # of pages, as style.css has them
LINE = 3.0  # contrast on its ground that a line needs at least (WCAG 2.1, 1.4.11)
WIDTH = 7.2  # inches: the text width of an A4 or letter page
THEME = {
    **seaborn.plotting_context("paper", font_scale=0.8),
    **seaborn.axes_style(
        "ticks", {"axes.grid": True, "grid.color": "0.9", "font.family": ["DejaVu Sans"]}
    ),  # ships with matplotlib
    **{
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "grid.linewidth": 0.5,
    },
    **{
        "figure.titlesize": 7.5,
        "svg.hashsalt": "aevb",
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
        "savefig.dpi": 200,
    },
}
# None removes an entry: dates and version strings would change the bytes.
METADATA = {
    ".pdf": {"Creator": "aevb", "Producer": None, "CreationDate": None},
    ".svg": {"Creator": "aevb", "Date": None},
    ".png": {"Software": None},
}


def style():
    return matplotlib.style.context(["default", THEME])


def settle(figure: Figure) -> None:
    """Lay the figure out once and for all, on round positions: the layout solver's last digits
    vary from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        axis.set_position(np.round(axis.get_position(original=True).bounds, 4))
    for text in figure.texts:
        text.set_position(np.round(text.get_position(), 4))


def budget_line(samples: int, seeds: list[int]) -> str:
    """What lines and bands of a figure stand for, in a line."""
    band = (
        "mean and ± 1 sd over" if len(seeds) >= SEEDS_FOR_SD else "mean and range (min to max) over"
    )
    spread = f"{band} {plural(len(seeds), 'seed')}" if len(seeds) > 1 else "1 seed"
    return f"Budget: {short(samples)} training samples per curve; {spread}"


def beside_paper(study: Config, experiment: str) -> str:
    """What to add to the title of a panel whose paper's curves have another number of hidden units
    or of training images; '' where they are the same, or the paper has none."""
    asked, lines = study.experiments[experiment], []
    if (departed := hidden_of_paper(study, experiment)) is not None:
        lines.append(f"{asked.hidden} hidden units; the paper's have {departed}")
    known = DATASETS[asked.dataset]
    if known.sample_of and asked.n_train is None:
        theirs = DATASETS[known.sample_of].n_train
        lines.append(f"{known.n_train:,} images; the paper's {theirs:,}")
    return "".join(f"\n{line}" for line in lines)


def contrast(colour, other) -> float:
    """How far two colours are apart in lightness, 1 to 21: the contrast ratio of WCAG 2."""

    def luminance(rgb) -> float:
        parts = np.array(to_rgb(rgb))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    darker, lighter = sorted(map(luminance, (colour, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _mixed(colour, other, share: float) -> str:
    """`colour` with a `share` of `other`."""
    return to_hex((1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other)))


@functools.cache
def legible(colour, ground: str, least: float = LINE) -> str:
    """`colour`, moved to black or white as little as gives it `least` contrast on `ground`."""
    far = max(("#000000", "#ffffff"), key=lambda pole: contrast(pole, ground))
    mixtures = (_mixed(colour, far, share) for share in np.linspace(0, 1, 101))
    return next(made for made in mixtures if contrast(made, ground) >= least)


@functools.cache
def pale(colour, ground: str = GROUNDS["light"]) -> str:
    """The colour of the paper's curve beside ours in `colour`: as near to `ground` as can still be
    seen."""
    mixtures = (_mixed(legible(colour, ground), ground, share) for share in np.linspace(1, 0, 101))
    return next(made for made in mixtures if contrast(made, ground) >= LINE)


def make_room(figure: Figure, inches: float) -> float:
    """Keep the foot of the figure free for legend and label, which the layout engine would lay
    on each other; its height."""
    height = figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, inches / height, 1, 1 - inches / height))
    return height


def log_ticks(axis) -> None:
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=100))
    axis.xaxis.set_minor_formatter(NullFormatter())


def limits(panels: list, skip: float, fence: float) -> tuple[float, float]:
    """A y range for a row of panels, from the lines in them.

    Three things do not count. The first part of the x axis (`skip`, a share of its length), where
    values rise steeply, as in the paper's axes. The paper's train curves, which start lower still.
    Values further from the quartiles than `fence` times their distance, lest one flatten the rest.
    """
    values = []
    for panel in panels:
        for line in panel.get_lines():
            theirs = line.get_label().startswith("paper") and line.get_label().endswith("train")
            values += [] if theirs else list(_counted(panel, line, skip)[1])
    return value_range(values, fence)


def _counted(panel, line, skip: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a line's points but for those in the first part of the x axis (`skip`)."""
    x, y = line.get_data(orig=False)
    place = panel.transLimits.transform(
        panel.transScale.transform(np.column_stack([x, np.zeros(len(x))]))
    )[:, 0]
    inside = (place >= skip) & (place <= 1)
    return x[inside], y[inside]


def mark_hidden(panel, skip: float) -> None:
    """Name the largest and the least value of our lines that the y range of a panel hides, in its
    corners; see `limits` for `skip`."""
    low, high = panel.get_ylim()
    found = []
    for line in panel.get_lines():
        if not line.get_label().startswith(("paper", "ignoring z", "_")):
            values = _counted(panel, line, skip)[1]
            found += [(value, line.get_color()) for value in values if np.isfinite(value)]
    for above, (value, colour) in ((True, max(found)), (False, min(found))) if found else ():
        if value > high if above else value < low:
            panel.text(
                0.97,
                0.97 if above else 0.03,
                f"{'↑' if above else '↓'} {value:.0f}".replace("-", "−"),
                transform=panel.transAxes,
                ha="right",
                va="top" if above else "bottom",
                fontsize=6,
                color=colour,
                zorder=5,
            )


def value_range(values: list[float], fence: float) -> tuple[float, float]:
    """A range for `values`, with a margin: the finite ones not further from the quartiles than
    `fence` times their distance."""
    values = [value for value in values if np.isfinite(value)]
    if not values:
        return 0.0, 1.0
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = fence * max(upper - lower, 1.0)
    low, high = max(min(values), lower - reach), min(max(values), upper + reach)
    pad = 0.05 * max(high - low, 1.0)
    return low - pad, high + pad


def legend(figure: Figure, algorithms: list[str]) -> None:
    """One legend at the foot of Figure 2 or 3."""
    drawn = [line.get_label() for axis in figure.axes for line in axis.get_lines()]
    handles = [
        Line2D(
            [],
            [],
            color=appearance(a).colour,
            marker=appearance(a).marker,
            markersize=3,
            markeredgewidth=0,
            label=LEARNERS[a].label,
        )
        for a in dict.fromkeys(algorithms)
    ]
    handles += [
        Line2D([], [], color="0.25", linestyle=dashes, label=split)
        for split, dashes in DASHES.items()
    ]
    if any(name.startswith("paper") for name in drawn):
        thin = {"color": pale("0.25"), "linewidth": 0.7}
        handles.append(Line2D([], [], label="the paper (thin, pale)", **thin))
    if any(name.startswith("ignoring z") for name in drawn):
        handles.append(Line2D([], [], color="0.45", linewidth=0.7, label="ignoring z"))
    if any(name.endswith("diverged") for name in drawn):
        handles.append(
            Line2D(
                [], [], color="0.25", marker="x", markersize=5, linestyle="none", label="diverged"
            )
        )
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=7,
        frameon=False,
        handlelength=2.4,
        columnspacing=1.2,
    )


def _shorter(svg: str) -> str:
    """An SVG whose coordinates are given to a hundredth of a point, not a millionth."""
    numbers = re.compile(r"(\.\d\d)\d+")
    return re.sub(r' (?:d|x|y)="[^"]*"', lambda found: numbers.sub(r"\1", found[0]), svg)


def write(figure: Figure, outputs: Iterable[str | Path]) -> None:
    """Write a figure into each of `outputs` (.pdf, .svg or .png). Raises UserError if one cannot be
    written."""
    for path in map(Path, outputs):
        with style(), atomic(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=METADATA[path.suffix])
            if path.suffix == ".svg":
                temporary.write_text(_shorter(temporary.read_text("utf-8")), "utf-8")


# What markers are called.
MARKERS = {"o": "circles", "^": "triangles", "s": "squares", "D": "diamonds", "v": "triangles down"}
MARKERS |= {"P": "crosses", "X": "slanted crosses", "h": "hexagons", "p": "pentagons", "*": "stars"}


def in_words(algorithms: Iterable[str]) -> str:
    """'AEVB red with circles, wake-sleep green with triangles'."""
    return ", ".join(
        f"{LEARNERS[key].label} {appearance(key).word} with "
        f"{MARKERS.get(appearance(key).marker, 'its marker')}"
        for key in dict.fromkeys(algorithms)
    )
