"""Writing files so that nothing half-written is ever seen."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import h5py

from .errors import UserError


@contextlib.contextmanager
def atomic(path: str | Path):
    """A temporary name beside `path`, renamed to it at the end of the block; on any error nothing stays.

    The name is fixed (one writer a file), so that what a killed process left is overwritten by its successor.
    Raises UserError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"cannot write {path}: {reason}; make room or make the folder writable, then run again") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def new_h5(path: str | Path):
    """An h5py.File in memory, whose bytes are written to `path` at the end of the block, as by `atomic`.

    The HDF5 library cannot be trusted on a full disk (closing a file may end the process), so it never sees one.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        yield file
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
