"""The classes of the training images. The seam of data sets (aevb.data.labels) knows those of test
images alone, so each data set that this study takes has a reader here."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from ...core.errors import UserError
from ...data import DATASETS, labels, split, verified


def _mnist(folder: Path) -> np.ndarray:
    known = DATASETS["mnist"]
    path, file = known.paths(folder)[1], known.files[1]
    if not verified(path, file):
        raise UserError(
            f"{path} is missing or damaged; delete {path.parent}.h5 and run again to fetch it"
        )
    # The labels follow a header of 8 bytes.
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=8)[: known.n_train]


def _digits(folder: Path) -> np.ndarray:
    from sklearn.datasets import load_digits

    return split(load_digits().target, DATASETS["digits"].n_train)[0]


TRAINING = {"mnist": _mnist, "digits": _digits}
CLASSES = 10  # of each of them


def classes(dataset: str, prepared: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The classes 0 to CLASSES - 1 of training and of test images, int64, in the order of the file
    `prepared`. Raises UserError if a file of labels is missing or damaged."""
    folder = Path(prepared).parent
    train, test = TRAINING[dataset](folder), labels(dataset, folder)
    return train.astype(np.int64), test.astype(np.int64)
