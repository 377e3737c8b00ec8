"""The estimator study: estimators of log p(x) graded against ground truth."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.provenance import root
from ...core.run import Run
from ...core.sections import MOST, Count, ShortName, Size, Strict, whole
from ...data import DATASETS
from ...engine.roots import roots
from ...marginal import ESTIMATORS
from .. import STUDIES, Figure, Study
from ..planning import gradient_seconds, pack, tables_on
from .columns import COLUMNS

# Gradients per datapoint that the long annealing costs, the reference where quadrature is out of
# reach.
REFERENCE = 45_000
SAMPLING = ("warmup", "leapfrog", "acceptance", "memory_mb")  # of `evidence`, which it shares


class EstimatorStudy(Strict):
    """The estimators of log p(x) graded against ground truth, on models of Figures 2, 4 and 5
    (AEVB, first seed)."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dims: list[Size] = Field(min_length=1, description="N_z, one model each")
    datapoints: Count = Field(
        50, description="first test points, and as many that the model itself generates"
    )
    replicates: Annotated[int, BeforeValidator(whole), Field(ge=2, le=MOST)] = Field(
        5, description="independent repetitions, which give bias and spread"
    )
    draws: list[Annotated[int, BeforeValidator(whole), Field(ge=8, le=MOST)]] = Field(
        [10, 20, 50, 100, 200, 500], min_length=1, description="numbers of samples per datapoint"
    )


def code(likelihood: str) -> tuple[str, ...]:
    """Roots of the code that decides the grades of a model with that likelihood.

    That is the study's code, every estimator's, and what the project's say of their noise.
    """
    graded = [root(estimator.estimate) for estimator in ESTIMATORS.values()]
    graded += sorted(
        {f"{e.estimate.__module__}:ESTIMATORS" for e in ESTIMATORS.values() if e.shares_noise}
    )
    work = ("aevb.studies.estimators.work:study", "aevb.data:load")
    return roots(*work, *graded, likelihood=likelihood)


class Estimators(Study):
    """The study; see `Study` for what each method answers."""

    key = "estimators"
    order = 40
    figure = 4
    section = EstimatorStudy
    absent = "The paper's estimator of log p(x) (appendix D) is not graded against ground truth."
    columns = {"estimators": COLUMNS}
    work = {"estimators": "grading estimators"}
    claims = "studies.estimators.claims"

    def names(self, config):
        return [config.estimators.experiment]

    def models(self, config) -> list[Run]:
        """The models that it grades on: AEVB, first seed."""
        part = config.estimators
        return [
            Run(part.experiment, "aevb", latent_dim, config.seeds[0])
            for latent_dim in (part.latent_dims if part else ())
        ]

    def check(self, config):
        part = config.estimators
        trained = {
            (run.experiment, run.latent_dim)
            for name in ("figure2", "figure4", "figure5")
            for run, _ in STUDIES[name].runs(config)
        }
        for latent_dim in part.latent_dims:
            if (part.experiment, latent_dim) not in trained:
                raise ValueError(
                    f"estimators names N_z = {latent_dim} of '{part.experiment}', which no other "
                    "figure trains"
                )
        if part.datapoints > DATASETS[config.experiments[part.experiment].dataset].n_test:
            raise ValueError("estimators.datapoints is more than the test set has")

    def runs(self, config):
        return [(run, config.goal(run.experiment, run.seed)) for run in self.models(config)]

    def gradients(self, config, run) -> int:
        """About how many gradients of log p(x, z) the grading on one model costs."""
        part, leapfrog = config.estimators, config.evidence.leapfrog
        # A chain, and every estimator at each number of samples, both on test and on simulated
        # points or, where it needs exact samples, on these alone.
        per_sample = sum(
            estimator.gradients(leapfrog) * (1 if estimator.needs_exact else 2)
            for estimator in ESTIMATORS.values()
        )
        per_replicate = 2 * max(part.draws) * (leapfrog + 1) + sum(part.draws) * per_sample
        reference = 0 if run.latent_dim <= 3 else 2 * REFERENCE
        return round(part.datapoints * (part.replicates * per_replicate + reference))

    def jobs(self, config):
        def seconds(run: Run) -> float:
            return gradient_seconds(config, run, self.gradients(config, run))

        return [
            tables_on(
                config,
                "estimators",
                part,
                {
                    "experiment": config.experiment(part[0].experiment).model_dump(),
                    "estimators": config.estimators.model_dump(),
                    # Its datapoints and numbers of samples are its own.
                    "evidence": config.evidence.model_dump(include=set(SAMPLING)),
                    "where": config.device,
                    "threads": config.threads,
                },
                "studies.estimators.work:work",
                code(config.experiment(part[0].experiment).likelihood),
                "models with estimators graded",
            )
            for part in pack(config, self.models(config), seconds)
        ]

    def effort(self, config, kind, run):
        return 0.0, self.gradients(config, run)

    def figures(self, config):
        draw = "studies.estimators.figures:estimators"
        return {
            "estimators": Figure(
                "Bias and spread of estimators of log p(x)", draw, "estimators.rst"
            )
        }

    def numbers(self, config):
        return {"estimators": "studies.estimators.numbers:estimators"}

    def part(self):
        return "studies.estimators.findings:part"


STUDY = Estimators()
