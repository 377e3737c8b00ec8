"""The configuration: one typed model, from which everything that is run follows.

A study and a learner bring sections of their own. Unknown keys are errors that name the nearest
valid key.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, create_model, model_validator

from ..core import plugins
from ..core.errors import UserError
from ..core.run import split
from ..core.sections import (
    Count,
    Location,
    Positive,
    ShortName,
    Size,
    Strict,
    Whole,
)
from ..core.words import nearest, short
from ..data import DATASETS
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS
from ..studies import STUDIES
from .messages import sentences
from .sections import Evaluation, Experiment, Extended, Training

Section = TypeVar("Section", bound=Strict)


class Config(Strict):
    """A whole study. `model` adds the sections of studies and learners."""

    name: ShortName = Field(description="of the study, and of its results folder")
    results: Location | None = Field(
        None,
        description="results folder; unless given, results/NAME-SAMPLES. If a file sets it, a call "
        "that changes the study must name another",
    )
    data: Location = Field("data", description="folder for downloads and prepared data sets")
    states: Location | None = Field(
        None,
        description="folder that keeps the state of finished models (6 MB for one of 500 hidden "
        "units): the same study with more samples, here or in another results folder, goes on from "
        "there to the same bits; without it, longer training starts anew",
    )
    mirror: Location | None = Field(
        None,
        description="folder or URL that holds the data files, instead of their public sources",
    )
    plugins: list[Location] = Field(
        [],
        description="Python files, or folders of them, that add data sets, likelihoods, learners, "
        "estimators, claims or studies (docs/extending.md)",
    )
    samples: Count = Field(description="budget: training samples of every curve, such as 1e6")
    seeds: list[Whole] = Field(
        min_length=1, description="such as [0, 1]: one replica of every curve per seed"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA if there is one")
    threads: Size = Field(
        1, description="torch threads of a training job; part of what decides the exact bits"
    )
    tf32: bool = Field(
        False,
        description="allow TF32 matrix products on CUDA (faster, about three decimal digits)",
    )
    bfloat16: bool = Field(
        False,
        description="allow the on-line learners' matrix products on a CPU that has AVX512_BF16 or "
        "AMX to round to bfloat16 (faster, two to three decimal digits): docs/speed.md",
    )
    job_seconds: Whole = Field(
        20,
        description="shorter runs share jobs of about this many seconds (roughly, on one CPU core)",
    )
    job_runs: Count | None = Field(
        None,
        description="most runs in a job. On a GPU an experiment is one job: this spreads it over "
        "several GPUs",
    )
    beside: list[Location] = Field(
        [],
        description="gathered.h5 of other studies (paths from the Snakefile's folder). Claims of "
        "the paper that this study cannot test are tested on them, its report has a chapter for "
        "each study that only they have, and if it has no Figure 3, theirs is compared with the "
        "paper",
    )
    reference: Location | None = Field(
        None,
        description="folder of the reference run that `snakemake check` makes anew in part (path "
        "from the Snakefile's folder)",
    )
    replace: bool = Field(
        False,
        description="replace finished results of other settings in the results folder, which are "
        "lost then; without it a study that would do so stops before it begins",
    )
    redraw: bool = Field(
        False,
        description="draw figures and report from the gathered results as they are; train nothing",
    )
    experiments: dict[ShortName, Experiment] = Field(
        min_length=1, description="name -> data set and model, see below"
    )
    training: Training = Training()
    step_sizes: dict[str, Annotated[list[Positive], Field(min_length=1)]] = Field(
        {},
        description="experiment, or experiment/learner -> the step sizes its pilots choose from, "
        "instead of training.step_sizes",
    )
    batch_sizes: dict[ShortName, Count] = Field(
        {}, description="experiment -> its minibatch size M, instead of training.batch_size"
    )
    evaluation: Evaluation = Evaluation()
    extended: Extended | None = None

    @model_validator(mode="after")
    def _consistent(self):
        self._check_names()
        for study in STUDIES.values():
            if study.active(self):
                study.check(self)
        self._check_extended()
        least: dict[tuple[str, str], int] = {}  # budget by experiment and learner
        for study in STUDIES.values():
            for run, samples in study.runs(self):
                key = run.experiment, run.algorithm
                least[key] = min(samples, least.get(key, samples))
        works = (study.active(self) for study in STUDIES.values() if study.columns)
        if not least and not any(works):
            raise ValueError("nothing is asked for; add a study, such as figure2")
        for name in {**self.experiments, **{name: None for name, _ in least}}:
            self._check_experiment(name)
        for (name, algorithm), samples in least.items():
            self._check_budget(name, algorithm, samples)
        return self

    def _check_names(self) -> None:
        """Every part names experiments that exist."""
        named = {study.key: study.names(self) for study in STUDIES.values() if study.active(self)}
        named["step_sizes"] = [name.partition("/")[0] for name in self.step_sizes]
        named["batch_sizes"] = list(self.batch_sizes)
        named["extended"] = self.extended.experiments or [] if self.extended else []
        for part, names in named.items():
            for name in names:
                if name not in self.experiments:
                    raise ValueError(
                        f"{part} names the experiment '{name}'{nearest(name, self.experiments)}"
                    )
        for name in self.step_sizes:
            _, one, learner = name.partition("/")
            if one and learner not in LEARNERS:
                raise ValueError(
                    f"step_sizes names the learner '{learner}'{nearest(learner, LEARNERS)}"
                )

    def _check_extended(self) -> None:
        """The seeds that are trained further are some of the study's."""
        if self.extended is None:
            return
        if self.extended.samples <= self.samples:
            raise ValueError(
                f"extended.samples must be more than samples, {short(self.samples)}; give more, or "
                "leave extended out"
            )
        if not set(self.extended.seeds) <= set(self.seeds):
            raise ValueError("extended.seeds must be among seeds")
        if self.samples < self.evaluation.first:
            raise ValueError(
                "with extended, samples must not be less than evaluation.first; give more, or "
                "leave extended out"
            )

    def _check_budget(self, name: str, algorithm: str, samples: int) -> None:
        """Budget and pilot of a learner go beyond the warm-up, in which nothing is trained."""
        training, learner = self.training_of(name, algorithm), LEARNERS[algorithm]
        options, n_train = self.options_of(algorithm, name), self.n_train(name)
        if learner.online and training.batch_size > min(samples, training.pilot_samples):
            raise ValueError(
                f"the batch size of {name}, {training.batch_size:,}, is larger than the sample "
                "budget or the pilot; give a smaller one (training.batch_size, batch_sizes)"
            )
        idle = learner.idle_samples(training, options, n_train)
        step = learner.samples_per_step(training, options, n_train)
        # A learner on whole batches counts its warm-up in whole passes: pipeline.cost says so.
        if learner.online and idle and samples <= idle:
            raise ValueError(
                f"the budget of {learner.label} on {name}, {samples:,} samples, ends within the "
                f"warm-up, whose first {idle:,} train nothing; give at least {idle + step:,}, or "
                "a shorter warm-up"
            )
        capped = changed(training, {"pilot_samples": min(training.pilot_samples, samples)})
        options = learner.pilot_options(training, options, n_train, samples)
        points = n_train if learner.pilot_points is None else min(n_train, learner.pilot_points)
        idle = learner.idle_samples(training, options, points)
        if len(training.step_sizes) > 1 and learner.pilot_samples(capped, options, points) <= idle:
            raise ValueError(
                f"the pilot of {learner.label} on {name} ends within the warm-up, so that its "
                f"{len(training.step_sizes)} step sizes would tie; give it more than {idle:,} "
                "samples per step size, a shorter warm-up, or one step size"
            )

    def _check_experiment(self, name: str) -> None:
        """The preparation of the data of one experiment or variant fits its values."""
        experiment, known = self.experiment(name), DATASETS[self.experiment(name).dataset]
        where = f"experiments.{name}"
        if experiment.scale not in known.scales:
            raise ValueError(
                f"{where}.scale must be {' or '.join(f'{scale:g}' for scale in known.scales)}: the "
                f"values of {known.key} run from 0 to {known.levels - 1}"
            )
        if experiment.n_train and experiment.n_train > known.n_train:
            raise ValueError(f"{where}.n_train is more than the {known.n_train} there are")
        likelihood = LIKELIHOODS[experiment.likelihood]
        if experiment.binarise and likelihood.continuous:
            raise ValueError(f"{where}.binarise does not fit a {likelihood.title} likelihood")
        if experiment.binarise and experiment.dequantise:
            raise ValueError(f"{where}.binarise does not fit dequantise; give one of the two")

    @property
    def folder(self) -> str:
        """Where the results go."""
        return self.results or f"results/{self.name}-{short(self.samples)}"

    @property
    def datasets(self) -> list[str]:
        """The keys of the study's data sets, each once."""
        return list(dict.fromkeys(part.dataset for part in self.experiments.values()))

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`, or as the variant BASE+VARIANT changes it.

        Raises KeyError if there is none.
        """
        return changed(self.experiments[split(name)[0]], self._changes(name))

    def training_of(self, name: str, algorithm: str = "") -> Training:
        """How the runs of the experiment or variant `name` are optimised.

        A learner may have step sizes of its own.
        """
        base = split(name)[0]
        own: dict[str, Any] = {}
        for key in (base, f"{base}/{algorithm}"):
            if key in self.step_sizes:
                own["step_sizes"] = self.step_sizes[key]
        if base in self.batch_sizes:
            own["batch_size"] = self.batch_sizes[base]
        return changed(self.training, own | self._changes(name))

    def evaluation_of(self, name: str) -> Evaluation:
        """When the runs of the experiment or variant `name` are evaluated."""
        return changed(self.evaluation, self._changes(name))

    def _changes(self, name: str) -> dict[str, Any]:
        """The settings that the variant `name` of an experiment changes."""
        variant = split(name)[1]
        for study in STUDIES.values() if variant else ():
            if variant in (variants := study.variants(self)):
                return variants[variant]
        if variant:
            raise KeyError(f"no study has the variant {name}")
        return {}

    def options_of(self, algorithm: str, name: str = "") -> Strict | None:
        """The options of a learner, for the experiment or variant `name`; None if it has none."""
        if LEARNERS[algorithm].Options is None:
            return None
        return changed(getattr(self, algorithm), self._changes(name).get(algorithm, {}))

    def n_train(self, name: str) -> int:
        """N_train: datapoints that the models of an experiment or variant are trained on."""
        experiment = self.experiment(name)
        return experiment.n_train or DATASETS[experiment.dataset].n_train

    def longest(self, experiment: str) -> int:
        """Training samples of the longest curve of an experiment of Figure 2."""
        goes_on = self.extended and experiment in (self.extended.experiments or self.experiments)
        return self.extended.samples if goes_on else self.samples

    def goal(self, experiment: str, seed: int) -> int:
        """Training samples of the curves of Figure 2 with this seed, and of the models drawn."""
        goes_on = self.extended is not None and seed in self.extended.seeds
        return self.longest(experiment) if goes_on else self.samples


def changed(section: Section, changes: dict[str, Any]) -> Section:
    """A section with those of `changes` that are its keys. Raises ValidationError."""
    changes = {key: value for key, value in changes.items() if key in type(section).model_fields}
    if not changes:
        return section
    return type(section).model_validate({**section.model_dump(), **changes})


def model() -> type[Config]:
    """The model of a whole configuration, with the sections of all studies and learners."""
    fields: dict[str, Any] = {}
    sections = {
        f"the learner '{key}'": {key: (learner.Options, learner.Options())}
        for key, learner in LEARNERS.items()
        if learner.Options is not None
    } | {f"the study '{key}'": study.fields() for key, study in STUDIES.items()}
    for whose, mine in sections.items():
        for name in mine:
            if name in fields or name in Config.model_fields:
                raise UserError(f"the configuration has another key '{name}'; rename {whose}")
        fields |= mine
    return create_model("Config", __base__=Config, __doc__="A whole study.", **fields)


def load(raw: dict) -> Config:
    """Validate a raw configuration, once the plug-ins that it names are loaded.

    Raises UserError: one sentence that names the key, what is wrong and the nearest valid name.
    """
    # `--config figure3=null` gives a text; null switches a key off, or gives it its default
    raw = {key: value for key, value in raw.items() if value is not None and value != "null"}
    named = raw.get("plugins") or []
    if isinstance(named, list) and all(isinstance(place, str) for place in named):
        plugins.load(named)
    mirror = raw.get("mirror") or os.environ.get("AEVB_MIRROR") or None
    try:
        with plugins.blamed():
            whole = model()
            return whole.model_validate({**raw, "mirror": mirror})
    except ValidationError as error:
        raise UserError(f"the configuration is wrong: {sentences(error, whole, raw)}") from None


def check_folder(config: Config, given) -> None:
    """Keep the results folder that a configuration file names for the study that it describes.

    config/reference.yaml names one. Raises UserError if the keys `given` for one call make another
    study of it.
    """
    if (
        config.results
        and "results" not in given
        and set(given) - {"data", "mirror", "redraw", "replace"}
    ):
        raise UserError(
            f"{config.folder} is for the study of this configuration file as it stands; to change "
            "it on the command line, name another folder too: results=results/NAME"
        )
