"""A configuration of one's own: the shortest one works, and what would train nothing is said."""

import csv
import itertools

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic import PAPER, STUDY, build, lines, panel

from aevb import config, results
from aevb.__main__ import main
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine.pilot import pilot
from aevb.pipeline import cost, plan
from aevb.results import read_gathered
from aevb.studies import STUDIES
from aevb.studies.figure2.figures import figure2
from aevb.studies.paper import figures
from aevb.studies.planning import pilot_settings

MINIMAL = "config/minimal.yaml"
DIGITS = {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}


def minimal(**changed):
    with open(MINIMAL) as file:
        return {**yaml.safe_load(file), **changed}


def text(**changed):
    return {
        "name": "mine",
        "samples": 1e5,
        "seeds": [0],
        "experiments": {"mine": DIGITS},
        "figure2": [{"experiment": "mine", "latent_dims": [2]}],
        **changed,
    }


def test_the_shortest_configuration_is_a_dozen_lines_and_gives_a_study(tmp_path, monkeypatch):
    with open(MINIMAL) as file:
        assert sum(not line.startswith("#") for line in file) <= 12
    short = minimal(samples=3e4, training={"step_sizes": [0.02]}, data=str(tmp_path / "data"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(short))
    monkeypatch.chdir(tmp_path)
    main(["run", "mine.yaml"])
    folder = tmp_path / "results/minimal-3e4"
    assert (folder / "report.html").stat().st_size > 1e5
    assert sorted(path.stem for path in (folder / "figures").glob("*.svg")) == ["figure2"]
    for path in folder.glob("*.csv"):  # no file with nothing but a header
        with open(path, newline="") as file:
            assert len(list(csv.reader(file))) > 1, path.name
    run = results.read_run(folder / "runs/mine/aevb-nz2-seed0.h5").curve
    assert run["test"].iloc[-1] > max(run["test"].iloc[0], -30)  # at its start: -64 log 2 = -44


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": 1e4}, "10,000 samples, ends within the warm-up.* give at least 10,100"),
        ({"samples": 2e4, "training": {"warmup_steps": 200}}, "give at least 20,100"),
        ({"training": {"pilot_samples": 1e4}}, "the pilot of AEVB on mine ends within the warm-up"),
        (
            {"tradeoff": {"experiment": "mine", "latent_dim": 2, "draws": [10]}},
            r"mine\+l10-m100, 10,000 samples, ends within the warm-up",
        ),
    ],
)
def test_a_budget_or_a_pilot_within_the_warm_up_is_an_error(changed, said):
    with pytest.raises(UserError, match=said):
        config.load(text(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"samples": 10_100},
        {"samples": 1e4, "training": {"warmup_steps": 99}},
        {"training": {"pilot_samples": 1e4, "step_sizes": [0.02]}},  # one cannot tie
    ],
)
def test_what_just_leaves_the_warm_up_is_none(changed):
    assert plan.jobs(config.load(text(**changed)))


def test_no_pilot_is_longer_than_the_budget():
    third = {"experiments": ["mine"], "algorithms": ["aevb", "mcem"], "latent_dim": 2}
    for samples, online, chains in ((2e4, 20_000, 60_000), (3e6, 100_000, 1_200_000)):
        few = {"datapoints": 100}
        study = config.load(text(samples=samples, figure2=[], figure3=third, evidence=few))
        asked = pilot_settings(study, [Run("mine", name, 2, 0) for name in ("aevb", "mcem")])
        assert asked["training"]["pilot_samples"] == online
        # 15,000 samples per iteration; at least two after the warm-up
        assert asked["mcem"]["pilot_iterations"] * 15_000 == chains
        run = Run("mine", "mcem", 2, 0)
        steps = len(study.training.step_sizes)
        assert plan.pilot_cost(study, run) == chains * steps


def test_step_sizes_that_tie_are_said(make, capsys):
    settings, digits = make(
        samples=2000, pilot_samples=2000, step_sizes=[0.02, 0.05], warmup_steps=20
    )
    found = pilot(Run("digits", "aevb", 2, 0), settings, digits)
    assert found.step_size == 0.02 and np.ptp(found.bounds[:, -1]) == 0
    assert "the step sizes 0.02, 0.05 tie in the pilot, which takes the first" in (
        capsys.readouterr().err
    )


def test_the_calibration_ends_when_its_time_is_up(monkeypatch):
    clock = itertools.count(step=4.0)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    timed = []
    monkeypatch.setattr(cost, "seconds_per_sample", lambda *shape: timed.append(shape) or 1e-6)
    study = config.load(text(figure2=[{"experiment": "mine", "latent_dims": list(range(1, 20))}]))
    runs = [Run("mine", "aevb", latent_dim, 0) for latent_dim in range(1, 20)]
    rates = cost.Rates(study, runs, [])
    assert len(timed) == 2 and rates.untimed == 17
    # the others by what theory says of them, and by how far theory was off
    assert all(0 < rates.sample(run) < 1e-4 for run in runs)


def test_where_the_papers_curve_begins_later_it_is_said():
    paper = pd.read_csv(PAPER)
    study = config.load(STUDY)
    assert figures._nothing(paper, study, "mnist", 3).startswith("the paper's curves\nbegin at ")
    assert figures._nothing(paper, study, "mnist", 4) == "the paper has\nno such curve"


def test_other_hidden_units_than_the_papers_are_in_the_title(tmp_path):
    raw = {**STUDY, "experiments": {**STUDY["experiments"]}}
    mnist = {**raw["experiments"]["mnist"], "hidden": 123}
    raw["experiments"]["mnist"] = mnist
    gathered = read_gathered(build(tmp_path, raw))
    drawn = figure2(gathered, pd.read_csv(PAPER))
    titles = [axis.get_title() for axis in drawn.axes]
    assert any("123 hidden units; the paper's have 500" in title for title in titles)
    usual = figure2(read_gathered(build(tmp_path / "usual", STUDY)), pd.read_csv(PAPER))
    assert not any("hidden units" in axis.get_title() for axis in usual.axes)
    assert lines(panel(usual, "MNIST, $N_z$ = 3"))


def test_what_the_paper_has_nothing_of_gets_no_empty_files():
    stand_in = STUDIES["paper"]
    mine = config.load(text())
    assert not stand_in.figures(mine) and list(stand_in.numbers(mine)) == ["claims"]
    study = config.load(STUDY)
    assert list(stand_in.figures(study)) == ["distance"]
    assert list(stand_in.numbers(study)) == ["claims", "checks", "distances"]
