"""What the study measured, in two tables. Intervals are Student's t over seeds, unless another is
named."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ...paper.verdicts import student
from ...results import Gathered
from .columns import METHODS, SAMPLED

#: with intervals over seeds: share of high frequencies relative to the test images', and so on
MEASURED = ("detail", "frechet", "covered", "entropy", "doubt", "seconds")
COLUMNS = ["method", "seeds", "samples", "spread", "spread_low", "spread_high"]
COLUMNS += [f"{name}{end}" for name in MEASURED for end in ("", "_low", "_high")]
DIFFERENCES = ["vae", "quantity", "value", "low", "high", "seeds"]
WHERE = ("equal samples", "equal seconds")
SPREAD = "standard deviation of that entropy over seeds, GAN over VAE"
LEAST = 3  # seeds whose standard deviations are compared
SAME = 1e-9  # a standard deviation below this is what rounding leaves of equal values


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
    """One row per method, at the end of training: means over seeds with intervals (_low, _high);
    none for the data, whose images are the same for every seed.

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
        if method == "data":  # columns that are left out are NaN
            rows.append(row | {name: last[name].iloc[0] for name in MEASURED})
            continue
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
    if n < 2 or sd < SAME:
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


def compared(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """log of (standard deviation of a / of b), and half the width of its 95 % interval; no numbers
    for fewer than LEAST values each.

    Over the log of the true ratio it is Fisher's z (1924), 1/2 log F with n - 1 and n - 1 degrees
    of freedom, for normal values. Its law is symmetric. Pairs of a and b that correlate make the
    interval too wide, never too narrow. Where equal values have no deviation, SAME stands for it.
    """
    n = len(a)
    if n < LEAST:
        return np.nan, np.nan
    own, other = (max(float(np.std(values, ddof=1)), SAME) for values in (a, b))
    return float(np.log(own / other)), float(np.log(stats.f.ppf(0.975, n - 1, n - 1)) / 2)


def spread(gathered: Gathered, vae: str) -> tuple[float, float]:
    """`compared` of the GAN's entropy of classes over seeds and the VAE's."""
    last = ends(gathered)
    return compared(*(last[method]["entropy"] for method in ("gan", vae)))


def differences(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """The GAN against the VAE's means and draws, seed by seed, with the interval of the mean; of
    ratios, of the geometric mean; of standard deviations, by F (`compared`)."""
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
        found = {quantity: np.exp(student(values)) for quantity, values in ratios.items()}
        found |= {quantity: student(values) for quantity, values in plain.items()}
        log, half = spread(gathered, vae)
        found[SPREAD] = np.exp([log, log - half, log + half])
        for quantity, summed in found.items():
            rows.append(
                {**first, "quantity": quantity, **dict(zip(DIFFERENCES[2:5], summed, strict=True))}
            )
    return pd.DataFrame(rows, columns=DIFFERENCES)
