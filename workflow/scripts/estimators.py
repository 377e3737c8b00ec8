"""Grade the estimators of log p(x) on the models of one job."""

from aevb import config, data, results
from aevb.pipeline import console
from aevb.studies import estimates

with console.job(snakemake.log[0]):
    settings = dict(snakemake.params.settings)
    loaded = data.load(snakemake.input.data, config.Experiment(**settings.pop("experiment")))
    options, sampling = (
        config.EstimatorStudy(**settings.pop("estimators")),
        config.Evidence(**settings.pop("evidence")),
    )
    for run, path in zip(snakemake.input.runs, snakemake.output, strict=True):
        results.write_table(path, estimates.study(run, loaded, options, sampling, **settings))
