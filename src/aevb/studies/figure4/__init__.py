"""Figure 4: the manifolds that models with two latent dimensions have learned."""

from __future__ import annotations

from pydantic import Field

from ...core.run import Run
from ...core.sections import ShortName, Size, Strict
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Page, Study
from ..planning import Pack, tables_on
from .columns import ENCODED


class Manifold(Strict):
    """One panel of Figure 4 (AEVB, two latent dimensions)."""

    experiment: ShortName = Field(description="a name under `experiments`")
    grid: Size = Field(description="pictures per row and per column")


CODE = ("aevb.studies.figure4.encoding:encode",)  # that decides the map


class Figure4(Study):
    """The study; see `Study` for what each method answers."""

    key = "figure4"
    order = 30
    figure = 4
    section = list[Manifold]
    heading = "list of panels"
    columns = {"encoded": ENCODED}
    work = {"encoded": "mapping test points"}

    def fields(self):
        return {self.key: (list[Manifold], [])}

    def names(self, config):
        return [panel.experiment for panel in config.figure4]

    def drawn(self, config):
        return [Run(name, "aevb", 2, config.seeds[0]) for name in dict.fromkeys(self.names(config))]

    def runs(self, config):
        return [(run, config.goal(run.experiment, run.seed)) for run in self.drawn(config)]

    def jobs(self, config):
        jobs = []
        for run in self.drawn(config):
            alone = Pack([run])
            alone.name = run.experiment
            labelled = DATASETS[config.experiment(run.experiment).dataset].module
            settings = {"experiment": config.experiment(run.experiment).model_dump()}
            jobs.append(
                tables_on(
                    config,
                    "encoded",
                    alone,
                    settings,
                    "studies.figure4.encoding:work",
                    roots(*CODE, labelled),
                    "maps of test points",
                    gpu=False,
                    memory_mb=2000,
                )
            )
        return jobs

    def figures(self, config):
        draw = "studies.figure4.figures:figure4"
        return {"figure4": Figure("Figure 4. Learned manifolds", draw, "figure4.rst")}

    def pages(self, config):
        about = "the latent planes of Figure 4 to play with"
        return {"manifold.html": Page(about, "studies.figure4.page:render", "manifold.rst")}

    def part(self):
        return "studies.figure4.findings:part"


STUDY = Figure4()
