"""Result files: one HDF5 file per run, one gathered HDF5 file and one tidy table per study.

The schema is here and nowhere else. A run (a file of its own, and a group of the same form in the
gathered file):

    attributes   see ATTRIBUTES: what was run, how it ended, provenance
    curve/       one dataset per column of CURVE, all of the same length: one row per evaluation
    weights/     float32 arrays by parameter name (see models/nets.py); in the gathered file only
                 those of models that figures draw
    snapshots    (T, P) float32, runs of Figure 3 only and not in the gathered file: all parameters
                 at each row of curve/

A pilot: attributes as far as they apply; step_sizes (S,), samples (T,), bounds (S, T) training
bound in nats per datapoint, NaN once diverged; the chosen step size as attribute step_size.

A table, of what a study measures on a model or an experiment: attributes schema, config, seconds
and provenance, one dataset per column, and its arrays, datasets of more dimensions. Each study
describes its columns and arrays.

The gathered file: attributes schema, config (JSON), units, order (JSON, names of runs); groups
runs/RUN, pilots/CURVE and tables/KIND/NAME. Runs of variants are among the others; the name of
their experiment is BASE+VARIANT. All bounds are nats per datapoint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from ..config import Config, load
from ..core.errors import UserError
from ..core.run import Run
from ..studies.planning import listed

SCHEMA = 4
# 1 and 2 have their tables at the top, baselines as attributes, the order of the configuration, and
# no code_modules.
READABLE = (1, 2, 3, 4)
# The schema from which on a column of curve/ is there; before it is not a number.
SINCE = {"seconds": 2, "train_draws": 4, "test_draws": 4}
SPLITS = ("train", "test")

# One row per evaluation of a run.
CURVE = {
    "samples": "training samples seen so far; for Monte Carlo EM: datapoints x (leapfrog steps + "
    "updates)",
    "seconds": "seconds of training so far, evaluations left out",
    "train": "bound on the training set at that moment (eq. 7)",
    "test": "bound on the test set at that moment (eq. 7)",
    "train_se": "Monte Carlo standard error of train",
    "test_se": "Monte Carlo standard error of test",
    "running": "mean of the minibatch bounds since the previous evaluation (the learner's own "
    "estimator); Monte Carlo EM: of log p(x, z)",
    "train_kl": "mean KL(q(z|x) || p(z)) on the training set; the reconstruction term is train + "
    "train_kl",
    "test_kl": "mean KL(q(z|x) || p(z)) on the test set",
    "active_units": "latent units whose posterior mean varies over the training set by more than "
    "0.01 (variance)",
    "train_draws": "samples of z per datapoint that train is a mean of",
    "test_draws": "samples of z per datapoint that test is a mean of",
}

# Columns from train on, but for running, are not a number for Monte Carlo EM, which
# has no encoder and no bound.

ATTRIBUTES = {
    "schema": int,
    "experiment": str,
    "dataset": str,
    "likelihood": str,
    "algorithm": str,
    "latent_dim": int,
    "hidden": int,
    "n_train": int,
    "n_test": int,
    "seed": int,
    "step_size": float,
    "status": str,  # "completed" or "diverged"
    "reason": str,  # why it diverged, or ""
    "samples": int,  # training samples seen at the end
    "config": str,  # resolved settings of this run, JSON
    "data_sha256": str,
    "code_sha256": str,  # fingerprint of the code that decides the result
    "code_modules": str,  # JSON, module -> fingerprint of what it contributes; "" in older files
    "git_commit": str,
    "git_dirty": bool,
    "versions": str,  # JSON
    "device": str,
    "processor": str,
    "threads": int,
    "train_seconds": float,  # training only, all interruptions left out
    "evaluation_seconds": float,
    "samples_per_second": float,  # of this run's share of its stack, training only
}


@dataclass
class RunResult:
    """One run as read from a file: `attributes` as in ATTRIBUTES (attribute access works too)."""

    attributes: dict
    curve: pd.DataFrame
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    snapshots: np.ndarray | None = None  # (T, P), see nets.Layout

    def __getattr__(self, name):
        try:
            return self.__dict__["attributes"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def run(self) -> Run:
        """What was run."""
        return Run(self.experiment, self.algorithm, self.latent_dim, self.seed)

    @property
    def settings(self) -> dict:
        """What decided it, as engine.settings.Settings.to_json wrote it."""
        return json.loads(self.attributes["config"])


@dataclass
class Pilot:
    """The short runs from which the step size of a curve was chosen. There are none (T = 0) where
    one step size was given."""

    experiment: str
    algorithm: str
    latent_dim: int
    seed: int
    step_size: float  # the chosen one
    step_sizes: np.ndarray  # (S,)
    samples: np.ndarray  # (T,)
    bounds: np.ndarray  # (S, T), training bound, nats per datapoint; NaN once diverged
    seconds: float
    config: str = ""  # these three as in ATTRIBUTES; empty in files of older versions
    data_sha256: str = ""
    code_sha256: str = ""
    code_modules: str = ""


@dataclass
class Table:
    """What was measured on a model or an experiment."""

    frame: pd.DataFrame  # with the columns that its study describes
    attributes: dict  # schema, config (JSON), seconds, provenance.attributes
    #: what no column holds, such as images: arrays of two dimensions or more, by name
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class Gathered:
    """All results of a study: what figures and report are drawn from."""

    config: dict  # as validated by config.load, JSON-able
    runs: dict[str, RunResult]  # by run name, in the order of the configuration
    pilots: dict[str, Pilot]  # by curve name
    # by kind of table and name of a run or experiment, without those of models that diverged
    tables: dict[str, dict[str, Table]] = field(default_factory=dict)

    @cached_property
    def study(self) -> Config:
        """The configuration. Raises UserError if it names what is not here, as a plug-in."""
        try:
            return load(self.config)
        except UserError as error:
            raise UserError(f"{error}; these results need the plug-ins that made them") from error

    def of(self, kind: str) -> dict[str, Table]:
        """The tables of a kind by name; none where the study has not measured any."""
        return self.tables.get(kind, {})

    def without_variants(self) -> Gathered:
        """The same without runs that only variants or their comparisons need, and their pilots."""
        names = {run.name for run in listed(self.study)}
        runs = {name: run for name, run in self.runs.items() if name in names}
        curves = {run.run.curve for run in runs.values()}
        pilots = {name: pilot for name, pilot in self.pilots.items() if name in curves}
        return Gathered(self.config, runs, pilots, self.tables)
