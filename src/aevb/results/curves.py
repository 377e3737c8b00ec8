"""Our curves: the replicas of each, what figures show of them, and values between evaluations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..config import Config
from .schema import Gathered, RunResult


def in_figure3(study: Config, experiment: str) -> bool:
    """Whether an experiment is one of Figure 3, which shows log p(x) and not bounds."""
    return study.figure3 is not None and experiment in study.figure3.experiments


def seeds_of(study: Config, experiment: str) -> list[int]:
    """The seeds of every curve of `experiment`."""
    return (study.figure3.seeds if in_figure3(study, experiment) else None) or study.seeds


def replicas(
    gathered: Gathered, experiment: str, algorithm: str, latent_dim: int
) -> list[RunResult]:
    """The runs of one curve, one for each seed; their budgets may differ."""
    curve = (experiment, algorithm, latent_dim)
    return [
        run
        for run in gathered.runs.values()
        if (run.experiment, run.algorithm, run.latent_dim) == curve
    ]


def shown(gathered: Gathered, run: RunResult) -> pd.DataFrame:
    """What figures show of a run, one row per evaluation: samples, seconds, train, test, train_se
    and test_se, nats per datapoint.

    Train and test are bounds, beside the other columns of CURVE. For a run of Figure 3 they are
    log p(x) by importance sampling, beside the other columns of EVIDENCE by split (train_hmc,
    test_hmc, ...). They are missing if such a run diverged.
    """
    if not in_figure3(gathered.study, run.experiment):
        return run.curve
    if run.run.name not in gathered.of("evidence"):
        return run.curve.assign(train=np.nan, test=np.nan)
    table = gathered.of("evidence")[run.run.name].frame
    seconds = table.groupby("samples")["seconds"].first()
    wide = table.drop(columns="seconds").pivot(index="samples", columns="split")
    wide.columns = [f"{split}_{name}".replace("_importance", "") for name, split in wide.columns]
    return wide.assign(seconds=seconds).reset_index()


def ignoring_z(gathered: Gathered, experiment: str) -> dict[str, float]:
    """The bound of a model that ignores z on an experiment, by split; empty where not measured."""
    table = gathered.of("baselines").get(experiment)
    return (
        {} if table is None else dict(zip(table.frame["split"], table.frame["value"], strict=True))
    )


def sound(run: RunResult) -> pd.DataFrame:
    """The evaluations of a run without that at which it was stopped, whose bounds ran away."""
    return run.curve if run.status == "completed" else run.curve[run.curve["samples"] < run.samples]


def lasting(study: Config, runs: list[RunResult]) -> list[RunResult]:
    """The runs that did not diverge up to the budget of all seeds.

    Of the runs trained further, those count that diverged after an evaluation beyond that budget: a
    later divergence does not affect earlier means.
    """

    def came_through(run: RunResult) -> bool:
        shared = (
            study.extended is not None
            and not run.run.variant
            and not in_figure3(study, run.experiment)
        )
        return shared and bool((sound(run)["samples"] >= study.samples).any())

    return [run for run in runs if run.status == "completed" or came_through(run)]


def completed(
    gathered: Gathered, experiment: str, algorithm: str, latent_dim: int
) -> dict[int, pd.DataFrame]:
    """`shown` of the `lasting` replicas of one curve, by seed.

    The evaluation at which a replica was stopped is left out.
    """
    runs = lasting(gathered.study, replicas(gathered, experiment, algorithm, latent_dim))
    return {
        run.seed: shown(gathered, run) if run.status == "completed" else sound(run) for run in runs
    }


def aligned(curves: dict[int, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The curves of several seeds at each count of samples at which one of them was evaluated.

    Each goes as far as it does: columns seed, samples and `columns`. Seeds with other budgets share
    few counts.
    """
    counts = np.unique(np.concatenate([curve["samples"] for curve in curves.values()]))
    frames = []
    for seed, curve in curves.items():
        mine = counts[(counts >= curve["samples"].iloc[0]) & (counts <= curve["samples"].iloc[-1])]
        same = len(mine) == len(curve)  # nothing between its own evaluations
        found = (
            curve[columns].reset_index(drop=True)
            if same
            else pd.DataFrame({name: at(curve, name, mine) for name in columns})
        )
        frames.append(found.assign(seed=seed, samples=mine))
    return pd.concat(frames, ignore_index=True)


def at(curve: pd.DataFrame, column: str, samples):
    """A column of a curve at `samples`, a number or an array; NaN outside the curve.

    Between points it is linear in the logarithm of the samples.
    """
    found = np.interp(
        np.log(samples),
        np.log(curve["samples"].to_numpy(float)),
        curve[column],
        left=np.nan,
        right=np.nan,
    )
    return float(found) if np.ndim(samples) == 0 else found


def appendix_d(curve: pd.DataFrame, split: str, samples):
    """Log p(x) by the paper's estimator at `samples`, as `at`, from a curve of `shown`.

    Where it was taken at some evaluations alone, what it adds to the estimate that is shown is
    linear in the logarithm of the samples between them.
    """
    known = curve[curve[f"{split}_hmc"].notna()]
    if len(known) in (0, len(curve)):
        return at(curve, f"{split}_hmc", samples)
    bias = known.assign(bias=known[f"{split}_hmc"] - known[split])
    return at(curve, split, samples) + at(bias, "bias", samples)


def last_shared(study: Config, runs: list[RunResult]) -> pd.DataFrame:
    """One row per `lasting` run: its last evaluation before the shortest of them ends.

    There are no rows if all diverged.
    """
    done = [sound(run) for run in lasting(study, runs)]
    end = min((curve["samples"].iloc[-1] for curve in done), default=0)
    return pd.DataFrame(
        [curve[curve["samples"] <= end].iloc[-1] for curve in done],
        columns=runs[0].curve.columns,
        dtype=float,
    )
