"""Figure 2 to look into."""

from __future__ import annotations

import pandas as pd

from ...report import live
from ...report.panels import curves
from ...report.parts import LiveFigure
from ...results import Gathered
from ...results.curves import ignoring_z
from ...results.words import label
from . import figures


def figure2(gathered: Gathered, paper: pd.DataFrame) -> LiveFigure:
    """The panels of Figure 2 by title: 'MNIST, N_z = 3'; see figures.figure2."""
    study, panels = gathered.study, {}
    for row in study.figure2:
        first, last = figures.ends(study, paper, row)
        # the paper's curves go on for long: on a linear axis ours would be at its very start
        ours = 0, 1.02 * study.longest(row.experiment)
        axis = live.axis("samples", ours, (first, last), "log")
        drawn = {
            d: curves(gathered, paper, row.experiment, d, row.algorithms) for d in row.latent_dims
        }
        rising = first ** (1 - figures.SKIP) * last**figures.SKIP
        heights = live.value_axis([*drawn.values()], rising, last, fence=3)
        for d, lines in drawn.items():
            panel = live.panel(lines, axis, heights)
            panels[f"{label(row.experiment)}, N_z = {d}"] = panel
            for split, value in ignoring_z(gathered, row.experiment).items():
                line = panel.plot.line(
                    [0.1 * first, last],
                    [value, value],
                    line_dash=live.DASHES[split],
                    line_color=live.GREY,
                    name=f"a model that ignores z, {split}",
                )
                line.tags = ["ignoring", split]
    algorithms = [algorithm for row in study.figure2 for algorithm in row.algorithms]
    return LiveFigure(list(dict.fromkeys(algorithms)), panels)
