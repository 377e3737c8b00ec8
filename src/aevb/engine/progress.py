"""How far training is, on stderr."""

from __future__ import annotations

import sys
import time

import numpy as np

from .. import results
from ..core.progress import SECONDS
from ..core.words import duration
from .stack import Stack


class Progress:
    """A line on stderr every SECONDS: share done, rate, current bound of a curve, time left."""

    def __init__(self, stacks: list[Stack], total: int):
        runs = [run for stack in stacks for run in stack.runs]
        others = f" and {len(stacks) - 1} other curves" if len(stacks) > 1 else ""
        self.name = f"{runs[0].curve}{others}, {len(runs)} x"
        self.total, self.start_samples = total, min(stack.samples for stack in stacks)
        self.start = self.last = time.monotonic()

    def __call__(self, stacks: list[Stack]) -> None:
        """Say how far `stacks` are, which just advanced, all to the same number of samples."""
        now, stack = time.monotonic(), next((stack for stack in stacks if stack.live), None)
        if now - self.last < SECONDS or stack is None or stack.samples >= self.total:
            return
        self.last = now
        rate = (stack.samples - self.start_samples) / (now - self.start)
        left = (self.total - stack.samples) / rate
        if stack.running_steps:
            mean = np.mean(stack.running[stack.live]) / stack.running_steps
        else:
            column = list(results.CURVE).index("running")
            mean = np.mean([stack.curves[r][-1][column] for r in stack.live])
        bound = f"{stack.what.removeprefix('the ')} {mean:.1f} nats"
        print(
            f"{self.name} {stack.samples:,} of {self.total:,} samples "
            f"({stack.samples / self.total:.0%}), "
            f"{rate * sum(len(stack.live) for stack in stacks):,.0f} samples/s, {bound}, "
            f"{duration(left)} left",
            file=sys.stderr,
            flush=True,
        )
