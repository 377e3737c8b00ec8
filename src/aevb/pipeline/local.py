"""A study in one process and without Snakemake: a loop over the same jobs.

    PYTHONPATH=src python -m aevb run config/paper.yaml [--set samples=1e6 device=cuda ...]
    [--until train]

For machines that have no Snakemake, and for a GPU, on which the curves of all experiments then
train together. It writes the pipeline's files, under the same names. Files that were made by the
same code for the same settings and data stay. The pipeline can take over from there (docs/gpu.md).
Needs torch, h5py, pandas and pydantic; PyYAML unless the configuration is JSON; scipy and
arviz-stats for log p(x). It says what the figures need if that is missing.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import sys
from pathlib import Path

from ..core.errors import UserError
from ..core.words import reason

#: module -> package, where the names differ
INSTALL = {"yaml": "pyyaml", "arviz_stats": "arviz-stats", "sklearn": "scikit-learn"}
#: kinds of jobs after which `--until` may stop, with those before them
STAGES = {"train": ("dataset", "pilot", "train"), "gather": ()}
DRAWING = ("figure", "claims", "page", "report", "paper")


def missing(error: ModuleNotFoundError, otherwise: str) -> str:
    """A sentence on a package that is not installed, and what else to do."""
    module = error.name.partition(".")[0]
    package = INSTALL.get(module, module)
    install = f"install it (python -m pip install {package})"
    return f"the Python package {package} is missing; {install}, or {otherwise}"


try:
    from .. import config as configuration
    from ..core.files import atomic
    from ..core.lazy import waiting
    from ..core.run import Job, found
    from . import kept, locks, made, plan
except ModuleNotFoundError as error:
    sys.exit(f"error: {missing(error, 'run on a machine that has it')}")


def read(path: str) -> dict:
    """The raw configuration in the file `path`: JSON, or YAML where PyYAML is installed. Raises
    UserError."""
    try:
        parse = json.loads
        if not path.endswith(".json"):
            parse = importlib.import_module("yaml").safe_load
            importlib.import_module("aevb.config.files").check(path)
        raw = parse(Path(path).read_text(encoding="utf-8"))
    except UserError:
        raise
    except ModuleNotFoundError as error:
        otherwise = "give the configuration as JSON, in a file called NAME.json"
        raise UserError(missing(error, otherwise)) from None
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
    """`raw` with the top-level keys in `pairs`, KEY=VALUE, replaced; a value is JSON, or else text.
    Raises UserError."""
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
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def ready(jobs: list[Job]) -> None:
    """Import all that `jobs` need, and read the code that decides them. Raises
    ModuleNotFoundError if a package is missing."""
    for work in dict.fromkeys(job.work for job in jobs):
        found(work)
    for name in made.read_code(jobs):
        for needed in waiting(importlib.import_module(name)):
            importlib.import_module(needed)


def run(jobs: list[Job]) -> None:
    """Do the `jobs` that are due, kind by kind. Raises UserError."""
    for kind, group in itertools.groupby(jobs, key=lambda job: job.kind):
        members = list(group)
        wanted = sum(len(job.outputs) for job in members)
        due = [part for job in members if (part := made.due(job)) is not None]
        if not due:
            continue
        files = sum(len(job.outputs) for job in due)
        say(f"{kind}: {files} of {wanted} files to make")
        try:
            found(due[0].work)(due)
        except ModuleNotFoundError as error:
            if kind in DRAWING:
                say(missing(error, "draw on a machine that has it, from gathered.h5: redraw=true"))
                return
            raise UserError(missing(error, "do this on a machine that has it")) from None


def main(arguments: list[str]) -> None:
    """Run a study."""
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
    parser.add_argument(
        "--until", choices=STAGES, help="stop after training, or before figures and report"
    )
    options = parser.parse_args(arguments)
    study = configuration.load(override(read(options.config), options.set))
    configuration.check_folder(study, [pair.partition("=")[0] for pair in options.set])
    planned = plan.jobs(study)
    jobs = [job for job in planned if job.kind != "check"]
    if options.until:
        last = STAGES[options.until]
        jobs = [job for job in jobs if job.kind in last or (not last and job.kind not in DRAWING)]
    try:  # to say before training that it will not work after it
        ready([job for job in jobs if job.kind not in DRAWING])
    except ModuleNotFoundError as error:
        otherwise = "leave what needs it to the pipeline: --until train"
        raise UserError(missing(error, otherwise)) from None
    lock = locks.claim(study.folder)
    with atomic(Path(study.folder, kept.ALONE)) as temporary:
        temporary.touch()
    locks.claim(study.data, followed=False)
    kept.release(study.folder, finished=False)  # by a pipeline that was killed
    if not study.redraw:
        kept.check_gathered(study.folder, planned, study.replace)
    for line in kept.others(study.folder, kept.there(jobs), study.replace):
        say(line)
    if not study.redraw and (line := kept.unasked(study.folder, planned)):
        say(line)
    run(jobs)
    if lock is not None:
        os.close(lock)
    say(f"Done: {study.folder}/.")
