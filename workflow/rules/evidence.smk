"""Estimates of log p(x) on trained models. Jobs are packs of runs: see plan.py."""

for job in plan.evidence_jobs(STUDY):

    rule:
        """Log p(x) of some runs of Figure 3 at each of their evaluations."""
        name:
            f"evidence_{job.name}"
        input:
            data=f"{STUDY.data}/{STUDY.experiments[job.experiment].dataset}.h5",
            runs=[plan.run_path(STUDY, run) for run in job.runs],
            code=ESTIMATING,
        output:
            [plan.table_path(STUDY, "evidence", run) for run in job.runs],
        log:
            f"{FOLDER}/logs/evidence/{job.name}.log",
        benchmark:
            f"{FOLDER}/benchmarks/evidence/{job.name}.tsv"
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            **ON_GPU,
            mem_mb=3000,
            runtime=plan.minutes(STUDY, job),
        params:
            runs=[tuple(run) for run in job.runs],
            settings=plan.estimate_settings(STUDY, "evidence", job.experiment),
        script:
            "../scripts/evidence.py"


for job in plan.estimator_jobs(STUDY):

    rule:
        """Grade the estimators of log p(x) on some models."""
        name:
            f"estimators_{job.name}"
        input:
            data=f"{STUDY.data}/{STUDY.experiments[job.experiment].dataset}.h5",
            runs=[plan.run_path(STUDY, run) for run in job.runs],
            code=ESTIMATING,
        output:
            [plan.table_path(STUDY, "estimators", run) for run in job.runs],
        log:
            f"{FOLDER}/logs/estimators/{job.name}.log",
        benchmark:
            f"{FOLDER}/benchmarks/estimators/{job.name}.tsv"
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            **ON_GPU,
            mem_mb=3000,
            runtime=plan.minutes(STUDY, job),
        params:
            runs=[tuple(run) for run in job.runs],
            settings=plan.estimate_settings(STUDY, "estimators", job.experiment),
        script:
            "../scripts/estimators.py"
