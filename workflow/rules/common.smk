"""The validated configuration and what every rule file needs."""

import json
import subprocess
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from aevb import config as configuration
from aevb.config import files as configuration_files
from aevb.core import provenance
from aevb.core.errors import UserError
from aevb.core.words import duration
from aevb.pipeline import clock, console, kept, locks, made, plan
from aevb.studies import planning

# At SystemExit Snakemake's loop ends as at KeyboardInterrupt; before that loop, this is all that is said.
console.stop_once(
    SystemExit(
        "stopped by Ctrl-C; run again to resume" if workflow.is_main_process else 130
    )
)
console.pass_on(SOURCE)
try:
    sys.executable = console.python()
    for path in workflow.configfiles:
        configuration_files.check(path)
    STUDY = configuration.load(config)
    configuration.check_folder(STUDY, workflow.config_settings.config or {})
    JOBS = plan.jobs(STUDY)
    if not workflow.is_main_process:
        kept.check_plan(STUDY.folder, JOBS, workflow.dag_settings.allowed_rules)
    elif not STUDY.redraw:
        if kept.check_gathered(STUDY.folder, JOBS, STUDY.replace):
            os.utime(f"{STUDY.folder}/gathered.h5", (1, 1))  # older than all: due
        kept.check_alone(STUDY.folder, JOBS)
except UserError as error:
    raise WorkflowError(str(error)) from None

FOLDER = STUDY.folder
# A redraw has nothing but its gathered results, and those of the reference runs are kept in version control.
console.may_remove(
    [STUDY.data] if STUDY.redraw else [STUDY.data, FOLDER],
    [*Path(workflow.basedir, "results", "reference").rglob("gathered.h5")],
)
STARTED = time.time()
GPU = int(planning.on_gpu(STUDY))
if STUDY.device == "auto" and not GPU:
    console.hide_gpus()
# What a job on a GPU asks for; a profile can name it as a generic resource instead (profiles/slurm-gres).
ON_GPU = {"gpu": GPU}
if GPU and "gpu_gres" in (workflow.resource_settings.default_resources or {}):
    ON_GPU = {"gres": workflow.resource_settings.default_resources["gpu_gres"].raw}
RULES = {job.rule: job for job in JOBS}


if workflow.is_main_process and workflow.cores == 0:
    raise WorkflowError(
        "--cores 0 leaves nothing to work with; give --cores 1 or more, or all"
    )

if os.path.exists(FOLDER) and not os.path.isdir(FOLDER):
    raise WorkflowError(
        f"{FOLDER}, where the results would go, is no folder; set results=results/NAME"
    )

if not os.access(os.getcwd(), os.W_OK):
    raise WorkflowError(
        f"cannot write {os.getcwd()}, where Snakemake keeps its records; make the folder writable, or choose another "
        "with --directory, then run again"
    )

if STUDY.redraw and not os.path.exists(f"{FOLDER}/gathered.h5"):
    raise WorkflowError(
        f"redraw=true draws from {FOLDER}/gathered.h5, which does not exist; run without redraw first"
    )

if STUDY.redraw and (lacking := made.lacking(STUDY, f"{FOLDER}/gathered.h5")):
    raise WorkflowError(
        f"redraw=true draws from {FOLDER}/gathered.h5, which has no results of {lacking}; leave these "
        "sections out, or run without redraw first"
    )


onstart:
    downloads = any(
        job.rule.name.startswith("dataset_") for job in workflow.dag.needrun_jobs()
    )
    try:
        if STUDY.states:
            locks.check_writable(STUDY.states)
        locks.claim(FOLDER)
        if downloads:
            locks.claim(STUDY.data, followed=False)
    except UserError as error:
        sys.exit(f"error: {error}")
    kept.release(FOLDER, finished=False)  # by a run that was killed
    for folder in (STUDY.data, FOLDER):
        clock.settle(folder)
    kept.note(FOLDER, JOBS)
    jobs = list(workflow.dag.needrun_jobs())
    names = {job.rule.name for job in jobs}
    due = [name for name in RULES if name in names]
    asked = workflow.dag_settings
    forced = bool(asked.forceall or asked.forcerun or asked.forcetargets)
    if not forced:
        try:
            lines = kept.hold(
                FOLDER, [job for job in JOBS if job.rule in due], STUDY.replace
            )
        except UserError as error:
            sys.exit(f"error: {error}")
        for line in lines:
            print(line, file=sys.stderr)
    if not STUDY.redraw and (line := kept.unasked(FOLDER, JOBS)):
        print(line, file=sys.stderr)
    if workflow.non_local_exec:
        # this node is no place to time the training that others will do
        sent = [job for job in jobs if not job.is_local]
        print(
            f"{len(sent)} jobs go to the cluster, the longest with a time limit of "
            f"{duration(60 * max([job.resources.runtime for job in sent], default=0))}.",
            file=sys.stderr,
        )
    elif any(RULES[name].runs or RULES[name].seconds for name in due):
        # torch is imported and timed in a process of its own, which is gone before the jobs start
        request = {"config": config, "cores": workflow.cores or 1, "due": due}
        request["forced"] = forced
        if subprocess.run(
            [sys.executable, "-m", "aevb", "cost", "-"],
            input=json.dumps(request),
            text=True,
        ).returncode:
            sys.exit(1)


def finished():
    """What became of the planned jobs, but for the last rule, which only asks for the others; in
    the order of the plan."""
    due = {
        job.rule.name: job for job in workflow.dag.needrun_jobs(exclude_finished=False)
    }
    return [
        console.Finished(
            name,
            planned.makes,
            len(planned.runs) or 1,
            planned.log,
            workflow.dag.finished(due[name]),
            due[name] in workflow.scheduler.failed,
        )
        for name, planned in RULES.items()
        if name in due
    ]


onsuccess:
    kept.release(FOLDER, finished=True)
    jobs = finished()
    print(f"\n{console.summary(jobs, time.time() - STARTED)}", file=sys.stderr)
    if any(job.name == "report" for job in jobs):
        others = [
            "in a paper's form: report.pdf",
            *(f"to play with: {page}" for page in plan.pages(STUDY)),
        ]
        print(
            f"The report is {FOLDER}/report.html ({'; '.join(others)}), "
            f"the figures are in {FOLDER}/figures/.",
            file=sys.stderr,
        )


onerror:
    kept.release(FOLDER, finished=False)
    print(
        f"\nStopped before the end; {console.summary(finished(), time.time() - STARTED)}",
        file=sys.stderr,
    )
    for line in console.errors_in(f"{FOLDER}/logs", STARTED) or [
        f"See the messages above and the logs in {FOLDER}/logs/."
    ]:
        print(f"  {line}", file=sys.stderr)
    print(
        "Nothing that was finished is lost. The same command resumes from the last checkpoints:\n"
        f"  {console.command(sys.argv[1:])}",
        file=sys.stderr,
    )
