"""What the tables say: gradients against the truth, ratios of variances, and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ...core.words import joined
from ...paper.verdicts import Check, interval
from ...results import Gathered
from . import STUDY
from .catalogue import DISTRIBUTIONS
from .entry import FAMILIES, FUNCTIONS, Distribution, unbounded
from .expectation import ACCURACY

LEVEL = 0.05  # of all tests of samples together, by Bonferroni's correction
#: pairs that are compared: (numerator, denominator)
PAIRS = [
    ("pathwise", "score"),
    ("pathwise", "score_baseline"),
    ("torch", "score"),
    ("torch", "score_baseline"),
    ("torch", "pathwise"),
]
PLACE = ["family", "distribution", "function"]


def measured(gathered: Gathered) -> pd.DataFrame:
    """The tables of gradients below each other, columns GRADIENTS; empty without the study."""
    tables = gathered.of("reparameterisation")
    frames = [tables[family].frame for family in FAMILIES if family in tables]
    columns = STUDY.columns["reparameterisation"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(columns))


def gradients(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per distribution, f, parameter and estimator, over all seeds. Columns: those, and

    exact     the gradient by quadrature
    mean, se  of the estimates, and its standard error
    off       (mean - exact) in standard errors of that difference
    bias      (mean - exact) in standard deviations of one estimate
    variance  of one estimate
    samples   how many there are
    note      why an estimate has no variance, or is biased by theory
    """
    by = ["distribution", "function", "parameter", "estimator"]
    found = (
        measured(gathered)
        .groupby(by, sort=False)
        .agg(
            exact=("exact", "first"),
            mean=("mean", "mean"),
            variance=("variance", "mean"),
            samples=("samples", "sum"),
        )
        .reset_index()
    )
    found["se"] = np.sqrt(found["variance"].astype(float) / found["samples"])
    uncertain = np.hypot(found["se"], ACCURACY * np.maximum(1, found["exact"].abs()))
    found["off"] = (found["mean"] - found["exact"]) / uncertain
    found["bias"] = found["off"] / np.sqrt(found["samples"])
    found["note"] = [_note(gathered, row) for row in found.itertuples()]
    found["family"] = [DISTRIBUTIONS[key].family for key in found["distribution"]]
    columns = [*PLACE, "parameter", "estimator", "exact", "mean", "se", "off", "bias", "variance"]
    return found[[*columns, "samples", "note"]]


def _note(gathered: Gathered, row) -> str:
    entry = DISTRIBUTIONS[row.distribution]
    if row.estimator in ("pathwise", "torch"):
        return "infinite variance" if endless(gathered, row.distribution, row.function) else ""
    if row.parameter in entry.moves:
        return "biased: the support moves"
    return "infinite variance" if entry.infinite else ""


def endless(gathered: Gathered, key: str, function: str) -> bool:
    """Whether the pathwise gradient of f has an infinite variance, by theory."""
    phi = STUDY.chosen(gathered.study)[key]
    return unbounded(DISTRIBUTIONS[key], FUNCTIONS[function], phi)


def by_seed(gathered: Gathered) -> Iterator[tuple[str, str, str, str, list[str], np.ndarray]]:
    """(distribution, f, numerator, denominator, parameters, ratio per seed) for each of PAIRS.

    A variance is summed over the parameters that both estimators have: the trace of the
    covariance. Those that move the support are left out of a comparison with the score function,
    which is biased there. Nothing where the denominator is 0.
    """
    by = ["distribution", "function"]
    for (key, function), part in measured(gathered).groupby(by, sort=False):
        wide = part.pivot(index="seed", columns=["estimator", "parameter"], values="variance")
        for one, other in PAIRS:
            if not {one, other} <= set(part["estimator"]):
                continue
            moves = () if other == "pathwise" else DISTRIBUTIONS[key].moves
            shared = [name for name in wide[one] if name in wide[other] and name not in moves]
            below = wide[other][shared].sum(axis=1)
            if shared and (below > 0).all():
                ratio = wide[one][shared].sum(axis=1) / below
                yield key, function, one, other, shared, ratio.to_numpy()


def ratios(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per distribution, f and pair of estimators: the ratio of their variances, its mean
    and 95 % interval over seeds (verdicts.interval), and for which parameters."""
    rows = [
        {
            "family": DISTRIBUTIONS[key].family,
            "distribution": key,
            "function": function,
            "estimator": by,
            "against": against,
            **dict(zip(("ratio", "low", "high"), interval(Check(key, values)), strict=True)),
            "seeds": len(values),
            "parameters": " ".join(shared),
            "note": _endless(gathered, key, function, against),
        }
        for key, function, by, against, shared, values in by_seed(gathered)
    ]
    columns = [*PLACE, "estimator", "against", "ratio", "low", "high", "seeds", "parameters"]
    return pd.DataFrame(rows, columns=[*columns, "note"])


def _endless(gathered: Gathered, key: str, function: str, against: str) -> str:
    """Which of the two variances is infinite by theory, so that no sample shows the ratio."""
    if endless(gathered, key, function):
        return "the pathwise variance is infinite"
    infinite = DISTRIBUTIONS[key].infinite and against != "pathwise"
    return "the score function's variance is infinite" if infinite else ""


def tests(gathered: Gathered) -> pd.DataFrame:
    """The Kolmogorov-Smirnov tests, columns TESTS; `level` is that of one test of so many."""
    tables = list(gathered.of("reparameterisation_tests").values())
    columns = list(STUDY.columns["reparameterisation_tests"])
    found = tables[0].frame if tables else pd.DataFrame(columns=columns)
    return found.assign(level=LEVEL / max(1, len(found)))


def catalogue(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per distribution:

    family, distribution
    g             as the paper has it
    gradient      parameters for which g gives one
    none          those for which it does not
    torch         those for which torch's rsample does
    score         whether the score function is an unbiased estimator of finite variance
    p_value       least of the tests of its samples
    rejected      whether one of them rejects, at LEVEL for all tests together
    off           of its pathwise gradients, the one furthest from the truth: standard errors
    estimates     how many they are, over f and parameters
    """
    table, tested, rows = gradients(gathered, paper), tests(gathered), []
    for key, mine in table.groupby("distribution", sort=False):
        entry = DISTRIBUTIONS[key]
        own = tested[tested["distribution"] == key]
        off = mine[(mine["estimator"] == "pathwise") & (mine["note"] == "")]["off"].abs()
        rows.append(
            {
                "family": FAMILIES[entry.family],
                "distribution": entry.title,
                "g": entry.shown,
                "gradient": joined(entry.covered),
                "none": joined(entry.fixed),
                "torch": joined(entry.parameters if entry.torch else []),
                "score": _score(entry),
                "p_value": own["p_value"].min(),
                "rejected": bool((own["p_value"] < own["level"]).any()),
                "off": off.max(),
                "estimates": len(off),
            }
        )
    columns = ["family", "distribution", "g", "gradient", "none", "torch", "score", "p_value"]
    return pd.DataFrame(rows, columns=[*columns, "rejected", "off", "estimates"])


def _score(entry: Distribution) -> str:
    if entry.moves:
        return f"biased for {joined(entry.moves)}: the support moves"
    return "infinite variance" if entry.infinite else "unbiased"
