"""VAE and GAN: the lectures' comparison, measured on networks of one size and the same data."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.errors import UserError
from ...core.run import Job, Run
from ...core.sections import Count, Positive, ShortName, Size, Strict, Whole, whole
from ...data import DATASETS
from ...models.quality import weights_of, weights_sha256
from .. import Figure, Study
from ..planning import data_path, deciding, nominal_seconds, table_path
from .columns import GAN

COST = 1.8  # of a step of the GAN, in steps of AEVB: nine products for five
IMAGE = 2e-4  # seconds that the classifier takes for one image of 28 x 28, about
TRAINING = {"pilot_samples", "step_sizes"}  # of `training`, that decide nothing here


class Gan(Strict):
    """A GAN whose generator is the VAE's decoder in size, against the VAE: blur, classes, Frechet
    distance in the features of a small classifier of this project, spread over seeds, time."""

    experiment: ShortName = Field(
        description="a name under `experiments`: data set, likelihood of the VAE, hidden units"
    )
    latent_dim: Size = Field(20, description="N_z of both")
    seeds: list[Whole] = Field(
        [0, 1, 2, 3, 4], min_length=1, description="a VAE and a GAN each, in a job of its own"
    )
    samples: Count = Field(700_000, description="training samples of each model")
    points: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100)] = Field(
        8, description="evaluations on the way, evenly on a logarithmic axis"
    )
    images: Annotated[int, BeforeValidator(whole), Field(ge=100, le=10**6)] = Field(
        2000,
        description="samples of a model per evaluation, and test images, drawn at random, that "
        "they are held against",
    )
    side: Size = Field(6, description="samples in a row and in a column of the figure")
    step_size: Positive = Field(0.02, description="Adagrad's, of the VAE")
    gan_step_size: Positive = Field(2e-4, description="Adam's, of the GAN (Radford et al. 2015)")
    beta_1: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="Adam's decay of the mean of gradients (Radford et al. 2015)"
    )


class GanStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = "gan"
    order = 260
    section = Gan
    columns = {"gan": GAN}
    work = {"gan": "training VAEs and GANs, and judging their samples"}
    claims = "studies.gan.claims"

    def names(self, config):
        return [config.gan.experiment]

    def check(self, config):
        part = config.gan
        known = DATASETS[config.experiments[part.experiment].dataset]
        try:
            weights_of(known.key)
        except UserError as error:
            raise ValueError(f"gan.experiment: {error}") from None
        most = min(known.n_test, config.n_train(part.experiment))
        if part.images > most:
            raise ValueError(
                f"gan.images is {part.images:,}, and '{part.experiment}' has {most:,} images to "
                "hold samples against; give fewer"
            )
        if part.side**2 > part.images:
            raise ValueError("gan.side asks for more samples than gan.images; give a smaller side")
        training = config.training_of(part.experiment)
        least = (training.warmup_steps + 1) * training.batch_size
        if part.samples < least:
            raise ValueError(
                f"gan.samples is {part.samples:,}, in which the VAE's warm-up leaves nothing to "
                f"train; give at least {least:,}"
            )

    def jobs(self, config):
        return [self._job(config, seed) for seed in config.gan.seeds]

    def _job(self, config, seed: int) -> Job:
        part = config.gan
        name, run = part.experiment, Run(part.experiment, "aevb", part.latent_dim, seed)
        experiment = config.experiments[name]
        settings = {
            "gan": part.model_dump(exclude={"seeds", "experiment"}),
            "name": name,
            "seed": seed,
            "shows": seed == part.seeds[0],
            "experiment": experiment.model_dump(),
            "training": config.training_of(name).model_dump(exclude=TRAINING),
            "classifier": weights_sha256(experiment.dataset),
            "threads": config.threads,
        }
        known = DATASETS[experiment.dataset]
        judged = 3 * part.points * part.images * math.prod(known.shape) / 784 * IMAGE
        place = "studies.gan.work:work"
        return Job(
            "gan",
            f"seed{seed}",
            place,
            [table_path(config, "gan", f"seed{seed}")],
            {"data": [data_path(config, name)]},
            settings,
            deciding(config, run, f"aevb.{place}", "aevb.data:load"),
            seconds=(1 + COST) * nominal_seconds(config, run, part.samples) + judged,
            makes="pairs of a VAE and a GAN",
        )

    def figures(self, config):
        draw = "studies.gan.figures"
        return {
            "gan_samples": Figure("Samples of a VAE and of a GAN", f"{draw}:samples"),
            "gan": Figure("VAE and GAN of one size", f"{draw}:curves"),
        }

    def numbers(self, config):
        place = "studies.gan.numbers"
        return {"gan": f"{place}:methods", "gan_differences": f"{place}:differences"}

    def part(self):
        return "studies.gan.findings:part"


STUDY = GanStudy()
