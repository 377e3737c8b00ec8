"""Every job of the plan (src/aevb/pipeline/plan.py) is a rule."""


def shown(job):
    """The outputs of a job, of which Snakemake's own report shows the first if it has a caption."""
    first, *others = job.outputs
    if job.caption:
        caption = f"../../report/captions/{job.caption}"
        first = report(first, caption=caption, category=job.category)
    return [first, *others]


def decided(job):
    """What decides the outputs of a job; a change makes them due.

    Asked for when it is needed: the process of every job reads all rules.
    """
    return (
        lambda wildcards: made.deciding(job.settings),
        lambda wildcards: (
            provenance.canonical(provenance.fingerprint(job.code)) if job.code else ""
        ),
    )


for job in JOBS:

    rule:
        name:
            job.rule
        input:
            **job.inputs,
        output:
            shown(job) if job.outputs else [],
        log:
            job.log,
        benchmark:
            f"{FOLDER}/benchmarks/{job.kind}/{job.name or job.kind}.tsv"
        localrule: job.local
        conda:
            "../../environment.yml"
        threads: STUDY.threads if job.runs else 1
        resources:
            **(ON_GPU if job.gpu else {}),
            mem_mb=8000 if GPU and job.kind in ("pilot", "train") else job.memory_mb,
            runtime=planning.minutes(STUDY, job),
        params:
            runs=[run.name for run in job.runs],
            settings=decided(job)[0],
            code=decided(job)[1],
        script:
            "../scripts/job.py"
