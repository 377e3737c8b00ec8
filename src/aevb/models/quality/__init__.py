"""How good samples are: a small classifier of this project's own, and measures of sets of images.

The classifier stands where others have the Inception network, of which it is none: distances in
its features compare with each other alone, and not with those of other papers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...core.errors import UserError
from ...data import DATASETS

TRAINED = ("mnist", "digits")  # data sets with a committed classifier, DATASET.h5 in this folder


def weights_of(dataset: str) -> Path:
    """The file of the classifier for a data set, or for that of which it is a sample. Raises
    UserError if there is none."""
    original = DATASETS[dataset].original
    if original not in TRAINED:
        raise UserError(
            f"there is no classifier for '{dataset}'; take {' or '.join(TRAINED)}, or train one as "
            "aevb.models.quality.classifier does"
        )
    return Path(__file__).with_name(f"{original}.h5")


def weights_sha256(dataset: str) -> str:
    """The SHA-256 of that file, which decides every number that the classifier has a part in."""
    return hashlib.sha256(weights_of(dataset).read_bytes()).hexdigest()
