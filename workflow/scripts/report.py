"""Render the report."""

from aevb import console, report

with console.job(snakemake.log[0]):
    figures = dict(zip([2, 4, 5], snakemake.input.figures, strict=True))
    report.render(snakemake.input.gathered, snakemake.input.paper, figures, snakemake.output[0])
