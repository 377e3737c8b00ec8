"""Where a result comes from: code, versions, machine. Written into every result file."""

from __future__ import annotations

import functools
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .fingerprint import PACKAGE, Code, exists, fingerprint

__all__ = ["Code", "exists", "fingerprint"]

#: recorded by `record`: fingerprints of other code that made the same bits
EQUIVALENT = PACKAGE / "core" / "equivalent.json"

OLDER = "of a time before fingerprints"


def root(thing) -> str:
    """The root that `fingerprint` takes: of a function, of a class or of an object's class."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


@functools.cache
def _equivalent() -> dict[str, set[str]]:
    entries = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    known: dict[str, set[str]] = {}
    for entry in entries:
        known.setdefault(entry["old"], set()).update(entry["new"])
    return known


def same(stored_sha256: str, code: Code) -> bool:
    """Whether the code that made a result is `code`, or is on record as giving the same bits,
    directly or over codes between them."""
    known, reached, due = _equivalent(), set(), [stored_sha256]
    while due:
        reached.add(code_sha256 := due.pop())
        due += known.get(code_sha256, set()) - reached
    return code.sha256 in reached


def canonical(code: Code) -> str:
    """A fingerprint that `code` shares with what is on record as equivalent: the oldest one's."""
    oldest, seen = code.sha256, set()
    while oldest is not None and oldest not in seen:
        seen.add(found := oldest)
        oldest = next((old for old, new in _equivalent().items() if found in new), None)
    return found


def record(old: str, new: str, evidence: str) -> None:
    """Put on record that code `new` makes the bits that code `old` made, and how that is known.

    Both are fingerprints (SHA-256). Say what was compared, when and on which processor. Raises
    UserError if the record cannot be written.
    """
    from .files import atomic

    entries = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    entry = next((e for e in entries if (e["old"], e["evidence"]) == (old, evidence)), None)
    if entry is None:
        entries.append(entry := {"old": old, "new": [], "evidence": evidence})
    entry["new"] = sorted({*entry["new"], new})
    with atomic(EQUIVALENT) as temporary:
        temporary.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    _equivalent.cache_clear()


def differs(stored: Mapping[str, object], code: Code) -> list[str]:
    """In which modules the code that made a result with the attributes `stored` differs from
    `code`: none if it is the same.

    Hashes are compared, not names, so that a module that moved is not named.
    """
    if same(str(stored.get("code_sha256", "")), code):
        return []
    modules = json.loads(str(stored.get("code_modules") or "{}"))
    if not modules:
        return [OLDER]
    before, now = set(modules.values()), set(code.modules.values())
    names = [name for name, part in code.modules.items() if part not in before]
    names += [name for name, part in modules.items() if part not in now and name not in names]
    return sorted(names) or ["which definition a name refers to"]


@functools.cache
def git() -> tuple[str, bool]:
    """Commit of the checkout of this package, and whether tracked files differ from it;
    ('unknown', False) outside git, and in a repository that holds more than this project."""
    folder = PACKAGE.parent.parent  # of the checkout, as the package is in src/
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return "unknown", False
        commit = _git("rev-parse", "HEAD")
        paths = ("src", "workflow", "Snakefile")
        status = _git("status", "--porcelain", "--untracked-files=no", "--", *paths)
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False
    return commit, bool(status)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=PACKAGE.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def processor() -> str:
    """Name of the processor, without anything that names the machine."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def attributes(device, code: Code) -> dict:
    """Provenance attributes of a result that `code` made on `device` (a torch.device)."""
    import h5py
    import numpy
    import torch

    commit, dirty = git()
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "h5py": h5py.__version__,
    }
    return {
        "code_sha256": code.sha256,
        "code_modules": json.dumps(code.modules),
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": json.dumps(versions),
        "device": device.type,
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
    }
