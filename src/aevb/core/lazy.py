"""Imports that wait until they are needed: torch takes seconds, and planning and drawing need none.

The standard library's LazyLoader puts the waiting module into sys.modules, where SciPy finds and
wakes it. This one is seen only by who asks for it.
"""

from __future__ import annotations

import importlib
from functools import partial
from types import ModuleType


class _Lazy(ModuleType):
    def __getattr__(self, name: str):
        """Import the module, and become a plain one with its contents: attributes of a subclass of
        ModuleType take three times longer, which training steps would notice."""
        module = importlib.import_module(self.__name__)
        vars(self).update(vars(module))
        vars(self)["__getattr__"] = partial(getattr, module)  # what it gets later
        self.__class__ = ModuleType
        return getattr(module, name)


def lazy(name: str) -> ModuleType:
    """What the module `name` holds; it is imported at the first use."""
    return _Lazy(name)


def waiting(module: ModuleType) -> list[str]:
    """The modules that `module` will import when it first needs them."""
    return [value.__name__ for value in vars(module).values() if isinstance(value, _Lazy)]
