"""Figure 3 to look into."""

from __future__ import annotations

import pandas as pd

from ...report import live
from ...report.panels import curves
from ...report.parts import LiveFigure
from ...results import Gathered
from ...results.words import sizes

MEANS = ("", "longer")  # kinds of curves that are means of ours


def figure3(gathered: Gathered, paper: pd.DataFrame) -> LiveFigure:
    """The panels of Figure 3 by title: 'MNIST, N_train = 1,000, against samples'.

    See figures.figure3.
    """
    study = gathered.study
    part = study.figure3
    drawn = {
        (x, name): curves(gathered, paper, name, part.latent_dim, part.algorithms, x)
        for x in live.AXES
        for name in part.experiments
    }
    whole = 1.02 * max(
        run.samples for run in gathered.runs.values() if run.experiment in part.experiments
    )
    heights = live.value_axis(
        [drawn["samples", name] for name in part.experiments], whole / 2, whole, fence=20
    )

    def reached(x: str) -> list[float]:
        """Where our curves lie on the y axis."""
        frames = [c.frame for name in part.experiments for c in drawn[x, name] if c.kind in MEANS]
        return [at for frame in frames for at in frame["x"][frame["value"] >= heights.start]]

    seconds = reached("seconds") or [1.0]
    samples = reached("samples") or [0.01 * whole]
    axes = {
        "samples": live.axis("samples", (0, whole), (0.7 * min(samples), 1.4 * whole), "linear"),
        "seconds": live.axis(
            "seconds",
            (0, 1.02 * max(seconds)),
            (0.7 * min(seconds), 1.4 * max(seconds)),
            "log",
        ),
    }
    panels = {
        f"{sizes(study, name)}, against {x}": live.panel(lines, axes[x], heights)
        for (x, name), lines in drawn.items()
    }
    return LiveFigure(part.algorithms, panels)
