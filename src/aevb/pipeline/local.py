"""A study in one process and without Snakemake: pilots, training, estimates of log p(x), gathering.

    PYTHONPATH=src python -m aevb run config/paper.yaml [--set samples=1e6 device=cuda ...]
    [--without-estimates]

For machines that have no Snakemake, and for a GPU, on which the curves of all experiments then
train together. It writes the files that the pipeline would, under the same names; those that are
there, made by the same code for the same settings and data, stay. The pipeline takes over from
there, see docs/gpu.md. Needs torch, h5py, pandas and pydantic; PyYAML unless the configuration is
JSON; scipy and arviz-stats for log p(x).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

from ..core.errors import UserError
from ..core.files import open_h5
from ..core.words import reason

INSTALL = {
    "yaml": "pyyaml",
    "arviz_stats": "arviz-stats",
    "sklearn": "scikit-learn",
}  # module -> package, where the names differ


def _missing(error: ModuleNotFoundError, otherwise: str) -> str:
    package = INSTALL.get(error.name, error.name)
    return f"the Python package {package} is missing; install it (python -m pip install {package}), or {otherwise}"


try:
    from .. import config as configuration
    from .. import data, results
    from ..core import provenance
    from ..data import download
    from ..engine import training
    from . import locks, plan
except ModuleNotFoundError as error:
    sys.exit(f"error: {_missing(error, 'run on a machine that has it')}")


def read(path: str) -> dict:
    """The raw configuration in the file `path`: JSON, or YAML where PyYAML is installed. Raises
    UserError."""
    try:
        parse = json.loads if path.endswith(".json") else importlib.import_module("yaml").safe_load
        raw = parse(Path(path).read_text(encoding="utf-8"))
    except ModuleNotFoundError as error:
        raise UserError(
            _missing(error, "give the configuration as JSON, in a file called NAME.json")
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; name a configuration file, such as "
            "config/paper.yaml"
        ) from None
    except Exception as error:  # each parser has its own
        raise UserError(
            f"{path} cannot be parsed ({reason(error)}); mend it, then run again"
        ) from None
    if not isinstance(raw, dict):
        raise UserError(
            f"{path} does not hold a configuration; name a file such as config/paper.yaml"
        )
    return raw


def override(raw: dict, pairs: list[str]) -> dict:
    """`raw` with the top-level keys in `pairs`, KEY=VALUE, replaced; a value is JSON, or else
    text. Raises UserError."""
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"'{pair}' is not KEY=VALUE; write for example samples=1e6")
        try:
            changes[key] = json.loads(value)
        except json.JSONDecodeError:
            changes[key] = value
    return {**raw, **changes}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def made(path: str, **attributes) -> bool:
    """Whether the HDF5 file `path` is there with these attributes."""
    try:
        with open_h5(path) as file:
            return all(
                name in file.attrs and file.attrs[name] == value
                for name, value in attributes.items()
            )
    except OSError:
        return False


def prepare(study: configuration.Config) -> None:
    """Fetch and prepare the data sets that are missing."""
    for dataset in dict.fromkeys(experiment.dataset for experiment in study.experiments.values()):
        path = Path(study.data, f"{dataset}.h5")
        if not path.exists():
            say(f"preparing {path}")
            try:
                download.fetch(dataset, path.parent, study.mirror)
                data.prepare(dataset, path.parent, path)
            except ModuleNotFoundError as error:
                raise UserError(
                    _missing(error, f"bring {path} from a machine that has it")
                ) from None


def _load(study: configuration.Config, experiment: configuration.Experiment) -> data.Data:
    return data.load(f"{study.data}/{experiment.dataset}.h5", experiment)


def train(study: configuration.Config) -> None:
    """Pilots, then all runs."""

    def origin(settings: training.Settings, loaded: data.Data) -> dict[str, str]:
        return {
            "config": settings.to_json(),
            "data_sha256": loaded.sha256,
            "code_sha256": provenance.code_sha256(),
        }

    for job in plan.pilot_jobs(study):
        settings = training.Settings.from_dict(plan.pilot_settings(study, job.runs[0]))
        loaded = _load(study, settings.experiment)
        for run in job.runs:
            path = plan.pilot_path(study, run.curve)
            if not made(path, **origin(settings, loaded)):
                results.write_pilot(path, training.pilot(run, settings, loaded))
                say(f"pilot of {run.curve}: step size {results.read_pilot(path).step_size:g}")
    jobs = []
    for job in plan.train_jobs(study):
        settings = training.Settings.from_dict(plan.settings(study, job.runs[0], job.samples))
        loaded = _load(study, settings.experiment)
        pilots = {curve: plan.pilot_path(study, curve) for curve in job.curves}
        chosen = {curve: results.read_pilot(path).step_size for curve, path in pilots.items()}
        paths = {run: plan.run_path(study, run) for run in job.runs}
        due = {
            run: path
            for run, path in paths.items()
            if not made(path, step_size=chosen[run.curve], **origin(settings, loaded))
        }
        jobs.append(training.Job(due, pilots, settings, loaded))
    say(
        f"{sum(len(job.runs) for job in jobs)} of "
        f"{sum(len(job.runs) for job in plan.train_jobs(study))} models to train"
    )
    training.train_jobs(jobs)


def configs(study: configuration.Config) -> dict[str, str]:
    """The settings that every run and every pilot of `study` stores, as JSON, by its name."""
    runs = {
        run.name: plan.settings(study, run, samples) for run, samples in study.budgets().items()
    }
    pilots = {run.curve: plan.pilot_settings(study, run) for run in plan.pilot_runs(study)}
    return {
        name: training.Settings.from_dict(settings).to_json()
        for name, settings in (runs | pilots).items()
    }


def table_config(study: configuration.Config, kind: str, run: configuration.Run) -> str:
    """The settings that a table of `kind` "evidence", "estimators" or "variance" measured on
    `run` stores, as JSON."""
    if kind == "variance":
        options = plan.variance_settings(study, run)
        return json.dumps(
            {
                **options,
                "training": json.loads(training.Settings.from_dict(options["training"]).to_json()),
            }
        )
    settings = plan.estimate_settings(study, kind, run.experiment)
    sampling = configuration.Evidence(**settings["evidence"]).model_dump()
    if kind == "evidence":
        return json.dumps(sampling)
    return json.dumps(
        {
            "estimators": configuration.EstimatorStudy(**settings["estimators"]).model_dump(),
            "evidence": sampling,
        }
    )


def estimate(study: configuration.Config) -> None:
    """log p(x) along the runs of Figure 3, and its estimators graded."""
    from ..studies import estimates

    for kind, runs in (
        ("evidence", study.figure3_runs()),
        ("estimators", study.estimator_models()),
    ):
        for run in runs:
            settings = plan.estimate_settings(study, kind, run.experiment)
            experiment, sampling = (
                configuration.Experiment(**settings.pop("experiment")),
                configuration.Evidence(**settings.pop("evidence")),
            )
            function, options = estimates.figure3, (sampling,)
            if kind == "estimators":
                function, options = (
                    estimates.study,
                    (configuration.EstimatorStudy(**settings.pop("estimators")), sampling),
                )
            path, model = plan.table_path(study, kind, run), plan.run_path(study, run)
            same = made(
                path,
                config=table_config(study, kind, run),
                code_sha256=provenance.code_sha256(provenance.ESTIMATING),
            )
            if not same or Path(path).stat().st_mtime < Path(model).stat().st_mtime:
                say(f"{kind} of {run.name}")
                results.write_table(
                    path, function(model, _load(study, experiment), *options, **settings)
                )


def gather(study: configuration.Config) -> None:
    """gathered.h5 and curves.csv of all this."""
    tables = {"evidence": study.figure3_runs(), "estimators": study.estimator_models()}
    results.gather(
        study.model_dump(exclude={"mirror", "redraw", "data", "job_runs"}),
        {run.name: plan.run_path(study, run) for run in study.runs()},
        {run.curve: plan.pilot_path(study, run.curve) for run in plan.pilot_runs(study)},
        {
            kind: {run.name: plan.table_path(study, kind, run) for run in runs}
            for kind, runs in tables.items()
        },
        {run.name for run in study.figure_models()},
        f"{study.folder}/gathered.h5",
        configs=configs(study),
    )
    results.write_curves(
        results.read_gathered(f"{study.folder}/gathered.h5"), f"{study.folder}/curves.csv"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m aevb run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", help="the configuration file, as for Snakemake's --configfile")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change top-level keys, as Snakemake's --config",
    )
    parser.add_argument("--without-estimates", action="store_true", help="stop after training")
    options = parser.parse_args(arguments)
    study = configuration.load(override(read(options.config), options.set))
    configuration.check_folder(study, [pair.partition("=")[0] for pair in options.set])
    estimates = (study.figure3 or study.estimators) and not options.without_estimates
    if estimates:  # to say before training that it will not work after it
        try:
            importlib.import_module("aevb.studies.estimates")
        except ModuleNotFoundError as error:
            raise UserError(
                _missing(error, "leave log p(x) to the pipeline: --without-estimates")
            ) from None
    lock = locks.claim(study.folder)
    prepare(study)
    train(study)
    if estimates:
        estimate(study)
    if not options.without_estimates:
        gather(study)
    if lock is not None:
        os.close(lock)
    say(
        f"Done: {study.folder}/. What is missing there, figures and report at least, Snakemake "
        "makes from the same configuration."
    )
