"""What the study measured, in four tables. Intervals are those of claims: over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...paper.verdicts import Check, interval
from ...results import Gathered
from . import FLOWS, TABLE

KHAT_LIMIT = 0.7  # Vehtari et al. 2024
MODEL = ["latent_dim", "family", "k", "gradient"]
VALUES = ("log_p", "bound", "gain")
POSTERIORS = [*MODEL, "seeds", "points"]
POSTERIORS += [f"{name}{end}" for name in VALUES for end in ("", "_low", "_high")]
POSTERIORS += ["log_p_se", "k_hat_bad", "tenfold", "exact"]
GAPS = ["latent_dim", "family", "seeds", "points", "method"]
GAPS += [f"{name}{end}" for name in ("gap", "share") for end in ("", "_low", "_high")]
GAPS += ["loose"]
SIGNALS = ["latent_dim", "k", "gradient", "seeds", "ratio", "ratio_low", "ratio_high"]
YARDSTICK = ["k", "log_p", "log_p_se", "points_se", "epochs", "published", "published_epochs"]
YARDSTICK += ["points", "k_hat_bad", "tenth", "training_seconds"]


class Model(NamedTuple):
    """Models of one kind, one per seed: arrays (S, N) over seeds and test points."""

    latent_dim: int
    family: str
    k: int
    gradient: str
    seeds: tuple[int, ...]
    log_p: np.ndarray  # by importance sampling
    bound: np.ndarray  # L_1
    loose: np.ndarray  # (S,): what the last tenfold of draws added to the mean of log_p, or 0
    exact: np.ndarray  # by quadrature; not a number where N_z is too large
    frame: pd.DataFrame

    @property
    def key(self) -> tuple:
        """N_z, family, k and gradient."""
        return self[:4]


def _rows(gathered: Gathered, fit: str) -> pd.DataFrame:
    frames = [table.frame for table in gathered.of("posteriors").values()]
    if not frames:
        return pd.DataFrame()
    whole = pd.concat(frames, ignore_index=True)
    return whole[whole["fit"] == fit]


def models(gathered: Gathered, fit: str = "encoder") -> dict[tuple, Model]:
    """All models by key, those with flows first; with `fit` own, q fitted to test points."""
    rows, found = _rows(gathered, fit), {}
    if rows.empty:
        return found
    for key, part in rows.groupby(MODEL, sort=False):
        part = part.sort_values(["seed", "point"])
        seeds = tuple(int(seed) for seed in part["seed"].unique())
        log_p, bound, tenth, exact = (
            part[name].to_numpy().reshape(len(seeds), -1)
            for name in ("log_p", "bound", "tenth", "exact")
        )
        loose = np.maximum(0, (log_p - tenth).mean(1))
        case = (int(key[0]), key[1], int(key[2]), key[3])
        found[case] = Model(*case, seeds, log_p, bound, loose, exact, part)
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[0][2])))


def baseline(found: dict[tuple, Model], latent_dim: int) -> Model | None:
    """The diagonal q that L_1 trained."""
    return found.get((latent_dim, "diagonal", 1, "plain"))


def gain(better: Model, worse: Model, careful: bool = True) -> np.ndarray:
    """log p(x) of one model minus that of another, (S,), means over the same test points, for the
    seeds of both. With `careful`, what the last tenfold of draws added to the worse one's estimate
    counts against the better one: an estimate by importance sampling is too low on average, and
    that of a poor proposal more so."""
    both = [seed for seed in better.seeds if seed in worse.seeds]
    own, other = ([model.seeds.index(seed) for seed in both] for model in (better, worse))
    values = better.log_p[own].mean(1) - worse.log_p[other].mean(1)
    return values - worse.loose[other] if careful else values


def _with(name: str, values: Sequence[float]) -> dict[str, float]:
    ends = interval(Check("", list(values)))
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def posteriors(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per N_z, family of q(z|x), k and gradient: nats per datapoint, mean over test points
    and seeds, _low and _high the 95 % interval over seeds.

    log_p, bound  log p(x) by importance sampling; L_1
    gain          log_p minus that of the diagonal q that L_1 trained, seed by seed
    log_p_se      Monte Carlo standard error of log_p
    k_hat_bad     share of test points with a k-hat above 0.7
    tenfold       what the last tenfold of draws added to log_p
    exact         log p(x) by quadrature, where N_z allows it
    """
    found, rows = models(gathered), []
    for model in found.values():
        first = baseline(found, model.latent_dim)
        row = dict(zip(MODEL, model.key, strict=True))
        row |= dict(zip(("seeds", "points"), model.log_p.shape, strict=True))
        row |= _with("log_p", model.log_p.mean(1)) | _with("bound", model.bound.mean(1))
        if first is not None and first is not model:
            row |= _with("gain", gain(model, first, careful=False))
        part = model.frame
        row["log_p_se"] = (part["log_p_se"] ** 2).sum() ** 0.5 / len(part)
        row["k_hat_bad"] = (part["k_hat"] > KHAT_LIMIT).mean()
        row["tenfold"] = (part["log_p"] - part["tenth"]).mean()
        rows.append(row | {"exact": part["exact"].mean()})
    return pd.DataFrame(rows, columns=POSTERIORS)


