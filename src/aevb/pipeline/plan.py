"""All jobs of a study, in the order in which they can run.

Imports no torch: Snakemake reads this at every start. What models and measurements cost is in
studies/planning.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..config import Config
from ..core import plugins
from ..core.errors import UserError
from ..core.lazy import lazy
from ..core.provenance import exists
from ..core.run import Job, Run, absolute
from ..core.words import joined
from ..data import DATASETS
from ..engine.roots import TRAINING
from ..learners import LEARNERS
from ..paper.facts import CURVES
from ..studies import STUDIES, Figure, Page, Study
from ..studies.chapters import Chapter, chapters, configuration
from ..studies.planning import (
    budgets,
    data_path,
    deciding,
    nominal_seconds,
    pack,
    pilot_limits,
    pilot_path,
    pilot_runs,
    pilot_settings,
    run_path,
    settings,
)

claims = lazy("aevb.paper.claims")  # pandas and SciPy

Made = TypeVar("Made")

ROOT = Path(__file__).parents[3]  # of the checkout
TEMPLATES = {  # what page and paper are filled into
    name: ROOT / "report" / file
    for name, file in (("report", "report.html.j2"), ("paper", "paper.typ.j2"))
}
SHARED = [ROOT / "report" / name for name in ("texts.j2", "macros.j2", "style.css")]
UNGATHERED = {
    "mirror",
    "redraw",
    "replace",
    "data",
    "states",
    "job_runs",
}  # keys that no result depends on


def dataset_jobs(config: Config) -> list[Job]:
    """One per data set: download (or copy from the mirror), verify and prepare it."""
    return [
        Job(
            "dataset",
            name,
            "pipeline.work:dataset",
            [f"{config.data}/{name}.h5"],
            {"private": [*map(str, DATASETS[name].private)]},
            {"dataset": name, "mirror": config.mirror},
            # A new source gives the same images, and makes nothing stale: downloads are no part.
            code=("aevb.data:prepare", DATASETS[name].module),
            makes="data sets prepared",
            local=True,
        )
        for name in config.datasets
    ]


def pilot_cost(config: Config, run: Run) -> int:
    """Training samples of a curve's pilot, all its step sizes together; none for one alone."""
    training, options = pilot_limits(config, run)
    if len(training.step_sizes) == 1:
        return 0
    samples = LEARNERS[run.algorithm].pilot_samples(
        training, options, config.n_train(run.experiment)
    )
    return samples * len(training.step_sizes)


def pilot_jobs(config: Config) -> list[Job]:
    """Every pilot, in jobs."""

    def seconds(run: Run) -> float:
        return nominal_seconds(config, run, pilot_cost(config, run))

    return [
        Job(
            "pilot",
            part.name,
            "pipeline.work:pilots",
            [pilot_path(config, run.curve) for run in part],
            {"data": [data_path(config, part[0].experiment)]},
            pilot_settings(config, part),
            _deciding(config, part),
            tuple(part),
            part.seconds,
            "step sizes chosen",
            gpu=True,
        )
        for part in pack(config, pilot_runs(config), seconds)
    ]


def _deciding(config: Config, runs: list[Run]) -> tuple[str, ...]:
    """Roots of the code that decides `runs` and their pilots."""
    return tuple(dict.fromkeys(root for run in runs for root in deciding(config, run, *TRAINING)))


def train_jobs(config: Config) -> list[Job]:
    """Every run, in jobs. An interrupted job resumes from its checkpoint."""
    samples = budgets(config)
    kept = {"states": config.states} if config.states else {}

    def seconds(run: Run) -> float:
        return nominal_seconds(config, run, samples[run])

    return [
        Job(
            "train",
            part.name,
            "pipeline.work:train",
            [run_path(config, run) for run in part],
            {
                "data": [data_path(config, part[0].experiment)],
                "pilots": [pilot_path(config, c) for c in dict.fromkeys(run.curve for run in part)],
            },
            settings(config, part, part.samples) | kept,
            _deciding(config, part),
            tuple(part),
            part.seconds,
            "models trained",
            gpu=True,
            together=True,
        )
        for part in pack(config, samples, seconds, samples)
    ]


def active(config: Config) -> list[Study]:
    """The studies that the configuration asks for."""
    return [study for study in STUDIES.values() if study.active(config)]


def study_jobs(config: Config) -> list[Job]:
    """What the studies measure. Raises UserError if a study does not describe it."""
    made = []
    for study in active(config):
        for job in study.jobs(config):
            if job.kind not in study.columns:
                raise UserError(
                    f"the study '{study.key}' has jobs of the kind '{job.kind}', which its "
                    "`columns` do not describe; add them"
                )
            made.append(job)
    return made


