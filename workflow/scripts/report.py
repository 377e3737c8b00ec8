"""Render the report."""

from pathlib import Path

from aevb import console, report

with console.job(snakemake.log[0]):
    inputs = snakemake.input
    figures = {Path(path).stem: path for path in inputs.figures}
    report.render(inputs.gathered, inputs.paper, figures, inputs.template, snakemake.output[0])
