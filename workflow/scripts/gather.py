"""Gather the runs and pilots of a study."""

from aevb import config, console, plan, results

with console.job(snakemake.log[0]):
    study = config.load(snakemake.params.config)
    results.gather(
        snakemake.params.config,
        {run.name: path for run, path in zip(study.runs(), snakemake.input.runs, strict=True)},
        {run.curve: path for run, path in zip(plan.pilot_runs(study), snakemake.input.pilots, strict=True)},
        {},
        {run.name for run in study.figure_models()},
        snakemake.output.gathered,
    )
    results.write_curves(results.read_gathered(snakemake.output.gathered), snakemake.output.table)
