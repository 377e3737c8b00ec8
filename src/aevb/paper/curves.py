"""The paper's own curves, and which of ours they can be set beside."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..config import Config
from ..data import DATASETS
from ..results.curves import in_figure3
from .facts import PAPER_LIKELIHOODS, PAPER_WINDOW, READING


def accuracy(dataset: str) -> float:
    """How precisely the paper's curves beside those of `dataset` could be read, nats."""
    return READING.get(DATASETS[dataset].original, 0.0)


def panels_of(study: Config, figure: int) -> list[tuple[str, int, list[str]]]:
    """The panels of Figure 2 or 3: experiment, N_z and algorithms."""
    if figure == 2:
        return [
            (row.experiment, latent_dim, row.algorithms)
            for row in study.figure2
            for latent_dim in row.latent_dims
        ]
    part = study.figure3
    return [(name, part.latent_dim, part.algorithms) for name in part.experiments] if part else []


def paper_curve(
    paper: pd.DataFrame, study: Config, name: str, latent_dim: int, algorithm: str, split: str
) -> pd.DataFrame | None:
    """The paper's curve for experiment `name` of a study, by samples, or None.

    Columns samples and value, in nats per datapoint. It is from the paper's Figure 3 (log p(x)) if
    the experiment is one of the study's Figure 3, else from its Figure 2 (bound). None also where
    values would differ by far more than the effects shown. That is when the experiment models other
    values than the paper did: binarised, dequantised or under another likelihood. So it is when it
    was trained on another number of datapoints; but on a sample of the paper's data set its curves
    are there, for orientation.
    """
    experiment, third = study.experiments[name], in_figure3(study, name)
    known = DATASETS[experiment.dataset]
    fits = (
        PAPER_LIKELIHOODS.get(known.original) == experiment.likelihood
        and not experiment.binarise
        and not experiment.dequantise
    )
    whole = study.n_train(name) == known.n_train
    if not fits or not (third or whole):
        return None
    chosen = paper[
        (paper["figure"] == (3 if third else 2))
        & (paper["dataset"] == known.original)
        & (paper["latent_dim"] == latent_dim)
        & (paper["algorithm"] == algorithm)
        & (paper["split"] == split)
    ]
    chosen = chosen[chosen["n_train"] == study.n_train(name)] if third else chosen
    return (
        None
        if chosen.empty
        else chosen[["samples", "value"]].sort_values("samples", ignore_index=True)
    )


def averaged_bound(curve: pd.DataFrame, samples, window: float = PAPER_WINDOW):
    """Mean of the minibatch bounds over the last `window` training samples before `samples`.

    `samples` is a number or an array; nats per datapoint. The mean is from the column `running` of
    a run's curve, which holds it between neighbouring evaluations. Within one interval nothing
    finer is known, and before the first sample and after the last there is nothing.
    """
    ends = np.concatenate([[0.0], curve["samples"].to_numpy(float)])
    sums = np.concatenate([[0.0], np.cumsum(curve["running"].to_numpy(float) * np.diff(ends))])
    start = np.maximum(np.asarray(samples) - window, 0.0)
    found = (np.interp(samples, ends, sums, right=np.nan) - np.interp(start, ends, sums)) / (
        samples - start
    )
    return float(found) if np.ndim(samples) == 0 else found
