"""The paper's Figures 2, 4 and 5, drawn from gathered results alone: no torch, no data, no training.

Identical results give identical bytes: fonts, style and metadata are fixed, and nothing here depends on the time, on the
user's matplotlib settings or on pyplot's global state.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.special import expit, ndtri

from .config import Config, Experiment, Run, load, short
from .errors import UserError
from .results import Gathered, RunResult, atomic, read_gathered

# Red and green as in the paper, but apart for colour-blind readers (one leans to orange, the other to blue) and in
# greyscale print (dark against light); the markers differ too.
COLOURS = {"aevb": "#B3260F", "wake_sleep": "#17A589"}
MARKERS = {"aevb": "o", "wake_sleep": "^"}
DASHES = {"train": "-", "test": (0, (3.5, 1.6))}
ALGORITHMS = {"aevb": "AEVB", "wake_sleep": "wake-sleep"}
DATASETS = {"mnist": "MNIST", "frey": "Frey Face"}

# The likelihood under which the paper's numbers were obtained; other models of the same data are not comparable.
PAPER_LIKELIHOODS = {"mnist": "bernoulli", "frey": "gaussian"}

IMAGE_SHAPES = {784: (28, 28), 560: (28, 20), 64: (8, 8)}

# Below this many seeds the band is the range: a standard deviation of so few says little.
SEEDS_FOR_SD = 5

WIDTH = 7.2  # inches: the text width of an A4 or letter page

STYLE = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 7.5,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "svg.hashsalt": "aevb",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}

# None removes an entry: dates and version strings would change the bytes.
METADATA = {
    ".pdf": {"Creator": "aevb", "Producer": None, "CreationDate": None},
    ".svg": {"Creator": "aevb", "Date": None},
    ".png": {"Software": None},
}


def _style():
    return matplotlib.style.context(["default", STYLE])


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
    return DATASETS.get(experiment, experiment.replace("_", " "))


def paper_curve(
    paper: pd.DataFrame | None, experiment: Experiment, latent_dim: int, algorithm: str, split: str, figure: int = 2
) -> pd.DataFrame | None:
    """One curve of the paper (columns samples and value in nats per datapoint, by samples), or None.

    None also when the experiment models other values than the paper did (binarised, dequantised or under another
    likelihood): such bounds differ by far more than the effects shown.
    """
    fits = PAPER_LIKELIHOODS.get(experiment.dataset) == experiment.likelihood and not experiment.binarise and not experiment.dequantise
    if paper is None or not fits:
        return None
    chosen = paper[
        (paper["figure"] == figure)
        & (paper["dataset"] == experiment.dataset)
        & (paper["latent_dim"] == latent_dim)
        & (paper["algorithm"] == algorithm)
        & (paper["split"] == split)
    ]
    return None if chosen.empty else chosen[["samples", "value"]].sort_values("samples", ignore_index=True)


def replicas(gathered: Gathered, experiment: str, algorithm: str, latent_dim: int) -> list[RunResult]:
    """The runs of one curve of Figure 2 that are there, one for each seed, in the order of the configuration's seeds."""
    names = [Run(experiment, algorithm, latent_dim, seed).name for seed in gathered.config["seeds"]]
    return [gathered.runs[name] for name in names if name in gathered.runs]


def over_seeds(runs: list[RunResult], column: str) -> pd.DataFrame:
    """Mean and spread of one column over the replicas that did not diverge, one row per evaluation.

    Columns: samples, mean, sd (NaN for one replica), low, high, replicas.
    """
    values = [run.curve.set_index("samples")[column] for run in runs if run.status == "completed"]
    if not values:
        return pd.DataFrame(columns=["samples", "mean", "sd", "low", "high", "replicas"], dtype=float)
    table = pd.concat(values, axis=1).sort_index()
    summary = {"mean": table.mean(axis=1), "sd": table.std(axis=1, ddof=1), "low": table.min(axis=1), "high": table.max(axis=1)}
    return pd.DataFrame({**summary, "replicas": table.count(axis=1)}).rename_axis("samples").reset_index()


