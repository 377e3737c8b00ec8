"""Reconstructions: test images beside what trained models make of them."""

from __future__ import annotations

from collections import Counter

from pydantic import Field

from ...core.run import Run
from ...core.sections import Size
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Study
from ..figure2 import Curves
from ..planning import nominal_seconds, pack, tables_on

CODE = ("aevb.studies.reconstructed.work:reconstruct", "aevb.studies.reconstructed.work:choose")
COLUMNS = {
    "images": "test images, all of the data set",
    "error": "mean over them of the squared error per pixel of the reconstruction (grey values 0 "
    "to 1)",
    "error_se": "its standard error over the images",
}
# The arrays `inputs` and `outputs` (n, D) hold the images shown and their reconstructions, in 8
# bits (figure4.encoding.eight_bits).


class Panel(Curves):
    """One panel: test images of one experiment and their reconstructions, a row per model (first
    seed)."""

    latent_dims: list[Size] = Field(min_length=1, description="N_z")
    images: Size = Field(10, description="test images, one column each")


class Reconstructed(Study):
    """The study; see `Study` for what each method answers."""

    key = "reconstructed"
    order = 37
    section = list[Panel]
    heading = "list of panels"
    columns = {"reconstructed": COLUMNS}
    work = {"reconstructed": "reconstructing test images"}

    def fields(self):
        return {self.key: (list[Panel], [])}

    def names(self, config):
        return [panel.experiment for panel in config.reconstructed]

    def check(self, config):
        for name, count in Counter(self.names(config)).items():
            if count > 1:
                raise ValueError(
                    f"reconstructed has {count} panels of '{name}'; put their latent_dims into one"
                )
        for panel in config.reconstructed:
            known = DATASETS[config.experiment(panel.experiment).dataset]
            if panel.images > known.n_test:
                raise ValueError(
                    f"reconstructed asks for {panel.images:,} images of '{panel.experiment}', "
                    f"which has {known.n_test:,} test images; give fewer"
                )

    def models(self, config, panel: Panel) -> list[Run]:
        """The models of a panel, row by row."""
        return [
            Run(panel.experiment, algorithm, latent_dim, config.seeds[0])
            for latent_dim in panel.latent_dims
            for algorithm in panel.algorithms
        ]

    def runs(self, config):
        return [
            (run, config.goal(run.experiment, run.seed))
            for panel in config.reconstructed
            for run in self.models(config, panel)
        ]

    def jobs(self, config):
        def seconds(run: Run) -> float:  # about: encoder and decoder forward are a third of a step
            n_test = DATASETS[config.experiment(run.experiment).dataset].n_test
            return nominal_seconds(config, run, n_test) / 3

        jobs = []
        for panel in config.reconstructed:
            experiment = config.experiment(panel.experiment)
            code = (*CODE, DATASETS[experiment.dataset].module)
            jobs += [
                tables_on(
                    config,
                    "reconstructed",
                    part,
                    {"experiment": experiment.model_dump(), "images": panel.images},
                    "studies.reconstructed.work:work",
                    roots(*code, likelihood=experiment.likelihood),
                    "models with test images reconstructed",
                    gpu=False,
                    memory_mb=2000,
                )
                for part in pack(config, self.models(config, panel), seconds)
            ]
        return jobs

    def figures(self, config):
        draw = "studies.reconstructed.figures:reconstructed"
        return {"reconstructed": Figure("Reconstructions of test images", draw)}

    def part(self):
        return "studies.reconstructed.findings:part"


STUDY = Reconstructed()
