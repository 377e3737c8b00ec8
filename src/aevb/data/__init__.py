"""The data sets: preparing one HDF5 file of each from the original files (see download.py), loading
it for training.

A prepared file holds two datasets, `train` (n_train, D) and `test` (n_test, D), uint8 grey values
with one image a row, pixels row by row from the top left; and the attributes

    schema    version of this layout
    dataset   mnist, frey or digits
    shape     rows and columns of an image, D = rows * columns
    levels    number of grey levels: the values are 0 ... levels - 1
    sha256    of the bytes of train followed by those of test
    source    where the images come from, one line

The same images always give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

from ..core.errors import Damaged, UserError
from ..core.files import new_h5, open_h5
from ..core.words import reason

if TYPE_CHECKING:  # torch takes a second to import and is needed by `load` alone
    import torch

    from ..config import Experiment

SCHEMA = 1


class File(NamedTuple):
    """An original file. `size` in bytes."""

    name: str
    size: int
    sha256: str


class Dataset(NamedTuple):
    """What is known about a data set before it is read."""

    shape: tuple[int, int]  # rows, columns
    levels: int
    n_train: int
    n_test: int
    source: str
    files: tuple[File, ...] = ()


DATASETS = {
    "mnist": Dataset(
        shape=(28, 28),
        levels=256,
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
    ),
    "frey": Dataset(
        shape=(28, 20),
        levels=256,
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
    ),
    "digits": Dataset(
        shape=(8, 8),
        levels=17,
        n_train=1500,
        n_test=297,
        source="digits of scikit-learn: E. Alpaydin and C. Kaynak, UCI optical recognition of "
        "handwritten digits; shuffled with seed 0",
    ),
}


def lookup(dataset: str) -> Dataset:
    """The entry of DATASETS. Raises UserError when there is none."""
    if dataset not in DATASETS:
        raise UserError(f"there is no data set '{dataset}'; valid are {', '.join(DATASETS)}")
    return DATASETS[dataset]


def verified(path: Path, file: File) -> bool:
    """Whether `path` exists, can be read and has the content of `file`."""
    try:
        if path.stat().st_size != file.size:
            return False
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def prepare(dataset: str, folder: str | Path, path: str | Path) -> None:
    """Write the prepared file `path` of `dataset` from the files that download.fetch put into
    `folder`.

    mnist: the first 50,000 of the 60,000 training images, and the 10,000 test images, as
    torchvision reads them. frey, digits: 1600 of 1965 and 1500 of 1797 images drawn with
    numpy.random.RandomState(0), whose stream never changes; the others are the test set.

    Raises UserError when a file is missing, damaged or not of the form it should have, or `path`
    cannot be written.
    """
    known = lookup(dataset)
    files = [Path(folder) / dataset / file.name for file in known.files]
    for file, original in zip(files, known.files, strict=True):
        if not file.is_file():
            raise UserError(f"{file} does not exist; run the pipeline to fetch it")
        if not verified(file, original):
            raise UserError(
                f"{file} is damaged: its size or sha256 is not that of the original; delete it and "
                "run again"
            )

    train, test = {"mnist": _read_mnist, "frey": _read_frey, "digits": _read_digits}[dataset](
        known, files
    )

    with new_h5(path) as output:
        # Not compressed, as a training job reads it at its start; no times, so that the bytes are
        # always the same.
        output.create_dataset("train", data=train, track_times=False)
        output.create_dataset("test", data=test, track_times=False)
        output.attrs["schema"] = SCHEMA
        output.attrs["dataset"] = dataset
        output.attrs["shape"] = known.shape
        output.attrs["levels"] = known.levels
        output.attrs["sha256"] = _content_sha256(train, test)
        output.attrs["source"] = known.source


def _content_sha256(train: np.ndarray, test: np.ndarray) -> str:
    digest = hashlib.sha256(train)
    digest.update(test)
    return digest.hexdigest()


def _read_mnist(known: Dataset, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
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
    side = known.shape[0]
    for file, images, number in ((files[0], train, 60_000), (files[2], test, 10_000)):
        if images.shape != (number, side, side) or images.dtype != np.uint8:
            raise UserError(
                f"{file} holds {images.dtype} {images.shape}, not {number} images of bytes; delete "
                "it and run again"
            )
    return train[: known.n_train].reshape(known.n_train, -1), test.reshape(known.n_test, -1)


def _read_frey(known: Dataset, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    import scipy.io

    [file] = files
    try:
        content = scipy.io.loadmat(file, variable_names=["ff"])
    except Exception as error:  # scipy's parser raises nearly anything on damaged input
        raise UserError(
            f"{file} cannot be read as a MATLAB file ({reason(error)}); delete it and run again"
        ) from error
    expected = (math.prod(known.shape), known.n_train + known.n_test)
    images = content.get("ff")
    if images is None:
        raise UserError(f"{file} has no variable 'ff'; delete it and run again")
    if images.shape != expected or images.dtype != np.uint8:
        raise UserError(
            f"{file}: 'ff' is {images.dtype} {images.shape} instead of uint8 {expected}; delete it "
            "and run again"
        )
    return _split(images.T, known)  # one image a column, its pixels row by row


def _read_digits(known: Dataset, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    values = load_digits().data
    images = values.astype(np.uint8)
    expected = (known.n_train + known.n_test, math.prod(known.shape))
    if (
        images.shape != expected
        or not np.array_equal(images, values)
        or images.max() >= known.levels
    ):
        raise UserError(
            "the digits of scikit-learn are not the 1797 images they should be; install "
            "scikit-learn afresh"
        )
    return _split(images, known)


def _split(images: np.ndarray, known: Dataset) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.RandomState(0).permutation(len(images))
    return tuple(
        np.ascontiguousarray(images[part])
        for part in (order[: known.n_train], order[known.n_train :])
    )


@dataclass(frozen=True, eq=False)
class Data:
    """A data set ready for training.

    The values are grey values divided by `scale`. For a Gaussian likelihood the unit matters: a
    density per scaled unit is higher by D ln(scale) nats per datapoint than one per grey level.
    """

    name: str
    train: torch.Tensor  # (n_train, D) float32
    test: torch.Tensor  # (n_test, D) float32
    scale: float
    sha256: str  # of the unscaled images

    @property
    def max_log_density(self) -> float:
        """Upper limit of a meaningful Gaussian bound: D ln(scale), in nats per datapoint.

        A grey level stands for a cell of width 1/scale in each of the D pixels, of volume scale^-D
        in all. A density p gives the cell C of an image the probability P(C) <= 1, so the mean of p
        over the cell is P(C) scale^D and, the logarithm being concave, the mean of ln p over the
        cell is at most ln P(C) + D ln(scale) <= D ln(scale). For dequantised values, spread evenly
        over their cells, no model's expectation exceeds this. At the bare grey values a density may
        exceed it without end, by ever narrower peaks: a bound beyond it says that this happened. It
        has no meaning for a Bernoulli likelihood, whose log-probabilities are at most 0.
        """
        return self.train.shape[1] * math.log(self.scale)


def load(path: str | Path, experiment: Experiment) -> Data:
    """Read a prepared file as float32 tensors, the first n_train training images, transformed as
    `experiment` says.

    value / scale as a rule: 0 ... 255/256 for scale 256, 0 ... 1 for scale 255, and for digits
    (scale 16). binarise: 1 where value / scale >= 0.5, else 0. dequantise: (value + u) / scale with
    u uniform on [0, 1), one grey level, drawn with numpy.random.RandomState(0) for train and then
    test, hence the same at every call. Nothing is clipped: the values reach up to levels / scale,
    that is 256/255 for scale 255 and 17/16 for digits.

    Raises UserError when the file is missing, damaged, of another schema or of another data set.
    """
    import torch

    known = lookup(experiment.dataset)
    arrays = _read_prepared(Path(path), experiment.dataset, known)
    noise = np.random.RandomState(0)
    tensors = {}
    for name, values in arrays.items():
        if experiment.dequantise:
            dequantised = noise.random_sample(values.shape)
            dequantised += values
            dequantised /= experiment.scale
            scaled = torch.from_numpy(dequantised.astype(np.float32))
        else:
            scaled = torch.from_numpy(values).float().div_(experiment.scale)
        tensors[name] = (scaled >= 0.5).float() if experiment.binarise else scaled
    if experiment.n_train:
        tensors["train"] = tensors["train"][: experiment.n_train].clone()
    return Data(
        experiment.dataset, **tensors, scale=experiment.scale, sha256=_content_sha256(**arrays)
    )


def _read_prepared(path: Path, dataset: str, known: Dataset) -> dict[str, np.ndarray]:
    """The uint8 arrays train and test, checked: bytes of the right number, range and sha256 are
    finite as well."""
    arrays = {}
    try:
        with open_h5(path) as file:
            for name, value in {
                "schema": SCHEMA,
                "dataset": dataset,
                "shape": list(known.shape),
                "levels": known.levels,
            }.items():
                found = np.asarray(file.attrs.get(name)).tolist()
                if found != value:
                    raise ValueError(f"its {name} is {found} instead of {value}")
            for name, number in (("train", known.n_train), ("test", known.n_test)):
                stored, size = file.get(name), (number, math.prod(known.shape))
                if (
                    not isinstance(stored, h5py.Dataset)
                    or stored.shape != size
                    or stored.dtype != np.uint8
                ):
                    raise ValueError(
                        f"its '{name}' is not an array of bytes of {size[0]} x {size[1]}"
                    )
                arrays[name] = stored[:]
                if (largest := arrays[name].max()) >= known.levels:
                    raise ValueError(
                        f"its '{name}' holds the value {largest}, beyond the largest grey value "
                        f"{known.levels - 1}"
                    )
            if file.attrs.get("sha256") != _content_sha256(**arrays):
                raise ValueError("its images do not have the sha256 they were written with")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the pipeline to make it") from None
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
    ) as error:  # what h5py raises on damaged files, and the above
        raise Damaged(path, f"not a prepared file of {dataset}: {reason(error)}") from error
    return arrays
