"""The reference of all configuration keys: config/README.md."""

from __future__ import annotations

import argparse
import inspect
import json
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from ..core.sections import MOST, Name
from ..studies import STUDIES
from . import model

HEAD = """# Configuration

`paper.yaml` is the default. `--configfile config/quick.yaml` chooses another file, and
`--config samples=1e6` changes a top-level key for one call. `minimal.yaml` is a whole configuration
in a few lines.

Each section below is a key of the top level, and its table lists the keys inside. Of the sections,
only `experiments` and one study are required. A study, such as `figure2` or `variance`, is run if
its section is given.

Written by `PYTHONPATH=src python -m aevb configuration > config/README.md` from the sections in
src/aevb/config, src/aevb/learners and src/aevb/studies.
"""
TABLE = "| key | default | values | meaning |\n|---|---|---|---|"
NOUNS = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "value"}


def reference() -> str:
    """All keys with their defaults, values and meanings, as the Markdown of config/README.md."""
    whole = model()
    fields = whole.model_fields
    sections = {name: _section(field.annotation) for name, field in fields.items()}
    parts = [HEAD, _part("Top level", whole, [name for name in fields if not sections[name]])]
    for name, section in sections.items():
        if section:
            parts.append(_part(_heading(name, fields[name]), section, section.model_fields))
    return "\n".join(parts)


def _heading(name: str, field: FieldInfo) -> str:
    """The heading of the section `name`: the key, what form it has, whether it may be left out."""
    study = STUDIES.get(name)
    form = f": {study.heading}" if study and study.heading else ""
    if get_origin(field.annotation) is dict:
        form = f": name -> {name.removesuffix('s')}"
    return f"`{name}`{form}{' (optional)' if field.default is None else ''}"


def _part(heading: str, section: type[BaseModel], names: Iterable[str]) -> str:
    """The keys `names` of `section` under a heading."""
    about = " ".join(inspect.getdoc(section).split("\n\n")[0].split())
    rows = [_row(name, section.model_fields[name]) for name in names]
    return "\n".join([f"## {heading}", "", about, "", TABLE, *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    values = _values(field.annotation, field.metadata)
    cells = [f"`{name}`", _default(field), values, field.description or ""]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    """The default as YAML reads it, in Markdown."""
    if field.is_required():
        return "(required)"
    if field.default is None:
        return "nothing"
    return f"`{field.default if isinstance(field.default, str) else json.dumps(field.default)}`"


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that values of this type are, or hold as entries; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)


def _values(annotation: Any, metadata: Iterable[Any] = (), plural: bool = False) -> str:
    """Which values a key of this type takes, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], [*arguments[1:], *metadata], plural)
    if origin in (Union, types.UnionType):
        kinds = [_values(part, metadata) for part in arguments if part is not types.NoneType]
        return " or ".join([*kinds, "nothing"])
    if origin is list:
        return f"list of {_values(arguments[0], plural=True)}"
    if origin is dict:
        return f"{_values(arguments[0])} -> {_values(arguments[1])}"
    metadata = [part for entry in metadata for part in (entry, *getattr(entry, "metadata", ()))]
    if origin is Literal:
        return _choice(arguments)
    for entry in metadata:
        if isinstance(entry, AfterValidator) and isinstance(entry.func, Name):
            return f"{_choice(entry.func.values())}, or one of a plug-in"
    noun = NOUNS.get(annotation, "section")
    if any(getattr(entry, "pattern", None) for entry in metadata):
        noun = "name"
    noun += "s" if plural and annotation is not bool else ""
    return " ".join([noun, *filter(None, [" and ".join(_limits(metadata))])])


def _choice(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _limits(metadata: Iterable[Any]) -> list[str]:
    """The limits of a number, such as '> 0'."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        (sign, getattr(entry, key, None)) for entry in metadata for key, sign in signs.items()
    ]
    return [f"{sign} {limit}" for sign, limit in limits if limit not in (None, MOST)]


def main(arguments: list[str]) -> None:
    """Print the reference of all configuration keys, as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m aevb configuration", description=main.__doc__)
    parser.parse_args(arguments)
    print(reference(), end="")
