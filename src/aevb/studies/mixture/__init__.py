"""The mixture study: a Bayesian mixture of Gaussians, where the posterior can be known exactly."""

from __future__ import annotations

from math import log
from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.run import Job
from ...core.sections import Count, Positive, Size, Strict, Whole, whole
from .. import Figure, Study
from ..planning import table_path
from .columns import COLUMNS

TABLE = "all"  # the name of each table
FAITHFUL = "faithful"  # as tables name Old Faithful
ENUMERABLE = 20_000_000  # numbers, K + n per assignment, that fit in a job's memory several times
SWEEPS, PASSES = 100, 60  # nominal: of coordinate ascent; over the data of stochastic VI


class MixtureStudy(Strict):
    """A Bayesian mixture of Gaussians (Blei, Kucukelbir & McAuliffe 2017): coordinate ascent, EM
    and stochastic VI, against the exact posterior where there is one. It trains no networks."""

    components: Size = Field(5, description="K of the data in two dimensions")
    points: Size = Field(300, description="n of the data on which many starts are compared")
    prior_sd: Positive = Field(5.0, description="s, standard deviation of the prior on means")
    starts: Annotated[int, BeforeValidator(whole), Field(ge=2, le=10_000)] = Field(
        50, description="starts per data set, each at K of its points"
    )
    replicates: Size = Field(5, description="data sets drawn from the model, of every kind")
    exact_components: Size = Field(3, description="K where the posterior is known, one dimension")
    exact_points: Size = Field(8, description="n where all K^n assignments are enumerated")
    chain_points: Size = Field(100, description="n where Gibbs chains stand for the posterior")
    exact_prior_sd: Positive = Field(
        2.0, description="s there: smaller, so that components overlap"
    )
    draws: Annotated[int, BeforeValidator(whole), Field(ge=1000, le=10**7)] = Field(
        20_000, description="draws of the exact posterior, or of all chains together"
    )
    svi_points: Annotated[int, BeforeValidator(whole), Field(gt=0, le=10**8)] = Field(
        1_000_000, description="n of the data for stochastic VI"
    )
    svi_batch: Count = Field(1000, description="datapoints per step")
    svi_passes: Positive = Field(
        3.0, description="length of stochastic VI, in passes over the data"
    )
    svi_delay: Whole = Field(1, description="tau of the step size (t + tau)^-kappa")
    svi_kappa: Positive = Field(0.7, description="kappa of it: above 0.5, at most 1")


PLANE = {"replicates", "components", "points", "prior_sd"}
LINE = {"replicates", "exact_components", "exact_points", "exact_prior_sd", "starts"}
SVI = {"svi_points", "svi_batch", "svi_passes", "svi_delay", "svi_kappa"}
#: kind of table -> the keys that decide it, and the function that measures it
MADE = {
    "mixture_points": (PLANE, "points"),
    "mixture_traces": (PLANE | {"starts"}, "traces"),
    "mixture_optima": (PLANE | {"starts"}, "optima"),
    "mixture_evidence": (LINE, "evidence"),
    "mixture_variance": (LINE | {"chain_points", "draws"}, "variances"),
    "mixture_svi": (SVI | {"replicates", "components", "prior_sd"}, "stochastic"),
}


class Mixture(Study):
    """The study; see `Study` for what each method answers."""

    key = "mixture"
    order = 200
    section = MixtureStudy
    columns = COLUMNS
    work = {
        "mixture_points": "drawing mixtures",
        "mixture_traces": "coordinate ascent from many starts",
        "mixture_optima": "local optima",
        "mixture_evidence": "enumerating log p(x)",
        "mixture_variance": "variances of the posterior",
        "mixture_svi": "stochastic VI",
    }
    claims = "studies.mixture.claims"

    def check(self, config):
        part = config.mixture
        for points, components in (
            ("points", "components"),
            ("svi_points", "components"),
            ("exact_points", "exact_components"),
            ("chain_points", "exact_components"),
        ):
            n, k = getattr(part, points), getattr(part, components)
            if k > n:
                raise ValueError(
                    f"mixture.{components} is {k:,}, more than the {n:,} of mixture.{points}; a "
                    "start needs a datapoint per component: give fewer components or more points"
                )
        n, k = part.exact_points, part.exact_components
        # The logarithm: the power of two large numbers takes minutes.
        if n * log(k) + log(n + k) > log(ENUMERABLE):
            raise ValueError(
                f"mixture: to enumerate {k}^{n} assignments of {n} points takes more memory than "
                f"there is for it (K^n (K + n) up to {ENUMERABLE:,}); give fewer exact_points or "
                "exact_components"
            )
        if part.svi_batch > part.svi_points:
            raise ValueError(
                f"mixture.svi_batch is {part.svi_batch:,}, more than the {part.svi_points:,} of "
                "mixture.svi_points; give a smaller batch"
            )
        if not 0.5 < part.svi_kappa <= 1:
            raise ValueError(
                f"mixture.svi_kappa is {part.svi_kappa:g}: steps of (t + tau)^-kappa have an "
                "infinite sum and a finite sum of squares (Robbins and Monro) only with kappa "
                "above 0.5 and at most 1; give such a kappa"
            )

    def jobs(self, config):
        return [
            Job(
                kind,
                TABLE,
                f"studies.mixture.work:{function}",
                [table_path(config, kind, TABLE)],
                settings={
                    "mixture": config.mixture.model_dump(include=keys),
                    "seed": config.seeds[0],
                },
                code=(f"aevb.studies.mixture.work:{function}",),
                seconds=seconds(config.mixture, kind),
                makes="tables of mixtures",
                memory_mb=2000 + config.mixture.svi_points // 10_000,
            )
            for kind, (keys, function) in MADE.items()
        ]

    def figures(self, config):
        draw = "studies.mixture.figures"
        optima = "A mixture of Gaussians: starts, local optima and fits"
        exact = "A mixture of Gaussians: the bound against log p(x), variances, stochastic VI"
        return {
            "mixture_optima": Figure(optima, f"{draw}:optima"),
            "mixture_exact": Figure(exact, f"{draw}:exact"),
        }

    def numbers(self, config):
        return {"mixture": "studies.mixture.numbers:summary"}

    def part(self):
        return "studies.mixture.findings:part"


def seconds(part: MixtureStudy, kind: str) -> float:
    """Rough time of a table of `kind` on one CPU core."""
    cells = {  # numbers of phi that are computed
        "mixture_points": 0,
        "mixture_evidence": part.exact_points * part.exact_components**part.exact_points,
        "mixture_variance": 3 * part.draws * part.chain_points * part.exact_components,
        "mixture_svi": PASSES * part.svi_points * part.components,
    }
    ascents = 2 * part.starts * SWEEPS
    per_set = cells.get(kind, ascents * (2500 + part.points * part.components))
    return 1e-7 * part.replicates * per_set


STUDY = Mixture()
