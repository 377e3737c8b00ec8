"""Where the time of a study went: core-seconds by kind of job, from what Snakemake and the runs
recorded.

    PYTHONPATH=src python benchmarks/wall_time.py results/quick-5e5

Training, evaluation and measuring are what the results say of themselves. What is left of the jobs
that make them is their start (Python, torch, data) and the writing of results.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from aevb import results
from aevb.core.errors import UserError


def table(folder: Path) -> pd.DataFrame:
    """One row per kind of work: seconds of all its jobs, one core each, and their share.

    Raises UserError if the folder holds no finished study, or not the times of all its jobs.
    """
    gathered = results.read_gathered(folder / "gathered.h5")
    files: dict[str, list[Path]] = {}
    for path in sorted((folder / "benchmarks").glob("*/*.tsv")):
        files.setdefault(path.parent.name, []).append(path)
    if "train" not in files:
        raise UserError(
            f"{folder}/benchmarks/ holds no times of jobs; run the study with snakemake first"
        )
    seconds = {
        kind: sum(pd.read_csv(path, sep="\t")["s"].sum() for path in paths)
        for kind, paths in files.items()
    }
    training = sum(run.train_seconds for run in gathered.runs.values())
    evaluation = sum(run.evaluation_seconds for run in gathered.runs.values())
    piloting = sum(pilot.seconds for pilot in gathered.pilots.values())
    if sum(seconds.values()) < training + evaluation:
        raise UserError(
            f"{folder}/benchmarks/ holds the times of a part of its jobs: the study went on from a "
            "gathered file"
        )
    measuring = {
        kind: sum(table.attributes.get("seconds", 0.0) for table in tables.values())
        for kind, tables in gathered.tables.items()
    }
    stored = sum(seconds.get(kind, 0) for kind in ("train", "pilot", *measuring))
    rows = [
        ("training", training),
        ("evaluation of the bound", evaluation),
        ("pilots", piloting),
        *((f"measuring: {kind}", spent) for kind, spent in measuring.items()),
        (
            "start of these jobs, reading and writing",
            stored - training - evaluation - piloting - sum(measuring.values()),
        ),
        ("data, gathering, figures and report", sum(seconds.values()) - stored),
    ]
    frame = pd.DataFrame(rows, columns=["what", "core_seconds"])
    frame["share"] = frame["core_seconds"] / frame["core_seconds"].sum()
    return frame[frame["core_seconds"] != 0]


if __name__ == "__main__":
    try:
        if len(sys.argv) != 2:
            raise UserError(
                "name one results folder, as in: python benchmarks/wall_time.py results/quick-5e5"
            )
        print(
            table(Path(sys.argv[1])).to_string(
                index=False, formatters={"core_seconds": "{:,.0f}".format, "share": "{:.0%}".format}
            )
        )
    except UserError as error:
        sys.exit(f"error: {error}")
