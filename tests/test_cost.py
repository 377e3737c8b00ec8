"""What a study is said to cost before it starts."""

import re

import pytest

from aevb import config
from aevb.core.run import Job
from aevb.pipeline import cost, plan

STUDY = {
    "name": "study",
    "samples": 1e7,
    "seeds": [0, 1],
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}
    },
    "figure2": [{"experiment": "digits", "latent_dims": [2]}],
    "figure4": [{"experiment": "digits", "grid": 5}],
    "figure5": [{"experiment": "digits", "latent_dims": [2]}],
}


@pytest.fixture
def said(capsys, monkeypatch):
    monkeypatch.setattr(cost, "seconds_per_sample", lambda *_: 1e-3)

    def announced(**changed):
        study = config.load({**STUDY, **changed})
        cost.announce(study, 2, plan.train_jobs(study))
        return capsys.readouterr().err

    return announced


def test_training_takes_as_long_as_the_samples_of_all_models(said):
    hours = (
        4 * 1e7 * 1e-3 / 2 / 3600
    )  # two algorithms and two seeds on two cores; the digits' evaluations cost nothing beside it
    assert float(
        re.search(r"Estimated time on 2 core\(s\): ([\d.]+) h", said())[1]
    ) == pytest.approx(hours, rel=0.1)


@pytest.mark.parametrize(
    ("changed", "offered"),
    [
        ({}, ["1e6", "1e5"]),
        ({"extended": {"samples": 1e8, "seeds": [0]}}, []),  # which would be trained all the same
        ({"extended": {"samples": 2e7, "seeds": [0]}}, ["1e6", "1e5"]),
        ({"results": "results/mine"}, []),  # a folder of one study
        # ten draws see a tenth of the datapoints: no more than the warm-up
        ({"tradeoff": {"experiment": "digits", "latent_dim": 2}}, ["1e6"]),
    ],
)
def test_smaller_budgets_are_offered_where_they_save_time(said, changed, offered):
    assert re.findall(r"samples=(\S+)", said(**changed)) == offered


def test_the_nominal_time_of_what_measures_on_no_model_counts(capsys):
    study = config.load(STUDY)
    job = Job("baselines", "digits", "", [], seconds=7200.0)
    cost.announce(study, 2, [job, job._replace(name="others", kind="gather")])
    assert "Estimated time on 2 core(s): 1.0 h" in capsys.readouterr().err


def test_starting_jobs_is_in_the_time(capsys):
    study = config.load(STUDY)
    job = Job("baselines", "digits", "", [], seconds=7200.0)
    cost.announce(study, 2, [job, *[job._replace(kind="gather")] * 3], start=1800.0)
    assert "Estimated time on 2 core(s): 2.0 h" in capsys.readouterr().err
