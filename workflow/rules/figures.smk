rule figure:
    """Draw one figure of the paper from gathered results."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        paper=f"{workflow.basedir}/report/paper_curves.csv",
        code=f"{SOURCE}/aevb/figures.py",
    output:
        report(
            f"{FOLDER}/figures/figure{{number}}.svg",
            caption="../../report/captions/figure.rst",
            category="Figures",
        ),
        f"{FOLDER}/figures/figure{{number}}.pdf",
        f"{FOLDER}/figures/figure{{number}}.png",
    log:
        f"{FOLDER}/logs/figure{{number}}.log",
    wildcard_constraints:
        number="2|4|5",
    conda:
        "../../environment.yml"
    script:
        "../scripts/figure.py"
