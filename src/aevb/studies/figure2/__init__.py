"""Figure 2: the bound against training samples, a row of panels for each experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ...core.run import Job, Run
from ...core.sections import Name, ShortName, Size, Strict
from ...engine.roots import roots
from ...learners import LEARNERS
from .. import Figure, Study
from ..planning import data_path, table_path


class _Online(Name):
    """The name of a learner with a bound: one without an encoder has none to show in Figure 2."""

    def __call__(self, value):
        if super().__call__(value) not in self.values():
            names = ", ".join(self.values())
            raise ValueError(
                f"'{value}' has no bound, so it is in Figure 3 alone; valid are {names}"
            )
        return value

    def values(self):
        return [key for key in self.catalogue if self.catalogue[key].online]


class Curves(Strict):
    """One row of Figure 2: the panels of one experiment."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dims: list[Size] = Field(min_length=1, description="N_z, one panel each")
    algorithms: list[Annotated[str, AfterValidator(_Online(LEARNERS))]] = Field(
        ["aevb", "wake_sleep"],
        min_length=1,
        description="on-line learners: files of src/aevb/learners",
    )


CODE = ("aevb.studies.figure2.baseline:table", "aevb.data:load")  # that decides the baselines
BASELINES = {
    "split": "train or test",
    "value": "bound of the best model that ignores z, nats per datapoint",
}


class Figure2(Study):
    """The study; see `Study` for what each method answers."""

    key = "figure2"
    order = 20
    figure = 2
    section = list[Curves]
    heading = "list of rows"
    columns = {"baselines": BASELINES}
    work = {"baselines": "bounds that ignore z"}
    claims = "studies.figure2.claims"

    def fields(self):
        return {self.key: (list[Curves], [])}

    def names(self, config):
        return [row.experiment for row in config.figure2]

    def runs(self, config):
        return [
            (Run(row.experiment, algorithm, latent_dim, seed), config.goal(row.experiment, seed))
            for row in config.figure2
            for latent_dim in row.latent_dims
            for algorithm in row.algorithms
            for seed in config.seeds
        ]

    def jobs(self, config):
        return [
            Job(
                "baselines",
                name,
                "studies.figure2.baseline:work",
                [table_path(config, "baselines", name)],
                {"data": [data_path(config, name)]},
                {"experiment": config.experiments[name].model_dump()},
                roots(*CODE, likelihood=config.experiments[name].likelihood),
                makes="bounds of models that ignore z",
            )
            for name in dict.fromkeys(self.names(config))
        ]

    def figures(self, config):
        draw = "studies.figure2.figures:figure2"
        title = "Figure 2. Bound against training samples"
        return {"figure2": Figure(title, draw, "figure2.rst", "curves.csv")}

    def numbers(self, config):
        here = "studies.figure2.numbers"
        return {"bounds": f"{here}:bounds", "units": f"{here}:units"}

    def part(self):
        return "studies.figure2.findings:part"


STUDY = Figure2()
