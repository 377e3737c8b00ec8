"""Writing and reading result files: what is wrong with one is said in a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ..config.sections import stored
from ..core.errors import Damaged, UserError
from ..core.files import new_h5, open_h5
from ..core.provenance import attributes, fingerprint
from ..core.run import Job
from ..studies import STUDIES
from ..studies.planning import budgets
from .schema import (
    ATTRIBUTES,
    CURVE,
    READABLE,
    SCHEMA,
    SINCE,
    SPLITS,
    Gathered,
    Pilot,
    RunResult,
    Table,
)

#: what a file may hold when it is read: so many bytes, or so many times its own
MOST_BYTES, MOST_TIMES = 64 * 2**20, 20
LATER = {"code_modules": ""}  # attributes that older files lack
#: group of a file of many results: texts of LONG characters or more are there once, and attributes
#: refer to them
TEXTS = "texts"
LONG = 60


def _note(group: h5py.Group, name: str, value: Any) -> None:
    """Write an attribute."""
    if not (TEXTS in group.file and isinstance(value, str) and len(value) >= LONG):
        group.attrs[name] = value
        return
    shared = group.file[TEXTS]
    key = hashlib.sha256(value.encode()).hexdigest()[:16]
    text = shared[key] if key in shared else shared.create_dataset(key, data=value)
    group.attrs.create(name, text.ref, dtype=h5py.ref_dtype)


def _noted(group: h5py.Group) -> dict[str, Any]:
    """The attributes of a group, with the texts that they refer to."""
    return {
        name: group.file[value].asstr()[()] if isinstance(value, h5py.Reference) else value
        for name, value in group.attrs.items()
    }


def write_run(path: str | Path, result: RunResult) -> None:
    """Write one run.

    Raises UserError if `result` is not of the schema or the file cannot be written.
    """
    with new_h5(path) as file:
        write_run_group(file, result)


def write_run_group(group: h5py.Group, result: RunResult) -> None:
    """Write one run into an HDF5 group. Raises UserError if `result` is not of the schema."""
    missing = set(ATTRIBUTES) - set(result.attributes)
    extra = set(result.attributes) - set(ATTRIBUTES)
    if missing or extra or list(result.curve.columns) != list(CURVE):
        raise UserError(
            f"a run does not fit the schema: missing {sorted(missing)}, unknown {sorted(extra)}, "
            f"columns {list(result.curve.columns)}"
        )
    for name in ATTRIBUTES:
        _note(group, name, result.attributes[name])
    if TEXTS in group.file:  # one array for ten: what an array costs adds up over many runs
        _put(group, "curve", result.curve.to_numpy(float))
        group["curve"].attrs["columns"] = list(CURVE)
    else:
        for column in CURVE:
            _put(group, f"curve/{column}", result.curve[column].to_numpy())
    for name, value in result.weights.items():
        _put(group, f"weights/{name}", value)
    if result.snapshots is not None:
        _put(group, "snapshots", result.snapshots)


def _put(group: h5py.Group, name: str, values, dtype=None) -> None:
    """Write an array, compressed unless it is so short that its index would outweigh it."""
    values = np.asarray(values, dtype)
    small = values.nbytes < 2000
    how = {} if small else {"compression": "gzip", "shuffle": True}
    group.create_dataset(name, data=values, dtype=dtype, **how)


def read_run(path: str | Path, parameters: bool = True) -> RunResult:
    """Read and check one run file; without its weights and snapshots if `parameters` is false.

    Those are nearly all of it. Raises UserError: what is wrong with which file, and what to do.
    """
    with _open(path) as file:
        return read_run_group(file, str(path), parameters)


def read_run_group(group: h5py.Group, where: str, parameters: bool = True) -> RunResult:
    """Read and check one run from an HDF5 group, which messages call `where`. Raises UserError."""
    schema = group.attrs.get("schema")
    if schema not in READABLE:
        raise UserError(
            f"{where} has schema {schema}, this version reads {READABLE}; delete the file and run "
            "again"
        )
    columns = [column for column in CURVE if SINCE.get(column, 1) <= schema]
    found = {**(LATER if schema < 3 else {}), **_noted(group)}
    curve = _curve(group)
    absent = [name for name in ATTRIBUTES if name not in found] + [
        f"curve/{c}" for c in columns if c not in curve
    ]
    if absent:
        raise UserError(f"{where} lacks {', '.join(absent)}; delete the file and run again")
    try:
        attributes = {name: kind(found[name]) for name, kind in ATTRIBUTES.items()}
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where} holds an attribute of the wrong kind ({error}); delete the file and run again"
        ) from None
    curve = pd.DataFrame({column: curve[column] for column in columns})
    curve = curve.reindex(columns=list(CURVE))
    weights = (
        {name: data[:] for name, data in group["weights"].items()}
        if parameters and "weights" in group
        else {}
    )
    return RunResult(
        attributes,
        curve,
        weights,
        group["snapshots"][:] if parameters and "snapshots" in group else None,
    )


def _curve(group: h5py.Group) -> dict[str, np.ndarray]:
    """The columns of a run's curve."""
    part = group.get("curve", {})
    if isinstance(part, h5py.Dataset):
        return dict(zip(part.attrs["columns"], part[:].T, strict=True))
    return {name: part[name][:] for name in part}


