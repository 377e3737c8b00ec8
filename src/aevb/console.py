"""Talking to the person at the terminal, or reading the log of a cluster job."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from .errors import UserError


class _Tee:
    def __init__(self, *streams):
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


def pass_on(source: str) -> None:
    """Let the processes of the jobs import from the folder `source`, as this one does."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


def hide_gpus() -> None:
    """Let this process and those of the jobs, on whatever node a cluster runs them with this environment, see no GPU: jobs that were
    planned for a CPU keep to it, and their nodes make the same plan."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@contextlib.contextmanager
def job(log: str):
    """Run a job: what it prints to stderr also goes to the file `log`; a UserError becomes one line and exit status 1."""
    terminal = sys.stderr
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        file = open(log, "w", encoding="utf-8")  # noqa: SIM115 closed below
    except OSError as error:
        sys.exit(f"error: cannot write {log}: {error.strerror}; make room or make the folder writable, then run again")
    with file, contextlib.redirect_stderr(_Tee(terminal, file)):
        try:
            yield
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("stopped by Ctrl-C; run again to resume", file=sys.stderr)
            sys.exit(130)


def errors_in(folder: str, since: float) -> list[str]:
    """The error lines that jobs logged under `folder` after the time `since`, for the last word of a failed run."""
    lines = {}
    for log in Path(folder).rglob("*.log"):
        if log.stat().st_mtime < since:
            continue
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("error: "):
                lines[line] = None
    return list(lines)


#: what the jobs of a rule (the first word of its name) make, for `summary`
MADE = {
    "dataset": "data sets prepared",
    "pilot": "step sizes chosen",
    "train": "models trained",
    "evidence": "models with log p(x) estimated",
    "estimators": "models with estimators graded",
    "variance": "models with variances measured",
    "figure": "figures drawn",
}


class Finished(NamedTuple):
    """A planned job at the end of a pipeline: its rule, how many models (or files) it makes, its log or '', what became of it."""

    rule: str
    size: int
    log: str
    done: bool
    failed: bool


def summary(jobs: list[Finished], seconds: float) -> str:
    """What a pipeline made, in one sentence, and a line for each job that failed."""
    counts = []
    for kind, words in MADE.items():
        of_kind = [job for job in jobs if job.rule.split("_")[0] == kind]
        done, planned = sum(job.size for job in of_kind if job.done), sum(job.size for job in of_kind)
        if planned:
            counts.append(f"{done} {words}" if done == planned else f"{done} of {planned} {words}")
    done = sum(job.done for job in jobs)
    lines = [f"{done} of {len(jobs)} jobs done in {duration(seconds)}: {', '.join(counts) or 'no models, no figures'}."]
    lines += [f"Failed: {job.rule}{f', see {job.log}' if job.log else ''}" for job in jobs if job.failed]
    return "\n".join(lines)


def command(arguments: list[str]) -> str:
    """The command line that started this pipeline, to be copied; ./run says in AEVB_RUN that it is what was called."""
    return shlex.join([*([os.environ["AEVB_RUN"]] if "AEVB_RUN" in os.environ else ["snakemake"]), *arguments])


def duration(seconds: float) -> str:
    """90 -> '1.5 min'."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
