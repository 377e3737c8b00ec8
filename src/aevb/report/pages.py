"""The documents of a study: the report as a page and as a paper, with the same texts and tables.

Identical results give identical bytes. Each study adds its part (report/parts.py); what every study
has is in general.py.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd
import typst
from markupsafe import Markup, escape

from ..core.errors import UserError
from ..core.files import atomic
from ..core.run import found
from ..learners import LEARNERS
from ..paper.facts import CURVES
from ..results import Gathered, read_gathered
from ..results.csv import read
from ..studies import STUDIES
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


def parts(gathered: Gathered, paper: pd.DataFrame, numbers: Tables) -> list[Part]:
    """What every study has, then what each adds, in the order of their sections."""
    told = [study for study in STUDIES.values() if study.told(gathered.study) and study.part()]
    made = [found(study.part())(gathered, paper, numbers) for study in told]
    made.sort(key=lambda part: min((s.order for s in part.sections), default=LAST))
    return [general.part(gathered, paper, numbers), *made]


def _contents(gathered: Gathered, paper: pd.DataFrame, numbers: Tables) -> dict:
    """What page and paper are made of: facts, tables, texts, sections and figures."""
    study, made = gathered.study, parts(gathered, paper, numbers)
    facts = {name: value for part in made for name, value in part.facts.items()}
    tables = {name: table for part in made for name, table in part.tables.items()}
    active = [entry for entry in STUDIES.values() if entry.told(study)]
    words = _Texts(texts(TEMPLATES / "texts.j2", facts))
    for entry in active:
        words |= texts(entry.text(), facts) if entry.text() else {}
    sections = sorted(
        (s for part in made for s in part.sections), key=lambda section: section.order
    )
    placed = {name for section in sections for kind, name in section.blocks if kind == "figure"}
    drawn = {name: figure for entry in active for name, figure in entry.figures(study).items()}
    absent = [e.absent for e in STUDIES.values() if e.absent and not e.told(study)]
    missing = [sentence for part in made[1:] for sentence in part.missing]
    return {
        **facts,
        "tables": tables,
        "texts": words,
        "sections": [section for section in sections if _shows(section, tables, drawn)],
        "titles": {name: drawn[name].title for name in drawn},
        # those that no section shows; their names put the paper's in order
        "figures": sorted(name for name in drawn if name not in placed),
        "answer": [sentence for part in made for sentence in part.answer],
        "summary": [sentence for part in made for sentence in part.summary],
        "not_run": absent + missing + made[0].missing,
        "pages": {name: page for entry in active for name, page in entry.pages(study).items()},
        "live": {name: figure for part in made for name, figure in part.live.items()},
    }


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


def render(
    gathered: Gathered, paper: pd.DataFrame, figures: Mapping[str, str], numbers: Tables, output
) -> None:
    """Write the report of a study as one HTML file that fetches nothing.

    `paper`: the paper's curves; `figures`: name -> SVG file; `numbers`: CSV tables by name, which
    are left out unless given. Raises UserError if the output cannot be written.
    """
    context = _contents(gathered, paper, numbers)
    pictures = {
        n: base64.b64encode(Path(path).read_bytes()).decode() for n, path in figures.items()
    }
    context |= _live(context["live"]) | {"pictures": pictures}
    with atomic(output) as temporary:
        text = filled(TEMPLATES / "report.html.j2", context)
        temporary.write_text(text, encoding="utf-8")


def source(
    gathered: Gathered, paper: pd.DataFrame, figures: Mapping[str, str], numbers: Tables
) -> str:
    """The paper in Typst's language; it shows the figures NAME.pdf beside it. As `render`."""
    environment = jinja2.Environment(autoescape=True, finalize=typeset, **BLOCKS)
    context = _contents(gathered, paper, numbers) | {"raw": Markup, "pictures": figures}
    text = (TEMPLATES / "paper.typ.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(**context)


def typeset_paper(
    gathered: Gathered, paper: pd.DataFrame, figures: Mapping[str, str], numbers: Tables, output
) -> None:
    """Write the report as a PDF in a paper's form; `figures`: name -> PDF file. See `render`."""
    text = source(gathered, paper, figures, numbers)
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


def opening(gathered: Gathered, paper: pd.DataFrame, numbers: Tables) -> str:
    """What a README opens with, in Markdown: the sentences of the answer, and the verdicts."""
    made = parts(gathered, paper, numbers)
    sentences = [f"* {sentence}" for part in made for sentence in part.answer]
    blocks = [block for part in made for section in part.sections for block in section.blocks]
    rows = [
        {"verdict": f"{row.icon} {row.word}", "claim": row.claim, "finding": row.finding}
        for kind, verdicts in blocks
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
    tables = {path.stem: read(path) for path in sorted(options.folder.glob("*.csv"))}
    gathered = read_gathered(options.folder / "gathered.h5")
    made = opening(gathered, pd.read_csv(CURVES), tables)
    readme = options.readme.read_text(encoding="utf-8")
    options.readme.write_text(with_fragment(readme, "answer", made), encoding="utf-8")
