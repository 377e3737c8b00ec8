"""L draws against minibatches of M, at equal cost, in numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...core.run import split
from ...results import Gathered
from ...results.curves import completed
from . import STUDY

COLUMNS = ["experiment", "latent_dim", "draws", "batch_size", "seeds", "samples", "test", "sd"]
COLUMNS += ["seconds"]


def tradeoff(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per pair of L and M.

    Columns: experiment, latent_dim, draws, batch_size, seeds (their number), and

        samples    datapoints seen; the cost is draws x samples
        test       mean over seeds of the test bound there, nats per datapoint
        sd         the same, over seeds
        seconds    of training, mean over seeds
    """
    study, rows = gathered.study, []
    seeds = {run.seed for run in STUDY.models(study)}
    for name, (draws, batch) in STUDY.sizes(study).items():
        # The study's own L and M may go on beyond it.
        samples = min(study.tradeoff.samples, study.samples) / draws
        curves = completed(gathered, name, "aevb", study.tradeoff.latent_dim)
        ends = [
            curve.iloc[(curve["samples"] - samples).abs().argmin()]
            for seed, curve in curves.items()
            if seed in seeds
        ]
        if ends:
            ends = pd.DataFrame(ends)
            row = {"experiment": split(name)[0], "latent_dim": study.tradeoff.latent_dim}
            row |= {"draws": draws, "batch_size": batch, "seeds": len(ends)}
            row |= {"samples": ends["samples"].mean(), "test": ends["test"].mean()}
            rows.append(row | {"sd": ends["test"].std(), "seconds": ends["seconds"].mean()})
    return pd.DataFrame(rows, columns=COLUMNS)
