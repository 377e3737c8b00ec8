"""The validated configuration and what every rule file needs."""

import json
import subprocess
import time

from snakemake.exceptions import WorkflowError

from aevb import config as configuration
from aevb import console, plan, provenance
from aevb.errors import UserError

console.pass_on(SOURCE)
try:
    STUDY = configuration.load(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

FOLDER = STUDY.folder
STARTED = time.time()
# The modules that decide a run's numbers: an edit in one of them makes its results stale, an edit elsewhere does not.
DECISIVE = [f"{SOURCE}/aevb/{name}.py" for name in provenance.DECISIVE]


onstart:
    todo = [
        run for run in STUDY.runs() if not os.path.exists(plan.run_path(STUDY, run))
    ]
    if todo and not STUDY.redraw:
        # torch is imported and timed in a process of its own, which is gone before the jobs start
        request = json.dumps({"config": config, "cores": workflow.cores or 1})
        subprocess.run(
            [sys.executable, "-m", "aevb.cost"],
            input=request,
            text=True,
            check=False,
        )


onsuccess:
    print(
        f"\nDone. The report is {FOLDER}/report.html, the figures are in {FOLDER}/figures/, the curves in {FOLDER}/curves.csv.",
        file=sys.stderr,
    )


onerror:
    print("\nStopped before the end. What went wrong:", file=sys.stderr)
    for line in console.errors_in(f"{FOLDER}/logs", STARTED) or [
        f"see the messages above and the logs in {FOLDER}/logs/"
    ]:
        print(f"  {line}", file=sys.stderr)
    print(
        "Nothing that was finished is lost: the same command resumes from the last checkpoints.",
        file=sys.stderr,
    )
