"""Compare the committed reference run with what this code makes."""

from pathlib import Path

from aevb.pipeline import check, console

with console.job(snakemake.log[0]):
    check.check(snakemake.input.reference, Path(snakemake.input.data[0]).parent)
