"""Fingerprints: which reading of the paper gives the first points of its Figure 2."""

from __future__ import annotations

from pydantic import Field

from ...core.run import Run
from ...core.sections import Count, Strict, Whole
from ...core.words import nearest
from .. import Figure, Study
from ..figure2 import Curves
from ..readings import CHANGES, Reading, Readings, check


class Row(Curves):
    """Curves that are trained under some of the readings."""

    readings: list[Reading] | None = Field(
        None, min_length=1, description="names of them; unless given, all"
    )
    steps: list[Reading] = Field(
        [],
        description="readings that differ in the step size alone: that of each curve is recovered "
        "from them, and the pilot that would have chosen it",
    )
    samples: Count | None = Field(
        None, description="budget of a curve; unless given, `samples` of the study"
    )


class Fingerprints(Strict):
    """The first points of every curve of the paper against readings of it, at the paper's own
    counts of samples, in units of the spread over seeds."""

    curves: list[Row] = Field(
        min_length=1,
        description="what is trained, and under which readings: rows as those of figure2, with "
        "`readings`",
    )
    readings: Readings = Field(
        min_length=1,
        description=f"{CHANGES}. Its runs are those of experiment BASE+NAME",
    )
    samples: Count = Field(
        1_000_000, description="budget of a curve, at most the study's `samples`"
    )
    seeds: list[Whole] | None = Field(
        None,
        min_length=2,
        description="some of the study's, two or more; unless given, all of them",
    )


class FirstPoints(Study):
    """The study; see `Study` for what each method answers."""

    key = "fingerprints"
    order = 65
    listed = False
    section = Fingerprints

    def names(self, config):
        return [row.experiment for row in config.fingerprints.curves]

    def check(self, config):
        part = config.fingerprints
        seeds = part.seeds or config.seeds
        if not set(seeds) <= set(config.seeds):
            raise ValueError("fingerprints.seeds must be among seeds")
        if len(seeds) < 2:
            raise ValueError("fingerprints needs two seeds or more: its unit is their spread")
        check(config, self, part.readings, self.names(config))
        for row in part.curves:
            for name in [*(row.readings or []), *row.steps]:
                if name not in part.readings:
                    raise ValueError(
                        f"fingerprints names the reading '{name}', which is not under "
                        f"fingerprints.readings{nearest(name, part.readings)}"
                    )
            for name in row.steps:
                if row.readings and name not in row.readings:
                    raise ValueError(
                        f"fingerprints.steps names '{name}', which is not among the readings of "
                        f"its row of {row.experiment}"
                    )
                if len(config.training_of(f"{row.experiment}+{name}").step_sizes) > 1:
                    raise ValueError(f"fingerprints.steps: '{name}' must have one step size")

    def variants(self, config):
        return dict(config.fingerprints.readings) if config.fingerprints else {}

    def runs(self, config):
        part = config.fingerprints
        if part is None:
            return []
        return [
            (
                Run(f"{row.experiment}+{reading}", algorithm, latent_dim, seed),
                min(row.samples or part.samples, config.samples),
            )
            for row in part.curves
            for reading in row.readings or part.readings
            for latent_dim in row.latent_dims
            for algorithm in row.algorithms
            for seed in part.seeds or config.seeds
        ]

    def figures(self, config):
        title = "Fingerprints. Each reading of the paper against each of its curves"
        return {"fingerprints": Figure(title, "studies.fingerprints.figures:fingerprints")}

    def numbers(self, config):
        tables = {"fingerprints": "studies.fingerprints.numbers:fingerprints"}
        if any(row.steps for row in config.fingerprints.curves):
            tables["step_sizes"] = "studies.fingerprints.numbers:step_sizes"
        return tables

    def part(self):
        return "studies.fingerprints.findings:part"


STUDY = FirstPoints()
