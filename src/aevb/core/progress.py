"""How far long work is, as lines on stderr."""

from __future__ import annotations

import sys
import time

from .words import duration

SECONDS = 10.0  # between two lines


class Progress:
    """The share done of `total` equal parts and the time left, at most once in SECONDS."""

    def __init__(self, name: str, total: int):
        self.name, self.total, self.done = name, total, 0
        self.start = self.last = time.monotonic()

    def __call__(self) -> None:
        """One of `total` is done."""
        self.done += 1
        self._say(self.done)

    def part(self, done: int, total: int) -> None:
        """So much of the one at work is done."""
        self._say(self.done + done / total)

    def _say(self, done: float) -> None:
        now = time.monotonic()
        if now - self.last > SECONDS and done < self.total:
            self.last = now
            left = (now - self.start) * (self.total - done) / done
            print(
                f"{self.name}: {done:.2f} of {self.total} ({done / self.total:.0%}), "
                f"{duration(left)} left",
                file=sys.stderr,
                flush=True,
            )
