"""What the jobs of the pipeline do. Jobs of studies do what their folder says.

Each function takes jobs of one kind (core/run.py): one from Snakemake, all that are due from a run
without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .. import results
from ..config import load
from ..core.run import Job, found
from ..results.csv import read, write
from ..studies.planning import budgets, drawn, pilot_runs
from .made import fits


def dataset(jobs: list[Job]) -> None:
    """Fetch and prepare data sets.

    The mirror is no setting: checksums make its contents the same as any source's.
    """
    from .. import data
    from ..data import download

    for job in jobs:
        prepared, name = Path(job.outputs[0]), job.settings["dataset"]
        download.fetch(name, prepared.parent, job.settings.get("mirror"))
        data.prepare(name, prepared.parent, prepared)


def pilots(jobs: list[Job]) -> None:
    """Choose the step sizes of curves by short runs; where there is one alone, it is taken."""
    from ..data import load as load_data
    from ..engine.pilot import given, pilot
    from ..engine.settings import Settings

    for job in jobs:
        settings = Settings.from_dict(job.settings)
        loaded = load_data(job.inputs["data"][0], settings.experiment)
        choose = pilot if len(settings.training.step_sizes) > 1 else given
        for run, path in zip(job.runs, job.outputs, strict=True):
            results.write_pilot(path, choose(run, settings, loaded))


def train(jobs: list[Job]) -> None:
    """Train models."""
    from ..data import load as load_data
    from ..engine import training
    from ..engine.settings import Settings

    made = []
    for job in jobs:
        settings = Settings.from_dict(job.settings)
        runs = dict(zip(job.runs, job.outputs, strict=True))
        chosen = dict(zip(job.curves, job.inputs["pilots"], strict=True))
        loaded = load_data(job.inputs["data"][0], settings.experiment)
        states = job.settings.get("states")
        made.append(training.Job(runs, chosen, settings, loaded, states))
    training.train_jobs(made)


def gather(jobs: list[Job]) -> None:
    """All results in one file, and all curves in one table."""
    for job in jobs:
        study, folder = load(job.settings["config"]), Path(job.outputs[0]).parent
        tables = {
            kind: {_name(path, folder / kind): path for path in paths}
            for kind, paths in job.inputs.items()
            if kind not in ("runs", "pilots")
        }
        pilots = {_name(path, folder / "pilots"): path for path in job.inputs.get("pilots", [])}
        results.gather(
            job.settings["config"],
            {run.name: f"{folder}/runs/{run.name}.h5" for run in budgets(study)},
            {run.curve: pilots[run.curve] for run in pilot_runs(study)},
            tables,
            {run.name for run in drawn(study)},
            job.outputs[0],
            fits(study),
        )
        results.write_curves(results.read_gathered(job.outputs[0]), job.outputs[1])


def _name(path: str, folder: Path) -> str:
    """The name of the run, curve or experiment of a file below `folder`."""
    return Path(path).relative_to(folder).with_suffix("").as_posix()


def _gathered(job: Job) -> tuple[results.Gathered, pd.DataFrame]:
    """The gathered results that a job draws from, and the paper's curves."""
    return results.read_gathered(job.inputs["gathered"][0]), pd.read_csv(job.inputs["paper"][0])


def figure(jobs: list[Job]) -> None:
    """Draw figures."""
    from ..report.style import write as write_figure

    for job in jobs:
        write_figure(found(job.settings["place"])(*_gathered(job)), job.outputs)


def numbers(jobs: list[Job]) -> None:
    """Make the CSV tables: verdicts, distances, and what the studies add."""
    for job in jobs:
        gathered, paper = _gathered(job)
        others = [results.read_gathered(path) for path in job.inputs["others"]]
        tables, of = job.settings["tables"], job.settings["of"]
        for (name, place), path in zip(tables.items(), job.outputs, strict=True):
            own = [gathered, *others][of[name]]
            write(found(place)(own, paper, () if of[name] else others), path)


def page(jobs: list[Job]) -> None:
    """Write the pages beside the report."""
    for job in jobs:
        found(job.settings["place"])(_gathered(job)[0], job.outputs[0])


def document(jobs: list[Job]) -> None:
    """Write the report, as a page or as a paper."""
    from ..report import pages

    for job in jobs:
        gathered, paper = _gathered(job)
        others = [results.read_gathered(path) for path in job.inputs["others"]]
        figures = {Path(path).stem: path for path in job.inputs["figures"]}
        tables = {Path(path).stem: read(path) for path in job.inputs["tables"]}
        shown = {name: table for name, table in tables.items() if len(table)}
        make: Callable = pages.typeset_paper if job.kind == "paper" else pages.render
        make(gathered, paper, figures, shown, job.outputs[0], others)
