"""The handwritten digits that come with scikit-learn, 8 x 8 pixels: for tests and a first look."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from . import Dataset, split


def read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """1500 of the 1797 images, drawn at random, and the others."""
    from sklearn.datasets import load_digits

    values = load_digits().data
    images = values.astype(np.uint8)
    expected = (DATASET.n_train + DATASET.n_test, math.prod(DATASET.shape))
    if (
        images.shape != expected
        or not np.array_equal(images, values)
        or images.max() >= DATASET.levels
    ):
        raise UserError(
            "the digits of scikit-learn are not the 1797 images they should be; install "
            "scikit-learn afresh"
        )
    return split(images, DATASET.n_train)


def labels(files: list[Path]) -> np.ndarray:
    """The digit that each test image shows."""
    from sklearn.datasets import load_digits

    return split(load_digits().target, DATASET.n_train)[1]  # as the images were


def training_labels(files: list[Path]) -> np.ndarray:
    """The digit that each training image shows."""
    from sklearn.datasets import load_digits

    return split(load_digits().target, DATASET.n_train)[0]


DATASET = Dataset(
    key="digits",
    shape=(8, 8),
    levels=17,
    n_train=1500,
    n_test=297,
    source="digits of scikit-learn: E. Alpaydin and C. Kaynak, UCI optical recognition of "
    "handwritten digits; shuffled with seed 0",
    scales=(16,),
    read=read,
    labels=labels,
    training_labels=training_labels,
    label="digit",
    stand_in="the 8×8 handwritten digits that come with scikit-learn",
)
