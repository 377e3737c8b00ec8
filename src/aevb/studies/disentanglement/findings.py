"""What the report says of beta-VAE and FactorVAE."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural, span, span_of
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from . import METHODS
from .numbers import METRICS, NAMES
from .sprites import SIZES

BLOCKS = [
    ("text", "disentanglement-question"),
    ("list", []),
    ("figure", "disentanglement"),
    ("figure", "disentanglement_traversals"),
    ("table", "disentanglement_terms"),
    ("table", "disentanglement"),
    ("table", "disentanglement_told"),
    ("table", "disentanglement_equal"),
    ("table", "disentanglement_spread"),
]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The terms of the KL divergence, the trade-off, the spread."""
    trained = numbers["disentanglement"]
    if trained.empty:
        return Part()
    same, spread = numbers["disentanglement_equal"], numbers["disentanglement_spread"]
    terms, told = numbers["disentanglement_terms"], numbers["disentanglement_told"]
    said = [_adds_up(terms), _bought(trained, terms), _ratio(terms), _equal(same)]
    said += _spread(spread)
    findings = {
        "disentanglement": _price(trained, terms),
        "disentanglement_traversals": _best(trained, told),
    }
    blocks = [(kind, said if kind == "list" else what) for kind, what in BLOCKS]
    tables = {
        "disentanglement_terms": _terms(terms),
        "disentanglement": _trained(trained),
        "disentanglement_told": _told(told),
        "disentanglement_equal": _differences(same),
        "disentanglement_spread": _shares(spread),
    }
    own = gathered.study.disentanglement
    facts = {
        "disentanglement": own,
        "disentanglement_images": f"{np.prod(SIZES):,}",
        "disentanglement_most": number(np.log(np.prod(SIZES)), 2),
        "disentanglement_seeds": plural(len(own.seeds), "seed"),
        "disentanglement_steps": f"{own.steps:,}",
    }
    title = "What a weight on the KL divergence buys: beta-VAE and FactorVAE"
    section = Section("disentanglement", title, blocks, 310)
    return Part(facts, tables, [section], findings=findings)


def _adds_up(terms: pd.DataFrame) -> str:
    """Whether both terms add up, and what the VAE's divergence is made of."""
    [vae] = terms[(terms["method"] == "beta_vae") & (terms["weight"] == 1)].itertuples()
    worst = (terms["residual"] / terms["residual_se"]).abs().max()
    return (
        f"Of the VAE's E KL(q(z|x) ‖ p(z)) of {span_of(vae, 'kl')} nats "
        f"{span_of(vae, 'information')} are I(x; z), {span_of(vae, 'correlation')} total "
        f"correlation, and {span_of(vae, 'own')} the latent variables' own. The "
        "terms, from samples of their own, miss the exact mean by "
        f"{number(terms['residual'].abs().max(), 3)} nats at most, {number(worst, 1)} standard "
        "errors of Monte Carlo at most."
    )


def _price(trained: pd.DataFrame, terms: pd.DataFrame) -> str:
    """What the largest beta has that the VAE has not."""
    rows = trained.merge(terms, on=["method", "weight"])
    rows = rows[rows["method"] == "beta_vae"].set_index("weight")
    vae, most = rows.loc[1], rows.iloc[-1]
    return (
        f"From beta = 1 to {rows.index[-1]:g} I(x; z) goes from {span_of(vae, 'information')} to "
        f"{span_of(most, 'information')} nats, the reconstruction error from "
        f"{span_of(vae, 'error')} to {span_of(most, 'error')}, MIG from "
        f"{span_of(vae, 'mig')} to {span_of(most, 'mig')}."
    )


def _bought(trained: pd.DataFrame, terms: pd.DataFrame) -> str:
    """beta-VAE from its smallest to its largest weight."""
    rows = trained.merge(terms, on=["method", "weight"])
    listed = "; ".join(
        f"beta = {row.weight:g}: {span_of(row, 'information')}, {span_of(row, 'error')}, "
        f"{span_of(row, 'mig')} and {span_of(row, 'vote')}"
        for row in rows[rows["method"] == "beta_vae"].itertuples()
    )
    return (
        f"beta-VAE, I(x; z) and reconstruction error in nats, MIG and FactorVAE metric: {listed}."
    )


