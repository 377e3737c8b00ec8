"""Frey Face: the frames of a film of one face, 28 x 20 pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.words import reason
from . import Dataset, File, split


def read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """1600 of the 1965 frames, drawn at random, and the others."""
    import scipy.io

    [file] = files
    try:
        content = scipy.io.loadmat(file, variable_names=["ff"])
    except Exception as error:  # scipy's parser raises nearly anything on damaged input
        raise UserError(
            f"{file} cannot be read as a MATLAB file ({reason(error)}); delete it and run again"
        ) from error
    expected = (math.prod(DATASET.shape), DATASET.n_train + DATASET.n_test)
    images = content.get("ff")
    if images is None:
        raise UserError(f"{file} has no variable 'ff'; delete it and run again")
    if images.shape != expected or images.dtype != np.uint8:
        raise UserError(
            f"{file}: 'ff' is {images.dtype} {images.shape} instead of uint8 {expected}; delete it "
            "and run again"
        )
    return split(images.T, DATASET.n_train)  # one image per column, its pixels row by row


def labels(files: list[Path]) -> np.ndarray:
    """The number of each test image in the film, from 0."""
    return split(np.arange(DATASET.n_train + DATASET.n_test), DATASET.n_train)[1]


DATASET = Dataset(
    key="frey",
    title="Frey Face",
    shape=(28, 20),
    n_train=1600,
    n_test=365,
    source="Frey Face: B. Frey and S. Roweis, frey_rawface.mat; 1,965 video frames, shuffled "
    "with seed 0",
    files=(
        File(
            "frey_rawface.mat",
            1_100_584,
            "265a83a23adb081755cd3de375509828e690324d1d60f076b8ecebc840d59c64",
        ),
    ),
    urls=(
        "https://cs.nyu.edu/~roweis/data/",
        "http://www.cs.nyu.edu/~roweis/data/",
        "https://web.archive.org/web/2020id_/https://cs.nyu.edu/~roweis/data/",
    ),
    read=read,
    labels=labels,
    label="frame",
    along="the film",
    in_paper=True,
)
