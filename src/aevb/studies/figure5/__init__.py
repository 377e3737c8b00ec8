"""Figure 5: random samples of trained models."""

from __future__ import annotations

from pydantic import Field

from ...core.run import Run
from ...core.sections import ShortName, Size, Strict
from .. import Figure, Study


class PriorSamples(Strict):
    """One row of Figure 5: random samples of AEVB models."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dims: list[Size] = Field(min_length=1, description="N_z, one panel each")
    grid: Size = Field(10, description="samples per row and per column")


class Figure5(Study):
    """The study; see `Study` for what each method answers."""

    key = "figure5"
    order = 35
    figure = 4
    section = list[PriorSamples]
    heading = "list of rows"

    def fields(self):
        return {self.key: (list[PriorSamples], [])}

    def names(self, config):
        return [row.experiment for row in config.figure5]

    def drawn(self, config):
        return [
            Run(row.experiment, "aevb", latent_dim, config.seeds[0])
            for row in config.figure5
            for latent_dim in row.latent_dims
        ]

    def runs(self, config):
        return [(run, config.goal(run.experiment, run.seed)) for run in self.drawn(config)]

    def figures(self, config):
        draw = "studies.figure5.figures:figure5"
        return {"figure5": Figure("Figure 5. Random samples", draw, "figure5.rst")}

    def part(self):
        return "studies.figure5.findings:part"


STUDY = Figure5()
