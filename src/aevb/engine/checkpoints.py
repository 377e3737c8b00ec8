"""Checkpoints: training that is stopped goes on where it was, to the same bits."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ..core.files import new_h5, open_h5
from .roots import deciding
from .stack import Stack

SECONDS = 30.0  # between two checkpoints
# Of the time that may go into writing them: those of many large models come less often.
SHARE = 0.05


class Interrupted(SystemExit):
    """SIGTERM or SIGINT arrived; the checkpoint is written."""


@contextlib.contextmanager
def signals():
    """Yield a list that receives the numbers of SIGTERM and SIGINT, at which the process then does
    not end."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda n, _: received.append(n))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def path_beside(path: str | Path) -> Path:
    """The checkpoint of a stack, beside the file of its first run."""
    path = Path(path)
    return path.with_name(f"{path.stem}.checkpoint.h5")


def key(stack: Stack, step_sizes: list[float]) -> str:
    """What a checkpoint belongs to: the same runs, settings, data, code, torch and device."""
    parts = [
        stack.settings.to_json(stack.runs[0].algorithm),
        [run.name for run in stack.runs],
        step_sizes,
        stack.data.sha256,
        deciding(stack.runs[0], stack.settings).sha256,
    ]
    return hashlib.sha256(
        json.dumps([*parts, torch.__version__, str(stack.device)]).encode()
    ).hexdigest()


def save(stack: Stack, path: Path, key: str) -> None:
    """Write a checkpoint atomically; raises UserError if the disk is full."""
    with new_h5(path) as file:
        file.attrs["key"] = key
        file.attrs["state"] = json.dumps({name: getattr(stack, name) for name in stack.STATE})
        for name in stack.ARRAYS:
            file[name] = getattr(stack, name)
        for name in stack.TENSORS:
            file[name] = getattr(stack, name).cpu().numpy()
        for replica, snapshots in enumerate(stack.snapshots):
            if snapshots:
                file[f"snapshots/{replica}"] = np.stack(snapshots)


def restore(stack: Stack, path: Path, key: str) -> bool:
    """Continue from a checkpoint; False, with the reason on stderr, if it is not there, damaged
    or of other settings."""
    try:
        with open_h5(path) as file:
            if file.attrs["key"] != key:
                print(
                    f"{path}: a checkpoint of other settings, data or code; starting anew",
                    file=sys.stderr,
                )
                return False
            state = json.loads(file.attrs["state"])
            arrays = {name: file[name][:] for name in stack.ARRAYS}
            tensors = {
                name: torch.from_numpy(file[name][:]).to(stack.device) for name in stack.TENSORS
            }
            snapshots = [
                list(file[f"snapshots/{r}"][:]) if f"snapshots/{r}" in file else []
                for r in range(len(stack.runs))
            ]
    except FileNotFoundError:
        return False
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        print(f"{path}: damaged checkpoint ({error}); starting anew", file=sys.stderr)
        return False
    for name, value in {**state, **arrays, **tensors, "snapshots": snapshots}.items():
        setattr(stack, name, value)
    return True


class Keeper:
    """The checkpoints of stacks that train together, each with its path, or None for none."""

    def __init__(self, stacks: list[tuple[Stack, list[float], Path | None]]):
        self.kept = [(stack, path, key(stack, sizes)) for stack, sizes, path in stacks if path]
        self.saved, self.cost = time.monotonic(), 0.0

    def restore(self, samples: int) -> None:
        """Continue from the checkpoints that are there, of a training to `samples`."""
        for stack, path, key in self.kept:
            if restore(stack, path, key):
                print(
                    f"{stack.runs[0].curve}: resumed at {stack.samples:,} of {samples:,} samples",
                    file=sys.stderr,
                )
        self.saved = time.monotonic()

    def save(self) -> None:
        """Write all checkpoints."""
        started = time.monotonic()
        for stack, path, key in self.kept:
            save(stack, path, key)
        self.saved = time.monotonic()
        self.cost = self.saved - started

    @property
    def due(self) -> bool:
        """Whether it is time to write them again."""
        return time.monotonic() - self.saved > max(SECONDS, self.cost / SHARE)
