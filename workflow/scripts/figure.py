"""Draw one figure."""

from aevb import console, figures

with console.job(snakemake.log[0]):
    figures.draw(int(snakemake.wildcards.number), snakemake.input.gathered, snakemake.input.paper, list(snakemake.output))
