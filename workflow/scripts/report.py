"""Write the report, as a page or as a paper."""

from pathlib import Path

from aevb import console, pages

with console.job(snakemake.log[0]):
    inputs = snakemake.input
    figures = {Path(path).stem: path for path in inputs.figures}
    write = pages.typeset_paper if snakemake.output[0].endswith(".pdf") else pages.render
    write(inputs.gathered, inputs.paper, figures, inputs.template, snakemake.output[0])
