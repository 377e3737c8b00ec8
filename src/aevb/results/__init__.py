"""Result files: one HDF5 a run, one gathered HDF5 and one tidy table a study. The schema is here
and nowhere else.

A run (a file of its own, and a group of the same form in the gathered file):

    attributes   see RunResult: what was run, how it ended, provenance curve/       one dataset per
    column of CURVE, all of the same length: one row per evaluation weights/     float32 arrays by
    parameter name (see nets.py); in the gathered file only decoders that figures draw snapshots
    (T, P) float32, runs of Figure 3 only and not in the gathered file: all parameters at each row
    of curve/

A pilot: attributes as far as they apply; step_sizes (S,), samples (T,), bounds (S, T) training
bound in nats per datapoint, NaN once diverged; the chosen step size as attribute step_size.

Tables, of estimates of log p(x), one file a run of Figure 3 with the columns of EVIDENCE and one
file a model of the estimator study with those of ESTIMATORS; of variances, one file a model with
those of VARIANCE; and of encoded test points, one file a model of Figure 4 with those of ENCODED:
attributes schema, config, seconds and provenance, one dataset a column.

The gathered file: attributes schema, config (JSON), units; groups runs/<run name>, pilots/<curve
name>, evidence/<run name>, estimators/<run name>, variance/<run name> and encoded/<run name>, and
baselines/<experiment> (attributes train and test, see baseline.py). Runs of the ablation and of the
trade-off are among the others; the name of their experiment is BASE+VARIANT. All bounds are nats
per datapoint.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ..config import load
from ..core.errors import Damaged, UserError
from ..core.files import atomic, new_h5, open_h5

SCHEMA = 2
READABLE = (
    1,
    2,
    # 1 has no seconds in curve/, which then are not a number; no snapshots and no estimates of log p(x)
)

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
}

# Columns from train to active_units, but for running, are not a number for Monte Carlo EM, which
# has no encoder and no bound.

# One row per evaluation and split of a run of Figure 3: means over the first datapoints of the
# split, nats per datapoint.
EVIDENCE = {
    "samples": "as in the curve",
    "seconds": "as in the curve",
    "split": "train or test",
    "importance": "log p(x) by importance sampling: the best estimate here, and what Figure 3 "
    "shows",
    "importance_se": "Monte Carlo standard error of importance",
    "hmc": "log p(x) by the paper's estimator (appendix D, kernel density)",
    "hmc_se": "Monte Carlo standard error of hmc, blind to its bias",
    "quadrature": "log p(x) by quadrature, at the last evaluation; elsewhere not a number",
    "quadrature_error": "largest disagreement of its two lattices over datapoints",
    "efficiency": "median over datapoints of effective importance samples, as a share of those "
    "drawn",
    "khat_bad": "share of datapoints whose Pareto k-hat exceeds 0.7",
    "divergences": "HMC transitions whose energy error exceeded 1,000 nats, warm-up left out",
    "acceptance": "mean acceptance of the HMC transitions",
    "rhat": "95 % quantile of split R-hat over datapoints and coordinates",
    "chain_ess": "median effective sample size of a chain",
}

# One row per model, data, estimator and number of samples: how far estimates are from the
# reference, nats per datapoint.
ESTIMATORS = {
    "latent_dim": "N_z of the model",
    "data": "test: the first test points; simulated: points that the model generated",
    "estimator": "hmc_kde, hmc_gaussian (appendix D), importance (from the encoder), "
    "importance_hmc (from a t fitted to the chain), "
    "ais (annealed, forward) or ais_backward (simulated data only)",
    "samples": "samples per datapoint; for annealed importance sampling: temperatures",
    "bias": "mean over datapoints and replicates of estimate minus reference",
    "bias_se": "its standard error: from the spread over replicates (backward: over datapoints), "
    "and the reference's own",
    "spread": "standard deviation of one datapoint's estimate over replicates, root mean square "
    "over datapoints",
    "seconds": "seconds per datapoint and estimate",
    "reference": "quadrature (the truth), or the tightest lower bound: importance or ais, with its "
    "number of samples",
    "reference_value": "mean over datapoints of the reference",
    "reference_se": "its Monte Carlo standard error",
}

# One row per model, point of training, estimator and part: how much one-sample estimates (L = 1)
# vary with the noise of z. The gradients are those of the bound's mean over the datapoints, in nats
# per datapoint, without the prior on weights.
VARIANCE = {
    "latent_dim": "N_z of the model",
    "samples": "training samples that the model has seen; 0 at its start",
    "estimator": "A (eq. 6), B (eq. 7); for gradients also score (section 2.2: f(z) grad log "
    "q(z|x), f = log p(x, z) - log q(z|x)), "
    "score_baseline (f minus its mean over the other datapoints of the minibatch) and score_oracle "
    "(f minus its mean over other "
    "draws for the same datapoint)",
    "part": "encoder, decoder: the gradient for its parameters; bound: the bound itself, of a "
    "minibatch; bound_all: of the training set",
    "datapoints": "of which the mean is taken: M, or all. For one datapoint alone the variance is "
    "so many times larger",
    "variance": "trace of the covariance (sum over parameters of the variance) under the noise, "
    "datapoints fixed; mean over minibatches",
    "variance_se": "its standard error over minibatches",
    "ratio": "variance over that of estimator B, on the same minibatches and noise",
    "ratio_se": "its standard error over minibatches",
    "data_variance": "the same trace under the choice of the minibatch, for the expectation over "
    "the noise: alike for all estimators",
    "squared_norm": "squared norm of the expected gradient (bound: its square), alike for all. "
    "squared_norm / (variance + data_variance) "
    "is the signal-to-noise ratio of a step",
    "minibatches": "number of minibatches",
    "replicates": "draws of the noise for each minibatch",
}

# One row per test point, for a model with two latent dimensions.
ENCODED = {
    "z1": "first coordinate of the mean of q(z|x)",
    "z2": "its second coordinate",
    "label": "what the image shows: the digit, or the number of its frame in the film, from 0 "
    "(attribute config says which)",
}

CURVES_CSV = [
    "figure",
    "dataset",
    "latent_dim",
    "n_train",
    "algorithm",
    "split",
    "seed",
    "samples",
    "value",
]

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
    "code_sha256": str,  # of the modules that decide the result
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
    def settings(self) -> dict:
        return json.loads(self.attributes["config"])


def write_run(path: str | Path, result: RunResult) -> None:
    """Write one run; raises UserError if `result` is not of the schema or the file cannot be
    written."""
    with new_h5(path) as file:
        _write_run_group(file, result)


def _write_run_group(group: h5py.Group, result: RunResult) -> None:
    missing = set(ATTRIBUTES) - set(result.attributes)
    extra = set(result.attributes) - set(ATTRIBUTES)
    if missing or extra or list(result.curve.columns) != list(CURVE):
        raise UserError(
            f"a run does not fit the schema: missing {sorted(missing)}, unknown {sorted(extra)}, "
            f"columns {list(result.curve.columns)}"
        )
    for name in ATTRIBUTES:
        group.attrs[name] = result.attributes[name]
    for column in CURVE:
        group.create_dataset(f"curve/{column}", data=result.curve[column].to_numpy())
    for name, value in result.weights.items():
        group.create_dataset(f"weights/{name}", data=value)
    if result.snapshots is not None:
        group.create_dataset("snapshots", data=result.snapshots)


def read_run(path: str | Path, parameters: bool = True) -> RunResult:
    """Read and check one run file; without its weights and snapshots, which are nearly all of
    it, if `parameters` is false. Raises UserError: what is wrong with which file, and what to
    do."""
    with _open(path) as file:
        return _read_run_group(file, str(path), parameters)


def _read_run_group(group: h5py.Group, where: str, parameters: bool = True) -> RunResult:
    schema = group.attrs.get("schema")
    if schema not in READABLE:
        raise UserError(
            f"{where} has schema {schema}, this version reads {READABLE}; delete the file and run "
            "again"
        )
    columns = [column for column in CURVE if schema == SCHEMA or column != "seconds"]
    absent = [name for name in ATTRIBUTES if name not in group.attrs] + [
        f"curve/{c}" for c in columns if f"curve/{c}" not in group
    ]
    if absent:
        raise UserError(f"{where} lacks {', '.join(absent)}; delete the file and run again")
    try:
        attributes = {name: kind(group.attrs[name]) for name, kind in ATTRIBUTES.items()}
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where} holds an attribute of the wrong kind ({error}); delete the file and run again"
        ) from None
    curve = pd.DataFrame({column: group[f"curve/{column}"][:] for column in columns}).reindex(
        columns=list(CURVE)
    )
    weights = (
        {name: data[:] for name, data in group["weights"].items()}
        if parameters and "weights" in group
        else {}
    )
    return RunResult(
        attributes,
        curve,
        weights,
        group["snapshots"][:] if parameters and "snapshots" in group else None,
    )


@dataclass
class Pilot:
    """The short runs from which the step size of a curve was chosen."""

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


def write_pilot(path: str | Path, pilot: Pilot) -> None:
    """Write the pilot of one curve; raises UserError if the file cannot be written."""
    with new_h5(path) as file:
        _write_pilot_group(file, pilot)


def _write_pilot_group(group: h5py.Group, pilot: Pilot) -> None:
    group.attrs["schema"] = SCHEMA
    for name, value in vars(pilot).items():
        if isinstance(value, np.ndarray):
            group.create_dataset(name, data=value)
        else:
            group.attrs[name] = value


def read_pilot(path: str | Path) -> Pilot:
    """Read and check one pilot. Raises UserError."""
    with _open(path) as file:
        return _read_pilot_group(file, str(path))


def _read_pilot_group(group: h5py.Group, where: str) -> Pilot:
    try:
        if group.attrs["schema"] not in READABLE:
            raise KeyError(f"schema {group.attrs['schema']}")
        kinds = {
            "experiment": str,
            "algorithm": str,
            "latent_dim": int,
            "seed": int,
            "step_size": float,
            "seconds": float,
        }
        attributes = {name: kind(group.attrs[name]) for name, kind in kinds.items()}
        origin = {
            name: str(group.attrs.get(name, ""))
            for name in ("config", "data_sha256", "code_sha256")
        }
        return Pilot(
            **attributes,
            **origin,
            **{name: group[name][:] for name in ("step_sizes", "samples", "bounds")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} is not a pilot of this version ({error}); delete the file and run again"
        ) from None


@dataclass
class Table:
    """What was measured on a model: `frame` with the columns of EVIDENCE, ESTIMATORS, VARIANCE
    or ENCODED, and attributes."""

    frame: pd.DataFrame
    attributes: dict  # schema, config (JSON), seconds, provenance.attributes


def write_table(path: str | Path, table: Table) -> None:
    """Write a table; raises UserError if the file cannot be written."""
    with new_h5(path) as file:
        _write_table_group(file, table)


def _write_table_group(group: h5py.Group, table: Table) -> None:
    group.attrs["schema"] = SCHEMA
    for name, value in table.attributes.items():
        group.attrs[name] = value
    for column, values in table.frame.items():
        if column in TEXT:
            group.create_dataset(column, data=values.to_list(), dtype=h5py.string_dtype())
        else:
            group.create_dataset(column, data=values.to_numpy(float))


def read_table(path: str | Path, columns: dict[str, str]) -> Table:
    """Read and check a table with `columns`: EVIDENCE, ESTIMATORS, VARIANCE or ENCODED. Raises
    UserError."""
    with _open(path) as file:
        return _read_table_group(file, str(path), columns)


def _read_table_group(group: h5py.Group, where: str, columns: dict[str, str]) -> Table:
    if group.attrs.get("schema") != SCHEMA or any(column not in group for column in columns):
        raise UserError(
            f"{where} is not a table of {', '.join(columns)} of schema {SCHEMA}; delete the file "
            "and run again"
        )
    frame = pd.DataFrame(
        {
            c: group[c].asstr()[:] if h5py.check_string_dtype(group[c].dtype) else group[c][:]
            for c in columns
        }
    )
    return Table(frame, dict(group.attrs))


@dataclass
class Gathered:
    """All results of a study: what figures and report are drawn from."""

    config: dict  # as validated by config.load, JSON-able
    runs: dict[str, RunResult]  # by run name, in the order of the configuration
    pilots: dict[str, Pilot]  # by curve name
    evidence: dict[str, Table] = field(
        default_factory=dict
    )  # by run name, columns EVIDENCE; runs of Figure 3 that did not diverge
    estimators: dict[str, Table] = field(default_factory=dict)  # by run name, columns ESTIMATORS
    variance: dict[str, Table] = field(default_factory=dict)  # by run name, columns VARIANCE
    encoded: dict[str, Table] = field(default_factory=dict)  # by run name, columns ENCODED
    baselines: dict[str, dict[str, float]] = field(
        default_factory=dict
    )  # by experiment: bound that ignores z, by split


TEXT = ("split", "data", "estimator", "reference", "part")
SPLITS = ("train", "test")
TABLES = {"evidence": EVIDENCE, "estimators": ESTIMATORS, "variance": VARIANCE, "encoded": ENCODED}


def gather(
    config: dict,
    runs: dict[str, str],
    pilots: dict[str, str],
    tables: dict[str, dict[str, str]],
    decoders: set[str],
    path: str | Path,
    baselines: dict[str, dict[str, float]] | None = None,
    configs: dict[str, str] | None = None,
) -> None:
    """Copy the run files `runs` (name -> path), `pilots` and `tables` (a key of TABLES -> name ->
    path) into one file; of the weights only the decoders of the runs in `decoders`; and `baselines`
    (experiment -> split -> value). `configs` (name -> JSON): with what settings runs and pilots
    must have been made, if given.

    Raises UserError if a file is damaged or made with other settings, or the gathered file cannot
    be written.
    """
    configs, others = configs or {}, []
    with new_h5(path) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["config"] = json.dumps(config)
        file.attrs["units"] = "nats per datapoint"
        for name, source in runs.items():
            result = read_run(source, parameters=name in decoders)
            result.weights = {
                part: value for part, value in result.weights.items() if part.startswith("decoder")
            }
            result.snapshots = None
            others += [source] if configs.get(name, result.config) != result.config else []
            _write_run_group(file.create_group(f"runs/{name}"), result)
        for name, source in pilots.items():
            pilot = read_pilot(source)
            others += [source] if configs.get(name, pilot.config) != pilot.config else []
            _write_pilot_group(file.create_group(f"pilots/{name}"), pilot)
        if others:  # whose files something else than the pipeline put there
            print("made with other settings:", *others, sep="\n", file=sys.stderr)
            raise UserError(
                f"{len(others)} of {len(runs) + len(pilots)} runs and pilots were made with other "
                f"settings, the first of them {others[0]}; "
                "delete them, which are listed above and in the log, and run again"
            )
        for kind, sources in tables.items():
            for name, source in sources.items():
                table = read_table(source, TABLES[kind])
                if len(table.frame):  # a run that diverged has none
                    _write_table_group(file.create_group(f"{kind}/{name}"), table)
        for name, values in (baselines or {}).items():
            file.create_group(f"baselines/{name}").attrs.update(values)


def read_baseline(path: str | Path) -> dict[str, float]:
    """The bound of a model that ignores z, by split, as the pipeline's baseline jobs write it.
    Raises UserError."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        return {split: float(values[split]) for split in SPLITS}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the pipeline to make it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(path, f"not the JSON of a baseline: {type(error).__name__}") from error


