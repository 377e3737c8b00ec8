"""The conditional variational autoencoder: given a label, and given part of an image."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ...core.run import Job
from ...core.sections import Count, Positive, ShortName, Size, Strict, whole
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Study
from ..planning import data_path, table_path
from .columns import LABEL, QUADRANTS
from .labels import CLASSES

Several = Annotated[int, BeforeValidator(whole), Field(ge=2, le=10_000)]
TRAINED = {"samples", "step_size", "draws"}
#: keys that decide each kind of table, and are no part of its name
KEYS = {
    "label": TRAINED | {"points", "styles"},
    "quadrants": TRAINED | {"completion_dim", "completed", "images"},
}
STEP = 8e-3  # seconds, about: of a step on MNIST with 500 hidden units, on one core
DRAW = 1e-5  # seconds, about: of a draw of importance sampling there


class Conditional(Strict):
    """Autoencoders given the label, against the same ones without; and completion of images of
    which one, two or three quadrants are observed, against nearest neighbours and a deterministic
    network (Sohn, Lee and Yan 2015)."""

    experiment: ShortName = Field(
        description="a name under `experiments`, with a Bernoulli likelihood: data set and hidden "
        "units"
    )
    latent_dims: list[Size] = Field(
        [2, 10], min_length=1, description="N_z of the models with and without the label"
    )
    observed: list[Literal[1, 2, 3]] = Field(
        [1, 2, 3],
        min_length=1,
        description="quadrants observed: lower left, upper left, upper right, in this order",
    )
    completion_dim: Size = Field(20, description="N_z of the models that complete images")
    samples: Count = Field(250_000, description="training samples of every model")
    step_size: Positive = Field(1e-3, description="Adam's, everywhere")
    draws: Several = Field(
        100,
        description="z per image for log p by importance sampling; for log p(x), without the label "
        "and with it summed out, ten times as many",
    )
    points: Several = Field(
        500, description="test images, evenly spread, whose log p(x|y) is estimated for every y"
    )
    completed: Several = Field(2000, description="test images, evenly spread, that are completed")
    styles: Size = Field(12, description="test images whose style is drawn in every class")
    images: Size = Field(8, description="test images whose completions are drawn")


class ConditionalStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = "conditional"
    order = 260
    section = Conditional
    columns = {"conditional_label": LABEL, "conditional_quadrants": QUADRANTS}
    work = {
        "conditional_label": "training with and without the label",
        "conditional_quadrants": "completing missing quadrants",
    }
    claims = "studies.conditional.claims"

    def names(self, config):
        return [config.conditional.experiment]

    def check(self, config):
        part = config.conditional
        name, experiment = part.experiment, config.experiments[part.experiment]
        labelled = [d.key for d in DATASETS.values() if d.labels and d.training_labels]
        if experiment.dataset not in labelled:
            raise ValueError(
                f"conditional needs the labels of training images, which '{experiment.dataset}' "
                f"has not; take an experiment on {' or '.join(labelled)}"
            )
        if experiment.likelihood != "bernoulli":
            raise ValueError(
                f"conditional.experiment is '{name}', whose likelihood is {experiment.likelihood}; "
                "take one with a bernoulli likelihood"
            )
        there = DATASETS[experiment.dataset].n_test
        for key, most in (
            ("points", there),
            ("completed", there),
            ("styles", there),
            ("images", part.completed),
        ):
            if getattr(part, key) > most:
                raise ValueError(f"conditional.{key} is more than the {most:,} images it can have")

    def jobs(self, config):
        part, shape = config.conditional, self._shape(config)
        made = [
            self._job(config, "label", f"nz{latent_dim}", {"latent_dim": latent_dim})
            for latent_dim in part.latent_dims
        ]
        return made + [
            self._job(config, "quadrants", f"q{observed}", {"observed": observed, "shape": shape})
            for observed in part.observed
        ]

    def _shape(self, config) -> list[int]:
        name = config.conditional.experiment
        return list(DATASETS[config.experiments[name].dataset].shape)

    def _job(self, config, what: str, name: str, own: dict) -> Job:
        kind, place = f"conditional_{what}", f"studies.conditional.work:{what}"
        part, pixels = config.conditional, self._shape(config)
        experiment = config.experiments[part.experiment]
        batch = config.training_of(part.experiment).batch_size
        settings = {
            "name": part.experiment,
            "experiment": experiment.model_dump(),
            "batch_size": batch,
            "conditional": part.model_dump(include=KEYS[what]),
            "seeds": config.seeds,
            "threads": config.threads,
        }
        share = pixels[0] * pixels[1] * experiment.hidden / (784 * 500)
        steps = 2 * len(config.seeds) * part.samples / batch
        images = {"label": CLASSES * part.points, "quadrants": part.completed}[what]
        draws = 2 * len(config.seeds) * part.draws * images
        return Job(
            kind,
            name,
            place,
            [table_path(config, kind, name)],
            {"data": [data_path(config, part.experiment)]},
            settings | own,
            roots(f"aevb.{place}", "aevb.data:load", likelihood="bernoulli"),
            seconds=steps * (STEP * share + 1e-3) + draws * DRAW * share,
            makes="tables of conditional models",
        )

    def figures(self, config):
        place = "studies.conditional.figures"
        return {
            "conditional": Figure("With and without the label", f"{place}:label"),
            "conditional_styles": Figure("Classes by style", f"{place}:styles"),
            "conditional_quadrants": Figure("Missing quadrants", f"{place}:quadrants"),
        }

    def numbers(self, config):
        place = "studies.conditional.numbers"
        return {
            "conditional": f"{place}:label",
            "conditional_quadrants": f"{place}:quadrants",
        }

    def part(self):
        return "studies.conditional.findings:part"


STUDY = ConditionalStudy()