class Gap(NamedTuple):
    """The approximation gap of a family at one N_z, (S,) over seeds, means over test points."""

    latent_dim: int
    family: str
    gap: np.ndarray  # log p(x) minus the bound of the q fitted to each point
    diagonal: np.ndarray  # the same of the best diagonal Gaussian
    loose: np.ndarray  # by how much log p(x) may be too low; 0 for quadrature
    points: int
    method: str

    @property
    def closed(self) -> np.ndarray:
        """Nats of the diagonal's gap that the family closes."""
        return self.diagonal - self.gap

    def share(self, careful: bool = False) -> np.ndarray:
        """The same as a share of that gap; with `careful`, of the gap if log p(x) is too low."""
        return self.closed / (self.diagonal + (self.loose if careful else 0))


def own_gaps(gathered: Gathered) -> Iterator[Gap]:
    """Every family fitted to test points, on the decoder of the diagonal q."""
    found = models(gathered, "own")
    for latent_dim in sorted({key[0] for key in found}):
        fits = {key[1]: model for key, model in found.items() if key[0] == latent_dim}
        first = next(iter(fits.values()))
        if np.isfinite(first.exact).all():
            log_p, loose, method = first.exact.mean(1), np.zeros(len(first.seeds)), "quadrature"
        else:  # each is a lower bound on average: seed by seed, the highest
            means = np.stack([model.log_p.mean(1) for model in fits.values()])
            best = means.argmax(0)
            log_p, method = means.max(0), "importance"
            loose = np.stack([model.loose for model in fits.values()])
            loose = loose[best, np.arange(len(best))]
        diagonal = log_p - fits["diagonal"].bound.mean(1)
        for family, model in fits.items():
            gap = log_p - model.bound.mean(1)
            points = model.bound.shape[1]
            yield Gap(latent_dim, family, gap, diagonal, loose, points, method)


def gaps(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """One row per N_z and family fitted to test points one by one, on the same decoder.

    gap     log p(x) minus L_1, nats per datapoint, with its interval over seeds: the approximation
            gap of the family, as far as the fit found its optimum
    share   of the diagonal Gaussian's gap that the family closes
    method  of log p(x): quadrature, or importance: the highest of the estimates from these q
    loose   what the last tenfold of draws added to that log p(x), at most over seeds
    """
    rows = []
    for each in own_gaps(gathered):
        row = {"latent_dim": each.latent_dim, "family": each.family, "seeds": len(each.gap)}
        row |= {"points": each.points, "method": each.method, "loose": each.loose.max()}
        row |= _with("gap", each.gap)
        if each.family in FLOWS:
            row |= _with("share", each.share())
        rows.append(row)
    return pd.DataFrame(rows, columns=GAPS)


def ratios(gathered: Gathered) -> dict[tuple[int, int, str], np.ndarray]:
    """By N_z, k and gradient: the ratio of signal to noise, (S,).

    Both gradients have the same mean, so that the signal of either is taken from the one whose
    noise is the less; 0 where the estimate of the squared signal is not above 0."""
    table, found = gathered.of("posteriors_gradients").get(TABLE), {}
    if table is None:
        return found
    for (nz, k), rows in table.frame.groupby(["latent_dim", "k"], sort=False):
        quiet = rows.loc[rows.groupby("seed")["noise"].idxmin()].set_index("seed")
        signal = quiet["signal"].clip(lower=0)
        for gradient, own in rows.groupby("gradient", sort=False):
            noise = own.set_index("seed")["noise"]
            found[int(nz), int(k), gradient] = np.sqrt(signal / noise).to_numpy()
    return found


def gradients(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per N_z, k and gradient: the ratio of signal to noise of the encoder's gradient, mean
    over seeds with its 95 % interval."""
    rows = [
        {"latent_dim": nz, "k": k, "gradient": name, "seeds": len(values)} | _with("ratio", values)
        for (nz, k, name), values in ratios(gathered).items()
    ]
    return pd.DataFrame(rows, columns=SIGNALS)


def published() -> pd.DataFrame:
    """What others report on MNIST: see published.csv."""
    return pd.read_csv(Path(__file__).with_name("published.csv"), comment="#")


def yardstick(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per k: log p(x) of a model of binarised images, and the published value with the
    epochs that it took. log_p_se: Monte Carlo; points_se: over test points."""
    table = gathered.of("posteriors_yardstick").get(TABLE)
    if table is None:
        return pd.DataFrame(columns=YARDSTICK)
    theirs = published().set_index("k")[["log_p", "epochs"]]
    theirs.columns = ["published", "published_epochs"]
    return table.frame.join(theirs, on="k")[YARDSTICK]
