"""Measure variances of gradients on the models of one job."""

from aevb import data, results
from aevb.config import Run
from aevb.engine import training
from aevb.pipeline import console
from aevb.studies import variance

with console.job(snakemake.log[0]):
    options = dict(snakemake.params.settings)
    settings = training.Settings.from_dict(options.pop("training"))
    loaded = data.load(snakemake.input.data, settings.experiment)
    for run, pilot, path in zip(
        snakemake.params.runs, snakemake.input.pilots, snakemake.output, strict=True
    ):
        step_size = results.read_pilot(pilot).step_size
        results.write_table(path, variance.study(Run(*run), step_size, settings, loaded, **options))
