"""The data sets: downloading the original files, preparing one HDF5 file of each set, loading it for training.

A prepared file holds two datasets, `train` (n_train, D) and `test` (n_test, D), uint8 grey values with one image a
row, pixels row by row from the top left; and the attributes

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
import http.client
import math
import re
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

from .errors import UserError
from .files import atomic

if TYPE_CHECKING:  # torch takes a second to import and is needed by `load` alone
    import torch

    from .config import Experiment

SCHEMA = 1
TIMEOUT = 30  # seconds without an answer from a server
BLOCK = 1 << 16  # bytes read at a time


class File(NamedTuple):
    """An original file. `size` in bytes."""

    name: str
    size: int
    sha256: str


class Dataset(NamedTuple):
    """What is known about a data set before it is read. `urls` are complete but for the file name, best first."""

    shape: tuple[int, int]  # rows, columns
    levels: int
    n_train: int
    n_test: int
    source: str
    files: tuple[File, ...] = ()
    urls: tuple[str, ...] = ()


DATASETS = {
    "mnist": Dataset(
        shape=(28, 28),
        levels=256,
        n_train=50_000,
        n_test=10_000,
        source="MNIST: Y. LeCun, C. Cortes, C. J. C. Burges; first 50,000 training images and the 10,000 test images",
        files=(
            File("train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            File("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            File("t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            File("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        urls=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
    ),
    "frey": Dataset(
        shape=(28, 20),
        levels=256,
        n_train=1600,
        n_test=365,
        source="Frey Face: B. Frey and S. Roweis, frey_rawface.mat; 1,965 video frames, shuffled with seed 0",
        files=(File("frey_rawface.mat", 1_100_584, "265a83a23adb081755cd3de375509828e690324d1d60f076b8ecebc840d59c64"),),
        urls=(
            "https://cs.nyu.edu/~roweis/data/",
            "http://www.cs.nyu.edu/~roweis/data/",
            "https://web.archive.org/web/2020id_/https://cs.nyu.edu/~roweis/data/",
        ),
    ),
    "digits": Dataset(
        shape=(8, 8),
        levels=17,
        n_train=1500,
        n_test=297,
        source="digits of scikit-learn: E. Alpaydin and C. Kaynak, UCI optical recognition of handwritten digits; shuffled with seed 0",
    ),
}


class _Unusable(Exception):
    """A source does not deliver a file; the message is the reason."""


def fetch(dataset: str, folder: str | Path, mirror: str | Path | None = None) -> list[Path]:
    """Download the original files of `dataset` into folder/<dataset>/ and return their paths; progress goes to stderr.

    The public sources are tried in order. A `mirror` - a directory, a file:// or an http(s):// URL that holds
    mnist/<file> and frey/<file> - takes their place altogether. Every file is checked by size and sha256 and appears
    under its name only once it is right; one that is there already is kept if it is right and replaced if it is not.
    The digits come with scikit-learn: nothing is downloaded and the list is empty.

    Raises UserError when a file cannot be had from any source (with the reason for each), when the mirror is neither
    of the above, or when the folder cannot be written.
    """
    known = _known(dataset)
    if not known.files:
        return []
    sources = list(known.urls) if mirror is None else [_mirror(mirror, dataset)]
    paths = []
    for file in known.files:
        path = Path(folder) / dataset / file.name
        paths.append(path)
        if _verified(path, file):
            continue
        reasons = []
        for source in sources:
            try:
                _download(source, file, path)
            except _Unusable as reason:
                reasons.append(f"{_place(source, file)} ({reason})")
            else:
                # The next file comes from where this one did, rather than wait for a dead server again.
                sources.sort(key=lambda other: other != source)
                break
        else:
            if mirror is None:
                advice = (
                    f"run again when these can be reached, or put the file into a folder DIR as DIR/{dataset}/{file.name} "
                    "and set --config mirror=DIR or the environment variable AEVB_MIRROR=DIR"
                )
            else:
                advice = (
                    "put the right file there, or set --config mirror=DIR or the environment variable AEVB_MIRROR "
                    "to another mirror, or set neither to use the public sources"
                )
            raise UserError(f"cannot fetch {path}, tried {', '.join(reasons)}; {advice}")
    return paths


def _known(dataset: str) -> Dataset:
    if dataset not in DATASETS:
        raise UserError(f"there is no data set '{dataset}'; valid are {', '.join(DATASETS)}")
    return DATASETS[dataset]


def _mirror(mirror: str | Path, dataset: str) -> str | Path:
    """The URL, with a slash at the end, or the directory of the files of `dataset`."""
    valid = "set --config mirror or the environment variable AEVB_MIRROR to a directory, a file:// or an http(s):// URL"
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", str(mirror))  # two letters at least: C: is a drive
    if isinstance(mirror, Path) or not scheme:
        if not str(mirror):
            raise UserError(f"the mirror is empty; {valid}")
        return Path(mirror).expanduser() / dataset
    scheme = scheme[1].lower()
    if scheme not in ("file", "http", "https"):
        raise UserError(f"the mirror starts with '{scheme}:', which is not supported; {valid}")
    try:
        parts = urllib.parse.urlsplit(mirror)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UserError(f"the mirror is not a valid URL; {valid}") from None
    if "@" in parts.netloc:  # never repeated in a message: it may be a password
        raise UserError(f"the mirror's URL holds a user name or password, which is not supported; {valid}")
    if parts.query or parts.fragment:
        raise UserError(f"the mirror's URL has a '?' or '#', so that no file name can follow it; {valid}")
    if scheme == "file":
        if host not in (None, "localhost") or not parts.path.startswith("/"):
            raise UserError(f"the mirror {_line(mirror)} is not of the form file:///DIR; {valid}")
        return Path(urllib.request.url2pathname(parts.path)) / dataset
    if not host:
        raise UserError(f"the mirror's URL names no host; {valid}")
    return f"{mirror.rstrip('/')}/{dataset}/"


def _place(source: str | Path, file: File) -> str:
    return str(source / file.name) if isinstance(source, Path) else source + file.name


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _verified(path: Path, file: File) -> bool:
    try:
        return path.stat().st_size == file.size and _sha256(path) == file.sha256
    except OSError:
        return False


def _download(source: str | Path, file: File, path: Path) -> None:
    """Raises _Unusable if the source does not deliver the file, UserError if it cannot be written."""
    progress = _Progress(file, _place(source, file))
    digest = hashlib.sha256()
    done = 0
    try:
        with atomic(path) as temporary, open(temporary, "wb") as stream:
            for block in _blocks(source, file):
                done += len(block)
                if done > file.size:  # do not let a server fill the disk
                    raise _Unusable(f"sends more than the expected {file.size:,} bytes")
                digest.update(block)
                stream.write(block)
                progress.update(done)
            if done < file.size:
                raise _Unusable(f"ends after {done:,} of {file.size:,} bytes")
            if digest.hexdigest() != file.sha256:
                raise _Unusable(f"wrong content: sha256 {digest.hexdigest()[:12]}..., expected {file.sha256[:12]}...")
    except (_Unusable, UserError) as error:
        progress.end(str(error))
        raise
    progress.end(f"{done:,} bytes, sha256 verified")


def _blocks(source: str | Path, file: File):
    """The bytes of the file. Raises _Unusable with the reason: what `source` says is reported, never trusted."""
    try:
        with _open(source, file) as stream:
            while block := stream.read(BLOCK):
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise _Unusable(f"HTTP {error.code} {http.client.responses.get(error.code, '')}".strip()) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: host or path that cannot be encoded
        raise _Unusable(_reason(error)) from None


def _open(source: str | Path, file: File):
    if isinstance(source, Path):
        if not source.parent.is_dir():
            raise _Unusable(f"the mirror {source.parent} is not a directory")
        if not (source / file.name).is_file():
            raise _Unusable("no such file")
        return open(source / file.name, "rb")
    # Only HTTP and HTTPS: the default opener would follow a redirection to FTP.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(source + file.name, headers={"User-Agent": "aevb-replication"})
    return opener.open(request, timeout=TIMEOUT)


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)  # URLError wraps the error of the socket
    return _line(getattr(cause, "strerror", None) or cause or type(error).__name__)


def _line(text: object) -> str:
    """One short printable line: part of it may come from a server."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return text.rstrip(".") if len(text) <= 200 else text[:200] + "..."


