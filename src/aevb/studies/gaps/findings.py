"""What the report says of the gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural, short, span_of
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label
from .numbers import CLOSE, PARTS

NAMES = {"bound": "bound", "log_p": "log p(x)"}


def spread(row, name: str) -> str:
    """'1.23 [1.10, 1.36] ± 0.20': mean, interval over seeds, half that over test points."""
    return f"{span_of(row, name)} ± {number(getattr(row, f'{name}_points'))}"


def _last(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["samples"] == frame["samples"].max()]


def _said(table: pd.DataFrame, apart: pd.DataFrame) -> list[str]:
    """The gaps, what AEVB's better bound is made of, and whether the ascent converged."""
    said = []
    for algorithm, rows in _last(table).groupby("algorithm", sort=False):
        listed = "; ".join(
            f"N_z = {row.latent_dim}: {span_of(row, 'approximation')} and "
            f"{span_of(row, 'amortisation')}"
            for row in rows.itertuples()
        )
        said.append(f"{algorithm}, approximation and amortisation gap in nats: {listed}.")
    listed = "; ".join(
        f"N_z = {row.latent_dim}: {span_of(row, 'bound')}, of which log p(x) "
        f"{span_of(row, 'log_p')}, approximation {span_of(row, 'approximation')}, amortisation "
        f"{span_of(row, 'amortisation')}"
        for row in _last(apart).itertuples()
    )
    said.append(f"AEVB's bound minus wake-sleep's: {listed}.")
    said.append(
        "How far the ascent converged: in the second half of its steps the mean bound rises by at "
        f"most {number(table['left_50'].max(), 4)} nats, and both starts end within {CLOSE:g} nats "
        f"of each other at {table['starts'].min():.0%} of the test points or more. log p(x) is "
        f"known to {number(table['width'].max())} nats or better."
    )
    if (off := table["short"].dropna()).size:
        said[-1] += (
            " Where quadrature tells it, annealing lies below by "
            f"{number(off.min(), 3)} to {number(off.max(), 3)} nats, mean over test points."
        )
    return said


def _table(table: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row.latent_dim}",
            "samples": short(row.samples),
            "algorithm": row.algorithm,
            **{NAMES.get(name, name): spread(row, name) for name in PARTS},
            "width": number(row.width),
            "converged": f"{number(row.left_50, 4)}; {row.starts:.0%}",
        }
        for row in table.itertuples()
    ]
    return tabular(rows, "N_z")


def _differences(apart: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row.latent_dim}",
            "samples": short(row.samples),
            **{NAMES.get(name, name): spread(row, name) for name in PARTS},
            "share": _share(row),
        }
        for row in apart.itertuples()
    ]
    return tabular(rows, "N_z")


def _share(row) -> str:
    if not np.isfinite(row.share):
        return "–"
    within = f" [{row.share_low:.2f}, {row.share_high:.2f}]" if np.isfinite(row.share_low) else ""
    return f"{row.share:.2f}{within}"


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Both gaps, for both algorithms and along training."""
    table, apart = (numbers.get(name, pd.DataFrame()) for name in ("gaps", "gaps_differences"))
    study = gathered.study
    seeds, points = plural(len(study.seeds), "seed"), f"{study.gaps.datapoints} test points"
    budget = short(max(study.gaps.budgets))
    facts = {
        "gaps_points": study.gaps.datapoints,
        "gaps_steps": study.gaps.steps,
        "gaps_about": f"{label(study.gaps.experiment)}, {seeds}, {points}",
        "gaps_budget": budget,
        "gaps_images": plural(study.gaps.images, "test image"),
        "gaps_close": f"{CLOSE:g}",
    }
    if table.empty:  # every pair diverged
        return Part(facts)
    blocks = [
        ("text", "gaps-question"),
        ("list", _said(table, apart)),
        ("figure", "gaps"),
        ("figure", "gaps_posterior"),
        ("details", ("Every N_z and budget", [("table", "gaps"), ("table", "gaps_differences")])),
    ]
    section = Section("gaps", "Why AEVB beats wake-sleep: two gaps", blocks, 130)
    return Part(facts, {"gaps": _table(table), "gaps_differences": _differences(apart)}, [section])
