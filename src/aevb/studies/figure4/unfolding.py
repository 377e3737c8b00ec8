"""The latent plane of a model that has trained for less: test points on it, and decoded pictures.

They are the steps of the slider of manifold.html.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from ... import data, results
from ...config.sections import Experiment
from ...core.run import Job
from ...models import nets
from ...report.pictures import decode
from .columns import ENCODED
from .encoding import eight_bits

PLANE = 3.0  # prior standard deviations from the middle of a plane to its edge, at least
POINTS = 1000  # first test points
ROWS = 12  # decoded pictures from the top of a plane to its foot


def work(jobs: list[Job]) -> None:
    """Encode test points, and decode the plane, with each model of `jobs`."""
    for job in jobs:
        prepared, experiment = job.inputs["data"][0], Experiment(**job.settings["experiment"])
        x = data.load(prepared, experiment).test[:POINTS]
        labels = data.labels(experiment.dataset, Path(prepared).parent)
        for source, path in zip(job.inputs["runs"], job.outputs, strict=True):
            started, run = time.perf_counter(), results.read_run(source)
            frame, arrays = pd.DataFrame(columns=list(ENCODED)), {}
            if run.status == "diverged":
                print(f"{source} diverged ({run.reason}): it has no plane", file=sys.stderr)
            else:
                mean, _ = nets.encode(x[None], nets.stored(run.weights))
                label = np.nan if labels is None else labels[:POINTS]
                frame = pd.DataFrame({"z1": mean[0, :, 0], "z2": mean[0, :, 1], "label": label})
                arrays = {"tiles": tiles(run, reach(frame))}
            results.write_table(path, results.measured(job, frame, started, arrays=arrays))


def reach(frame: pd.DataFrame | None) -> float:
    """Half the side of a plane that has all points of `frame` (columns of ENCODED) on it."""
    if frame is None:
        return PLANE
    return max(PLANE, 1.05 * float(frame[["z1", "z2"]].abs().to_numpy().max()))


def columns(shape: tuple[int, int]) -> int:
    """Pictures of `shape` (height, width) side by side on a square plane of ROWS rows."""
    return round(ROWS * shape[0] / shape[1])


def tiles(run: results.RunResult, half: float) -> np.ndarray:
    """What the plane from -half to half decodes to, (ROWS * columns, D) uint8, row by row from the
    top left: each picture is the mean of p(x|z) at its own middle."""
    across = columns(data.DATASETS[run.dataset].shape)
    right = half * ((2 * np.arange(across) + 1) / across - 1)
    up = half * (1 - (2 * np.arange(ROWS) + 1) / ROWS)
    z = np.column_stack([np.tile(right, ROWS), np.repeat(up, across)])
    return eight_bits(decode(run.weights, z, run.likelihood))
