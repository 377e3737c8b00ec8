"""What the report says of full variational Bayes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core.words import number, plural, short, span, span_of
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label
from .numbers import NAMES

BLOCKS = [
    ("text", "weights-bound"),
    ("figure", "weights_linear"),
    ("table", "weights_linear"),
    ("text", "weights-networks"),
    ("list", []),
    ("figure", "weights"),
    ("table", "weights"),
    ("table", "weights_differences"),
]


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """The linear model, then the networks."""
    trained, linear = numbers["weights"], numbers["weights_linear"]
    differences = numbers["weights_differences"]
    if trained.empty or linear.empty:
        return Part()
    blocks = [
        (kind, _sentences(trained, differences) if kind == "list" else what)
        for kind, what in BLOCKS
    ]
    tables = {
        "weights": _trained(trained),
        "weights_differences": _differences(differences),
        "weights_linear": _linear(linear),
    }
    section = Section("weights", "Full variational Bayes over the weights", blocks, 250)
    return Part(_facts(gathered, linear), tables, [section])


def _facts(gathered: Gathered, linear: pd.DataFrame) -> dict:
    """What the paragraphs say."""
    part = gathered.study.weights
    trained = linear.set_index(["design", "form"])["gap"].unstack("form")
    best = linear.set_index(["design", "form"])["best_gap"].unstack("form")
    return {
        "weights": part,
        "weights_data": label(part.experiment),
        "weights_samples": short(part.samples),
        "weights_estimates": f"{part.estimates:,}",
        "weights_seeds": plural(len(gathered.study.seeds), "seed"),
        "weights_hidden": gathered.study.experiments[part.experiment].hidden,
        "weights_residual": number(linear["residual"].abs().max(), 2),
        "weights_orthogonal": number(trained.loc["orthogonal"].max(), 2),
        "weights_correlated": number(trained.loc["correlated"].max(), 1),
        "weights_best": number(best.loc["correlated"].max(), 1),
        "weights_latent": number(best.loc["latent"].max(), 1),
    }


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"


def _sentences(trained: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    """A sentence for each number of training images."""
    said = []
    for n, rows in trained.groupby("n_train"):
        point, drawn = (rows[rows["theta"] == theta].iloc[0] for theta in ("point", "sampled"))
        own = differences[(differences["n_train"] == n) & (differences["theta"] == "sampled")]
        own = own.set_index("quantity")
        test, early = (own.iloc[place] for place in (1, 2))
        said.append(
            f"N = {n:,}: MAP ends at a test bound of {span_of(point, 'test', 1)} with a gap of "
            f"{span_of(point, 'gap', 1)}, full VB with theta sampled at "
            f"{span_of(drawn, 'test', 1)} with {span_of(drawn, 'gap', 1)}. Its test bound less "
            f"MAP's is {span(test['difference'], test['low'], test['high'], 1, True)}, less that "
            "of MAP stopped at its best "
            f"{span(early['difference'], early['low'], early['high'], 1, True)}. Of the "
            f"parameters under q(theta) {_share(drawn['at_prior'])} are at their prior; "
            f"KL(q(theta) || p(theta)) is {number(drawn['kl'] / n, 1)} nats per datapoint."
        )
    return said


def _trained(trained: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N": f"{row.n_train:,}",
            "method": NAMES[row.method, row.theta],
            "training": span_of(row, "train", 1),
            "test": span_of(row, "test", 1),
            "gap": span_of(row, "gap", 1),
            "best test": span_of(row, "best", 1),
            "KL / N": number(row.kl / row.n_train, 1),
            "bound / N": number(row.whole, 1),
            "at prior": _share(row.at_prior),
            "KL of z": number(row.test_kl, 1),
        }
        for row in trained.itertuples()
    ]
    return tabular(rows, "N")


def _differences(differences: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N": f"{row.n_train:,}",
            "theta": row.theta,
            "quantity": row.quantity,
            "difference": span(row.difference, row.low, row.high, 1, True),
        }
        for row in differences.itertuples()
    ]
    return tabular(rows, "N")


def _linear(linear: pd.DataFrame) -> Tabular:
    rows = [
        {
            "codes": row.design,
            "estimator": row.form,
            "log p(X)": number(row.evidence, 1),
            "bound": number(row.bound, 1),
            "KL": number(row.kl, 2),
            "bound + KL − log p(X)": span(row.residual, row.low, row.high, 2),
            "trained q lacks": span_of(row, "gap", 2),
            "best q lacks": number(row.best_gap, 2),
        }
        for row in linear.itertuples()
    ]
    return tabular(rows, "codes")
