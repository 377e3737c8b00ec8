"""The variance study: how much one-sample gradients and bounds vary, at points of training."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.run import Job, Run
from ...core.sections import MOST, ShortName, Size, Strict, Whole, whole
from ...engine.roots import TRAINING
from .. import STUDIES, Study
from ..planning import (
    data_path,
    deciding,
    nominal_seconds,
    pack,
    pilot_path,
    pilot_settings,
    table_path,
)
from .columns import VARIANCE

GRADIENT_ESTIMATORS = 5  # whose variance is measured, see work.py
CODE = ("aevb.studies.variance.work:study", *TRAINING)  # that decides what is measured
AUTOGRAD = 1.5  # times a step's cost: gradients are measured by autograd


class VarianceStudy(Strict):
    """Variance of gradient and bound estimators at points of training (AEVB, first seed,
    minibatches of `training`, L = 1)."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dims: list[Size] = Field(min_length=1, description="N_z, one model each")
    samples: list[Whole] = Field(
        [0, 20_000, 100_000, 1_000_000],
        min_length=1,
        description="training samples, rounded up to 20 steps, after which to measure; 0: the "
        "start. Those beyond `samples` are left out",
    )
    minibatches: Annotated[int, BeforeValidator(whole), Field(ge=2, le=MOST)] = Field(
        20, description="minibatches at each point of training"
    )
    replicates: Annotated[int, BeforeValidator(whole), Field(ge=2, le=MOST)] = Field(
        20, description="draws of the noise per minibatch"
    )


class Variance(Study):
    """The study; see `Study` for what each method answers."""

    key = "variance"
    order = 90
    section = VarianceStudy
    columns = {"variance": VARIANCE}
    work = {"variance": "measuring variances"}
    claims = "studies.variance.claims"

    def names(self, config):
        return [config.variance.experiment]

    def models(self, config) -> list[Run]:
        """The models that it measures: AEVB, first seed."""
        part = config.variance
        return [
            Run(part.experiment, "aevb", latent_dim, config.seeds[0])
            for latent_dim in (part.latent_dims if part else ())
        ]

    def points(self, config) -> list[int]:
        """Training samples after which it measures."""
        return sorted({samples for samples in config.variance.samples if samples <= config.samples})

    def check(self, config):
        trained = {run for study in STUDIES.values() for run, _ in study.runs(config)}
        for run in self.models(config):
            if run not in trained:
                raise ValueError(
                    f"variance names N_z = {run.latent_dim} of '{run.experiment}', of which no "
                    f"other part trains AEVB with seed {run.seed}, whose pilot gives the step size"
                )
        if not self.points(config):
            raise ValueError("variance.samples are all beyond samples")
        if config.training_of(config.variance.experiment).batch_size < 2:
            raise ValueError(
                "variance needs a batch size (training.batch_size, batch_sizes) of at least 2: a "
                "baseline is the mean over the other datapoints"
            )

    def cost(self, config) -> int:
        """About how many training samples' worth of time one model costs, training included."""
        part, points = config.variance, self.points(config)
        batch = config.training_of(part.experiment).batch_size
        per_point = part.minibatches * part.replicates * batch
        measuring = AUTOGRAD * len(points) * per_point * GRADIENT_ESTIMATORS
        return max(points, default=0) + round(measuring)

    def jobs(self, config):
        def seconds(run: Run) -> float:
            return nominal_seconds(config, run, self.cost(config))

        return [
            Job(
                "variance",
                part.name,
                "studies.variance.work:work",
                [table_path(config, "variance", run.name) for run in part],
                {
                    "data": [data_path(config, part[0].experiment)],
                    "pilots": [pilot_path(config, run.curve) for run in part],
                },
                {
                    "training": {
                        **pilot_settings(config, part),
                        "samples": self.points(config)[-1],
                    },
                    "points": self.points(config),
                    "minibatches": config.variance.minibatches,
                    "replicates": config.variance.replicates,
                },
                deciding(config, part[0], *CODE),
                tuple(part),
                part.seconds,
                "models with variances measured",
                memory_mb=3000,
            )
            for part in pack(config, self.models(config), seconds)
        ]

    def effort(self, config, kind, run):
        return self.cost(config), 0.0

    def numbers(self, config):
        return {"variance": "studies.variance.numbers:variances"}

    def part(self):
        return "studies.variance.findings:part"


STUDY = Variance()
