"""The paper's Figures 2 to 5 and the study of estimators, drawn from gathered results alone: no
torch, no data, no training.

Identical results give identical bytes: fonts, style and metadata are fixed, and nothing here
depends on the time, on the user's matplotlib settings or on pyplot's global state.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    SymmetricalLogLocator,
)
from scipy.special import expit, ndtri

from .. import data
from ..config import Config, Run, load
from ..core.files import atomic
from ..core.words import short
from ..paper.distance import (
    aligned,
    completed,
    differences,
    in_figure3,
    paper_curve,
    replicas,
    seeds_of,
    shown,
    training_points,
)
from ..results import Gathered, read_gathered

# Red, green and blue as in the paper, but apart for colour-blind readers (red leans to orange,
# green to blue). Those of seaborn's colour-blind palette are equally light, the same grey in print;
# these are 20 or more apart in CIE lightness. The markers differ too.
COLOURS = {"aevb": "#B3260F", "wake_sleep": "#17A589", "mcem": "#12307F"}
MARKERS = {"aevb": "o", "wake_sleep": "^", "mcem": "s"}
DASHES = {"train": "-", "test": (0, (3.5, 1.6))}
ALGORITHMS = {"aevb": "AEVB", "wake_sleep": "wake-sleep", "mcem": "MCEM"}

# Estimators of log p(x): name, colour (Okabe and Ito's), marker and dashes.
ESTIMATORS = {
    "hmc_kde": ("HMC, kernel density (the paper's)", "#000000", "o", "-"),
    "hmc_gaussian": ("HMC, Gaussian", "#D55E00", "D", "-"),
    "importance": ("importance sampling from the encoder", "#0072B2", "s", "-"),
    "importance_hmc": ("importance sampling, t fitted to HMC", "#56B4E9", "P", "-"),
    "ais": ("annealed importance sampling (AIS)", "#009E73", "^", "-"),
    "ais_backward": ("AIS, backward", "#009E73", "v", (0, (2.0, 1.2))),
}
DATA = {"test": "test points", "simulated": "points simulated by the model"}
# nats: with a handful of samples a kernel density is wrong by any amount; such points leave the
# axis
OFF_SCALE = 200.0
PAPER_DRAWS = 50  # samples per datapoint of the paper's estimator (section 5)

TITLES = {"mnist": "MNIST", "frey": "Frey Face"}

# Below this many seeds the band is the range: a standard deviation of so few says little.
SEEDS_FOR_SD = 5

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


def _style():
    return matplotlib.style.context(["default", THEME])


def _settle(figure: Figure) -> None:
    """Lay the figure out once and for all, on round positions: the layout solver's last digits
    vary from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        axis.set_position(np.round(axis.get_position(original=True).bounds, 4))
    for text in figure.texts:
        text.set_position(np.round(text.get_position(), 4))


def label(experiment: str) -> str:
    """The name of an experiment for people: 'mnist' -> 'MNIST', 'mnist_1000' -> 'MNIST 1000',
    'mnist+l5-m20' -> 'MNIST, l5-m20'."""
    base, *variant = experiment.split("+")
    return ", ".join([" ".join(TITLES.get(part, part) for part in base.split("_")), *variant])


