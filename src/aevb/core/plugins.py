"""Plug-ins: Python files outside the package that add to its catalogues.

A file is named in the configuration (`plugins`: files, or folders of files) or by an installed
package (entry points of the group "aevb"). It registers what it has when it is imported:

    from aevb import data, learners, marginal, studies
    from aevb.models import likelihoods

    data.DATASETS.register(...)

Its module is called aevb_plugin_STEM, after the file or the entry point: so begins the place of a
function in it. docs/extending.md has a recipe for each catalogue.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from .errors import UserError
from .words import reason

#: file, or what an installed package names -> the module made of it: each is imported once
LOADED: dict[str, str] = {}
PREFIX = "aevb_plugin_"  # of the names of these modules


def load(places: Iterable[str]) -> None:
    """Import the installed plug-ins, and the files and folders `places`, each file once.

    Raises UserError when one does not exist or cannot be imported.
    """
    for point in metadata.entry_points(group="aevb"):
        if point.value not in LOADED:
            with _said(f"installed plug-in {point.name}"):
                point.load()
            LOADED[point.value] = f"{PREFIX}{point.name}"
            sys.modules[LOADED[point.value]] = sys.modules[point.module]
    for place in places:
        path = Path(place)
        if not path.exists():
            if _name(path) in LOADED.values():  # from where somebody else has it
                continue
            raise UserError(
                f"the plug-in {place} does not exist; put it there (seen from the working "
                "directory) or mend `plugins`"
            )
        files = sorted(path.glob("*.py")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"the plug-in folder {place} holds no .py file; mend `plugins`")
        for file in files:
            _load(file.resolve())


def modules() -> tuple[str, ...]:
    """The names of the modules that plug-ins are."""
    return tuple(LOADED.values())


def _name(file: Path) -> str:
    return f"{PREFIX}{file.stem}"


def _load(file: Path) -> None:
    if str(file) in LOADED:
        return
    name = _name(file)
    if file.suffix != ".py":
        raise UserError(f"the plug-in {file} is no .py file; mend `plugins`")
    if "." in name:
        raise UserError(f"the plug-in {file} has a dot too many in its name; rename it")
    if name in sys.modules:
        raise UserError(f"two plug-ins have the file name {file.name}; rename one of them")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _said(f"plug-in {file}"):
            spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    LOADED[str(file)] = name


@contextlib.contextmanager
def blamed():
    """What a function of a plug-in's file raises inside becomes a UserError with file and line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        places = traceback.extract_tb(error.__traceback__)
        theirs = [place for place in places if place.filename in LOADED]
        if not theirs:
            raise
        why = f"{type(error).__name__}: {reason(error)}"
        where = f"the plug-in {theirs[-1].filename} fails in line {theirs[-1].lineno}"
        raise UserError(f"{where} ({why}); mend it") from error


@contextlib.contextmanager
def _said(what: str):
    """Whatever somebody else's file raises becomes a sentence that names it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"in the {what}: {error}") from error
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {reason(error)}"
        raise UserError(f"the {what} cannot be imported ({why}); mend it") from error