def write_pilot(path: str | Path, pilot: Pilot) -> None:
    """Write the pilot of one curve. Raises UserError if the file cannot be written."""
    with new_h5(path) as file:
        write_pilot_group(file, pilot)


def write_pilot_group(group: h5py.Group, pilot: Pilot) -> None:
    """Write a pilot into an HDF5 group."""
    group.attrs["schema"] = SCHEMA
    for name, value in vars(pilot).items():
        if isinstance(value, np.ndarray):
            group.create_dataset(name, data=value)
        else:
            _note(group, name, value)


def read_pilot(path: str | Path) -> Pilot:
    """Read and check one pilot. Raises UserError if the file is missing, damaged or no pilot."""
    with _open(path) as file:
        return read_pilot_group(file, str(path))


def read_pilot_group(group: h5py.Group, where: str) -> Pilot:
    """Read and check a pilot from an HDF5 group, which messages call `where`. Raises UserError."""
    try:
        if group.attrs["schema"] not in READABLE:
            raise KeyError(f"schema {group.attrs['schema']}")
        kinds = {
            "experiment": str,
            "algorithm": str,
            "latent_dim": int,
            "seed": int,
            "step_size": float,
            "seconds": float,
        }
        found = _noted(group)
        attributes = {name: kind(found[name]) for name, kind in kinds.items()}
        origin = {
            name: str(found.get(name, ""))
            for name in ("config", "data_sha256", "code_sha256", "code_modules")
        }
        return Pilot(
            **attributes,
            **origin,
            **{name: group[name][:] for name in ("step_sizes", "samples", "bounds")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} is not a pilot of this version ({error}); delete the file and run again"
        ) from None


def write_table(path: str | Path, table: Table) -> None:
    """Write a table. Raises UserError if the file cannot be written."""
    with new_h5(path) as file:
        write_table_group(file, table)


def write_table_group(group: h5py.Group, table: Table) -> None:
    """Write a table into an HDF5 group."""
    group.attrs["schema"] = SCHEMA
    for name, value in table.attributes.items():
        _note(group, name, value)
    for column, values in table.frame.items():
        if values.dtype == object or pd.api.types.is_string_dtype(values):
            text = [value.encode() for value in values]
            length = max(1, *map(len, text)) if text else 1
            _put(group, column, text, h5py.string_dtype("utf-8", length))
        else:
            _put(group, column, values.to_numpy(float))
    for name, values in table.arrays.items():
        _put(group, name, values)


def measured(
    job: Job,
    frame: pd.DataFrame,
    started: float,
    device: Any = None,
    arrays: dict[str, np.ndarray] | None = None,
) -> Table:
    """A table that `job` measured, with how it was made: settings, code, versions, machine.

    `started`: time.perf_counter() at its beginning; `device`: a torch.device, the CPU unless given;
    `arrays`: see Table.
    """
    import torch

    made = attributes(device or torch.device("cpu"), fingerprint(job.code))
    seconds = time.perf_counter() - started
    attached = {"config": json.dumps(job.settings), "seconds": seconds, **made}
    return Table(frame, attached, arrays or {})


def read_table(path: str | Path, columns: dict[str, str]) -> Table:
    """Read and check a table that has at least `columns` (name -> meaning).

    Raises UserError if the file is missing, damaged or another table.
    """
    with _open(path) as file:
        if file.attrs.get("schema") not in READABLE or any(name not in file for name in columns):
            raise UserError(
                f"{path} is not a table of {', '.join(columns)} of this version; delete the file "
                "and run again"
            )
        return read_table_group(file, columns)


def read_table_group(group: h5py.Group, described: Iterable[str] = ()) -> Table:
    """A table, its columns in the order of the `described` ones, then any others; and its
    arrays."""
    columns, arrays = {}, {}
    for name in dict.fromkeys([*(name for name in described if name in group), *group]):
        data = group[name]
        if data.ndim > 1:
            arrays[name] = data[:]
        else:
            columns[name] = data.asstr()[:] if h5py.check_string_dtype(data.dtype) else data[:]
    return Table(pd.DataFrame(columns), _noted(group), arrays)


