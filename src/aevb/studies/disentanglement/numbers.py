"""What the study measured, in three tables. Intervals are those of the verdicts, over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...paper.verdicts import Check, interval, over_seeds
from ...results import Gathered
from . import KIND, STUDY, Setting
from .sprites import FACTORS

METRICS = {"mig": "MIG", "vote": "FactorVAE metric"}
NAMES = {"beta_vae": "beta-VAE", "factor_vae": "FactorVAE"}
CASE = ["method", "weight", "seeds"]
GRADES = ("error", "mig", "vote", "live")  # each with its interval
TERMS = ("kl", "information", "correlation", "own", "density_ratio")
MODELS = CASE + [f"{name}{end}" for name in GRADES for end in ("", "_low", "_high")]
PARTS = CASE + [f"{name}{end}" for name in TERMS for end in ("", "_low", "_high")]
PARTS += ["residual", "residual_se"]
EQUAL = ["gamma", "metric", "difference", "low", "high", "seeds", "beyond"]
TOLD = ["method", "weight", "factor", "seeds", "best", "best_low", "best_high"]
TOLD += ["gap", "gap_low", "gap_high"]
SPREAD = ["method", "metric", "seeds", "sd_seeds", "sd_weights", "share", "low", "high"]


def by_setting(gathered: Gathered) -> dict[Setting, pd.DataFrame]:
    """The rows of every setting by seed, beta-VAE first, with `correlation`, the total correlation
    KL(q(z) || p(z)) less the sum over latent variables; none where the study was not run."""
    tables = gathered.of(KIND)
    found = {}
    for setting in STUDY.all_settings(gathered.study) if tables else ():
        if setting.name in tables:
            frame = tables[setting.name].frame.set_index("seed")
            found[setting] = frame.assign(correlation=frame["marginal"] - frame["own"])
    return found


def of_method(gathered: Gathered, method: str) -> dict[float, pd.DataFrame]:
    """The rows of one method by weight, rising."""
    found = by_setting(gathered).items()
    return {setting.weight: frame for setting, frame in found if setting.method == method}


def _averaged(setting: Setting, frame: pd.DataFrame, names: Sequence[str]) -> dict:
    row = {**setting._asdict(), "seeds": len(frame)}
    for name in names:
        row |= over_seeds(name, frame[name])
    return row


def models(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per setting: GRADES as in the tables of models, means over seeds with intervals
    (_low, _high)."""
    found = by_setting(gathered).items()
    rows = [_averaged(setting, frame, GRADES) for setting, frame in found]
    return pd.DataFrame(rows, columns=MODELS)


