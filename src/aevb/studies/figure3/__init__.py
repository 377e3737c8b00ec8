"""Figure 3: estimated log p(x) against training samples and seconds, one panel per experiment."""

from __future__ import annotations

from math import log10
from typing import Annotated

from pydantic import AfterValidator, Field

from ...core.run import Run
from ...core.sections import Count, Name, ShortName, Size, Strict, Whole
from ...data import DATASETS
from ...engine.roots import roots
from ...learners import LEARNERS
from ...marginal.modes import COARSE
from ...marginal.options import Evidence
from ...paper.facts import FIGURE3_SAMPLES
from .. import STUDIES, Figure, Study
from ..planning import gradient_seconds, pack, tables_on
from .columns import EVIDENCE

# Gradients per datapoint that the search for modes and the kernel density cost, and without chains
# the search and the refining draws (measured: MNIST, N_z = 3).
SEARCH, LIGHT_SEARCH = 1700, 600
CODE = ("aevb.studies.figure3.work:figure3", "aevb.data:load")  # that decides the estimates
EARLY = 1.7  # evaluations per even one: those before the first lie more densely
POINTS, FEWEST, APART = 20, 4, 80_000  # even evaluations; the fewest; training samples between two


class Figure3Section(Strict):
    """Figure 3: estimated log p(x), one panel per experiment, with these algorithms."""

    experiments: list[ShortName] = Field(
        min_length=1, description="one panel each; they are of Figure 3 alone"
    )
    latent_dim: Size = Field(3, description="N_z")
    algorithms: list[Annotated[str, AfterValidator(Name(LEARNERS))]] = Field(
        ["aevb", "wake_sleep", "mcem"],
        min_length=1,
        description="learners: files of src/aevb/learners",
    )
    samples: Count | None = Field(
        None,
        description="budget of a curve; unless given, `samples`, but at most 6e7, the end of the "
        "paper's axis",
    )
    seeds: list[Whole] | None = Field(
        None, min_length=1, description="unless given, those of the study"
    )
    points: Size | None = Field(
        None,
        description="evaluations spread evenly over the budget; before the first of them they lie "
        "as in Figure 2; unless given, one per 80,000 samples, at least 4 and at most 20, because "
        "an evaluation costs as much after a short training as after a long one",
    )


class Figure3(Study):
    """The study; see `Study` for what each method answers."""

    key = "figure3"
    order = 45
    figure = 3
    section = Figure3Section
    absent = (
        "Figure 3 of the paper (Monte Carlo EM, estimated marginal likelihood) is not part of "
        "this study."
    )
    columns = {"evidence": EVIDENCE}
    work = {"evidence": "estimating log p(x)"}
    claims = "studies.figure3.claims"

    def fields(self):
        return {"evidence": (Evidence, Evidence()), **super().fields()}

    def names(self, config):
        return config.figure3.experiments

    def check(self, config):
        others = {
            run.base
            for study in STUDIES.values()
            if study is not self and study.active(config)
            for run, _ in study.runs(config)
        }
        for name in config.figure3.experiments:
            if name in others:
                raise ValueError(
                    f"figure3 shares the experiment '{name}' with another figure or study; its "
                    "budget differs, so give it one of its own"
                )
            known = DATASETS[config.experiments[name].dataset]
            if config.evidence.chains_per_decade and config.figure3.latent_dim not in COARSE:
                raise ValueError(
                    "evidence.chains_per_decade leaves chains out, which takes modes on a lattice "
                    f"of 1 to 3 latent dimensions, and figure3.latent_dim is "
                    f"{config.figure3.latent_dim}; leave chains_per_decade out"
                )
            if (config.evidence.checked or 0) > config.evidence.datapoints:
                raise ValueError(
                    f"evidence.checked, {config.evidence.checked:,}, is more than "
                    f"evidence.datapoints, {config.evidence.datapoints:,}; give fewer"
                )
            if config.evidence.datapoints > min(config.n_train(name), known.n_test):
                raise ValueError(
                    f"evidence.datapoints, {config.evidence.datapoints:,}, is more than {name} has "
                    f"({config.n_train(name):,} training and {known.n_test:,} test points); give "
                    "fewer"
                )

    def models(self, config) -> list[Run]:
        """Its runs, panel by panel; none without such a section."""
        part = config.figure3
        return [
            Run(experiment, algorithm, part.latent_dim, seed)
            for experiment in (part.experiments if part else ())
            for algorithm in part.algorithms
            for seed in part.seeds or config.seeds
        ]

    def budget(self, config) -> int:
        """Training samples of its curves."""
        return config.figure3.samples or min(config.samples, FIGURE3_SAMPLES)

    def points(self, config) -> int:
        """Evaluations of log p(x) that are spread evenly over the budget."""
        few = max(FEWEST, self.budget(config) // APART)
        return config.figure3.points or min(POINTS, few)

    def runs(self, config):
        return [(run, self.budget(config)) for run in self.models(config)]

    def settings(self, config, run):
        mine = config.figure3 is not None and run.experiment in config.figure3.experiments
        return {"snapshots": self.points(config)} if mine else {}

    def gradients(self, config, run) -> int:
        """About how many gradients of log p(x, z) the estimates on a run cost."""
        options, points = config.evidence, self.points(config)
        evaluations, chained = EARLY * points, EARLY * points
        if options.chains_per_decade:
            budget = self.budget(config)
            decades = log10(budget / min(budget / points, config.evaluation.first))
            chained = min(chained, 1 + options.chains_per_decade * decades)
        chain = (options.draws + options.warmup) * (options.leapfrog + 1) + SEARCH
        per_point = options.importance_draws * evaluations + chain * chained
        per_point += (LIGHT_SEARCH + options.importance_draws / 2) * (evaluations - chained)
        return round(2 * options.datapoints * per_point)

    def jobs(self, config):
        def seconds(run: Run) -> float:
            return gradient_seconds(config, run, self.gradients(config, run))

        return [
            tables_on(
                config,
                "evidence",
                part,
                {
                    "experiment": config.experiment(part[0].experiment).model_dump(),
                    "evidence": config.evidence.model_dump(),
                    "where": config.device,
                    "threads": config.threads,
                },
                "studies.figure3.work:work",
                roots(*CODE, likelihood=config.experiment(part[0].experiment).likelihood),
                "models with log p(x) estimated",
            )
            for part in pack(config, self.models(config), seconds)
        ]

    def effort(self, config, kind, run):
        return 0.0, self.gradients(config, run)

    def figures(self, config):
        draw = "studies.figure3.figures:figure3"
        return {
            "figure3": Figure(
                "Figure 3. log p(x) against training samples and seconds",
                draw,
                "figure3.rst",
                "curves.csv",
            )
        }

    def numbers(self, config):
        return {"evidence": "studies.figure3.numbers:evidence"}

    def part(self):
        return "studies.figure3.findings:part"


STUDY = Figure3()
