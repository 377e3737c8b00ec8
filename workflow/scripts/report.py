"""Render the report."""

from aevb import console, report

with console.job(snakemake.log[0]):
    inputs = snakemake.input
    figures = dict(zip([2, 4, 5], inputs.figures, strict=True))
    report.render(inputs.gathered, inputs.paper, figures, inputs.template, snakemake.output[0])
