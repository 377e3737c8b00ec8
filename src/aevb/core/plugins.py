"""Plug-ins: Python files outside the package that add to its catalogues.

A file is named in the configuration (`plugins`: files, or folders of files) or by an installed
package (entry points of the group "aevb"). It registers what it has when it is imported:

    from aevb import data, learners, marginal, studies
    from aevb.models import likelihoods

    data.DATASETS.register(...)
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from .errors import UserError
from .words import reason

#: file -> the module made of it: a file is imported once
LOADED: dict[str, str] = {}


def load(places: Iterable[str]) -> None:
    """Import the installed plug-ins, and the files and folders `places`, each file once.

    Raises UserError when one does not exist or cannot be imported.
    """
    for point in metadata.entry_points(group="aevb"):
        if point.value not in LOADED:
            LOADED[point.value] = point.name
            point.load()
    for place in places:
        path = Path(place)
        if not path.exists():
            raise UserError(f"the plug-in {place} does not exist; mend `plugins`")
        files = sorted(path.glob("*.py")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"the plug-in folder {place} holds no .py file; mend `plugins`")
        for file in files:
            _load(file.resolve())


def _load(file: Path) -> None:
    if str(file) in LOADED:
        return
    name = f"aevb_plugin_{file.stem}"
    if name in sys.modules:
        raise UserError(f"two plug-ins have the file name {file.name}; rename one of them")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:  # whatever a file of somebody else's may raise
        del sys.modules[name]
        what = f"{type(error).__name__}: {reason(error)}"
        raise UserError(f"the plug-in {file} cannot be imported ({what}); mend it") from error
    LOADED[str(file)] = name
