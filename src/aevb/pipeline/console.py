"""Talking to the person at the terminal, or reading the log of a cluster job."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from ..core.errors import Damaged, UserError
from ..core.words import duration
from . import locks


class _Tee:
    """What writes to a terminal and a log file.

    That one is gone or the other full is no reason to stop a job.
    """

    def __init__(self, terminal, file):
        self.terminal, self.file = terminal, file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.file.write(text.encode(errors="replace"))
        with contextlib.suppress(OSError):
            self.terminal.write(text)
            self.terminal.flush()
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def python() -> str:
    """This Python as Snakemake can call it, which leaves its path unquoted: where that has what a
    shell reads, as a space, its path from the working folder, or its name if PATH leads to it.

    Raises UserError if none will do.
    """
    name = Path(sys.executable).name
    ways = [sys.executable, os.path.relpath(sys.executable)]
    ways += [name] if shutil.which(name) == sys.executable else []
    for way in ways:
        if shlex.quote(way) == way:
            return way
    raise UserError(
        f"{sys.executable} has a space or another character that a shell reads in its path, with "
        "which Snakemake cannot call it; work in a folder above it, put its folder first on PATH, "
        "or move it"
    )


def pass_on(source: str) -> None:
    """Let the processes of the jobs import from the folder `source`, as this one does."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


def hide_gpus() -> None:
    """Let this process and those of the jobs see no GPU, on any node with this environment.

    Jobs that were planned for a CPU keep to it, and their nodes make the same plan.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def may_remove(folders: list[str], kept: list[str]) -> None:
    """Let the processes of the jobs remove damaged files under `folders`, but not those `kept`.

    The pipeline makes them anew.
    """
    os.environ["AEVB_MADE"] = json.dumps(
        [[os.path.realpath(path) for path in group] for group in (folders, kept)]
    )


def _remove(error: Damaged) -> str:
    """What to say of a damaged file, which is removed if the pipeline makes it anew."""
    made, kept = json.loads(os.environ.get("AEVB_MADE", "[[], []]"))
    path = Path(os.path.realpath(error.path))
    if {str(folder) for folder in path.parents} & set(made) and str(path) not in kept:
        with contextlib.suppress(OSError):
            Path(error.path).unlink()
            gone = f"{error.path} was damaged ({error.reason}) and has been removed"
            return f"{gone}; run again, and it is made anew"
    return str(error)


def stop_once(stop: BaseException) -> None:
    """Raise `stop` at the first Ctrl-C in this process. Those that follow do nothing: they would
    break off what ends it in order.

    Where Ctrl-C is ignored, as in a shell's background, it stays so.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return

    def first(number, frame):
        # not SIG_IGN, which processes that are started from now on would inherit
        signal.signal(signal.SIGINT, lambda number, frame: None)
        raise stop

    signal.signal(signal.SIGINT, first)


@contextlib.contextmanager
def job(log: str):
    """Run a job, whose stderr also goes to the file `log`.

    A UserError becomes one line and exit status 1. A damaged file that the pipeline makes is
    removed. The end of the pipeline's process is that of the job.
    """
    terminal = sys.stderr
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        file = open(log, "wb", buffering=0)  # noqa: SIM115 closed below
    except OSError as error:
        sys.exit(
            f"error: cannot write {log}: {error.strerror}; make room or make the folder writable, "
            "then run again"
        )
    with file, contextlib.redirect_stderr(_Tee(terminal, file)):
        try:
            locks.follow()
            yield
        except UserError as error:
            print(
                f"error: {_remove(error) if isinstance(error, Damaged) else error}", file=sys.stderr
            )
            sys.exit(1)
        except KeyboardInterrupt:
            print("stopped by Ctrl-C; run again to resume", file=sys.stderr)
            sys.exit(130)


def errors_in(folder: str, since: float) -> list[str]:
    """The error lines that jobs logged under `folder` after the time `since`.

    They are the last words of a failed run.
    """
    lines = {}
    for log in Path(folder).rglob("*.log"):
        if log.stat().st_mtime < since:
            continue
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("error: "):
                lines[line] = None
    return list(lines)


class Finished(NamedTuple):
    """A planned job at the end of a pipeline, and what became of it."""

    name: str  # of its rule
    makes: str  # in words; '' for what needs none
    size: int  # how many of these
    log: str  # its file, or ''
    done: bool
    failed: bool


def summary(jobs: list[Finished], seconds: float) -> str:
    """What a pipeline made, in one sentence, and a line for each job that failed."""
    counts = []
    for words in dict.fromkeys(job.makes for job in jobs if job.makes):
        alike = [job for job in jobs if job.makes == words]
        done, planned = sum(job.size for job in alike if job.done), sum(job.size for job in alike)
        counts.append(f"{done} {words}" if done == planned else f"{done} of {planned} {words}")
    done = sum(job.done for job in jobs)
    made = ", ".join(counts) or "no models, no figures"
    lines = [f"{done} of {len(jobs)} jobs done in {duration(seconds)}: {made}."]
    for job in jobs:
        if job.failed:
            lines.append(f"Failed: {job.name}{f', see {job.log}' if job.log else ''}")
    return "\n".join(lines)


def command(arguments: list[str]) -> str:
    """The command line that started this pipeline, to be copied.

    ./run says in AEVB_RUN that it is what was called.
    """
    return shlex.join(
        [*([os.environ["AEVB_RUN"]] if "AEVB_RUN" in os.environ else ["snakemake"]), *arguments]
    )