def decode(weights: dict[str, np.ndarray], z: np.ndarray, likelihood: str) -> np.ndarray:
    """Means of the decoder, (n, D) in [0, 1], at the latent points z (n, nz).

    For a Bernoulli decoder the mean is the probability of a one; a Gaussian decoder has the mean
    and the log-variance side by side in its output, and only the mean is used.
    """
    hidden = np.tanh(
        z @ weights["decoder.hidden.weight"].astype(float) + weights["decoder.hidden.bias"]
    )
    output = (
        hidden @ weights["decoder.output.weight"].astype(float) + weights["decoder.output.bias"]
    )
    if likelihood == "gaussian":
        output = output[:, : output.shape[1] // 2]
    return expit(output)


def tile(images: np.ndarray, columns: int, shape: tuple[int, int]) -> np.ndarray:
    """Images (n, D) of `shape` side by side without gaps, row by row from the top left: (rows *
    height, columns * width)."""
    height, width = shape
    rows = len(images) // columns
    return (
        images.reshape(rows, columns, height, width)
        .transpose(0, 2, 1, 3)
        .reshape(rows * height, columns * width)
    )


def manifold_latents(grid: int) -> np.ndarray:
    """Latent points of Figure 4, (grid * grid, 2), row by row from the top left.

    The inverse Gaussian CDF of the cell centres of a regular grid on the unit square: every point
    stands for the same prior probability. The first coordinate grows to the right, the second
    upwards.
    """
    quantiles = ndtri((np.arange(grid) + 0.5) / grid)
    return np.column_stack([np.tile(quantiles, grid), np.repeat(quantiles[::-1], grid)])


def prior_latents(count: int, latent_dim: int, seed: int) -> np.ndarray:
    """Latent points of Figure 5, (count, latent_dim): draws from the prior N(0, I), the same for
    the same seed."""
    return np.random.RandomState(seed).standard_normal((count, latent_dim))


def _seeds(seeds: list[int]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def _budget(samples: int, seeds: list[int]) -> str:
    """What lines and bands of a figure stand for, in a line."""
    band = (
        "mean and ± 1 sd over" if len(seeds) >= SEEDS_FOR_SD else "mean and range (min to max) over"
    )
    spread = f"{band} {_seeds(seeds)}" if len(seeds) > 1 else "1 seed"
    return f"Budget: {short(samples)} training samples a curve; {spread}"


def further(study: Config) -> str:
    """The larger budget that some seeds have, in brackets, if they do."""
    part = study.extended
    if part is None:
        return ""
    which = f" of {', '.join(map(label, part.experiments))}" if part.experiments else ""
    return f" ({short(part.samples)} for seed{'s' * (len(part.seeds) > 1)} {', '.join(map(str, part.seeds))}{which})"


def trained(study: Config, models: list[Run]) -> str:
    """'2e6 training samples, seed 0' for AEVB models of the first seed; several budgets where
    only some go on."""
    return f"{' and '.join(dict.fromkeys(short(study.budget(run)) for run in models))} training samples, seed {study.seeds[0]}"


def _pale(colour: str) -> tuple[float, ...]:
    return tuple(0.45 * part + 0.55 for part in to_rgb(colour))


def figure2(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 2: the bound against training samples, one row for each data set, one panel for each
    N_z.

    Lines are means over the seeds that did not diverge, bands their range (five seeds or more: one
    standard deviation to each side). A diverged replica is drawn by itself, up to a cross. `paper`
    has the columns of curves.csv without the seed; its curves lie pale and thin behind ours.
    """
    study = load(gathered.config)
    rows, columns = len(study.figure2), max(len(row.latent_dims) for row in study.figure2)
    with _style():
        figure = Figure(figsize=(WIDTH, 0.75 + 1.95 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
        for row, line in zip(study.figure2, axes, strict=True):
            panels = list(zip(line, row.latent_dims, strict=False))
            for panel, latent_dim in panels:
                panel.set(
                    xscale="log",
                    xlim=(
                        0.9 * min(study.evaluation.first, study.samples),
                        1.5 * study.longest(row.experiment),
                    ),
                )
                _log_ticks(panel)
                _panel(panel, gathered, study, paper, row.experiment, latent_dim, row.algorithms)
                panel.set(title=f"{label(row.experiment)}, $N_z$ = {latent_dim}")
            line[0].set(
                ylim=_limits([panel for panel, _ in panels], skip=0.2, fence=3),
                ylabel="bound, nats per datapoint",
            )
            for panel, latent_dim in panels:
                _crosses(panel, gathered, row.experiment, latent_dim, row.algorithms)
                _ignoring_z(panel, gathered.baselines.get(row.experiment, {}))
            for panel in line[len(panels) :]:
                panel.remove()
        height = _make_room(figure, 0.4)
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        figure.suptitle(_budget(study.samples, study.seeds) + further(study))
        _legend(figure, [algorithm for row in study.figure2 for algorithm in row.algorithms])
        _settle(figure)
    return figure


def _ignoring_z(axis, baseline: dict[str, float]) -> None:
    """The bound of a model that ignores z (see baseline.py), by split: lines, or an arrow and
    the number where they lie off the axis."""
    low, high = axis.get_ylim()
    inside = {split: value for split, value in baseline.items() if low <= value <= high}
    for split, value in inside.items():
        axis.axhline(
            value,
            color="0.45",
            linestyle=DASHES[split],
            linewidth=0.7,
            zorder=1.2,
            label=f"ignoring z {split}",
        )
    if not inside and np.isfinite(baseline.get("test", np.nan)):
        below = baseline["test"] < low
        place = {
            "x": 0.03,
            "y": 0.02 if below else 0.98,
            "ha": "left",
            "va": "bottom" if below else "top",
        }
        text = f"{'↓' if below else '↑'} ignoring z: {baseline['test']:.0f}".replace("-", "−")
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6}
        axis.text(
            s=text, **place, transform=axis.transAxes, fontsize=6, color="0.3", bbox=box, zorder=5
        )


def figure3(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 3: log p(x), one column for each size of the training set: above against training
    samples, below against seconds.

    Ours is the estimate by importance sampling. Lines, bands, crosses and the paper's curves (above
    alone) as in Figure 2. Seconds are means over the replicas at each evaluation.
    """
    study = load(gathered.config)
    names, latent_dim, algorithms = (
        study.figure3.experiments,
        study.figure3.latent_dim,
        study.figure3.algorithms,
    )
    budget = study.budget(study.figure3_runs()[0])
    with _style():
        figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
        above, below = figure.subplots(2, len(names), squeeze=False, sharex="row", sharey=True)
        for name, panel, timed in zip(names, above, below, strict=True):
            reached = [
                run.samples
                for algorithm in algorithms
                for run in replicas(gathered, name, algorithm, latent_dim)
            ]
            panel.set(xlim=(0, 1.02 * max(budget, *reached)))
            panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            panel.xaxis.set_major_formatter(
                FuncFormatter(lambda value, _: short(int(value)) if value else "0")
            )
            _panel(panel, gathered, study, paper, name, latent_dim, algorithms)
            n_train = training_points(study.experiments[name])
            title = f"{label(study.experiments[name].dataset)}, $N_z$ = {latent_dim}, $N_\\mathrm{{train}}$ = {n_train}"
            panel.set(title=title, xlabel="# training samples evaluated")
            timed.set(xscale="log")
            _panel(timed, gathered, study, None, name, latent_dim, algorithms, "seconds")
            timed.set(xlabel="seconds of training")
            _log_ticks(timed)
        limits = _limits(list(above), skip=0.5, fence=20)
        # Seconds from where the first curve comes into sight, the same in all panels.
        drawn = np.vstack(
            [
                np.column_stack(line.get_data(orig=False))
                for axis in below
                for line in axis.get_lines()
            ]
            or [np.empty((0, 2))]
        )
        seconds = drawn[drawn[:, 1] >= limits[0], 0]
        if len(seconds):
            below[0].set(xlim=(0.7 * seconds.min(), 1.4 * seconds.max()))
        for line in (above, below):
            line[0].set(ylim=limits, ylabel="log p(x), nats per datapoint")
        for name, panel, timed in zip(names, above, below, strict=True):
            _crosses(panel, gathered, name, latent_dim, algorithms)
            _crosses(timed, gathered, name, latent_dim, algorithms, "seconds")
        _make_room(figure, 0.3)
        runs = [
            run
            for name in names
            for algorithm in algorithms
            for run in replicas(gathered, name, algorithm, latent_dim)
        ]
        where = dict.fromkeys(
            f"{run.processor}, {run.threads} thread{'s' if run.threads > 1 else ''}" for run in runs
        )
        figure.suptitle(
            f"{_budget(budget, seeds_of(study, names[0]))}\nSeconds: training of one replica on "
            f"{'; '.join(where)}"
        )
        _legend(figure, algorithms)
        _settle(figure)
    return figure


def _make_room(figure: Figure, inches: float) -> float:
    """Keep the foot of the figure free for legend and label, which the layout engine would lay
    on each other; its height."""
    height = figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, inches / height, 1, 1 - inches / height))
    return height


def _log_ticks(axis) -> None:
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=100))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _panel(
    axis,
    gathered: Gathered,
    study: Config,
    paper: pd.DataFrame | None,
    experiment: str,
    latent_dim: int,
    algorithms: list[str],
    x: str = "samples",
) -> None:
    """Draw one panel of Figure 2 or 3 but for its diverged replicas; `x` is samples or seconds."""
    diverged = []
    for algorithm in algorithms:
        runs = replicas(gathered, experiment, algorithm, latent_dim)
        lost = sum(run.status == "diverged" for run in runs)
        if lost:
            diverged.append(f"{ALGORITHMS[algorithm]}:\n{lost} of {len(runs)} diverged")
        frames = mean_and_beyond(completed(gathered, experiment, algorithm, latent_dim))
        for frame in frames if x == "seconds" else ():
            frame["seconds"] = frame.groupby("samples")["seconds"].transform("mean")
        for split, dashes in DASHES.items():
            theirs = (
                None
                if paper is None
                else paper_curve(paper, study, experiment, latent_dim, algorithm, split)
            )
            if theirs is not None:
                thin = {
                    "color": _pale(COLOURS[algorithm]),
                    "linestyle": dashes,
                    "linewidth": 0.7,
                    "zorder": 1.5,
                }
                axis.plot(
                    "samples", "value", data=theirs, label=f"paper {algorithm} {split}", **thin
                )
            for frame, beyond in zip(frames, (False, True), strict=False):
                seaborn.lineplot(
                    frame,
                    x=x,
                    y=split,
                    ax=axis,
                    label=f"{algorithm} {split}{' beyond' if beyond else ''}",
                    linewidth=0.8 if beyond else None,
                    errorbar=None
                    if beyond
                    else "sd"
                    if len(runs) >= SEEDS_FOR_SD
                    else ("pi", 100),  # of 100 %: the range
                    err_kws={"alpha": 0.22, "linewidth": 0, "zorder": 2},
                    color=COLOURS[algorithm],
                    linestyle=dashes,
                    marker=MARKERS[algorithm],
                    markevery=3,
                    markersize=2.6,
                    markeredgewidth=0,
                    zorder=3,
                    legend=False,
                )
    axis.set(xlabel="", ylabel="")
    if diverged and x == "samples":
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.0}
        axis.text(
            0.96,
            0.05,
            "\n".join(diverged),
            transform=axis.transAxes,
            ha="right",
            va="bottom",
            fontsize=6.5,
            bbox=box,
            zorder=5,
        )


