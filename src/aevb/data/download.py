"""Downloading the original files of the data sets, from public sources or a mirror, checked by size
and sha256.

Where a file comes from cannot change what is in it, so nothing here decides the numbers of a run.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from ..core.errors import UserError
from ..core.files import atomic
from ..core.words import one_line, reason
from . import DATASETS, File, verified

TIMEOUT = 30  # seconds without an answer from a server
INTERVAL = 10  # seconds between two lines of progress
BLOCK = 1 << 16  # bytes read at a time


class _Unusable(Exception):
    """A source does not deliver a file; the message is the reason."""


def fetch(dataset: str, folder: str | Path, mirror: str | Path | None = None) -> list[Path]:
    """Download the original files of `dataset` into folder/<dataset>/ and return their paths.

    The public sources are tried in order; progress goes to stderr. A `mirror` takes their place
    altogether: a directory, a file:// or an http(s):// URL, which holds <dataset>/<file>. Every
    file is checked by size and sha256, and appears under its name only once it is right. One that
    is there already is kept if it is right and replaced if it is not. A data set without public
    sources has nothing to download: the list is empty.

    Raises UserError when no source gives a file, with the reason of each. So it does when the
    mirror is none of the above, or the folder cannot be written.
    """
    known = DATASETS[dataset]
    if not known.urls:
        return []
    sources = list(known.urls) if mirror is None else [_mirror(mirror, dataset)]
    paths = known.paths(folder)
    for file, path in zip(known.files, paths, strict=True):
        if verified(path, file):
            continue
        reasons = []
        for source in sources:
            place = source / file.name if isinstance(source, Path) else source + file.name
            try:
                _download(place, file, path)
            except _Unusable as error:
                reasons.append(f"{place} ({error})")
            else:
                # The next file comes from where this one did, rather than wait for a dead server
                # again.
                sources.sort(key=lambda other: other != source)
                break
        else:
            if mirror is None:
                advice = (
                    "run again when these can be reached, or put the file into a folder DIR as "
                    f"DIR/{dataset}/{file.name} "
                    "and set --config mirror=DIR or the environment variable AEVB_MIRROR=DIR"
                )
            else:
                advice = (
                    "put the right file there, or set --config mirror=DIR or the environment "
                    "variable AEVB_MIRROR "
                    "to another mirror, or set neither to use the public sources"
                )
            raise UserError(f"cannot fetch {path}, tried {', '.join(reasons)}; {advice}")
    return paths


def _mirror(mirror: str | Path, dataset: str) -> str | Path:
    """The URL, with a slash at the end, or the directory of the files of `dataset`."""
    valid = (
        "set --config mirror or the environment variable AEVB_MIRROR to a directory, a file:// or "
        "an http(s):// URL"
    )
    # Two letters at least: C: is a drive.
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", str(mirror))
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
        raise UserError(
            f"the mirror's URL holds a user name or password, which is not supported; {valid}"
        )
    if parts.query or parts.fragment:
        raise UserError(
            f"the mirror's URL has a '?' or '#', so that no file name can follow it; {valid}"
        )
    if scheme == "file":
        if host not in (None, "localhost") or not parts.path.startswith("/"):
            raise UserError(
                f"the mirror {one_line(mirror)} is not of the form file:///DIR; {valid}"
            )
        return Path(urllib.request.url2pathname(parts.path)) / dataset
    if not host:
        raise UserError(f"the mirror's URL names no host; {valid}")
    return f"{mirror.rstrip('/')}/{dataset}/"


def _download(place: str | Path, file: File, path: Path) -> None:
    """Download one file from `place`.

    Raises _Unusable if `place` does not deliver it, UserError if it cannot be written.
    """

    def say(text: object) -> None:
        print(f"{file.name}: {text}", file=sys.stderr, flush=True)

    say(f"from {place}")
    said = time.monotonic()
    digest = hashlib.sha256()
    done = 0
    try:
        with atomic(path) as temporary, open(temporary, "wb") as stream:
            for block in _blocks(place):
                done += len(block)
                if done > file.size:  # do not let a server fill the disk
                    raise _Unusable(f"sends more than the expected {file.size:,} bytes")
                digest.update(block)
                stream.write(block)
                if time.monotonic() - said >= INTERVAL:
                    said = time.monotonic()
                    say(f"{done:,} of {file.size:,} bytes")
            if done < file.size:
                raise _Unusable(f"ends after {done:,} of {file.size:,} bytes")
            if digest.hexdigest() != file.sha256:
                raise _Unusable(
                    f"wrong content: sha256 {digest.hexdigest()[:12]}..., expected "
                    f"{file.sha256[:12]}..."
                )
    except (_Unusable, UserError) as error:
        say(error)
        raise
    say(f"{done:,} bytes, sha256 verified")


def _blocks(place: str | Path):
    """The bytes of the file, block by block.

    Raises _Unusable with the reason: what a server says is reported, never trusted.
    """
    try:
        with _open(place) as stream:
            while block := stream.read(BLOCK):
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise _Unusable(
            f"HTTP {error.code} {http.client.responses.get(error.code, '')}".strip()
        ) from None
    except urllib.error.URLError as error:
        raise _Unusable(reason(error.reason)) from None  # a text, or the error of the socket
    # ValueError: host or path that cannot be encoded.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Unusable(reason(error)) from None


def _open(place: str | Path):
    if isinstance(place, Path):
        mirror = place.parent.parent
        if not mirror.is_dir():
            raise _Unusable(f"the mirror {mirror} is not a directory")
        if not place.is_file():
            raise _Unusable("no such file")
        return open(place, "rb")
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
    request = urllib.request.Request(place, headers={"User-Agent": "aevb-replication"})
    return opener.open(request, timeout=TIMEOUT)
