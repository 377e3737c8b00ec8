"""Judge the paper's claims, and measure the distance to its curves."""

import pandas as pd

from aevb import claims, console, distance, results

with console.job(snakemake.log[0]):
    gathered, paper = results.read_gathered(snakemake.input.gathered), pd.read_csv(snakemake.input.paper)
    others = [results.read_gathered(path) for path in snakemake.input.others]
    tables = {
        "claims": claims.verdicts(gathered, paper, others),
        "distances": distance.distances(gathered, paper),
        "readings": distance.ablation(gathered, paper),
        "units": distance.units(gathered),
    }
    for name, table in tables.items():
        distance.write(table, snakemake.output[name])
