"""The paper's claim that the trade-off tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...paper.claims import SMALL, Found, claim
from ...paper.facts import PAPER_HIDDEN
from ...paper.verdicts import Check, interval
from ...results import Gathered
from ...results.curves import at, completed, replicas
from ...results.words import named
from . import STUDY


@claim(
    5,
    "one draw is enough",
    says="With minibatches of M = 100, one sample of z for each datapoint, L = 1, is enough "
    "(section 2.3).",
    statement="With M = 100 and at equal cost, no L above 1 ends with a test bound more than 1 nat "
    "better than that of L = 1.",
    rule="Test bound of L = 1 minus that of each larger L, seed by seed, where the latter ends and "
    "L = 1 has cost as much, by having seen "
    "L times the datapoints. Above -1 nat for every L. If one is more than 1 nat better at equal "
    "datapoints, that is a qualification. Pairs whose pilots chose different step sizes compare "
    "these too, and are left out.",
    finding="L = 1 ends {effect} nats above the best L that is larger ({check})",
    needs="the trade-off study on data of the paper, with M = 100 and L = 1 and more",
    figure="tradeoff",
)
def one_draw(gathered: Gathered, paper: pd.DataFrame) -> Found:
    study, checks, remarks, sizes = gathered.study, [], [], {}
    known = STUDY.sizes(study)
    for run in gathered.runs.values():
        if run.dataset in PAPER_HIDDEN and run.experiment in known and run.run.variant:
            curve = (run.run.base, run.latent_dim)
            sizes.setdefault(curve, {})[known[run.experiment]] = run.experiment
    for (base, latent_dim), names in sizes.items():
        # The study's own L and M have no name of their own.
        training = study.training_of(base)
        names.setdefault((training.draws, training.batch_size), base)
        one = completed(gathered, names[1, 100], "aevb", latent_dim) if (1, 100) in names else {}
        for draws in (
            sorted(draws for draws, batch in names if batch == 100 and draws > 1) if one else ()
        ):
            steps = [
                {run.step_size for run in replicas(gathered, names[size], "aevb", latent_dim)}
                for size in ((1, 100), (draws, 100))
            ]
            if steps[0] != steps[1]:
                chosen = " and ".join(f"{step:g}" for found in steps for step in sorted(found))
                remarks.append(
                    f"{named(base, latent_dim)}: L = {draws} is left out, as the pilots chose "
                    f"other step sizes ({chosen})"
                )
                continue
            many = {
                seed: curve.iloc[-1]
                for seed, curve in completed(
                    gathered, names[draws, 100], "aevb", latent_dim
                ).items()
                if seed in one
            }
            cost, data = (
                # The last minibatch may end a little beyond the budget.
                [
                    at(one[s], "test", min(factor * end["samples"], one[s]["samples"].iloc[-1]))
                    - end["test"]
                    for s, end in many.items()
                ]
                for factor in (draws, 1)
            )
            checks.append(Check(f"{named(base, latent_dim)}: L = {draws}", cost, -SMALL))
            if data and np.mean(data) < -SMALL:
                better, least, most = interval(Check("", [-value for value in data]))
                known = f" [{least:.3g}, {most:.3g}]".replace("-", "−") if len(data) > 1 else ""
                remarks.append(
                    f"{named(base, latent_dim)}: at equal datapoints L = {draws} is better by "
                    f"{better:.3g}{known} nats"
                )
    return checks, remarks