def image_shape(pixels: int) -> tuple[int, int]:
    """(height, width) of an image of so many pixels. Raises UserError if no data set has such images."""
    if pixels not in IMAGE_SHAPES:
        raise UserError(f"no data set has images of {pixels} pixels; add their shape to IMAGE_SHAPES in figures.py")
    return IMAGE_SHAPES[pixels]


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


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (n, D) side by side without gaps, row by row from the top left: (rows * height, columns * width)."""
    height, width = image_shape(images.shape[1])
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


def figure2(gathered: Gathered, paper: pd.DataFrame | None) -> Figure:
    """Figure 2: the bound against training samples, one row for each data set, one panel for each N_z.

    Lines are means over the seeds that did not diverge, bands their range (five seeds or more: one standard deviation
    to each side). A diverged replica is drawn by itself, up to a cross. `paper` has the columns of curves.csv without
    the seed; its curves lie pale and thin behind ours.
    """
    study = load(gathered.config)
    rows, columns = len(study.figure2), max(len(row.latent_dims) for row in study.figure2)
    right = 1.5 * study.samples
    left = 0.9 * min([study.evaluation.first, study.samples])
    shown = {"paper": False, "diverged": False}
    with _style():
        figure = Figure(figsize=(WIDTH, 0.75 + 1.95 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
        for row, line in zip(study.figure2, axes, strict=True):
            bounds = []
            for panel, latent_dim in zip(line, row.latent_dims, strict=False):
                panel.set_xscale("log")
                panel.set_xlim(left, right)
                bounds += _panel(panel, gathered, study, paper, row, latent_dim, shown)
            limits = _limits(bounds, left, right)
            for panel, latent_dim in zip(line, row.latent_dims, strict=False):
                panel.set_ylim(*limits)
                _crosses(panel, gathered, row, latent_dim, limits, shown)
            for panel in line[len(row.latent_dims) :]:
                panel.remove()
            line[0].set_ylabel("bound, nats per datapoint")
        # Below the panels in fixed steps: the layout engine would put axis label and legend on top of each other.
        height = figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, 0.4 / height, 1, 1 - 0.4 / height))
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        band = "mean and ± 1 sd over" if len(study.seeds) >= SEEDS_FOR_SD else "mean and range (min to max) over"
        spread = f"{band} {_seeds(study)}" if len(study.seeds) > 1 else "1 seed"
        figure.suptitle(f"Budget: {short(study.samples)} training samples a curve; {spread}")
        figure.legend(handles=_legend(study, shown), loc="lower center", ncols=7, frameon=False, handlelength=2.4, columnspacing=1.2)
        _settle(figure)
    return figure


def _panel(axis, gathered, study, paper, row, latent_dim, shown) -> list[pd.DataFrame]:
    """Draw one panel of Figure 2 but for its diverged replicas; returns the curves that should fit into its y range."""
    axis.set_title(f"{label(row.experiment)}, $N_z$ = {latent_dim}")
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=100))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(True, which="major", color="0.9", linewidth=0.5, zorder=0)
    fitted, diverged, found = [], [], 0
    for algorithm in row.algorithms:
        runs = replicas(gathered, row.experiment, algorithm, latent_dim)
        found += len(runs)
        lost = sum(run.status == "diverged" for run in runs)
        if lost:
            diverged.append(f"{ALGORITHMS[algorithm]}:\n{lost} of {len(runs)} diverged")
        colour = COLOURS[algorithm]
        for split in ("train", "test"):
            theirs = paper_curve(paper, study.experiments[row.experiment], latent_dim, algorithm, split)
            if theirs is not None:
                shown["paper"] = True
                axis.plot(
                    "samples",
                    "value",
                    data=theirs,
                    color=_pale(colour),
                    linestyle=DASHES[split],
                    linewidth=0.7,
                    zorder=1.5,
                    label=f"paper {algorithm} {split}",
                )
                if split == "test":  # early train points of the paper lie far below everything else
                    fitted.append(theirs)
            ours = over_seeds(runs, split)
            if ours.empty:
                continue
            fitted.append(ours.rename(columns={"mean": "value"}))
            axis.plot(
                "samples",
                "mean",
                data=ours,
                color=colour,
                linestyle=DASHES[split],
                marker=MARKERS[algorithm],
                markevery=3,
                markersize=2.6,
                markeredgewidth=0,
                zorder=3,
                label=f"{algorithm} {split}",
            )
            if ours["replicas"].max() > 1:
                by_sd = len(study.seeds) >= SEEDS_FOR_SD
                low = ours["mean"] - ours["sd"] if by_sd else ours["low"]
                high = ours["mean"] + ours["sd"] if by_sd else ours["high"]
                axis.fill_between(ours["samples"], low, high, color=colour, alpha=0.22, linewidth=0, zorder=2)
    if not found:
        diverged.append("no results")
    if diverged:
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.0}
        axis.text(0.96, 0.05, "\n".join(diverged), transform=axis.transAxes, ha="right", va="bottom", fontsize=6.5, bbox=box, zorder=5)
    return fitted


def _limits(curves: list[pd.DataFrame], left: float, right: float) -> tuple[float, float]:
    """A y range for a row of panels, from curves with columns samples and value.

    The first fifth of the x axis, where bounds rise steeply from their starting value, does not count, as in the
    paper's axes; neither do values beyond Tukey's outer fences, so that a runaway bound cannot flatten the rest.
    """
    start = left * (right / left) ** 0.2
    inside = [curve["value"][(curve["samples"] >= start) & (curve["samples"] <= right)] for curve in curves]
    inside = inside if any(map(len, inside)) else [curve["value"] for curve in curves]
    values = np.concatenate([np.asarray(part, float) for part in inside]) if inside else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = 3 * max(upper - lower, 1.0)
    low, high = max(values.min(), lower - reach), min(values.max(), upper + reach)
    pad = 0.05 * max(high - low, 1.0)
    return low - pad, high + pad


def _crosses(axis, gathered, row, latent_dim, limits, shown) -> None:
    """Diverged replicas: a thin line each, to a cross at the last finite bound (at the panel's edge if beyond it)."""
    for algorithm in row.algorithms:
        for run in replicas(gathered, row.experiment, algorithm, latent_dim):
            if run.status != "diverged":
                continue
            shown["diverged"] = True
            colour = COLOURS[algorithm]
            for split in ("train", "test"):
                curve = run.curve[np.isfinite(run.curve[split])]
                axis.plot(curve["samples"], curve[split], color=colour, linestyle=DASHES[split], linewidth=0.6, zorder=2.5)
                left, right = axis.get_xlim()
                x = curve["samples"].iloc[-1] if len(curve) else run.samples
                y = curve[split].iloc[-1] if len(curve) else limits[0]
                axis.plot(
                    [np.clip(x, left, right)],
                    [np.clip(y, *limits)],
                    color=colour,
                    marker="x",
                    markersize=5,
                    markeredgewidth=1.2,
                    linestyle="none",
                    clip_on=False,
                    zorder=4,
                    label=f"{algorithm} {split} diverged",
                )


def _legend(study: Config, shown: dict[str, bool]) -> list[Line2D]:
    algorithms = dict.fromkeys(algorithm for row in study.figure2 for algorithm in row.algorithms)
    handles = [
        Line2D([], [], color=COLOURS[a], marker=MARKERS[a], markersize=3, markeredgewidth=0, label=ALGORITHMS[a]) for a in algorithms
    ]
    handles += [Line2D([], [], color="0.25", linestyle=DASHES[split], label=split) for split in DASHES]
    if shown["paper"]:
        handles.append(Line2D([], [], color="0.65", linewidth=0.7, label="the paper (thin, pale)"))
    if shown["diverged"]:
        handles.append(Line2D([], [], color="0.25", marker="x", markersize=5, linestyle="none", label="diverged"))
    return handles


def _model(gathered: Gathered, experiment: str, latent_dim: int, seed: int) -> tuple[RunResult | None, str]:
    """The AEVB model to draw, or None and why it cannot be drawn."""
    run = gathered.runs.get(Run(experiment, "aevb", latent_dim, seed).name)
    if run is None:
        return None, "no result for this model"
    if run.status == "diverged":
        return None, f"this model diverged\nafter {short(run.samples)} samples"
    if "decoder.output.weight" not in run.weights:
        return None, "the weights of this model\nwere not kept"
    return run, ""


def _picture(axis, gathered: Gathered, experiment: str, latent_dim: int, seed: int, grid: int, latents) -> None:
    """One panel of decoder means, or the reason why there is none; `latents` is called for the points (grid², nz)."""
    axis.set_title(f"{label(experiment)}, $N_z$ = {latent_dim}")
    axis.set_xticks([])
    axis.set_yticks([])
    run, problem = _model(gathered, experiment, latent_dim, seed)
    if run is None:
        axis.text(0.5, 0.5, problem, transform=axis.transAxes, ha="center", va="center", fontsize=7.5)
        axis.set_aspect("equal")
        return
    picture = tile(decode(run.weights, latents(), run.likelihood), grid)
    # 'none' stores the pixels as they are in vector formats.
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="none")
    for spine in axis.spines.values():
        spine.set_visible(False)


