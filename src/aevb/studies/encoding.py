"""Where the encoder of a two-dimensional AEVB model puts test points, and what they show: the
points on the map of manifold.html."""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .. import data, results
from ..config import Experiment
from ..core import provenance
from ..core.errors import UserError
from ..models import nets

POINTS = 2000  # first test points; a map of more is no clearer

#: what `label` of a data set is
LABELS = {"mnist": "digit", "digits": "digit", "frey": "frame"}


def labels(dataset: str, folder: str | Path) -> np.ndarray:
    """What each test image shows, in the order of the prepared file: the digit, or the number of
    its frame in the film, from 0.

    `folder` holds the downloaded originals (see data.prepare). Raises UserError if the file of
    MNIST's labels is missing or damaged.
    """
    known = data.lookup(dataset)
    if dataset == "mnist":
        original = next(file for file in known.files if file.name == "t10k-labels-idx1-ubyte.gz")
        path = Path(folder) / dataset / original.name
        if not data.verified(path, original):
            raise UserError(
                f"{path} is missing or damaged; delete {folder}/{dataset}.h5 and run again to "
                "fetch it"
            )
        return np.frombuffer(
            gzip.decompress(path.read_bytes()), np.uint8, offset=8
        )  # after the number of labels
    if dataset == "digits":
        from sklearn.datasets import load_digits

        everything = load_digits().target
    else:
        everything = np.arange(known.n_train + known.n_test)
    return data._split(everything, known)[1]  # as the images were


def encode(path: str | Path, prepared: str | Path, experiment: Experiment) -> results.Table:
    """Means of q(z|x) of the run file `path` at the first POINTS test points of the file
    `prepared`, columns results.ENCODED.

    No rows if the run diverged. Raises UserError if the data or labels cannot be read.
    """
    started, run = time.perf_counter(), results.read_run(path)
    frame = pd.DataFrame(columns=list(results.ENCODED))
    if run.status == "diverged":
        print(f"{path} diverged ({run.reason}): there is no encoder", file=sys.stderr)
    else:
        parameters = {
            name: torch.from_numpy(value).view(1, -1, value.shape[-1])
            for name, value in run.weights.items()
        }
        mean, _ = nets.encode(data.load(prepared, experiment).test[None, :POINTS], parameters)
        shown = labels(experiment.dataset, Path(prepared).parent)[:POINTS]
        frame = pd.DataFrame({"z1": mean[0, :, 0], "z2": mean[0, :, 1], "label": shown})
    made = provenance.attributes(torch.device("cpu"), provenance.ENCODING)
    options = {"points": POINTS, "label": LABELS[experiment.dataset]}
    return results.Table(
        frame, {"config": json.dumps(options), "seconds": time.perf_counter() - started, **made}
    )
