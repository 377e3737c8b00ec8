"""Why AEVB beats wake-sleep: what the bound lacks of log p(x), split into two gaps."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.run import Run
from ...core.sections import Count, ShortName, Size, Strict, whole
from ...core.words import short
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Study
from ..planning import gradient_seconds, pack, tables_on
from .columns import GAPS, POSTERIOR

ALGORITHMS = ("aevb", "wake_sleep")  # those with an encoder that the paper compares
SAMPLING = {"leapfrog", "acceptance", "memory_mb"}  # of `evidence`, which it shares
CHAINS = 3  # of annealing: two that count and a pilot


class Gaps(Strict):
    """What the bound lacks of log p(x), for AEVB and wake-sleep: the approximation gap, of the best
    diagonal Gaussian of each datapoint, and the amortisation gap, by which the encoder's Gaussian
    is worse (Cremer, Li and Duvenaud 2018)."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dims: list[Size] = Field(
        [2, 3, 5, 10, 20], min_length=1, description="N_z, measured at the largest budget"
    )
    budgets: list[Count] = Field(
        [30_000, 100_000, 300_000],
        min_length=1,
        description="training samples of the models, at most the study's `samples`; one that is "
        "the study's own shares its runs, the others are experiments BASE+gaps-BUDGET",
    )
    along: list[Size] = Field([3, 10], description="those of latent_dims measured at all budgets")
    datapoints: Annotated[int, BeforeValidator(whole), Field(ge=2, le=10_000)] = Field(
        50, description="first test points"
    )
    draws: Annotated[int, BeforeValidator(whole), Field(ge=4, le=10_000, multiple_of=2)] = Field(
        64, description="samples of z per datapoint and step of the ascent to the best Gaussian"
    )
    steps: Annotated[int, BeforeValidator(whole), Field(ge=4, le=10_000)] = Field(
        40, description="of that ascent"
    )
    evaluation_draws: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100_000)] = Field(
        400, description="fresh samples of z with which both Gaussians' bounds are then measured"
    )
    temperatures: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100_000)] = Field(
        60, description="of the annealing from the best Gaussian to the posterior"
    )
    images: Size = Field(4, description="test points whose posterior is drawn, at N_z = 2")


class GapsStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = "gaps"
    order = 130
    listed = False
    section = Gaps
    columns = {"gaps": GAPS, "gaps_posterior": POSTERIOR}
    work = {"gaps": "measuring gaps", "gaps_posterior": "drawing posteriors"}
    claims = "studies.gaps.claims"

    def names(self, config):
        return [config.gaps.experiment]

    def check(self, config):
        part = config.gaps
        if missing := sorted(set(part.along) - set(part.latent_dims)):
            raise ValueError(f"gaps.along has N_z = {missing[0]}, which gaps.latent_dims has not")
        if max(part.budgets) > config.samples:
            raise ValueError(
                f"gaps.budgets has {short(max(part.budgets))}, more than samples, "
                f"{short(config.samples)}; give a smaller one, or more samples"
            )
        if part.draws < 2 * max(part.latent_dims):
            raise ValueError(
                f"gaps.draws is {part.draws}, less than twice the largest of gaps.latent_dims; "
                f"give at least {2 * max(part.latent_dims)}"
            )
        there = DATASETS[config.experiments[part.experiment].dataset].n_test
        if part.datapoints > there:
            raise ValueError(f"gaps.datapoints is more than the {there} of the test set")
        if part.images > part.datapoints:
            raise ValueError("gaps.images is more than gaps.datapoints")

    def variants(self, config):
        part = config.gaps
        return {f"gaps-{short(b)}": {"first": b} for b in part.budgets} if part else {}

    def at(self, config, latent_dim: int, budget: int) -> list[Run]:
        """The models of one N_z and budget, algorithm by algorithm and seed by seed."""
        base = config.gaps.experiment
        return [
            Run(
                base if budget == config.goal(base, seed) else f"{base}+gaps-{short(budget)}",
                algorithm,
                latent_dim,
                seed,
            )
            for algorithm in ALGORITHMS
            for seed in config.seeds
        ]

    def cells(self, config) -> list[tuple[int, int]]:
        """N_z and budget of all that it measures: at the largest budget, and along training."""
        part = config.gaps
        budgets = sorted(set(part.budgets))
        return [
            (latent_dim, budget)
            for latent_dim in part.latent_dims
            for budget in (budgets if latent_dim in part.along else budgets[-1:])
        ]

    def runs(self, config):
        if config.gaps is None:
            return []
        return [(run, b) for nz, b in self.cells(config) for run in self.at(config, nz, b)]

    def drawn_posteriors(self, config) -> list[Run]:
        """The models whose posteriors are drawn: N_z = 2, the largest budget, the first seed."""
        if 2 not in config.gaps.latent_dims:
            return []
        last = self.at(config, 2, max(config.gaps.budgets))
        return [run for run in last if run.seed == config.seeds[0]]

    def gradients(self, config, kind: str, run: Run) -> int:
        """About how many gradients of log p(x, z) a table costs."""
        part = config.gaps
        ascent = 2 * part.draws * (part.steps + 1)
        if kind == "gaps_posterior":
            return part.images * ascent
        annealing = CHAINS * part.temperatures * config.evidence.leapfrog
        bounded = ascent + 2 * annealing if run.latent_dim > 3 else 0
        return part.datapoints * (ascent + part.evaluation_draws + annealing + bounded)

    def jobs(self, config):
        kinds = {
            "gaps": ("work", [run for run, _ in self.runs(config)], "models with gaps measured"),
            "gaps_posterior": ("posterior", self.drawn_posteriors(config), "posteriors on a grid"),
        }
        return [
            self._job(config, kind, module, part, makes)
            for kind, (module, models, makes) in kinds.items()
            for part in pack(
                config,
                models,
                lambda run, kind=kind: gradient_seconds(
                    config, run, self.gradients(config, kind, run)
                ),
            )
        ]

    def _job(self, config, kind, module, part, makes):
        experiment = config.experiment(part[0].experiment)
        settings = {
            "experiment": experiment.model_dump(),
            # Which models there are decides no table.
            "gaps": config.gaps.model_dump(exclude={"latent_dims", "budgets", "along"}),
            "evidence": config.evidence.model_dump(include=SAMPLING),
            "where": config.device,
            "threads": config.threads,
        }
        place = f"studies.gaps.{module}:work"
        code = roots(f"aevb.{place}", "aevb.data:load", likelihood=experiment.likelihood)
        return tables_on(config, kind, part, settings, place, code, makes)

    def effort(self, config, kind, run):
        return 0.0, self.gradients(config, kind, run)

    def figures(self, config):
        place = "studies.gaps.figures"
        found = {"gaps": Figure("The gaps between the bound and log p(x)", f"{place}:gaps")}
        if self.drawn_posteriors(config):
            title = "Exact posteriors, the encoder's Gaussian and the best Gaussian"
            found["gaps_posterior"] = Figure(title, f"{place}:posteriors")
        return found

    def numbers(self, config):
        place = "studies.gaps.numbers"
        return {"gaps": f"{place}:gaps", "gaps_differences": f"{place}:differences"}

    def part(self):
        return "studies.gaps.findings:part"


STUDY = GapsStudy()
