"""Where the time of a study went: core-seconds by kind of job, from what Snakemake and the runs
recorded.

    PYTHONPATH=src python benchmarks/wall_time.py results/quick-5e5

Training and evaluation are what the runs measured of themselves; the rest of a job is its start
(Python, torch, data) and the writing of results. Figures, report and gathering have no benchmark
files; the time between the first start and the last end is the wall time of what has one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from aevb import results
from aevb.core.errors import UserError


def table(folder: Path) -> pd.DataFrame:
    """One row a kind of job: number of jobs, seconds of all of them (one core each), and the parts
    of training jobs.

    Raises UserError if the folder holds no finished study, or not the times of all its jobs.
    """
    gathered = results.read_gathered(folder / "gathered.h5")
    files = {
        kind: sorted((folder / "benchmarks" / kind).glob("*.tsv"))
        for kind in ("pilot", "train", "evidence", "estimators")
    }
    if not files["train"]:
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
    estimating = {
        kind: sum(t.attributes["seconds"] for t in getattr(gathered, kind).values())
        for kind in ("evidence", "estimators")
    }
    rows = [
        ("training", training),
        ("evaluation of the bound", evaluation),
        ("pilots", piloting),
        ("log p(x) along Figure 3", estimating["evidence"]),
        ("estimators graded", estimating["estimators"]),
        (
            "start of jobs, reading and writing",
            sum(seconds.values()) - training - evaluation - piloting - sum(estimating.values()),
        ),
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
