"""Encode test points with one model."""

from aevb import config, results
from aevb.pipeline import console
from aevb.studies import encoding

with console.job(snakemake.log[0]):
    inputs = snakemake.input
    results.write_table(
        snakemake.output[0],
        encoding.encode(inputs.run, inputs.data, config.Experiment(**snakemake.params.experiment)),
    )
