if STUDY.reference:

    rule check:
        """Train small parts of the committed reference run anew and compare; makes no file, and fails if a number differs."""
        input:
            reference=f"{workflow.basedir}/{STUDY.reference}/gathered.h5",
            data=expand(
                f"{STUDY.data}/{{dataset}}.h5",
                dataset=dict.fromkeys(
                    experiment.dataset for experiment in STUDY.experiments.values()
                ),
            ),
        log:
            f"{FOLDER}/logs/check.log",
        conda:
            "../../environment.yml"
        threads: STUDY.threads
        resources:
            mem_mb=3000,
            runtime=60,
        script:
            "../scripts/check.py"
