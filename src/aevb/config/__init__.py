"""The configuration: one typed model, from which everything that is run follows.

Unknown keys are errors that name the nearest valid key. Every reading of the paper that is open to
doubt is a field here; its default is the reading that the project runs unless told otherwise.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ..core.errors import UserError
from ..core.words import brief, nearest, short
from ..data import DATASETS

Algorithm = Literal[
    "aevb", "wake_sleep"
]  # of Figure 2; Monte Carlo EM has no bound and is in Figure 3 alone


def _whole(value):
    """Accept 1e6 and '1e6' (YAML 1.1 reads 1e6 as text) where a whole number is meant."""
    if isinstance(value, bool):
        raise ValueError("input should be a whole number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return value
    return int(number) if number.is_integer() else value


def _number(value):
    """True is no number, though Python says so."""
    if isinstance(value, bool):
        raise ValueError("input should be a number")
    return value


def _path(value: str) -> str:
    """Braces are wildcards to Snakemake, and a line break would not fit into its files."""
    if not value.isprintable() or set(value) & set("{}"):
        raise ValueError("a path must be printable and have no braces")
    return value


MOST_PROBLEMS = 3  # that one message names
MOST = (
    10**15
)  # of anything that is counted: whole numbers up to here are the same as int64 and as float64
Count = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=MOST)]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MOST)]
Size = Annotated[
    int, BeforeValidator(_whole), Field(gt=0, le=10_000)
]  # of what is held in memory, or done for each step
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
# Two of these make the name of a folder, which may have 255 bytes.
ShortName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=80)]
Reading = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
Location = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_path)]

PILOT_POINTS = 1000  # of the training set, on which the pilot of Monte Carlo EM runs
FIGURE3_SAMPLES = 60_000_000  # where the paper's axis ends
TRADEOFF = re.compile(r"l(\d+)-m(\d+)")  # the variant with L draws and minibatches of M


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _nothing_twice(self):
        """A list of choices names each once: jobs and files are named after them."""
        for name in type(self).model_fields:
            values = getattr(self, name)
            if isinstance(values, list) and len({str(value) for value in values}) < len(values):
                raise ValueError(
                    f"{name} lists {'a seed' if name == 'seeds' else 'an entry'} twice"
                )
        return self


class Training(Strict):
    """Optimisation (paper, section 5 and algorithm 1)."""

    batch_size: Count = Field(100, description="minibatch size M, drawn uniformly with replacement")
    draws: Count = Field(1, description="L, samples of z per datapoint and step")
    estimator: Literal["A", "B"] = Field(
        "B", description="bound estimator of AEVB: A (eq. 6) or B (eq. 7, analytic KL)"
    )
    initial_sd: Positive = Field(
        0.01,
        description="sd of the initial parameters; 0.1 is the paper's N(0, 0.01) read as a "
        "variance",
    )
    warmup_steps: Whole = Field(
        100,
        description="first steps that only accumulate squared gradients (the author's code); 0 for "
        "none",
    )
    epsilon: Positive = Field(1e-8, description="Adagrad's epsilon, inside the square root")
    prior: Literal["weights", "all", "none"] = Field(
        "weights",
        description="N(0, I) prior of the MAP estimate: on weight matrices only (the author's "
        "code), on biases too, or none",
    )
    step_sizes: list[Positive] = Field(
        [0.01, 0.02, 0.1], min_length=1, description="Adagrad step sizes the pilot chooses from"
    )
    pilot_samples: Count = Field(
        100_000, description="training samples of the pilot, for each step size"
    )


class Evaluation(Strict):
    """When and how precisely the bound is measured."""

    first: Count = Field(100_000, description="training samples at the first evaluation")
    points_per_decade: Size = Field(
        10, description="evaluations per factor of ten in training samples"
    )
    standard_error: Positive = Field(
        0.05, description="Monte Carlo standard error aimed at, nats per datapoint"
    )
    max_draws: Count = Field(
        100, description="most samples of z per datapoint spent on reaching it"
    )


class MonteCarloEM(Strict):
    """Monte Carlo EM (appendix E): one HMC transition of every datapoint's chain, then weight
    updates with that sample."""

    leapfrog: Size = Field(10, description="leapfrog steps of a transition")
    acceptance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="acceptance rate the step size is adapted towards"
    )
    step_size: Positive = Field(0.01, description="leapfrog step size at the start")
    updates: Count = Field(
        5, description="Adagrad updates after each transition, each on the whole training set"
    )
    warmup_updates: Whole = Field(
        10, description="first updates that only accumulate squared gradients; 0 for none"
    )
    pilot_iterations: Count = Field(
        80, description="iterations of the pilot, on at most the first 1,000 training points"
    )


class Evidence(Strict):
    """How log p(x) is estimated for Figure 3 (section 5, appendix D)."""

    datapoints: Count = Field(
        1000, description="first datapoints of the training and of the test set that are evaluated"
    )
    draws: Annotated[int, BeforeValidator(_whole), Field(ge=8)] = Field(
        50, description="HMC samples per datapoint (appendix D)"
    )
    leapfrog: Size = Field(4, description="leapfrog steps of a transition")
    acceptance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="acceptance rate the step size is tuned towards in warm-up"
    )
    warmup: Count = Field(50, description="transitions before the first sample is kept")
    importance_draws: Annotated[int, BeforeValidator(_whole), Field(ge=25)] = Field(
        100,
        description="importance samples per datapoint, from a proposal fitted to HMC samples and "
        "modes",
    )
    memory_mb: Count = Field(
        500, description="memory for temporary arrays of the estimators; less makes smaller chunks"
    )


class Experiment(Strict):
    """A data set with the model that is fitted to it."""

    dataset: Literal["mnist", "frey", "digits"]
    likelihood: Literal["bernoulli", "gaussian"]
    hidden: Size = Field(description="hidden units of encoder and of decoder")
    scale: Positive = Field(
        256.0,
        description="grey values are divided by this: 256 (the author's files) or 255; 16 for "
        "digits",
    )
    n_train: Count | None = Field(
        None, description="use the first so many training images; all unless given"
    )
    binarise: bool = Field(
        False, description="threshold the scaled values at 0.5; the paper did not"
    )
    dequantise: bool = Field(
        False,
        description="add fixed uniform noise of one grey level before scaling; the paper did not",
    )


class Curves(Strict):
    """One row of Figure 2: the panels of one experiment."""

    experiment: ShortName
    latent_dims: list[Size] = Field(min_length=1)
    algorithms: list[Algorithm] = Field(["aevb", "wake_sleep"], min_length=1)


class Figure3(Strict):
    """Figure 3: estimated log p(x), one panel an experiment, with these algorithms."""

    experiments: list[ShortName] = Field(
        min_length=1, description="one panel each; they are of Figure 3 alone"
    )
    latent_dim: Size = 3
    algorithms: list[Literal["aevb", "wake_sleep", "mcem"]] = Field(
        ["aevb", "wake_sleep", "mcem"], min_length=1
    )
    samples: Count | None = Field(
        None,
        description="budget of a curve; unless given, `samples`, but at most 6e7, the end of the "
        "paper's axis",
    )
    seeds: list[Whole] | None = Field(
        None, min_length=1, description="unless given, those of the study"
    )
    points: Size = Field(
        20,
        description="evaluations spread evenly over the budget; before the first of them they lie "
        "as in Figure 2",
    )


class EstimatorStudy(Strict):
    """The estimators of log p(x) graded against ground truth, on models of Figures 2, 4 and 5
    (AEVB, first seed)."""

    experiment: ShortName
    latent_dims: list[Size] = Field(min_length=1)
    datapoints: Count = Field(
        50, description="first test points, and as many that the model itself generates"
    )
    replicates: Annotated[int, BeforeValidator(_whole), Field(ge=2)] = Field(
        5, description="independent repetitions, which give bias and spread"
    )
    draws: list[Annotated[int, BeforeValidator(_whole), Field(ge=8)]] = Field(
        [10, 20, 50, 100, 200, 500], min_length=1, description="numbers of samples per datapoint"
    )


class Ablation(Strict):
    """Readings of the paper, one at a time against the study's own: all else stays, pilot apart,
    and random numbers too."""

    curves: list[Curves] = Field(
        min_length=1,
        description="what is trained again under every reading: rows as those of figure2",
    )
    readings: dict[Reading, dict[str, Any]] = Field(
        min_length=1,
        description="name -> what changes: keys of `training`, and of an experiment all but "
        "`dataset` and `likelihood`. Its runs are "
        "those of experiment BASE+NAME; the study's own reading, which is called default, is the "
        "base itself",
    )
    samples: Count = Field(
        1_000_000, description="budget of a curve, at most the study's `samples`"
    )
    seeds: list[Whole] | None = Field(
        None, min_length=1, description="some of the study's; unless given, the first"
    )


class Tradeoff(Strict):
    """AEVB with L draws and minibatches of M at equal cost, experiment BASE+lL-mM (the study's
    own L and M: BASE)."""

    experiment: ShortName
    latent_dim: Size
    draws: list[Count] = Field(
        [1, 2, 5, 10], min_length=1, description="L, samples of z per datapoint"
    )
    batch_sizes: list[Count] = Field([10, 20, 50, 100], min_length=1, description="M")
    samples: Count = Field(
        1_000_000,
        description="cost of a curve, at most the study's `samples`: L x datapoints, gradients of "
        "single draws. L draws see samples / L "
        "datapoints, to the next full minibatch, and are evaluated from evaluation.first / L on; "
        "the pilot is not divided",
    )
    seeds: list[Whole] | None = Field(
        None, min_length=1, description="some of the study's; unless given, the first"
    )


class VarianceStudy(Strict):
    """Variance of gradient and bound estimators at points of training (AEVB, first seed,
    minibatches of `training`, L = 1)."""

    experiment: ShortName
    latent_dims: list[Size] = Field(min_length=1)
    samples: list[Whole] = Field(
        [0, 20_000, 100_000, 1_000_000],
        min_length=1,
        description="training samples, rounded up to 20 steps, after which to measure; 0: the "
        "start. Those beyond `samples` are left out",
    )
    minibatches: Annotated[int, BeforeValidator(_whole), Field(ge=2)] = Field(
        20, description="minibatches at each point of training"
    )
    replicates: Annotated[int, BeforeValidator(_whole), Field(ge=2)] = Field(
        20, description="draws of the noise for each minibatch"
    )


class Extended(Strict):
    """Seeds that go on: their curves of Figure 2, and the models of Figures 4 and 5 if these are
    theirs, to a larger budget."""

    samples: Count = Field(description="more than those of the study")
    seeds: list[Whole] = Field(min_length=1, description="some of the study's")
    experiments: list[ShortName] | None = Field(
        None, min_length=1, description="those that go on; nothing: all of the figures"
    )


class Manifold(Strict):
    """One panel of Figure 4 (AEVB, two latent dimensions)."""

    experiment: ShortName
    grid: Size


class PriorSamples(Strict):
    """Figure 5: random samples of AEVB models."""

    experiment: ShortName
    latent_dims: list[Size] = Field(min_length=1)
    grid: Size = 10


class Run(NamedTuple):
    """One trained model: its random numbers depend on these four fields and nothing else (of a
    variant, on its base)."""

    experiment: str  # or a variant of one, BASE+VARIANT
    algorithm: str
    latent_dim: int
    seed: int

    @property
    def curve(self) -> str:
        return f"{self.experiment}/{self.algorithm}-nz{self.latent_dim}"

    @property
    def name(self) -> str:
        return f"{self.curve}-seed{self.seed}"


class Config(Strict):
    """A whole study."""

    name: ShortName
    results: Location | None = Field(
        None,
        description="results folder; unless given, results/NAME-SAMPLES. A file that sets it takes "
        "no overrides of its study",
    )
    data: Location = Field("data", description="folder for downloads and prepared data sets")
    mirror: Location | None = Field(
        None, description="folder or URL that holds the data files, instead of their public sources"
    )
    samples: Count = Field(description="budget: training samples of every curve")
    seeds: list[Whole] = Field(
        min_length=1, description="one replica of every curve of Figure 2 for each"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Size = Field(
        1, description="torch threads of a training job; part of what decides the exact bits"
    )
    tf32: bool = Field(
        False, description="allow TF32 matrix products on CUDA (faster, about three decimal digits)"
    )
    job_seconds: Whole = Field(
        20,
        description="runs shorter than this on one CPU core (roughly) share jobs of about this "
        "length",
    )
    job_runs: Count | None = Field(
        None,
        description="at most so many runs share a job; spreads an experiment, which is one job on "
        "a GPU, over several GPUs",
    )
    beside: list[Location] = Field(
        [],
        description="gathered.h5 of other studies (paths from the Snakefile's folder), in which "
        "the claims of the paper are tested that "
        "this one cannot test, and whose Figure 3 and ablation are measured against the paper if "
        "it has none",
    )
    reference: Location | None = Field(
        None,
        description="folder of the reference run that `snakemake check` makes anew in part, from "
        "the Snakefile's",
    )
    redraw: bool = Field(
        False,
        description="draw figures and report from the gathered results as they are; train nothing",
    )
    experiments: dict[ShortName, Experiment] = Field(min_length=1)
    training: Training = Training()
    step_sizes: dict[ShortName, Annotated[list[Positive], Field(min_length=1)]] = Field(
        {},
        description="experiment -> the step sizes its pilots choose from, instead of "
        "training.step_sizes",
    )
    evaluation: Evaluation = Evaluation()
    mcem: MonteCarloEM = MonteCarloEM()
    evidence: Evidence = Evidence()
    figure2: list[Curves] = Field(min_length=1)
    figure4: list[Manifold] = Field(min_length=1)
    figure5: list[PriorSamples] = Field(min_length=1)
    figure3: Figure3 | None = None
    estimators: EstimatorStudy | None = None
    ablation: Ablation | None = None
    tradeoff: Tradeoff | None = None
    variance: VarianceStudy | None = None
    extended: Extended | None = None

    @model_validator(mode="after")
    def _consistent(self):
        self._check_names()
        self._check_readings()
        if self.extended and self.extended.samples <= self.samples:
            raise ValueError(
                f"extended.samples must be more than samples, {short(self.samples)}; give more, or "
                "leave extended out"
            )
        for name in ("extended", "ablation", "tradeoff"):
            part = getattr(self, name)
            if part and not set(part.seeds or []) <= set(self.seeds):
                raise ValueError(f"{name}.seeds must be among seeds")
        if self.extended and self.samples < self.evaluation.first:
            raise ValueError(
                "with extended, samples must not be less than evaluation.first; give more, or "
                "leave extended out"
            )
        budgets = self.budgets()
        smallest: dict[str, int] = {}
        for run, samples in budgets.items():
            smallest[run.experiment] = min(samples, smallest.get(run.experiment, samples))
        for name, samples in smallest.items():
            training, what = self.training_of(name), f" of {name}" if "+" in name else ""
            if training.batch_size > min(samples, training.pilot_samples):
                raise ValueError(
                    f"training.batch_size{what} is larger than the sample budget or the pilot"
                )
        for name in {**self.experiments, **smallest}:
            self._check_experiment(name)
        self._check_studies(budgets)
        return self

    def _check_names(self) -> None:
        """Every part names experiments that exist, and Figure 3 some of its own."""
        parts = {name: getattr(self, name) or [] for name in ("figure2", "figure4", "figure5")}
        parts |= {
            name: [part]
            for name in ("estimators", "tradeoff", "variance")
            if (part := getattr(self, name))
        }
        parts["ablation"] = self.ablation.curves if self.ablation else []
        named = {
            name: [entry.experiment for entry in entries] for name, entries in parts.items()
        } | {"step_sizes": list(self.step_sizes)}
        named["extended"] = self.extended.experiments or [] if self.extended else []
        mine = self.figure3.experiments if self.figure3 else []
        for part, names in {**named, "figure3": mine}.items():
            for name in names:
                if name not in self.experiments:
                    raise ValueError(
                        f"{part} names the experiment '{name}'{nearest(name, self.experiments)}"
                    )
        others = {
            name
            for part, names in named.items()
            if part not in ("estimators", "step_sizes")
            for name in names
        }
        for name in mine:
            if name in others:
                raise ValueError(
                    f"figure3 shares the experiment '{name}' with another figure or study; its "
                    "budget differs, so give it one of its own"
                )

    def _check_readings(self) -> None:
        """Every reading of the ablation has valid keys and values, and changes something."""
        valid = [
            *Training.model_fields,
            *(name for name in Experiment.model_fields if name not in ("dataset", "likelihood")),
        ]
        for reading, changes in self.ablation.readings.items() if self.ablation else ():
            where = f"ablation.readings.{reading}"
            if reading == "default" or TRADEOFF.fullmatch(reading):
                raise ValueError(f"{where} has a name that is taken; give it another")
            for key in changes:
                if key not in valid:
                    raise ValueError(f"unknown key '{where}.{key}'{nearest(key, valid)}")
            bases = {row.experiment for row in self.ablation.curves}
            try:
                same = all(
                    (self.experiment(f"{base}+{reading}"), self.training_of(f"{base}+{reading}"))
                    == (self.experiments[base], self.training_of(base))
                    for base in bases
                )
            except ValidationError as error:
                raise ValueError(_sentences(error, where)) from None
            if same:
                raise ValueError(f"{where} changes nothing: its values are the study's own")

    def _check_experiment(self, name: str) -> None:
        """The preparation of the data of one experiment or variant fits its values."""
        experiment, known = self.experiment(name), DATASETS[self.experiment(name).dataset]
        where = f"experiments.{name}"
        if experiment.dataset == "digits" and experiment.scale != 16:
            raise ValueError(f"{where}.scale must be 16: the values of digits run from 0 to 16")
        if experiment.dataset != "digits" and experiment.scale not in (255, 256):
            raise ValueError(f"{where}.scale must be 255 or 256: the values are bytes")
        if experiment.n_train and experiment.n_train > known.n_train:
            raise ValueError(f"{where}.n_train is more than the {known.n_train} there are")
        if experiment.binarise and (experiment.likelihood == "gaussian" or experiment.dequantise):
            raise ValueError(f"{where}.binarise fits neither a Gaussian likelihood nor dequantise")

    def _check_studies(self, budgets: dict[Run, int]) -> None:
        """What measures on models has these models and enough datapoints."""
        trained = {
            (row.experiment, d) for row in (*self.figure2, *self.figure5) for d in row.latent_dims
        } | {(panel.experiment, 2) for panel in self.figure4}
        for latent_dim in self.estimators.latent_dims if self.estimators else ():
            if (self.estimators.experiment, latent_dim) not in trained:
                raise ValueError(
                    f"estimators names N_z = {latent_dim} of '{self.estimators.experiment}', which "
                    "no other figure trains"
                )
        for name in self.figure3.experiments if self.figure3 else ():
            known = DATASETS[self.experiments[name].dataset]
            if self.evidence.datapoints > min(
                self.experiments[name].n_train or known.n_train, known.n_test
            ):
                raise ValueError(
                    f"evidence.datapoints is more than the training or the test set of {name} has"
                )
        if (
            self.estimators
            and self.estimators.datapoints
            > DATASETS[self.experiments[self.estimators.experiment].dataset].n_test
        ):
            raise ValueError("estimators.datapoints is more than the test set has")
        for run in self.variance_models():
            if run not in budgets:
                raise ValueError(
                    f"variance names N_z = {run.latent_dim} of '{run.experiment}', of which no "
                    "other part trains AEVB with seed "
                    f"{run.seed}, whose pilot gives the step size"
                )
        if self.variance and not self.variance_samples:
            raise ValueError("variance.samples are all beyond samples")
        if self.variance and self.training.batch_size < 2:
            raise ValueError(
                "variance needs a training.batch_size of at least 2: a baseline is the mean over "
                "the other datapoints"
            )

    @property
    def folder(self) -> str:
        return self.results or f"results/{self.name}-{short(self.samples)}"

    @property
    def figures(self) -> list[str]:
        """Names of the figures of this study."""
        papers = any(experiment.dataset != "digits" for experiment in self.experiments.values())
        wanted = {
            "figure2": True,
            "distance": papers,
            "figure3": self.figure3,
            "figure4": True,
            "figure5": True,
        }
        wanted["estimators"] = self.estimators
        return [name for name, part in wanted.items() if part]

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`, or as the variant BASE+VARIANT changes it. Raises
        KeyError if there is none."""
        base, changes = self._variant(name)
        return _with(self.experiments[base], changes)

    def training_of(self, name: str) -> Training:
        """How the runs of the experiment or variant `name` are optimised."""
        base, changes = self._variant(name)
        own = {"step_sizes": self.step_sizes[base]} if base in self.step_sizes else {}
        return _with(self.training, own | changes)

    def evaluation_of(self, name: str) -> Evaluation:
        """When they are evaluated: under L draws at the same costs as under one."""
        if not TRADEOFF.fullmatch(name.partition("+")[2]):
            return self.evaluation
        draws = self.training_of(name).draws
        return _with(
            self.evaluation, {"first": -(-self.evaluation.first * self.training.draws // draws)}
        )

    def _variant(self, name: str) -> tuple[str, dict[str, Any]]:
        """The base of an experiment or variant, and the settings that the variant changes."""
        base, _, variant = name.partition("+")
        if not variant:
            return base, {}
        if sizes := TRADEOFF.fullmatch(variant):
            return base, {"draws": int(sizes[1]), "batch_size": int(sizes[2])}
        return base, self.ablation.readings[variant]

    def runs(self) -> list[Run]:
        """Every run of the study, without repetition, in the order of its parts."""
        return list(self.budgets())

    def budgets(self) -> dict[Run, int]:
        """Every run and its training samples, the most that a part of the study asks of it."""
        going_on = self.extended.seeds if self.extended else []
        asked = [
            (run, self.longest(run.experiment) if run.seed in going_on else self.samples)
            for run in self.figure_runs()
        ]
        if self.figure3:
            samples = self.figure3.samples or min(self.samples, FIGURE3_SAMPLES)
            asked += [(run, samples) for run in self.figure3_runs()]
        if self.ablation:
            asked += [
                (run, min(self.ablation.samples, self.samples)) for run in self.ablation_runs()
            ]
        if self.tradeoff:
            cost = min(self.tradeoff.samples, self.samples)
            asked += [
                (run, -(-cost // self.training_of(run.experiment).draws))
                for run in self.tradeoff_runs()
            ]
        budgets: dict[Run, int] = {}
        for run, samples in asked:
            budgets[run] = max(samples, budgets.get(run, 0))
        return budgets

    def longest(self, experiment: str) -> int:
        """Training samples of the longest curve of an experiment of Figure 2."""
        goes_on = self.extended and experiment in (self.extended.experiments or self.experiments)
        return self.extended.samples if goes_on else self.samples

    def budget(self, run: Run) -> int:
        """Training samples of `run`, one of the study's."""
        return self.budgets()[run]

    def figure_runs(self) -> list[Run]:
        """The runs of Figures 2, 4 and 5 and of the estimator study, figure by figure; some may
        come twice."""
        rows = [
            Run(row.experiment, algorithm, latent_dim, seed)
            for row in self.figure2
            for latent_dim in row.latent_dims
            for algorithm in row.algorithms
            for seed in self.seeds
        ]
        return rows + self.figure_models() + self.estimator_models()

    def ablation_runs(self) -> list[Run]:
        """The runs that the ablation compares: under the study's own reading, then reading by
        reading."""
        if self.ablation is None:
            return []
        return [
            Run(row.experiment + suffix, algorithm, latent_dim, seed)
            for suffix in ("", *(f"+{reading}" for reading in self.ablation.readings))
            for row in self.ablation.curves
            for latent_dim in row.latent_dims
            for algorithm in row.algorithms
            for seed in self.ablation.seeds or self.seeds[:1]
        ]

    def tradeoff_name(self, draws: int, batch_size: int) -> str:
        """The experiment of the trade-off's curve with so many draws and datapoints a minibatch."""
        own = (draws, batch_size) == (self.training.draws, self.training.batch_size)
        return self.tradeoff.experiment + ("" if own else f"+l{draws}-m{batch_size}")

    def tradeoff_runs(self) -> list[Run]:
        """The runs of the trade-off between draws and minibatch size."""
        if self.tradeoff is None:
            return []
        return [
            Run(self.tradeoff_name(draws, batch_size), "aevb", self.tradeoff.latent_dim, seed)
            for draws in self.tradeoff.draws
            for batch_size in self.tradeoff.batch_sizes
            for seed in self.tradeoff.seeds or self.seeds[:1]
        ]

    def variance_models(self) -> list[Run]:
        """The models on which variances are measured: AEVB, first seed."""
        if self.variance is None:
            return []
        return [
            Run(self.variance.experiment, "aevb", latent_dim, self.seeds[0])
            for latent_dim in self.variance.latent_dims
        ]

    @property
    def variance_samples(self) -> list[int]:
        """Training samples after which variances are measured."""
        return sorted({samples for samples in self.variance.samples if samples <= self.samples})

    def figure3_runs(self) -> list[Run]:
        """The runs of Figure 3, panel by panel."""
        if self.figure3 is None:
            return []
        return [
            Run(experiment, algorithm, self.figure3.latent_dim, seed)
            for experiment in self.figure3.experiments
            for algorithm in self.figure3.algorithms
            for seed in self.figure3.seeds or self.seeds
        ]

    def estimator_models(self) -> list[Run]:
        """The models of the estimator study: AEVB, first seed."""
        if self.estimators is None:
            return []
        return [
            Run(self.estimators.experiment, "aevb", latent_dim, self.seeds[0])
            for latent_dim in self.estimators.latent_dims
        ]

    def figure_models(self) -> list[Run]:
        """The models that Figures 4 and 5 draw: AEVB, first seed."""
        return list(dict.fromkeys([*self.figure4_models(), *self.figure5_models()]))

    def figure5_models(self) -> list[Run]:
        """The models that Figure 5 draws."""
        wanted = [
            (panel.experiment, latent_dim)
            for panel in self.figure5
            for latent_dim in panel.latent_dims
        ]
        return [
            Run(experiment, "aevb", latent_dim, self.seeds[0]) for experiment, latent_dim in wanted
        ]

    def figure4_models(self) -> list[Run]:
        """The models that Figure 4 draws, with two latent dimensions."""
        return [
            Run(experiment, "aevb", 2, self.seeds[0])
            for experiment in dict.fromkeys(panel.experiment for panel in self.figure4)
        ]


def _with(section: Strict, changes: dict[str, Any]) -> Strict:
    """A section of the configuration with those of `changes` that are its keys. Raises
    ValidationError."""
    changes = {key: value for key, value in changes.items() if key in type(section).model_fields}
    return type(section).model_validate({**section.model_dump(), **changes}) if changes else section


def _fields_at(path) -> list[str]:
    """The valid keys beside the unknown key that pydantic reports at `path`."""
    model = Config
    for step in path[:-1]:
        if isinstance(step, int) or (model is None):
            continue
        field = model.model_fields.get(step)
        if field is None:  # a key of a dictionary of models (experiments)
            continue
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)), model)
    return list(model.model_fields)


def _given(raw, path) -> set[str]:
    """The keys at the place of the one at `path`, itself among them."""
    for step in path[:-1]:
        raw = raw[step]
    return set(raw)


def _sentences(error: ValidationError, prefix: str = "", raw: dict | None = None) -> str:
    """What pydantic found in `raw`, in words: each key (under `prefix`), what is wrong with it
    and the nearest valid name."""
    problems = []
    for item in error.errors():
        where = brief(".".join(filter(None, [prefix, *map(str, item["loc"])])), 150)
        found = brief(repr(item["input"]))
        if item["type"] == "extra_forbidden":
            close = nearest(
                item["loc"][-1], _fields_at(item["loc"]), _given(raw, item["loc"]) if raw else ()
            )
            problems.append(f"unknown key '{where}'{close}")
        elif item["type"] == "value_error":
            problems.append(
                f"'{where}' is {found}: {item['ctx']['error']}"
                if where
                else str(item["ctx"]["error"])
            )
        elif item["type"] == "missing":
            problems.append(f"'{where}' is missing")
        else:
            problems.append(f"'{where}' is {found}: {item['msg'][0].lower()}{item['msg'][1:]}")
    more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
    return "; ".join([*problems[:MOST_PROBLEMS], *more])


def load(raw: dict) -> Config:
    """Validate a raw configuration.

    Raises UserError: one sentence that names the key, what is wrong with it and the nearest valid
    name.
    """
    try:
        return Config.model_validate(
            {**raw, "mirror": raw.get("mirror") or os.environ.get("AEVB_MIRROR") or None}
        )
    except ValidationError as error:
        raise UserError(f"the configuration is wrong: {_sentences(error, raw=raw)}") from None


def check_folder(config: Config, changed) -> None:
    """A file that names its results folder, as config/reference.yaml does, keeps that folder for
    the study it describes: UserError if the keys `changed` for one call make another study of
    it."""
    if config.results and "results" not in changed and set(changed) - {"data", "mirror", "redraw"}:
        raise UserError(
            f"{config.folder} is for the study of this configuration file as it stands; to change "
            "it on the command line, name another "
            "folder too: results=results/NAME"
        )
