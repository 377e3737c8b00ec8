"""The ablation: readings of the paper, one at a time, beside the study's own."""

from __future__ import annotations

from pydantic import Field

from ...core.run import Run
from ...core.sections import Count, Strict, Whole
from .. import Study
from ..figure2 import Curves
from ..readings import CHANGES, Readings, check, decided


class Ablation(Strict):
    """Readings of the paper, one at a time against the study's own: all else stays, pilot apart,
    and random numbers too."""

    curves: list[Curves] = Field(
        min_length=1,
        description="what is trained again under every reading: rows as those of figure2",
    )
    readings: Readings = Field(
        min_length=1,
        description=f"{CHANGES}. Its runs are those of experiment BASE+NAME; the study's own "
        "reading, which is called default, is the base itself",
    )
    samples: Count = Field(
        1_000_000, description="budget of a curve, at most the study's `samples`"
    )
    seeds: list[Whole] | None = Field(
        None, min_length=1, description="some of the study's; unless given, the first"
    )


class ReadingsOneByOne(Study):
    """The study; see `Study` for what each method answers."""

    key = "ablation"
    order = 70
    listed = False
    section = Ablation

    def names(self, config):
        return [row.experiment for row in config.ablation.curves]

    def check(self, config):
        if not set(config.ablation.seeds or []) <= set(config.seeds):
            raise ValueError("ablation.seeds must be among seeds")
        check(config, self, config.ablation.readings, self.names(config))
        for reading in config.ablation.readings:
            if all(
                decided(config, f"{row.experiment}+{reading}", row.algorithms)
                == decided(config, row.experiment, row.algorithms)
                for row in config.ablation.curves
            ):
                raise ValueError(
                    f"ablation.readings.{reading} changes nothing: its values are the study's own"
                )

    def variants(self, config):
        return dict(config.ablation.readings) if config.ablation else {}

    def models(self, config) -> list[Run]:
        """The runs compared: under the study's own reading, then reading by reading."""
        part = config.ablation
        return [
            Run(row.experiment + suffix, algorithm, latent_dim, seed)
            for suffix in (("", *(f"+{name}" for name in part.readings)) if part else ())
            for row in part.curves
            for latent_dim in row.latent_dims
            for algorithm in row.algorithms
            for seed in part.seeds or config.seeds[:1]
        ]

    def runs(self, config):
        models = self.models(config)
        return [(run, min(config.ablation.samples, config.samples)) for run in models]

    def numbers(self, config):
        return {"readings": "studies.ablation.numbers:readings"}

    def part(self):
        return "studies.ablation.findings:part"


STUDY = ReadingsOneByOne()
