"""What the study measured, in four tables. Intervals are those of claims: over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...paper.verdicts import over_seeds
from ...results import Gathered
from . import FLOWS, TABLE

KHAT_LIMIT = 0.7  # Vehtari et al. 2024
MODEL = ["latent_dim", "family", "k", "gradient"]
VALUES = ("log_p", "bound", "gain")
POSTERIORS = [*MODEL, "seeds", "points"]
POSTERIORS += [f"{name}{end}" for name in VALUES for end in ("", "_low", "_high")]
POSTERIORS += [
    "log_p_points_se",
    "gain_points_se",
    "method",
    "log_p_se",
    "tenfold",
    "k_hat_bad",
    "by_encoder",
    "encoder_bad",
]
GAPS = ["latent_dim", "family", "seeds", "points", "method"]
GAPS += [f"{name}{end}" for name in ("gap", "share") for end in ("", "_low", "_high")]
GAPS += ["gap_points_se", "share_points_se", "loose", "late"]
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
    log_p: np.ndarray  # by quadrature, or importance sampling from a flow fitted to each point
    loose: np.ndarray  # (S,): what the last tenfold of draws added to the mean of log_p, or 0
    method: str
    bounds: dict[str, np.ndarray]  # L_1 by q: the encoder's, or of a family fitted
    late: dict[str, np.ndarray]  # what the last quarter of the fit's steps added to them
    own: pd.DataFrame  # rows of the encoder's q
    best: pd.DataFrame  # rows of the q that log_p comes from

    @property
    def key(self) -> tuple:
        """N_z, family, k and gradient."""
        return self[:4]


def models(gathered: Gathered) -> dict[tuple, Model]:
    """All models by key, by N_z and then by k."""
    frames, found = [table.frame for table in gathered.of("posteriors").values()], {}
    if not frames:
        return found
    for key, rows in pd.concat(frames, ignore_index=True).groupby(MODEL, sort=False):
        rows = rows.sort_values(["seed", "point"])
        seeds = tuple(int(seed) for seed in rows["seed"].unique())
        by = dict(list(rows.groupby("q", sort=False)))
        bounds = {q: _apart(part, "bound", seeds) for q, part in by.items()}
        late = {q: _apart(part, "late", seeds) for q, part in by.items()}
        exact = _apart(by["encoder"], "exact", seeds)
        case = (int(key[0]), key[1], int(key[2]), key[3])
        if np.isfinite(exact).all():
            known = (exact, np.zeros(len(seeds)), "quadrature")
            best = by["encoder"]
        else:
            best = by["planar"]
            log_p = _apart(best, "log_p", seeds)
            loose = np.maximum(0, (log_p - _apart(best, "tenth", seeds)).mean(1))
            known = (log_p, loose, "importance")
        found[case] = Model(*case, seeds, *known, bounds, late, by["encoder"], best)
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[0][2])))


def _apart(rows: pd.DataFrame, name: str, seeds: tuple) -> np.ndarray:
    """A column of rows in order of seed and point, (S, N)."""
    return rows[name].to_numpy(float).reshape(len(seeds), -1)


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


def points_se(values: np.ndarray) -> float:
    """Standard error over test points of a mean of values (S, N), whose seeds are averaged."""
    return values.mean(0).std(ddof=1) / values.shape[1] ** 0.5


def posteriors(
    gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()
) -> pd.DataFrame:
    """One row per N_z, family of q(z|x), k and gradient: nats per datapoint, mean over test points
    and seeds, _low and _high the 95 % interval over seeds.

    log_p, bound  log p(x); L_1 of the encoder's q
    gain          log_p minus that of the diagonal q that L_1 trained, seed by seed
    method        of log_p: quadrature, or importance: a planar flow fitted to each point
    log_p_se      its Monte Carlo standard error; 0 for quadrature
    tenfold       what the last tenfold of draws added to it
    ..._points_se standard error over test points, of the mean over seeds
    k_hat_bad     share of test points with a k-hat above 0.7 there
    by_encoder    log p(x) by importance sampling from the encoder's q, which is lower on average,
                  and encoder_bad, the share of test points with a k-hat above 0.7
    """
    found, rows = models(gathered), []
    for model in found.values():
        first = baseline(found, model.latent_dim)
        row = dict(zip(MODEL, model.key, strict=True))
        row |= dict(zip(("seeds", "points"), model.log_p.shape, strict=True))
        row |= over_seeds("log_p", model.log_p.mean(1))
        row["log_p_points_se"] = points_se(model.log_p)
        row |= over_seeds("bound", model.bounds["encoder"].mean(1))
        if first is not None and first is not model:
            row |= over_seeds("gain", gain(model, first, careful=False))
            row["gain_points_se"] = points_se(model.log_p - first.log_p)
        own, best = model.own, model.best
        row |= {"method": model.method, "log_p_se": 0.0, "tenfold": 0.0, "k_hat_bad": 0.0}
        if model.method == "importance":
            row["log_p_se"] = (best["log_p_se"] ** 2).sum() ** 0.5 / len(best)
            row["tenfold"] = (best["log_p"] - best["tenth"]).mean()
            row["k_hat_bad"] = (best["k_hat"] > KHAT_LIMIT).mean()
        row["by_encoder"] = own["log_p"].mean()
        rows.append(row | {"encoder_bad": (own["k_hat"] > KHAT_LIMIT).mean()})
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
    late: np.ndarray  # nats that the last quarter of the fit's steps closed
    each: tuple[np.ndarray, np.ndarray]  # gap and diagonal, (S, N) over seeds and test points

    @property
    def share_se(self) -> float:
        """Standard error of the share over test points, by the delta method for a ratio."""
        gap, diagonal = self.each
        closed = (diagonal - gap).mean() / diagonal.mean()
        return points_se(diagonal - gap - closed * diagonal) / abs(diagonal.mean())

    @property
    def closed(self) -> np.ndarray:
        """Nats of the diagonal's gap that the family closes."""
        return self.diagonal - self.gap

    def share(self, careful: bool = False) -> np.ndarray:
        """The same as a share of that gap; with `careful`, of the gap if log p(x) is too low."""
        return self.closed / (self.diagonal + (self.loose if careful else 0))


