"""Train the runs of one job."""

from aevb import data
from aevb.config import Run
from aevb.engine import training
from aevb.pipeline import console

with console.job(snakemake.log[0]):
    settings = training.Settings.from_dict(snakemake.params.settings)
    runs = {
        Run(*run): path for run, path in zip(snakemake.params.runs, snakemake.output, strict=True)
    }
    pilots = dict(
        zip(dict.fromkeys(run.curve for run in runs), snakemake.input.pilots, strict=True)
    )
    training.train_job(runs, pilots, settings, data.load(snakemake.input.data, settings.experiment))
