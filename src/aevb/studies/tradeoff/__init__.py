"""The trade-off: L draws per datapoint against minibatches of M, at equal cost."""

from __future__ import annotations

from pydantic import Field

from ...core.run import Run, split
from ...core.sections import Count, ShortName, Size, Strict, Whole
from .. import Study


class Tradeoff(Strict):
    """AEVB with L draws and minibatches of M at equal cost, experiment BASE+lL-mM (the study's
    own L and M: BASE)."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dim: Size = Field(description="N_z")
    draws: list[Count] = Field(
        [1, 2, 5, 10], min_length=1, description="L, samples of z per datapoint"
    )
    batch_sizes: list[Count] = Field([10, 20, 50, 100], min_length=1, description="M")
    samples: Count = Field(
        1_000_000,
        description="cost of a curve, at most the study's `samples`: L x datapoints, gradients of "
        "single draws. L draws see samples / L datapoints, to the next full minibatch, and are "
        "evaluated from evaluation.first / L on; the pilot is not divided",
    )
    seeds: list[Whole] | None = Field(
        None, min_length=1, description="some of the study's; unless given, the first"
    )


class DrawsAgainstMinibatches(Study):
    """The study; see `Study` for what each method answers."""

    key = "tradeoff"
    order = 80
    listed = False
    section = Tradeoff
    claims = "studies.tradeoff.claims"

    def names(self, config):
        return [config.tradeoff.experiment]

    def check(self, config):
        if not set(config.tradeoff.seeds or []) <= set(config.seeds):
            raise ValueError("tradeoff.seeds must be among seeds")

    def sizes(self, config) -> dict[str, tuple[int, int]]:
        """L and M by the name of their experiment or variant; the study's own are the base."""
        if (part := config.tradeoff) is None:
            return {}
        training = config.training_of(part.experiment)
        own = (training.draws, training.batch_size)
        return {
            part.experiment + ("" if (draws, batch) == own else f"+l{draws}-m{batch}"): (
                draws,
                batch,
            )
            for draws in part.draws
            for batch in part.batch_sizes
        }

    def variants(self, config):
        first, own = config.evaluation.first, config.training.draws
        return {
            split(name)[1]: {
                "draws": draws,
                "batch_size": batch,
                "first": -(-first * own // draws),  # at the same costs as under the study's own L
            }
            for name, (draws, batch) in self.sizes(config).items()
            if split(name)[1]
        }

    def models(self, config) -> list[Run]:
        """Its runs, by L and then M."""
        part = config.tradeoff
        return [
            Run(name, "aevb", part.latent_dim, seed)
            for name in self.sizes(config)
            for seed in part.seeds or config.seeds[:1]
        ]

    def runs(self, config):
        if config.tradeoff is None:
            return []
        cost, sizes = min(config.tradeoff.samples, config.samples), self.sizes(config)
        return [(run, -(-cost // sizes[run.experiment][0])) for run in self.models(config)]

    def numbers(self, config):
        return {"tradeoff": "studies.tradeoff.numbers:tradeoff"}

    def part(self):
        return "studies.tradeoff.findings:part"


STUDY = DrawsAgainstMinibatches()
