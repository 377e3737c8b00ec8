"""Fetch and prepare one data set. The mirror is no parameter: checksums make its contents the
same as any source's."""

from pathlib import Path

from aevb import config, data
from aevb.data import download
from aevb.pipeline import console

with console.job(snakemake.log[0]):
    dataset, prepared = snakemake.wildcards.dataset, Path(snakemake.output[0])
    download.fetch(dataset, prepared.parent, config.load(snakemake.config).mirror)
    data.prepare(dataset, prepared.parent, prepared)
