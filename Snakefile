"""Auto-Encoding Variational Bayes, replicated: the whole experiment on one screen.

snakemake --cores all                                       the paper's grid (config/paper.yaml)
snakemake --cores all --config samples=1e6                  the same with a smaller budget
snakemake --cores all --configfile config/quick.yaml        minutes, offline
snakemake --cores all --configfile ... --config redraw=true figures and report from gathered results
snakemake --cores all check                                 is the committed reference run what this code makes?
"""

import os
import sys

SOURCE = os.path.join(workflow.basedir, "src")
sys.path.insert(0, SOURCE)

if "experiments" not in config:

    configfile: os.path.join(workflow.basedir, "config", "paper.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/jobs.smk"


report: "report/workflow.rst"


rule all:
    """Everything a study makes: figures, report and the tidy table of all curves."""
    default_target: True
    input:
        plan.targets(STUDY),