def mean_and_beyond(curves: dict[int, pd.DataFrame]) -> list[pd.DataFrame]:
    """What a line of Figure 2 or 3 is the mean of: all seeds of a curve to where the first of
    them ends, and from there those that go on, if any do (columns seed, samples, seconds, train
    and test). Two lines, since a mean over fewer seeds jumps."""
    if not curves:
        return []
    frame = aligned(curves, ["seconds", "train", "test"])
    end = min(curve["samples"].iloc[-1] for curve in curves.values())
    going_on = frame["seed"].isin(frame.loc[frame["samples"] > end, "seed"]) & (
        frame["samples"] >= end
    )
    return [frame[frame["samples"] <= end], *([frame[going_on]] if going_on.any() else [])]


def _limits(panels: list, skip: float, fence: float) -> tuple[float, float]:
    """A y range for a row of panels, from the lines in them.

    The first part of the x axis (`skip`, a share of its length), where values rise steeply from the
    start, does not count, as in the paper's axes; neither do the paper's train curves, which start
    lower still, nor values further from the quartiles than `fence` times their distance, so that a
    runaway value cannot flatten the rest.
    """
    values = []
    for panel in panels:
        for line in panel.get_lines():
            x, y = line.get_data(orig=False)
            place = panel.transLimits.transform(
                panel.transScale.transform(np.column_stack([x, np.zeros(len(x))]))
            )[:, 0]
            theirs = line.get_label().startswith("paper") and line.get_label().endswith("train")
            values += [] if theirs else list(y[(place >= skip) & (place <= 1)])
    return value_range(values, fence)


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