def terms(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """One row per setting, what the mean KL divergence is made of; nats per image.

    TERMS                  as in the tables of models and of `by_setting`, means over seeds with
                           intervals (_low, _high)
    residual, residual_se  information + KL(q(z) || p(z)) - kl, and its Monte Carlo error
    """
    rows = []
    for setting, frame in by_setting(gathered).items():
        row = _averaged(setting, frame, TERMS)
        row["residual"] = (frame["information"] + frame["marginal"] - frame["kl"]).mean()
        errors = (frame[["information_se", "marginal_se"]] ** 2).sum().sum()
        rows.append(row | {"residual_se": errors**0.5 / len(frame)})
    return pd.DataFrame(rows, columns=PARTS)


def told(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """One row per setting and factor, means over seeds with intervals: `best`, the share of the
    factor's entropy that the latent variable which says most of it says, and `gap`, by how much
    that is more than the next says: its part of MIG."""
    rows = []
    for setting in by_setting(gathered):
        shares = np.sort(gathered.of(KIND)[setting.name].arrays["shares"], axis=1)
        for k, factor in enumerate(FACTORS):
            row = {**setting._asdict(), "factor": factor, "seeds": len(shares)}
            row |= over_seeds("best", shares[:, -1, k])
            rows.append(row | over_seeds("gap", shares[:, -1, k] - shares[:, -2, k]))
    return pd.DataFrame(rows, columns=TOLD)


def paired(gathered: Gathered, weight: float, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """FactorVAE's metric at one gamma less that of beta-VAE at the same reconstruction error, seed
    by seed; and whether that error is beyond those of beta-VAE.

    Between the betas of a seed the metric is interpolated linearly in the error; beyond them that
    of the nearest counts.
    """
    ours = of_method(gathered, "factor_vae")[weight]
    theirs = pd.concat(of_method(gathered, "beta_vae").values())
    found, beyond = [], []
    for seed, row in ours.iterrows():
        own = theirs.loc[[seed]].sort_values("error")
        found.append(row[metric] - np.interp(row["error"], own["error"], own[metric]))
        beyond.append(not own["error"].iloc[0] <= row["error"] <= own["error"].iloc[-1])
    return np.array(found), np.array(beyond)


def equal(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """FactorVAE less beta-VAE at equal reconstruction, per gamma and metric; `beyond` counts the
    seeds whose error is outside of those of beta-VAE."""
    rows = []
    for weight in of_method(gathered, "factor_vae"):
        for metric, name in METRICS.items():
            values, beyond = paired(gathered, weight, metric)
            mean, low, high = interval(Check("", list(values)))
            row = {"gamma": weight, "metric": name, "difference": mean, "low": low, "high": high}
            rows.append(row | {"seeds": len(values), "beyond": int(beyond.sum())})
    return pd.DataFrame(rows, columns=EQUAL)


def variances(table: np.ndarray) -> tuple[float, float]:
    """Of a metric (weights, seeds): variance over seeds within a weight, and over weights.

    The latter is that of the means less what their seeds give them: below 0 where the means differ
    by less. A seed has the same start and minibatches at each weight, so this is its interaction
    with the weight alone (two-way analysis of variance, one value per cell).
    """
    weights, seeds = table.shape
    means = table.mean(1)
    rest = table - means[:, None] - table.mean(0) + table.mean()
    interaction = float((rest**2).sum()) / max((weights - 1) * (seeds - 1), 1)
    between = float(means.var(ddof=1)) - interaction / seeds
    return float(table.var(axis=1, ddof=1).mean()), between


def share(table: np.ndarray) -> float:
    """Share of the seeds in the sum of both variances, above 1 where the latter is below 0; not a
    number where nothing varies."""
    within, between = variances(table)
    return within / (within + between) if within + between > 0 else np.nan


def jackknifed(table: np.ndarray) -> np.ndarray:
    """Pseudo-values of `share`, one per seed, whose mean is the jackknife estimate (Tukey 1958);
    none with fewer than three seeds."""
    n = table.shape[1]
    if n < 3:
        return np.array([])
    without = np.array([share(np.delete(table, seed, axis=1)) for seed in range(n)])
    return n * share(table) - (n - 1) * without


def metric_table(gathered: Gathered, method: str, metric: str) -> np.ndarray:
    """A metric of one method, (weights, seeds)."""
    frames = of_method(gathered, method).values()
    return np.array([frame[metric].to_numpy() for frame in frames])


def spread(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """Per method and metric: standard deviation over seeds within a weight, over weights, and the
    share of the seeds in the variance, with the interval of its jackknife."""
    rows = []
    for method in NAMES if by_setting(gathered) else ():
        for metric, name in METRICS.items():
            table = metric_table(gathered, method, metric)
            if table.shape[0] < 2 or table.shape[1] < 2:
                continue
            within, between = variances(table)
            values = jackknifed(table)
            _, low, high = interval(Check("", list(values)))
            row = {"method": NAMES[method], "metric": name, "seeds": table.shape[1]}
            row |= {
                "sd_seeds": within**0.5,
                "sd_weights": max(0.0, between) ** 0.5,
                "share": share(table),
            }
            rows.append(row | {"low": low, "high": high})
    return pd.DataFrame(rows, columns=SPREAD)
