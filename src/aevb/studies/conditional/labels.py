"""The classes of training and test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.errors import UserError
from ...data import labels, training_labels

CLASSES = 10  # of each data set that the study takes


def classes(dataset: str, prepared: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The classes 0 to CLASSES - 1 of training and of test images, int64, in the order of the file
    `prepared`. Raises UserError if a file of labels is missing or damaged, or has other classes."""
    folder = Path(prepared).parent
    train, test = training_labels(dataset, folder), labels(dataset, folder)
    if not np.isin([*train, *test], range(CLASSES)).all():
        raise UserError(
            f"the labels of the data set '{dataset}' are not the classes 0 to {CLASSES - 1}; take "
            "another one for the study conditional"
        )
    return train.astype(np.int64), test.astype(np.int64)
