"""Render the page of latent planes."""

from aevb.pipeline import console
from aevb.report import manifold

with console.job(snakemake.log[0]):
    manifold.render(snakemake.input.gathered, snakemake.input.template, snakemake.output[0])