def _crosses(
    axis,
    gathered: Gathered,
    experiment: str,
    latent_dim: int,
    algorithms: list[str],
    x: str = "samples",
) -> None:
    """Diverged replicas: a thin line each, to a cross at the last finite value (at the panel's
    edge if beyond it)."""
    for algorithm in algorithms:
        for run in replicas(gathered, experiment, algorithm, latent_dim):
            if run.status != "diverged":
                continue
            values, end = (
                shown(gathered, run),
                {"samples": run.samples, "seconds": run.train_seconds}[x],
            )
            for split, dashes in DASHES.items():
                curve = values[np.isfinite(values[split])]
                axis.plot(
                    curve[x],
                    curve[split],
                    color=COLOURS[algorithm],
                    linestyle=dashes,
                    linewidth=0.6,
                    zorder=2.5,
                )
                at, value = curve[[x, split]].iloc[-1] if len(curve) else (end, -np.inf)
                place = [np.clip(at, *axis.get_xlim())], [np.clip(value, *axis.get_ylim())]
                style = {
                    "color": COLOURS[algorithm],
                    "marker": "x",
                    "markersize": 5,
                    "markeredgewidth": 1.2,
                    "linestyle": "none",
                }
                axis.plot(
                    *place, clip_on=False, zorder=4, label=f"{algorithm} {split} diverged", **style
                )


