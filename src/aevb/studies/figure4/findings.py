"""What the report says of Figure 4."""

from __future__ import annotations

import pandas as pd

from ...core.words import joined
from ...data import DATASETS
from ...paper.facts import PAPER_FIGURE4
from ...report.parts import Part
from ...report.pictures import models_said
from ...results import Gathered
from ...results.words import label, trained
from . import STUDY


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What its caption says of the models drawn, and which panels of the paper's are not."""
    study = gathered.study
    facts = {
        "drawn4": f"After {trained(study, STUDY.drawn(study))}.",
        "grids4": joined(f"{label(e.experiment)} {e.grid}×{e.grid}" for e in study.figure4),
        "models4": models_said(gathered, [(e.experiment, 2) for e in study.figure4], study),
    }
    drawn = {
        DATASETS[study.experiments[entry.experiment].dataset].original for entry in study.figure4
    }
    missing = [label(name) for name in PAPER_FIGURE4 if name not in drawn]
    said = f"Panels of the paper's Figure 4 that are not drawn: {joined(missing)}."
    return Part(facts, missing=[said] if missing else [])
