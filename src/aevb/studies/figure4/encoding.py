"""Where the encoder of a two-dimensional AEVB model puts test points, and what they show.

They are the points on the map of manifold.html, with their images.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ... import data, results
from ...config.sections import Experiment
from ...core import provenance
from ...core.run import Job
from ...engine.roots import roots
from ...models import nets
from . import CODE, ENCODED

POINTS = 2000  # first test points; a map of more is no clearer
WHITE = 255  # an image's grey value 1, in 8 bits


def work(jobs: list[Job]) -> None:
    """Encode test points with the model of each of `jobs`."""
    for job in jobs:
        experiment = Experiment(**job.settings["experiment"])
        table = encode(job.inputs["runs"][0], job.inputs["data"][0], experiment)
        results.write_table(job.outputs[0], table)


def encode(path: str | Path, prepared: str | Path, experiment: Experiment) -> results.Table:
    """Means of q(z|x) of the run file `path` at the first POINTS test points of the file
    `prepared`: columns ENCODED and the array `images`, (points, D) uint8, as `eight_bits` has them.

    `label` is NaN if the data set has no labels. No rows and no images if the run diverged. Raises
    UserError if the data or labels cannot be read.
    """
    started, run = time.perf_counter(), results.read_run(path)
    frame, arrays = pd.DataFrame(columns=list(ENCODED)), {}
    if run.status == "diverged":
        print(f"{path} diverged ({run.reason}): there is no encoder", file=sys.stderr)
    else:
        parameters = nets.stored(run.weights)
        x = data.load(prepared, experiment).test[:POINTS]
        mean, _ = nets.encode(x[None], parameters)
        arrays["images"] = eight_bits(x.numpy())
        shown = data.labels(experiment.dataset, Path(prepared).parent)
        label = math.nan if shown is None else shown[:POINTS]
        frame = pd.DataFrame({"z1": mean[0, :, 0], "z2": mean[0, :, 1], "label": label})
    known = data.DATASETS[experiment.dataset]
    code = provenance.fingerprint(roots(*CODE, known.module))
    made = provenance.attributes(torch.device("cpu"), code)
    options = {"points": POINTS, "label": known.label}
    seconds = time.perf_counter() - started
    return results.Table(frame, {"config": json.dumps(options), "seconds": seconds, **made}, arrays)


def eight_bits(x: np.ndarray) -> np.ndarray:
    """Images x with grey values from 0 (black) to 1 (white) as whole numbers from 0 to WHITE.

    What dequantisation adds beyond 1 is cut off.
    """
    return np.round(WHITE * np.clip(x, 0, 1)).astype(np.uint8)