def figure4(gathered: Gathered) -> Figure:
    """Figure 4: the manifold each AEVB model with two latent dimensions has learned, as decoder means (see manifold_latents)."""
    study = load(gathered.config)
    seed = study.seeds[0]
    shapes = []
    for entry in study.figure4:
        run, _ = _model(gathered, entry.experiment, 2, seed)
        shapes.append(_image_shape_of(run) if run else (1, 1))
    aspects = [width / height for height, width in shapes]
    with _style():
        height = min(WIDTH / sum(aspects), 4.2)
        figure = Figure(figsize=(WIDTH, height + 0.38), layout="constrained")
        axes = figure.subplots(1, len(aspects), squeeze=False, width_ratios=aspects)[0]
        for axis, entry in zip(axes, study.figure4, strict=True):
            _picture(axis, gathered, entry.experiment, 2, seed, entry.grid, lambda grid=entry.grid: manifold_latents(grid))
        figure.suptitle(f"Decoder means; AEVB after {short(study.samples)} training samples, seed {seed} (1 of {_seeds(study)})")
        _settle(figure)
    return figure


def _image_shape_of(run: RunResult) -> tuple[int, int]:
    outputs = run.weights["decoder.output.weight"].shape[1]
    return image_shape(outputs // 2 if run.likelihood == "gaussian" else outputs)


def figure5(gathered: Gathered) -> Figure:
    """Figure 5: random samples of the prior decoded to means, one panel for each AEVB model."""
    study = load(gathered.config)
    seed = study.seeds[0]
    rows, columns = len(study.figure5), max(len(entry.latent_dims) for entry in study.figure5)
    with _style():
        figure = Figure(figsize=(WIDTH, 0.22 + rows * (WIDTH / max(columns, 2) + 0.15)), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for entry, line in zip(study.figure5, axes, strict=True):
            for axis, latent_dim in zip(line, entry.latent_dims, strict=False):
                count = entry.grid**2
                _picture(
                    axis,
                    gathered,
                    entry.experiment,
                    latent_dim,
                    seed,
                    entry.grid,
                    lambda count=count, latent_dim=latent_dim: prior_latents(count, latent_dim, seed),
                )
            for axis in line[len(entry.latent_dims) :]:
                axis.remove()
        figure.suptitle(
            f"Random samples, as decoder means; AEVB after {short(study.samples)} training samples, seed {seed} (1 of {_seeds(study)})"
        )
        _settle(figure)
    return figure


def save(figure: Figure, paths) -> None:
    """Write a figure to each of `paths`, in the format its suffix names (.pdf, .svg or .png).

    Raises UserError for another suffix or a file that cannot be written.
    """
    for path in map(Path, paths):
        if path.suffix not in METADATA:
            raise UserError(f"figures are written as {', '.join(METADATA)}, not as '{path.name}'; give it one of these suffixes")
        with _style(), atomic(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=METADATA[path.suffix])


def read_paper(path) -> pd.DataFrame | None:
    """The paper's curves as a table (columns as curves.csv without the seed); None for no path. Raises UserError."""
    if path is None:
        return None
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the paper's curves from {path} ({str(error).splitlines()[0]}); restore the file") from error
    missing = {"figure", "dataset", "latent_dim", "algorithm", "split", "samples", "value"} - set(table.columns)
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(sorted(missing))}; restore the file")
    return table


def draw(number: int, gathered_path, paper_path, outputs) -> None:
    """Draw Figure 2, 4 or 5 from a gathered file into each of `outputs`.

    `paper_path`, the paper's curves, may be None, and only Figure 2 uses it. Raises UserError for a bad file.
    """
    gathered = read_gathered(gathered_path)
    if number == 2:
        figure = figure2(gathered, read_paper(paper_path))
    elif number in (4, 5):
        figure = {4: figure4, 5: figure5}[number](gathered)
    else:
        raise UserError(f"there is no drawing of Figure {number}; it is 2, 4 or 5")
    save(figure, outputs)
