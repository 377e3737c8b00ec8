"""What the study measured, in two tables. Intervals are Student's t over seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ...results import Gathered
from ..weights.numbers import student
from .columns import METHODS, SAMPLED

#: with intervals over seeds: share of high frequencies relative to the test images', and so on
MEASURED = ("detail", "frechet", "covered", "entropy", "doubt", "seconds")
COLUMNS = ["method", "seeds", "samples", "spread", "spread_low", "spread_high"]
COLUMNS += [f"{name}{end}" for name in MEASURED for end in ("", "_low", "_high")]
DIFFERENCES = ["vae", "quantity", "value", "low", "high", "seeds"]
WHERE = ("equal samples", "equal seconds")


def by_seed(gathered: Gathered) -> dict[int, pd.DataFrame]:
    """The rows of every seed, rising, with `detail`: the share of high frequencies relative to
    that of the test images."""
    found = {
        int(re.sub(r"\D", "", name)): table.frame for name, table in gathered.of("gan").items()
    }
    return {
        seed: frame.assign(detail=frame["high"] / frame["test_high"])
        for seed, frame in sorted(found.items())
    }


def ends(gathered: Gathered) -> dict[str, pd.DataFrame]:
    """By method: its last row of every seed, indexed by seed."""
    last = {
        seed: frame.groupby("method", sort=False).tail(1)
        for seed, frame in by_seed(gathered).items()
    }
    if not last:
        return {}
    rows = pd.concat(last, names=["seed", "row"]).reset_index("seed").set_index("seed")
    return {method: rows[rows["method"] == method] for method in METHODS}


def methods(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per method, at the end of training: means over seeds with intervals (_low, _high).

    detail      share of spectral energy above half the Nyquist frequency, relative to the data's
    frechet     Frechet distance to test images in the features of a small classifier of this
                project
    spread      standard deviation of the logarithm of that over seeds, with the interval that
                chi-square gives for normal values: 0.1 is about 10 per cent
    covered     classes with at least 1 % of the samples
    entropy     of the shares of classes, nats
    doubt       mean entropy of p(class|x), nats
    seconds     of one core, training
    """
    rows = []
    for method, last in ends(gathered).items():
        row = {"method": method, "seeds": len(last), "samples": last["samples"].max()}
        row |= dict(zip(COLUMNS[3:6], spread_of(last["frechet"]), strict=True))
        for name in MEASURED:
            names = (name, f"{name}_low", f"{name}_high")
            row |= dict(zip(names, student(last[name]), strict=True))
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def spread_of(values: pd.Series) -> tuple[float, float, float]:
    """Standard deviation of the logarithms and its 95 % interval (chi-square); no number for one
    value, or where all are the same."""
    n, sd = len(values), float(np.log(values).std(ddof=1))
    if n < 2 or sd == 0:
        return np.nan, np.nan, np.nan
    low, high = (sd * ((n - 1) / stats.chi2.ppf(q, n - 1)) ** 0.5 for q in (0.975, 0.025))
    return sd, low, high


def at_seconds(frame: pd.DataFrame, method: str, seconds: float) -> float:
    """log of the Frechet distance of a method after so many seconds of training: between its
    evaluations, along a line over the logarithm of seconds."""
    rows = frame[frame["method"] == method]
    return float(np.interp(np.log(seconds), np.log(rows["seconds"]), np.log(rows["frechet"])))


def log_ratios(gathered: Gathered, vae: str, where: str) -> np.ndarray:
    """log of (Frechet distance of the VAE's samples / of the GAN's), seed by seed: at the end, or
    when the faster of the two ends."""
    found = []
    for frame in by_seed(gathered).values():
        last = frame.groupby("method")["seconds"].max()
        values = [
            at_seconds(frame, m, last[m] if where == WHERE[0] else last[[vae, "gan"]].min())
            for m in (vae, "gan")
        ]
        found.append(values[0] - values[1])
    return np.array(found)


def off_median(values: np.ndarray) -> np.ndarray:
    """Distances from the median: what the test of Brown and Forsythe (1974) compares in place of
    variances."""
    return np.abs(values - np.median(values))


def spread(gathered: Gathered, vae: str) -> np.ndarray:
    """Distance of the GAN's entropy of classes from its median over seeds, less that of the VAE's,
    seed by seed."""
    last = ends(gathered)
    own, other = (off_median(last[method]["entropy"].to_numpy()) for method in ("gan", vae))
    return own - other


def differences(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The GAN against the VAE's means and draws, seed by seed, with the interval of the mean; of
    ratios, of the geometric mean."""
    rows, last = [], ends(gathered)
    for vae in SAMPLED[:2] if last else ():
        first = {"vae": vae, "seeds": len(last[vae])}
        ratios = {
            f"Frechet distance, VAE over GAN, {where}": log_ratios(gathered, vae, where)
            for where in WHERE
        }
        ratios["high frequencies, GAN over VAE"] = np.log(
            last["gan"]["detail"] / last[vae]["detail"]
        )
        ratios["seconds, GAN over VAE"] = np.log(last["gan"]["seconds"] / last[vae]["seconds"])
        plain = {"entropy of classes, VAE less GAN": last[vae]["entropy"] - last["gan"]["entropy"]}
        plain["its distance from the median, GAN less VAE"] = spread(gathered, vae)
        for quantity, values in (ratios | plain).items():
            summed = np.array(student(values))
            summed = np.exp(summed) if quantity in ratios else summed
            rows.append(
                {**first, "quantity": quantity, **dict(zip(DIFFERENCES[2:5], summed, strict=True))}
            )
    return pd.DataFrame(rows, columns=DIFFERENCES)
