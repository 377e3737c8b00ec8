"""The documents of a study: the report as a page and as a paper, with the same texts and tables.

Identical results give identical bytes. Each study adds its part (report/parts.py); what every study
has is in general.py.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
import pandas as pd
import typst
from markupsafe import Markup, escape

from ..config import Config
from ..core.errors import UserError
from ..core.files import atomic
from ..core.run import absolute, found
from ..core.words import reason
from ..learners import LEARNERS
from ..paper.facts import CURVES
from ..results import Gathered, read_gathered
from ..results.csv import read
from ..studies import STUDIES, Study
from ..studies.chapters import chapters
from . import general, live
from .parts import LAST, Part, Section, markdown, tabular

TEMPLATES = Path(__file__).parents[3] / "report"
BLOCKS = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
HTML = {"N_z": "<i>N<sub>z</sub></i>", "N_train": "<i>N</i><sub>train</sub>"}
TYPST = {"N_z": "$N_z$", "N_train": '$N_"train"$'}

Tables = Mapping[str, pd.DataFrame]


def _symbols(text: str, symbols: dict[str, str], other) -> Markup:
    """`text` with N_z and N_train set as `symbols` has them, and the rest as `other` makes it."""
    parts = re.split(r"(N_z|N_train)", str(text))
    return Markup("".join(symbols.get(part) or other(part) for part in parts if part))


def html(text: str) -> Markup:
    """Text as HTML, whatever is in it."""
    return _symbols(text, HTML, escape)


def typeset(text) -> Markup:
    """Text as Typst markup, whatever is in it: a string literal. What is Markup already stays."""
    if isinstance(text, Markup):
        return text
    return _symbols(text, TYPST, lambda part: '#"{}";'.format(re.sub(r'([\\"])', r"\\\1", part)))


def texts(template: Path | str, facts: dict) -> dict[str, str]:
    """The sections "== NAME" of `template`, a Jinja file or its text, filled with `facts`."""
    folders = [template.parent] if isinstance(template, Path) else []
    loader = jinja2.FileSystemLoader([*folders, TEMPLATES])
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)
    if isinstance(template, Path):
        filled = environment.get_template(template.name).render(**facts)
    else:
        filled = environment.from_string(template).render(**facts)
    parts = re.split(r"^== (\S+)$", filled, flags=re.MULTILINE)
    return {
        name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


class _Texts(dict[str, str]):
    """Texts by name; one that is asked for and missing is an error in a sentence."""

    def __missing__(self, name: str) -> str:
        raise UserError(f"the text {name} is missing; add '== {name}' to the texts of its study")


class Told(NamedTuple):
    """A study of a report, with what its results give."""

    study: Study
    config: Config
    part: Part
    facts: dict[str, Any]  # for its texts: those of all studies of the same results
    note: str  # from which results it is, where they are beside; else ''


def told(
    gathered: Gathered, paper: pd.DataFrame, numbers: Tables, others: Sequence[Gathered] = ()
) -> tuple[Part, list[Told]]:
    """What every study has, and what each chapter adds, in the order of their sections."""
    own = general.part(gathered, paper, numbers)
    added: list[Told] = []
    listed = chapters(gathered.study, [other.study for other in others])
    for of, results in enumerate((gathered, *others)):
        mine = [chapter for chapter in listed if chapter.of == of]
        made = {
            chapter.study.key: found(chapter.study.part())(results, paper, numbers)
            for chapter in mine
            if chapter.study.part()
        }
        common = own if not of else general.part(results, paper, numbers) if mine else Part()
        facts = common.facts | {k: v for part in made.values() for k, v in part.facts.items()}
        note = general.beside_note(gathered.study, results.study) if of else ""
        for chapter in mine:
            part = made.get(chapter.study.key, Part())
            added.append(Told(chapter.study, chapter.config, part, facts, note))
    added.sort(key=lambda each: min((s.order for s in each.part.sections), default=LAST))
    return own, added


def _contents(
    gathered: Gathered, paper: pd.DataFrame, numbers: Tables, others: Sequence[Gathered] = ()
) -> dict:
    """What page and paper are made of: facts, tables, texts, sections and figures."""
    own, listed = told(gathered, paper, numbers, others)
    made = [own, *(each.part for each in listed)]
    facts = own.facts | {k: v for each in listed if not each.note for k, v in each.facts.items()}
    tables = {name: table for part in made for name, table in part.tables.items()}
    words = _Texts(texts(TEMPLATES / "texts.j2", facts))
    drawn, notes, code = {}, {}, {}
    for each in listed:
        words |= texts(each.study.text(), each.facts) if each.study.text() else {}
        for name, figure in each.study.figures(each.config).items():
            drawn[name], notes[name], code[name] = figure, each.note, source_of(figure.draw)
    sections = [_noted(section, each.note) for each in listed for section in each.part.sections]
    sections = sorted([*own.sections, *sections], key=lambda section: section.order)
    placed = {name for section in sections for kind, name in section.blocks if kind == "figure"}
    keys = {each.study.key for each in listed}
    absent = [study.absent for study in STUDIES.values() if study.absent and study.key not in keys]
    mine = [each for each in listed if not each.note]
    answer = answers(made)
    not_run = absent + [line for each in mine for line in each.part.missing] + own.missing
    return {
        **facts,
        "tables": tables,
        "texts": words,
        "sections": [section for section in sections if _shows(section, tables, drawn)],
        "titles": {name: drawn[name].title for name in drawn},
        "notes": notes,
        "code_of": code,
        "up": _up(gathered.study.folder),
        "data_of": {name: figure.data for name, figure in drawn.items() if not notes[name]},
        "findings": {name: text for part in made for name, text in part.findings.items()},
        "files": {name: len(table) for name, table in numbers.items()},
        # those that no section shows; their names put the paper's in order
        "figures": sorted(name for name in drawn if name not in placed),
        "answer": answer,
        "not_run": not_run,
        "conclusion": answer[:2] + not_run,
        "pages": {k: page for each in mine for k, page in each.study.pages(each.config).items()},
        "live": {name: figure for part in made for name, figure in part.live.items()},
    }


def answers(parts: Sequence[Part]) -> list[str]:
    """The sentences that open the report, in their order."""
    return [text for _, text in sorted(answer for part in parts for answer in part.answer)]


def source_of(place: str) -> str:
    """The file of a function that is named by place, from the checkout's folder; '' if it is not
    in it."""
    module = absolute(place).partition(":")[0].replace(".", "/")
    path = f"src/{module}.py"
    return path if (TEMPLATES.parent / path).exists() else ""


def _up(folder: str) -> str:
    """The way from the results `folder` up to the checkout, '' where it is not in it: what leads to
    sources from a report."""
    up = "../" * len(Path(folder).parts)
    inside = not Path(folder).is_absolute() and ".." not in Path(folder).parts
    return up if inside and Path.cwd() == TEMPLATES.parent else ""


def _noted(section: Section, note: str) -> Section:
    """A section that says from which results it is."""
    return section._replace(blocks=[("note", note), *section.blocks]) if note else section


def _shows(section: Section, tables: Mapping, figures: Mapping) -> bool:
    """Whether a section has more than words that point to a missing table or figure."""
    wanted = [(kind, name) for kind, name in section.blocks if kind in ("table", "figure")]
    there = {"table": tables, "figure": figures}
    return not wanted or any(name in there[kind] for kind, name in wanted)


def _live(plots: dict) -> dict:
    """Figures to look into, and the scripts for them."""
    flat = {f"{name}/{title}": p for name, fig in plots.items() for title, p in fig.panels.items()}
    script, elements = live.script(flat, TEMPLATES / "live.js")
    shown = {}
    for name, fig in plots.items():
        renderers = [curve for panel in fig.panels.values() for curve in panel.plot.renderers]
        drawn = {tag for curve in renderers for tag in curve.tags}
        rows: dict[str, list[dict]] = {}  # one for each data set, as in the figure
        for title, made in fig.panels.items():
            element = elements[f"{name}/{title}"]
            panel = {"title": title, "element": element, "values": made.values}
            rows.setdefault(title.partition(", ")[0], []).append(panel)
        extra = [tag for tag in ("paper", "ignoring") if tag in drawn]
        shown[name] = {"algorithms": fig.algorithms, "extra": extra, "rows": [*rows.values()]}
        # one seed is its own mean
        columns = {name for curve in renderers for name in curve.data_source.data}
        shown[name]["seeds"] = sum(name.startswith("seed ") for name in columns) > 1
        axes = {panel.axis.x: panel.axis.at_first for panel in fig.panels.values()}
        shown[name]["axes"] = {live.AXES[x]: (x, at_first) for x, at_first in axes.items()}
    names = {key: learner.label for key, learner in LEARNERS.items()}
    return {
        "live": shown,
        "script": script,
        "library": live.library(),
        "algorithms": names,
        "colours": live.colours(),
    }


def filled(template: Path, context: dict) -> str:
    """The page that the Jinja file `template` makes of `context`; it may include files of its
    folder."""
    loader = jinja2.FileSystemLoader(template.parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, **BLOCKS)
    environment.filters["said"] = html
    return environment.get_template(template.name).render(**context)


def embedded(svg: str) -> str:
    """An SVG image as what follows "data:image/svg+xml," in single quotes: a quarter less than
    base64 would take."""
    printable = "".join(map(chr, range(32, 127)))
    return quote(svg.replace("\n", " "), safe="".join(set(printable) - set("%#'&")))


def render(
    gathered: Gathered,
    paper: pd.DataFrame,
    figures: Mapping[str, str],
    numbers: Tables,
    output,
    others: Sequence[Gathered] = (),
) -> None:
    """Write the report of a study as one HTML file that fetches nothing.

    `paper`: the paper's curves; `figures`: name -> SVG file; `numbers`: CSV tables by name, which
    are left out unless given; `others`: the results beside. Raises UserError if the output cannot
    be written.
    """
    context = _contents(gathered, paper, numbers, others)
    pictures = {
        name: Markup(embedded(Path(path).read_text("utf-8"))) for name, path in figures.items()
    }
    taken = {section.id for section in context["sections"]}  # chapters called as their figure
    context["place"] = lambda name: f"figure-{name}" if name in taken else name
    context |= _live(context["live"]) | {"pictures": pictures}
    with atomic(output) as temporary:
        text = filled(TEMPLATES / "report.html.j2", context)
        temporary.write_text(text, encoding="utf-8")


def source(
    gathered: Gathered,
    paper: pd.DataFrame,
    figures: Mapping[str, str],
    numbers: Tables,
    others: Sequence[Gathered] = (),
) -> str:
    """The paper in Typst's language; it shows the figures NAME.pdf beside it. As `render`."""
    environment = jinja2.Environment(autoescape=True, finalize=typeset, **BLOCKS)
    context = _contents(gathered, paper, numbers, others) | {"raw": Markup, "pictures": figures}
    text = (TEMPLATES / "paper.typ.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(**context)


def typeset_paper(
    gathered: Gathered,
    paper: pd.DataFrame,
    figures: Mapping[str, str],
    numbers: Tables,
    output,
    others: Sequence[Gathered] = (),
) -> None:
    """Write the report as a PDF in a paper's form; `figures`: name -> PDF file. See `render`."""
    text = source(gathered, paper, figures, numbers, others)
    with tempfile.TemporaryDirectory() as folder, atomic(output) as temporary:
        (Path(folder) / "paper.typ").write_text(text, encoding="utf-8")
        for name, path in figures.items():
            shutil.copyfile(path, Path(folder) / f"{name}.pdf")
        # Only the fonts that Typst carries: the same bytes everywhere.
        made = typst.compile(Path(folder) / "paper.typ", root=folder, ignore_system_fonts=True)
        temporary.write_bytes(made)


def with_fragment(text: str, name: str, fragment: str) -> str:
    """`text` with `fragment` between the lines <!-- NAME --> and <!-- /NAME -->. Raises UserError
    unless each is there once."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise UserError(
            f"the text needs one line {start} and, after it, one line {end}; add them where the "
            f"{name} goes"
        )
    return text[: text.index(start)] + f"{start}\n{fragment}\n" + text[text.index(end) :]


def opening(
    gathered: Gathered, paper: pd.DataFrame, numbers: Tables, others: Sequence[Gathered] = ()
) -> str:
    """What a README opens with, in Markdown: the sentences of the answer, and the verdicts on the
    paper's claims."""
    made = [each.part for each in told(gathered, paper, numbers, others)[1]]
    sentences = [f"* {sentence}" for sentence in answers(made)]
    claims = [s for part in made for s in part.sections if s.id == "claims"]
    rows = [
        {"verdict": f"{row.icon} {row.word}", "claim": row.claim, "finding": row.finding}
        for section in claims
        for kind, verdicts in section.blocks
        if kind == "verdicts"
        for row in verdicts
    ]
    return "\n".join([*sentences, "", *([markdown(tabular(rows))] if rows else [])])


def main(arguments: list[str]) -> None:
    """Put the answer of the results in FOLDER between the marks of README.md."""
    parser = argparse.ArgumentParser(prog="python -m aevb readme", description=main.__doc__)
    parser.add_argument("readme", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        readme = options.readme.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {options.readme}: {reason(error)}; name a README") from None
    tables = {path.stem: read(path) for path in sorted(options.folder.glob("*.csv"))}
    gathered = read_gathered(options.folder / "gathered.h5")
    others = [read_gathered(TEMPLATES.parent / path) for path in gathered.study.beside]
    made = opening(gathered, pd.read_csv(CURVES), tables, others)
    with atomic(options.readme) as temporary:
        temporary.write_text(with_fragment(readme, "answer", made), encoding="utf-8")
