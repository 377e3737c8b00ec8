"""Our curves minus the paper's, drawn."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ...config import Config
from ...core.words import count, plural, short
from ...learners import LEARNERS, appearance
from ...paper.curves import paper_curve
from ...paper.distance import differences
from ...report.style import (
    DASHES,
    WIDTH,
    legend,
    limits,
    log_ticks,
    make_room,
    mark_hidden,
    settle,
    style,
)
from ...results import Gathered
from ...results.curves import in_figure3, seeds_of
from ...results.words import further, label
from ..figure3 import STUDY as FIGURE3


def distance(gathered: Gathered, paper: pd.DataFrame) -> Figure:
    """Ours minus the paper's along every curve of Figures 2 and 3 that both have.

    One row of panels per data set, then Figure 3. Lines are means over the seeds, at the paper's
    points; bands are one standard deviation over the seeds to each side; thin lines are of the
    seeds trained further. Train values are averaged, as the paper's most likely are. In Figure 3
    they are log p(x) by importance sampling.
    """
    study, table = gathered.study, differences(gathered, paper)
    rows = [
        [(row.experiment, latent_dim) for latent_dim in row.latent_dims] for row in study.figure2
    ]
    rows += (
        [[(name, study.figure3.latent_dim) for name in study.figure3.experiments]]
        if study.figure3
        else []
    )
    columns = max(map(len, rows))
    with style():
        figure = Figure(figsize=(WIDTH, 0.75 + 1.75 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), columns, squeeze=False, sharey="row")
        for row, line in zip(rows, axes, strict=True):
            mine = table[table["experiment"].isin([name for name, _ in row])]
            reached = [study.evaluation.first, *mine["samples"]]
            for panel, (experiment, latent_dim) in zip(line, row, strict=False):
                title = f"{label(experiment)}, $N_z$ = {latent_dim}"
                if in_figure3(study, experiment):
                    dataset, n_train = (
                        study.experiments[experiment].dataset,
                        study.n_train(experiment),
                    )
                    title = f"{label(dataset)}, $N_z$ = {latent_dim}\n"
                    title += f"$N_\\mathrm{{train}}$ = {n_train}"
                panel.set(title=title, xscale="log", xlim=(0.9 * min(reached), 1.2 * max(reached)))
                panel.axhline(0, color="0.3", linewidth=0.8, zorder=1.5)
                here = (mine["experiment"] == experiment) & (mine["latent_dim"] == latent_dim)
                _apart(panel, mine[here], _nothing(paper, study, experiment, latent_dim))
                log_ticks(panel)
            line[0].set(
                ylabel="ours − paper, nats", ylim=limits(list(line[: len(row)]), skip=0.0, fence=3)
            )
            for panel in line[: len(row)]:
                mark_hidden(panel, skip=0.0)
            for panel in line[len(row) :]:
                panel.remove()
        height = make_room(figure, 0.4)
        figure.text(0.5, 0.28 / height, "# training samples evaluated", ha="center", va="bottom")
        third = ""
        if study.figure3:
            seeds = seeds_of(study, study.figure3.experiments[0])
            third = f"; Figure 3: {short(FIGURE3.budget(study))}, {plural(len(seeds), 'seed')}"
        figure.suptitle(
            f"Budget: {short(study.samples)} training samples per curve{further(study)}, "
            f"{plural(len(study.seeds), 'seed')}{third}\n"
            "Ours minus the paper's curves, at its points: mean and ± 1 sd over seeds. Train: "
            "running averages"
        )
        legend(figure, list(dict.fromkeys(table["algorithm"])))
        settle(figure)
    return figure


def _nothing(paper: pd.DataFrame, study: Config, experiment: str, latent_dim: int) -> str:
    """Why a panel of `distance` is empty: the paper has no such curve, or only begins later."""
    theirs = [
        curve["samples"].iloc[0]
        for algorithm in LEARNERS
        for curve in [paper_curve(paper, study, experiment, latent_dim, algorithm, "test")]
        if curve is not None
    ]
    if not theirs:
        return "the paper has\nno such curve"
    return f"the paper's curves\nbegin at {count(min(theirs))}"


def _apart(axis, table: pd.DataFrame, nothing: str) -> None:
    """The curves of one panel of `distance`, from rows of `differences`, or why there are none."""
    all_seeds = table.groupby("algorithm")["seeds"].transform("max")
    for (algorithm, split, reading, longer), part in table.groupby(
        ["algorithm", "split", "reading", table["seeds"] < all_seeds], sort=False
    ):
        if reading == "hmc" or (split == "train" and reading == "moment"):
            continue
        style = {
            "color": appearance(algorithm).colour,
            "linestyle": DASHES[split],
            "linewidth": 0.6 if longer else 1.2,
            "zorder": 2 if longer else 3,
        }
        style |= (
            {}
            if longer
            else {
                "marker": appearance(algorithm).marker,
                "markersize": 2.2,
                "markeredgewidth": 0,
                "markevery": 1 + len(part) // 25,
            }
        )
        axis.plot(
            "samples",
            "difference",
            data=part,
            label=f"{algorithm} {split} {reading}{' longer' if longer else ''}",
            **style,
        )
        if not longer:
            low, high = part["difference"] - part["sd"], part["difference"] + part["sd"]
            axis.fill_between(
                part["samples"],
                low,
                high,
                color=appearance(algorithm).colour,
                alpha=0.18,
                linewidth=0,
                zorder=1.8,
            )
    if table.empty:
        axis.text(
            0.5,
            0.5,
            nothing,
            transform=axis.transAxes,
            ha="center",
            va="center",
            fontsize=7,
        )
