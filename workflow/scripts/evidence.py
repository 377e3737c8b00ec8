"""Estimate log p(x) of the runs of one job."""

from aevb import config, data, results
from aevb.pipeline import console
from aevb.studies import estimates

with console.job(snakemake.log[0]):
    settings = dict(snakemake.params.settings)
    loaded = data.load(snakemake.input.data, config.Experiment(**settings.pop("experiment")))
    options = config.Evidence(**settings.pop("evidence"))
    for run, path in zip(snakemake.input.runs, snakemake.output, strict=True):
        results.write_table(path, estimates.figure3(run, loaded, options, **settings))
