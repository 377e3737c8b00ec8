"""Studies: one folder each, with a section of the configuration and all that follows from it.

What is here is what planning needs; it imports neither torch nor a plotting library. Work, figures,
tables and claims are named by place ("module:function" below aevb) and imported where they run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.catalogue import Catalogue

if TYPE_CHECKING:
    from ..config import Config
    from ..core.run import Job, Run


class Figure(NamedTuple):
    """A figure of a study."""

    title: str  # of its caption: "Figure 2. Bound against training samples"
    draw: str  # place of a function (gathered, paper) -> matplotlib Figure
    caption: str = ""  # in Snakemake's own report
    data: str = "gathered.h5"  # the file that holds what it shows
    of: str = ""  # name of the study of `beside` whose results it shows, if they are not the own


class Page(NamedTuple):
    """A page of a study beside the report."""

    about: str  # what it is: "the latent planes of Figure 4 to play with"
    write: str  # place of a function (gathered, output)
    caption: str = ""  # in Snakemake's own report


class Study:
    """What every room asks of a study. A study overrides what it has."""

    key: str  # of its section in the configuration; the name of its folder
    order: int = 1000  # its place among studies, in the configuration and in the report
    section: Any = None  # type of its section; None for a study that is always there
    heading: str = ""  # of its section in config/README.md
    absent: str = ""  # what the report says where the configuration has no such section
    columns: dict[str, dict[str, str]] = {}  # kind of table that it measures -> column -> meaning
    work: dict[str, str] = {}  # kind of table -> what measuring it is called where hours are listed
    claims: str = ""  # module with its claims
    figure: int | None = None  # of the paper, that its runs are for (column of curves.csv)
    listed: bool = True  # whether its runs are curves of their own in curves.csv and the report
    texts: str = ""  # its paragraphs and captions, where they are in no file: see `text`

    def fields(self) -> dict[str, tuple[Any, Any]]:
        """Its keys of the configuration: name -> (type, default), as pydantic takes them."""
        return {self.key: (self.section | None, None)} if self.section is not None else {}

    def options(self, config: Config) -> Any:
        """Its section."""
        return getattr(config, self.key) if self.section is not None else None

    def active(self, config: Config) -> bool:
        """Whether the configuration asks for it."""
        return bool(self.options(config))

    def names(self, config: Config) -> list[str]:
        """The experiments that its section names."""
        return []

    def check(self, config: Config) -> None:
        """Raise ValueError, in a sentence, if its section does not fit the rest."""

    def variants(self, config: Config) -> dict[str, dict[str, Any]]:
        """Its variants of experiments: name -> keys of training, evaluation and experiment."""
        return {}

    def runs(self, config: Config) -> list[tuple[Run, int]]:
        """The models that it needs, and for how many training samples; some may come twice."""
        return []

    def settings(self, config: Config, run: Run) -> dict[str, Any]:
        """What it adds to the settings of `run` (see engine.settings.Settings)."""
        return {}

    def drawn(self, config: Config) -> list[Run]:
        """The models whose weights its figures need."""
        return []

    def jobs(self, config: Config) -> list[Job]:
        """What it measures, on these models or by itself."""
        return []

    def effort(self, config: Config, kind: str, run: Run) -> tuple[float, float]:
        """What a table of `kind` costs on `run`, about: training samples, gradients of log p(x, z).

        Nothing: then the nominal seconds of its job stand for it.
        """
        return 0.0, 0.0

    def figures(self, config: Config) -> dict[str, Figure]:
        """Its figures by file name."""
        return {}

    def numbers(self, config: Config) -> dict[str, str]:
        """Its CSV tables: name -> place of a function (gathered, paper, others) -> DataFrame."""
        return {}

    def pages(self, config: Config) -> dict[str, Page]:
        """Its pages beside the report by file name."""
        return {}

    def part(self) -> str:
        """Place of a function (gathered, paper, numbers) -> report.parts.Part, '' for none."""
        return ""

    def text(self) -> Path | str:
        """The Jinja file of its paragraphs and captions, or its text: sections "== NAME".

        Each figure needs a section of its name, each table one called cap-NAME. Without `texts`
        of its own it is the file text.j2 beside the study's module, if there is one.
        """
        beside = Path(sys.modules[type(self).__module__].__file__ or "").with_name("text.j2")
        return beside if not self.texts and beside.exists() else self.texts


def _wrong(study: Study) -> str:
    """What a study lacks, '' if nothing."""
    if not isinstance(study, Study):
        return "is no Study; register an object of a class that is derived from it"
    if not study.key.isidentifier():
        return "needs a key that is a name in Python: its section has that name"
    return ""


class _Studies(Catalogue[Study]):
    """The studies, by their order."""

    def _all(self) -> dict[str, Study]:
        entries = super()._all()
        return dict(sorted(entries.items(), key=lambda item: item[1].order))


STUDIES: Catalogue[Study] = _Studies("study", "aevb.studies", "STUDY", _wrong)