def read_gathered(path: str | Path) -> Gathered:
    """Read and check the gathered results of a study.

    Raises UserError if the file is missing, damaged or of another schema.
    """
    with _open(path) as file:
        schema = file.attrs.get("schema")
        if "config" in file.attrs and "runs" not in file and "order" not in file.attrs:
            raise UserError(f"{path} is of one model or table; name the gathered.h5 of its study")
        if schema not in READABLE or "config" not in file.attrs:
            raise UserError(
                f"{path} is not a gathered result file of schema {READABLE}; delete it and run "
                "again"
            )
        config = json.loads(file.attrs["config"])
        config["training"] = stored(config.get("training", {}))
        gathered = Gathered(config, {}, {})
        if schema >= 3:
            order = json.loads(file.attrs["order"])
            groups = dict(file.get("tables", {}))
        else:
            order = [run.name for run in budgets(gathered.study)]
            groups = {k: v for k, v in file.items() if k not in ("runs", "pilots", "baselines")}
        for name in order:
            if f"runs/{name}" in file:
                group = file[f"runs/{name}"]
                gathered.runs[name] = read_run_group(group, f"{path}, run {name}")
        for curve in dict.fromkeys(run.run.curve for run in gathered.runs.values()):
            if f"pilots/{curve}" in file:
                group = file[f"pilots/{curve}"]
                gathered.pilots[curve] = read_pilot_group(group, f"{path}, pilot {curve}")
        for kind, group in groups.items():
            known = [*order, *gathered.study.experiments]  # with the plug-ins of the study loaded
            described = {k: c for study in STUDIES.values() for k, c in study.columns.items()}
            gathered.tables[kind] = {
                name: read_table_group(group[name], described.get(kind, ()))
                for name in _tables(group, known)
            }
        if schema < 3 and "baselines" in file:
            gathered.tables["baselines"] = {
                name: Table(
                    pd.DataFrame({"split": SPLITS, "value": [float(g.attrs[s]) for s in SPLITS]}),
                    {"schema": schema},
                )
                for name, g in file["baselines"].items()
            }
    return gathered


def _tables(group: h5py.Group, known: Iterable[str]) -> list[str]:
    """The names of the tables below `group`: those of `known` first, in their order."""
    there: set[str] = set()

    def note(name: str, part: h5py.Group | h5py.Dataset) -> None:
        if isinstance(part, h5py.Group) and "schema" in part.attrs:
            there.add(name)

    group.visititems(note)
    first = [name for name in dict.fromkeys(known) if name in there]
    return [*first, *sorted(there - set(first))]


def is_gathered(path: str | Path) -> bool:
    """Whether a result file is that of a whole study. Raises UserError."""
    with _open(path) as file:
        return "runs" in file or "order" in file.attrs  # that of one that trains nothing


@contextlib.contextmanager
def _open(path: str | Path):
    if Path(path).is_dir() or (Path(path).is_file() and Path(path).suffix != ".h5"):
        raise UserError(f"{path} is no result file; name one that the pipeline wrote, NAME.h5")
    try:
        with open_h5(path) as file:
            if outside := _not_inside(file):
                raise Damaged(path, f"{outside} is no array that this file holds")
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the pipeline to make it") from None
    except (OSError, RuntimeError) as error:
        raise Damaged(path, str(error).splitlines()[0]) from error


def _not_inside(file: h5py.File) -> str:
    """The name of what `file` lists and does not hold, or holds too much of; '' if there is none.

    An array may be in another file, or declared and never written, or compressed beyond measure, to
    fill the memory of who reads it, and a group within itself. No file of this project has such.
    """
    left = max(MOST_BYTES, MOST_TIMES * file.id.get_filesize())
    due: list[h5py.Group] = [file]
    seen = set()
    while due:
        group = due.pop()
        place = h5py.h5o.get_info(group.id).addr
        if place in seen:
            return group.name
        seen.add(place)
        for name in group:
            where = f"{group.name}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return where
            entry = group[name]
            if isinstance(entry, h5py.Group):
                due.append(entry)
                continue
            if (
                not isinstance(entry, h5py.Dataset)
                or entry.shape is None
                or entry.external
                or entry.is_virtual
                or (entry.size and not entry.id.get_storage_size())
            ):
                return where
            left -= entry.nbytes
            if left < 0:
                return where
    return ""
