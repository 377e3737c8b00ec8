"""The chapters of a report: the studies that it tells of, and whose results each shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..core.errors import UserError
from ..core.files import open_h5
from . import STUDIES, Study

if TYPE_CHECKING:
    from ..config import Config


class Chapter(NamedTuple):
    """A study with the configuration under which it was run."""

    study: Study
    config: Config
    of: int  # 0: this configuration's own; k: of the k-th study of its `beside`


def chapters(config: Config, beside: Sequence[Config | None] = ()) -> list[Chapter]:
    """The studies that `config` asks for, then those that only the configurations `beside` do,
    each from the first that has it; in the order of studies. None: a study that is not there."""
    found: dict[str, Chapter] = {}
    for of, each in enumerate((config, *beside)):
        if each is None:
            continue
        for study in STUDIES.values():
            if study.key not in found and study.active(each):
                found[study.key] = Chapter(study, each, of)
    return [found[key] for key in STUDIES if key in found]


def configuration(path: str | Path) -> Config | None:
    """That of the gathered results `path`; None where they cannot be read, which the job that needs
    them says. Raises UserError if it is not valid here."""
    from ..config import load
    from ..config.sections import stored

    try:
        with open_h5(path) as file:
            raw = json.loads(file.attrs["config"])
    except (OSError, KeyError, ValueError):
        return None
    raw["training"] = stored(raw.get("training", {}))
    try:
        return load(raw)
    except UserError as error:
        raise UserError(f"{path} cannot be shown beside this study: {error}") from None
