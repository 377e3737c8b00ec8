"""Gather the runs and pilots of a study."""

from pathlib import Path

from aevb import config, results
from aevb.pipeline import console, local, plan

with console.job(snakemake.log[0]):
    study = config.load(snakemake.params.config)
    inputs = snakemake.input
    results.gather(
        snakemake.params.config,
        {run.name: path for run, path in zip(study.runs(), inputs.runs, strict=True)},
        {run.curve: path for run, path in zip(plan.pilot_runs(study), inputs.pilots, strict=True)},
        {
            "evidence": {
                run.name: path
                for run, path in zip(study.figure3_runs(), inputs.evidence, strict=True)
            },
            "estimators": {
                run.name: path
                for run, path in zip(study.estimator_models(), inputs.estimators, strict=True)
            },
            "variance": {
                run.name: path
                for run, path in zip(study.variance_models(), inputs.variance, strict=True)
            },
            "encoded": {
                run.name: path
                for run, path in zip(study.figure4_models(), inputs.encoded, strict=True)
            },
        },
        {run.name for run in study.figure_models()},
        snakemake.output.gathered,
        {Path(path).stem: results.read_baseline(path) for path in inputs.baselines},
        local.configs(study),
    )
    results.write_curves(results.read_gathered(snakemake.output.gathered), snakemake.output.table)
