"""The study's figures: what the KL divergence is made of and what it buys; traversals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from ...core.words import number
from ...report.style import WIDTH, make_room, settle, style
from ...results import Gathered
from . import KIND, METHODS, VALUES, Setting
from .numbers import METRICS, NAMES, by_setting, of_method
from .sprites import FACTORS, SIDE

COLOURS = {"beta_vae": "#0B559F", "factor_vae": "#B3260F"}
MARKS = {"beta_vae": "o", "factor_vae": "s"}
TERMS = {  # of the mean KL divergence: name and colour
    "information": ("I(x; z)", "#0072B2"),
    "correlation": ("total correlation", "#E69F00"),
    "own": ("KL of each latent variable", "#CC79A7"),
}
HALO = [withStroke(linewidth=1.5, foreground="white")]
GAP = 4  # pixels between the rows of traversals


def sign(setting: Setting) -> str:
    """'β = 4', 'γ = 10'."""
    return f"{'β' if METHODS[setting.method] == 'beta' else 'γ'} = {setting.weight:g}"


def tradeoff(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Left: the terms of the mean KL divergence, per setting. Then both metrics against the
    reconstruction error, one mark per seed, and the line of the means."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        left, *others = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
        _terms(left, by_setting(gathered))
        for axis, (metric, name) in zip(others, METRICS.items(), strict=True):
            for method in NAMES:
                _against_error(axis, of_method(gathered, method), metric, method)
            axis.set_title(name)
            axis.set_ylim(bottom=0)
            _error_axis(axis)
        make_room(figure, 0.35)
        figure.legend(handles=_handles(), loc="lower center", ncols=6, frameon=False)
        settle(figure)
    return figure


def _handles() -> list:
    found = [
        Line2D([], [], color=colour, marker="s", linestyle="none", label=name)
        for name, colour in TERMS.values()
    ]
    found.append(Line2D([], [], color="0.1", marker="_", linestyle="none", label="E KL exactly"))
    return found + [
        Line2D([], [], color=COLOURS[method], marker=MARKS[method], markersize=4, label=name)
        for method, name in NAMES.items()
    ]


def _terms(axis, found: dict[Setting, pd.DataFrame]) -> None:
    for place, frame in enumerate(found.values()):
        foot = 0.0
        for term, (_, colour) in TERMS.items():
            axis.bar(place, frame[term].mean(), 0.8, bottom=foot, color=colour, linewidth=0)
            foot += frame[term].mean()
        mean, low, high = frame["kl"].agg(["mean", "min", "max"])
        bars = {"fmt": "_", "color": "0.1", "markersize": 9, "linewidth": 0.8}
        axis.errorbar(place, mean, [[mean - low], [high - mean]], **bars)
    axis.set_xticks(range(len(found)), [sign(setting).replace(" = ", "\n") for setting in found])
    axis.set(ylabel="nats per image", title="terms of E KL(q(z|x) ‖ p(z))")


def _against_error(axis, found: dict[float, pd.DataFrame], metric: str, method: str) -> None:
    own = {"color": COLOURS[method], "marker": MARKS[method], "markeredgewidth": 0}
    for frame in found.values():
        axis.plot(frame["error"], frame[metric], linestyle="none", markersize=2.5, alpha=0.5, **own)
    means = pd.DataFrame([frame[["error", metric]].mean() for frame in found.values()])
    axis.plot(means["error"], means[metric], linewidth=1.0, markersize=4.5, **own)
    for at, side in {0: "right", len(found) - 1: "left"}.items():
        place = {"xytext": (-4 if side == "right" else 4, 3), "textcoords": "offset points"}
        text = {"color": COLOURS[method], "fontsize": 7, "ha": side, "path_effects": HALO}
        axis.annotate(f"{[*found][at]:g}", means.iloc[at], **place, **text)


def _error_axis(axis) -> None:
    """A logarithmic axis of errors with ticks that it reaches."""
    axis.set(xscale="log", xlabel="reconstruction error, nats")
    axis.margins(x=0.12)
    low, high = axis.get_xlim()
    ticks = [mantissa * 10.0**power for power in range(-1, 4) for mantissa in (1, 1.5, 2, 3, 5, 7)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())


def shown(found: dict[Setting, pd.DataFrame]) -> list[Setting]:
    """The settings whose traversals are drawn: the VAE, and of each method that with the highest
    mean MIG."""
    best = []
    for method in NAMES:
        own = [setting for setting in found if setting.method == method]
        if method == "beta_vae":
            best.append(next(setting for setting in own if setting.weight == 1))
            own.remove(best[0])
        if own:
            best.append(max(own, key=lambda setting: found[setting]["mig"].mean()))
    return best


def traversals(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """A panel for each of `shown`: a row per latent variable, a column per value of it. Beside each
    row the factor that it says most of, and how much."""
    found = by_setting(gathered)
    chosen = shown(found)
    tables = [gathered.of(KIND)[setting.name] for setting in chosen]
    with style():
        rows = len(tables[0].arrays["shares"][0])
        figure = Figure(figsize=(WIDTH, 0.5 + 0.24 * rows), layout="constrained")
        axes = figure.subplots(1, len(chosen), squeeze=False)[0]
        for axis, setting, table in zip(axes, chosen, tables, strict=True):
            _pictures(axis, table.arrays["traversal"])
            names = [_named(row) for row in table.arrays["shares"][0]]
            middle = np.arange(rows) * (SIDE + GAP) + SIDE / 2 - 0.5
            axis.set_yticks(middle, names, fontsize=6)
            mig = found[setting]["mig"].iloc[0]
            axis.set_title(f"{NAMES[setting.method]}, {sign(setting)}; MIG {mig:.2f}")
        settle(figure)
    return figure


def _named(shares: np.ndarray) -> str:
    """'x 62 %': the factor of which a latent variable says most, as a share of its entropy."""
    best = int(shares.argmax())
    return f"{FACTORS[best]} {shares[best]:.0%}" if shares[best] >= 0.005 else "unused"


def _pictures(axis, picture: np.ndarray) -> None:
    """One raster, with white between the rows."""
    bands = np.split(picture, len(picture) // SIDE)
    white = np.full((GAP, picture.shape[1]), 255, np.uint8)
    raster = np.concatenate([part for band in bands for part in (band, white)][:-1])
    axis.imshow(raster, cmap="gray", vmin=0, vmax=255, interpolation="none")
    ends = [SIDE / 2 - 0.5, picture.shape[1] / 2 - 0.5, picture.shape[1] - SIDE / 2 - 0.5]
    axis.set_xticks(ends, [number(value, 0) for value in (VALUES[0], 0, VALUES[-1])])
    axis.tick_params(length=0)
    axis.set_frame_on(False)
    axis.grid(False)
