"""Draw one figure."""

from aevb.pipeline import console
from aevb.report import figures

with console.job(snakemake.log[0]):
    figures.draw(
        snakemake.wildcards.figure,
        snakemake.input.gathered,
        snakemake.input.paper,
        list(snakemake.output),
    )
