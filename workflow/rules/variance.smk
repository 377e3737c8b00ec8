for job in plan.variance_jobs(STUDY):

    rule:
        """Train some models anew and measure how much gradients of the bound vary on the way."""
        name:
            f"variance_{job.name}"
        input:
            data=f"{STUDY.data}/{STUDY.experiments[job.experiment].dataset}.h5",
            pilots=[plan.pilot_path(STUDY, run.curve) for run in job.runs],
            code=MEASURING,
        output:
            [plan.table_path(STUDY, "variance", run) for run in job.runs],
        log:
            f"{FOLDER}/logs/variance/{job.name}.log",
        benchmark:
            f"{FOLDER}/benchmarks/variance/{job.name}.tsv"
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            mem_mb=3000,
            runtime=plan.minutes(STUDY, job),
        params:
            runs=[tuple(run) for run in job.runs],
            settings=plan.variance_settings(STUDY, job.runs[0]),
        script:
            "../scripts/variance.py"