def gather_job(config: Config, made: list[Job]) -> Job:
    """All results of a study in one HDF5 file, and all curves in one tidy table."""
    tables = {output: job.kind for job in made for output in job.outputs}
    kinds: dict[str, list[str]] = {}
    for path, kind in tables.items():
        if kind not in ("dataset",):
            kinds.setdefault({"train": "runs", "pilot": "pilots"}.get(kind, kind), []).append(path)
    return Job(
        "gather",
        "",
        "pipeline.work:gather",
        [f"{config.folder}/gathered.h5", f"{config.folder}/curves.csv"],
        kinds,
        {"config": config.model_dump(exclude=UNGATHERED)},
        ("aevb.results.gather:gather", "aevb.results.gather:curves_table"),
        caption="curves.rst",
        category="Tables",
    )


def told(config: Config) -> list[Chapter]:
    """The studies that the report tells of: those that the configuration asks for, and those that
    only the studies of `beside` have."""
    return chapters(config, [configuration(ROOT / path) for path in config.beside])


def figures(config: Config) -> dict[str, Figure]:
    """The figures of a study by file name."""
    return {name: figure for name, (figure, _) in _figures(config).items()}


def _figures(config: Config) -> dict[str, tuple[Figure, Chapter]]:
    return _together(told(config), lambda chapter: chapter.study.figures(chapter.config))


def numbers(config: Config) -> dict[str, str]:
    """Its CSV tables: name -> place of the function that makes it."""
    return {name: place for name, (place, _) in _numbers(config).items()}


def _numbers(config: Config) -> dict[str, tuple[str, Chapter]]:
    return _together(told(config), lambda chapter: chapter.study.numbers(chapter.config))


def pages(config: Config) -> dict[str, Page]:
    """Its pages beside the report by file name."""
    own = [chapter for chapter in told(config) if not chapter.of]
    found = _together(own, lambda chapter: chapter.study.pages(chapter.config))
    return {name: page for name, (page, _) in found.items()}


def _together(
    told: list[Chapter], what: Callable[[Chapter], dict[str, Made]]
) -> dict[str, tuple[Made, Chapter]]:
    """`what` each chapter makes, by file name, and the chapter. Raises UserError if two make a file
    of one name."""
    found: dict[str, tuple[Made, Chapter]] = {}
    for chapter in told:
        for name, made in what(chapter).items():
            if name in found:
                raise UserError(
                    f"another study makes '{name}'; rename that of '{chapter.study.key}'"
                )
            found[name] = made, chapter
    return found


def _others(config: Config) -> list[str]:
    """The gathered results of the studies beside."""
    return [str(ROOT / path) for path in config.beside]


def _named(config: Config, name: str) -> str:
    """The gathered results of the study `name` of those beside; '' for no name. Raises UserError
    if it is not there."""
    there = {each.name: path for path in _others(config) if name and (each := configuration(path))}
    if name and name not in there:
        known = f"those that are there are called {joined(there)}" if there else "none is there"
        raise UserError(f"the study '{name}' is not among those of `beside`: {known}")
    return there.get(name, "")


def figure_jobs(config: Config, source: dict[str, list[str]]) -> list[Job]:
    """One per figure, from the gathered results of its study and the paper's curves (`source`)."""
    files = [*source["gathered"], *_others(config)]
    return [
        Job(
            "figure",
            name,
            "pipeline.work:figure",
            [f"{config.folder}/figures/{name}.{suffix}" for suffix in ("svg", "pdf", "png")],
            {**source, "gathered": [_named(config, figure.of) or files[chapter.of]]},
            {"place": figure.draw},
            (absolute(figure.draw),),
            makes="figures drawn",
            memory_mb=1000,
            caption=figure.caption or "figure.rst",
            category="Figures",
        )
        for name, (figure, chapter) in _figures(config).items()
    ]


def numbers_job(config: Config, source: dict[str, list[str]]) -> Job:
    """The CSV tables: verdicts on the claims, distances to the paper's curves, and the studies'."""
    tables = _numbers(config)
    # claims of a plug-in need no study, so each plug-in may hold some
    claims = [*(study.claims for study in STUDIES.values() if study.claims), *plugins.modules()]
    places = {name: place for name, (place, _) in tables.items()}
    return Job(
        "claims",
        "",
        "pipeline.work:numbers",
        [f"{config.folder}/{name}.csv" for name in tables],
        {**source, "others": _others(config)},
        {"tables": places, "of": {name: chapter.of for name, (_, chapter) in tables.items()}},
        tuple(map(absolute, [*places.values(), *claims])),
        memory_mb=1000,
    )


def page_jobs(config: Config, source: dict[str, list[str]]) -> list[Job]:
    """One per page beside the report."""
    return [
        Job(
            "page",
            Path(name).stem,
            "pipeline.work:page",
            [f"{config.folder}/{name}"],
            source,
            {"place": page.write},
            (absolute(page.write),),
            memory_mb=1000,
            caption=page.caption,
            category="Report" if page.caption else "",
        )
        for name, page in pages(config).items()
    ]


