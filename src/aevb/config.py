"""The configuration: one typed model, from which everything that is run follows.

Unknown keys are errors that name the nearest valid key. Every reading of the paper that is open to doubt is a
field here; its default is the reading that the project runs unless told otherwise.
"""

from __future__ import annotations

import difflib
import os
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .data import DATASETS
from .errors import UserError

Algorithm = Literal["aevb", "wake_sleep"]  # of Figure 2; Monte Carlo EM has no bound and is in Figure 3 alone


def _whole(value):
    """Accept 1e6 and '1e6' (YAML 1.1 reads 1e6 as text) where a whole number is meant."""
    if isinstance(value, bool):
        raise ValueError("input should be a whole number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return int(number) if number.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole), Field(gt=0)]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ShortName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


FIGURE3_SAMPLES = 60_000_000  # where the paper's axis ends


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(Strict):
    """Optimisation (paper, section 5 and algorithm 1)."""

    batch_size: Count = Field(100, description="minibatch size M, drawn uniformly with replacement")
    draws: Count = Field(1, description="L, samples of z per datapoint and step")
    estimator: Literal["A", "B"] = Field("B", description="bound estimator of AEVB: A (eq. 6) or B (eq. 7, analytic KL)")
    initial_sd: Positive = Field(0.01, description="sd of the initial parameters; 0.1 is the paper's N(0, 0.01) read as a variance")
    warmup_steps: Whole = Field(100, description="first steps that only accumulate squared gradients (the author's code); 0 for none")
    epsilon: Positive = Field(1e-8, description="Adagrad's epsilon, inside the square root")
    prior: Literal["weights", "all", "none"] = Field(
        "weights", description="N(0, I) prior of the MAP estimate: on weight matrices only (the author's code), on biases too, or none"
    )
    step_sizes: list[Positive] = Field([0.01, 0.02, 0.1], min_length=1, description="Adagrad step sizes the pilot chooses from")
    pilot_samples: Count = Field(100_000, description="training samples of the pilot, for each step size")


class Evaluation(Strict):
    """When and how precisely the bound is measured."""

    first: Count = Field(100_000, description="training samples at the first evaluation")
    points_per_decade: Count = Field(10, description="evaluations per factor of ten in training samples")
    standard_error: Positive = Field(0.05, description="Monte Carlo standard error aimed at, nats per datapoint")
    max_draws: Count = Field(100, description="most samples of z per datapoint spent on reaching it")


class MonteCarloEM(Strict):
    """Monte Carlo EM (appendix E): one HMC transition of every datapoint's chain, then weight updates with that sample."""

    leapfrog: Count = Field(10, description="leapfrog steps of a transition")
    acceptance: Annotated[float, Field(gt=0, lt=1)] = Field(0.9, description="acceptance rate the step size is adapted towards")
    step_size: Positive = Field(0.01, description="leapfrog step size at the start")
    updates: Count = Field(5, description="Adagrad updates after each transition, each on the whole training set")
    warmup_updates: Whole = Field(10, description="first updates that only accumulate squared gradients; 0 for none")
    pilot_iterations: Count = Field(80, description="iterations of the pilot, on at most the first 1,000 training points")


class Evidence(Strict):
    """How log p(x) is estimated for Figure 3 (section 5, appendix D)."""

    datapoints: Count = Field(1000, description="first datapoints of the training and of the test set that are evaluated")
    draws: Annotated[int, BeforeValidator(_whole), Field(ge=8)] = Field(50, description="HMC samples per datapoint (appendix D)")
    leapfrog: Count = Field(4, description="leapfrog steps of a transition")
    acceptance: Annotated[float, Field(gt=0, lt=1)] = Field(0.9, description="acceptance rate the step size is tuned towards in warm-up")
    warmup: Count = Field(50, description="transitions before the first sample is kept")
    importance_draws: Annotated[int, BeforeValidator(_whole), Field(ge=25)] = Field(
        100, description="importance samples per datapoint, from a proposal fitted to HMC samples and modes"
    )
    memory_mb: Count = Field(500, description="memory for temporary arrays of the estimators; less makes smaller chunks")


class Experiment(Strict):
    """A data set with the model that is fitted to it."""

    dataset: Literal["mnist", "frey", "digits"]
    likelihood: Literal["bernoulli", "gaussian"]
    hidden: Count = Field(description="hidden units of encoder and of decoder")
    scale: Positive = Field(256.0, description="grey values are divided by this: 256 (the author's files) or 255; 16 for digits")
    n_train: Count | None = Field(None, description="use the first so many training images; all unless given")
    binarise: bool = Field(False, description="threshold the scaled values at 0.5; the paper did not")
    dequantise: bool = Field(False, description="add fixed uniform noise of one grey level before scaling; the paper did not")


class Curves(Strict):
    """One row of Figure 2: the panels of one experiment."""

    experiment: ShortName
    latent_dims: list[Count] = Field(min_length=1)
    algorithms: list[Algorithm] = Field(["aevb", "wake_sleep"], min_length=1)


class Figure3(Strict):
    """Figure 3: estimated log p(x), one panel an experiment, with these algorithms."""

    experiments: list[ShortName] = Field(min_length=1, description="one panel each; they are of Figure 3 alone")
    latent_dim: Count = 3
    algorithms: list[Literal["aevb", "wake_sleep", "mcem"]] = Field(["aevb", "wake_sleep", "mcem"], min_length=1)
    samples: Count | None = Field(
        None, description="budget of a curve; unless given, `samples`, but at most 6e7, the end of the paper's axis"
    )
    seeds: list[Whole] | None = Field(None, min_length=1, description="unless given, those of the study")
    points: Count = Field(20, description="evaluations spread evenly over the budget; before the first of them they lie as in Figure 2")


class EstimatorStudy(Strict):
    """The estimators of log p(x) graded against ground truth, on models of Figures 2, 4 and 5 (AEVB, first seed)."""

    experiment: ShortName
    latent_dims: list[Count] = Field(min_length=1)
    datapoints: Count = Field(50, description="first test points, and as many that the model itself generates")
    replicates: Annotated[int, BeforeValidator(_whole), Field(ge=2)] = Field(
        5, description="independent repetitions, which give bias and spread"
    )
    draws: list[Annotated[int, BeforeValidator(_whole), Field(ge=8)]] = Field(
        [10, 20, 50, 100, 200, 500], min_length=1, description="numbers of samples per datapoint"
    )


class Manifold(Strict):
    """One panel of Figure 4 (AEVB, two latent dimensions)."""

    experiment: ShortName
    grid: Count


class PriorSamples(Strict):
    """Figure 5: random samples of AEVB models."""

    experiment: ShortName
    latent_dims: list[Count] = Field(min_length=1)
    grid: Count = 10


class Run(NamedTuple):
    """One trained model: its random numbers depend on these four fields and nothing else."""

    experiment: str
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
    results: str | None = Field(
        None, description="results folder; unless given, results/NAME-SAMPLES. A file that sets it takes no overrides of its study"
    )
    data: str = Field("data", description="folder for downloads and prepared data sets")
    mirror: str | None = Field(None, description="folder or URL that holds the data files, instead of their public sources")
    samples: Count = Field(description="budget: training samples of every curve")
    seeds: list[Whole] = Field(min_length=1, description="one replica of every curve of Figure 2 for each")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = Field(1, description="torch threads of a training job; part of what decides the exact bits")
    tf32: bool = Field(False, description="allow TF32 matrix products on CUDA (faster, about three decimal digits)")
    job_seconds: Whole = Field(20, description="runs shorter than this on one CPU core (roughly) share jobs of about this length")
    redraw: bool = Field(False, description="draw figures and report from the gathered results as they are; train nothing")
    experiments: dict[ShortName, Experiment] = Field(min_length=1)
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    mcem: MonteCarloEM = MonteCarloEM()
    evidence: Evidence = Evidence()
    figure2: list[Curves] = Field(min_length=1)
    figure4: list[Manifold] = Field(min_length=1)
    figure5: list[PriorSamples] = Field(min_length=1)
    figure3: Figure3 | None = None
    estimators: EstimatorStudy | None = None

    @model_validator(mode="after")
    def _consistent(self):
        for part in ("figure2", "figure4", "figure5"):
            for entry in getattr(self, part):
                if entry.experiment not in self.experiments:
                    raise ValueError(f"{part} names the experiment '{entry.experiment}'{_nearest(entry.experiment, self.experiments)}")
        named = [("figure3", name) for name in self.figure3.experiments] if self.figure3 else []
        named += [("estimators", self.estimators.experiment)] if self.estimators else []
        for part, name in named:
            if name not in self.experiments:
                raise ValueError(f"{part} names the experiment '{name}'{_nearest(name, self.experiments)}")
        others = {entry.experiment for part in ("figure2", "figure4", "figure5") for entry in getattr(self, part)}
        for name in self.figure3.experiments if self.figure3 else ():
            if name in others:
                raise ValueError(
                    f"figure3 shares the experiment '{name}' with another figure; its budget differs, so give it one of its own"
                )
        trained = {(row.experiment, d) for row in (*self.figure2, *self.figure5) for d in row.latent_dims} | {
            (panel.experiment, 2) for panel in self.figure4
        }
        for latent_dim in self.estimators.latent_dims if self.estimators else ():
            if (self.estimators.experiment, latent_dim) not in trained:
                raise ValueError(f"estimators names N_z = {latent_dim} of '{self.estimators.experiment}', which no other figure trains")
        for name in self.figure3.experiments if self.figure3 else ():
            known = DATASETS[self.experiments[name].dataset]
            if self.evidence.datapoints > min(self.experiments[name].n_train or known.n_train, known.n_test):
                raise ValueError(f"evidence.datapoints is more than the training or the test set of {name} has")
        if self.estimators and self.estimators.datapoints > DATASETS[self.experiments[self.estimators.experiment].dataset].n_test:
            raise ValueError("estimators.datapoints is more than the test set has")
        if self.figure3 and len(set(self.figure3.experiments)) < len(self.figure3.experiments):
            raise ValueError("figure3.experiments lists an experiment twice")
        for seeds in (self.seeds, (self.figure3 and self.figure3.seeds) or []):
            if len(set(seeds)) < len(seeds):
                raise ValueError("seeds lists a seed twice")
        if self.training.batch_size > min(self.samples, self.training.pilot_samples):
            raise ValueError("training.batch_size is larger than the sample budget or the pilot")
        for name, experiment in self.experiments.items():
            if experiment.dataset == "digits" and experiment.scale != 16:
                raise ValueError(f"experiments.{name}.scale must be 16: the values of digits run from 0 to 16")
            if experiment.dataset != "digits" and experiment.scale not in (255, 256):
                raise ValueError(f"experiments.{name}.scale must be 255 or 256: the values are bytes")
            if experiment.n_train and experiment.n_train > DATASETS[experiment.dataset].n_train:
                raise ValueError(f"experiments.{name}.n_train is more than the {DATASETS[experiment.dataset].n_train} there are")
            if experiment.binarise and (experiment.likelihood == "gaussian" or experiment.dequantise):
                raise ValueError(f"experiments.{name}.binarise fits neither a Gaussian likelihood nor dequantise")
        return self

    @property
    def folder(self) -> str:
        return self.results or f"results/{self.name}-{short(self.samples)}"

    @property
    def figures(self) -> list[str]:
        """Names of the figures of this study."""
        wanted = {"figure2": True, "figure3": self.figure3, "figure4": True, "figure5": True, "estimators": self.estimators}
        return [name for name, part in wanted.items() if part]

    def runs(self) -> list[Run]:
        """Every run the figures need, without repetition, in the order of the figures."""
        runs: dict[Run, None] = {}
        for panel in self.figure2:
            for latent_dim in panel.latent_dims:
                for algorithm in panel.algorithms:
                    for seed in self.seeds:
                        runs[Run(panel.experiment, algorithm, latent_dim, seed)] = None
        for run in (*self.figure_models(), *self.estimator_models(), *self.figure3_runs()):
            runs[run] = None
        return list(runs)

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
        return [Run(self.estimators.experiment, "aevb", latent_dim, self.seeds[0]) for latent_dim in self.estimators.latent_dims]

    def budget(self, experiment: str) -> int:
        """Training samples of every curve of `experiment`."""
        if self.figure3 is None or experiment not in self.figure3.experiments:
            return self.samples
        return self.figure3.samples or min(self.samples, FIGURE3_SAMPLES)

    def figure_models(self) -> list[Run]:
        """The models that Figures 4 and 5 draw: AEVB, first seed."""
        wanted = [(panel.experiment, latent_dim) for panel in self.figure5 for latent_dim in panel.latent_dims]
        others = [Run(experiment, "aevb", latent_dim, self.seeds[0]) for experiment, latent_dim in wanted]
        return list(dict.fromkeys([*self.figure4_models(), *others]))

    def figure4_models(self) -> list[Run]:
        """The models that Figure 4 draws, with two latent dimensions."""
        return [Run(experiment, "aevb", 2, self.seeds[0]) for experiment in dict.fromkeys(panel.experiment for panel in self.figure4)]


def short(samples: int) -> str:
    """1000000 -> '1e6', 1500000 -> '1.5e6', 250 -> '2.5e2'."""
    mantissa, exponent = f"{samples:.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _nearest(word: str, valid) -> str:
    close = difflib.get_close_matches(str(word), list(valid), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; valid are {', '.join(map(str, valid))}"


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


def load(raw: dict) -> Config:
    """Validate a raw configuration.

    Raises UserError: one sentence that names the key, what is wrong with it and the nearest valid name.
    """
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        problems = []
        for item in error.errors():
            where = ".".join(map(str, item["loc"]))
            if item["type"] == "extra_forbidden":
                problems.append(f"unknown key '{where}'{_nearest(item['loc'][-1], _fields_at(item['loc']))}")
            elif item["type"] == "value_error":
                problems.append(f"'{where}' is {item['input']!r}: {item['ctx']['error']}" if where else str(item["ctx"]["error"]))
            elif item["type"] == "missing":
                problems.append(f"'{where}' is missing")
            else:
                problems.append(f"'{where}' is {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}")
        raise UserError("the configuration is wrong: " + "; ".join(problems)) from None
    mirror = config.mirror or os.environ.get("AEVB_MIRROR") or None
    return config.model_copy(update={"mirror": mirror})


def reference() -> str:
    """All keys with their defaults and meanings, as the Markdown of config/README.md."""
    lines = [
        "# Configuration",
        "",
        "`paper.yaml` is the default; `--configfile config/quick.yaml` chooses another, `--config samples=1e6` changes a top-level",
        "key for one call. Written by `PYTHONPATH=src python -m aevb.config > config/README.md` from src/aevb/config.py.",
    ]
    titles = {
        Config: "Top level",
        Experiment: "`experiments`: name -> experiment",
        Training: "`training`",
        Evaluation: "`evaluation`",
        MonteCarloEM: "`mcem`",
        Evidence: "`evidence`",
        Curves: "`figure2`: list of rows",
        Manifold: "`figure4`: list of panels",
        PriorSamples: "`figure5`: list of rows",
        Figure3: "`figure3` (optional)",
        EstimatorStudy: "`estimators` (optional)",
    }
    for model, title in titles.items():
        lines += ["", f"## {title}", "", model.__doc__.splitlines()[0], "", "| key | default | values | meaning |", "|---|---|---|---|"]
        schema = model.model_json_schema()
        for name, entry in schema["properties"].items():
            if "$ref" in str(entry):
                continue  # a section of its own
            default = "(required)" if name in schema.get("required", []) else f"`{entry.get('default')}`"
            kinds = entry.get("anyOf", [entry])
            values = " or ".join(str(kind.get("enum", kind.get("type", ""))).replace("null", "nothing") for kind in kinds)
            lines.append(f"| `{name}` | {default} | {values} | {entry.get('description', '')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
