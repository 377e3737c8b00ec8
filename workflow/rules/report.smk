report: "../../report/workflow.rst"


# What page and paper say, and the code that says it.
SAYING = [f"{workflow.basedir}/report/{name}" for name in ("texts.j2", "style.css")]
SAYING += [
    f"{SOURCE}/aevb/report/{name}.py" for name in ("findings", "tables", "pages", "live")
]


# Numbers that report and paper show beside their own.
TABLES = {
    name: f"{FOLDER}/{name}.csv"
    for name in (
        "claims",
        "panels",
        "distances",
        "readings",
        "units",
        "tradeoff",
        "variance",
    )
}


rule claims:
    """The paper's claims with their verdicts, how far each curve is from the paper's, and what the latent units carry."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        others=[os.path.join(workflow.basedir, path) for path in STUDY.beside],
        paper=f"{workflow.basedir}/report/paper_curves.csv",
        code=[
            f"{SOURCE}/aevb/{name}.py"
            for name in ("paper/claims", "paper/verdicts", "paper/distance", "report/figures", "config/__init__")
        ],
    output:
        **TABLES,
    log:
        f"{FOLDER}/logs/claims.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=plan.START_MINUTES,
    script:
        "../scripts/claims.py"


rule manifold:
    """The page to play with: latent planes decoded under the pointer."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        template=f"{workflow.basedir}/report/manifold.html.j2",
        code=[
            f"{workflow.basedir}/report/manifold.js",
            f"{SOURCE}/aevb/report/manifold.py",
            f"{SOURCE}/aevb/report/figures.py",
            *SAYING,
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
    resources:
        mem_mb=1000,
        runtime=plan.START_MINUTES,
    script:
        "../scripts/manifold.py"


rule report:
    """The self-contained page, with every number taken from the gathered results."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        paper=f"{workflow.basedir}/report/paper_curves.csv",
        figures=expand(f"{FOLDER}/figures/{{figure}}.svg", figure=STUDY.figures),
        tables=list(TABLES.values()),
        template=f"{workflow.basedir}/report/report.html.j2",
        code=SAYING,
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
    resources:
        mem_mb=1000,
        runtime=plan.START_MINUTES,
    script:
        "../scripts/report.py"


rule paper:
    """The same in a paper's form, as a PDF."""
    input:
        gathered=f"{FOLDER}/gathered.h5",
        paper=f"{workflow.basedir}/report/paper_curves.csv",
        figures=expand(f"{FOLDER}/figures/{{figure}}.pdf", figure=STUDY.figures),
        tables=list(TABLES.values()),
        template=f"{workflow.basedir}/report/paper.typ.j2",
        code=SAYING,
    output:
        report(
            f"{FOLDER}/report.pdf",
            caption="../../report/captions/report.rst",
            category="Report",
        ),
    log:
        f"{FOLDER}/logs/paper.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=plan.START_MINUTES,
    script:
        "../scripts/report.py"
