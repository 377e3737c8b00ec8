"""Panels of curves: the replicas of each learner as a mean and a band, over the paper's own.

One source for the drawn figures, the plots to look into (live.py) and the tables behind them.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..core.words import count, number
from ..learners import LEARNERS, appearance
from ..paper.curves import paper_curve
from ..results import Gathered
from ..results.curves import aligned, at, completed, replicas, shown
from .parts import Tabular, tabular
from .style import DASHES, SEEDS_FOR_SD, pale

ROWS = 4  # sample counts per curve in the table behind a panel
KINDS = {
    "": "",
    "paper": ", the paper",
    "longer": ", seeds trained further",
    "diverged": ", seed {}, diverged",
}


class Curve(NamedTuple):
    """One line of a panel.

    `frame`: x, value and, as its index or of the paper a column, the training samples. Of a mean
    over seeds also low and high, the ends of its band, and 'seed 0' and so on, the seeds' own.
    """

    algorithm: str
    split: str
    kind: str  # of KINDS; '' is the mean over all seeds
    name: str  # for people
    frame: pd.DataFrame
    replicas: int  # how many its learner has here
    stopped: tuple[float, float] = (0.0, 0.0)  # where a diverged replica ends: x, value


def curves(
    gathered: Gathered,
    paper: pd.DataFrame,
    experiment: str,
    latent_dim: int,
    algorithms: list[str],
    x: str = "samples",
) -> list[Curve]:
    """The lines of one panel of Figure 2 or 3; `x` is samples or seconds. The paper has none
    against seconds."""
    found = []
    for algorithm, split in itertools.product(algorithms, DASHES):
        runs = replicas(gathered, experiment, algorithm, latent_dim)
        theirs = paper_curve(paper, gathered.study, experiment, latent_dim, algorithm, split)
        frames = []
        if theirs is not None and x == "samples":
            frames.append(("paper", theirs.assign(x=theirs["samples"])))
        parts = mean_and_longer(completed(gathered, experiment, algorithm, latent_dim))
        by_sd = len(runs) >= SEEDS_FOR_SD
        made = [_mean(part, split, x, by_sd) for part in parts]
        frames += zip(("", "longer"), made, strict=False)
        for kind, frame in frames:
            name = f"{LEARNERS[algorithm].label}, {split}{KINDS[kind]}"
            found.append(Curve(algorithm, split, kind, name, frame, len(runs)))
        for run in runs:
            if run.status == "diverged":
                found.append(_diverged(gathered, run, split, x, len(runs)))
    return found


def _mean(part: pd.DataFrame, split: str, x: str, by_sd: bool) -> pd.DataFrame:
    """The frame of a mean over seeds, from rows of `mean_and_longer`. Its band is one standard
    deviation to each side, or else the range."""
    values = part.pivot(index="samples", columns="seed", values=split)
    middle, sd = values.mean(axis=1), values.std(axis=1)
    frame = pd.DataFrame({"value": middle, "low": middle - sd, "high": middle + sd})
    if not by_sd:
        frame = frame.assign(low=values.min(axis=1), high=values.max(axis=1))
    seconds = part.groupby("samples")["seconds"].mean()
    frame["x"] = frame.index if x == "samples" else seconds
    return frame.join(values.add_prefix("seed "))


def _diverged(gathered: Gathered, run, split: str, x: str, several: int) -> Curve:
    values = shown(gathered, run)
    values = values[np.isfinite(values[split])]
    frame = pd.DataFrame({"x": values[x], "value": values[split]}).set_index(values["samples"])
    end = {"samples": run.samples, "seconds": run.train_seconds}[x]
    stopped = tuple(frame.iloc[-1]) if len(frame) else (end, -np.inf)
    name = f"{LEARNERS[run.algorithm].label}, {split}{KINDS['diverged'].format(run.seed)}"
    return Curve(run.algorithm, split, "diverged", name, frame, several, stopped)


def mean_and_longer(curves: dict[int, pd.DataFrame]) -> list[pd.DataFrame]:
    """What a line of Figure 2 or 3 is the mean of: columns seed, samples, seconds, train and test.

    All seeds of a curve to where the first of them ends; and those trained further, if any, over
    their whole length. Two lines, since a mean over fewer seeds jumps.
    """
    if not curves:
        return []
    frame = aligned(curves, ["seconds", "train", "test"])
    end = min(curve["samples"].iloc[-1] for curve in curves.values())
    going_on = frame["seed"].isin(frame.loc[frame["samples"] > end, "seed"])
    return [frame[frame["samples"] <= end], *([frame[going_on]] if going_on.any() else [])]


def draw_panel(axis, panel: list[Curve]) -> None:
    """Draw one panel but for its diverged replicas."""
    for curve in panel:
        colour = appearance(curve.algorithm).colour
        style = {"linestyle": DASHES[curve.split], "label": f"{curve.algorithm} {curve.split}"}
        points = curve.frame["x"], curve.frame["value"]
        if curve.kind == "paper":
            style["label"] = f"paper {style['label']}"
            axis.plot(*points, color=pale(colour), linewidth=0.7, zorder=1.5, **style)
        elif curve.kind != "diverged":
            mean = curve.kind == ""
            axis.plot(
                *points,
                color=colour,
                linewidth=None if mean else 0.8,
                marker=appearance(curve.algorithm).marker,
                markevery=3,
                markersize=2.6,
                markeredgewidth=0,
                zorder=3,
                **style | {"label": style["label"] + " longer" * (not mean)},
            )
            if mean:
                band = curve.frame["x"], curve.frame["low"], curve.frame["high"]
                axis.fill_between(*band, color=colour, alpha=0.22, linewidth=0, zorder=2)
    axis.set(xlabel="", ylabel="")


def name_diverged(axis, panel: list[Curve]) -> None:
    """Say in a corner of the panel how many replicas of each learner diverged."""
    lost = [c for c in panel if c.kind == "diverged" and c.split == "test"]
    number_of = {c.algorithm: sum(other.algorithm == c.algorithm for other in lost) for c in lost}
    all_of = {c.algorithm: c.replicas for c in lost}
    lines = [f"{LEARNERS[a].label}:\n{n} of {all_of[a]} diverged" for a, n in number_of.items()]
    place = {"transform": axis.transAxes, "ha": "right", "va": "bottom"}
    if lines:
        axis.text(0.96, 0.05, "\n".join(lines), fontsize=6.5, zorder=5, **place)


def draw_diverged(axis, panel: list[Curve]) -> None:
    """Diverged replicas: a thin line each, to a cross at the last finite value (at the panel's
    edge if beyond it)."""
    for curve in panel:
        if curve.kind != "diverged":
            continue
        style = {"color": appearance(curve.algorithm).colour, "linestyle": DASHES[curve.split]}
        axis.plot(curve.frame["x"], curve.frame["value"], linewidth=0.6, zorder=2.5, **style)
        x, value = curve.stopped
        axis.plot(
            [np.clip(x, *axis.get_xlim())],
            [np.clip(value, *axis.get_ylim())],
            marker="x",
            markersize=5,
            markeredgewidth=1.2,
            clip_on=False,
            zorder=4,
            label=f"{curve.algorithm} {curve.split} diverged",
            **style | {"linestyle": "none"},
        )


def values(panel: list[Curve], x: str) -> Tabular:
    """The table behind a panel: ours with the ends of its band, and the paper's, in nats.

    Each mean over all seeds has up to ROWS rows, at its own evaluations next to counts that all
    share; the last of them is where the first curve ends. The other curves of ours have their last
    value. The paper's lie between its points, see `at`.
    """
    means = [curve.frame.index for curve in panel if curve.kind == "" and len(curve.frame)]
    wanted = []
    if means:
        first, last = max(own[0] for own in means), min(own[-1] for own in means)
        wanted = np.geomspace(min(first, last), last, ROWS)
    theirs = {(c.algorithm, c.split): c.frame for c in panel if c.kind == "paper"}
    several = max((curve.replicas for curve in panel), default=1)
    band = "" if several < 2 else " ± 1 sd" if several >= SEEDS_FOR_SD else " (range)"
    ours, rows = f"ours{', mean' if band else ''}{band}", []
    for curve in panel:
        frame = curve.frame
        if curve.kind == "paper" or frame.empty:
            continue
        near = [np.abs(np.log(frame.index / samples)).argmin() for samples in wanted]
        for place in dict.fromkeys(near if curve.kind == "" else [len(frame) - 1]):
            samples, point = frame.index[place], frame.iloc[place]
            row = {"curve": curve.name, "training samples": count(samples)}
            if x == "seconds":
                row["seconds"] = f"{point['x']:.3g}"
            row[ours] = _with_band(point, curve)
            beside = theirs.get((curve.algorithm, curve.split)) if curve.kind == "" else None
            if beside is not None:
                row["the paper"] = number(at(beside, "value", samples))
            rows.append(row)
    return tabular(rows, "curve")


def _with_band(point: pd.Series, curve: Curve) -> str:
    """'−98.21 ± 0.30' of five seeds or more, '−98.21 (−98.50 to −97.90)' of fewer, '−98.21' of
    one."""
    seeds = point.filter(like="seed ").notna().sum()
    if curve.kind == "diverged" or seeds < 2:
        return number(point["value"])
    if curve.replicas >= SEEDS_FOR_SD:
        return f"{number(point['value'])} ± {number(point['high'] - point['value'])}"
    return f"{number(point['value'])} ({number(point['low'])}\xa0to\xa0{number(point['high'])})"
