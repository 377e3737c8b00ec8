"""The paper itself: its claims, and how far our curves are from its own. It is always there."""

from __future__ import annotations

from ...data import DATASETS
from ...paper.facts import begins
from .. import Figure, Study
from ..planning import budgets


class Paper(Study):
    """The study; see `Study` for what each method answers."""

    key = "paper"
    order = 10

    def active(self, config):
        return True

    def compared(self, config) -> bool:
        """Whether a curve of the study reaches one of the paper's."""

        def original(experiment: str) -> str:
            return DATASETS[config.experiments[experiment].dataset].original

        rows = [
            (2, original(row.experiment), 0, latent_dim, key, row.experiment)
            for row in config.figure2
            for latent_dim in row.latent_dims
            for key in row.algorithms
        ]
        if part := config.figure3:
            rows += [
                (
                    3,
                    original(name),
                    config.n_train(name),
                    part.latent_dim,
                    key,
                    name,
                )
                for name in part.experiments
                for key in part.algorithms
            ]
        first, asked = begins(), budgets(config)
        longest: dict[tuple[str, int, str], int] = {}
        for run, samples in asked.items():
            curve = run.experiment, run.latent_dim, run.algorithm
            longest[curve] = max(samples, longest.get(curve, 0))
        return any(
            key in first and longest.get((name, key[3], key[4]), 0) >= first[key]
            for *key, name in rows
            for key in [tuple(key)]
        )

    def figures(self, config):
        if not self.compared(config):
            return {}
        draw, title = "studies.paper.figures:distance", "Distance to the paper's curves"
        return {"distance": Figure(title, draw, "distance.rst", "distances.csv")}

    def numbers(self, config):
        tables = {"claims": "studies.paper.numbers:claims"}
        known = any(DATASETS[name].in_paper for name in config.datasets)
        if known or config.beside or config.plugins:
            tables["checks"] = "studies.paper.numbers:checks"
        if self.compared(config) or config.beside:
            tables["distances"] = "studies.paper.numbers:distances"
        return tables

    def part(self):
        return "studies.paper.findings:part"


STUDY = Paper()
