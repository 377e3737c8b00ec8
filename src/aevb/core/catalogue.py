"""Catalogues: what there is of a kind, one file each, and what plug-ins add."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import UserError
from .words import nearest

Entry = TypeVar("Entry")
KEY = re.compile(r"[a-z0-9][a-z0-9_-]*")


def lacking(entry: object, *names: str) -> str:
    """'has no X' for the first of `names` that an entry has not, '' if it has all."""
    return next((f"has no `{name}`" for name in names if not hasattr(entry, name)), "")


class Catalogue(Generic[Entry]):
    """The entries of a kind by their `key`.

    Those of the project are in the modules of `package` under the name `attribute`, one entry or a
    tuple of them; they are imported at the first use, and sorted by their `order` where they have
    one. Plug-ins call `register`; theirs come after. `wrong`(entry) says what an entry lacks, ''
    if nothing.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        attribute: str,
        wrong: Callable[[Entry], str] = lambda entry: "",
    ):
        self.kind, self.package, self.attribute, self.wrong = kind, package, attribute, wrong
        self.entries: dict[str, Entry] = {}
        self.complete = False

    def register(self, entry: Entry) -> Entry:
        """Add `entry`, which it returns. Raises UserError if it lacks something, or if another has
        its key."""
        key = getattr(entry, "key", None)
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise UserError(f"a {self.kind} needs a `key` of small letters, digits, - and _")
        if what := self.wrong(entry):
            raise UserError(f"the {self.kind} '{key}' {what}")
        if self.get(key) not in (None, entry):
            raise UserError(f"there is another {self.kind} '{entry.key}'; rename one of them")
        self.entries[entry.key] = entry
        return entry

    def _all(self) -> dict[str, Entry]:
        if not self.complete:
            self.complete = True  # to who asks while the modules are imported
            try:
                mine = self._found()
            except BaseException:  # who asks again meets the same error, no empty catalogue
                self.complete = False
                raise
            self.entries = {**{entry.key: entry for entry in mine}, **self.entries}
        return self.entries

    def _found(self) -> list[Entry]:
        """The entries of the project, in their order."""
        package, mine = importlib.import_module(self.package), []
        for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
            found = getattr(importlib.import_module(module.name), self.attribute, ())
            mine += found if isinstance(found, tuple) else (found,)
        return sorted(mine, key=lambda entry: getattr(entry, "order", 0))

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __contains__(self, key: object) -> bool:
        return key in self._all()

    def items(self):
        """Keys with their entries."""
        return self._all().items()

    def values(self):
        """The entries."""
        return self._all().values()

    def get(self, key: str) -> Entry | None:
        """The entry called `key`; None if there is none."""
        return self._all().get(key)

    def __getitem__(self, key: str) -> Entry:
        """The entry called `key`. Raises UserError that names the nearest if there is none."""
        entries = self._all()
        if key not in entries:
            raise UserError(f"there is no {self.kind} {key!r}{nearest(key, entries)}")
        return entries[key]
