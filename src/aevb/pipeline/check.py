"""Is a committed reference run still what this code makes? Small parts of it are trained anew and
compared, number by number.

Every curve of the reference that has bounds (Monte Carlo EM has none) and was made on a CPU is
tried with its first seed, up to its first `EVALUATIONS` evaluations, at the step size that its
pilot chose then. On the type of processor, the version of torch and the number of threads of the
reference the numbers must be the same bits; elsewhere rounding differs, which a few thousand steps
of training enlarge, and they must agree within TOLERANCE.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from .. import data, results
from ..config import Run
from ..core import provenance
from ..core.errors import UserError
from ..engine import training

EVALUATIONS = 2
COLUMNS = ("train", "test", "running", "train_kl", "test_kl")
# Nats per datapoint. Another version of torch, or other routines for the products, moved MNIST's
# first bounds by up to 0.04 nats and those of AEVB on Frey Face, whose first steps are far from
# smooth, by up to 77.
TOLERANCE = {"bernoulli": 1.0, "gaussian": 150.0}


class Comparison(NamedTuple):
    """One run of the reference against the same made anew."""

    run: str
    samples: int  # up to which it was trained
    # largest absolute difference, nats per datapoint, over evaluations and COLUMNS; not a number if
    # either is
    difference: float
    where: str  # the column and the samples of that difference
    tolerance: float  # 0 where the bits must be the same
    other: str  # what differs from the machine of the reference, '' if nothing does

    @property
    def passes(self) -> bool:
        return self.difference <= self.tolerance  # False for not a number


def elsewhere(run: results.RunResult) -> str:
    """In what this machine differs from that of `run`, as far as it decides the bits: '' if in
    nothing."""
    here = {"processor": provenance.processor(), "torch": torch.__version__}
    there = {"processor": run.processor, "torch": json.loads(run.versions)["torch"]}
    return ", ".join(
        f"{name} {here[name]} instead of {there[name]}"
        for name in here
        if here[name] != there[name]
    )


def selected(gathered: results.Gathered) -> dict[str, results.RunResult]:
    """The first run of every curve that can be compared: trained on a CPU, with bounds, and not
    diverged at once."""
    first: dict[str, tuple[str, results.RunResult]] = {}
    for name, run in gathered.runs.items():
        if run.device == "cpu" and run.algorithm != "mcem" and len(run.curve) >= EVALUATIONS:
            first.setdefault(name.rsplit("-seed", 1)[0], (name, run))
    return dict(first.values())


def again(name: str, reference: results.RunResult, images: data.Data) -> Comparison:
    """Train `reference` anew on `images` to its first evaluations and compare.

    Raises UserError if the data are not those of the reference.
    """
    if images.sha256 != reference.data_sha256:
        raise UserError(
            f"the images of {reference.dataset} are not those of the reference run {name}; delete "
            f"data/{reference.dataset}.h5"
        )
    wanted = reference.curve.iloc[:EVALUATIONS]
    run = Run(reference.experiment, reference.algorithm, reference.latent_dim, reference.seed)
    stack = training.stack_of(
        [run], [reference.step_size], training.Settings.from_dict(reference.settings), images
    )
    for samples in map(int, wanted["samples"]):
        while stack.live and stack.samples < samples:
            stack.train_block(-(-samples // stack.samples_per_step))
        if stack.live:
            stack.evaluate()
    found = (
        pd.DataFrame(stack.curves[0], columns=list(results.CURVE))
        .set_index("samples")
        .reindex(wanted["samples"])
    )
    differences = np.abs(found[list(COLUMNS)].to_numpy() - wanted[list(COLUMNS)].to_numpy())
    row, column = np.unravel_index(
        np.argmax(np.nan_to_num(differences, nan=np.inf)), differences.shape
    )
    other = elsewhere(reference)
    return Comparison(
        name,
        samples,
        float(differences[row, column]),
        f"{COLUMNS[column]} at {int(wanted['samples'].iloc[row]):,} samples",
        TOLERANCE[reference.likelihood] if other else 0.0,
        other,
    )


def check(path: str | Path, folder: str | Path) -> None:
    """Compare the gathered reference at `path` with what this code makes now of the data sets in
    `folder`, run by run, on stderr.

    Raises UserError that names every curve that differs by more than it may, and if there is none
    to compare.
    """
    failed, tried = [], selected(results.read_gathered(path))
    if not tried:
        raise UserError(
            f"{path} has no curve that can be compared: none was made on a CPU, has bounds and "
            f"{EVALUATIONS} evaluations"
        )
    for name, reference in tried.items():
        experiment = training.Settings.from_dict(reference.settings).experiment
        found = again(
            name, reference, data.load(Path(folder, f"{reference.dataset}.h5"), experiment)
        )
        how = (
            "the same bits"
            if found.difference == 0
            else f"differs by at most {found.difference:.3g} nats ({found.where})"
        )
        allowed = "" if found.passes else f", more than the {found.tolerance:g} that it may"
        there = f"; here {found.other}" if found.other else ""
        print(
            f"{name}, to {found.samples:,} samples: {how}{allowed}{there}",
            file=sys.stderr,
            flush=True,
        )
        failed += [] if found.passes else [name]
    if failed:
        raise UserError(
            f"{len(failed)} curve(s) are not what {path} says: {', '.join(failed)}; if the code "
            "was meant to change them, "
            "make the reference run anew"
        )


def main(arguments: list[str]) -> None:
    """Make small parts of a gathered reference run anew and compare, number by number."""
    parser = argparse.ArgumentParser(prog="python -m aevb check", description=main.__doc__)
    parser.add_argument("gathered", help="the gathered.h5 of the reference run")
    parser.add_argument("--data", default="data", help="folder of the prepared data sets")
    options = parser.parse_args(arguments)
    check(options.gathered, options.data)
