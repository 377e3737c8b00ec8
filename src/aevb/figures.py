"""The paper's Figures 2, 4 and 5, drawn from gathered results alone: no torch, no data, no training.

Identical results give identical bytes: fonts, style and metadata are fixed, and nothing here depends on the time, on the
user's matplotlib settings or on pyplot's global state.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
import seaborn
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.special import expit, ndtri

from . import data
from .config import Config, Experiment, Run, load, short
from .files import atomic
from .results import Gathered, RunResult, read_gathered

# Red and green as in the paper, but apart for colour-blind readers (one leans to orange, the other to blue). The two of
# seaborn's colour-blind palette are equally light, the same grey in print; these are dark and light. The markers differ too.
COLOURS = {"aevb": "#B3260F", "wake_sleep": "#17A589"}
MARKERS = {"aevb": "o", "wake_sleep": "^"}
DASHES = {"train": "-", "test": (0, (3.5, 1.6))}
ALGORITHMS = {"aevb": "AEVB", "wake_sleep": "wake-sleep", "mcem": "Monte Carlo EM"}
TITLES = {"mnist": "MNIST", "frey": "Frey Face"}

# The likelihood under which the paper's numbers were obtained; other models of the same data are not comparable.
PAPER_LIKELIHOODS = {"mnist": "bernoulli", "frey": "gaussian"}

# Below this many seeds the band is the range: a standard deviation of so few says little.
SEEDS_FOR_SD = 5

WIDTH = 7.2  # inches: the text width of an A4 or letter page

THEME = {
    **seaborn.plotting_context("paper", font_scale=0.8),
    **seaborn.axes_style("ticks", {"axes.grid": True, "grid.color": "0.9", "font.family": ["DejaVu Sans"]}),  # ships with matplotlib
    **{"axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.minor.width": 0.4, "grid.linewidth": 0.5},
    **{"figure.titlesize": 7.5, "svg.hashsalt": "aevb", "svg.fonttype": "path", "pdf.fonttype": 42, "savefig.dpi": 200},
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
    """Lay the figure out once and for all, on round positions: the layout solver's last digits vary from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        axis.set_position(np.round(axis.get_position(original=True).bounds, 4))
    for text in figure.texts:
        text.set_position(np.round(text.get_position(), 4))


def label(experiment: str) -> str:
    """The name of an experiment for people: 'mnist' -> 'MNIST'; a name that is not a data set of the paper as it is."""
    return TITLES.get(experiment, experiment.replace("_", " "))


def paper_curve(paper: pd.DataFrame, experiment: Experiment, latent_dim: int, algorithm: str, split: str) -> pd.DataFrame | None:
    """One curve of the paper's Figure 2 (columns samples and value in nats per datapoint, by samples), or None.

    None also when the experiment models other values than the paper did (binarised, dequantised or under another
    likelihood): such bounds differ by far more than the effects shown.
    """
    fits = PAPER_LIKELIHOODS.get(experiment.dataset) == experiment.likelihood and not experiment.binarise and not experiment.dequantise
    if not fits:
        return None
    chosen = paper[
        (paper["figure"] == 2)
        & (paper["dataset"] == experiment.dataset)
        & (paper["latent_dim"] == latent_dim)
        & (paper["algorithm"] == algorithm)
        & (paper["split"] == split)
    ]
    return None if chosen.empty else chosen[["samples", "value"]].sort_values("samples", ignore_index=True)


def replicas(gathered: Gathered, experiment: str, algorithm: str, latent_dim: int) -> list[RunResult]:
    """The runs of one curve of Figure 2, one for each seed."""
    return [gathered.runs[Run(experiment, algorithm, latent_dim, seed).name] for seed in gathered.config["seeds"]]