def own_gaps(gathered: Gathered) -> Iterator[Gap]:
    """Every family fitted to test points, on the decoder of the diagonal q that L_1 trained."""
    found = models(gathered)
    for latent_dim in sorted({key[0] for key in found}):
        model = baseline(found, latent_dim)
        if model is None or not set(FLOWS) <= set(model.bounds):
            continue
        points, diagonal = model.log_p.shape[1], model.log_p - model.bounds["diagonal"]
        for family in ("diagonal", *FLOWS):
            gap, late = model.log_p - model.bounds[family], model.late[family].mean(1)
            known = (gap.mean(1), diagonal.mean(1), model.loose, points, model.method, late)
            yield Gap(latent_dim, family, *known, (gap, diagonal))


def gaps(gathered: Gathered, paper: pd.DataFrame, others: Sequence[Gathered] = ()) -> pd.DataFrame:
    """One row per N_z and family fitted to test points one by one, on the same decoder.

    gap     log p(x) minus L_1, nats per datapoint, with its interval over seeds: the approximation
            gap of the family, as far as the fit found its optimum
    share   of the diagonal Gaussian's gap that the family closes
    method  of log p(x): quadrature, or importance sampling from the planar flow
    loose   what the last tenfold of draws added to that log p(x), at most over seeds
    late    nats that the last quarter of the fit's steps closed, mean over seeds: how far from its
            end the fit is
    ..._points_se  standard error over test points, of the mean over seeds
    """
    rows = []
    for each in own_gaps(gathered):
        row = {"latent_dim": each.latent_dim, "family": each.family, "seeds": len(each.gap)}
        row |= {"points": each.points, "method": each.method, "loose": each.loose.max()}
        row |= {"gap_points_se": points_se(each.each[0]), "late": each.late.mean()}
        row |= over_seeds("gap", each.gap)
        if each.family in FLOWS:
            row |= over_seeds("share", each.share()) | {"share_points_se": each.share_se}
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
        {"latent_dim": nz, "k": k, "gradient": name, "seeds": len(values)}
        | over_seeds("ratio", values)
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
    study = gathered.study
    if study.experiments[study.posteriors.experiment].dataset != "mnist":  # theirs is of MNIST
        theirs = theirs.iloc[:0]
    theirs.columns = ["published", "published_epochs"]
    return table.frame.join(theirs, on="k")[YARDSTICK]
