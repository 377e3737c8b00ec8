"""Figure 2 under two readings of the paper: hand-made results at known distances from it."""

import csv as tables
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import PAPER
from test_claims import STUDY, made, made_run

from aevb import config
from aevb.core.errors import UserError
from aevb.paper.curves import paper_curve
from aevb.results import csv
from aevb.studies.sources import findings, numbers

ABOUT = {"reading": "as in the code", "other": "old", "other_reading": "as printed"}
THIS = {**STUDY, "beside": ["old/gathered.h5"], "sources": ABOUT}


def paper():
    return pd.read_csv(PAPER)


def near(raw, away, wide=0.0):
    """A study whose test curves are `away` nats above the paper's; seeds differ by `wide`."""
    study, theirs = config.load(raw), paper()

    def change(run, result):
        curve = paper_curve(theirs, study, run.experiment, run.latent_dim, run.algorithm, "test")
        if curve is None:
            return result
        curve = curve[curve["samples"] <= 1e8]
        values = curve["value"].to_numpy() + away + wide * (run.seed - 1)
        return made_run(study, run, values, samples=curve["samples"].to_numpy())

    return made(raw, change=change)


@pytest.fixture(scope="module")
def both():
    return near(THIS, 0.5), near({**STUDY, "name": "old"}, -4.0, wide=3.0)


def test_distances_stand_side_by_side(both, tmp_path):
    this, old = both
    table = numbers.both_distances(this, paper(), [near({**STUDY, "name": "x"}, 9.0), old])
    assert set(table["split"]) == {"train", "test"} and not table.duplicated(numbers.CURVE).any()
    test = table[(table["split"] == "test") & (table["experiment"] == "mnist")]
    np.testing.assert_allclose(test["rms"], 0.5, atol=0.02)
    np.testing.assert_allclose(test["other_rms"], 4.0, atol=0.02)
    held = test[test["points"] == "held out"]
    assert set(held["found"]) == {"near"} and set(held["other_found"]) == {"as one run"}
    assert (held["first"] > 1e6).all() and (held["last"] <= 1e8).all()
    csv.write(table, tmp_path / "both.csv")  # as the report reads it: missing texts are empty
    table = csv.read(tmp_path / "both.csv")
    shown = findings.distances_table(table, {"": "as in the code", "other_": "as printed"})
    rows = [dict(zip(shown.head, row, strict=True)) for row in shown.rows]
    (row,) = [
        row
        for row in rows
        if row["data"] == "MNIST" and row["algorithm"] == "AEVB" and row["values"] == "test"
    ]
    assert (row["as in the code: rms"], row["as printed: rms"]) == ("0.5", "4.0")
    assert (row["as in the code: near"], row["as printed: near"]) == ("2 of 2", "0 of 2")
    assert (table["points"] != "held out").any() and len(rows) == 2 * 2 * 2


def test_each_curve_beyond_its_target_is_named_with_a_reason_or_as_unexplained(both):
    this, old = both
    swapped = near({**THIS, "seeds": [0, 1, 2]}, -4.0, wide=3.0)
    lines = findings.apart(numbers.both_distances(swapped, paper(), [old]), swapped)
    assert any(line.startswith("MNIST, N_z = 3, AEVB, test, 3 seeds to ") for line in lines)
    assert any("4.00 nats (target 3.00): the paper shows one run" in line for line in lines)
    far = near(THIS, -40.0)
    lines = findings.apart(numbers.both_distances(far, paper(), [old]), far)
    assert any(", test, " in line and "unexplained" in line for line in lines)
    table = numbers.both_distances(this, paper(), [old])
    assert not any(", test, " in line for line in findings.apart(table, this))


