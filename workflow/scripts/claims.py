"""Judge the paper's claims, and measure the distance to its curves."""

import os

import pandas as pd

from aevb import results
from aevb.paper import claims, distance
from aevb.pipeline import console

with console.job(snakemake.log[0]):
    gathered, paper = (
        results.read_gathered(snakemake.input.gathered),
        pd.read_csv(snakemake.input.paper),
    )
    others = [results.read_gathered(path) for path in snakemake.input.others]
    verdicts = claims.verdicts(gathered, paper, others)
    # Each row leads to its figure: here, or in the report of the study that could test it.
    start = os.path.dirname(snakemake.output.claims)
    reports = {gathered.config["name"]: ""}
    for other, path in zip(others, snakemake.input.others, strict=True):
        reports.setdefault(
            other.config["name"],
            os.path.relpath(os.path.join(os.path.dirname(path), "report.html"), start),
        )
    readings = [distance.ablation(study, paper) for study in (gathered, *others)]
    verdicts["link"] = [
        f"{reports[study]}#{name}" if study else ""
        for study, name in zip(verdicts.study, verdicts.figure, strict=True)
    ]
    tables = {
        "claims": verdicts,
        "panels": claims.details(gathered, paper, others),
        "distances": distance.distances(gathered, paper, others),
        "readings": next(filter(len, readings), readings[0]),
        "units": distance.units(gathered),
        "tradeoff": distance.tradeoff(gathered),
        "variance": distance.variances(gathered),
    }
    for name, table in tables.items():
        distance.write(table, snakemake.output[name])
