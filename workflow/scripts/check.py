"""Compare the committed reference run with what this code makes."""

from aevb import check, console

with console.job(snakemake.log[0]):
    check.check(snakemake.input.reference, snakemake.params.folder)
