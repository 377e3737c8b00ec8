"""What is there already: whether a file was made with these settings, by this code, of these data.

Settings are compared by their meaning: a key that is not there takes its default, or what it stood
for before it was there, so that a new key makes no old result one of other settings.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..config import Config, load
from ..config.sections import Evaluation, Experiment, Training, stored
from ..core.errors import UserError
from ..core.files import open_h5
from ..core.provenance import differs, fingerprint
from ..core.run import Job, absolute
from ..core.words import joined
from ..engine.roots import TRAINING, roots
from ..learners import LEARNERS
from ..studies import STUDIES

#: sections that are not of studies or learners, by the name under which settings hold them
SECTIONS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "training": Training,
    "evaluation": Evaluation,
}
#: settings of a run beside sections, with their defaults
PLAIN = {"snapshots": 0, "device": "cpu", "threads": 1, "tf32": False, "bfloat16": False}
#: those that decide nothing
IDLE = {"mirror", "root", "memory_mb", "states"}
#: keys of a gathered configuration on which no result depends
BESIDE = {"name", "results", "reference", "beside", "sources", "longer", "job_seconds"}


def _models() -> dict[str, type[BaseModel]]:
    options = {key: learner.Options for key, learner in LEARNERS.items() if learner.Options}
    sections = {}
    for study in STUDIES.values():
        for name, (_, default) in study.fields().items():
            if isinstance(default, BaseModel):
                sections[name] = type(default)
        if isinstance(study.section, type) and issubclass(study.section, BaseModel):
            sections[study.key] = study.section
    return {**sections, **options, **SECTIONS}


def _whole(settings: dict[str, Any]) -> bool:
    """Whether these are all settings of a run, not a section of them."""
    return isinstance(settings.get("experiment"), dict)


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` without what is idle: what Snakemake records of a job, and compares.

    With what is as by default: else a default that changed would make nothing due. That a new key
    makes jobs due is no harm, as what fits stays (kept.py).
    """
    return {
        name: deciding(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in IDLE
    }


def told(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` without what is as by default, section by section; and without what is idle."""
    models, found = _models(), {}
    for name, value in settings.items():
        if name in IDLE or (name in PLAIN and value == PLAIN[name]):
            continue
        if isinstance(value, dict) and name in models and not _whole(value):
            fields = models[name].model_fields
            defaults = {key: field.default for key, field in fields.items()}
            value = stored(value) if name == "training" else value
            value = {
                k: v
                for k, v in value.items()
                if k not in IDLE and not (k in defaults and v == defaults[k])
            }
        elif isinstance(value, dict):
            value = told(value)
        found[name] = value
    return found


def same_settings(stored: str, wanted: dict[str, Any]) -> bool:
    """Whether a result that holds its settings as the JSON text `stored` has the `wanted` ones.

    Sections of learners that `wanted` does not have do not matter: older results hold all.
    """
    try:
        before = json.loads(stored)
    except ValueError:
        return False
    mine = _of(before, wanted)
    empty = {name: {} for name, value in wanted.items() if isinstance(value, dict)}
    return told({**empty, **mine}) == told(json.loads(json.dumps(wanted)))


def _of(stored: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """`stored` without the options of learners that `wanted` does not have, inside too."""
    others = {key for key, learner in LEARNERS.items() if learner.Options and key not in wanted}
    return {
        name: _of(value, wanted[name])
        if isinstance(value, dict) and _whole(value) and isinstance(wanted.get(name), dict)
        else value
        for name, value in stored.items()
        if name not in others
    }


def own(settings: dict[str, Any], algorithm: str) -> dict[str, Any]:
    """The settings of a job without the options of other learners than `algorithm`."""
    others = {key for key, learner in LEARNERS.items() if learner.Options and key != algorithm}
    return {name: value for name, value in settings.items() if name not in others}


def due(job: Job) -> Job | None:
    """`job` with those of its outputs that are not there as it would make them; None if all are.

    Trained models, pilots and tables say what made them. Other outputs are due when one of the
    inputs is newer; gathered results also when they are those of another configuration.
    """
    outputs, inputs = job.outputs, [path for paths in job.inputs.values() for path in paths]
    if job.kind == "gather" and not _same_study(job):
        return job
    if job.kind not in measured():
        there = all(Path(path).exists() for path in [*outputs, *inputs])
        last = max((os.path.getmtime(path) for path in inputs if there), default=0.0)
        return None if there and min(map(os.path.getmtime, outputs)) >= last else job
    return part(job, [k for k in range(len(outputs)) if not made(job, k)])


def part(job: Job, rows: list[int]) -> Job | None:
    """`job` with its outputs `rows` alone, and the inputs that they need; None without rows.

    A job without runs is done whole: its settings may say something of each output.
    """
    outputs = job.outputs
    if len(rows) in (0, len(outputs)) or not job.runs:
        return job if rows else None
    keep = tuple(job.runs[k] for k in rows)
    fewer = dict(job.inputs)
    if "runs" in fewer:
        fewer["runs"] = [fewer["runs"][k] for k in rows]
    if "pilots" in fewer:
        chosen = dict(zip(job.curves, fewer["pilots"], strict=True))
        fewer["pilots"] = [chosen[curve] for curve in dict.fromkeys(run.curve for run in keep)]
    return job._replace(runs=keep, outputs=[outputs[k] for k in rows], inputs=fewer)


def measured() -> set[str]:
    """The kinds of jobs whose outputs say what made them: those of the engine and of studies."""
    return {"pilot", "train", *(kind for study in STUDIES.values() for kind in study.columns)}


def same_table(kind: str, stored: str, wanted: dict[str, Any]) -> bool:
    """The same for a table, which stores a part of the `wanted` settings of its job, and may store
    what is no setting: what both have decides."""
    try:
        before = json.loads(stored or "{}")
    except ValueError:
        return False
    if stored and kind in ALONE:
        before = {ALONE[kind]: before}
    both = before.keys() & wanted.keys()
    part = json.dumps({name: before[name] for name in both})
    return same_settings(part, {name: wanted[name] for name in both})


def problem(job: Job, k: int, stored: Mapping[str, Any]) -> str:
    """Why a result with the attributes `stored` is not what output `k` of `job`, which trains or
    measures, would be: its settings, or in which modules its code differs; '' if it is."""
    text = str(stored.get("config", ""))
    if job.kind in ("pilot", "train"):
        run, names = job.runs[k], ["experiment", "algorithm", "latent_dim"]
        names += ["seed"] if job.kind == "train" else []  # any seed's pilot will do
        same = all(stored.get(name) == getattr(run, name) for name in names)  # a file renamed
        same = same and same_settings(text, own(job.settings, run.algorithm))
    else:
        same = same_table(job.kind, text, job.settings)
    if not same:
        return OTHER_SETTINGS
    other = differs(stored, fingerprint(roots_of(job, k)))
    return f"{OTHER_CODE}: {', '.join(other)}" if other else ""


def attributes(path: str | Path) -> dict | None:
    """The attributes of the HDF5 file `path`; None if it is not there, or damaged."""
    try:
        with open_h5(path) as file:
            return dict(file.attrs)
    except OSError:
        return None


def made(job: Job, k: int) -> bool:
    """Whether output `k` of a job that trains or measures is there, made with its settings, by its
    code, of its data; a run with the step size of its pilot; a table no older than its model or
    pilot."""
    path = Path(job.outputs[k])
    stored = attributes(path)
    if stored is None or problem(job, k, stored):
        return False
    if not same_inputs(job, k, stored):
        return False
    source = measured_on(job, k)
    if not source:
        return True
    return Path(source).exists() and path.stat().st_mtime >= Path(source).stat().st_mtime


def measured_on(job: Job, k: int) -> str:
    """The file on which a study measures output `k`, of a model or a pilot; '' if on neither."""
    if job.kind in ("pilot", "train"):
        return ""
    files = job.inputs.get("runs") or job.inputs.get("pilots") or []
    return files[k] if files else ""


def read_code(jobs: Iterable[Job]) -> list[str]:
    """Read the code that decides what `jobs` make, while it is what this process runs; returns the
    names of its modules.

    A process reads each source once (core/fingerprint.py). An edit during a long job then does not
    count as the code that made its results.
    """
    kinds = measured()
    codes = dict.fromkeys(job.code for job in jobs if job.kind in kinds)
    names = [name for code in codes for name in fingerprint(code).modules]
    return [absolute(name.replace("/", ".")) for name in dict.fromkeys(names)]


class Wanted:
    """The results that a study asks for, by kind ("runs", "pilots", or of a table) and name: the
    job that makes each, and which of its outputs it is."""

    def __init__(self, config: Config):
        from .plan import pilot_jobs, study_jobs, train_jobs

        self.jobs: dict[tuple[str, str], tuple[Job, int]] = {}
        for job in (*pilot_jobs(config), *train_jobs(config), *study_jobs(config)):
            kind = {"pilot": "pilots", "train": "runs"}.get(job.kind, job.kind)
            for k, path in enumerate(job.outputs):
                name = path.removeprefix(f"{config.folder}/{kind}/").removesuffix(".h5")
                self.jobs[kind, name] = job, k

    def problem(self, kind: str, name: str, stored: Mapping[str, Any]) -> str:
        """Why a result with the attributes `stored` is not what is asked for; '' if it is."""
        return problem(*self.jobs[kind, name], stored)


def lacking(config: Config, path: str | Path) -> str:
    """The sections of `config` whose results the gathered file `path` was not asked for; '' if
    there are none."""
    stored = json.loads(str((attributes(path) or {}).get("config", "{}")))
    found = [
        study.key
        for study in STUDIES.values()
        if study.active(config)
        and study.section
        and not stored.get(study.key)
        and (study.columns or any(study.runs(config)))
    ]
    return joined(found) if found else ""


def fits(config: Config) -> Callable[[str, str, Mapping], str]:
    """For results.gather: (kind, name, attributes) -> why a result is not what `config` asks for,
    '' if it is."""
    return Wanted(config).problem


def roots_of(job: Job, k: int) -> tuple[str, ...]:
    """Roots of the code that decides output `k`: of a pack, its own learner's alone."""
    if job.kind not in ("pilot", "train"):
        return job.code
    likelihood = job.settings["experiment"]["likelihood"]
    return roots(*TRAINING, algorithm=job.runs[k].algorithm, likelihood=likelihood)


def _same_study(job: Job) -> bool:
    """Whether the gathered file of a job is there and holds results of its configuration, to the
    letter."""
    stored = attributes(job.outputs[0])
    wanted = json.dumps(job.settings["config"])
    return stored is not None and str(stored.get("config")) == wanted


def same_results(text: str, job: Job) -> bool:
    """Whether a gathered file that holds its configuration as the JSON `text` is of the results
    that `job` gathers; by its meaning, whatever is drawn beside them."""
    try:
        before = json.loads(text)
        before["training"] = stored(before.get("training", {}))
        studies = load(before), load(job.settings["config"])
    except (UserError, ValueError):
        return False
    mine, theirs = (study.model_dump(mode="json", exclude=BESIDE) for study in studies)
    return mine == theirs


def same_inputs(job: Job, k: int, stored: Mapping[str, Any]) -> bool:
    """Whether output `k` of `job`, with the attributes `stored`, rests on the inputs of now.

    A model or pilot: on these images; a model also on the step size of its pilot. True for tables.
    """
    if job.kind not in ("pilot", "train"):
        return True
    path = job.inputs["data"][0]
    try:
        images = _images(path, os.stat(path).st_mtime_ns)
    except OSError:
        return False
    if images is None or stored.get("data_sha256") != images:
        return False
    if job.kind == "pilot":
        return True
    pilots = dict(zip(job.curves, job.inputs["pilots"], strict=True))
    chosen = attributes(pilots[job.runs[k].curve]) or {}
    return "step_size" in chosen and stored.get("step_size") == chosen["step_size"]


@functools.lru_cache(maxsize=16)
def _images(path: str, time: int) -> str | None:
    """The sha256 of the images in the prepared file `path` of that `time`; None if it has none."""
    return (attributes(path) or {}).get("sha256")


#: kind of tables that store one section alone -> its name in the settings of their job
ALONE = {"evidence": "evidence", "baselines": "experiment"}
OTHER_SETTINGS, OTHER_CODE = "settings differ", "code differs"  # what `problem` says
