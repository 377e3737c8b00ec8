"""Results: their schema, their files, and all of a study's in one."""

from .gather import CURVES_CSV, curves_table, gather, write_curves
from .schema import (
    ATTRIBUTES,
    CURVE,
    READABLE,
    SCHEMA,
    SPLITS,
    Gathered,
    Pilot,
    RunResult,
    Table,
)
from .store import (
    is_gathered,
    measured,
    read_gathered,
    read_pilot,
    read_run,
    read_table,
    write_pilot,
    write_run,
    write_table,
)

__all__ = [
    "ATTRIBUTES",
    "CURVE",
    "CURVES_CSV",
    "READABLE",
    "SCHEMA",
    "SPLITS",
    "Gathered",
    "Pilot",
    "RunResult",
    "Table",
    "curves_table",
    "gather",
    "is_gathered",
    "measured",
    "read_gathered",
    "read_pilot",
    "read_run",
    "read_table",
    "write_curves",
    "write_pilot",
    "write_run",
    "write_table",
]