def document_jobs(config: Config, source: dict[str, list[str]]) -> list[Job]:
    """The report as a page and as a paper, of figures, tables and texts."""
    studies = [chapter.study for chapter in told(config)]
    parts = [place for study in studies if (place := study.part())]
    texts = {study.key: study.text() for study in studies if study.text()}
    files = [str(text) for text in texts.values() if isinstance(text, Path)]
    own = {key: text for key, text in texts.items() if isinstance(text, str)}
    folder, jobs = config.folder, []
    for kind, suffix, pictures in (("report", "html", "svg"), ("paper", "pdf", "pdf")):
        inputs = {
            **source,
            "others": _others(config),
            "figures": [f"{folder}/figures/{name}.{pictures}" for name in figures(config)],
            "tables": [f"{folder}/{name}.csv" for name in numbers(config)],
            "template": [str(TEMPLATES[kind])],
            "texts": [*map(str, SHARED), *files],
        }
        code = tuple(map(absolute, ["report.pages", *parts]))
        more = {"memory_mb": 1000, "caption": "report.rst", "category": "Report"}
        output = f"{folder}/report.{suffix}"
        made = {"texts": own} if own else {}
        jobs.append(Job(kind, "", "pipeline.work:document", [output], inputs, made, code, **more))
    return jobs


def drawing_jobs(config: Config) -> list[Job]:
    """Figures, tables, pages and documents, from the gathered results alone."""
    source = {"gathered": [f"{config.folder}/gathered.h5"], "paper": [str(CURVES)]}
    return [
        *figure_jobs(config, source),
        numbers_job(config, source),
        *page_jobs(config, source),
        *document_jobs(config, source),
    ]


def check_job(config: Config) -> Job:
    """Make small parts of the committed reference runs anew and compare.

    The job makes no file, and fails if a number differs.
    """
    return Job(
        "check",
        "",
        "pipeline.check:work",
        [],
        {
            "reference": [f"{ROOT}/{config.reference}/gathered.h5"],
            "data": [f"{config.data}/{name}.h5" for name in config.datasets],
        },
        {"root": str(ROOT)},
        memory_mb=3000,
    )


def _check(config: Config, planned: list[Job]) -> None:
    """Raise UserError, before any job runs, if what a study names is not there, or if a plug-in's
    claim has a number that is taken."""
    if config.plugins:
        claims.catalogue()
    for path in map(Path, config.beside):
        if path.exists() and (path.is_dir() or path.suffix != ".h5"):
            raise UserError(f"beside names {path}, which is no gathered.h5 of a study; mend it")
    seen: set[str] = set()
    for job in planned:
        if job.rule in seen:
            raise UserError(f"two jobs are called {job.rule}; rename one of them")
        seen.add(job.rule)
    places = {job.work: f"job {job.rule}" for job in planned}
    places |= {figure.draw: f"figure {name}" for name, figure in figures(config).items()}
    places |= {place: f"table {name}" for name, place in numbers(config).items()}
    places |= {page.write: f"page {name}" for name, page in pages(config).items()}
    for study, own, _ in told(config):
        mine = [place for place in (study.part(), study.claims) if place]
        places |= {place: f"study {study.key}" for place in mine}
        text = study.text()
        words = text.read_text(encoding="utf-8") if isinstance(text, Path) else text
        there = re.findall(r"^== (\S+)$", words, flags=re.MULTILINE)
        for name in study.figures(own):
            if name not in there:
                raise UserError(
                    f"the figure {name} has no caption; add a section '== {name}' to the texts of "
                    f"the study '{study.key}'"
                )
    needed = {root: f"code of {job.rule}" for job in planned for root in job.code}
    needed |= {absolute(place): what for place, what in places.items()}
    for place, what in needed.items():
        if not exists(place):
            raise UserError(f"the {what} needs {place}, which is not there; mend its name")


def jobs(config: Config) -> list[Job]:
    """Every job of a study, each after those whose outputs it reads. Raises UserError if a study
    lacks what it names."""
    with plugins.blamed():
        if config.redraw:
            planned = drawing_jobs(config)
        else:
            made = [*dataset_jobs(config), *pilot_jobs(config), *train_jobs(config)]
            made += study_jobs(config)
            check = [check_job(config)] if config.reference else []
            planned = [*made, gather_job(config, made), *drawing_jobs(config), *check]
        _check(config, planned)
    logs = f"{config.folder}/logs"
    return [job._replace(log=f"{logs}/{job.kind}/{job.name or job.kind}.log") for job in planned]


def targets(config: Config) -> list[str]:
    """The files that a study is asked for."""
    gathered = [f"{config.folder}/gathered.h5", f"{config.folder}/curves.csv"]
    wanted = [] if config.redraw else gathered
    return wanted + [output for job in drawing_jobs(config) for output in job.outputs]
