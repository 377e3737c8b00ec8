"""Fetching from a local server that misbehaves, and from mirrors."""

import http.server
import io
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from test_data import change, files_in, no_host, no_room, original

from aevb import data
from aevb.core.errors import UserError
from aevb.data import download

BODY = bytes(range(256)) * 1024  # larger than a block, so that a failure can come in the middle
NAME = "frey_rawface.mat"


@pytest.fixture
def server(monkeypatch):
    """An HTTP server whose `answers` maps a path to a function of the request handler; `asked`
    lists the paths asked for."""

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
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        yield server
        server.shutdown()


def status(code: int, **headers):
    def answer(request):
        request.send_response(
            code, "\x1b[31mred"
        )  # a reason phrase that must not reach the terminal
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
    urls = (f"{server.url}/first/", f"{server.url}/second/")
    change(monkeypatch, "frey", files=(original(NAME, BODY),), urls=urls)


def failure(*arguments) -> str:
    """The message of the UserError that fetch must raise; it is one line."""
    with pytest.raises(UserError) as caught:
        download.fetch(*arguments)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable() and ". " not in message
    return message


def test_second_source_after_403(server, small, tmp_path, capsys):
    server.answers = {f"/first/{NAME}": status(403), f"/second/{NAME}": body(BODY)}
    [path] = download.fetch("frey", tmp_path)
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
    change(monkeypatch, "frey", files=files)
    server.answers = {"/second/a": body(BODY), "/second/b": body(b"second file")}
    assert [path.read_bytes() for path in download.fetch("frey", tmp_path)] == [
        BODY,
        b"second file",
    ]
    assert server.asked == ["/first/a", "/second/a", "/second/b"]


