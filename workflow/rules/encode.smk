"""Test points on the map of the two-dimensional models: a second each."""

for run in STUDY.figure4_models():

    rule:
        """Where the encoder of one model of Figure 4 puts test points."""
        name:
            f"encode_{run.experiment}"
        input:
            data=f"{STUDY.data}/{STUDY.experiments[run.experiment].dataset}.h5",
            run=plan.run_path(STUDY, run),
            code=ENCODING,
        output:
            plan.table_path(STUDY, "encoded", run),
        log:
            f"{FOLDER}/logs/encoded/{run.experiment}.log",
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            mem_mb=2000,
            runtime=plan.START_MINUTES,
        params:
            experiment=STUDY.experiments[run.experiment].model_dump(),
        script:
            "../scripts/encode.py"
