"""Where a result comes from: code, versions, machine. Written into every result file."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
#: the modules that decide the numbers of a run; a change in one of them makes checkpoints and
#: results stale
DECISIVE = (
    "data/__init__",
    "engine/evaluation",
    "models/kernels",
    "engine/gpu",
    "marginal/hmc",
    "models/joint",
    "learners/__init__",
    "models/nets",
    "models/densities",
    "core/streams",
    "engine/training",
)

#: those that decide estimates of log p(x) on a trained model
ESTIMATING = (
    "data/__init__",
    "studies/estimates",
    "marginal/evidence",
    "models/kernels",
    "marginal/hmc",
    "models/joint",
    "models/nets",
    "models/densities",
    "core/streams",
)

#: those that decide the variances measured on models that are trained for it
MEASURING = (*DECISIVE, "studies/variance")

#: those that decide where test points lie on the map of a two-dimensional model
ENCODING = ("data/__init__", "studies/encoding", "models/nets")


@functools.cache
def code_sha256(modules: tuple[str, ...] = DECISIVE) -> str:
    """SHA-256 over the sources of `modules`."""
    digest = hashlib.sha256()
    for name in modules:
        digest.update((PACKAGE / f"{name}.py").read_bytes())
    return digest.hexdigest()


@functools.cache
def git() -> tuple[str, bool]:
    """Commit of the checkout that holds this package, and whether tracked files differ from it;
    ('unknown', False) outside git."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PACKAGE, capture_output=True, text=True, check=True
        ).stdout.strip()
        status = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no", "--", "src", "workflow", "Snakefile"],
                                cwd=PACKAGE.parent.parent, capture_output=True, text=True, check=True).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False
    return commit, bool(status.strip())


def processor() -> str:
    """Name of the processor, without anything that names the machine."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def attributes(device, modules: tuple[str, ...] = DECISIVE) -> dict:
    """Provenance attributes of a result that `modules` made on `device` (a torch.device)."""
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
        "code_sha256": code_sha256(modules),
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": json.dumps(versions),
        "device": device.type,
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
    }
