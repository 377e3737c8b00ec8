"""Which reading of the paper comes closest to its curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...paper.curves import paper_curve
from ...paper.distance import beside, rms
from ...results import Gathered
from ...results.curves import lasting, replicas, sound

COLUMNS = ["experiment", "algorithm", "latent_dim", "reading", "seeds", "diverged", "last"]
COLUMNS += ["test", "train", "average", "rms", "gain", "closest"]


def readings(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """Which reading of the paper comes closest to its curves.

    Variants BASE+READING stand beside BASE itself, the reading "default". One row per curve and
    reading. One more row per reading, with latent_dim empty, is for all panels of an experiment and
    algorithm together, which count alike. Columns: experiment, algorithm, latent_dim, reading, and

        seeds       the same for all readings of a curve
        diverged    number of replicas
        last        largest count compared at, the same for all readings of a curve
        test        rms distance (see paper.distance) of the test bound, nats per datapoint
        train       that of the train bound at that moment
        average     that of its running average
        rms         of test and average together: the paper's train curve is most likely an average
        gain        by how much rms is less than the default's
        closest     whether rms is the least

    Distances are NaN where every replica diverged or the shared range is empty.
    """
    study, rows = gathered.study, []
    known = study.ablation.readings if study.ablation else {}
    variants: dict[tuple[str, str, int], dict[str, str]] = {}  # experiments by curve and reading
    for run in gathered.runs.values():
        if run.run.variant in known:
            curve = (run.run.base, run.algorithm, run.latent_dim)
            names = variants.setdefault(curve, {"default": run.run.base})
            names[run.run.variant] = run.experiment
    for (base, algorithm, latent_dim), names in variants.items():
        runs = {
            name: replicas(gathered, experiment, algorithm, latent_dim)
            for name, experiment in names.items()
        }
        seeds = set.intersection(*({run.seed for run in part} for part in runs.values()))
        runs = {name: [run for run in part if run.seed in seeds] for name, part in runs.items()}
        done = {name: [sound(run) for run in lasting(study, part)] for name, part in runs.items()}
        longest = [max(c["samples"].iloc[-1] for c in curves) for curves in done.values() if curves]
        last = min(longest, default=np.nan)
        for name, curves in done.items():
            away = dict.fromkeys(("test", "train", "average"), np.nan)
            for key, split, reading in (
                ("test", "test", "moment"),
                ("train", "train", "moment"),
                ("average", "train", "average"),
            ):
                theirs = paper_curve(paper, study, base, latent_dim, algorithm, split)
                if curves and theirs is not None:
                    away[key] = rms(beside(curves, theirs, split, reading, last))
            place = {"experiment": base, "algorithm": algorithm, "latent_dim": latent_dim}
            lost = len(runs[name]) - len(curves)
            about = {"reading": name, "seeds": len(seeds), "diverged": lost, "last": last}
            rows.append({**place, **about, **away})
    return _with_all_panels(pd.DataFrame(rows)) if rows else pd.DataFrame(columns=COLUMNS)


def _with_all_panels(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `readings` with those for all panels together, and what compares readings."""
    pooled = table.groupby(["experiment", "algorithm", "reading"], sort=False, as_index=False)
    distances_of = {
        key: (key, lambda part: float(np.sqrt((part**2).mean(skipna=False))))
        for key in ("test", "train", "average")
    }
    pooled = pooled.agg(
        seeds=("seeds", "min"), diverged=("diverged", "sum"), last=("last", "min"), **distances_of
    )
    table = pd.concat([table, pooled.assign(latent_dim=np.nan)], ignore_index=True)
    table["rms"] = np.sqrt((table["test"] ** 2 + table["average"] ** 2) / 2)
    curves = [table["experiment"], table["algorithm"], table["latent_dim"].fillna(0)]
    default = table["rms"].where(table["reading"] == "default").groupby(curves).transform("max")
    table["gain"] = default - table["rms"]
    table["closest"] = table["rms"] == table.groupby(curves)["rms"].transform("min")
    return table[COLUMNS]
