"""MNIST: handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.words import reason
from . import Dataset, File, verified


def read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The first 50,000 of the 60,000 training images, and the 10,000 test images, as torchvision
    reads them."""
    from torchvision.datasets import MNIST

    class LocalMNIST(MNIST):
        """torchvision's reader: it verifies and extracts the files that lie in its folder and
        cannot reach the network."""

        mirrors = ("none:",)  # not empty, or torchvision would not look at the files at all

    try:
        with tempfile.TemporaryDirectory(prefix="aevb-mnist-") as root:
            raw = Path(root) / "LocalMNIST" / "raw"  # torchvision names the folder after the class
            raw.mkdir(parents=True)
            for file in files:
                shutil.copyfile(file, raw / file.name)
            train, test = (
                LocalMNIST(root, train=part, download=True).data.numpy() for part in (True, False)
            )
    except OSError as error:
        advice = "make room for temporary files or set TMPDIR, then run again"
        raise UserError(
            f"cannot extract the files in {files[0].parent}: {reason(error)}; {advice}"
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"torchvision does not accept the files in {files[0].parent}; delete that folder and "
            "run again"
        ) from error
    for file, images, number in ((files[0], train, 60_000), (files[2], test, 10_000)):
        if images.shape != (number, *DATASET.shape) or images.dtype != np.uint8:
            raise UserError(
                f"{file} holds {images.dtype} {images.shape}, not {number} images of bytes; delete "
                "it and run again"
            )
    return train[: DATASET.n_train], test


def labels(files: list[Path]) -> np.ndarray:
    """The digit that each test image shows. Raises UserError if their file is missing or
    damaged."""
    return _digits(files, 3)


def training_labels(files: list[Path]) -> np.ndarray:
    """The digit that each training image shows; raises as `labels` does."""
    return _digits(files, 1)[: DATASET.n_train]


def _digits(files: list[Path], number: int) -> np.ndarray:
    file = files[number]
    if not verified(file, DATASET.files[number]):
        raise UserError(
            f"{file} is missing or damaged; delete {file.parent}.h5 and run again to fetch it"
        )
    # The labels follow a header of 8 bytes.
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=8)


DATASET = Dataset(
    key="mnist",
    title="MNIST",
    shape=(28, 28),
    n_train=50_000,
    n_test=10_000,
    source="MNIST: Y. LeCun, C. Cortes, C. J. C. Burges; first 50,000 training images and the "
    "10,000 test images",
    files=(
        File(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        File(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        File(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        File(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    urls=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    read=read,
    labels=labels,
    training_labels=training_labels,
    label="digit",
    in_paper=True,
)