class _Progress:
    """Bytes of one file so far, on stderr: in place on a terminal, otherwise a line every ten seconds."""

    def __init__(self, file: File, place: str):
        self.file = file
        self.terminal = sys.stderr.isatty()
        self.interval = 0.1 if self.terminal else 10
        self.shown = time.monotonic()
        self.show(f"from {place}")

    def show(self, text: str, end: bool = False) -> None:
        before, after = ("\r", "\x1b[K" + "\n" * end) if self.terminal else ("", "\n")
        print(f"{before}{self.file.name}: {text}", end=after, file=sys.stderr, flush=True)

    def update(self, done: int) -> None:
        if time.monotonic() - self.shown >= self.interval:
            self.shown = time.monotonic()
            self.show(f"{done:,} of {self.file.size:,} bytes")

    def end(self, text: str) -> None:
        self.show(text, end=True)


def prepare(dataset: str, folder: str | Path, path: str | Path) -> None:
    """Write the prepared file `path` of `dataset` from the files that `fetch` put into `folder`.

    mnist: the first 50,000 of the 60,000 training images, and the 10,000 test images, as torchvision reads them.
    frey, digits: 1600 of 1965 and 1500 of 1797 images drawn with numpy.random.RandomState(0), whose stream never
    changes; the others are the test set.

    Raises UserError when a file is missing, damaged or not of the form it should have, or `path` cannot be written.
    """
    known = _known(dataset)
    files = [Path(folder) / dataset / file.name for file in known.files]
    for file, original in zip(files, known.files, strict=True):
        if not file.is_file():
            raise UserError(f"{file} does not exist; run the pipeline to fetch it")
        if not _verified(file, original):
            raise UserError(f"{file} is damaged: its size or sha256 is not that of the original; delete it and run again")

    train, test = {"mnist": _read_mnist, "frey": _read_frey, "digits": _read_digits}[dataset](known, files)

    with atomic(path) as temporary, h5py.File(temporary, "w") as output:
        # Not compressed, as a training job reads it at its start; no times, so that the bytes are always the same.
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
        """torchvision's reader: it verifies and extracts the files that lie in its folder and cannot reach the network."""

        mirrors = ("none:",)  # not empty, or torchvision would not look at the files at all

    try:
        with tempfile.TemporaryDirectory(prefix="aevb-mnist-") as root:
            raw = Path(root) / "LocalMNIST" / "raw"  # torchvision names the folder after the class
            raw.mkdir(parents=True)
            for file in files:
                shutil.copyfile(file, raw / file.name)
            train, test = (LocalMNIST(root, train=part, download=True).data.numpy() for part in (True, False))
    except OSError as error:
        advice = "make room for temporary files or set TMPDIR, then run again"
        raise UserError(f"cannot extract the files in {files[0].parent}: {_reason(error)}; {advice}") from error
    except RuntimeError as error:
        raise UserError(f"torchvision does not accept the files in {files[0].parent}; delete that folder and run again") from error
    side = known.shape[0]
    for file, images, number in ((files[0], train, 60_000), (files[2], test, 10_000)):
        if images.shape != (number, side, side) or images.dtype != np.uint8:
            raise UserError(f"{file} holds {images.dtype} {images.shape}, not {number} images of bytes; delete it and run again")
    return train[: known.n_train].reshape(known.n_train, -1), test.reshape(known.n_test, -1)


