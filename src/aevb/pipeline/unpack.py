"""A study that goes on from a gathered file: its runs, pilots and tables as files again, so that
the pipeline makes only what is missing.

    PYTHONPATH=src python -m aevb unpack config/reference.yaml [results/reference/gathered.h5]

For more seeds or a larger budget than a committed study has, on any machine. What other settings or
other code made is left out, and so are models whose weights are still needed, which a gathered file
does not keep; what lies there of other settings is removed. The data sets are prepared first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import config as configuration
from .. import results
from ..core import provenance
from . import local, locks, plan

CODE = {
    "evidence": provenance.ESTIMATING,
    "estimators": provenance.ESTIMATING,
    "variance": provenance.MEASURING,
    "encoded": provenance.ENCODING,
}


def unpack(study: configuration.Config, path: str | Path) -> tuple[int, int]:
    """Write the files of `study` that the gathered file `path` holds and that are not there;
    returns how many of its runs then are, of how many. Raises UserError."""
    gathered, configs, code = (
        results.read_gathered(path),
        local.configs(study),
        provenance.code_sha256(),
    )

    def same(made: results.RunResult | results.Pilot, name: str) -> bool:
        return made.code_sha256 == code and made.config == configs[name]

    pilots = {
        run.curve: gathered.pilots[run.curve]
        for run in plan.pilot_runs(study)
        if run.curve in gathered.pilots
        and gathered.pilots[run.curve].seed == run.seed
        and same(gathered.pilots[run.curve], run.curve)
    }
    drawn = study.figure_models()
    runs = {
        run: gathered.runs[run.name]
        for run in study.runs()
        if run.curve in pilots
        and run.name in gathered.runs
        and same(gathered.runs[run.name], run.name)
        and (
            run not in drawn
            or gathered.runs[run.name].weights
            or gathered.runs[run.name].status == "diverged"
        )
    }
    measured = {"evidence": study.figure3_runs(), "estimators": study.estimator_models()}
    measured |= {"encoded": study.figure4_models(), "variance": study.variance_models()}
    tables = {}
    for kind, models in measured.items():
        for run in models:
            table = getattr(gathered, kind).get(run.name)
            fits = table and table.attributes["code_sha256"] == provenance.code_sha256(CODE[kind])
            if (
                run in runs
                and fits
                and (
                    kind == "encoded"
                    or table.attributes["config"] == local.table_config(study, kind, run)
                )
            ):
                tables[kind, run] = table
            elif (
                kind != "variance"
            ):  # to be measured on the model, whose weights are not in the gathered file
                runs.pop(run, None)
    there = [
        (plan.pilot_path(study, run.curve), configs[run.curve]) for run in plan.pilot_runs(study)
    ]
    there += [(plan.run_path(study, run), configs[run.name]) for run in study.runs()]
    for kind, models in measured.items():
        there += [
            (plan.table_path(study, kind, run), local.table_config(study, kind, run))
            for run in models
            if kind != "encoded"
        ]
    others = [
        file
        for file, settings in there
        if local.made(file) and not local.made(file, config=settings)
    ]
    for (
        kind,
        models,
    ) in (
        measured.items()
    ):  # and what was measured on models that are no longer there, or never were
        gone = [
            run
            for run in models
            if not Path(plan.run_path(study, run)).exists() or plan.run_path(study, run) in others
        ]
        others += [plan.table_path(study, kind, run) for run in gone if kind != "variance"]
    for file in dict.fromkeys(others):
        if Path(file).exists():
            local.say(f"removed, of other settings: {file}")
            Path(file).unlink()
    # In the order in which the pipeline would make them: it goes by the times of the files.
    files = [
        (plan.pilot_path(study, curve), results.write_pilot, pilot)
        for curve, pilot in pilots.items()
    ]
    files += [
        (plan.run_path(study, run), results.write_run, result) for run, result in runs.items()
    ]
    files += [
        (plan.table_path(study, kind, run), results.write_table, table)
        for (kind, run), table in tables.items()
        if run in runs
    ]
    for file, write, content in files:
        if not Path(file).exists():
            write(file, content)
    return sum(Path(plan.run_path(study, run)).exists() for run in study.runs()), len(study.runs())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m aevb unpack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config",
        help="the configuration file of the study that goes on, as for Snakemake's --configfile",
    )
    parser.add_argument(
        "gathered", nargs="?", help="a gathered.h5; that of the study's own folder unless given"
    )
    options = parser.parse_args(arguments)
    study = configuration.load(local.read(options.config))
    local.prepare(study)
    locks.claim(study.folder)
    there, wanted = unpack(study, options.gathered or f"{study.folder}/gathered.h5")
    local.say(
        f"{there} of {wanted} runs of {study.folder} are there; the pipeline makes the others: "
        f"--configfile {options.config}"
    )