BAD = {
    "403": (status(403), "HTTP 403 Forbidden"),
    "404": (status(404), "HTTP 404 Not Found"),
    "truncated": (
        body(BODY[:-1000], len(BODY)),
        f"ends after {len(BODY) - 1000:,} of {len(BODY):,} bytes",
    ),
    "empty": (body(b""), f"ends after 0 of {len(BODY):,} bytes"),
    "corrupted": (body(BODY[:-1] + b"x"), "wrong content: sha256"),
    "oversize": (body(BODY + b"x"), f"sends more than the expected {len(BODY):,} bytes"),
    "redirected to ftp": (status(302, Location="ftp://127.0.0.1:9/x"), "unknown url type: ftp"),
    "redirected to a file": (status(302, Location="file:///etc/hostname"), "HTTP 302 Found"),
    "redirected in a circle": (
        lambda request: status(302, Location=request.path)(request),
        "HTTP 302 Found",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_answers(case, server, small, tmp_path):
    answer, reason = BAD[case]
    server.answers = {f"/{source}/{NAME}": answer for source in ("first", "second")}
    message = failure("frey", tmp_path)
    assert f"cannot fetch {tmp_path}/frey/{NAME}" in message
    for source in data.DATASETS["frey"].urls:
        assert f"{source}{NAME} ({reason}" in message
    assert "mirror=DIR" in message and "AEVB_MIRROR" in message
    assert files_in(tmp_path) == []

    server.answers = {f"/first/{NAME}": body(BODY)}
    assert download.fetch("frey", tmp_path)[0].read_bytes() == BODY
    assert files_in(tmp_path) == [f"frey/{NAME}"]


def test_endless_answer_is_cut_off(server, small, tmp_path):
    server.answers = {f"/first/{NAME}": endless}
    assert "sends more than" in failure("frey", tmp_path)
    assert server.sent < 50e6
    assert files_in(tmp_path) == []


def test_stalled_server(server, small, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.answers = {f"/first/{NAME}": stalled}
    assert f"/first/{NAME} (timed out)" in failure("frey", tmp_path)
    assert files_in(tmp_path) == []


def test_no_source_reachable(server, small, monkeypatch, tmp_path):
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        change(monkeypatch, "frey", urls=(closed,))
        message = failure("frey", tmp_path)
    assert NAME in message and "Connection refused" in message and "mirror" in message
    assert files_in(tmp_path) == []


def test_unknown_host(small, monkeypatch, tmp_path):
    monkeypatch.setattr(socket, "getaddrinfo", no_host)
    change(monkeypatch, "frey", urls=("https://nowhere.invalid/",))
    message = failure("frey", tmp_path)
    assert f"https://nowhere.invalid/{NAME} (Name or service not known)" in message


def test_right_file_is_kept_and_wrong_one_replaced(server, small, tmp_path):
    path = tmp_path / "frey" / NAME
    path.parent.mkdir()
    path.write_bytes(BODY)
    before = path.stat()
    assert download.fetch("frey", tmp_path) == [path]
    assert (
        server.asked == []
        and path.stat().st_mtime_ns == before.st_mtime_ns
        and path.stat().st_ino == before.st_ino
    )

    server.answers = {f"/first/{NAME}": body(BODY)}
    for wrong in (BODY[:-1], BODY[:-1] + b"x"):  # wrong size; right size, wrong content
        path.write_bytes(wrong)
        download.fetch("frey", tmp_path)
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


@pytest.mark.parametrize(
    "form",
    [
        lambda path: path,
        str,
        Path.as_uri,
        lambda path: path.as_uri().replace("file://", "FILE://localhost"),
    ],
)
def test_mirror_directory(form, server, small, mirror, tmp_path):
    [path] = download.fetch("frey", tmp_path / "data", form(mirror))
    assert path.read_bytes() == BODY
    assert files_in(tmp_path / "data") == [f"frey/{NAME}"]
    assert server.asked == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_mirror_url_is_the_only_source(slash, server, small, tmp_path):
    server.answers = {f"/dir/frey/{NAME}": body(BODY), f"/first/{NAME}": body(BODY)}
    assert download.fetch("frey", tmp_path, f"{server.url}/dir{slash}")[0].read_bytes() == BODY
    assert server.asked == [f"/dir/frey/{NAME}"]


def test_mirror_that_lacks_the_file(server, small, mirror, tmp_path):
    server.answers = {f"/first/{NAME}": body(BODY)}
    (mirror / "frey" / NAME).unlink()
    message = failure("frey", tmp_path / "data", mirror)
    assert f"{mirror}/frey/{NAME} (no such file)" in message and "mirror=DIR" in message
    assert f"{server.url}/dir/frey/{NAME} (HTTP 404 Not Found)" in failure(
        "frey", tmp_path / "data", f"{server.url}/dir"
    )
    assert server.asked == [f"/dir/frey/{NAME}"]  # never the public sources
    assert files_in(tmp_path / "data") == []

    (mirror / "frey" / NAME).write_bytes(BODY)
    assert download.fetch("frey", tmp_path / "data", mirror)[0].read_bytes() == BODY


def test_mirror_with_a_wrong_file(small, mirror, tmp_path):
    (mirror / "frey" / NAME).write_bytes(BODY[::-1])
    message = failure("frey", tmp_path / "data", mirror)
    assert f"{mirror}/frey/{NAME} (wrong content" in message and "mirror=DIR" in message
    assert files_in(tmp_path / "data") == []


def test_mirror_that_does_not_exist(server, small, tmp_path):
    message = failure("frey", tmp_path / "data", tmp_path / "absent")
    assert (
        NAME in message
        and f"the mirror {tmp_path}/absent is not a directory" in message
        and "mirror=DIR" in message
    )
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
            patch.setattr(download, "open", FullFile, raising=False)
        message = failure("frey", tmp_path / "data", mirror)
    assert f"data/frey/{NAME}" in message and "No space left on device" in message
    assert files_in(tmp_path / "data") == []
    assert download.fetch("frey", tmp_path / "data", mirror)[0].read_bytes() == BODY


def test_progress_is_a_line_every_ten_seconds(small, mirror, monkeypatch, capsys, tmp_path):
    clock = iter(range(0, 10000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    download.fetch("frey", tmp_path / "data", mirror)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:-1] == [f"{NAME}: {3 * download.BLOCK:,} of {len(BODY):,} bytes"]


def test_digits_need_no_download(tmp_path):
    assert download.fetch("digits", tmp_path, "ftp://is not looked at") == []
    assert files_in(tmp_path) == []


def test_unknown_dataset(tmp_path):
    with pytest.raises(UserError, match=r"no data set 'cifar'; valid are digits, frey, mnist"):
        download.fetch("cifar", tmp_path)


def test_every_set_of_files_has_sources():
    assert all(bool(known.urls) == bool(known.files) for known in data.DATASETS.values())
    urls = [url for known in data.DATASETS.values() for url in known.urls]
    assert len(urls) == 6
    assert all(url.startswith(("https://", "http://")) and url.endswith("/") for url in urls)