def _read_frey(known: Dataset, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    import scipy.io

    [file] = files
    try:
        content = scipy.io.loadmat(file, variable_names=["ff"])
    except Exception as error:  # scipy's parser raises nearly anything on damaged input
        raise UserError(f"{file} cannot be read as a MATLAB file ({_reason(error)}); delete it and run again") from error
    expected = (math.prod(known.shape), known.n_train + known.n_test)
    images = content.get("ff")
    if images is None:
        raise UserError(f"{file} has no variable 'ff'; delete it and run again")
    if images.shape != expected or images.dtype != np.uint8:
        raise UserError(f"{file}: 'ff' is {images.dtype} {images.shape} instead of uint8 {expected}; delete it and run again")
    return _split(images.T, known)  # one image a column, its pixels row by row


def _read_digits(known: Dataset, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    values = load_digits().data
    images = values.astype(np.uint8)
    expected = (known.n_train + known.n_test, math.prod(known.shape))
    if images.shape != expected or not np.array_equal(images, values) or images.max() >= known.levels:
        raise UserError("the digits of scikit-learn are not the 1797 images they should be; install scikit-learn afresh")
    return _split(images, known)


def _split(images: np.ndarray, known: Dataset) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.RandomState(0).permutation(len(images))
    return tuple(np.ascontiguousarray(images[part]) for part in (order[: known.n_train], order[known.n_train :]))


@dataclass(frozen=True, eq=False)
class Data:
    """A data set ready for training.

    The values are grey values divided by `scale`. For a Gaussian likelihood the unit matters: a density per scaled
    unit is higher by D ln(scale) nats per datapoint than one per grey level.
    """

    name: str
    train: torch.Tensor  # (n_train, D) float32
    test: torch.Tensor  # (n_test, D) float32
    shape: tuple[int, int]  # rows, columns; D = rows * columns
    levels: int  # number of grey levels
    scale: float
    sha256: str  # of the unscaled images

    @property
    def max_log_density(self) -> float:
        """Upper limit of a meaningful Gaussian bound: D ln(scale), in nats per datapoint.

        A grey level stands for a cell of width 1/scale in each of the D pixels, of volume scale^-D in all. A density p
        gives the cell C of an image the probability P(C) <= 1, so the mean of p over the cell is P(C) scale^D and, the
        logarithm being concave, the mean of ln p over the cell is at most ln P(C) + D ln(scale) <= D ln(scale).
        For dequantised values, spread evenly over their cells, no model's expectation exceeds this. At the bare grey
        values a density may exceed it without end, by ever narrower peaks: a bound beyond it says that this happened.
        It has no meaning for a Bernoulli likelihood, whose log-probabilities are at most 0.
        """
        return math.prod(self.shape) * math.log(self.scale)


def load(path: str | Path, experiment: Experiment) -> Data:
    """Read a prepared file as float32 tensors, transformed as `experiment` says.

    value / scale as a rule: 0 ... 255/256 for scale 256, 0 ... 1 for scale 255, and for digits (scale 16).
    binarise: 1 where value / scale >= 0.5, else 0.
    dequantise: (value + u) / scale with u uniform on [0, 1), one grey level, drawn with numpy.random.RandomState(0)
    for train and then test, hence the same at every call. Nothing is clipped: the values reach up to levels / scale,
    that is 256/255 for scale 255 and 17/16 for digits.

    Raises UserError when the file is missing, damaged, of another schema or of another data set.
    """
    import torch

    known = _known(experiment.dataset)
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
    return Data(
        experiment.dataset,
        **tensors,
        shape=known.shape,
        levels=known.levels,
        scale=experiment.scale,
        sha256=_content_sha256(arrays["train"], arrays["test"]),
    )


def _read_prepared(path: Path, dataset: str, known: Dataset) -> dict[str, np.ndarray]:
    """The uint8 arrays train and test, checked: bytes of the right number, range and sha256 are finite as well."""
    problem = None
    arrays = {}
    expected = {"schema": SCHEMA, "dataset": dataset, "shape": list(known.shape), "levels": known.levels}
    try:
        with h5py.File(path, "r") as file:
            found = {name: _plain(file.attrs.get(name)) for name in (*expected, "sha256")}
            for name, value in expected.items():
                if found[name] != value:
                    problem = problem or f"its {name} is {found[name]} instead of {value}"
            for name, number in (("train", known.n_train), ("test", known.n_test)):
                stored = file.get(name)
                size = (number, math.prod(known.shape))
                if not isinstance(stored, h5py.Dataset) or stored.shape != size or stored.dtype != np.uint8:
                    problem = problem or f"its '{name}' is not an array of bytes of {size[0]} x {size[1]}"
                if problem is None:
                    arrays[name] = stored[:]
                    if arrays[name].max() >= known.levels:
                        problem = f"its '{name}' holds the value {arrays[name].max()}, beyond the largest grey value {known.levels - 1}"
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the pipeline to make it") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py raises on damaged files
        problem = _reason(error)
    if problem is None and found["sha256"] != _content_sha256(arrays["train"], arrays["test"]):
        problem = "its images do not have the sha256 they were written with"
    if problem is not None:
        raise UserError(f"{path} is not a prepared file of {dataset}: {problem}; delete it and run again")
    return arrays


def _plain(value):
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
