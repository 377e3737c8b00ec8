"""What the learned model is for: images completed and cleaned by sampling z given what is seen."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from ...core.run import Run
from ...core.sections import Count, Positive, Share, ShortName, Size, Strict, whole
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Study
from ..planning import gradient_seconds, pack, tables_on
from .columns import COMPLETION

NOISES = ("bernoulli", "gaussian")  # likelihoods that stay what they are under noise
SAMPLING = {"acceptance", "memory_mb"}  # of `evidence`, which it shares


class Task(NamedTuple):
    """What is seen of an image."""

    #: holes: pixels (a random share), top (the first rows), grid (every k-th pixel of every k-th
    #: row); blocks: the means of k x k pixels; or noise, on all pixels
    kind: str
    level: float  # the share seen; k; the probability of a flip or the sd of noise

    @property
    def name(self) -> str:
        """'pixels-0.2', of which random numbers are named; people read as many digits."""
        return f"{self.kind}-{self.level:.3g}"


class Completion(Strict):
    """Denoising, inpainting and super-resolution with trained models: what was not seen, given
    what was, by Hamiltonian Monte Carlo (section 2.1 of the paper)."""

    experiments: list[ShortName] = Field(min_length=1, description="names under `experiments`")
    latent_dim: Size = Field(20, description="N_z")
    samples: Count | None = Field(
        None,
        description="training samples of the models, which then are experiments "
        "BASE+completion; unless given, the study's `samples` and its own models",
    )
    datapoints: Annotated[int, BeforeValidator(whole), Field(ge=2, le=10_000)] = Field(
        50, description="test images, at random, the same ones for every seed and task"
    )
    pixels: list[Share] = Field(
        [0.05, 0.1, 0.25, 0.5, 0.75], description="shares of pixels seen, at random places"
    )
    top: list[Share] = Field([0.25, 0.5, 0.75], description="shares of rows seen, from the top")
    grid: list[Annotated[int, BeforeValidator(whole), Field(ge=2, le=100)]] = Field(
        [2, 4], description="k: every k-th pixel of every k-th row is seen"
    )
    blocks: list[Annotated[int, BeforeValidator(whole), Field(ge=2, le=100)]] = Field(
        [2, 4], description="k: the mean of every block of k x k pixels is seen"
    )
    flips: list[Annotated[float, Field(ge=1e-3, lt=0.5)]] = Field(
        [0.1, 0.2, 0.3, 0.4],
        description="probabilities with which a binary pixel is flipped (Bernoulli likelihood)",
    )
    deviations: list[Positive] = Field(
        [0.1, 0.2, 0.4, 0.8], description="sd of Gaussian noise on pixels (Gaussian likelihood)"
    )
    chains: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100)] = Field(
        4, description="chains per image, each from a start of its own"
    )
    draws: Annotated[int, BeforeValidator(whole), Field(ge=8, le=10_000)] = Field(
        100, description="samples of z that each keeps"
    )
    warmup: Size = Field(100, description="transitions before them, and 30 more")
    leapfrog: Size = Field(8, description="leapfrog steps of a transition")
    temperatures: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100_000)] = Field(
        100, description="steps from p(z | seen) to p(z | x), for log p(not seen | seen)"
    )
    images: Size = Field(4, description="test images that the figure shows, for each kind of task")

    def tasks(self, likelihood: str) -> list[Task]:
        """All tasks of a model with this likelihood."""
        noise = self.flips if likelihood == "bernoulli" else self.deviations
        levels = {"pixels": self.pixels, "top": self.top, "grid": self.grid}
        levels |= {"blocks": self.blocks, "noise": noise}
        return [Task(kind, level) for kind, found in levels.items() for level in found]

    def shown(self, likelihood: str) -> list[Task]:
        """The tasks that the figure shows: of each kind one in the middle."""
        kinds: dict[str, list[Task]] = {}
        for task in self.tasks(likelihood):
            kinds.setdefault(task.kind, []).append(task)
        return [found[len(found) // 2] for found in kinds.values()]


class CompletionStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = "completion"
    order = 140
    listed = False
    section = Completion
    columns = {"completion": COMPLETION}
    work = {"completion": "completing images"}
    claims = "studies.completion.claims"

    def names(self, config):
        return config.completion.experiments

    def check(self, config):
        part = config.completion
        for name in part.experiments:
            experiment = config.experiments[name]
            known = DATASETS[experiment.dataset]
            if part.datapoints > known.n_test:
                raise ValueError(
                    f"completion.datapoints is more than the {known.n_test} of {name}'s test set"
                )
            if experiment.likelihood not in NOISES and part.deviations:
                raise ValueError(
                    f"completion knows no noise for the likelihood '{experiment.likelihood}' of "
                    f"'{name}'; give completion.deviations: []"
                )
            if part.grid and max(part.grid) > min(known.shape):
                raise ValueError(
                    f"completion.grid has {max(part.grid)}, more than the {min(known.shape)} "
                    f"pixels of a side of {name}'s images"
                )
            for k in part.blocks:
                if any(side % k for side in known.shape):
                    raise ValueError(
                        f"completion.blocks has {k}, which does not divide the sides of {name}'s "
                        f"images, {known.shape[0]} and {known.shape[1]} pixels"
                    )
            names = [task.name for task in part.tasks(experiment.likelihood)]
            if not names:
                raise ValueError("completion has no task; give a level of one")
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(
                    f"completion has two tasks that are both called {twice[0]}, as names have "
                    "three digits; leave one out"
                )
        if part.images > part.datapoints:
            raise ValueError("completion.images is more than completion.datapoints")

    def variants(self, config):
        samples = config.completion and config.completion.samples
        return {"completion": {"first": samples}} if samples else {}

    def at(self, config, experiment: str) -> list[Run]:
        """The models of an experiment, seed by seed."""
        part = config.completion
        name = f"{experiment}+completion" if part.samples else experiment
        return [Run(name, "aevb", part.latent_dim, seed) for seed in config.seeds]

    def runs(self, config):
        if config.completion is None:
            return []
        return [
            (run, config.completion.samples or config.goal(name, run.seed))
            for name in config.completion.experiments
            for run in self.at(config, name)
        ]

    def gradients(self, config, run: Run) -> int:
        """About how many gradients of log p(x, z) a table costs, of all pixels."""
        part, experiment = config.completion, config.experiment(run.experiment)
        known = DATASETS[experiment.dataset]
        cost = {"pixels": lambda v: v, "top": lambda v: v, "grid": lambda v: v**-2}
        tasks = part.tasks(experiment.likelihood)
        holes = [cost[task.kind](task.level) for task in tasks if task.kind in cost]
        # Through autograd; the ways to choose white pixels take longer.
        counted = experiment.likelihood == "bernoulli"
        other = {"noise": 2.0, "blocks": 4.0 if counted else 2.0}
        full = sum(holes) + sum(other[task.kind] for task in tasks if task.kind in other)
        transitions = part.chains * (part.draws + part.warmup) * full
        # log p(not seen | seen): with all pixels, and a pilot path beside those of the chains
        transitions += len(holes) * part.temperatures * (part.chains + 1)
        return round(min(part.datapoints, known.n_test) * transitions * part.leapfrog)

    def jobs(self, config):
        packs = pack(
            config,
            [run for run, _ in self.runs(config)],
            lambda run: gradient_seconds(config, run, self.gradients(config, run)),
        )
        return [self._job(config, part) for part in packs]

    def _job(self, config, part):
        experiment = config.experiment(part[0].experiment)
        settings = {
            "experiment": experiment.model_dump(),
            # Which models there are decides no table.
            "completion": config.completion.model_dump(
                exclude={"experiments", "latent_dim", "samples"}
            ),
            "evidence": config.evidence.model_dump(include=SAMPLING),
            "shown_seed": config.seeds[0],
            "where": config.device,
            "threads": config.threads,
        }
        place = "studies.completion.work:work"
        code = roots(f"aevb.{place}", "aevb.data:load", likelihood=experiment.likelihood)
        makes = "models with images completed"
        return tables_on(config, "completion", part, settings, place, code, makes)

    def effort(self, config, kind, run):
        return 0.0, self.gradients(config, run)

    def figures(self, config):
        place = "studies.completion.figures"
        return {
            "completion": Figure("Errors of completed and cleaned images", f"{place}:errors"),
            "completion_density": Figure("Density of what is not seen", f"{place}:density"),
            "completion_images": Figure("Images completed and cleaned", f"{place}:images"),
        }

    def numbers(self, config):
        return {"completion": "studies.completion.numbers:completion"}

    def part(self):
        return "studies.completion.findings:part"


STUDY = CompletionStudy()
