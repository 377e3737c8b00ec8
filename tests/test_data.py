"""Fetching from a local server that misbehaves, preparing, loading. The real files are read where AEVB_MIRROR names them."""

import errno
import gzip
import hashlib
import http.server
import io
import math
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from aevb import data
from aevb.config import Experiment
from aevb.errors import UserError

BODY = bytes(range(256)) * 1024  # larger than a block, so that a failure can come in the middle
NAME = "frey_rawface.mat"
DIGITS_SHA256 = "22ccb51d1417f8119764af32a91d6d7351b6b6f703ee31920487dcfdf6a4e72a"
MNIST_SHA256 = "bb214d1bc7a55df14e01f32b6ea4ab2643eb07bbb553a85c6ebb3955a4cd121a"
FREY_SHA256 = "30f27cee655693dc25835a4322afd15ef0fbb85beec8e8c4f6f504bad76266bf"

real_files = pytest.mark.skipif(not os.environ.get("AEVB_MIRROR"), reason="AEVB_MIRROR does not name the original files")


def original(name: str, body: bytes) -> data.File:
    return data.File(name, len(body), hashlib.sha256(body).hexdigest())


@pytest.fixture
def server(monkeypatch):
    """An HTTP server whose `answers` maps a path to a function of the request handler; `asked` lists the paths asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.server.answers.get(self.path, status(404))(self)

        def log_message(self, *args):
            pass

    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answers, server.asked, server.sent = {}, [], 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def status(code: int, **headers):
    def answer(request):
        request.send_response(code, "\x1b[31mred")  # a reason phrase that must not reach the terminal
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    return answer


def body(content: bytes, length: int | None = None):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def endless(request):
    """100 MB without a Content-Length, until the client hangs up."""
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(1000):
            request.wfile.write(bytes(100_000))
            request.server.sent += 100_000
    except OSError:
        pass


def stalled(request):
    request.send_response(200)
    request.send_header("Content-Length", str(len(BODY)))
    request.end_headers()
    request.wfile.write(BODY[:1000])
    request.wfile.flush()
    time.sleep(1)


@pytest.fixture
def small(monkeypatch, server):
    """frey becomes one small file with two public sources, both on the local server."""
    known = data.DATASETS["frey"]._replace(files=(original(NAME, BODY),), urls=(f"{server.url}/first/", f"{server.url}/second/"))
    monkeypatch.setitem(data.DATASETS, "frey", known)
    return known


def no_host(*args, **kwargs):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def no_room(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def failure(*arguments) -> str:
    """The message of the UserError that fetch must raise; it is one line."""
    with pytest.raises(UserError) as caught:
        data.fetch(*arguments)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable() and ". " not in message
    return message


def test_second_source_after_403(server, small, tmp_path, capsys):
    server.answers = {f"/first/{NAME}": status(403), f"/second/{NAME}": body(BODY)}
    [path] = data.fetch("frey", tmp_path)
    assert path == tmp_path / "frey" / NAME and path.read_bytes() == BODY
    assert files_in(tmp_path) == [f"frey/{NAME}"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"{NAME}: from {server.url}/first/{NAME}",
        f"{NAME}: HTTP 403 Forbidden",
        f"{NAME}: from {server.url}/second/{NAME}",
        f"{NAME}: {len(BODY):,} bytes, sha256 verified",
    ]


def test_source_that_worked_is_asked_first_for_the_next_file(server, small, monkeypatch, tmp_path):
    files = (original("a", BODY), original("b", b"second file"))
    monkeypatch.setitem(data.DATASETS, "frey", small._replace(files=files))
    server.answers = {"/second/a": body(BODY), "/second/b": body(b"second file")}
    assert [path.read_bytes() for path in data.fetch("frey", tmp_path)] == [BODY, b"second file"]
    assert server.asked == ["/first/a", "/second/a", "/second/b"]


BAD = {
    "403": (status(403), "HTTP 403 Forbidden"),
    "404": (status(404), "HTTP 404 Not Found"),
    "truncated": (body(BODY[:-1000], len(BODY)), f"ends after {len(BODY) - 1000:,} of {len(BODY):,} bytes"),
    "empty": (body(b""), f"ends after 0 of {len(BODY):,} bytes"),
    "corrupted": (body(BODY[:-1] + b"x"), "wrong content: sha256"),
    "oversize": (body(BODY + b"x"), f"sends more than the expected {len(BODY):,} bytes"),
    "redirected to ftp": (status(302, Location="ftp://127.0.0.1:9/x"), "unknown url type: ftp"),
    "redirected to a file": (status(302, Location="file:///etc/hostname"), "HTTP 302 Found"),
    "redirected in a circle": (lambda request: status(302, Location=request.path)(request), "HTTP 302 Found"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_answers(case, server, small, tmp_path):
    answer, reason = BAD[case]
    server.answers = {f"/{source}/{NAME}": answer for source in ("first", "second")}
    message = failure("frey", tmp_path)
    assert f"cannot fetch {tmp_path}/frey/{NAME}" in message
    for source in small.urls:
        assert f"{source}{NAME} ({reason}" in message
    assert "mirror=DIR" in message and "AEVB_MIRROR" in message
    assert files_in(tmp_path) == []

    server.answers = {f"/first/{NAME}": body(BODY)}
    assert data.fetch("frey", tmp_path)[0].read_bytes() == BODY
    assert files_in(tmp_path) == [f"frey/{NAME}"]


def test_endless_answer_is_cut_off(server, small, tmp_path):
    server.answers = {f"/first/{NAME}": endless}
    assert "sends more than" in failure("frey", tmp_path)
    assert server.sent < 50e6
    assert files_in(tmp_path) == []


def test_stalled_server(server, small, monkeypatch, tmp_path):
    monkeypatch.setattr(data, "TIMEOUT", 0.2)
    server.answers = {f"/first/{NAME}": stalled}
    assert f"/first/{NAME} (timed out)" in failure("frey", tmp_path)
    assert files_in(tmp_path) == []


def test_no_source_reachable(server, small, monkeypatch, tmp_path):
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        monkeypatch.setitem(data.DATASETS, "frey", small._replace(urls=(closed,)))
        message = failure("frey", tmp_path)
    assert NAME in message and "Connection refused" in message and "mirror" in message
    assert files_in(tmp_path) == []


def test_unknown_host(small, monkeypatch, tmp_path):
    monkeypatch.setattr(socket, "getaddrinfo", no_host)
    monkeypatch.setitem(data.DATASETS, "frey", small._replace(urls=("https://nowhere.invalid/",)))
    message = failure("frey", tmp_path)
    assert f"https://nowhere.invalid/{NAME} (Name or service not known)" in message


def test_right_file_is_kept_and_wrong_one_replaced(server, small, tmp_path):
    path = tmp_path / "frey" / NAME
    path.parent.mkdir()
    path.write_bytes(BODY)
    before = path.stat()
    assert data.fetch("frey", tmp_path) == [path]
    assert server.asked == [] and path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino

    server.answers = {f"/first/{NAME}": body(BODY)}
    for wrong in (BODY[:-1], BODY[:-1] + b"x"):  # wrong size; right size, wrong content
        path.write_bytes(wrong)
        data.fetch("frey", tmp_path)
        assert path.read_bytes() == BODY


def test_wrong_file_survives_a_failed_download(server, small, tmp_path):
    path = tmp_path / "frey" / NAME
    path.parent.mkdir()
    path.write_bytes(b"wrong")
    failure("frey", tmp_path)
    assert files_in(tmp_path) == [f"frey/{NAME}"] and path.read_bytes() == b"wrong"


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "the mirror"
    (folder / "frey").mkdir(parents=True)
    (folder / "frey" / NAME).write_bytes(BODY)
    return folder


@pytest.mark.parametrize("form", [lambda path: path, str, Path.as_uri, lambda path: path.as_uri().replace("file://", "FILE://localhost")])
def test_mirror_directory(form, server, small, mirror, tmp_path):
    [path] = data.fetch("frey", tmp_path / "data", form(mirror))
    assert path.read_bytes() == BODY
    assert files_in(tmp_path / "data") == [f"frey/{NAME}"]
    assert server.asked == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_mirror_url_is_the_only_source(slash, server, small, tmp_path):
    server.answers = {f"/dir/frey/{NAME}": body(BODY), f"/first/{NAME}": body(BODY)}
    assert data.fetch("frey", tmp_path, f"{server.url}/dir{slash}")[0].read_bytes() == BODY
    assert server.asked == [f"/dir/frey/{NAME}"]


def test_mirror_that_lacks_the_file(server, small, mirror, tmp_path):
    server.answers = {f"/first/{NAME}": body(BODY)}
    (mirror / "frey" / NAME).unlink()
    message = failure("frey", tmp_path / "data", mirror)
    assert f"{mirror}/frey/{NAME} (no such file)" in message and "mirror=DIR" in message
    assert f"{server.url}/dir/frey/{NAME} (HTTP 404 Not Found)" in failure("frey", tmp_path / "data", f"{server.url}/dir")
    assert server.asked == [f"/dir/frey/{NAME}"]  # never the public sources
    assert files_in(tmp_path / "data") == []

    (mirror / "frey" / NAME).write_bytes(BODY)
    assert data.fetch("frey", tmp_path / "data", mirror)[0].read_bytes() == BODY


def test_mirror_with_a_wrong_file(small, mirror, tmp_path):
    (mirror / "frey" / NAME).write_bytes(BODY[::-1])
    message = failure("frey", tmp_path / "data", mirror)
    assert f"{mirror}/frey/{NAME} (wrong content" in message and "mirror=DIR" in message
    assert files_in(tmp_path / "data") == []


def test_mirror_that_does_not_exist(server, small, tmp_path):
    message = failure("frey", tmp_path / "data", tmp_path / "absent")
    assert NAME in message and f"the mirror {tmp_path}/absent is not a directory" in message and "mirror=DIR" in message
    assert server.asked == [] and files_in(tmp_path) == []


def test_no_mirror_unless_given(server, small, mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("AEVB_MIRROR", str(mirror))
    failure("frey", tmp_path / "data")
    assert server.asked == [f"/first/{NAME}", f"/second/{NAME}"]


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [
        ("ftp://host/dir", "'ftp:'"),
        ("javascript:alert(1)", "'javascript:'"),
        ("data:,x", "'data:'"),
        ("s3://bucket/dir", "'s3:'"),
        ("http://me:secret@127.0.0.1/dir", "user name or password"),
        ("https://me@127.0.0.1/dir", "user name or password"),
        ("http://127.0.0.1/dir?key=secret", "'?'"),
        ("http:///dir", "no host"),
        ("http://[::1/dir", "not a valid URL"),
        ("http://127.0.0.1:port/dir", "not a valid URL"),
        ("file://elsewhere/dir", "file:///DIR"),
        ("", "empty"),
    ],
)
def test_mirror_of_the_wrong_form(mirror, reason, server, small, tmp_path):
    message = failure("frey", tmp_path, mirror)
    assert reason in message and "mirror" in message and "AEVB_MIRROR" in message
    assert "secret" not in message
    assert server.asked == [] and files_in(tmp_path) == []


def test_folder_that_cannot_be_written(small, mirror, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    message = failure("frey", tmp_path / "file", mirror)
    assert f"{tmp_path}/file/frey/{NAME}" in message and "Not a directory" in message
    assert files_in(tmp_path) == ["file", f"the mirror/frey/{NAME}"]


@pytest.mark.parametrize("call", ["write", "os.replace"])
def test_full_disk(call, small, mirror, monkeypatch, tmp_path):
    class FullFile(io.FileIO):
        write = no_room

    with monkeypatch.context() as patch:
        if call == "os.replace":
            patch.setattr(os, "replace", no_room)
        else:
            patch.setattr(data, "open", FullFile, raising=False)
        message = failure("frey", tmp_path / "data", mirror)
    assert f"data/frey/{NAME}" in message and "No space left on device" in message
    assert files_in(tmp_path / "data") == []
    assert data.fetch("frey", tmp_path / "data", mirror)[0].read_bytes() == BODY


def test_progress_on_a_terminal_stays_on_one_line(small, mirror, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    data.fetch("frey", tmp_path / "data", mirror)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and shown.endswith("sha256 verified\x1b[K\n")
    counts = [f"\r{NAME}: {n * data.BLOCK:,} of {len(BODY):,} bytes\x1b[K" for n in range(1, 5)]
    assert all(count in shown for count in counts)


def test_progress_elsewhere_is_a_line_every_ten_seconds(small, mirror, monkeypatch, capsys, tmp_path):
    clock = iter(range(0, 10000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    data.fetch("frey", tmp_path / "data", mirror)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:-1] == [f"{NAME}: {3 * data.BLOCK:,} of {len(BODY):,} bytes"]


def test_digits_need_no_download(tmp_path):
    assert data.fetch("digits", tmp_path, "ftp://is not looked at") == []
    assert files_in(tmp_path) == []


def test_unknown_dataset(tmp_path):
    for call in (data.fetch, lambda name, folder: data.prepare(name, folder, folder / "x.h5")):
        with pytest.raises(UserError, match=r"no data set 'cifar'; valid are mnist, frey, digits"):
            call("cifar", tmp_path)


def test_import_is_light():
    code = "import sys, aevb.data; print([name for name in ('torch', 'torchvision', 'scipy', 'sklearn') if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def digits(**settings) -> Experiment:
    return Experiment(**{"dataset": "digits", "likelihood": "bernoulli", "hidden": 10, "scale": 16, **settings})


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
    assert attributes["dataset"] == "digits" and list(attributes["shape"]) == [8, 8] and attributes["levels"] == 17
    assert attributes["sha256"] == hashlib.sha256(train.tobytes() + test.tobytes()).hexdigest() == DIGITS_SHA256
    assert "scikit-learn" in attributes["source"] and "\n" not in attributes["source"]

    from sklearn.datasets import load_digits

    order = np.random.RandomState(0).permutation(1797)
    np.testing.assert_array_equal(np.concatenate([train, test]), load_digits().data[order])

    again = tmp_path / "again.h5"
    data.prepare("digits", tmp_path, again)
    assert again.read_bytes() == prepared.read_bytes()


def test_load_digits(prepared):
    loaded = data.load(prepared, digits())
    with h5py.File(prepared) as file:
        for tensor, stored in ((loaded.train, file["train"][:]), (loaded.test, file["test"][:])):
            assert tensor.dtype == torch.float32 and tensor.is_contiguous()
            np.testing.assert_array_equal(tensor.numpy(), stored.astype(np.float32) / np.float32(16))
    assert (loaded.name, loaded.shape, loaded.levels, loaded.scale, loaded.sha256) == ("digits", (8, 8), 17, 16, DIGITS_SHA256)
    assert loaded.train.max() == 1


def test_scale(prepared):
    assert torch.equal(data.load(prepared, digits(scale=32)).train * 2, data.load(prepared, digits()).train)


def test_binarise(prepared):
    plain, binary = data.load(prepared, digits()), data.load(prepared, digits(binarise=True))
    assert (plain.train == 0.5).any()  # the case on the edge occurs
    for name in ("train", "test"):
        values = getattr(binary, name)
        assert values.dtype == torch.float32 and set(values.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(values == 1, getattr(plain, name) >= 0.5)


def test_dequantise(prepared):
    settings = digits(likelihood="gaussian", dequantise=True)
    plain, noisy, again = data.load(prepared, digits()), data.load(prepared, settings), data.load(prepared, settings)
    noise = {}
    for name in ("train", "test"):
        assert torch.equal(getattr(noisy, name), getattr(again, name)) and getattr(noisy, name).dtype == torch.float32
        noise[name] = ((getattr(noisy, name) - getattr(plain, name)) * 16).numpy()  # in grey levels
        assert noise[name].min() >= 0 and noise[name].max() <= 1
    n = noise["train"].size
    assert abs(noise["train"].mean() - 0.5) < 5 * math.sqrt(1 / 12 / n)
    assert abs(noise["train"].var() - 1 / 12) < 5 * math.sqrt(1 / 180 / n)
    assert 1.05 < noisy.train.max() <= 17 / 16  # not clipped
    stream = np.random.RandomState(0)
    for name in ("train", "test"):
        np.testing.assert_allclose(noise[name], stream.random_sample(noise[name].shape), atol=2e-6)


def test_max_log_density(prepared):
    """The density that is uniform on the cells of one image attains it; a narrower cell is worth more nats."""
    loaded = data.load(prepared, digits())
    cell = torch.distributions.Uniform(loaded.train[0], loaded.train[0] + 1 / 16)
    assert loaded.max_log_density == pytest.approx(cell.log_prob(loaded.train[0]).sum().item(), rel=1e-5)
    assert loaded.max_log_density == pytest.approx(64 * math.log(16))


def replace(file, name, value):
    del file[name]
    file[name] = value


DAMAGE = {
    "schema": (lambda file: file.attrs.modify("schema", 99), "its schema is 99 instead of 1"),
    "no schema": (lambda file: file.attrs.__delitem__("schema"), "its schema is None"),
    "other data set": (lambda file: file.attrs.modify("dataset", "frey"), "its dataset is frey instead of digits"),
    "shape": (lambda file: file.attrs.modify("shape", [4, 16]), r"its shape is \[4, 16\] instead of \[8, 8\]"),
    "levels": (lambda file: file.attrs.modify("levels", 256), "its levels is 256 instead of 17"),
    "no test": (lambda file: file.__delitem__("test"), "its 'test' is not an array"),
    "group": (lambda file: (file.__delitem__("test"), file.create_group("test")), "its 'test' is not an array"),
    "rows": (lambda file: replace(file, "train", file["train"][:-1]), "its 'train' is not an array of bytes of 1500 x 64"),
    "floats": (lambda file: replace(file, "train", np.full((1500, 64), np.nan)), "its 'train' is not an array of bytes"),
    "value": (lambda file: file["test"].__setitem__((0, 0), 17), "its 'test' holds the value 17"),
    "bit": (lambda file: file["test"].__setitem__((0, 20), 16 - file["test"][0, 20]), "sha256"),
    "no sha256": (lambda file: file.attrs.__delitem__("sha256"), "sha256"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_prepared_file(case, prepared, tmp_path):
    change, reason = DAMAGE[case]
    path = tmp_path / "digits.h5"
    path.write_bytes(prepared.read_bytes())
    data.load(path, digits())
    with h5py.File(path, "r+") as file:
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


def test_prepare_needs_the_verified_file(small, tmp_path):
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
        (lambda folder: mat(folder, ff=FACES.T), r"uint8 \(1965, 560\) instead of uint8 \(560, 1965\)"),
        (lambda folder: mat(folder, ff=FACES / 255), "'ff' is float64"),
    ],
)
def test_mat_file_of_the_wrong_form(make, reason, monkeypatch, tmp_path):
    """Damage that the checksum would find, were it not made to match."""
    path = tmp_path / "frey" / NAME
    path.parent.mkdir()
    content = make(tmp_path)
    path.write_bytes(content)
    monkeypatch.setitem(data.DATASETS, "frey", data.DATASETS["frey"]._replace(files=(original(NAME, content),)))
    with pytest.raises(UserError, match=rf"{NAME}.*{reason}.*delete it and run again"):
        data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    assert files_in(tmp_path) == [f"frey/{NAME}"]


def test_frey_of_made_up_faces(monkeypatch, tmp_path):
    content = mat(tmp_path, ff=FACES)
    (tmp_path / "frey").mkdir()
    (tmp_path / "frey" / NAME).write_bytes(content)
    monkeypatch.setitem(data.DATASETS, "frey", data.DATASETS["frey"]._replace(files=(original(NAME, content),)))
    data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    loaded = data.load(tmp_path / "frey.h5", Experiment(dataset="frey", likelihood="gaussian", hidden=10))
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
    monkeypatch.setitem(data.DATASETS, "mnist", data.DATASETS["mnist"]._replace(files=files))
    for file in files:
        (tmp_path / "mnist" / file.name).write_bytes(BODY)
    return sorted(f"mnist/{file.name}" for file in files)


def test_mnist_that_torchvision_refuses(not_mnist, monkeypatch, tmp_path):
    """torchvision checks the files on its own, and without a network: its md5 sums differ from those of the stand-ins."""
    hosts = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kwargs: hosts.append(host) or no_host())
    with pytest.raises(UserError, match=r"torchvision does not accept the files in .*mnist; delete") as caught:
        data.prepare("mnist", tmp_path, tmp_path / "mnist.h5")
    assert "\n" not in str(caught.value) and hosts == []
    assert files_in(tmp_path) == not_mnist


def test_no_room_to_extract_mnist(not_mnist, monkeypatch, tmp_path):
    monkeypatch.setattr(data.shutil, "copyfile", no_room)
    with pytest.raises(UserError, match=r"cannot extract the files in .*mnist: No space left on device; .*TMPDIR"):
        data.prepare("mnist", tmp_path, tmp_path / "mnist.h5")
    assert files_in(tmp_path) == not_mnist


@real_files
def test_real_mnist(monkeypatch, tmp_path):
    paths = data.fetch("mnist", tmp_path, os.environ["AEVB_MIRROR"])
    monkeypatch.setattr(socket, "getaddrinfo", no_host)
    data.prepare("mnist", tmp_path, tmp_path / "mnist.h5")
    loaded = data.load(tmp_path / "mnist.h5", Experiment(dataset="mnist", likelihood="bernoulli", hidden=10, scale=255))
    assert loaded.train.shape == (50_000, 784) and loaded.test.shape == (10_000, 784) and loaded.shape == (28, 28)
    assert loaded.train.min() == 0 and loaded.train.max() == 1
    assert loaded.train.mean(dtype=torch.float64).item() == pytest.approx(0.130962, abs=1e-6)
    assert loaded.sha256 == MNIST_SHA256
    for path, number, tensor in ((paths[0], 50_000, loaded.train), (paths[2], 10_000, loaded.test)):
        with gzip.open(path) as stream:
            pixels = np.frombuffer(stream.read(16 + number * 784), np.uint8)[16:].reshape(number, 784)
        assert torch.equal((tensor * 255).round().byte(), torch.from_numpy(pixels.copy()))


@real_files
def test_real_frey(tmp_path):
    [path] = data.fetch("frey", tmp_path, os.environ["AEVB_MIRROR"])
    data.prepare("frey", tmp_path, tmp_path / "frey.h5")
    loaded = data.load(tmp_path / "frey.h5", Experiment(dataset="frey", likelihood="gaussian", hidden=10))
    assert loaded.train.shape == (1600, 560) and loaded.test.shape == (365, 560) and loaded.shape == (28, 20)
    assert loaded.train.mean(dtype=torch.float64).item() == pytest.approx(0.603514, abs=1e-6)
    assert loaded.sha256 == FREY_SHA256
    # The right way up: neighbours in a row and in a column are alike, as they are not with rows and columns exchanged.
    faces = loaded.train.reshape(-1, 28, 20)
    turned = loaded.train.reshape(-1, 20, 28)
    assert faces.diff(dim=1).abs().mean() < 0.5 * turned.diff(dim=1).abs().mean()
    whole = scipy.io.loadmat(path)["ff"].T
    assert {face.tobytes() for face in whole} == {(face * 256).byte().numpy().tobytes() for face in (*loaded.train, *loaded.test)}
