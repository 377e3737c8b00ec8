localrules:
    dataset,


rule dataset:
    """Download (or copy from the mirror), verify and prepare one data set. Runs where the internet is: locally."""
    input:
        # Every file is verified: a new source gives the same images, and makes nothing stale.
        code=[f"{SOURCE}/aevb/data/__init__.py", ancient(f"{SOURCE}/aevb/data/download.py")],
    output:
        f"{STUDY.data}/{{dataset}}.h5",
    log:
        f"{FOLDER}/logs/data/{{dataset}}.log",
    wildcard_constraints:
        dataset="mnist|frey|digits",
    conda:
        "../../environment.yml"
    script:
        "../scripts/dataset.py"
