"""Talking to the person at the terminal, or reading the log of a cluster job."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from . import locks
from .errors import Damaged, UserError


class _Tee:
    """Writes to a terminal and a log file. That one is full or the other gone is no reason to stop a job."""

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


def pass_on(source: str) -> None:
    """Let the processes of the jobs import from the folder `source`, as this one does."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


def may_remove(folders: list[str], kept: list[str]) -> None:
    """Let the processes of the jobs remove damaged files under `folders`, which the pipeline makes anew, but none under `kept`."""
    os.environ["AEVB_MADE"] = json.dumps([[os.path.realpath(folder) for folder in group] for group in (folders, kept)])


def _remove(error: Damaged) -> str:
    """What to say of a damaged file, which is removed if the pipeline makes it anew."""
    made, kept = json.loads(os.environ.get("AEVB_MADE", "[[], []]"))
    above = {str(folder) for folder in Path(os.path.realpath(error.path)).parents}
    if above & set(made) and not above & set(kept):
        with contextlib.suppress(OSError):
            error.path.unlink()
            return f"{error.path} was damaged ({error.reason}) and has been removed; run again, and it is made anew"
    return str(error)


@contextlib.contextmanager
def job(log: str):
    """Run a job: what it prints to stderr also goes to the file `log`; a UserError becomes one line and exit status 1, a damaged file
    that the pipeline makes is removed, and the end of the pipeline's process is that of the job."""
    terminal = sys.stderr
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        file = open(log, "wb", buffering=0)  # noqa: SIM115 closed below
    except OSError as error:
        sys.exit(f"error: cannot write {log}: {error.strerror}; make room or make the folder writable, then run again")
    with file, contextlib.redirect_stderr(_Tee(terminal, file)):
        try:
            locks.follow()
            yield
        except UserError as error:
            print(f"error: {_remove(error) if isinstance(error, Damaged) else error}", file=sys.stderr)
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


def duration(seconds: float) -> str:
    """90 -> '1.5 min'."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