def _ratio(terms: pd.DataFrame) -> str:
    """What the discriminator knows of the total correlation."""
    listed = "; ".join(
        f"gamma = {row.weight:g}: {span_of(row, 'density_ratio')} where it is "
        f"{span_of(row, 'correlation')}"
        for row in terms[terms["method"] == "factor_vae"].itertuples()
    )
    return f"FactorVAE's discriminator takes the total correlation, in nats, for: {listed}."


def _best(trained: pd.DataFrame, told: pd.DataFrame) -> str:
    """What the best latent variable says of each factor, where MIG is highest."""
    best = trained.loc[trained["mig"].idxmax()]
    rows = told[(told["method"] == best["method"]) & (told["weight"] == best["weight"])]
    listed = ", ".join(f"{row.factor} {span_of(row, 'best')}" for row in rows.itertuples())
    return (
        f"The highest mean MIG is {span_of(best, 'mig')}, of {NAMES[best['method']]} with "
        f"{METHODS[best['method']]} = {best['weight']:g}. The share of a factor's entropy that its "
        f"best latent variable says there: {listed}."
    )


def _equal(same: pd.DataFrame) -> str:
    listed = "; ".join(
        f"gamma = {weight:g}: "
        + " and ".join(
            span(*each[["difference", "low", "high"]], 2, True) for _, each in rows.iterrows()
        )
        for weight, rows in same.groupby("gamma")
    )
    return f"FactorVAE less beta-VAE at equal reconstruction, MIG and FactorVAE metric: {listed}."


def _spread(spread: pd.DataFrame) -> list[str]:
    if spread.empty:
        return []
    listed = "; ".join(
        f"{row.metric} of {row.method} {number(row.sd_seeds)} against {number(row.sd_weights)}, "
        f"a share of {span(row.share, row.low, row.high)}"
        for row in spread.itertuples()
    )
    return [
        "Standard deviation over seeds against that over weights, and share of the seeds in the "
        f"variance: {listed}."
    ]


def _cells(frame: pd.DataFrame, names: dict[str, str]) -> Tabular:
    """A row per setting: `names` are columns and what they are called."""
    rows = [
        {"model": NAMES[row.method], "weight": f"{METHODS[row.method]} = {row.weight:g}"}
        | {title: span_of(row, name) for name, title in names.items()}
        for row in frame.itertuples()
    ]
    return tabular(rows, "model")


def _terms(terms: pd.DataFrame) -> Tabular:
    names = {"kl": "E KL", "information": "I(x; z)", "correlation": "TC", "own": "own"}
    return _cells(terms, {**names, "density_ratio": "TC by D"})


def _trained(trained: pd.DataFrame) -> Tabular:
    return _cells(trained, {"error": "error", **METRICS, "live": "in use"})


def _told(told: pd.DataFrame) -> Tabular:
    rows = []
    for (method, weight), each in told.groupby(["method", "weight"], sort=False):
        row = {"model": NAMES[method], "weight": f"{METHODS[method]} = {weight:g}"}
        rows.append(row | {part.factor: span_of(part, "best") for part in each.itertuples()})
    return tabular(rows, "model")


def _differences(same: pd.DataFrame) -> Tabular:
    rows = [
        {
            "gamma": f"{row.gamma:g}",
            "metric": row.metric,
            "FactorVAE less beta-VAE": span(row.difference, row.low, row.high, 2, True),
            "beyond": f"{row.beyond} of {row.seeds}",
        }
        for row in same.itertuples()
    ]
    return tabular(rows, "gamma")


def _shares(spread: pd.DataFrame) -> Tabular:
    rows = [
        {
            "model": row.method,
            "metric": row.metric,
            "sd over seeds": number(row.sd_seeds),
            "sd over weights": number(row.sd_weights),
            "share of seeds": span(row.share, row.low, row.high),
        }
        for row in spread.itertuples()
    ]
    return tabular(rows, "model")
