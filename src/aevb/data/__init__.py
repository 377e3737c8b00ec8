"""The data sets: one file each in this folder, or in a plug-in (core/plugins.py). This module
prepares one HDF5 file of each from its original files (see download.py) and loads it for training.

A prepared file holds two datasets, `train` (n_train, D) and `test` (n_test, D): uint8 grey values,
one image per row, pixels row by row from the top left. Its attributes are

    schema    version of this layout
    dataset   key of the data set
    shape     rows and columns of an image, D = rows * columns
    levels    number of grey levels: the values are 0 ... levels - 1
    sha256    of the bytes of train followed by those of test
    source    where the images come from, one line

The same images always give the same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import h5py
import numpy as np

from ..core.catalogue import Catalogue
from ..core.errors import Damaged, UserError
from ..core.files import new_h5, open_h5
from ..core.words import reason

if TYPE_CHECKING:  # torch takes a second to import and is needed by `load` alone
    import torch

SCHEMA = 1


class File(NamedTuple):
    """An original file. A private file may leave out `size` (bytes) and `sha256`: then any content
    is taken, and the sha256 of the prepared images says what it was."""

    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(kw_only=True)
class Dataset:
    """A data set: all that the project knows about it.

    The first five fields are needed. `read` takes the paths of `files` and returns the training
    and the test images: whole numbers 0 ... levels - 1, as (n, rows, columns) or (n, D).

    `files` that have no `urls` lie beside the Python file that holds `read`. Without `files`,
    `read` finds its images itself. Raises UserError when the fields contradict each other.
    """

    key: str  # its name in a configuration and in file names
    shape: tuple[int, int]  # rows, columns
    n_train: int
    n_test: int
    read: Callable[[list[Path]], tuple[np.ndarray, np.ndarray]]
    levels: int = 256
    title: str = ""  # for people; unless given, the key
    source: str = ""  # where the images come from, one line; unless given, the title
    files: tuple[File, ...] = ()
    urls: tuple[str, ...] = ()  # public sources, best first: a file name completes each
    scales: tuple[float, ...] = ()  # valid `scale`s; unless given, levels - 1 and levels
    # what the test images show: one number each, in the order in which `read` returns them
    labels: Callable[[list[Path]], np.ndarray] | None = None
    # the same of the training images
    training_labels: Callable[[list[Path]], np.ndarray] | None = None
    label: str = "class"  # what such a number is: "digit"
    along: str = ""  # what the numbers count along, "the film"; unless given, they are classes
    in_paper: bool = False  # whether the paper has results on it
    sample_of: str = ""  # the data set of the paper that its images are some of
    stand_in: str = ""  # what these images are, if they only show the pipeline at work

    def __post_init__(self):
        self.title = self.title or self.key
        self.source = self.source or self.title
        self.scales = self.scales or (self.levels - 1, self.levels)
        whole = all(isinstance(n, int) for n in (*self.shape, self.n_train, self.n_test))
        wrong = None
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.key):
            wrong = "needs a key of small letters, digits, - and _"
        elif not whole or len(self.shape) != 2 or min(*self.shape, self.n_train, self.n_test) < 1:
            wrong = "needs shape = (rows, columns), n_train and n_test as whole numbers from 1"
        elif not isinstance(self.levels, int) or not 2 <= self.levels <= 256:
            wrong = "needs levels from 2 to 256"
        elif not inspect.isfunction(self.read):
            wrong = "needs a function `read`"
        elif self.urls and any(None in file for file in self.files):
            wrong = "has urls, so each of its files needs a size and a sha256"
        if wrong:
            raise UserError(f"the data set '{self.key}' {wrong}")

    @property
    def original(self) -> str:
        """The data set whose curves of the paper can lie behind its own: itself, or that of which
        it is a sample."""
        return self.sample_of or self.key

    @property
    def code(self) -> Path:
        """The Python file that holds `read`."""
        return Path(inspect.getfile(self.read))

    def paths(self, folder: str | Path) -> list[Path]:
        """Where its files lie: in folder/KEY/ when they are downloaded, else beside `code`."""
        place = Path(folder) / self.key if self.urls else self.code.parent
        return [place / file.name for file in self.files]

    @property
    def module(self) -> str:
        """The name of the module that holds `read`."""
        return self.read.__module__

    @property
    def private(self) -> list[Path]:
        """The private files that exist: a change in one of them changes the images. One that is
        missing is left to `prepare`, which says what to do."""
        return [file for file in self.paths("") if not self.urls and file.exists()]


DATASETS: Catalogue[Dataset] = Catalogue("data set", __name__, "DATASET")


def verified(path: Path, file: File) -> bool:
    """Whether `path` exists, can be read and has the size and sha256 that `file` gives."""
    try:
        if file.size not in (None, path.stat().st_size):
            return False
        with open(path, "rb") as stream:
            return file.sha256 in (None, hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError:
        return False


def split(values: np.ndarray, n_train: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `values` in two parts: n_train of them, drawn at random, and the others.

    numpy.random.RandomState(0) draws them, whose stream never changes.
    """
    order = np.random.RandomState(0).permutation(len(values))
    return tuple(np.ascontiguousarray(values[part]) for part in (order[:n_train], order[n_train:]))


