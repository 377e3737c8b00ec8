"""The paper's claim that Figure 3 tests."""

from __future__ import annotations

import pandas as pd

from ...learners import LEARNERS
from ...paper.claims import Found, claim, of_paper, short_of
from ...paper.facts import FIGURE3_SAMPLES
from ...paper.verdicts import Check
from ...results import Gathered
from ...results.curves import at, completed


@claim(
    8,
    "Monte Carlo EM does well on few datapoints and does not scale",
    says="With 1,000 training points Monte Carlo EM leads before AEVB and wake-sleep; on all "
    "50,000 it is not efficient (Figure 3).",
    statement="Test log p(x) at the end: N_train = 1,000: MCEM above AEVB above wake-sleep; "
    "50,000: AEVB and wake-sleep above MCEM.",
    rule="Differences of log p(x) of the first 1,000 test points (importance sampling), seed by "
    "seed, at the last count of samples that "
    "both reach. Above 0 in all four comparisons.",
    finding="by {effect} nats in the weakest case ({check})",
    needs="log p(x) of Figure 3 for all three algorithms and both sizes of the training set",
    figure="figure3",
)
def marginal_likelihood(gathered: Gathered, paper: pd.DataFrame) -> Found:
    study = gathered.study
    by_size = {
        study.n_train(name): (name, latent_dim)
        for name, latent_dim, _ in of_paper(gathered, paper, 3)
    }
    pairs = {
        1000: [("mcem", "aevb"), ("aevb", "wake_sleep")],
        50_000: [("aevb", "mcem"), ("wake_sleep", "mcem")],
    }
    if (
        set(by_size) != set(pairs)
        or not gathered.of("evidence")
        or not {"aevb", "wake_sleep", "mcem"} <= set(study.figure3.algorithms)
    ):
        return [], []
    checks, ends = [], []
    for size, (name, latent_dim) in by_size.items():
        for first, second in pairs[size]:
            above, below = (
                completed(gathered, name, algorithm, latent_dim) for algorithm in (first, second)
            )
            both = {
                seed: float(min(above[seed]["samples"].max(), below[seed]["samples"].max()))
                for seed in above
                if seed in below
            }
            values = [
                at(above[seed], "test", end) - at(below[seed], "test", end)
                for seed, end in both.items()
            ]
            checks.append(
                Check(
                    f"N_train = {size:,}: {LEARNERS[first].label} above {LEARNERS[second].label}",
                    values,
                )
            )
            ends += both.values()
    return checks, short_of(ends, FIGURE3_SAMPLES)