def _legend(figure: Figure, algorithms: list[str]) -> None:
    """One legend at the foot of Figure 2 or 3."""
    drawn = [line.get_label() for axis in figure.axes for line in axis.get_lines()]
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[a],
            marker=MARKERS[a],
            markersize=3,
            markeredgewidth=0,
            label=ALGORITHMS[a],
        )
        for a in dict.fromkeys(algorithms)
    ]
    handles += [
        Line2D([], [], color="0.25", linestyle=dashes, label=split)
        for split, dashes in DASHES.items()
    ]
    if any(name.startswith("paper") for name in drawn):
        handles.append(Line2D([], [], color="0.65", linewidth=0.7, label="the paper (thin, pale)"))
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


def distance(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Ours minus the paper's along every curve of Figures 2 and 3 that both have: a row of panels
    for each data set, then Figure 3.

    Lines are means over the seeds, at the paper's points; bands one standard deviation over the
    seeds to each side. Train: the bound at that moment (thin) and averaged as the paper's most
    likely is; in Figure 3 log p(x) by importance sampling.
    """
    study, table = load(gathered.config), differences(gathered, paper)
    rows = [
        [(row.experiment, latent_dim) for latent_dim in row.latent_dims] for row in study.figure2
    ]
    rows += (
        [[(name, study.figure3.latent_dim) for name in study.figure3.experiments]]
        if study.figure3
        else []
    )
    columns = max(map(len, rows))
    with _style():
        figure = Figure(figsize=(WIDTH, 0.75 + 1.75 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), columns, squeeze=False, sharey="row")
        for row, line in zip(rows, axes, strict=True):
            mine = table[table["experiment"].isin([name for name, _ in row])]
            reached = [study.evaluation.first, *mine["samples"]]
            for panel, (experiment, latent_dim) in zip(line, row, strict=False):
                title = f"{label(experiment)}, $N_z$ = {latent_dim}"
                if in_figure3(study, experiment):
                    n_train = training_points(study.experiments[experiment])
                    title = f"{label(study.experiments[experiment].dataset)}, $N_z$ = {latent_dim}\n$N_\\mathrm{{train}}$ = {n_train}"
                panel.set(title=title, xscale="log", xlim=(0.9 * min(reached), 1.2 * max(reached)))
                panel.axhline(0, color="0.3", linewidth=0.8, zorder=1.5)
                _apart(
                    panel,
                    mine[(mine["experiment"] == experiment) & (mine["latent_dim"] == latent_dim)],
                )
                _log_ticks(panel)
            line[0].set(
                ylabel="ours − paper, nats", ylim=_limits(list(line[: len(row)]), skip=0.0, fence=3)
            )
            for panel in line[len(row) :]:
                panel.remove()
        height = _make_room(figure, 0.4)
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        third = ""
        if study.figure3:
            third = f"; Figure 3: {short(study.budget(study.figure3_runs()[0]))}, {_seeds(seeds_of(study, study.figure3.experiments[0]))}"
        figure.suptitle(
            f"Budget: {short(study.samples)} training samples a curve{further(study)}, "
            f"{_seeds(study.seeds)}{third}\n"
            "Ours minus the paper's curves, at its points: mean and ± 1 sd over seeds. Train: "
            "averaged (thin: at that moment)"
        )
        _legend(figure, list(dict.fromkeys(table["algorithm"])))
        _settle(figure)
    return figure


def _apart(axis, table: pd.DataFrame) -> None:
    """The curves of one panel of `distance` (rows of distance.differences)."""
    for (algorithm, split, reading), part in table.groupby(
        ["algorithm", "split", "reading"], sort=False
    ):
        if reading == "hmc":
            continue
        thin = split == "train" and reading == "moment"
        style = {
            "color": COLOURS[algorithm],
            "linestyle": DASHES[split],
            "linewidth": 0.6 if thin else 1.2,
            "zorder": 2 if thin else 3,
        }
        style |= (
            {}
            if thin
            else {
                "marker": MARKERS[algorithm],
                "markersize": 2.2,
                "markeredgewidth": 0,
                "markevery": 1 + len(part) // 25,
            }
        )
        axis.plot(
            "samples", "difference", data=part, label=f"{algorithm} {split} {reading}", **style
        )
        if not thin:
            low, high = part["difference"] - part["sd"], part["difference"] + part["sd"]
            axis.fill_between(
                part["samples"],
                low,
                high,
                color=COLOURS[algorithm],
                alpha=0.18,
                linewidth=0,
                zorder=1.8,
            )
    if table.empty:
        axis.text(
            0.5,
            0.5,
            "the paper has\nno such curve",
            transform=axis.transAxes,
            ha="center",
            va="center",
            fontsize=7,
        )


def estimators(gathered: Gathered) -> Figure:
    """How far estimators of log p(x) are from the reference, against samples per datapoint; one
    column for each N_z.

    Rows: bias on test points and on points that the model simulated, with one standard error to
    each side, and the spread of one datapoint's estimate on test points. The grey line at 0 is the
    reference, named in each panel.
    """
    study = load(gathered.config)
    models = study.estimator_models()
    with _style():
        figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
        axes = figure.subplots(3, len(models), squeeze=False, sharex=True, sharey="row")
        for model, column in zip(models, axes.T, strict=True):
            column[0].set_title(f"$N_z$ = {model.latent_dim}", pad=14)
            if model.name not in gathered.estimators:
                for axis in column:
                    axis.text(
                        0.5,
                        0.5,
                        "this model\ndiverged",
                        transform=axis.transAxes,
                        ha="center",
                        va="center",
                        fontsize=7.5,
                    )
                continue
            table = gathered.estimators[model.name].frame
            for axis, kind in zip(column, DATA, strict=False):
                part = table[table["data"] == kind]
                _graded(axis, part, "bias")
                axis.axhline(0, color="0.45", linewidth=0.8, zorder=1.5)
                text = textwrap.fill(f"0: {', '.join(dict.fromkeys(part['reference']))}", 30)
                axis.text(
                    0.5,
                    1.02,
                    text,
                    transform=axis.transAxes,
                    ha="center",
                    va="bottom",
                    fontsize=5.5,
                    color="0.3",
                )
            _graded(column[2], table[table["data"] == "test"], "spread")
        _symlog(list(axes[:2].flat))
        for axis in axes.flat:
            draws = study.estimators.draws
            axis.set(xscale="log", xlim=(0.8 * min(draws), 1.25 * max(draws)))
            axis.xaxis.set_major_locator(
                FixedLocator([10**k for k in range(9)] if max(draws) / min(draws) > 10 else draws)
            )
            axis.xaxis.set_major_formatter("{x:g}")
            axis.axvline(
                PAPER_DRAWS, color="0.45", linestyle=(0, (1, 1.5)), linewidth=0.8, zorder=1.5
            )
            axis.xaxis.set_minor_locator(NullLocator())
        axes[2, 0].set(yscale="log", ylabel="spread on test points,\nnats")
        axes[2, 0].set_ylim(top=min(axes[2, 0].get_ylim()[1], OFF_SCALE))
        axes[2, 0].yaxis.set_minor_locator(NullLocator())
        for line, kind in zip(axes, DATA.values(), strict=False):
            line[0].set(ylabel=f"bias on {kind},\nnats per datapoint".replace(" by the model", ""))
        height = _make_room(figure, 0.62)
        foot = "# samples per datapoint (annealed importance sampling: temperatures); dotted: the paper's"
        figure.text(0.5, 0.47 / height, f"{foot} {PAPER_DRAWS}", ha="center", va="bottom")
        part = study.estimators
        about = f"{label(part.experiment)}, AEVB after {trained(study, models)}"
        figure.suptitle(
            f"{about}; {part.datapoints} points each, {part.replicates} replicates; bars: ± 1 "
            "standard error"
        )
        handles = [
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                linestyle=dashes,
                markersize=3,
                markeredgewidth=0,
                label=name,
            )
            for name, colour, marker, dashes in ESTIMATORS.values()
        ]
        figure.legend(
            handles=handles,
            loc="lower center",
            ncols=3,
            frameon=False,
            handlelength=2.4,
            columnspacing=1.2,
        )
        _settle(figure)
    return figure


def _graded(axis, table: pd.DataFrame, column: str) -> None:
    """A line for each estimator, with error bars if there is a standard error of `column`."""
    for key, (_, colour, marker, dashes) in ESTIMATORS.items():
        part = table[table["estimator"] == key].sort_values("samples")
        if len(part):
            style = {
                "color": colour,
                "marker": marker,
                "linestyle": dashes,
                "linewidth": 1.0,
                "markersize": 2.8,
                "markeredgewidth": 0,
            }
            axis.plot("samples", column, data=part, label=key, **style)
            if f"{column}_se" in part:
                axis.errorbar(
                    "samples",
                    column,
                    f"{column}_se",
                    data=part,
                    fmt="none",
                    ecolor=colour,
                    elinewidth=0.7,
                )


def _symlog(panels: list) -> None:
    """One y axis for biases, linear within a tenth of a nat of 0 and logarithmic beyond."""
    lines = [line.get_ydata(orig=False) for panel in panels for line in panel.get_lines()]
    bars = [
        segment[:, 1]
        for panel in panels
        for bars in panel.collections
        for segment in bars.get_segments()
    ]
    values = np.concatenate([*lines, *bars, []])
    low, high = (2 * side(values[np.isfinite(values)], initial=0.0) for side in (np.min, np.max))
    for panel in panels:
        panel.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        panel.set_ylim(max(min(low, -0.2), -OFF_SCALE), min(max(high, 0.2), OFF_SCALE))
        panel.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=0.1))


def _picture(axis, gathered: Gathered, experiment: str, latents: np.ndarray, grid: int) -> None:
    """One panel of decoder means at `latents` (grid², nz), or the reason why there is none."""
    latent_dim = latents.shape[1]
    axis.set(title=f"{label(experiment)}, $N_z$ = {latent_dim}", xticks=[], yticks=[])
    run = gathered.runs[Run(experiment, "aevb", latent_dim, gathered.config["seeds"][0]).name]
    if run.status == "diverged":
        text = f"this model diverged\nafter {short(run.samples)} samples"
        axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", fontsize=7.5)
        axis.set_aspect("equal")
        return
    picture = tile(
        decode(run.weights, latents, run.likelihood), grid, data.DATASETS[run.dataset].shape
    )
    # 'none' stores the pixels as they are in vector formats.
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axis.set_frame_on(False)


def figure4(gathered: Gathered) -> Figure:
    """Figure 4: the manifold each AEVB model with two latent dimensions has learned, as decoder
    means (see manifold_latents)."""
    study = load(gathered.config)
    shapes = [
        data.DATASETS[study.experiments[entry.experiment].dataset].shape for entry in study.figure4
    ]
    aspects = [width / height for height, width in shapes]
    with _style():
        figure = Figure(
            figsize=(WIDTH, min(WIDTH / sum(aspects), 4.2) + 0.38), layout="constrained"
        )
        axes = figure.subplots(1, len(aspects), squeeze=False, width_ratios=aspects)[0]
        for axis, entry in zip(axes, study.figure4, strict=True):
            _picture(axis, gathered, entry.experiment, manifold_latents(entry.grid), entry.grid)
        figure.suptitle(
            f"Decoder means; AEVB after {trained(study, study.figure4_models())} (1 of "
            f"{_seeds(study.seeds)})"
        )
        _settle(figure)
    return figure


def figure5(gathered: Gathered) -> Figure:
    """Figure 5: random samples of the prior decoded to means, one panel for each AEVB model."""
    study = load(gathered.config)
    seed, rows, columns = (
        study.seeds[0],
        len(study.figure5),
        max(len(entry.latent_dims) for entry in study.figure5),
    )
    with _style():
        figure = Figure(
            figsize=(WIDTH, 0.22 + rows * (WIDTH / max(columns, 2) + 0.15)), layout="constrained"
        )
        axes = figure.subplots(rows, columns, squeeze=False)
        for entry, line in zip(study.figure5, axes, strict=True):
            for axis, latent_dim in zip(line, entry.latent_dims, strict=False):
                _picture(
                    axis,
                    gathered,
                    entry.experiment,
                    prior_latents(entry.grid**2, latent_dim, seed),
                    entry.grid,
                )
            for axis in line[len(entry.latent_dims) :]:
                axis.remove()
        drawn = f"AEVB after {trained(study, study.figure5_models())} (1 of {_seeds(study.seeds)})"
        figure.suptitle(f"Random samples, as decoder means; {drawn}")
        _settle(figure)
    return figure


def draw(name: str, gathered_path, paper_path, outputs) -> None:
    """Draw the figure `name`, one of Config.figures or "distance", from a gathered file into each
    of `outputs` (.pdf, .svg or .png).

    `paper_path`: the paper's curves (CSV), for Figures 2 and 3 and the distance. Raises UserError
    for a bad gathered file.
    """
    gathered = read_gathered(gathered_path)
    with_paper = {"figure2": figure2, "figure3": figure3, "distance": distance}
    if name in with_paper:
        figure = with_paper[name](gathered, pd.read_csv(paper_path))
    else:
        figure = {"figure4": figure4, "figure5": figure5, "estimators": estimators}[name](gathered)
    for path in map(Path, outputs):
        with _style(), atomic(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=METADATA[path.suffix])
