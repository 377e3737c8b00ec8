"""Imports that wait until they are needed: torch takes seconds, and planning and drawing need none.

The standard library's LazyLoader puts the waiting module into sys.modules, where SciPy finds and
wakes it. This one is seen only by who asks for it.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class _Lazy(ModuleType):
    def __getattr__(self, name: str):
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)  # so that this is asked once for each name
        return value


def lazy(name: str) -> ModuleType:
    """What the module `name` holds; it is imported at the first use."""
    return _Lazy(name)
