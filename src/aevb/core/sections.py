"""Sections of the configuration: their base class, and the types of values."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from .catalogue import Catalogue
from .errors import UserError


def whole(value):
    """Accept 1e6 and '1e6' (YAML 1.1 reads 1e6 as text) where a whole number is meant."""
    if isinstance(value, bool):
        raise ValueError("input should be a whole number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return value
    return int(number) if number.is_integer() else value


def _number(value):
    """True is no number, though Python says so."""
    if isinstance(value, bool):
        raise ValueError("input should be a number")
    return value


def _path(value: str) -> str:
    """A path with ~ as the home folder. Braces and angle brackets are wildcards to Snakemake, and a
    line break would not fit into its files."""
    value = os.path.expanduser(value)
    if not value.isprintable() or set(value) & set("{}<>"):
        raise ValueError("a path must be printable and have no braces or angle brackets")
    if any(len(os.fsencode(part)) > 255 for part in value.split(os.sep)):
        raise ValueError("a name in a path must have at most 255 bytes")
    return value


# Of anything that is counted: whole numbers up to here are the same as int64 and as float64.
MOST = 10**15
Count = Annotated[int, BeforeValidator(whole), Field(gt=0, le=MOST)]
Whole = Annotated[int, BeforeValidator(whole), Field(ge=0, le=MOST)]
# Of what is held in memory, or done for each step.
Size = Annotated[int, BeforeValidator(whole), Field(gt=0, le=10_000)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_number), Field(gt=0, lt=1)]
# Two of these make the name of a folder, which may have 255 bytes.
ShortName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=80)]
Location = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_path)]


class Name:
    """A validator: the name of an entry of a catalogue."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue

    def __call__(self, value: str) -> str:
        try:
            self.catalogue[value]
        except UserError as error:
            raise ValueError(str(error)) from None
        return value

    def values(self) -> list[str]:
        """The names that it takes."""
        return list(self.catalogue)


class Strict(BaseModel):
    """A section: unknown keys are errors, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _nothing_twice(self):
        """A list of choices names each once: jobs and files are named after them."""
        for name in type(self).model_fields:
            values = getattr(self, name)
            if isinstance(values, list) and len({str(value) for value in values}) < len(values):
                what = "a seed" if name == "seeds" else "an entry"
                raise ValueError(f"{name} lists {what} twice")
        return self
