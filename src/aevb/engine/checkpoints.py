"""Checkpoints: training that is stopped goes on where it was, to the same bits.

So does training that is finished and is to be longer, from the states that a study keeps. A state
is the checkpoint of one replica, so that it does not matter which replicas trained together.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.files import new_h5, open_h5
from ..core.run import Run
from ..data import Data
from .roots import deciding
from .settings import Settings
from .stack import Stack

if TYPE_CHECKING:
    from .training import Curve

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


def key(
    runs: Sequence[Run],
    step_sizes: Sequence[float],
    settings: Settings,
    data: Data,
    device: torch.device,
    longer: bool = False,
) -> str:
    """What a checkpoint belongs to: the same runs, settings, data, code, torch and device.

    With `longer`, also to a training to more samples.
    """
    values = json.loads(settings.to_json(runs[0].algorithm))
    if longer:
        del values["samples"]
    parts = [
        values,
        [run.name for run in runs],
        list(step_sizes),
        data.sha256,
        deciding(runs[0], settings).sha256,
        torch.__version__,
        str(device),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def save(stack: Stack, path: Path, key: str, row: int | None = None) -> None:
    """Write a checkpoint atomically, or the state of the replica in one row; raises UserError if
    the disk is full."""
    rows, replicas = slice(None), list(range(len(stack.runs)))
    state = {name: getattr(stack, name) for name in stack.STATE}
    if row is not None:
        rows, replicas = slice(row, row + 1), [stack.live[row]]
        for name in ("reasons", "samples_at_end", "curves"):
            state[name] = [state[name][replicas[0]]]
        state |= {"live": [0], "step_sizes": state["step_sizes"][rows]}
    with new_h5(path) as file:
        file.attrs["key"] = key
        file.attrs["state"] = json.dumps(state)
        for name in stack.ARRAYS:
            file[name] = getattr(stack, name)[replicas]
        for name in stack.TENSORS:
            file[name] = getattr(stack, name)[rows].cpu().numpy()
        for k, replica in enumerate(replicas):
            if stack.snapshots[replica]:
                file[f"snapshots/{k}"] = np.stack(stack.snapshots[replica])


def read(path: Path, key: str) -> dict[str, Any] | None:
    """What a checkpoint holds; None, with the reason on stderr, if it is not there, damaged or of
    other settings."""
    try:
        with open_h5(path) as file:
            if file.attrs["key"] != key:
                print(
                    f"{path}: a checkpoint of other settings, data or code; starting anew",
                    file=sys.stderr,
                )
                return None
            state = json.loads(file.attrs["state"])
            state |= {name: file[name][:] for name in file if name != "snapshots"}
            state["snapshots"] = [
                list(file[f"snapshots/{k}"][:]) if f"snapshots/{k}" in file else []
                for k in range(len(state["curves"]))
            ]
            return state
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        print(f"{path}: damaged checkpoint ({error}); starting anew", file=sys.stderr)
        return None


def restore(stack: Stack, parts: Sequence[dict[str, Any]]) -> None:
    """Continue from a checkpoint, or from the states of all replicas, which are at one step."""
    state = dict(parts[0])
    if len(parts) > 1:
        for name in ("reasons", "samples_at_end", "curves", "step_sizes", "snapshots"):
            state[name] = [value for part in parts for value in part[name]]
        for name in (*stack.ARRAYS, *stack.TENSORS):
            state[name] = np.concatenate([part[name] for part in parts])
        state["live"] = list(range(len(parts)))
    for name in stack.TENSORS:
        state[name] = torch.from_numpy(state[name]).to(stack.device)
    for name, value in state.items():
        setattr(stack, name, value)


class States:
    """The states of finished replicas in `folder`."""

    def __init__(self, folder: str | None, settings: Settings, data: Data, device: torch.device):
        # Evaluations that are spread over the budget are no part of a longer training.
        self.folder = None if folder is None or settings.snapshots else Path(folder)
        self.what = settings, data, device

    def _where(self, run: Run, step_size: float) -> tuple[Path, str]:
        belongs = key([run], [step_size], *self.what, longer=True)
        return self.folder / f"{run.name}-{belongs[:16]}.h5", belongs

    def step(self, run: Run, step_size: float) -> int:
        """The step of the state of a run; 0 without one."""
        if self.folder is None:
            return 0
        path, belongs = self._where(run, step_size)
        with contextlib.suppress(OSError, KeyError, ValueError), open_h5(path) as file:
            if file.attrs["key"] == belongs:
                return json.loads(file.attrs["state"])["step"]
        return 0

    def restore(self, stack: Stack, last_step: int) -> bool:
        """Continue from the states of all replicas, if they are at one step up to `last_step`."""
        members = list(zip(stack.runs, stack.step_sizes, strict=True))
        steps = {self.step(*member) for member in members}
        if len(steps) > 1 or not 0 < min(steps) <= last_step:
            return False
        parts = [read(*self._where(*member)) for member in members]
        if None in parts:
            return False
        restore(stack, parts)
        return True

    def keep(self, stack: Stack, last_step: int) -> None:
        """Keep the states of a stack if it is at the last whole block up to `last_step`, and not
        yet evaluated there: a longer training may not be. States of longer ones stay."""
        if self.folder is None or stack.step != whole(last_step, stack):
            return
        for row, (replica, size) in enumerate(zip(stack.live, stack.step_sizes, strict=True)):
            if self.step(run := stack.runs[replica], size) < stack.step:
                save(stack, *self._where(run, size), row)


def whole(last_step: int, stack: Stack) -> int:
    """The last step up to `last_step` at which a block ends."""
    return last_step - last_step % stack.block


class Keeper:
    """The checkpoints of stacks that train `curves` together to `last_step`, and the states that
    are kept of them."""

    def __init__(self, stacks: list[Stack], curves: list[Curve], last_step: int):
        self.last_step = last_step
        self.kept, self.states = [], {}
        for stack, curve in zip(stacks, curves, strict=True):
            what = curve.settings, curve.data, stack.device
            self.states[stack] = States(curve.states, *what)
            if curve.checkpoint:
                belongs = key(curve.runs, curve.step_sizes, *what)
                self.kept.append((stack, curve.checkpoint, belongs))
        self.saved, self.cost = time.monotonic(), 0.0

    def restore(self, samples: int) -> None:
        """Continue from the checkpoints that are there, of a training to `samples`, or from the
        states of shorter ones."""
        for stack, path, key in self.kept:
            if checkpoint := read(path, key):
                restore(stack, [checkpoint])
        for stack, states in self.states.items():
            if stack.step or states.restore(stack, self.last_step):
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

    def keep(self, stack: Stack) -> None:
        """Keep the states of a stack whose training is at its end."""
        self.states[stack].keep(stack, self.last_step)

    @property
    def due(self) -> bool:
        """Whether it is time to write them again."""
        return time.monotonic() - self.saved > max(SECONDS, self.cost / SHARE)
