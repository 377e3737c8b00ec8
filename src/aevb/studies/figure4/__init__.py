"""Figure 4: the manifolds that models with two latent dimensions have learned."""

from __future__ import annotations

from pydantic import Field

from ...core.run import Run
from ...core.sections import Count, ShortName, Size, Strict
from ...core.words import short
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Page, Study
from ..planning import Pack, nominal_seconds, pack, tables_on
from .columns import ENCODED


class Manifold(Strict):
    """One panel of Figure 4 (AEVB, two latent dimensions)."""

    experiment: ShortName = Field(description="a name under `experiments`")
    grid: Size = Field(description="pictures per row and per column")
    along: list[Count] = Field(
        [],
        description="training samples of further models, for the slider of manifold.html: "
        "experiments BASE+plane-SAMPLES; those that are not fewer than the study's are left out",
    )


CODE = ("aevb.studies.figure4.encoding:encode",)  # that decides the map


class Figure4(Study):
    """The study; see `Study` for what each method answers."""

    key = "figure4"
    order = 30
    figure = 4
    section = list[Manifold]
    heading = "list of panels"
    columns = {"encoded": ENCODED, "unfolding": ENCODED}
    work = {"encoded": "mapping test points", "unfolding": "decoding planes along training"}

    def fields(self):
        return {self.key: (list[Manifold], [])}

    def names(self, config):
        return [panel.experiment for panel in config.figure4]

    def variants(self, config):
        budgets = {budget for panel in config.figure4 for budget in panel.along}
        return {f"plane-{short(budget)}": {"first": budget} for budget in sorted(budgets)}

    def drawn(self, config):
        return [Run(name, "aevb", 2, config.seeds[0]) for name in dict.fromkeys(self.names(config))]

    def along(self, config) -> dict[Run, int]:
        """The models of the slider, with their budgets: experiment by experiment, rising."""
        return {
            Run(f"{panel.experiment}+plane-{short(budget)}", "aevb", 2, config.seeds[0]): budget
            for panel in config.figure4
            for budget in sorted(panel.along)
            if budget < config.goal(panel.experiment, config.seeds[0])
        }

    def runs(self, config):
        last = [(run, config.goal(run.experiment, run.seed)) for run in self.drawn(config)]
        return [*last, *self.along(config).items()]

    def jobs(self, config):
        return [*self._encoded(config), *self._unfolding(config)]

    def _encoded(self, config):
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

    def _unfolding(self, config):
        def seconds(run: Run) -> float:  # forward alone, and the start of all else
            return nominal_seconds(config, run, 1000) / 3

        jobs = []
        for part in pack(config, self.along(config), seconds):
            experiment = config.experiment(part[0].experiment)
            place = "studies.figure4.unfolding:work"
            module = DATASETS[experiment.dataset].module
            jobs.append(
                tables_on(
                    config,
                    "unfolding",
                    part,
                    {"experiment": experiment.model_dump()},
                    place,
                    roots(f"aevb.{place}", module, likelihood=experiment.likelihood),
                    "planes along training",
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
