"""PPCA, EM and the linear VAE: the model of which all is known in closed form."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.provenance import root
from ...core.run import Job
from ...core.sections import MOST, Count, Positive, ShortName, Size, Strict, whole
from ...data import DATASETS
from ...marginal import ESTIMATORS as CATALOGUE
from .. import Figure, Study
from ..planning import data_path, table_path
from .columns import COLLAPSE, EM, ESTIMATORS, LEARNERS

Two = Annotated[int, BeforeValidator(whole), Field(ge=2, le=10_000)]
Several = Annotated[int, BeforeValidator(whole), Field(ge=3, le=1000)]
Draws = Annotated[int, BeforeValidator(whole), Field(ge=8, le=MOST)]
TRAINING = {"batch_size", "initial_sd", "warmup_steps", "epsilon"}  # of `training`, which it shares
SAMPLING = {"warmup", "leapfrog", "acceptance", "memory_mb"}  # of `evidence`
STEP = 3e-4  # seconds, about: of a step of the slowest learner with one replica


class Linear(Strict):
    """The linear-Gaussian model (probabilistic PCA) on simulated data: closed form, exact EM, AEVB,
    wake-sleep and Monte Carlo EM; estimators of log p(x) against its exact value; and which
    directions collapse. Every seed has data of its own."""

    latent_dims: list[Size] = Field(
        [2, 5, 10], min_length=1, description="N_z of the models fitted"
    )
    dims: list[Size] = Field(
        [20, 50, 100], min_length=1, description="D, one for each of latent_dims, each larger"
    )
    n: Count = Field(1000, description="datapoints")
    iterations: Size = Field(100, description="of exact EM")
    samples: Count = Field(500_000, description="training samples of AEVB and of wake-sleep")
    chain_samples: Count = Field(
        10_000_000, description="of Monte Carlo EM: datapoints x (leapfrog steps + updates)"
    )
    step_size: Positive = Field(0.1, description="Adagrad's, for all three: the paper's largest")
    graded_dims: list[Size] = Field(
        [2, 5, 10, 20, 50], min_length=1, description="N_z at which estimators are graded"
    )
    graded_dim: Size = Field(100, description="D of these models")
    datapoints: Count = Field(20, description="on which estimators are graded")
    replicates: Two = Field(5, description="independent repetitions, which give bias and spread")
    draws: list[Draws] = Field(
        [20, 50, 200], min_length=1, description="numbers of samples per datapoint"
    )
    collapse_latent_dim: Size = Field(10, description="N_z of the models with sigma^2 fixed")
    collapse_dim: Size = Field(50, description="D of their simulated data")
    variances: Several = Field(9, description="how many sigma^2")
    experiment: ShortName | None = Field(
        None,
        description="a name under `experiments` on whose training images directions collapse, too",
    )


class LinearStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = "linear"
    order = 120
    section = Linear
    columns = {
        "linear_em": EM,
        "linear_learners": LEARNERS,
        "linear_estimators": ESTIMATORS,
        "linear_collapse": COLLAPSE,
    }
    work = {
        "linear_em": "following EM",
        "linear_learners": "training linear models",
        "linear_estimators": "grading estimators on linear models",
        "linear_collapse": "training linear models with fixed noise",
    }
    claims = "studies.linear.claims"

    def names(self, config):
        return [name] if (name := config.linear.experiment) else []

    def check(self, config):
        part = config.linear
        if len(part.latent_dims) != len(part.dims):
            raise ValueError("linear.dims needs one D for each of linear.latent_dims")
        pairs = list(zip(part.latent_dims, part.dims, strict=True))
        pairs += [(latent_dim, part.graded_dim) for latent_dim in part.graded_dims]
        pairs.append((part.collapse_latent_dim, part.collapse_dim))
        if part.experiment:
            shape = DATASETS[config.experiments[part.experiment].dataset].shape
            pairs.append((part.collapse_latent_dim, math.prod(shape)))
        for latent_dim, dim in pairs:
            if latent_dim >= dim:
                raise ValueError(
                    f"linear has N_z = {latent_dim} with D = {dim}; N_z must be less than D, or "
                    "no noise is left"
                )
        least = max(*part.latent_dims, part.collapse_latent_dim) + 2
        if part.n < least:
            raise ValueError(
                f"linear.n = {part.n} is too few datapoints for the largest N_z; give at least "
                f"{least}"
            )

    def _fitted(self, config) -> dict:
        """Settings of all that is trained."""
        part = config.linear
        return {
            "seeds": config.seeds,
            "samples": part.samples,
            "step_size": part.step_size,
            "training": config.training.model_dump(include=TRAINING),
            "threads": config.threads,
        }

    def _models(self, config) -> list[Job]:
        """EM and the learners, a job each for every pair of N_z and D."""
        part, made = config.linear, []
        steps = part.samples / config.training.batch_size + part.chain_samples / part.n / 3
        for latent_dim, dim in zip(part.latent_dims, part.dims, strict=True):
            data = {"latent_dim": latent_dim, "dim": dim, "n": part.n}
            data["iterations"] = part.iterations
            more = {**self._fitted(config), "chain_samples": part.chain_samples}
            more["mcem"] = config.mcem.model_dump()
            name, seconds = f"nz{latent_dim}-d{dim}", steps * STEP * len(config.seeds)
            made.append(self._job(config, "em", name, {**data, "seeds": config.seeds}, 1.0))
            made.append(self._job(config, "learners", name, {**data, **more}, seconds))
        return made

    def _graded(self, config) -> list[Job]:
        """The estimators, a job for every N_z."""
        part, chosen = config.linear, {"datapoints", "replicates", "draws"}
        more = {
            **part.model_dump(include=chosen),
            "dim": part.graded_dim,
            "seed": config.seeds[0],
            "evidence": config.evidence.model_dump(include=SAMPLING),
            "threads": config.threads,
        }
        seconds = 0.005 * part.replicates * sum(part.draws)
        return [
            self._job(config, "estimators", f"nz{q}", {"latent_dim": q, **more}, seconds)
            for q in part.graded_dims
        ]

    def _collapsed(self, config) -> list[Job]:
        """AEVB and EM with sigma^2 fixed, on simulated data and on those of the experiment."""
        part = config.linear
        more = {**self._fitted(config), "latent_dim": part.collapse_latent_dim}
        more["points"] = part.variances
        own = {**more, "dim": part.collapse_dim, "n": part.n}
        seconds = part.samples / config.training.batch_size * STEP * len(config.seeds) * 5
        made = [self._job(config, "collapse", "simulated", own, seconds)]
        if name := part.experiment:
            experiment = {"experiment": config.experiments[name].model_dump()}
            files = {"data": [data_path(config, name)]}
            made.append(self._job(config, "collapse", name, more | experiment, seconds, files))
        return made

    def _job(self, config, what, name, settings, seconds, inputs=None) -> Job:
        module = {"estimators": "grading", "collapse": "collapse"}.get(what, "work")
        function = {"estimators": "grading"}.get(what, what)
        place = f"studies.linear.{module}:{function}_work"
        code = [f"aevb.{place}"]
        if what == "estimators":  # found by key, so not by following names
            code += [root(estimator.estimate) for estimator in CATALOGUE.values()]
        output = table_path(config, kind := f"linear_{what}", name)
        makes = "tables of the linear model"
        return Job(
            kind,
            name,
            place,
            [output],
            inputs or {},
            settings,
            tuple(code),
            seconds=seconds,
            makes=makes,
        )

    def jobs(self, config):
        return [*self._models(config), *self._graded(config), *self._collapsed(config)]

    def figures(self, config):
        place = "studies.linear.figures"
        return {
            "linear": Figure("The linear-Gaussian model, learned and exact", f"{place}:linear"),
            "linear_estimators": Figure(
                "Estimators of log p(x) against its exact value", f"{place}:estimators"
            ),
        }

    def numbers(self, config):
        place = "studies.linear.numbers"
        return {
            "linear": f"{place}:learned",
            "linear_estimators": f"{place}:graded",
            "linear_collapse": f"{place}:collapsed",
        }

    def part(self):
        return "studies.linear.findings:part"


STUDY = LinearStudy()
