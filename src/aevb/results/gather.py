"""All results of a study in one file, and its curves as one tidy table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pandas as pd

from ..core.errors import UserError
from ..core.files import atomic, new_h5
from ..studies import STUDIES
from .curves import shown
from .schema import SCHEMA, SPLITS, Gathered
from .store import (
    TEXTS,
    read_pilot,
    read_run,
    read_table,
    write_pilot_group,
    write_run_group,
    write_table_group,
)

CURVES_CSV = [
    "figure",
    "dataset",
    "latent_dim",
    "n_train",
    "algorithm",
    "split",
    "seed",
    "samples",
    "value",
]


def gather(
    config: dict,
    runs: dict[str, str],
    pilots: dict[str, str],
    tables: dict[str, dict[str, str]],
    drawn: Collection[str],
    path: str | Path,
    problem: Callable[[str, str, Mapping], str] | None = None,
) -> None:
    """Copy `runs` (name -> path), `pilots` and `tables` (kind -> name -> path) into one file.

    Only the runs in `drawn` keep their weights. `problem`(kind, name, attributes) says why a result
    of "runs", "pilots" or a kind of tables is not what is asked for, '' if it is. Raises UserError
    if a file is damaged or not what is asked for, or the gathered file cannot be written.
    """
    columns = {kind: names for study in STUDIES.values() for kind, names in study.columns.items()}
    others: dict[str, str] = {}  # file -> what is wrong with it

    def judge(kind: str, name: str, source: str, attributes: Mapping) -> None:
        if problem and (found := problem(kind, name, attributes)):
            others[str(source)] = found

    with new_h5(path) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["config"] = json.dumps(config)
        file.attrs["units"] = "nats per datapoint"
        file.attrs["order"] = json.dumps(list(runs))
        file.create_group(TEXTS)
        for name, source in runs.items():
            result = read_run(source, parameters=name in drawn)
            result.snapshots = None
            judge("runs", name, source, result.attributes)
            write_run_group(file.create_group(f"runs/{name}"), result)
        for name, source in pilots.items():
            pilot = read_pilot(source)
            judge("pilots", name, source, vars(pilot))
            write_pilot_group(file.create_group(f"pilots/{name}"), pilot)
        for kind, sources in tables.items():
            for name, source in sources.items():
                table = read_table(source, columns[kind])
                judge(kind, name, source, table.attributes)
                if len(table.frame):  # a run that diverged has none
                    write_table_group(file.create_group(f"tables/{kind}/{name}"), table)
        if others:  # something else than the pipeline put their files there
            listed = (f"{source}: {found}" for source, found in others.items())
            print(*listed, sep="\n", file=sys.stderr)
            first, found = next(iter(others.items()))
            raise UserError(
                f"{len(others)} results are not what this study makes, the first of them {first} "
                f"({found}); delete them, which are listed above and in the log, and run again"
            )


def curves_table(gathered: Gathered) -> pd.DataFrame:
    """The tidy table of all bounds and of Figure 3's log p(x), columns CURVES_CSV.

    `figure` is that of the first study that asks for the run: 2, 3, or 4 for the models that were
    trained for Figures 4 and 5 alone. A study that is not the paper's has its key there. `dataset`
    is the name of the experiment (mnist, frey) and `n_train` is empty, as in paper_curves.csv. For
    Figure 3, `dataset` is that of the experiment, `n_train` the size of its training set, and
    `value` log p(x) by importance sampling. Runs that are compared in a table of their own, such as
    those of the ablation, are left out, unless there are no others.
    """
    study, asked = gathered.study, {}
    listed = gathered.without_variants().runs
    for entry in STUDIES.values():
        for run, _ in entry.runs(study) if entry.listed or not listed else ():
            asked.setdefault(run.name, entry.figure or entry.key)
    rows = []
    for name, run in (listed or gathered.runs).items():
        place = {"figure": asked[name], "dataset": run.experiment, "n_train": ""}
        if asked[name] == 3:
            place |= {"dataset": run.dataset, "n_train": run.n_train}
        curve = shown(gathered, run)
        curve = curve[curve[list(SPLITS)].notna().any(axis=1)] if asked[name] == 3 else curve
        for split in SPLITS:
            who = {"latent_dim": run.latent_dim, "algorithm": run.algorithm}
            who |= {"split": split, "seed": run.seed}
            values = {"samples": curve["samples"].astype(int), "value": curve[split]}
            rows.append(pd.DataFrame({**place, **who, **values}))
    if not rows:  # a study whose own work is all there is
        return pd.DataFrame(columns=CURVES_CSV)
    return pd.concat(rows, ignore_index=True)[CURVES_CSV]


def write_curves(gathered: Gathered, path: str | Path) -> None:
    """Write curves_table as CSV; values to 0.001 nats, below their Monte Carlo error.

    Raises UserError if the file cannot be written.
    """
    with atomic(path) as temporary:
        curves_table(gathered).to_csv(temporary, index=False, float_format="%.3f")
