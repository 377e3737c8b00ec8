"""Experiments, learners and budgets of a study, as figures, tables and texts name them."""

from __future__ import annotations

from ..config import Config
from ..core.run import Run, split
from ..core.words import short
from ..data import DATASETS
from ..studies.planning import budgets


def label(experiment: str) -> str:
    """The name of an experiment for people: 'mnist' -> 'MNIST', 'mnist_1000' -> 'MNIST 1000',
    'mnist+l5-m20' -> 'MNIST, l5-m20'."""
    base, variant = split(experiment)
    return ", ".join(filter(None, [_title(base), variant]))


def _title(base: str) -> str:
    """`base` with spaces for underscores, and the titles of data sets for their keys."""
    for key in sorted(DATASETS, key=len, reverse=True):
        before, found, after = f"_{base}_".partition(f"_{key}_")
        if found:
            rest = [_title(part.strip("_")) for part in (before, after)]
            return " ".join(filter(None, [rest[0], DATASETS[key].title, rest[1]]))
    return base.replace("_", " ")


def further(study: Config) -> str:
    """The larger budget that some seeds have, in brackets, if they do."""
    part = study.extended
    if part is None:
        return ""
    which = f" of {', '.join(map(label, part.experiments))}" if part.experiments else ""
    seeds = f"seed{'s' * (len(part.seeds) > 1)} {', '.join(map(str, part.seeds))}"
    return f" ({short(part.samples)} for {seeds}{which})"


def trained(study: Config, models: list[Run]) -> str:
    """'2e6 training samples, seed 0' for AEVB models of the first seed.

    Where only some are trained further, it names several budgets.
    """
    asked = budgets(study)
    samples = " and ".join(dict.fromkeys(short(asked[run]) for run in models))
    return f"{samples} training samples, seed {study.seeds[0]}"


def sizes(study: Config, name: str) -> str:
    """An experiment of Figure 3 for people: 'MNIST, N_train = 1,000'."""
    return f"{label(study.experiments[name].dataset)}, N_train = {study.n_train(name):,}"


def named(experiment: str, latent_dim: int) -> str:
    """A panel of Figure 2 for people: 'MNIST, N_z = 3'."""
    return f"{label(experiment)}, N_z = {latent_dim}"
