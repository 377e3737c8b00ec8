"""Figure 2 to look into."""

from __future__ import annotations

import pandas as pd
from bokeh.models import Range1d

from ...report import live
from ...report.parts import LiveFigure
from ...results import Gathered
from ...results.curves import ignoring_z
from ...results.words import label
from . import figures


def figure2(gathered: Gathered, paper: pd.DataFrame) -> LiveFigure:
    """The panels of Figure 2 by title: 'MNIST, N_z = 3'; see figures.figure2."""
    study, panels = gathered.study, {}
    for row in study.figure2:
        ends = Range1d(*figures.ends(study, paper, row))
        drawn = {
            d: live.curves(gathered, paper, row.experiment, d, row.algorithms, "samples")
            for d in row.latent_dims
        }
        heights = live.value_axis(
            [*drawn.values()],
            ends.start ** (1 - figures.SKIP) * ends.end**figures.SKIP,
            ends.end,
            fence=3,
        )
        for d, panel in drawn.items():
            plot = panels[f"{label(row.experiment)}, N_z = {d}"] = live.plot(
                panel, "samples", ends, heights, log=True
            )
            for split, value in ignoring_z(gathered, row.experiment).items():
                line = plot.line(
                    [ends.start, ends.end],
                    [value, value],
                    line_dash=live.DASHES[split],
                    line_color="#737373",
                    name=f"a model that ignores z, {split}",
                )
                line.tags = [split, "ignoring"]
    algorithms = [algorithm for row in study.figure2 for algorithm in row.algorithms]
    return LiveFigure(list(dict.fromkeys(algorithms)), panels)
