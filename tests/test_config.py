"""The configuration: what is shipped validates, what is wrong is named."""

from pathlib import Path

import pytest
import yaml

from aevb import config, plan
from aevb.errors import UserError

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "config").glob("*.yaml"))


def raw(name="quick"):
    return yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_configuration_validates_and_all_runs_are_in_jobs(path):
    study = config.load(yaml.safe_load(path.read_text()))
    trained = [run for job in plan.train_jobs(study) for run in job.runs]
    assert sorted(trained) == sorted(study.runs()) and len(set(trained)) == len(trained)
    piloted = [curve for job in plan.pilot_jobs(study) for curve in job.curves]
    assert sorted(piloted) == sorted({run.curve for run in trained})
    assert len({job.name for job in plan.train_jobs(study)}) == len(plan.train_jobs(study))


def test_the_default_is_the_papers_grid():
    study = config.load(raw("paper"))
    assert study.samples == 100_000_000 and study.folder == "results/paper-1e8"
    assert sum(len(row.latent_dims) * len(row.algorithms) for row in study.figure2) == 18
    assert len(study.runs()) == 18 * 3 + 1 + 18  # three seeds, the model of MNIST with N_z = 2, and Figure 3
    assert [study.experiments[name].n_train for name in study.figure3.experiments] == [1000, None]
    assert all(study.experiments[name].hidden == 100 and study.budget(name) == 60_000_000 for name in study.figure3.experiments)
    assert {(m.experiment, m.latent_dim) for m in study.figure_models()} == {
        ("frey", 2),
        ("mnist", 2),
        ("mnist", 5),
        ("mnist", 10),
        ("mnist", 20),
    }
    settings = study.training
    assert (settings.batch_size, settings.draws, settings.estimator, settings.initial_sd, settings.warmup_steps) == (100, 1, "B", 0.01, 100)
    assert settings.step_sizes == [0.01, 0.02, 0.1] and settings.prior == "weights"
    assert [(e.hidden, e.likelihood, e.scale) for e in study.experiments.values()] == [
        *[(500, "bernoulli", 256), (200, "gaussian", 256)],
        *[(100, "bernoulli", 256)] * 2,
    ]


def test_the_reference_grid_is_the_papers():
    paper, reference = raw("paper"), raw("reference")
    for part in ("figure2", "figure4", "figure5"):
        assert paper[part] == reference[part]
    third = raw("figure3")
    assert paper["estimators"] == third["estimators"]
    assert all(third["figure3"][key] == value for key, value in paper["figure3"].items())
    assert paper["experiments"] == {**reference["experiments"], **third["experiments"]}
    assert config.load(third).budget("mnist_1000") == config.FIGURE3_SAMPLES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampels": 5}, ["'sampels'", "did you mean 'samples'"]),
        ({"training": {"step_size": [0.1]}}, ["'training.step_size'", "did you mean 'step_sizes'"]),
        ({"evaluation": {"frist": 5}}, ["'evaluation.frist'", "did you mean 'first'"]),
        ({"figure4": [{"experiment": "digits_gaussian", "gird": 4}]}, ["gird", "did you mean 'grid'"]),
        ({"figure4": [{"experiment": "digits_gausian", "grid": 4}]}, ["figure4", "did you mean 'digits_gaussian'"]),
        ({"device": "gpu"}, ["'device'", "'cuda'"]),
        ({"samples": "many"}, ["'samples'", "integer"]),
        ({"samples": -5}, ["'samples'", "greater than 0"]),
        ({"samples": 1.5}, ["'samples'"]),
        ({"samples": True}, ["'samples'"]),
        ({"seeds": [1, 1]}, ["seeds lists a seed twice"]),
        ({"seeds": []}, ["'seeds'"]),
        ({"training": {"batch_size": 10**9}}, ["batch_size"]),
        ({"training": {"initial_sd": float("nan")}}, ["'training.initial_sd'"]),
        ({"name": "../x"}, ["'name'"]),
    ],
)
def test_wrong_configurations_are_named_in_one_line(change, words):
    with pytest.raises(UserError) as error:
        config.load({**raw(), **change})
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_scale_and_binarise_are_checked_against_the_data():
    wrong = raw()
    wrong["experiments"]["digits_bernoulli"]["scale"] = 256
    with pytest.raises(UserError, match="must be 16"):
        config.load(wrong)
    wrong = raw()
    wrong["experiments"]["digits_gaussian"]["binarise"] = True
    with pytest.raises(UserError, match="binarise"):
        config.load(wrong)


def test_mirror_from_key_or_environment(monkeypatch):
    monkeypatch.setenv("AEVB_MIRROR", "elsewhere")
    assert config.load(raw()).mirror == "elsewhere"
    assert config.load({**raw(), "mirror": "here"}).mirror == "here"
    monkeypatch.delenv("AEVB_MIRROR")
    assert config.load(raw()).mirror is None


@pytest.mark.parametrize(("samples", "text"), [(10**8, "1e8"), (1_500_000, "1.5e6"), (250, "2.5e2"), (100, "1e2")])
def test_short(samples, text):
    assert config.short(samples) == text


def test_small_runs_share_jobs_and_large_ones_do_not():
    quick, paper = config.load(raw("quick")), config.load(raw("paper"))
    assert len(plan.train_jobs(quick)) == 6 and len(plan.pilot_jobs(quick)) == 4
    # one job each, so that a curve or seed more makes no finished run stale
    assert (
        len(plan.train_jobs(paper)) == len(paper.runs()) and len(plan.pilot_jobs(paper)) == len(plan.pilot_runs(paper)) - 2
    )  # MCEM: short


def test_the_documentation_of_the_keys_is_in_step():
    assert (ROOT / "config/README.md").read_text() == config.reference()
