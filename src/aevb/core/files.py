"""Writing files so that nothing half-written is ever seen."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path

import h5py

from .errors import UserError


@contextlib.contextmanager
def atomic(path: str | Path):
    """A temporary name beside `path`, renamed to it at the end of the block; on any error nothing
    stays.

    The name is fixed, as a file has one writer: a successor overwrites what a killed process left.
    Raises UserError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is a folder or a device, which no file replaces; name another")
    temporary = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(
            f"cannot write {path}: {reason}; make room or make the folder writable, then run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


MARK = b"sha256 of all that follows this block: "
SIGNATURE = b"\x89HDF\r\n\x1a\n"  # of an HDF5 file without a user block
BLOCK = 512  # bytes, the smallest user block that HDF5 allows


def _block(content: bytes) -> bytes:
    """The user block of an HDF5 file of which `content` is the rest."""
    return (MARK + hashlib.sha256(content).hexdigest().encode()).ljust(BLOCK, b"\0")


@contextlib.contextmanager
def new_h5(path: str | Path):
    """An h5py.File in memory, whose bytes are written to `path` at the end of the block, as by
    `atomic`, with their SHA-256 in front.

    The HDF5 library cannot be trusted on a full disk (closing a file may end the process), so it
    never sees one.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
        yield file
    content = buffer.getvalue()[BLOCK:]
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.write(_block(content))
        file.write(content)


@contextlib.contextmanager
def open_h5(path: str | Path):
    """An h5py.File for reading what `new_h5` wrote, once all of its bytes are known to be as they
    were written.

    It is read from memory: HDF5's own locks, which network file systems may lack, play no part.
    Files that other programs wrote have no SHA-256 in front and are taken as they are. Raises
    OSError if the file is damaged, and FileNotFoundError.
    """
    content = Path(path).read_bytes()
    if not content.startswith(SIGNATURE) and content[:BLOCK] != _block(content[BLOCK:]):
        raise OSError("its bytes are not those that were written")
    with h5py.File(io.BytesIO(content), "r") as file:
        yield file
