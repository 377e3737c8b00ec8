"""Pilots, training and the gathering of results. Jobs are packs of runs: see plan.py."""

for job in plan.pilot_jobs(STUDY):

    rule:
        """Choose the step size of some curves by short runs."""
        name:
            f"pilot_{job.name}"
        input:
            data=f"{STUDY.data}/{STUDY.experiment(job.experiment).dataset}.h5",
            code=DECISIVE,
        output:
            [plan.pilot_path(STUDY, curve) for curve in job.curves],
        log:
            f"{FOLDER}/logs/pilot/{job.name}.log",
        benchmark:
            f"{FOLDER}/benchmarks/pilot/{job.name}.tsv"
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            **ON_GPU,
            mem_mb=8000 if GPU else 2000,
            runtime=plan.minutes(STUDY, job),
        params:
            runs=[tuple(run) for run in job.runs],
            settings=plan.pilot_settings(STUDY, job.runs[0]),
        script:
            "../scripts/pilot.py"


for job in plan.train_jobs(STUDY):

    rule:
        """Train some runs; an interrupted job resumes from the checkpoint beside its first unfinished run."""
        name:
            f"train_{job.name}"
        input:
            data=f"{STUDY.data}/{STUDY.experiment(job.experiment).dataset}.h5",
            pilots=[plan.pilot_path(STUDY, curve) for curve in job.curves],
            code=DECISIVE,
        output:
            [plan.run_path(STUDY, run) for run in job.runs],
        log:
            f"{FOLDER}/logs/train/{job.name}.log",
        benchmark:
            f"{FOLDER}/benchmarks/train/{job.name}.tsv"
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            **ON_GPU,
            mem_mb=8000 if GPU else 2000,
            runtime=plan.minutes(STUDY, job, together=True),
        params:
            runs=[tuple(run) for run in job.runs],
            settings=plan.settings(STUDY, job.runs[0], job.samples),
        script:
            "../scripts/train.py"


for name in dict.fromkeys(row.experiment for row in STUDY.figure2):

    rule:
        """The bound of a model that ignores z, for one row of Figure 2."""
        name:
            f"baseline_{name}"
        input:
            data=f"{STUDY.data}/{STUDY.experiments[name].dataset}.h5",
            code=[f"{SOURCE}/aevb/{module}.py" for module in ("models/baseline", "data/__init__")],
        output:
            f"{FOLDER}/baselines/{name}.json",
        log:
            f"{FOLDER}/logs/baselines/{name}.log",
        conda:
            "../../environment.yml"
        resources:
            mem_mb=2000,
            runtime=plan.START_MINUTES,
        params:
            experiment=STUDY.experiments[name].model_dump(),
        script:
            "../scripts/baseline.py"


rule gather:
    """All runs in one HDF5 file and one tidy table: all that figures and report are made from."""
    input:
        runs=[plan.run_path(STUDY, run) for run in STUDY.runs()],
        pilots=[plan.pilot_path(STUDY, run.curve) for run in plan.pilot_runs(STUDY)],
        evidence=[
            plan.table_path(STUDY, "evidence", run) for run in STUDY.figure3_runs()
        ],
        estimators=[
            plan.table_path(STUDY, "estimators", run)
            for run in STUDY.estimator_models()
        ],
        baselines=[
            f"{FOLDER}/baselines/{name}.json"
            for name in dict.fromkeys(row.experiment for row in STUDY.figure2)
        ],
        variance=[
            plan.table_path(STUDY, "variance", run) for run in STUDY.variance_models()
        ],
        encoded=[
            plan.table_path(STUDY, "encoded", run) for run in STUDY.figure4_models()
        ],
        code=f"{SOURCE}/aevb/results/__init__.py",
    output:
        gathered=f"{FOLDER}/gathered.h5",
        table=report(
            f"{FOLDER}/curves.csv",
            caption="../../report/captions/curves.rst",
            category="Tables",
        ),
    log:
        f"{FOLDER}/logs/gather.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=plan.START_MINUTES,
    params:
        config=STUDY.model_dump(exclude={"mirror", "redraw", "data", "job_runs"}),
    script:
        "../scripts/gather.py"