def read_gathered(path: str | Path) -> Gathered:
    """Read and check the gathered results of a study. Raises UserError."""
    with _open(path) as file:
        if file.attrs.get("schema") not in READABLE or "config" not in file.attrs:
            raise UserError(
                f"{path} is not a gathered result file of schema {READABLE}; delete it and run "
                "again"
            )
        config = json.loads(file.attrs["config"])
        order = dict.fromkeys(run.name for run in load(config).runs())
        runs = {
            name: _read_run_group(file[f"runs/{name}"], f"{path}, run {name}")
            for name in order
            if f"runs/{name}" in file
        }
        curves = dict.fromkeys(name.rsplit("-seed", 1)[0] for name in runs)
        pilots = {
            name: _read_pilot_group(file[f"pilots/{name}"], f"{path}, pilot {name}")
            for name in curves
            if f"pilots/{name}" in file
        }
        tables = {
            kind: {
                n: _read_table_group(file[f"{kind}/{n}"], f"{path}, {kind} {n}", columns)
                for n in order
                if f"{kind}/{n}" in file
            }
            for kind, columns in TABLES.items()
        }
        baselines = {
            name: {split: float(group.attrs[split]) for split in SPLITS}
            for name, group in file.get("baselines", {}).items()
        }
    return Gathered(config, runs, pilots, **tables, baselines=baselines)


