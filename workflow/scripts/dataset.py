"""Fetch and prepare one data set. The mirror is no parameter: checksums make its contents the same as any source's."""

from aevb import config, console, data

with console.job(snakemake.log[0]):
    mirror = config.load(snakemake.config).mirror
    data.fetch(snakemake.wildcards.dataset, snakemake.params.folder, mirror)
    data.prepare(snakemake.wildcards.dataset, snakemake.params.folder, snakemake.output[0])
