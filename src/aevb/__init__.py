"""Auto-Encoding Variational Bayes, replicated: the library, for a notebook.

    import aevb

    study = aevb.load_study("reference")      # or a results folder, or a gathered.h5
    model = aevb.load_model("results/NAME/runs/EXPERIMENT/RUN.h5")
    model = aevb.train("digits", latent_dim=2, samples=1e5)
    model.encode(x), model.decode(z), model.sample(16), model.bound(x), model.log_p(x)

docs/library.md is a tour. Importing this imports neither torch nor anything else that takes time:
the names below are found when they are used. Every mistake raises `UserError`, one sentence.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.errors import UserError
    from .library.model import Model
    from .library.study import Study, load_model, load_study
    from .library.training import train

_HOMES = {
    "Model": "library.model",
    "Study": "library.study",
    "UserError": "core.errors",
    "load_model": "library.study",
    "load_study": "library.study",
    "train": "library.training",
}

__all__ = ["Model", "Study", "UserError", "load_model", "load_study", "train"]


def __getattr__(name: str):
    """A public name, imported now."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
