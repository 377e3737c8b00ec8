"""Readings of the paper: what a study changes of the others' settings, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from ..config.messages import sentences
from ..config.sections import Experiment, Training
from ..core.sections import Strict
from ..core.words import nearest
from ..learners import LEARNERS
from . import STUDIES, Study

if TYPE_CHECKING:
    from ..config import Config

Reading = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
#: name -> what it changes: keys of sections, and sections of learners with keys of theirs
Readings = dict[Reading, dict[str, Any]]
FIXED = ("dataset", "likelihood")  # which no reading changes
CHANGES = (
    "name -> what changes: keys of `training`, of an experiment all but `dataset` and "
    "`likelihood`, and sections of learners, such as `wake_sleep: {sleep: after}`"
)


def check(config: Config, study: Study, readings: Readings, bases: list[str]) -> None:
    """Raise ValueError, in a sentence, if a name or a key of `readings` of the experiments `bases`
    is wrong."""
    valid = [*Training.model_fields, *(n for n in Experiment.model_fields if n not in FIXED)]
    valid += [key for key, learner in LEARNERS.items() if learner.Options]
    others = [s for s in STUDIES.values() if s is not study and s.active(config)]
    for reading, changes in readings.items():
        where = f"{study.key}.readings.{reading}"
        if reading == "default" or any(reading in other.variants(config) for other in others):
            raise ValueError(f"{where} has a name that is taken; give it another")
        for key in changes:
            if key not in valid:
                raise ValueError(f"unknown key '{where}.{key}'{nearest(key, valid)}")
        for key in [key for key in changes if key in LEARNERS]:
            _check_options(f"{where}.{key}", LEARNERS[key].Options, changes[key])
        try:
            for base in bases:
                decided(config, f"{base}+{reading}", LEARNERS)
        except ValidationError as error:
            raise ValueError(sentences(error, prefix=where)) from None


def _check_options(where: str, options: type[Strict], changes: object) -> None:
    """Raise ValueError if `changes` is no section of `options`."""
    if not isinstance(changes, dict):
        raise ValueError(f"'{where}' must be a section, as {{KEY: VALUE}}")
    try:
        options.model_validate(changes)
    except ValidationError as error:
        raise ValueError(sentences(error, options, changes, where)) from None


def decided(config: Config, name: str, algorithms: Iterable[str]) -> tuple:
    """All that decides the runs of the experiment or variant `name` by `algorithms` and that a
    reading may change. Raises ValidationError."""
    options = (config.options_of(key, name) for key in algorithms)
    return config.experiment(name), config.training_of(name), *options
