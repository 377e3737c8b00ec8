"""Sources: what the paper prints, what its author's code does, what its curves say; and Figure 2
under two readings."""

from __future__ import annotations

from pydantic import Field

from ...core.sections import ShortName, Strict
from .. import Study


class Sources(Strict):
    """Distances to the paper's Figure 2 and verdicts on its claims under two readings of what the
    paper leaves open: this study's and that of another."""

    reading: str = Field(min_length=1, description="what this study's reading is called")
    other: ShortName = Field(
        description="name of a study of `beside` that has the same curves under another reading"
    )
    also: dict[ShortName, ShortName] = Field(
        {},
        description="further studies of `beside`, by name: one of this reading: its counterpart of "
        "the other. Claims that this study cannot test are judged on the first, those that `other` "
        "cannot on the second",
    )
    other_reading: str = Field(min_length=1, description="what that reading is called")


class TwoReadings(Study):
    """The study; see `Study` for what each method answers."""

    key = "sources"
    order = 15
    section = Sources
    listed = False

    def check(self, config):
        if config.sources and not config.beside:
            raise ValueError(
                "sources.other must be the name of a study of `beside`, which is empty"
            )

    def numbers(self, config):
        here = "studies.sources.numbers"
        return {name: f"{here}:{name}" for name in ("sources", "both_distances", "both_claims")}

    def part(self):
        return "studies.sources.findings:part"


STUDY = TwoReadings()
