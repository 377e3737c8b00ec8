"""Do one job of the plan, but for what is there already (src/aevb/pipeline/kept.py)."""

import sys

from aevb.config import load
from aevb.core.run import found
from aevb.pipeline import console, kept, made, plan

console.stop_once(KeyboardInterrupt())
with console.job(snakemake.log[0]):
    study = load(snakemake.config)
    job = kept.planned(plan.jobs(study), snakemake.rule, snakemake.output)
    work = found(job.work)
    made.read_code([job])
    due, lines = kept.put_back(study.folder, job)
    for line in lines:
        print(line, file=sys.stderr)
    if due is not None:
        work([due])
