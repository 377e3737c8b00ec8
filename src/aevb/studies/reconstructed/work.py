"""What trained models make of test images: x, the mean of q(z|x), the mean of p(x|z) there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ... import data, results
from ...config.sections import Experiment
from ...core.run import Job
from ...models import nets
from ...report.pictures import decode
from ..figure4.encoding import eight_bits
from . import COLUMNS


def work(jobs: list[Job]) -> None:
    """Reconstruct test images with each model of `jobs`."""
    for job in jobs:
        prepared, experiment = job.inputs["data"][0], Experiment(**job.settings["experiment"])
        x = data.load(prepared, experiment).test
        labels = data.labels(experiment.dataset, Path(prepared).parent)
        along = bool(data.DATASETS[experiment.dataset].along)
        chosen = choose(labels, along, len(x), job.settings["images"])
        for source, path in zip(job.inputs["runs"], job.outputs, strict=True):
            started, run = time.perf_counter(), results.read_run(source)
            frame, arrays = pd.DataFrame(columns=list(COLUMNS)), {}
            if run.status == "diverged":
                print(f"{source} diverged ({run.reason}): it reconstructs nothing", file=sys.stderr)
            else:
                frame, arrays = reconstruct(run, x, chosen)
            results.write_table(path, results.measured(job, frame, started, arrays=arrays))


def choose(labels: np.ndarray | None, along: bool, n: int, count: int) -> np.ndarray:
    """Which `count` of n test images to show, (count,).

    Of classes the first image of each in their order, then the second, and so on. Of images that
    are numbered `along` something, or of which nothing is known, some at even distances.
    """
    if labels is None or along:
        order = np.arange(n) if labels is None else np.argsort(labels, kind="stable")
        return order[np.linspace(0, n - 1, count).round().astype(int)]
    turn = pd.Series(labels).groupby(labels).cumcount().to_numpy()  # how many of its class before
    return np.lexsort((labels, turn))[:count]


def reconstruct(
    run: results.RunResult, x: torch.Tensor, chosen: np.ndarray
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """One row of COLUMNS over the images x (n, D), and the arrays `inputs` and `outputs` of those
    `chosen` among them."""
    mean, _ = nets.encode(x[None], nets.stored(run.weights))
    made, x = decode(run.weights, mean[0].numpy(), run.likelihood), x.numpy()
    errors = ((made - x) ** 2).mean(1)
    row = {
        "images": len(x),
        "error": errors.mean(),
        "error_se": errors.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.nan,
    }
    arrays = {"inputs": eight_bits(x[chosen]), "outputs": eight_bits(made[chosen])}
    return pd.DataFrame([row]), arrays