def of_figures(gathered: Gathered) -> Gathered:
    """The same without the runs that the ablation and the trade-off alone asked for, and their
    pilots."""
    study = load(gathered.config)
    names = {run.name for run in (*study.figure_runs(), *study.figure3_runs())}
    runs = {name: run for name, run in gathered.runs.items() if name in names}
    curves = {name.rsplit("-seed", 1)[0] for name in runs}
    return replace(
        gathered,
        runs=runs,
        pilots={name: pilot for name, pilot in gathered.pilots.items() if name in curves},
    )


def curves_table(gathered: Gathered) -> pd.DataFrame:
    """The tidy table of all bounds and of Figure 3's log p(x), columns CURVES_CSV.

    For figures 2 and 4, `dataset` is the name of the experiment (mnist, frey) and `n_train` is
    empty, as in paper_curves.csv; `figure` is 4 for the models that were trained for Figures 4 and
    5 alone. For figure 3, `dataset` is that of the experiment, `n_train` the size of its training
    set, and `value` log p(x) by importance sampling. Runs of the ablation and of the trade-off
    alone belong to no figure and are left out.
    """
    study = load(gathered.config)
    panels = {(panel.experiment, d) for panel in study.figure2 for d in panel.latent_dims}
    figure3 = {run.name for run in study.figure3_runs()}
    rows = []
    for name, run in of_figures(gathered).runs.items():
        if name in figure3:
            estimates = (
                gathered.evidence[name].frame
                if name in gathered.evidence
                else pd.DataFrame(columns=list(EVIDENCE))
            )
            place = {"figure": 3, "dataset": run.dataset, "n_train": run.n_train}
            curves = {
                split: estimates[estimates["split"] == split].assign(
                    value=lambda frame: frame["importance"]
                )
                for split in SPLITS
            }
        else:
            place = {
                "figure": 2 if (run.experiment, run.latent_dim) in panels else 4,
                "dataset": run.experiment,
                "n_train": "",
            }
            curves = {split: run.curve.assign(value=run.curve[split]) for split in SPLITS}
        for split, curve in curves.items():
            who = {
                "latent_dim": run.latent_dim,
                "algorithm": run.algorithm,
                "split": split,
                "seed": run.seed,
            }
            rows.append(
                pd.DataFrame(
                    {
                        **place,
                        **who,
                        "samples": curve["samples"].astype(int),
                        "value": curve["value"],
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)[CURVES_CSV]


def write_curves(gathered: Gathered, path: str | Path) -> None:
    """Write curves_table as CSV; values to 0.001 nats, below their Monte Carlo error. Raises
    UserError."""
    with atomic(path) as temporary:
        curves_table(gathered).to_csv(temporary, index=False, float_format="%.3f")


@contextlib.contextmanager
def _open(path: str | Path):
    try:
        with open_h5(path) as file:
            if outside := _not_inside(file):
                raise Damaged(path, f"{outside} is no array that this file holds")
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the pipeline to make it") from None
    except (OSError, RuntimeError) as error:
        raise Damaged(path, str(error).splitlines()[0]) from error


def _not_inside(group: h5py.Group) -> str:
    """The name of a dataset below `group` whose bytes are elsewhere, or nowhere: in another
    file, or declared and never written, to fill the memory of who reads it. '' if there is none,
    as in all files that this project writes."""
    size = group.file.id.get_filesize()
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return f"{group.name}/{name}"
        entry = group[name]
        if isinstance(entry, h5py.Group):
            if found := _not_inside(entry):
                return found
        elif (
            not isinstance(entry, h5py.Dataset)
            or entry.shape is None
            or entry.external
            or entry.is_virtual
            or entry.nbytes > size
        ):
            return f"{group.name}/{name}"
    return ""
