"""Catalogues: what there is of a kind, one file each, and what plug-ins add."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from .errors import UserError
from .words import nearest

Entry = TypeVar("Entry")


class Catalogue(Generic[Entry]):
    """The entries of a kind by their `key`.

    Those of the project are in the modules of `package`, one each, under the name `attribute`;
    they are imported at the first use. Plug-ins call `register`.
    """

    def __init__(self, kind: str, package: str, attribute: str):
        self.kind, self.package, self.attribute = kind, package, attribute
        self.entries: dict[str, Entry] = {}
        self.complete = False

    def register(self, entry: Entry) -> Entry:
        """Add `entry`, which it returns. Raises UserError if another has its key."""
        if self.get(entry.key) not in (None, entry):
            raise UserError(f"there are two {self.kind}s '{entry.key}'; rename one of them")
        self.entries[entry.key] = entry
        return entry

    def _all(self) -> dict[str, Entry]:
        if not self.complete:
            self.complete = True
            package = importlib.import_module(self.package)
            mine = {}
            for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
                entry = getattr(importlib.import_module(module.name), self.attribute, None)
                if entry is not None:
                    mine[entry.key] = entry
            self.entries = {**mine, **self.entries}
        return self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __contains__(self, key: object) -> bool:
        return key in self._all()

    def items(self):
        return self._all().items()

    def values(self):
        return self._all().values()

    def get(self, key: str) -> Entry | None:
        return self._all().get(key)

    def __getitem__(self, key: str) -> Entry:
        """The entry called `key`. Raises UserError that names the nearest if there is none."""
        entries = self._all()
        if key not in entries:
            raise UserError(f"there is no {self.kind} '{key}'{nearest(key, entries)}")
        return entries[key]
