"""Figure 3 to look into."""

from __future__ import annotations

import pandas as pd
from bokeh.models import Range1d

from ...report import live
from ...report.parts import LiveFigure
from ...results import Gathered
from ...results.words import sizes


def figure3(gathered: Gathered, paper: pd.DataFrame) -> LiveFigure:
    """The panels of Figure 3 by title: 'MNIST, N_train = 1,000, against samples'.

    See figures.figure3.
    """
    study = gathered.study
    part = study.figure3
    drawn = {
        (x, name): live.curves(gathered, paper, name, part.latent_dim, part.algorithms, x)
        for x in live.FORMAT
        for name in part.experiments
    }
    ours = {
        key: [curve.frame for curve in panel if "seeds" in curve.frame]
        for key, panel in drawn.items()
    }
    whole = 1.02 * max(
        run.samples for run in gathered.runs.values() if run.experiment in part.experiments
    )
    heights = live.value_axis(
        [drawn["samples", name] for name in part.experiments], whole / 2, whole, fence=20
    )
    timed = [frame for name in part.experiments for frame in ours["seconds", name]]
    seconds = [at for frame in timed for at in frame["x"][frame["value"] >= heights.start]] or [1.0]
    ends = {
        "samples": Range1d(0, whole),
        "seconds": Range1d(0.7 * min(seconds), 1.4 * max(seconds)),
    }
    panels = {
        f"{sizes(study, name)}, against {x}": live.plot(
            panel, x, ends[x], heights, log=x == "seconds"
        )
        for (x, name), panel in drawn.items()
    }
    return LiveFigure(part.algorithms, panels)
