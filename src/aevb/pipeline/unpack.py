"""Continue a study from its gathered file: restore its runs, pilots and tables as files, so that
the pipeline makes only what is missing.

    PYTHONPATH=src python -m aevb unpack config/reference.yaml [results/reference/gathered.h5]

This works on any machine, and serves to add seeds or budget to a committed study. Results of other
settings or other code are left out. So are models that need weights which the gathered file does
not keep. Reasons and numbers are printed. Files of other settings in the results folder are
removed with --replace, and else stop it. The data sets are prepared first.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .. import config as configuration
from .. import results
from ..core.errors import UserError
from ..core.run import Run
from ..studies.planning import budgets, drawn, pilot_path, pilot_runs, run_path
from . import kept, local, locks, made, plan


class Unpacked(NamedTuple):
    """What `unpack` found."""

    there: int  # runs of the study that are there now
    wanted: int  # runs of the study
    left_out: Counter[str]  # reason -> runs, or tables that need no run, left out for it


class _Table(NamedTuple):
    kind: str
    name: str
    path: str
    run: Run | None  # the model on which it is measured, from its file


def _tables(wanted: made.Wanted) -> Iterator[_Table]:
    for (kind, name), (job, k) in wanted.jobs.items():
        if kind not in ("runs", "pilots"):
            yield _Table(kind, name, job.outputs[k], job.runs[k] if "runs" in job.inputs else None)


class _Source:
    """What of a gathered file fits a study, and why the rest does not."""

    def __init__(self, study: configuration.Config, gathered: results.Gathered):
        self.study, self.gathered = study, gathered
        self.wanted = made.Wanted(study)
        self.drawn = set(drawn(study))
        self.tables = {table: self._table(table) for table in _tables(self.wanted)}
        self.measured: dict[Run, list[_Table]] = {}
        for table in self.tables:
            if table.run is not None:
                self.measured.setdefault(table.run, []).append(table)
        self.pilots = {run: self._pilot(run) for run in pilot_runs(study)}
        by_curve = {run.curve: problem for run, problem in self.pilots.items()}
        self.runs = {run: self._run(run, by_curve[run.curve]) for run in budgets(study)}

    def _pilot(self, run: Run) -> str:
        pilot = self.gathered.pilots.get(run.curve)
        if pilot is None:
            return "no pilot"
        if pilot.seed != run.seed:
            return "the pilot has another seed"
        problem = self.wanted.problem("pilots", run.curve, vars(pilot))
        return problem and f"pilot: {problem}"

    def _table(self, table: _Table) -> str:
        found = self.gathered.of(table.kind).get(table.name)
        if found is None:
            return "not in the gathered file"
        return self.wanted.problem(table.kind, table.name, found.attributes)

    def _run(self, run: Run, pilot: str) -> str:
        """Why `run` is left out; '' if it is not."""
        result = self.gathered.runs.get(run.name)
        if result is None:
            return "not in the gathered file"
        if problem := self.wanted.problem("runs", run.name, result.attributes) or pilot:
            return problem
        if result.status != "diverged" and run in self.drawn and not result.weights:
            return "weights are not kept"
        for table in self.measured.get(run, []):
            # Measured on the model, whose weights or snapshots are not in the gathered file.
            if problem := self.tables[table]:
                return f"weights are not kept, and {table.kind} must be made anew ({problem})"
        return ""

    def left_out(self) -> Counter[str]:
        reasons = Counter(problem for problem in self.runs.values() if problem)
        for table, problem in self.tables.items():
            if table.run is None and problem:
                reasons[f"{table.kind}: {problem}"] += 1
        return reasons

    def files(self) -> Iterator[tuple[str, Callable, Any]]:
        """(path, function that writes it, content) of all that fits, in the order in which the
        pipeline would make them: it goes by the times of the files."""
        study, gathered = self.study, self.gathered
        for run, problem in self.pilots.items():
            if not problem:
                yield pilot_path(study, run.curve), results.write_pilot, gathered.pilots[run.curve]
        for run, problem in self.runs.items():
            if not problem:
                yield run_path(study, run), results.write_run, gathered.runs[run.name]
        for table, problem in self.tables.items():
            if not problem and (table.run is None or not self.runs[table.run]):
                content = gathered.of(table.kind)[table.name]
                yield table.path, results.write_table, content


def unpack(study: configuration.Config, path: str | Path, replace: bool = False) -> Unpacked:
    """Write the files of `study` that the gathered file `path` holds and that are not there.

    What lies there of other code is replaced if the gathered file has it; of other settings it is
    removed if `replace` is asked for, else a UserError, which changes nothing. Raises UserError.
    """
    source = _Source(study, results.read_gathered(path))
    problems, removed = {}, []
    for job, k in source.wanted.jobs.values():
        file = job.outputs[k]
        stored = made.attributes(file)
        problems[file] = "" if stored is None else made.problem(job, k, stored)
        if problems[file] == made.OTHER_SETTINGS:
            removed.append(file)
    for run, tables in source.measured.items():
        # and what was measured on models that are no longer there, or never were
        model = run_path(study, run)
        if not Path(model).exists() or model in removed:
            removed += [table.path for table in tables]
    removed = [file for file in dict.fromkeys(removed) if Path(file).exists()]
    if removed and not replace:
        raise UserError(
            f"{study.folder} has {len(removed)} files that were made with other settings, the "
            f"first of them {removed[0]}; name another folder, or add --replace to lose them"
        )
    for file in removed:
        local.say(f"removed, made with other settings: {file}")
        Path(file).unlink()
    for file, write, content in source.files():
        if problems[file] or not Path(file).exists():
            write(file, content)
            problems[file] = ""
    runs = {run: run_path(study, run) for run in source.runs}
    there = [run for run, file in runs.items() if Path(file).exists() and not problems[file]]
    source.runs |= dict.fromkeys(there, "")
    return Unpacked(len(there), len(runs), source.left_out())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m aevb unpack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config",
        help="the configuration file of the study, as for Snakemake's --configfile",
    )
    parser.add_argument(
        "gathered", nargs="?", help="a gathered.h5; that of the study's own folder unless given"
    )
    parser.add_argument(
        "--replace", action="store_true", help="remove files of other settings that lie there"
    )
    options = parser.parse_args(arguments)
    study = configuration.load(local.read(options.config))
    locks.claim(study.data, followed=False)
    local.run(plan.dataset_jobs(study))
    locks.claim(study.folder)
    kept.release(study.folder, finished=False)  # by a pipeline that was killed
    gathered = options.gathered or f"{study.folder}/gathered.h5"
    found = unpack(study, gathered, options.replace)
    for reason, count in found.left_out.most_common():
        local.say(f"left out: {reason}: {count}")
    local.say(
        f"{found.there} of {found.wanted} runs of {study.folder} are there; the pipeline makes the "
        f"others: ./run --cores all --configfile {options.config}"
    )