def decode(weights: dict[str, np.ndarray], z: np.ndarray, likelihood: str) -> np.ndarray:
    """Means of the decoder, (n, D) in [0, 1], at the latent points z (n, nz).

    For a Bernoulli decoder the mean is the probability of a one; a Gaussian decoder has the mean and the log-variance
    side by side in its output, and only the mean is used.
    """
    hidden = np.tanh(z @ weights["decoder.hidden.weight"].astype(float) + weights["decoder.hidden.bias"])
    output = hidden @ weights["decoder.output.weight"].astype(float) + weights["decoder.output.bias"]
    if likelihood == "gaussian":
        output = output[:, : output.shape[1] // 2]
    return expit(output)


def tile(images: np.ndarray, columns: int, shape: tuple[int, int]) -> np.ndarray:
    """Images (n, D) of `shape` side by side without gaps, row by row from the top left: (rows * height, columns * width)."""
    height, width = shape
    rows = len(images) // columns
    return images.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def manifold_latents(grid: int) -> np.ndarray:
    """Latent points of Figure 4, (grid * grid, 2), row by row from the top left.

    The inverse Gaussian CDF of the cell centres of a regular grid on the unit square: every point stands for the same
    prior probability. The first coordinate grows to the right, the second upwards.
    """
    quantiles = ndtri((np.arange(grid) + 0.5) / grid)
    return np.column_stack([np.tile(quantiles, grid), np.repeat(quantiles[::-1], grid)])


def prior_latents(count: int, latent_dim: int, seed: int) -> np.ndarray:
    """Latent points of Figure 5, (count, latent_dim): draws from the prior N(0, I), the same for the same seed."""
    return np.random.RandomState(seed).standard_normal((count, latent_dim))


def _seeds(study: Config) -> str:
    return "1 seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"


def _pale(colour: str) -> tuple[float, ...]:
    return tuple(0.45 * part + 0.55 for part in to_rgb(colour))


def figure2(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Figure 2: the bound against training samples, one row for each data set, one panel for each N_z.

    Lines are means over the seeds that did not diverge, bands their range (five seeds or more: one standard deviation
    to each side). A diverged replica is drawn by itself, up to a cross. `paper` has the columns of curves.csv without
    the seed; its curves lie pale and thin behind ours.
    """
    study = load(gathered.config)
    rows, columns = len(study.figure2), max(len(row.latent_dims) for row in study.figure2)
    with _style():
        figure = Figure(figsize=(WIDTH, 0.75 + 1.95 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
        for row, line in zip(study.figure2, axes, strict=True):
            panels = list(zip(line, row.latent_dims, strict=False))
            for panel, latent_dim in panels:
                panel.set(xscale="log", xlim=(0.9 * min(study.evaluation.first, study.samples), 1.5 * study.samples))
                _panel(panel, gathered, study, paper, row, latent_dim)
            line[0].set(ylim=_limits([panel for panel, _ in panels]), ylabel="bound, nats per datapoint")
            for panel, latent_dim in panels:
                _crosses(panel, gathered, row, latent_dim)
            for panel in line[len(panels) :]:
                panel.remove()
        # Below the panels in fixed steps: the layout engine would put axis label and legend on top of each other.
        height = figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, 0.4 / height, 1, 1 - 0.4 / height))
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        band = "mean and ± 1 sd over" if len(study.seeds) >= SEEDS_FOR_SD else "mean and range (min to max) over"
        spread = f"{band} {_seeds(study)}" if len(study.seeds) > 1 else "1 seed"
        figure.suptitle(f"Budget: {short(study.samples)} training samples a curve; {spread}")
        figure.legend(handles=_legend(study, figure), loc="lower center", ncols=7, frameon=False, handlelength=2.4, columnspacing=1.2)
        _settle(figure)
    return figure


def _panel(axis, gathered: Gathered, study: Config, paper: pd.DataFrame, row, latent_dim: int) -> None:
    """Draw one panel of Figure 2 but for its diverged replicas."""
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=100))
    axis.xaxis.set_minor_formatter(NullFormatter())
    diverged = []
    for algorithm in row.algorithms:
        runs = replicas(gathered, row.experiment, algorithm, latent_dim)
        done = [run.curve for run in runs if run.status == "completed"]
        if len(done) < len(runs):
            diverged.append(f"{ALGORITHMS[algorithm]}:\n{len(runs) - len(done)} of {len(runs)} diverged")
        for split, dashes in DASHES.items():
            theirs = paper_curve(paper, study.experiments[row.experiment], latent_dim, algorithm, split)
            if theirs is not None:
                thin = {"color": _pale(COLOURS[algorithm]), "linestyle": dashes, "linewidth": 0.7, "zorder": 1.5}
                axis.plot("samples", "value", data=theirs, label=f"paper {algorithm} {split}", **thin)
            if done:
                seaborn.lineplot(
                    pd.concat(done, ignore_index=True),
                    x="samples",
                    y=split,
                    ax=axis,
                    label=f"{algorithm} {split}",
                    errorbar="sd" if len(study.seeds) >= SEEDS_FOR_SD else ("pi", 100),  # the interval of 100 %: the range
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
    axis.set(title=f"{label(row.experiment)}, $N_z$ = {latent_dim}", xlabel="", ylabel="")
    if diverged:
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.0}
        axis.text(0.96, 0.05, "\n".join(diverged), transform=axis.transAxes, ha="right", va="bottom", fontsize=6.5, bbox=box, zorder=5)


def _limits(panels: list) -> tuple[float, float]:
    """A y range for a row of panels, from the lines in them.

    The first fifth of the x axis, where bounds rise steeply from their starting value, does not count, as in the
    paper's axes; neither do the paper's train curves, which start lower still, nor values beyond Tukey's outer fences,
    so that a runaway bound cannot flatten the rest.
    """
    values = []
    for panel in panels:
        left, right = panel.get_xlim()
        for line in panel.get_lines():
            x, y = line.get_data()
            theirs = line.get_label().startswith("paper") and line.get_label().endswith("train")
            values += [] if theirs else list(y[(x >= left * (right / left) ** 0.2) & (x <= right) & np.isfinite(y)])
    if not values:
        return 0.0, 1.0
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = 3 * max(upper - lower, 1.0)
    low, high = max(min(values), lower - reach), min(max(values), upper + reach)
    pad = 0.05 * max(high - low, 1.0)
    return low - pad, high + pad


def _crosses(axis, gathered: Gathered, row, latent_dim: int) -> None:
    """Diverged replicas: a thin line each, to a cross at the last finite bound (at the panel's edge if beyond it)."""
    for algorithm in row.algorithms:
        for run in replicas(gathered, row.experiment, algorithm, latent_dim):
            if run.status != "diverged":
                continue
            for split, dashes in DASHES.items():
                curve = run.curve[np.isfinite(run.curve[split])]
                axis.plot(curve["samples"], curve[split], color=COLOURS[algorithm], linestyle=dashes, linewidth=0.6, zorder=2.5)
                x, y = curve[["samples", split]].iloc[-1] if len(curve) else (run.samples, -np.inf)
                place = [np.clip(x, *axis.get_xlim())], [np.clip(y, *axis.get_ylim())]
                style = {"color": COLOURS[algorithm], "marker": "x", "markersize": 5, "markeredgewidth": 1.2, "linestyle": "none"}
                axis.plot(*place, clip_on=False, zorder=4, label=f"{algorithm} {split} diverged", **style)


def _legend(study: Config, figure: Figure) -> list[Line2D]:
    drawn = [line.get_label() for axis in figure.axes for line in axis.get_lines()]
    algorithms = dict.fromkeys(algorithm for row in study.figure2 for algorithm in row.algorithms)
    handles = [
        Line2D([], [], color=COLOURS[a], marker=MARKERS[a], markersize=3, markeredgewidth=0, label=ALGORITHMS[a]) for a in algorithms
    ]
    handles += [Line2D([], [], color="0.25", linestyle=dashes, label=split) for split, dashes in DASHES.items()]
    if any(name.startswith("paper") for name in drawn):
        handles.append(Line2D([], [], color="0.65", linewidth=0.7, label="the paper (thin, pale)"))
    if any(name.endswith("diverged") for name in drawn):
        handles.append(Line2D([], [], color="0.25", marker="x", markersize=5, linestyle="none", label="diverged"))
    return handles


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
    picture = tile(decode(run.weights, latents, run.likelihood), grid, data.DATASETS[run.dataset].shape)
    # 'none' stores the pixels as they are in vector formats.
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axis.set_frame_on(False)


def figure4(gathered: Gathered) -> Figure:
    """Figure 4: the manifold each AEVB model with two latent dimensions has learned, as decoder means (see manifold_latents)."""
    study = load(gathered.config)
    shapes = [data.DATASETS[study.experiments[entry.experiment].dataset].shape for entry in study.figure4]
    aspects = [width / height for height, width in shapes]
    with _style():
        figure = Figure(figsize=(WIDTH, min(WIDTH / sum(aspects), 4.2) + 0.38), layout="constrained")
        axes = figure.subplots(1, len(aspects), squeeze=False, width_ratios=aspects)[0]
        for axis, entry in zip(axes, study.figure4, strict=True):
            _picture(axis, gathered, entry.experiment, manifold_latents(entry.grid), entry.grid)
        figure.suptitle(f"Decoder means; AEVB after {short(study.samples)} training samples, seed {study.seeds[0]} (1 of {_seeds(study)})")
        _settle(figure)
    return figure


def figure5(gathered: Gathered) -> Figure:
    """Figure 5: random samples of the prior decoded to means, one panel for each AEVB model."""
    study = load(gathered.config)
    seed, rows, columns = study.seeds[0], len(study.figure5), max(len(entry.latent_dims) for entry in study.figure5)
    with _style():
        figure = Figure(figsize=(WIDTH, 0.22 + rows * (WIDTH / max(columns, 2) + 0.15)), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for entry, line in zip(study.figure5, axes, strict=True):
            for axis, latent_dim in zip(line, entry.latent_dims, strict=False):
                _picture(axis, gathered, entry.experiment, prior_latents(entry.grid**2, latent_dim, seed), entry.grid)
            for axis in line[len(entry.latent_dims) :]:
                axis.remove()
        drawn = f"AEVB after {short(study.samples)} training samples, seed {seed} (1 of {_seeds(study)})"
        figure.suptitle(f"Random samples, as decoder means; {drawn}")
        _settle(figure)
    return figure


def draw(number: int, gathered_path, paper_path, outputs) -> None:
    """Draw Figure 2, 4 or 5 from a gathered file into each of `outputs` (.pdf, .svg or .png).

    `paper_path`: the paper's curves (CSV), for Figure 2. Raises UserError for a bad gathered file.
    """
    gathered = read_gathered(gathered_path)
    figure = figure2(gathered, pd.read_csv(paper_path)) if number == 2 else {4: figure4, 5: figure5}[number](gathered)
    for path in map(Path, outputs):
        with _style(), atomic(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=METADATA[path.suffix])
