"""Configuration files as they were written, before a parser takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from ..core.errors import UserError


def check(path: str | Path) -> None:
    """Raise UserError if a YAML file has a key twice, of which parsers drop the first in silence.

    What they cannot read at all is theirs to say.
    """
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return
    for name, first, second in _twice(root, set()):
        raise UserError(
            f"{path} has the key '{name}' twice, in lines {first} and {second}, of which one would "
            "be lost; join them or remove one"
        )


def _twice(node: yaml.Node | None, seen: set[int]) -> Iterator[tuple[str, int, int]]:
    """Keys that a mapping has twice, with their lines. An alias may be in what it stands for."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines and key.value != "<<":
                yield str(key.value), lines[key.value], line
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
            yield from _twice(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value, seen)
