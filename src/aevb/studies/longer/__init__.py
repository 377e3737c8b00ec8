"""Longer: the same curves of Figure 2 to more samples, by another study, perhaps on a GPU."""

from __future__ import annotations

from pydantic import Field

from ...core.sections import ShortName, Strict
from .. import Figure, Study


class Longer(Strict):
    """Figure 2 to more samples, by a study of `beside`: its distances to the paper, and whether it
    ends where this one does."""

    other: ShortName = Field(
        description="name of a study of `beside` that has the same curves to more samples"
    )


class LongerRun(Study):
    """The study; see `Study` for what each method answers."""

    key = "longer"
    order = 25
    section = Longer
    listed = False

    def check(self, config):
        if config.longer and not config.beside:
            raise ValueError("longer.other must be the name of a study of `beside`, which is empty")

    def figures(self, config):
        title, draw = "Figure 2 to more samples", "studies.figure2.figures:figure2"
        figure = Figure(title, draw, data="longer_distances.csv", of=config.longer.other)
        return {"longer": figure}

    def numbers(self, config):
        here = "studies.longer.numbers"
        return {
            f"longer_{name}": f"{here}:{name}"
            for name in ("distances", "claims", "ends", "collapse")
        }

    def part(self):
        return "studies.longer.findings:part"


STUDY = LongerRun()
