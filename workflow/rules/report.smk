report: "../../report/workflow.rst"


rule manifold:
    """The page to play with: latent planes decoded under the pointer."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        template=f"{workflow.basedir}/report/manifold.html.j2",
        code=[
            f"{workflow.basedir}/report/manifold.js",
            f"{workflow.basedir}/report/style.css",
            f"{SOURCE}/aevb/manifold.py",
            f"{SOURCE}/aevb/interactive.py",
        ],
    output:
        report(
            f"{FOLDER}/manifold.html",
            caption="../../report/captions/manifold.rst",
            category="Report",
        ),
    log:
        f"{FOLDER}/logs/manifold.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/manifold.py"


rule report:
    """The self-contained page, with every number taken from the gathered results."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        paper=f"{workflow.basedir}/report/paper_curves.csv",
        figures=expand(f"{FOLDER}/figures/{{figure}}.svg", figure=STUDY.figures),
        template=f"{workflow.basedir}/report/report.html.j2",
        code=[
            f"{workflow.basedir}/report/style.css",
            f"{SOURCE}/aevb/report.py",
            f"{SOURCE}/aevb/interactive.py",
        ],
    output:
        report(
            f"{FOLDER}/report.html",
            caption="../../report/captions/report.rst",
            category="Report",
        ),
    log:
        f"{FOLDER}/logs/report.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report.py"
