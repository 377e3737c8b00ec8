"""A finished study: its models, curves and tables, from its results folder or gathered file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .. import results
from ..core.errors import UserError
from ..core.run import Run
from ..core.words import nearest
from ..results.csv import read as read_csv
from ..studies.planning import run_path
from .model import Model

if TYPE_CHECKING:
    from ..config import Config

ROOT = Path(__file__).parents[3]  # of a checkout
GATHERED = "gathered.h5"


def references() -> dict[str, Path]:
    """The committed studies by the names of their configurations; none without a checkout."""
    found = sorted((ROOT / "results" / "reference").glob(f"**/{GATHERED}"))
    return {path.parent.name: path for path in found}


class Study:
    """A finished study. `aevb.load_study` makes it.

    `path` is its gathered file. Raises UserError if that is damaged or none.
    """

    def __init__(self, path: str | Path):
        #: the gathered file
        self.path = Path(path)
        #: all that it holds
        self.gathered: results.Gathered = results.read_gathered(path)

    @property
    def config(self) -> Config:
        """Its configuration."""
        return self.gathered.study

    @property
    def runs(self) -> list[str]:
        """The names of all its runs, EXPERIMENT/ALGORITHM-nzN_Z-seedSEED."""
        return list(self.gathered.runs)

    @cached_property
    def models(self) -> list[str]:
        """The names of the runs whose weights are at hand: in run files beside the gathered file,
        or in that itself, which keeps those of models that figures draw."""
        runs = self.gathered.runs.items()
        return [name for name, run in runs if run.weights or self._file(name).exists()]

    @property
    def kinds(self) -> list[str]:
        """What was measured on models and experiments, for `table`."""
        return list(self.gathered.tables)

    def __repr__(self) -> str:
        return f"Study({self.config.name}: {len(self.runs)} runs, {len(self.models)} models)"

    def _file(self, name: str) -> Path:
        return self.path.parent / "runs" / f"{name}.h5"

    def model(self, name: str) -> Model:
        """The model of the run `name`.

        From its run file where that is there, and else from the gathered file. Raises UserError if
        there is no such run, or if its weights are nowhere: then which command makes them.
        """
        if name not in self.gathered.runs:
            raise UserError(f"there is no run '{name}'{nearest(name, self.models or self.runs)}")
        if self._file(name).exists():
            return Model(results.read_run(self._file(name)))
        result = self.gathered.runs[name]
        return Model(result, self._remake(result.run))

    def _remake(self, run: Run) -> str:
        """How to get a run with all its weights."""
        own = f"config/{self.config.name}.yaml"
        file, path = own if (ROOT / own).exists() else "FILE", run_path(self.config, run)
        return (
            f"`./run --cores all --configfile {file} -- {path}` trains it again, and "
            f"aevb.load_model('{path}') reads it"
        )

    def curves(self) -> pd.DataFrame:
        """Every curve as one tidy table: figure, dataset, latent_dim, n_train, algorithm, split,
        seed, samples, value (nats per datapoint).

        Values are bounds (eq. 7), and log p(x) for runs of Figure 3. Runs of compared variants
        are left out.
        """
        return results.curves_table(self.gathered)

    def table(self, kind: str) -> pd.DataFrame:
        """All that was measured of `kind`, one of `kinds`.

        Column `of` is the name of the run or experiment; studies/ describes the others. Raises
        UserError if there is none.
        """
        if kind not in self.gathered.tables:
            raise UserError(f"there is no table '{kind}'{nearest(kind, self.kinds)}")
        found = self.gathered.of(kind).items()
        return pd.concat([table.frame.assign(of=name) for name, table in found], ignore_index=True)

    def claims(self) -> pd.DataFrame:
        """The verdicts on the paper's claims, one row each.

        From claims.csv beside the gathered file. Raises UserError if the study has none.
        """
        path = self.path.with_name("claims.csv")
        if not path.exists():
            raise UserError(
                f"{path} does not exist; the pipeline writes it with the report of a study"
            )
        return read_csv(path)


def load_study(path: str | Path) -> Study:
    """A finished study: its results folder, its gathered file, or the name of a committed one.

    docs/reference.md lists the committed studies of a checkout. Raises UserError if there is none,
    or if its file is damaged.
    """
    if not isinstance(path, str | Path) or len(str(path)) > 4000:
        raise UserError(f"{path!r:.80} is no path; give a results folder, or the name of a study")
    known, place = references(), Path(path)
    place = place / GATHERED if place.is_dir() else place
    if place.exists():
        return Study(place)
    if Path(path).is_dir():
        raise UserError(f"{path} holds no {GATHERED}; run the pipeline to its end to make it")
    if str(path) in known:
        return Study(known[str(path)])
    if str(path).endswith(".h5"):
        raise UserError(f"there is no file {path}; name a run file, or a {GATHERED}")
    raise UserError(
        f"there is no study '{path}', neither a results folder, a {GATHERED} nor a committed "
        f"study{nearest(str(path), known)}"
    )


def load_model(path: str | Path, name: str | None = None) -> Model:
    """A trained model from its run file, results/STUDY/runs/EXPERIMENT/RUN.h5.

    `path` may also be all that `load_study` takes; then `name` is that of the run, and may be left
    out where there is only one model. Raises UserError if the file is damaged, if there is no such
    model, or if its weights are not kept: then which command makes them.
    """
    if isinstance(path, str | Path) and Path(path).is_file() and not results.is_gathered(path):
        model = Model(results.read_run(path))
        if name not in (None, model.name):
            raise UserError(f"{path} holds {model.name}, not '{name}'; leave out `name`")
        return model
    study = load_study(path)
    if name is None and len(study.models) != 1:
        raise UserError(
            f"{study.path} holds {len(study.models)} models; name one of them, as in name="
            f"'{next(iter(study.models or study.runs))}'"
        )
    return study.model(name or study.models[0])
