"""Write the report, as a page or as a paper."""

from pathlib import Path

from aevb.paper import distance
from aevb.pipeline import console
from aevb.report import pages

with console.job(snakemake.log[0]):
    inputs = snakemake.input
    figures = {Path(path).stem: path for path in inputs.figures}
    write = pages.typeset_paper if snakemake.output[0].endswith(".pdf") else pages.render
    tables = {Path(path).stem: distance.read(path) for path in inputs.tables}
    shown = {name: table for name, table in tables.items() if len(table)}
    write(inputs.gathered, inputs.paper, figures, inputs.template, snakemake.output[0], **shown)
