"""Full variational Bayes over the parameters: derived in appendix F, and not run in the paper."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ...core.run import Job, Run
from ...core.sections import Count, Positive, ShortName, Size, Strict, whole
from ...data import DATASETS
from .. import Figure, Study
from ..planning import data_path, deciding, table_path
from .columns import ESTIMATES, NETWORKS, REGRESSION

TABLE = "all"  # the name of the tables of the linear model
TRAINING = {"warmup_steps", "epsilon"}  # of `training`, that the linear model shares
COST = 2.5  # of a step of full VB, in steps of AEVB: theta's noise and twice Adagrad


class WeightsStudy(Strict):
    """Full variational Bayes over the decoder's weights (appendix F) against MAP: bound and log
    p(X) on a linear model with known codes, and networks on small training sets."""

    experiment: ShortName = Field(
        description="a name under `experiments`: data set, likelihood and hidden units"
    )
    latent_dim: Size = Field(3, description="N_z")
    n_train: list[Count] = Field(
        [100, 300, 1000],
        min_length=1,
        description="training images, drawn anew for every seed from those of the experiment",
    )
    samples: Count = Field(400_000, description="training samples of every model")
    points: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100)] = Field(
        8, description="evaluations on the way, evenly on a logarithmic axis"
    )
    step_size: Positive = Field(0.1, description="Adagrad's, everywhere: the paper's largest")
    form: Literal["analytic", "sampled"] = Field(
        "analytic",
        description="of the networks' estimator: KL terms in closed form (eq. 24), or sampled (eq. "
        "21 and 22)",
    )
    start_sd: Positive = Field(0.1, description="sigma of q(theta) at the start")
    draws: Annotated[int, BeforeValidator(whole), Field(ge=2, le=1000)] = Field(
        5, description="theta ~ q(theta) per evaluation"
    )
    codes: Size = Field(3, description="N_z of the linear model")
    pixels: Size = Field(10, description="D of the linear model")
    linear_points: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100_000)] = Field(
        100, description="datapoints of the linear model, and minibatch size there"
    )
    linear_samples: Count = Field(500_000, description="training samples there")
    estimates: Annotated[int, BeforeValidator(whole), Field(ge=100, le=10**7)] = Field(
        20_000, description="estimates of a bound there, per seed"
    )


LINEAR = {"codes", "pixels", "linear_points"}
#: keys that decide each table
KEYS = {
    "weights_regression": LINEAR | {"linear_samples", "step_size", "start_sd", "points"},
    "weights_estimates": LINEAR | {"estimates"},
    "weights_networks": {
        *("latent_dim", "samples", "points", "step_size", "form", "start_sd", "draws"),
    },
}


class WeightsOfAppendixF(Study):
    """The study; see `Study` for what each method answers."""

    key = "weights"
    order = 250
    section = WeightsStudy
    columns = {
        "weights_regression": REGRESSION,
        "weights_estimates": ESTIMATES,
        "weights_networks": NETWORKS,
    }
    work = {
        "weights_regression": "full VB on a linear model",
        "weights_estimates": "estimating bounds of full VB",
        "weights_networks": "training by full VB and MAP",
    }
    claims = "studies.weights.claims"

    def names(self, config):
        return [config.weights.experiment]

    def check(self, config):
        part = config.weights
        there = config.n_train(part.experiment)
        if max(part.n_train) > there:
            raise ValueError(
                f"weights.n_train asks for {max(part.n_train):,} training images, of which "
                f"'{part.experiment}' has {there:,}; give fewer"
            )
        training = config.training_of(part.experiment)
        if training.prior == "none":
            raise ValueError(
                "weights compares two uses of a prior, and training.prior is none; give weights"
            )
        least = (training.warmup_steps + 1) * training.batch_size
        if part.samples < least:
            raise ValueError(
                f"weights.samples is {part.samples:,}, in which the warm-up leaves nothing to "
                f"train; give at least {least:,}"
            )
        if part.codes > part.linear_points:
            raise ValueError(
                f"weights.codes is {part.codes:,}, more than the {part.linear_points:,} of "
                "weights.linear_points, so that codes cannot be orthogonal; give fewer codes"
            )

    def _settings(self, config, kind: str) -> dict:
        chosen = config.weights.model_dump(include=KEYS[kind])
        return {"weights": chosen, "seeds": config.seeds, "threads": config.threads}

    def jobs(self, config):
        linear = {"training": config.training.model_dump(include=TRAINING)}
        return [
            self._linear(config, "regression", linear),
            self._linear(config, "estimates", {}),
            *(self._networks(config, n) for n in config.weights.n_train),
        ]

    def _linear(self, config, what: str, more: dict) -> Job:
        kind, place = f"weights_{what}", f"studies.weights.work:{what}"
        part = config.weights
        steps = part.linear_samples / part.linear_points
        seconds = {"regression": 4 * steps * 2e-4, "estimates": 6 * part.estimates * 3e-5}[what]
        return Job(
            kind,
            TABLE,
            place,
            [table_path(config, kind, TABLE)],
            settings=self._settings(config, kind) | more,
            code=(f"aevb.{place}",),
            seconds=seconds * len(config.seeds),
            makes="tables of full VB",
        )

    def _networks(self, config, n: int) -> Job:
        kind, name, part = "weights_networks", config.weights.experiment, config.weights
        experiment, training = config.experiments[name], config.training_of(name)
        pixels = DATASETS[experiment.dataset].shape
        flops = 10 * part.samples * pixels[0] * pixels[1] * experiment.hidden
        own = {"name": name, "n_train": n, "experiment": experiment.model_dump()}
        own["training"] = training.model_dump(exclude={"pilot_samples", "step_sizes"})
        own["evaluation"] = config.evaluation.model_dump(include={"standard_error", "max_draws"})
        place, run = "studies.weights.work:networks", Run(name, "aevb", part.latent_dim, 0)
        return Job(
            kind,
            f"n{n}",
            place,
            [table_path(config, kind, f"n{n}")],
            {"data": [data_path(config, name)]},
            self._settings(config, kind) | own,
            deciding(config, run, f"aevb.{place}", "aevb.data:load"),
            seconds=(1 + COST) * len(config.seeds) * (flops / 30e9 + part.samples * 1e-5),
            makes="tables of full VB",
        )

    def figures(self, config):
        draw = "studies.weights.figures"
        return {
            "weights": Figure("Full VB and MAP on small training sets", f"{draw}:networks"),
            "weights_linear": Figure("Full VB where log p(X) is known", f"{draw}:linear"),
        }

    def numbers(self, config):
        place = "studies.weights.numbers"
        return {
            "weights": f"{place}:networks",
            "weights_differences": f"{place}:differences",
            "weights_linear": f"{place}:linear",
        }

    def part(self):
        return "studies.weights.findings:part"


STUDY = WeightsOfAppendixF()
