"""One pipeline at a time in a results folder, and jobs that end with their pipeline.

The locks are the kernel's: they end with the process that holds them, however it ends, so that a
kill or a power cut leaves nothing to clean up. (Snakemake's own lock is a file that stays after a
kill; profiles/default turns it off.) They are on two bytes of the file FOLDER/.lock: the pipeline
holds the first, each of its jobs a share of the second. In the file stands who holds the first; it
is never removed. Linux and macOS; on a file system without locks nothing is locked, and `claim`
says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from ..core.errors import UserError

PIPELINE, JOBS = 0, 1  # bytes of the file
PATIENCE = 1.0  # seconds in which a job that looks after its pipeline may hold the first byte
WAIT = 60.0  # seconds given to the jobs of a killed pipeline to write their checkpoints
POLL = 0.5  # seconds between two looks at whether the pipeline is alive
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def _taken(file: int, how: int, byte: int, patience: float = 0.0) -> bool:
    """Whether the lock became ours within `patience` seconds.

    Raises OSError where there are no locks.
    """
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.lockf(file, how | fcntl.LOCK_NB, 1, byte)
            return True
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)


def _written(file: int) -> str:
    return os.pread(file, 1000, 0).decode(errors="replace").strip()


def check_writable(folder: str | Path) -> None:
    """Raise UserError unless files can be made in `folder`, which is made if it is not there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write into {folder}: {error.strerror}; make it writable, or name another"
        ) from None


def claim(folder: str | Path, followed: bool = True) -> int | None:
    """Reserve `folder` for this process until it ends, or closes the descriptor that is returned.

    That is None where there are no locks. First it waits for jobs that a killed pipeline left
    there. If `followed`, jobs that this process starts from now on will `follow` it.

    Raises UserError when another pipeline is at work there, when jobs of a killed one do not end,
    or when the folder cannot be written.
    """
    path = Path(folder, ".lock")
    file = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _reserve(file, folder)
        me = f"{socket.gethostname()}, process {os.getpid()}, {time.time_ns()}"
        os.ftruncate(file, 0)
        os.pwrite(file, me.encode(), 0)
    except (OSError, UserError) as error:
        if file is not None:
            os.close(file)
        if isinstance(error, UserError):
            raise
        if file is not None and error.errno in NO_LOCKS:
            print(
                f"The file system of {folder} has no locks: see to it that no other run works "
                "there.",
                file=sys.stderr,
                flush=True,
            )
            return None
        raise UserError(
            f"cannot write {path}: {error.strerror}; make room or make the folder writable, then "
            "run again"
        ) from None
    if followed:
        os.environ["AEVB_PIPELINE"], os.environ["AEVB_LOCK"] = me, str(path.absolute())
    return file


def _reserve(file: int, folder: str | Path) -> None:
    """Take the first byte, once nobody has the second.

    Raises UserError as `claim` does, OSError where there are no locks.
    """
    if not _taken(file, fcntl.LOCK_EX, PIPELINE, PATIENCE):
        raise UserError(
            f"another run is at work in {folder} ({_holder(file)}); let it end or stop it, then "
            "run again"
        )
    if not _taken(file, fcntl.LOCK_EX, JOBS):
        print(
            f"Waiting for the jobs of a run that was killed to stop in {folder}.",
            file=sys.stderr,
            flush=True,
        )
        if not _taken(file, fcntl.LOCK_EX, JOBS, WAIT):
            raise UserError(
                f"jobs of a killed run are still at work in {folder}; let them end or stop them, "
                "then run again"
            )
    fcntl.lockf(file, fcntl.LOCK_UN, 1, JOBS)


def _holder(file: int) -> str:
    return _written(file).rpartition(", ")[0] or "it has just begun"


def follow() -> None:
    """In a job: take a share of its pipeline's lock, and end when the pipeline's process ends.

    Then SIGTERM is sent to this process, at which training writes a checkpoint. On another machine,
    where the pipeline's own lock may not be seen, the job goes on to its end. Outside of a pipeline
    nothing happens. Raises UserError if the pipeline has ended already.
    """
    pipeline, path = os.environ.get("AEVB_PIPELINE", ""), os.environ.get("AEVB_LOCK")
    if not path:
        return
    here, alive = pipeline.partition(", ")[0] == socket.gethostname(), False
    with contextlib.suppress(OSError):  # the folder is gone, or there are no locks on this machine
        file = os.open(path, os.O_RDONLY)  # never closed: that would end the share
        fcntl.lockf(file, fcntl.LOCK_SH, 1, JOBS)
        alive = here and _alive(file, pipeline)
    if here and not alive:
        raise UserError("the run that started this job has ended; run again")
    if here:
        threading.Thread(target=_watch, args=(file, pipeline), daemon=True).start()


def _alive(file: int, pipeline: str) -> bool:
    """Whether the process that `pipeline` names still holds the first byte."""
    if _written(file) != pipeline:
        return False
    if not _taken(file, fcntl.LOCK_SH, PIPELINE):
        return True
    fcntl.lockf(file, fcntl.LOCK_UN, 1, PIPELINE)
    return False


def _watch(file: int, pipeline: str) -> None:
    while _alive(file, pipeline):
        time.sleep(POLL)
    os.kill(os.getpid(), signal.SIGTERM)
