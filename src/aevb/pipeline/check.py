"""Are committed reference runs still what this code makes? Small parts of them are trained anew
and compared, number by number.

Every curve that was made on a CPU is tried with its first seed, at the step size that its pilot
chose then. It is trained up to its first `EVALUATIONS` evaluations. Monte Carlo EM has no bounds;
its mean of log p(x, z) is compared. Where a curve has estimates of log p(x), those at its first
evaluation are made anew too, from the parameters that were trained here. Graded estimators,
variances and encoded points need models at the end of their training, so they are not compared.

On the type of processor, the version of torch and the number of threads of the reference the
numbers must be the same bits. Elsewhere rounding differs, which a few thousand steps of training
enlarge, and they must agree within `tolerance`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from .. import data, results
from ..core import provenance
from ..core.errors import UserError
from ..core.run import Job
from ..engine.settings import Settings, device
from ..engine.stack import stack_of
from ..marginal.options import Evidence
from ..models import nets
from ..models.likelihoods import LIKELIHOODS
from ..studies.figure3.work import at_snapshot

EVALUATIONS = 2
COLUMNS = ("train", "test", "running", "train_kl", "test_kl")
ESTIMATES = ("importance", "hmc")
# At LARGE_STEP and above the likelihood's tolerance is so many times larger: AEVB's first steps in
# Figure 3, at 0.1, are far from smooth too. Starts that differ by 1e-7 moved bounds by 2.9 nats.
LARGE_STEP, LARGE_STEP_FACTOR = 0.1, 5.0
# Monte Carlo standard errors by which two estimates of log p(x) may differ besides.
STANDARD_ERRORS = 5.0


class Comparison(NamedTuple):
    """A part of the reference against the same made anew."""

    run: str
    what: str  # that was compared: "bounds" or "log p(x)"
    samples: int  # up to which it was trained
    # largest absolute difference, nats per datapoint; not a number if one of the numbers is none
    difference: float
    where: str  # the column and the samples of that difference
    tolerance: float  # 0 where the bits must be the same
    other: str  # what differs from the machine of the reference, '' if nothing does

    @property
    def passes(self) -> bool:
        """Whether the difference may be."""
        return self.difference <= self.tolerance  # False for not a number

    def __str__(self) -> str:
        how = (
            "the same bits"
            if self.difference == 0
            else f"differs by at most {self.difference:.3g} nats ({self.where})"
        )
        allowed = "" if self.passes else f", more than the allowed {self.tolerance:g}"
        there = f"; here {self.other}" if self.other else ""
        part = "log p(x) at" if self.what == "log p(x)" else "to"
        return f"{self.run}, {part} {self.samples:,} samples: {how}{allowed}{there}"


class Anew(NamedTuple):
    """The beginning of a run, trained anew."""

    curve: pd.DataFrame  # columns results.CURVE, one row per evaluation; none after it diverged
    snapshot: np.ndarray | None  # (P,) parameters at the first evaluation; runs of Figure 3 only


def elsewhere(made: Mapping) -> str:
    """In what this machine differs from that of a result with the attributes `made`.

    Only what decides the bits counts; '' if it differs in nothing.
    """
    here = {"processor": provenance.processor(), "torch": torch.__version__}
    there = {"processor": made["processor"], "torch": json.loads(made["versions"])["torch"]}
    return ", ".join(
        f"{name} {here[name]} instead of {there[name]}"
        for name in here
        if here[name] != there[name]
    )


def tolerance(reference: results.RunResult) -> float:
    """Nats per datapoint by which its numbers may differ on another machine."""
    factor = LARGE_STEP_FACTOR if reference.step_size >= LARGE_STEP else 1.0
    return LIKELIHOODS[reference.likelihood].tolerance * factor


def selected(gathered: results.Gathered) -> dict[str, results.RunResult]:
    """The first run of every curve that can be compared: made on a CPU, not diverged at once."""
    first: dict[str, tuple[str, results.RunResult]] = {}
    for name, run in gathered.runs.items():
        if run.device == "cpu" and len(run.curve) >= EVALUATIONS:
            first.setdefault(name.rsplit("-seed", 1)[0], (name, run))
    return dict(first.values())


def train(reference: results.RunResult, images: data.Data) -> Anew:
    """Train `reference` anew on `images` to its first evaluations.

    Raises UserError if the data are not those of the reference.
    """
    run = reference.run
    if images.sha256 != reference.data_sha256:
        raise UserError(
            f"the images of {reference.dataset} are not those of the reference run {run.name}; "
            f"delete data/{reference.dataset}.h5"
        )
    stack = stack_of([run], [reference.step_size], Settings.from_dict(reference.settings), images)
    for samples in map(int, reference.curve["samples"].iloc[:EVALUATIONS]):
        while stack.live and stack.samples < samples:
            stack.train_block(-(-samples // stack.samples_per_step))
        if stack.live:
            stack.evaluate()
    curve = pd.DataFrame(stack.curves[0], columns=list(results.CURVE))
    return Anew(curve, stack.snapshots[0][0] if stack.snapshots[0] else None)


def compare_curve(reference: results.RunResult, anew: Anew) -> Comparison:
    """The first evaluations of `reference` against those of `anew`: COLUMNS, of which those that
    neither has count as equal."""
    wanted = reference.curve.iloc[:EVALUATIONS]
    samples = wanted["samples"].astype(int).to_numpy()
    found = anew.curve.set_index("samples").reindex(samples)[list(COLUMNS)].to_numpy()
    difference, row, column = _largest(found, wanted[list(COLUMNS)].to_numpy())
    other = elsewhere(reference.attributes)
    return Comparison(
        reference.run.name,
        "bounds",
        int(samples[-1]),
        difference,
        f"{COLUMNS[column]} at {samples[row]:,} samples",
        tolerance(reference) if other else 0.0,
        other,
    )


def compare_log_p(
    reference: results.RunResult, table: results.Table, anew: Anew, images: data.Data
) -> Comparison:
    """The estimates of log p(x) in `table` at the first evaluation of `reference`, made anew.

    They have the settings of `table` and are made on the parameters of `anew`.
    """
    run, samples = reference.run, int(reference.curve["samples"].iloc[0])
    options = Evidence(**json.loads(table.attributes["config"]))
    where = device("cpu", reference.threads, tf32=False)
    layout = nets.Layout(
        images.train.shape[1], reference.hidden, reference.latent_dim, reference.likelihood
    )
    frame = table.frame[table.frame["samples"] == samples].set_index("split")
    wanted = frame.reindex(results.SPLITS)[list(ESTIMATES)].to_numpy()
    found = np.full_like(wanted, np.nan)
    for row, split in enumerate(results.SPLITS):
        if anew.snapshot is not None:  # else training diverged before
            parameters = torch.from_numpy(anew.snapshot[None]).to(where)
            made, _ = at_snapshot(
                parameters, layout, run, samples, images, split, options, check=False
            )
            found[row] = [made.get(name, np.nan) for name in ESTIMATES]
    difference, row, column = _largest(found, wanted)
    other = elsewhere(reference.attributes) or elsewhere(table.attributes)
    errors = frame[[f"{name}_se" for name in ESTIMATES]].to_numpy()
    allowed = tolerance(reference) + STANDARD_ERRORS * np.nanmax(errors, initial=0)
    return Comparison(
        run.name,
        "log p(x)",
        samples,
        difference,
        f"{ESTIMATES[column]}, {results.SPLITS[row]}",
        allowed if other else 0.0,
        other,
    )


def _largest(found: np.ndarray, wanted: np.ndarray) -> tuple[float, int, int]:
    """The largest absolute difference, and its row and column.

    Two that are not a number are equal, and one alone is the largest.
    """
    differences = np.abs(found - wanted)
    differences[np.isnan(found) & np.isnan(wanted)] = 0
    row, column = np.unravel_index(
        np.argmax(np.nan_to_num(differences, nan=np.inf)), differences.shape
    )
    return float(differences[row, column]), int(row), int(column)


def references(path: str | Path, root: str | Path) -> list[Path]:
    """The gathered reference at `path`, and those `beside` it with estimates of log p(x).

    Its configuration names them, as paths from `root`. That leaves out the reference of the
    ablation: its 64 curves differ from the others in settings alone, and to train them takes a
    quarter of an hour. The command line checks it by its path.
    """
    beside = [Path(root, name) for name in results.read_gathered(path).config.get("beside", [])]
    return [Path(path), *(other for other in beside if results.read_gathered(other).of("evidence"))]


def check(paths: Sequence[str | Path], folder: str | Path) -> None:
    """Compare the gathered references at `paths` with what this code makes now, run by run.

    The data sets are in `folder`; comparisons go to stderr. A curve that several references share
    is trained once. Raises UserError that names every curve that differs by more than it may, and
    if a reference has none to compare.
    """
    trained: dict[tuple, Anew] = {}
    failed = []
    for path in paths:
        gathered = results.read_gathered(path)
        tried = selected(gathered)
        if not tried:
            raise UserError(
                f"{path} has no curve that can be compared: none was made on a CPU and has "
                f"{EVALUATIONS} evaluations"
            )
        print(f"{path}, {len(tried)} curves:", file=sys.stderr, flush=True)
        for name, reference in tried.items():
            settings = Settings.from_dict(reference.settings)
            images = data.load(Path(folder, f"{reference.dataset}.h5"), settings.experiment)
            begins = tuple(reference.curve["samples"].iloc[:EVALUATIONS])
            # The budget decides nothing of the beginning.
            beginning = replace(settings, samples=0).to_json(reference.algorithm)
            key = (name, reference.step_size, reference.data_sha256, beginning, begins)
            if key not in trained:
                trained[key] = train(reference, images)
            found = [compare_curve(reference, trained[key])]
            table = gathered.of("evidence").get(name)
            if table is not None and table.attributes["device"] == "cpu":
                found.append(compare_log_p(reference, table, trained[key], images))
            for comparison in found:
                print(comparison, file=sys.stderr, flush=True)
            failed += [] if all(comparison.passes for comparison in found) else [name]
    if failed:
        raise UserError(
            f"{len(failed)} curve(s) are not what {' or '.join(map(str, paths))} says: "
            f"{', '.join(failed)}; if the code was meant to change them, "
            "make the reference run anew"
        )


def work(jobs: list[Job]) -> None:
    """Check the reference of each of `jobs`, and those beside it."""
    for job in jobs:
        paths = references(job.inputs["reference"][0], job.settings["root"])
        check(paths, Path(job.inputs["data"][0]).parent)


def main(arguments: list[str]) -> None:
    """Make small parts of gathered reference runs anew and compare, number by number."""
    parser = argparse.ArgumentParser(prog="python -m aevb check", description=main.__doc__)
    parser.add_argument("gathered", nargs="+", help="the gathered.h5 of a reference run")
    parser.add_argument("--data", default="data", help="folder of the prepared data sets")
    options = parser.parse_args(arguments)
    check(options.gathered, options.data)
