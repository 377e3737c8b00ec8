"""What the report says of richer posteriors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import joined, number, plural, short, span_of
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label
from . import FLOWS
from .figures import name_of

TABLES = ("posteriors", "posteriors_gaps", "posteriors_gradients", "posteriors_yardstick")


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """Models, then approximation gaps, gradients and the yardstick."""
    found, gaps, signals, binary = (numbers.get(name, pd.DataFrame()) for name in TABLES)
    if found.empty or gaps.empty:
        return Part()
    said = [_gains(found), _closed(gaps)]
    tables = {"posteriors": _models(found), "posteriors_gaps": _gaps(gaps)}
    blocks = [("text", "posteriors-question"), ("list", said), ("figure", "posteriors")]
    if 2 in gathered.study.posteriors.latent_dims:
        blocks.append(("figure", "posteriors_drawn"))
    more = [("table", "posteriors"), ("table", "posteriors_gaps")]
    if not signals.empty:
        said.append(_signal(signals))
        tables["posteriors_gradients"] = _signals(signals)
        more.append(("table", "posteriors_gradients"))
    if not binary.empty:
        said.append(_binary(binary))
        tables["posteriors_yardstick"] = _yardstick(binary)
        blocks.append(("table", "posteriors_yardstick"))
    blocks.append(("details", ("Every model, gap and gradient", more)))
    title = "Beyond the diagonal Gaussian: flows and importance weights"
    return Part(_facts(gathered, binary), tables, [Section("posteriors", title, blocks, 140)])


def _facts(gathered: Gathered, binary: pd.DataFrame) -> dict:
    part, study = gathered.study.posteriors, gathered.study
    return {
        "posteriors": part,
        "posteriors_data": label(part.experiment),
        "posteriors_samples": short(part.samples),
        "posteriors_seeds": plural(len(study.seeds), "seed"),
        "posteriors_draws": f"{part.draws:,}",
        "posteriors_binary": "" if binary.empty else f"{binary['points'].max():,.0f}",
        "posteriors_ks": joined([1, *part.ks]),
        "posteriors_dims": joined(part.latent_dims),
        "posteriors_weighted": joined(part.importance_dims),
    }


def _gains(found: pd.DataFrame) -> str:
    said = []
    for nz, rows in found.groupby("latent_dim"):
        first = rows[rows["gain"].isna()]
        listed = "; ".join(
            f"{name_of(row.family, row.k, row.gradient)} {span_of(row, 'gain', sign=True)}"
            for row in rows[rows["gain"].notna()].itertuples()
        )
        base = f" of {span_of(first.iloc[0], 'log_p')}" if len(first) else ""
        said.append(f"N_z = {nz}, over the diagonal q's{base}: {listed}")
    return f"log p(x) in nats: {'. '.join(said)}."


def _closed(gaps: pd.DataFrame) -> str:
    said = []
    for nz, rows in gaps.groupby("latent_dim"):
        by = {row.family: row for row in rows.itertuples()}
        shares = joined(f"{each} {span_of(by[each], 'share')}" for each in FLOWS)
        said.append(
            f"N_z = {nz}: the best diagonal Gaussian leaves {span_of(by['diagonal'], 'gap')} nats, "
            f"of which the share that flows close is {shares}"
        )
    return f"On one decoder, q fitted to each test point: {'. '.join(said)}."


def _signal(signals: pd.DataFrame) -> str:
    said = []
    for nz, rows in signals.groupby("latent_dim"):
        listed = [
            f"{gradient} " + joined(f"{span_of(row, 'ratio')} at k = {row.k}" for row in own)
            for gradient in ("plain", "doubly")
            if (own := [*rows[rows["gradient"] == gradient].sort_values("k").itertuples()])
        ]
        said.append(f"N_z = {nz}: {'; '.join(listed)}")
    return f"Signal to noise of the encoder's gradient: {'. '.join(said)}."


def _binary(binary: pd.DataFrame) -> str:
    listed = "; ".join(
        f"k = {row.k:.0f}: {number(row.log_p)} ± {number(1.96 * row.points_se)} after "
        f"{row.epochs:.2g} epochs"
        + (
            f", published {number(row.published)} after {row.published_epochs:,.0f}"
            if np.isfinite(row.published)
            else ""
        )
        for row in binary.itertuples()
    )
    return f"On binarised images, as far as the time allows: {listed}."


def _models(found: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row.latent_dim}",
            "model": name_of(row.family, row.k, row.gradient),
            "log p(x)": span_of(row, "log_p"),
            "gain": span_of(row, "gain", sign=True),
            "bound": span_of(row, "bound"),
            "by": row.method,
            "MC error": number(row.log_p_se, 3),
            "last tenfold": number(row.tenfold, 3),
            "k̂ > 0.7": f"{100 * row.k_hat_bad:.0f} %",
            "from the encoder": f"{number(row.by_encoder)} ({100 * row.encoder_bad:.0f} %)",
        }
        for row in found.itertuples()
    ]
    return tabular(rows, "N_z")


def _gaps(gaps: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row.latent_dim}",
            "family": row.family,
            "gap": span_of(row, "gap", 3),
            "share closed": span_of(row, "share"),
            "log p(x) by": row.method,
            "last tenfold": number(row.loose, 3),
            "last quarter": number(row.late, 3),
        }
        for row in gaps.itertuples()
    ]
    return tabular(rows, "N_z")


def _signals(signals: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row.latent_dim}",
            "k": f"{row.k}",
            "gradient": row.gradient,
            "signal to noise": span_of(row, "ratio", 3),
        }
        for row in signals.itertuples()
    ]
    return tabular(rows, "N_z")


def _yardstick(binary: pd.DataFrame) -> Tabular:
    rows = [
        {
            "k": f"{row.k:.0f}",
            "obtained": f"{number(row.log_p)} ± {number(1.96 * row.points_se)}",
            "published": number(row.published),
            "epochs": f"{row.epochs:.3g} | "
            + (f"{row.published_epochs:,.0f}" if np.isfinite(row.published_epochs) else "–"),
            "MC error": number(row.log_p_se, 3),
            "last tenfold": number(row.log_p - row.tenth, 2),
            "k̂ > 0.7": f"{100 * row.k_hat_bad:.0f} %",
            "seconds": f"{row.training_seconds:.0f}",
        }
        for row in binary.itertuples()
    ]
    return tabular(rows)
