"""What the report says of the linear-Gaussian model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...core import words
from ...core.words import number, plural
from ...marginal import ESTIMATORS
from ...paper.facts import PAPER_DRAWS
from ...report.parts import Part, Section, Tabular, tabular
from ...results import Gathered
from ...results.words import label


def span(row, name: str, low: str, high: str, digits: int = 3) -> str:
    """'0.023 [0.010, 0.036]'."""
    return words.span(*(getattr(row, key) for key in (name, low, high)), digits)


def _reached(learned: pd.DataFrame) -> list[str]:
    """Who reaches the closed form, and what each lacks, a sentence for each algorithm."""
    said = []
    for algorithm in ("exact EM", "AEVB", "wake-sleep", "Monte Carlo EM"):
        rows = learned[learned["algorithm"] == algorithm]
        parts = "; ".join(
            f"{row.size}: {span(row, 'shortfall', 'low', 'high')} of {number(row.limit, 3)}"
            for row in rows.itertuples(index=False)
        )
        near = int((rows["shortfall"] < rows["limit"]).sum())
        said.append(
            f"{algorithm} ends below the closed form by less than the data can tell in {near} of "
            f"{plural(len(rows), 'size')} (nats; that limit): {parts}."
        )
    return said


def _tight(learned: pd.DataFrame) -> list[str]:
    """What rotation does to the bound, and which algorithms choose one, in two sentences."""
    gaps = learned.groupby("algorithm")["diagonal_gap"].agg(["min", "max"])

    def within(name: str) -> str:
        return f"{number(gaps.loc[name, 'min'], 3)} to {number(gaps.loc[name, 'max'], 3)}"

    return [
        "A rotation of z leaves log p(x) as it is. The posterior's covariance sigma² (W'W + "
        "sigma² I)⁻¹ is diagonal where W's columns are orthogonal alone. There the best diagonal "
        f"encoder has a tight bound; rotated at random it lacks {within('closed form, rotated')} "
        "nats.",
        "AEVB and wake-sleep, which have such an encoder, turn W towards orthogonal columns: a "
        f"diagonal encoder lacks {within('AEVB')} and {within('wake-sleep')} nats at their ends. "
        f"EM and Monte Carlo EM have no reason to: {within('exact EM')} and "
        f"{within('Monte Carlo EM')} nats.",
    ]


def _bias(value: float, sign: bool = False) -> str:
    """Thousands of nats without decimals."""
    if abs(value) < 1000:
        return number(value, sign=sign)
    return f"{value:{'+' if sign else ''},.0f}".replace("-", "−")


def _at_draws(graded: pd.DataFrame) -> pd.DataFrame:
    """The rows whose number of samples is nearest to the paper's."""
    distance = np.log(graded["samples"] / PAPER_DRAWS).abs()
    return graded[distance == distance.min()]


def _estimators(graded: pd.DataFrame) -> list[str]:
    """The paper's estimator against N_z, and what brackets the truth, in two sentences."""
    rows = _at_draws(graded)

    def biases(key: str) -> str:
        own = rows[rows["estimator"] == key]
        return "; ".join(
            f"N_z = {row.latent_dim:g}: {_bias(row.bias, sign=True)} ± {_bias(row.bias_se)}"
            for row in own.itertuples()
        )

    infinite = graded.loc[np.isinf(graded["second_moment"]), "latent_dim"].unique()
    said = [
        f"The paper's estimator with {rows['samples'].iloc[0]:g} samples, bias in nats against the "
        f"exact log p(x): {biases('hmc_kde')}. With a Gaussian in place of the kernel density: "
        f"{biases('hmc_gaussian')}.",
        "Annealed importance sampling brackets the truth from below and, run backward, from above: "
        f"{biases('ais')}; backward {biases('ais_backward')}.",
    ]
    if len(infinite):
        listed = ", ".join(f"{value:g}" for value in sorted(infinite))
        said.append(
            "Importance sampling from the encoder has weights without variance, by closed form, at "
            f"N_z = {listed}; its bias there is {biases('importance')}: little bias does not show "
            "that."
        )
    return said


def _collapse(collapsed: pd.DataFrame) -> list[str]:
    """How EM and AEVB agree with the theory of collapse, in a sentence for each data set."""
    said = []
    for data, rows in collapsed.groupby("data", sort=False):
        off = [float((rows[key] - rows["theory"]).abs().max()) for key in ("em", "aevb")]
        name = "simulated data" if data == "simulated" else label(str(data))
        said.append(
            f"With sigma² fixed, on {name}, the mean number of active directions differs from the "
            f"closed form by at most {number(off[0])} for exact EM and {number(off[1])} for AEVB, "
            f"over {len(rows)} sigma²."
        )
    return said


def _learned_table(learned: pd.DataFrame) -> Tabular:
    rows = [
        {
            "size": row.size,
            "fitted by": row.algorithm,
            "shortfall [95 %]": span(row, "shortfall", "low", "high", 4),
            "limit": number(row.limit, 3),
            "gap [95 %]": span(row, "gap", "gap_low", "gap_high", 4),
            "diagonal gap [95 %]": span(row, "diagonal_gap", "diagonal_low", "diagonal_high", 4),
        }
        for row in learned.itertuples(index=False)
    ]
    return tabular(rows, "size")


def _graded_table(graded: pd.DataFrame) -> Tabular:
    rows = [
        {
            "N_z": f"{row.latent_dim:g}",
            "estimator": ESTIMATORS[row.estimator].label,
            "samples": f"{row.samples:g}",
            "bias": _bias(row.bias, sign=True),
            "± se": _bias(row.bias_se),
            "spread": _bias(row.spread),
            "exact": number(row.exact),
            "second moment": "∞" if np.isinf(row.second_moment) else number(row.second_moment),
        }
        for row in _at_draws(graded).itertuples()
    ]
    return tabular(rows, "N_z")


def _collapsed_table(collapsed: pd.DataFrame) -> Tabular:
    rows = [
        {
            "data": row.data if row.data == "simulated" else label(row.data),
            "sigma²": f"{row.variance:.3g}",
            "theory": number(row.theory),
            "exact EM [95 %]": span(row, "em", "em_low", "em_high", 2),
            "AEVB [95 %]": span(row, "aevb", "aevb_low", "aevb_high", 2),
            "AEVB's shortfall": number(row.aevb_shortfall, 3),
        }
        for row in collapsed.itertuples()
    ]
    return tabular(rows, "data")


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What page and paper show of the linear-Gaussian model."""
    learned, graded = numbers["linear"], numbers["linear_estimators"]
    collapsed = numbers["linear_collapse"]
    blocks = [
        ("text", "linear-model"),
        ("list", _reached(learned) + _tight(learned) + _collapse(collapsed)),
        ("figure", "linear"),
        ("list", _estimators(graded)),
        ("figure", "linear_estimators"),
        ("details", ("Tables of the linear-Gaussian model", _tables())),
    ]
    tables = {
        "linear": _learned_table(learned),
        "linear_estimators": _graded_table(graded),
        "linear_collapse": _collapsed_table(collapsed),
    }
    facts = {"linear_seeds": plural(len(gathered.study.seeds), "seed")}
    section = Section(
        "linear", "The linear-Gaussian model: PPCA, EM and the linear VAE", blocks, 90
    )
    return Part(facts, tables, [section])


def _tables() -> list[tuple[str, str]]:
    return [("table", name) for name in ("linear", "linear_estimators", "linear_collapse")]
