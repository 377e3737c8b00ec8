"""Run the pilots of one job."""

from aevb import data, results
from aevb.config import Run
from aevb.engine import training
from aevb.pipeline import console

with console.job(snakemake.log[0]):
    settings = training.Settings.from_dict(snakemake.params.settings)
    loaded = data.load(snakemake.input.data, settings.experiment)
    for run, path in zip(snakemake.params.runs, snakemake.output, strict=True):
        results.write_pilot(path, training.pilot(Run(*run), settings, loaded))
