"""Panels of curves: the replicas of each learner as a mean and a band, over the paper's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn

from ..config import Config
from ..learners import LEARNERS, appearance
from ..paper.curves import paper_curve
from ..results import Gathered
from ..results.curves import aligned, completed, replicas, shown
from .style import DASHES, SEEDS_FOR_SD, pale


def draw_panel(
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
            diverged.append(f"{LEARNERS[algorithm].label}:\n{lost} of {len(runs)} diverged")
        frames = mean_and_longer(completed(gathered, experiment, algorithm, latent_dim))
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
                    "color": pale(appearance(algorithm).colour),
                    "linestyle": dashes,
                    "linewidth": 0.7,
                    "zorder": 1.5,
                }
                axis.plot(
                    "samples", "value", data=theirs, label=f"paper {algorithm} {split}", **thin
                )
            for frame, longer in zip(frames, (False, True), strict=False):
                _draw_ours(axis, frame, x, algorithm, split, longer, len(runs))
    axis.set(xlabel="", ylabel="")
    if diverged and x == "samples":
        axis.text(
            0.96,
            0.05,
            "\n".join(diverged),
            transform=axis.transAxes,
            ha="right",
            va="bottom",
            fontsize=6.5,
            zorder=5,
        )


def _draw_ours(axis, frame, x: str, algorithm: str, split: str, longer: bool, seeds: int) -> None:
    """The mean of one curve and its spread over `seeds`; thin and without a spread, that of the
    seeds trained `longer`."""
    spread = "sd" if seeds >= SEEDS_FOR_SD else ("pi", 100)  # of 100 %: the range
    seaborn.lineplot(
        frame,
        x=x,
        y=split,
        ax=axis,
        label=f"{algorithm} {split}{' longer' if longer else ''}",
        linewidth=0.8 if longer else None,
        errorbar=None if longer else spread,
        err_kws={"alpha": 0.22, "linewidth": 0, "zorder": 2},
        color=appearance(algorithm).colour,
        linestyle=DASHES[split],
        marker=appearance(algorithm).marker,
        markevery=3,
        markersize=2.6,
        markeredgewidth=0,
        zorder=3,
        legend=False,
    )


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


def draw_diverged(
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
                    color=appearance(algorithm).colour,
                    linestyle=dashes,
                    linewidth=0.6,
                    zorder=2.5,
                )
                at, value = curve[[x, split]].iloc[-1] if len(curve) else (end, -np.inf)
                place = [np.clip(at, *axis.get_xlim())], [np.clip(value, *axis.get_ylim())]
                style = {
                    "color": appearance(algorithm).colour,
                    "marker": "x",
                    "markersize": 5,
                    "markeredgewidth": 1.2,
                    "linestyle": "none",
                }
                axis.plot(
                    *place, clip_on=False, zorder=4, label=f"{algorithm} {split} diverged", **style
                )