def prepare(dataset: str, folder: str | Path, path: str | Path) -> None:
    """Write the prepared file `path` of `dataset` from its files: those that download.fetch put
    into `folder`, or private ones.

    Raises UserError when a file is missing, damaged or not of the form it should have, or `path`
    cannot be written.
    """
    known = DATASETS[dataset]
    files = known.paths(folder)
    for file, original in zip(files, known.files, strict=True):
        if not file.is_file():
            advice = (
                "run the pipeline to fetch it" if known.urls else f"put it there or {_mend(known)}"
            )
            raise UserError(f"{file} does not exist; {advice}")
        if not verified(file, original):
            advice = "delete it and run again" if known.urls else f"restore it or {_mend(known)}"
            raise UserError(
                f"{file} is damaged: its size or sha256 is not that of the original; {advice}"
            )
    parts = _called(known, known.read, files)
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise UserError(
            f"`read` of the data set '{dataset}' does not return two arrays, training and test "
            f"images; {_mend(known)}"
        )
    train = _grey_values(known, "training", parts[0], known.n_train)
    test = _grey_values(known, "test", parts[1], known.n_test)

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


def labels(dataset: str, folder: str | Path) -> np.ndarray | None:
    """What each test image shows, (n_test,), in the order of the prepared file; None if the data
    set has no labels.

    `folder` is that of `prepare`. Raises UserError if the labels cannot be read.
    """
    known = DATASETS[dataset]
    if known.labels is None:
        return None
    values = np.asarray(_called(known, known.labels, known.paths(folder)))
    numeric = values.dtype.kind in "biuf" and np.isfinite(values).all()
    if values.shape != (known.n_test,) or not numeric:
        raise UserError(
            f"`labels` of the data set '{dataset}' returns {values.dtype} {values.shape} instead "
            f"of {known.n_test} finite numbers; {_mend(known)}"
        )
    return values


def training_labels(dataset: str, folder: str | Path) -> np.ndarray | None:
    """`labels` of the training images, (n_train,); None if the data set has none.

    `labels` does not share this code, as results carry its fingerprint.
    """
    known = DATASETS[dataset]
    if known.training_labels is None:
        return None
    values = np.asarray(_called(known, known.training_labels, known.paths(folder)))
    if values.shape != (known.n_train,) or values.dtype.kind not in "biu":
        raise UserError(
            f"`training_labels` of the data set '{dataset}' returns {values.dtype} {values.shape} "
            f"instead of {known.n_train} whole numbers; {_mend(known)}"
        )
    return values


def _mend(known: Dataset) -> str:
    return f"mend {known.code}"


def _called(known: Dataset, function: Callable, files: list[Path]):
    """What `function` of the data set makes of its files; whatever it raises becomes a sentence."""
    try:
        return function(files)
    except (UserError, ModuleNotFoundError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {reason(error)}"
        raise UserError(
            f"the data set '{known.key}' cannot be read ({what}); {_mend(known)}"
        ) from error


def _grey_values(known: Dataset, part: str, values, number: int) -> np.ndarray:
    """The images of one part as uint8 (number, D), checked."""
    values = np.asarray(values)
    where, size = f"the {part} images of the data set '{known.key}'", math.prod(known.shape)
    if values.shape not in ((number, size), (number, *known.shape)):
        raise UserError(
            f"{where} are an array {values.shape} instead of {(number, *known.shape)}; "
            f"{_mend(known)}"
        )
    whole = values.dtype.kind in "biuf"
    if whole and values.dtype != np.uint8:
        whole = values.min() >= 0 and values.max() <= 255 and not np.any(values % 1)
    if not whole or values.max() >= known.levels:
        raise UserError(
            f"{where} are not whole numbers from 0 to {known.levels - 1}; {_mend(known)}"
        )
    return np.ascontiguousarray(values.reshape(number, size).astype(np.uint8, copy=False))


def _content_sha256(train: np.ndarray, test: np.ndarray) -> str:
    digest = hashlib.sha256(train)
    digest.update(test)
    return digest.hexdigest()


class Preparation(Protocol):
    """What `load` is told: config.Experiment, or anything with these fields."""

    dataset: str
    scale: float
    n_train: int | None
    binarise: bool
    dequantise: bool


@dataclass(frozen=True, eq=False)
class Data:
    """A data set ready for training.

    The values are grey values divided by `scale`. For a density the unit matters: one per scaled
    unit is higher by D ln(scale) nats per datapoint than one per grey level.
    """

    name: str
    train: torch.Tensor  # (n_train, D) float32
    test: torch.Tensor  # (n_test, D) float32
    scale: float
    sha256: str  # of the unscaled images


def load(path: str | Path, experiment: Preparation) -> Data:
    """Read a prepared file as float32 tensors: test and the first n_train training images.

    As a rule a value becomes value / scale. For 256 levels that is 0 ... 255/256 at scale 256, and
    0 ... 1 at scale 255. `experiment` may ask for

        binarise      1 where value / scale >= 0.5, else 0
        dequantise    (value + u) / scale, u uniform on [0, 1): one grey level

    numpy.random.RandomState(0) draws u for train and then for test, the same at every call. Nothing
    is clipped: dequantised values reach up to levels / scale, which is 256/255 at scale 255.

    Raises UserError when the file is missing, damaged, of another schema or of another data set.
    """
    import torch

    known = DATASETS[experiment.dataset]
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
    # What h5py raises on damaged files, and the above.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise Damaged(path, f"not a prepared file of {dataset}: {reason(error)}") from error
    return arrays