def test_verdicts_stand_side_by_side(both):
    this, old = both
    table = numbers.both_claims(this, paper(), [old]).set_index("claim")
    assert {"verdict", "other_verdict", "effect", "other_effect"} <= set(table.columns)
    tested = {name.split(".")[0] for name in table.index}
    assert {"1", "2", "3"} <= tested and not {"7", "8", "9"} & tested  # these were not run
    made_up = pd.DataFrame(
        [
            {"claim": "1. x", "unit": "nats", "verdict": "holds", "effect": 2.0, "low": 1.0}
            | {"high": 3.0, "check": "MNIST", "limit": True}
            | {"other_verdict": "mixed: here, not there", "other_effect": -1.0}
            | {"other_low": np.nan, "other_high": np.nan, "other_check": "a", "other_limit": False}
        ]
    )
    names = {"": "as in the code", "other_": "as printed"}
    assert findings._claims(made_up, names).rows == [
        ["1. x", "holds: more than 2.00 [1.00, 3.00] nats (MNIST)", "mixed: −1.00 nats (a)"]
    ]
    part = findings.part(this, paper(), {"both_claims": made_up})
    assert part.answer == [(3, "As printed, the verdict on claim 1 differs.")]
    same = made_up.assign(other_verdict="holds")
    ((_, sentence),) = findings.part(this, paper(), {"both_claims": same}).answer
    assert sentence == "As printed, every verdict is the same."


def test_claims_that_the_study_cannot_test_are_judged_on_its_counterparts(both):
    _, old = both
    one = near({**THIS, "seeds": [0], "sources": {**ABOUT, "also": {"more": "older"}}}, 0.5)
    more, older = near({**STUDY, "name": "more"}, 1.0), near({**STUDY, "name": "older"}, 0.0)
    without = near({**STUDY, "name": "old", "seeds": [0]}, -4.0)
    table = numbers.both_claims(one, paper(), [without, more, older]).set_index("claim")
    pair = numbers.both_claims(near(THIS, 1.0), paper(), [near({**STUDY, "name": "old"}, 0.0)])
    shown = ["effect", "low", "other_effect", "other_low"]
    name = "2. better bound"
    pd.testing.assert_series_equal(
        table.loc[name, shown], pair.set_index("claim").loc[name, shown], check_dtype=False
    )
    alone = near({**THIS, "seeds": [0]}, 0.5)
    assert name not in set(numbers.both_claims(alone, paper(), [without])["claim"])
    with pytest.raises(UserError, match=r"sources.also is 'older', but the studies of `beside`"):
        numbers.both_claims(one, paper(), [old, more])


def test_the_sources_name_what_the_study_does():
    raw = {**THIS, "batch_sizes": {"frey": 500}, "training": {"log_variance_factor": 0.1}}
    old = near({**STUDY, "name": "old", "training": {"log_variance_factor": 1}}, 0.0)
    this = near(raw, 0.0)
    table = numbers.sources(this, paper(), [old])
    ((_, sentence),) = findings.part(this, paper(), {"sources": table}).answer
    assert sentence.endswith(
        "its factor (the author's code) and minibatch on Frey Face (inferred from the paper's "
        "curves)."
    )
    table = table.set_index("key")
    assert table.loc["training.log_variance_factor", "here"] == "0.1"
    assert table.loc["batch_sizes", "here"] == "MNIST: 100, Frey Face: 500"
    assert table.loc["wake_sleep.clip_fantasies", "here"] == "no"


def test_the_page_on_method_has_the_same_table():
    method = (Path(__file__).parents[1] / "docs" / "method.md").read_text(encoding="utf-8")
    with open(numbers.DETAILS, encoding="utf-8", newline="") as file:
        for row in tables.reader(file):
            *cells, key = row
            key = f"`{key}`" if "." in key or "_" in key else key
            key = {"": "none: both are stored", "key": "key of the configuration"}.get(key, key)
            assert "| " + " | ".join([*cells, key]) + " |" in method


def test_a_study_that_is_not_beside_is_an_error(both):
    this, _ = both
    with pytest.raises(UserError, match=r"sources.other is 'old', but the studies of `beside` are"):
        numbers.both_distances(this, paper(), [near({**STUDY, "name": "x"}, 9.0)])
    with pytest.raises(UserError, match=r"sources\.other must be the name of"):
        config.load({**THIS, "beside": []})
