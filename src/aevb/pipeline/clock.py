"""Files from a time that is yet to come: of a clock that was ahead, or that has been set back."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

SLACK = 2.0  # seconds: network file systems stamp by a clock of their own


def settle(folder: str | Path) -> None:
    """Stamp the files below `folder` that come from the future with the present.

    It says so on stderr. Snakemake removes what a job makes of an input that is newer, whatever is
    in it, and would do so again at every call.
    """
    now, found = time.time(), 0
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            if not path.is_symlink() and path.is_file() and path.stat().st_mtime > now + SLACK:
                os.utime(path, (now, now))  # all the same: none of them newer than another
                found += 1
    if found:
        print(
            f"{found} files in {folder} came from the future (a clock was set back?); their "
            "timestamps were reset to the present.",
            file=sys.stderr,
            flush=True,
        )
