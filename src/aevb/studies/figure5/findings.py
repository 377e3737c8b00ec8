"""What the report says of Figure 5."""

from __future__ import annotations

import pandas as pd

from ...core.words import joined
from ...data import DATASETS
from ...paper.facts import PAPER_FIGURE5
from ...report.parts import Part
from ...report.pictures import models_said
from ...results import Gathered
from ...results.words import label, trained
from . import STUDY


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What its caption says of the models drawn, and which panels of the paper's are not."""
    study = gathered.study
    facts = {
        "drawn5": f"After {trained(study, STUDY.drawn(study))}.",
        "grids5": joined(
            f"{label(e.experiment)} {e.grid}×{e.grid}, N_z = {joined(e.latent_dims)}"
            for e in study.figure5
        ),
        "models5": models_said(
            gathered, [(e.experiment, d) for e in study.figure5 for d in e.latent_dims], study
        ),
    }
    of_paper = (
        entry
        for entry in study.figure5
        if DATASETS[study.experiments[entry.experiment].dataset].original == "mnist"
    )
    missing = sorted(set(PAPER_FIGURE5) - {d for entry in of_paper for d in entry.latent_dims})
    said = f"Panels of the paper's Figure 5 (MNIST) that are not drawn: N_z = {joined(missing)}."
    return Part(facts, missing=[said] if missing else [])
