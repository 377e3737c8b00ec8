"""The documents of a study: the report as a page and as a paper, and the README's table. Their
texts, tables and numbers are the same.

Identical results give identical bytes.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import tempfile
from pathlib import Path

import jinja2
import pandas as pd
import typst
from markupsafe import Markup, escape

from ..core.errors import UserError
from ..core.files import atomic
from ..core.words import count, number
from ..paper.distance import read
from ..results import Gathered, read_gathered
from . import live, tables
from .figures import ALGORITHMS, COLOURS, label
from .findings import _curves_of, _sizes, closest, findings

BLOCKS = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
HTML = {"N_z": "<i>N<sub>z</sub></i>", "N_train": "<i>N</i><sub>train</sub>"}
TYPST = {"N_z": "$N_z$", "N_train": '$N_"train"$'}


def _symbols(text: str, symbols: dict[str, str], other) -> Markup:
    """`text` with N_z and N_train set as `symbols` has them, and the rest as `other` makes it."""
    return Markup(
        "".join(
            symbols.get(part) or other(part)
            for part in re.split(r"(N_z|N_train)", str(text))
            if part
        )
    )


def html(text: str) -> Markup:
    return _symbols(text, HTML, escape)


def typeset(text) -> Markup:
    """Text as Typst markup, whatever is in it: a string literal. What is Markup already stays."""
    if isinstance(text, Markup):
        return text
    return _symbols(text, TYPST, lambda part: '#"{}";'.format(re.sub(r'([\\"])', r"\\\1", part)))


def texts(template: Path, found: dict) -> dict[str, str]:
    """The sections "== NAME" of the Jinja file `template`, filled with what report.findings
    found."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    filled = environment.from_string(template.read_text(encoding="utf-8")).render(**found)
    parts = re.split(r"^== (\S+)$", filled, flags=re.MULTILINE)
    return {
        name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def _contents(
    gathered: Gathered, paper: pd.DataFrame, folder: Path, more: dict[str, pd.DataFrame]
) -> dict:
    """What every document is made of: findings, tables and texts."""
    found = findings(gathered, paper) | {"number": number, "count": count, "rate": tables.rate}
    found |= {"closest": closest(more["readings"]) if "readings" in more else ""}
    made = tables.tables(found) | {name: tables.plain(frame) for name, frame in more.items()}
    if "claims" in more:
        made |= {"claims": tables.claims(more["claims"]), "rules": tables.rules(more["claims"])}
    return {**found, "tables": made, "texts": texts(folder / "texts.j2", found)}


def _live(gathered: Gathered, paper: pd.DataFrame, study) -> dict:
    """Figures 2 and 3 to look into: `live`, by figure: algorithms, whether the paper has curves,
    panels; and the scripts for them."""
    titles = {
        f"{row.experiment}-{d}": f"{label(row.experiment)}, N_z = {d}"
        for row in study.figure2
        for d in row.latent_dims
    }
    for name, _, _ in _curves_of(study, 3):
        titles |= {
            f"{x}-{name}": f"{_sizes(study, name)}, against {x}" for x in ("samples", "seconds")
        }
    plots = {2: live.figure2(gathered, paper), 3: live.figure3(gathered, paper)}
    script, elements = live.embed(
        {
            f"{figure}/{name}": plot
            for figure, panels in plots.items()
            for name, plot in panels.items()
        }
    )
    shown = {}
    for figure, panels in plots.items():
        algorithms = [
            algorithm for _, _, algorithms in _curves_of(study, figure) for algorithm in algorithms
        ]
        drawn = {tag for plot in panels.values() for curve in plot.renderers for tag in curve.tags}
        about = {"algorithms": list(dict.fromkeys(algorithms)), "paper": "paper" in drawn}
        shown[f"figure{figure}"] = {
            **about,
            "panels": [
                {"title": titles[name], "element": elements[f"{figure}/{name}"]} for name in panels
            ],
        }
    return {
        "live": shown,
        "script": script,
        "library": live.library(),
        "algorithms": ALGORITHMS,
        "colours": COLOURS,
    }


def filled(template, context: dict) -> str:
    """The page that the Jinja file `template` makes of `context`; it may include files of its
    folder."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(template).parent), autoescape=True, **BLOCKS
    )
    environment.filters["said"] = html
    return environment.get_template(Path(template).name).render(**context)


def render(
    gathered_path, paper_path, figure_paths: dict[str, str], template, output, **more: pd.DataFrame
) -> None:
    """Write the report of a study as one HTML file that fetches nothing.

    `paper_path`: the paper's curves (CSV); `figure_paths`: name (see Config.figures) -> SVG file;
    `template`: Jinja, with texts.j2 and style.css beside it; `more`: tables by name, which are left
    out unless given: claims (columns of claims.verdicts), panels (of claims.details), distances,
    units, ... Raises UserError for a bad gathered file or an output that cannot be written.
    """
    gathered, paper = read_gathered(gathered_path), pd.read_csv(paper_path)
    context = _contents(gathered, paper, Path(template).parent, more)
    pictures = {
        name: base64.b64encode(Path(path).read_bytes()).decode()
        for name, path in figure_paths.items()
    }
    context |= _live(gathered, paper, context["study"]) | {"pictures": pictures}
    with atomic(output) as temporary:
        temporary.write_text(filled(template, context), encoding="utf-8")


def source(gathered_path, paper_path, template, **more: pd.DataFrame) -> str:
    """The paper in Typst's language, of the Jinja file `template`; it shows the figures
    FIGURE.pdf beside it. Otherwise as `render`."""
    environment = jinja2.Environment(autoescape=True, finalize=typeset, **BLOCKS)
    context = _contents(
        read_gathered(gathered_path), pd.read_csv(paper_path), Path(template).parent, more
    ) | {"raw": Markup}
    return environment.from_string(Path(template).read_text(encoding="utf-8")).render(**context)


def typeset_paper(
    gathered_path, paper_path, figure_paths: dict[str, str], template, output, **more: pd.DataFrame
) -> None:
    """Write the report as a PDF in a paper's form; `figure_paths` name PDF files, all else as in
    `render`."""
    text = source(gathered_path, paper_path, template, **more)
    with tempfile.TemporaryDirectory() as folder, atomic(output) as temporary:
        (Path(folder) / "paper.typ").write_text(text, encoding="utf-8")
        for name, path in figure_paths.items():
            shutil.copyfile(path, Path(folder) / f"{name}.pdf")
        # Only the fonts that Typst carries: the same bytes everywhere.
        temporary.write_bytes(
            typst.compile(Path(folder) / "paper.typ", root=folder, ignore_system_fonts=True)
        )


def with_fragment(text: str, name: str, fragment: str) -> str:
    """`text` with `fragment` between the lines <!-- NAME --> and <!-- /NAME -->. Raises
    UserError unless each is there once."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise UserError(
            f"the text needs one line {start} and, after it, one line {end}; add them where the "
            f"{name} belong"
        )
    return text[: text.index(start)] + f"{start}\n{fragment}\n" + text[text.index(end) :]


def main(arguments: list[str]) -> None:
    """Put the table of claims CLAIMS.csv between the marks of README.md."""
    parser = argparse.ArgumentParser(prog="python -m aevb readme", description=main.__doc__)
    parser.add_argument("readme", type=Path)
    parser.add_argument("claims", type=Path)
    options = parser.parse_args(arguments)
    made = tables.markdown(tables.claims(read(options.claims)))
    readme = options.readme.read_text(encoding="utf-8")
    options.readme.write_text(with_fragment(readme, "claims", made), encoding="utf-8")
