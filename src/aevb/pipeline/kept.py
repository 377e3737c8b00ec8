"""Finished results that a job which is due need not make anew.

Snakemake removes all outputs of a job before it starts, also those that are as the job would make
them: where jobs are packed differently, seeds are added, or Snakemake's records are lost. Its own
flag `update` is no way out: it puts back the old files of a job that failed, and takes them from
then on for files of the new settings. So those that stay get a second name in FOLDER/.kept before
any job starts. A job takes its own back, and makes the others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import atomic, open_h5
from ..core.run import Job
from . import made

KEPT = ".kept"
RECORD, PLAN = "record.json", "plan.json"
#: in a results folder: `python -m aevb run` worked there
ALONE = ".alone"
#: names of checkpoints, and of files that are being written (core.files.atomic)
UNFINISHED = re.compile(r"^\.partial-|\.checkpoint\.h5$")
#: kind of job -> what one of its outputs is; others are tables of their kind
WORDS = {"pilot": "pilot", "train": "model"}


def _link(folder: str, output: str) -> Path:
    return Path(folder) / KEPT / Path(output).relative_to(folder)


def _record(folder: str) -> dict[str, dict[str, Any]]:
    """What `hold` found: output -> its time, and why it is made anew ('' if it stays)."""
    try:
        return json.loads((Path(folder) / KEPT / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _second_name(path: str | Path, name: str | Path) -> None:
    """Give the file `path` the `name` besides; a copy where a file system has no hard links."""
    try:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, name)
        except OSError:
            shutil.copy2(path, name)
    except OSError as error:
        raise UserError(
            f"cannot write {name}: {error.strerror}; make room or make the folder writable, then "
            "run again"
        ) from None


def there(jobs: Iterable[Job]) -> Iterator[tuple[Job, str, str]]:
    """What lies where `jobs` would write, of those that train or measure: the job, the file, and
    why it is not as the job would make it; '' if it is."""
    for job in jobs:
        for k, output in enumerate(job.outputs if job.kind in made.measured() else ()):
            if (stored := made.attributes(output)) is not None:
                yield job, output, made.problem(job, k, stored)


def hold(folder: str, jobs: Iterable[Job], replace: bool = False) -> list[str]:
    """Give a second name to the outputs of the due `jobs` that are as they would make them.

    Reads the files of these jobs alone. Returns what to say of the others, which are made anew.
    Raises UserError, and leaves everything as it was, if some of them are of other settings and
    `replace` is not asked for; or if `folder` cannot be written.
    """
    found = list(there(jobs))
    lines = others(folder, found, replace)
    record = {
        output: {"time": os.stat(output).st_mtime_ns, "problem": problem}
        for _, output, problem in found
    }
    for _, output, problem in found:
        if not problem:
            _second_name(output, _link(folder, output))
    if record:
        with atomic(Path(folder) / KEPT / RECORD) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
    return lines


def note(folder: str, jobs: Iterable[Job]) -> None:
    """Write down what each of `jobs` makes, until `release`: see `check_plan`."""
    with atomic(Path(folder) / KEPT / PLAN) as temporary:
        temporary.write_text(json.dumps({job.rule: job.outputs for job in jobs}), encoding="utf-8")


def planned(jobs: Iterable[Job], rule: str, outputs: list[str]) -> Job:
    """That of `jobs` which is `rule`. Raises UserError if it would not make `outputs`, as when this
    study began: packed otherwise, it would make what another job has finished."""
    wanted = [os.path.normpath(path) for path in outputs]
    for job in jobs:
        if job.rule == rule and [os.path.normpath(path) for path in job.outputs] == wanted:
            return job
    raise UserError(
        f"the study was planned otherwise when it began: {rule} makes other files now, as its code "
        "or its configuration was edited; run again, and what is finished stays"
    )


def check_plan(folder: str, jobs: Iterable[Job], rules: Iterable[str]) -> None:
    """Raise UserError if one of `rules`, which a process of Snakemake on a cluster is about to run,
    would make other files by `jobs`, which it planned itself, than the pipeline noted: it removes
    them first."""
    try:
        noted = json.loads((Path(folder) / KEPT / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of no pipeline
        return
    for rule in noted.keys() & set(rules):
        planned(jobs, rule, noted[rule])


def check_gathered(folder: str, jobs: Iterable[Job], replace: bool) -> bool:
    """Whether the gathered file in `folder` is of another configuration than that of `jobs`, and is
    to be made anew: of a folder that was copied, Snakemake has no record, and would take it.

    Raises UserError if results of other settings lie beside it, unless `replace` is asked for, or
    if none of its models do: then it is all that is left of them.
    """
    jobs = list(jobs)
    for gather in (job for job in jobs if job.kind == "gather"):
        stored = made.attributes(path := gather.outputs[0])
        if stored is None or made.same_results(str(stored.get("config", "")), gather):
            continue
        others(folder, there(jobs), replace)
        with open_h5(path) as file:
            groups = file.get("runs", {})
            runs = [Path(folder, "runs", of, f"{run}.h5") for of in groups for run in groups[of]]
        if runs and not any(run.exists() for run in runs):
            raise UserError(
                f"{path} is of another configuration, and the files of its models are gone; to "
                "keep it, set results=results/NAME, to draw it as it is, redraw=true, and to lose "
                "it, delete it"
            )
        return True
    return False


def check_alone(folder: str, jobs: Iterable[Job]) -> None:
    """Raise UserError if `folder` is of `python -m aevb run`, and what lies there is not as `jobs`
    would make it: of such files Snakemake has no record, and would take them as they are."""
    if not (Path(folder) / ALONE).exists():
        return
    wrong = [output for _, output, problem in there(jobs) if problem]
    if wrong:
        raise UserError(
            f"{folder} is of `python -m aevb run`, and {len(wrong)} of its files are of other "
            f"settings or code (first: {wrong[0]}), of which Snakemake has no record; give that "
            "command once more, or set results=results/NAME"
        )


def others(folder: str, found: Iterable[tuple[Job, str, str]], replace: bool) -> list[str]:
    """What to say of the files that `there` found and that will be made anew, a line for each
    reason. Raises UserError for those of other settings unless `replace` is asked for."""
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for job, _, problem in found:
        if problem:
            what = WORDS.get(job.kind, f"{job.kind} table")
            counts[problem == made.OTHER_SETTINGS][what] += 1
    lines = []
    for settings, words in ((True, "with other settings"), (False, "by other code")):
        listed = ", ".join(f"{n:,} {w}{'s' if n > 1 else ''}" for w, n in counts[settings].items())
        if not listed:
            continue
        if settings and not replace:
            raise UserError(
                f"finished results in {folder} were made with other settings ({listed}); to keep "
                "both, set results=results/NAME, and to lose these, replace=true"
            )
        lines.append(
            f"Finished results in {folder} were made {words} and will be made anew: {listed}. "
            "To keep both, stop and add --config results=results/NAME."
        )
    return lines


def unasked(folder: str, jobs: Iterable[Job]) -> str:
    """A sentence on the models, pilots and tables in `folder` that none of `jobs`, which are all of
    a study, makes; '' if there are none.

    They are of seeds, curves or studies that its configuration had once.
    """
    asked = {Path(output) for job in jobs for output in job.outputs}
    words = {"runs": "model", "pilots": "pilot"}
    words |= {kind: f"{kind} table" for kind in sorted(made.measured() - WORDS.keys())}
    files = {kind: sorted(Path(folder, kind).rglob("*.h5")) for kind in words}
    found = {
        kind: [path for path in paths if path not in asked and not UNFINISHED.search(path.name)]
        for kind, paths in files.items()
    }
    listed = ", ".join(
        f"{len(paths):,} {words[kind]}{'s' if len(paths) > 1 else ''} (first: {paths[0]})"
        for kind, paths in found.items()
        if paths
    )
    return listed and (
        f"{folder} also holds what this configuration does not ask for, and what nothing shows: "
        f"{listed}. Delete it, or leave it for a configuration that does."
    )


def _stays(folder: str, job: Job, k: int, record: dict[str, dict[str, Any]]) -> bool:
    """Whether output `k`, which `hold` found to fit, still does: its data, pilot or model are the
    same."""
    output = job.outputs[k]
    link = _link(folder, output)
    if not link.exists() or not made.same_inputs(job, k, made.attributes(link) or {}):
        return False
    if not (source := made.measured_on(job, k)):
        return True
    kept = _link(folder, source)
    if kept.exists() and os.path.samefile(kept, source):
        return True
    return os.stat(source).st_mtime_ns <= record[output]["time"]


def put_back(folder: str, job: Job) -> tuple[Job | None, list[str]]:
    """Put the outputs of `job` that stay back in their place.

    Returns the job with the others (None if there are none), and a line for each finished file
    that it makes anew.
    """
    if job.kind not in made.measured():
        return job, []
    record = _record(folder)
    lines = [
        f"{output} was there, but does not fit ({problem}): made anew"
        for output in job.outputs
        if (problem := record.get(output, {}).get("problem"))
    ]
    rows = [k for k in range(len(job.outputs)) if not _stays(folder, job, k, record)]
    for output in (output for k, output in enumerate(job.outputs) if k not in rows):
        if not Path(output).exists():
            _second_name(_link(folder, output), output)
        # of a job that was killed between two curves
        Path(output).with_suffix(".checkpoint.h5").unlink(missing_ok=True)
    return made.part(job, rows), lines


def release(folder: str, finished: bool) -> None:
    """Forget what `hold` kept, once no job runs.

    Unless all jobs `finished`, files that are missing are put back, and those that a job put back
    get the time that they had: what was measured on them is no older than they are.
    """
    record = _record(folder)
    for link in () if finished else sorted(Path(folder, KEPT).rglob("*.h5")):
        output = str(Path(folder) / link.relative_to(Path(folder) / KEPT))
        if not Path(output).exists():
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            os.replace(link, output)
        elif not os.path.samefile(link, output):
            continue
        if entry := record.get(output):
            os.utime(output, ns=(entry["time"], entry["time"]))
    shutil.rmtree(Path(folder) / KEPT, ignore_errors=True)
