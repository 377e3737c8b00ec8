rule figure:
    """Draw one figure from gathered results."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        paper=f"{workflow.basedir}/report/paper_curves.csv",
        code=[f"{SOURCE}/aevb/report/figures.py", f"{SOURCE}/aevb/paper/distance.py"],
    output:
        report(
            f"{FOLDER}/figures/{{figure}}.svg",
            caption="../../report/captions/figure.rst",
            category="Figures",
        ),
        f"{FOLDER}/figures/{{figure}}.pdf",
        f"{FOLDER}/figures/{{figure}}.png",
    log:
        f"{FOLDER}/logs/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(STUDY.figures),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=plan.START_MINUTES,
    script:
        "../scripts/figure.py"
