"""What the report says of the estimators."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...config import Config
from ...core.words import number
from ...marginal import ESTIMATORS
from ...paper.facts import PAPER_DRAWS, PAPER_FIGURE3, PAPER_RELIABLE
from ...report.parts import Part, Section, tabular
from ...results import Gathered
from ...results.words import trained
from ..figure3.findings import diagnostics, value_span
from . import STUDY
from .figures import DATA


def at_draws(gathered: Gathered, draws: int = PAPER_DRAWS) -> pd.DataFrame:
    """The rows of the estimator study whose number of samples is nearest to `draws`, for each
    model, data and estimator."""
    tables = [table.frame for table in gathered.of("estimators").values()]
    if not tables:
        return pd.DataFrame(columns=list(STUDY.columns["estimators"]))
    rows = pd.concat(tables, ignore_index=True)
    rows["distance"] = np.abs(np.log(rows["samples"] / draws))
    nearest = rows.groupby(["latent_dim", "data", "estimator"])["distance"].idxmin()
    rows = rows.loc[nearest].drop(columns="distance")
    order = {key: place for place, key in enumerate((*DATA, *ESTIMATORS))}
    return rows.sort_values(
        ["latent_dim", "data", "estimator"],
        key=lambda c: c.map(order) if c.name != "latent_dim" else c,
        kind="stable",
    )


def _with_error(row) -> str:
    return f"{number(row.bias, sign=True)} ± {number(row.bias_se)}"


def _reliable(graded: pd.DataFrame) -> list[str]:
    """Whether the paper's estimator is good below five dimensions and unreliable from there on,
    as sentences."""
    rows = graded[(graded["estimator"] == "hmc_kde") & (graded["data"] == "test")]
    if rows.empty:
        return []
    listed = "; ".join(
        f"N_z = {row.latent_dim:g}: {_with_error(row)} (spread {number(row.spread)})"
        for row in rows.itertuples()
    )
    sentences = [
        f"The paper's estimator with {rows['samples'].iloc[0]:g} samples per datapoint, bias on "
        f"test points in nats: {listed}."
    ]
    below = rows["latent_dim"] < PAPER_RELIABLE
    if below.any() and not below.all():
        low, high = rows[below]["bias"].abs(), rows[~below]["bias"].abs()
        agrees = low.max() < high.min()
        sentences.append(
            f"The paper calls it reliable below {PAPER_RELIABLE} dimensions and unreliable above. "
            "Here its bias is at most "
            f"{number(low.max())} nats below {PAPER_RELIABLE} dimensions (spread at most "
            f"{number(rows[below]['spread'].max())}) and "
            f"{number(high.min())} to {number(high.max())} from there on (spread up to "
            f"{number(rows[~below]['spread'].max())}): "
            + (
                "larger in every model from there on than in any below."
                if agrees
                else "not larger in every model from there on."
            )
        )
    return sentences


def _trust(graded: pd.DataFrame, checks: pd.DataFrame, study: Config) -> list[str]:
    """How far the values of the paper's Figure 3 can be trusted, in a sentence; nothing from
    models of other data."""
    if study.experiments[study.estimators.experiment].dataset != PAPER_FIGURE3["dataset"]:
        return []
    rows = graded[
        (graded["estimator"] == "hmc_kde") & (graded["latent_dim"] == PAPER_FIGURE3["latent_dim"])
    ]
    if rows.empty:
        return []
    parts = " and ".join(
        f"{_with_error(row)} nats on {DATA[row.data]} (spread {number(row.spread)})"
        for row in rows.itertuples()
    )
    text = (
        f"The paper's Figure 3 is made with this estimator at N_z = {PAPER_FIGURE3['latent_dim']}, "
    )
    text += f"where its bias here is {parts}"
    if len(checks):
        added = checks["hmc"] - checks["importance"]
        text += f"; in this study's models of Figure 3 it adds {value_span(added)} nats"
    return [f"{text}. That is how far its values can be trusted."]


def _looseness(gathered: Gathered) -> list[str]:
    """Where the reference is a lower bound, how loose it is at most, in a sentence."""
    parts = []
    for table in gathered.of("estimators").values():
        rows = table.frame[
            (table.frame["data"] == "simulated") & (table.frame["estimator"] == "ais_backward")
        ]
        if len(rows) and not rows["reference"].str.startswith("quadrature").any():
            last = rows.sort_values("samples").iloc[-1]
            parts.append(f"N_z = {last['latent_dim']:g}: {_with_error(last)}")
    if not parts:
        return []
    return [
        "Where the reference is a lower bound, biases are too high by as much as it is loose. On "
        "simulated points, annealed importance "
        "sampling run backward from the true z is an upper bound on average; its distance from "
        f"the reference in nats: {'; '.join(parts)}."
    ]


def _grades(graded: pd.DataFrame) -> list[dict]:
    """A row for each estimator, a column for each N_z: bias ± standard error on test points."""
    rows = graded[graded["data"] == "test"]
    return [
        {
            "estimator": ESTIMATORS[estimator].label,
            **{f"N_z = {row.latent_dim:g}": _with_error(row) for row in part.itertuples()},
        }
        for estimator, part in rows.groupby("estimator", sort=False)
    ]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What page and paper show of the estimators: which can be relied on, their bias and spread."""
    study, graded = gathered.study, at_draws(gathered)
    checks = diagnostics(gathered) if study.figure3 else pd.DataFrame()
    reliability = _reliable(graded) + _trust(graded, checks, study)
    draws = " or ".join(f"{count:g}" for count in sorted(set(graded["samples"])))
    facts = {"graded_models": trained(study, STUDY.models(study)), "graded_draws": draws or "no"}
    section = Section(
        "grades",
        "Estimators of log p(x), graded",
        [
            ("list", reliability + _looseness(gathered)),
            ("figure", "estimators"),
            ("table", "graded"),
            ("file", "estimators"),
        ],
        50,
    )
    tables = {"graded": tabular(_grades(graded) or [{"estimator": "every model of it diverged"}])}
    return Part(facts, tables, [section])
