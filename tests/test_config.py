"""The configuration: what is shipped validates, what is wrong is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from aevb import config
from aevb.config import files, reference
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.core.words import short
from aevb.data import DATASETS
from aevb.engine import training
from aevb.paper.facts import FIGURE3_SAMPLES
from aevb.pipeline import local, plan
from aevb.studies import STUDIES, planning
from aevb.studies.planning import budgets
from aevb.studies.variance import GRADIENT_ESTIMATORS
from aevb.studies.variance.work import ESTIMATORS

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "config").glob("*.yaml"))


def raw(name="quick"):
    return yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())


def reading(name="mine", experiment="digits_bernoulli", seeds=(0,), **changes):
    """An ablation of one reading."""
    return {
        "ablation": {
            "curves": [{"experiment": experiment, "latent_dims": [2]}],
            "readings": {name: changes},
            "seeds": list(seeds),
        }
    }


def settings_of(study, run):
    """The settings of the job that trains `run`."""
    return planning.settings(study, [run], budgets(study)[run])


def tradeoff(**options):
    return {"tradeoff": {"experiment": "digits_bernoulli", "latent_dim": 2, **options}}


def test_null_switches_a_part_off():
    raw = yaml.safe_load((ROOT / "config/start.yaml").read_text(encoding="utf-8"))
    assert config.load(raw).figure3 and config.load(raw).estimators
    for null in (None, "null"):  # in a file, and on the command line
        study = config.load(raw | {"figure3": null, "estimators": null})
        assert study.figure3 is None and study.estimators is None


def test_a_path_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    raw = yaml.safe_load((ROOT / "config/minimal.yaml").read_text(encoding="utf-8"))
    study = config.load(raw | {"results": "~/mine", "data": "~/data"})
    assert (study.folder, study.data) == ("/home/me/mine", "/home/me/data")


def test_a_key_that_a_file_has_twice_is_an_error(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("figure2:\n  - {a: 1, b: 2}\n  - a: 1\n    b: 2\n    a: 3\n")
    with pytest.raises(UserError, match=r"has the key 'a' twice, in lines 3 and 5"):
        files.check(path)
    with pytest.raises(UserError, match=r"has the key 'a' twice"):
        local.read(str(path))
    for shipped in FILES:
        files.check(shipped)
    path.write_text("a: &one [*one]\n")  # within itself
    files.check(path)
    path.write_text("a: &one {x: 1}\nb: {<<: *one, y: 2}\n")
    files.check(path)
    path.write_text("a: [")  # the parser's to say
    files.check(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_configuration_validates_and_all_runs_are_in_jobs(path):
    study = config.load(yaml.safe_load(path.read_text()))
    trained = [run for job in plan.train_jobs(study) for run in job.runs]
    assert sorted(trained) == sorted(budgets(study)) and len(set(trained)) == len(trained)
    piloted = [curve for job in plan.pilot_jobs(study) for curve in job.curves]
    assert sorted(piloted) == sorted({run.curve for run in trained})
    assert len({job.name for job in plan.train_jobs(study)}) == len(plan.train_jobs(study))


def test_the_default_is_the_papers_grid():
    study = config.load(raw("paper"))
    assert study.samples == 100_000_000 and study.folder == "results/paper-1e8"
    assert sum(len(row.latent_dims) * len(row.algorithms) for row in study.figure2) == 18
    figures = [run for run in budgets(study) if "+" not in run.experiment]
    assert (
        len(figures) == 18 * 3 + 1 + 18
    )  # three seeds, the model of MNIST with N_z = 2, and Figure 3
    assert (
        len(budgets(study)) == len(figures) + 9 * 8 + 15
    )  # readings x curves of the ablation, and the trade-off
    assert [study.experiments[name].n_train for name in study.figure3.experiments] == [1000, None]
    assert all(
        study.experiments[run.experiment].hidden == 100 and budgets(study)[run] == 60_000_000
        for run in STUDIES["figure3"].models(study)
    )
    assert {(m.experiment, m.latent_dim) for m in planning.drawn(study)} == {
        ("frey", 2),
        ("mnist", 2),
        ("mnist", 5),
        ("mnist", 10),
        ("mnist", 20),
    }
    settings = study.training
    assert (
        settings.batch_size,
        settings.draws,
        settings.estimator,
        settings.initial_sd,
        settings.warmup_steps,
    ) == (100, 1, "B", 0.01, 100)
    assert settings.step_sizes == [0.01, 0.02, 0.1] and settings.prior == "weights"
    assert [(e.hidden, e.likelihood, e.scale) for e in study.experiments.values()] == [
        *[(500, "bernoulli", 256), (200, "gaussian", 256)],
        *[(100, "bernoulli", 256)] * 2,
    ]


def test_the_reference_grid_is_the_papers():
    paper, reference = raw("paper"), raw("reference")
    for panel in reference["figure4"]:
        assert panel.pop("along")  # models for the slider, which the paper has not
    for part in ("figure2", "figure4", "figure5"):
        assert paper[part] == reference[part]
    third = raw("figure3")
    assert paper["estimators"] == third["estimators"]
    assert all(third["figure3"][key] == value for key, value in paper["figure3"].items())
    assert paper["experiments"] == {**reference["experiments"], **third["experiments"]}
    assert budgets(config.load(third))[Run("mnist_1000", "mcem", 3, 0)] == FIGURE3_SAMPLES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampels": 5}, ["'sampels'", "did you mean 'samples'"]),
        ({"training": {"step_size": [0.1]}}, ["'training.step_size'", "did you mean 'step_sizes'"]),
        ({"evaluation": {"frist": 5}}, ["'evaluation.frist'", "did you mean 'first'"]),
        (
            {"figure4": [{"experiment": "digits_gaussian", "gird": 4}]},
            ["gird", "did you mean 'grid'"],
        ),
        (
            {"figure4": [{"experiment": "digits_gausian", "grid": 4}]},
            ["figure4", "did you mean 'digits_gaussian'"],
        ),
        ({"device": "gpu"}, ["'device'", "'cuda'"]),
        ({"samples": "many"}, ["'samples'", "it must be a whole number (budget"]),
        ({"samples": -5}, ["'samples'", "greater than 0"]),
        ({"samples": 1.5}, ["'samples'"]),
        ({"samples": True}, ["'samples'"]),
        ({"seeds": [1, 1]}, ["seeds lists a seed twice"]),
        ({"seeds": []}, ["'seeds' is []: it must not be empty (such as [0, 1]"]),
        ({"plugins": [5]}, ["'plugins.0' is 5: it must be a valid string"]),
        (
            {"figure2": [], "figure4": [], "figure5": []}
            | dict.fromkeys(("figure3", "estimators", "ablation", "tradeoff", "variance")),
            ["nothing is asked for; add a study, such as figure2"],
        ),
        ({"seeds": 0}, ["'seeds' is 0: it must be a list, in brackets: [0]"]),
        ({"training": {"batch_size": 10**9}}, ["batch_size"]),
        ({"training": {"initial_sd": float("nan")}}, ["'training.initial_sd'"]),
        ({"name": "../x"}, ["'name'"]),
        ({"experiments": {**raw()["experiments"], "a+b": {}}}, ["'experiments.a+b"]),
        (
            reading(warmup_stops=0),
            ["'ablation.readings.mine.warmup_stops'", "did you mean 'warmup_steps'"],
        ),
        (reading(initial_sd=-1), ["'ablation.readings.mine.initial_sd' is -1", "greater than 0"]),
        (reading(dataset="mnist"), ["'ablation.readings.mine.dataset'"]),
        (
            reading(wake_sleep={"slep": "after"}),
            ["unknown key 'ablation.readings.mine.wake_sleep.slep'; did you mean 'sleep'?"],
        ),
        (
            reading(wake_sleep={"sleep": "late"}),
            ["'ablation.readings.mine.wake_sleep.sleep' is 'late': it must be 'same' or 'after'"],
        ),
        (reading(wake_sleep=5), ["'ablation.readings.mine.wake_sleep' must be a section"]),
        (reading(mcem={"leapfrog": 3}), ["ablation.readings.mine changes nothing"]),
        (reading(scale=255), ["experiments.digits_bernoulli+mine.scale must be 16"]),
        (reading(binarise=True, dequantise=True), ["experiments.digits_bernoulli+mine.binarise"]),
        (
            reading(batch_size=10**6),
            ["the batch size of digits_bernoulli+mine, 1,000,000, is larger", "batch_sizes"],
        ),
        (reading(warmup_steps=100.0), ["ablation.readings.mine changes nothing"]),
        (reading(), ["ablation.readings.mine changes nothing"]),
        (reading("default", prior="all"), ["ablation.readings.default has a name that is taken"]),
        (reading("l5-m100", prior="all"), ["ablation.readings.l5-m100 has a name that is taken"]),
        (reading("a+b", prior="all"), ["'ablation.readings.a+b"]),
        (reading(seeds=[3, 3], prior="all"), ["seeds lists a seed twice"]),
        (
            reading(experiment="digits_300", prior="all"),
            ["figure3 shares the experiment 'digits_300'"],
        ),
        (
            {"evidence": {"datapoints": 100, "checked": 101}},
            ["evidence.checked, 101, is more than evidence.datapoints, 100"],
        ),
        (
            {
                "evidence": {"datapoints": 100, "chains_per_decade": 2},
                "figure3": raw()["figure3"] | {"latent_dim": 4},
            },
            ["evidence.chains_per_decade leaves chains out", "figure3.latent_dim is 4"],
        ),
        (
            reading(experiment="digit", prior="all"),
            ["ablation names the experiment 'digit'", "did you mean 'digits_"],
        ),
        (
            {"tradeoff": {"experiment": "digits", "latent_dim": 2}},
            ["tradeoff names the experiment 'digits'"],
        ),
        (tradeoff(draws=[0]), ["'tradeoff.draws.0'", "greater than 0"]),
        (
            tradeoff(batch_sizes=[100, 50_000]),
            ["the batch size of digits_bernoulli+l1-m50000, 50,000, is larger"],
        ),
        (
            {"variance": {"experiment": "digits_gaussian", "latent_dims": [10]}},
            ["variance names N_z = 10 of 'digits_gaussian'"],
        ),
        (
            {"variance": {"experiment": "digits_gaussian", "latent_dims": [2], "samples": [10**6]}},
            ["variance.samples are all beyond"],
        ),
        ({"training": {"batch_size": 1}}, ["variance needs a batch size", "of at least 2"]),
        ({"batch_sizes": {"digit": 5}}, ["batch_sizes names the experiment 'digit'"]),
        (
            {"extended": {"samples": 5e5, "seeds": [0]}},
            ["extended.samples must be more than samples, 5e5"],
        ),
        ({"extended": {"samples": 1e6, "seeds": [7]}}, ["extended.seeds must be among seeds"]),
        (reading(seeds=[7], prior="all"), ["ablation.seeds must be among seeds"]),
        (
            {"samples": 5e3, "extended": {"samples": 1e6, "seeds": [0]}},
            ["samples must not be less than evaluation.first"],
        ),
        (
            {"extended": {"samples": 1e6, "seeds": [0], "experiments": ["digit"]}},
            ["extended names the experiment 'digit'", "did you mean"],
        ),
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
    def mirrors(**changes):
        return {job.settings["mirror"] for job in plan.dataset_jobs(config.load(raw() | changes))}

    monkeypatch.setenv("AEVB_MIRROR", "elsewhere")
    assert config.load(raw()).mirror == "elsewhere" and mirrors() == {"elsewhere"}
    assert config.load({**raw(), "mirror": "here"}).mirror == "here"
    assert mirrors(mirror="here") == {"here"}
    monkeypatch.delenv("AEVB_MIRROR")
    assert config.load(raw()).mirror is None


@pytest.mark.parametrize(
    ("samples", "text"), [(10**8, "1e8"), (1_500_000, "1.5e6"), (250, "2.5e2"), (100, "1e2")]
)
def test_short(samples, text):
    assert short(samples) == text


def test_small_runs_share_jobs_and_large_ones_do_not():
    quick, paper = config.load(raw("quick")), config.load(raw("paper"))
    assert len(plan.train_jobs(quick)) == 8 and len(plan.pilot_jobs(quick)) == 6
    # one job each, so that a curve or seed more makes no finished run stale
    assert len(plan.train_jobs(paper)) == len(budgets(paper))
    shared = [
        run for job in plan.pilot_jobs(paper) if len(job.runs) > 1 for run in job.runs
    ]  # those that are short
    one_step_size = {
        run for run in shared if len(paper.training_of(run.experiment).step_sizes) == 1
    }
    assert all(
        run.experiment in paper.figure3.experiments or run in one_step_size for run in shared
    )


BESIDE = ("ablation", "tradeoff", "variance", "extended")


def test_a_reading_changes_what_it_names_and_nothing_else():
    study = config.load({**raw("paper"), "seeds": [4, 5]})
    base, changed = (
        Run("mnist", "aevb", 20, 4),
        Run("mnist+warmup0-sd0.1", "aevb", 20, 4),
    )
    assert {base, changed} <= set(STUDIES["ablation"].models(study)) and Run(
        "mnist", "aevb", 20, 5
    ) not in STUDIES["ablation"].models(study)
    before, after = settings_of(study, base), settings_of(study, changed)
    assert (before["samples"], after["samples"]) == (10**8, 10**6)
    assert after["training"] == {**before["training"], "warmup_steps": 0, "initial_sd": 0.1}
    assert {**after, "samples": 0, "training": 0} == {**before, "samples": 0, "training": 0}
    assert planning.pilot_settings(study, [changed])["training"] == after["training"]
    scaled = settings_of(study, changed._replace(experiment="mnist+scale255"))
    assert (
        scaled["experiment"] == {**before["experiment"], "scale": 255}
        and scaled["training"] == before["training"]
    )
    assert study.experiment("mnist+scale255") == study.experiments["mnist"].model_copy(
        update={"scale": 255.0}
    )
    small = config.load({**raw("paper"), "samples": 2e5})
    assert set(budgets(small).values()) == {200_000, 100_000, 40_000, 20_000}


def test_the_study_lays_every_reading_beside_the_default():
    study = config.load({**raw(), **reading(prior="all", seeds=[0, 1])})
    names = [run.name for run in STUDIES["ablation"].models(study)]
    assert names == [
        f"digits_bernoulli{suffix}/{algorithm}-nz2-seed{seed}"
        for suffix in ("", "+mine")
        for algorithm in ("aevb", "wake_sleep")
        for seed in (0, 1)
    ]
    assert set(names) <= {run.name for run in budgets(study)}
    asked = {run.name: samples for run, samples in budgets(study).items()}
    assert (
        asked["digits_bernoulli/aevb-nz2-seed0"]
        == asked["digits_bernoulli/aevb-nz2-seed1"]
        == 500_000
    )
    assert {run.seed for run in planning.pilot_runs(study)} == {0}


def test_the_trade_off_costs_the_same_whatever_l_and_m():
    study = config.load(raw("paper"))
    assert len(STUDIES["tradeoff"].models(study)) == 16
    names = {sizes: name for name, sizes in STUDIES["tradeoff"].sizes(study).items()}
    for draws in (1, 2, 5, 10):
        for batch_size in (10, 20, 50, 100):
            name = names[draws, batch_size]
            assert name == (
                "mnist" if (draws, batch_size) == (1, 100) else f"mnist+l{draws}-m{batch_size}"
            )
            settings = settings_of(study, Run(name, "aevb", 20, 0))
            assert (settings["training"]["draws"], settings["training"]["batch_size"]) == (
                draws,
                batch_size,
            )
            assert settings["evaluation"]["first"] * draws == 100_000
            assert settings["training"]["pilot_samples"] == 100_000
            assert name == "mnist" or settings["samples"] * draws == 1_000_000
    uneven = config.load({**raw(), **tradeoff(draws=[3], batch_sizes=[7], samples=1e4)})
    assert budgets(uneven)[Run("digits_bernoulli+l3-m7", "aevb", 2, 0)] == 3334


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_the_studies_change_nothing_about_the_runs_of_figures(name):
    whole = config.load(raw(name))
    alone = config.load({key: value for key, value in raw(name).items() if key not in BESIDE})
    assert [run for run in budgets(whole) if "+" not in run.experiment] == list(budgets(alone))
    jobs = [
        [job for job in plan.train_jobs(study) if "+" not in job.experiment]
        for study in (whole, alone)
    ]
    assert jobs[0] == jobs[1]
    for job in jobs[0]:
        for settings in (settings_of, lambda study, run: planning.pilot_settings(study, [run])):
            assert json.dumps(settings(whole, job.runs[0])) == json.dumps(
                settings(alone, job.runs[0])
            )


def test_some_seeds_go_on_and_their_grid_contains_the_others():
    study = config.load(
        {
            **raw("reference"),
            "samples": 1e6,
            "tradeoff": None,
            "seeds": [0, 1],
            "extended": {"samples": 1e7, "seeds": [1]},
        }
    )
    figures = {run: samples for run, samples in budgets(study).items() if "+" not in run.experiment}
    assert all(samples == (10**7 if run.seed == 1 else 10**6) for run, samples in figures.items())
    jobs = plan.train_jobs(
        config.load({**raw(), "job_seconds": 10**6, "extended": {"samples": 6e5, "seeds": [1]}})
    )
    for job in jobs:  # settings are those of the job's first run
        assert len({run.seed for run in job.runs}) == 1 or job.experiment in (
            "digits_300",
            "digits_1500",
        )
    assert len({job.name for job in jobs}) == len(jobs)
    settings = settings_of(study, Run("mnist", "aevb", 3, 1))
    assert settings["samples"] == 10**7
    options = study.evaluation
    short, long = (
        training.grid(options.first, samples, options.points_per_decade, 2000)
        for samples in (10**6, 10**7)
    )
    assert set(short) < set(long)
    some = {
        "extended": {"samples": 1e7, "seeds": [1], "experiments": ["frey"]},
        "samples": 1e6,
        "seeds": [0, 1],
        "tradeoff": None,
    }
    longer = {
        run
        for run, samples in budgets(config.load({**raw("reference"), **some})).items()
        if samples > 10**6
    }
    assert longer == {run for run in figures if run.seed == 1 and run.experiment == "frey"}


def test_the_variance_study_gets_its_own_slice():
    def jobs(**changes):
        return STUDIES["variance"].jobs(config.load({**raw("paper"), **changes}))

    study = config.load({**raw("paper"), "samples": 2e5})
    models = STUDIES["variance"].models(study)
    assert len(models) == 2 and [job.runs for job in jobs(samples=2e5)] == [(m,) for m in models]
    settings = jobs(samples=2e5)[0].settings
    assert (
        settings["points"] == [0, 20_000, 100_000]
        and settings["minibatches"] == settings["replicates"] == 20
    )
    pilot = planning.pilot_settings(study, models[:1])
    assert settings["training"] == {**pilot, "samples": 100_000}
    assert settings == jobs(samples=3e5, seeds=[0])[0].settings
    assert len(ESTIMATORS) == GRADIENT_ESTIMATORS


def test_the_documentation_of_the_claims_is_in_step():
    run = [sys.executable, "-m", "aevb", "claims"]
    text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs/claims.md").read_text(encoding="utf-8") == text


def test_the_documentation_of_the_keys_is_in_step():
    text = reference.reference()
    assert (ROOT / "config/README.md").read_text() == text
    whole = config.model()
    assert all(f"\n| `{name}` |" in text or f"\n## `{name}`" in text for name in whole.model_fields)
    orders = [text.index(f"## `{study.key}`") for study in STUDIES.values() if study.section]
    assert orders == sorted(orders)


def test_the_documentation_says_what_a_key_takes():
    def says(section, key):
        part = reference.reference().split(f"## `{section}`" if section else "## Top level")[1]
        row = next(line for line in part.splitlines() if line.startswith(f"| `{key}` |"))
        return [cell.strip() for cell in row.split(" | ")[1:3]]

    assert says("", "samples") == ["(required)", "whole number > 0"]
    assert says("", "device") == ["`auto`", "`auto`, `cpu`, `cuda`"]
    assert says("", "job_runs") == ["nothing", "whole number > 0 or nothing"]
    assert says("training", "step_sizes") == ["`[0.01, 0.02, 0.1]`", "list of numbers > 0"]
    assert says("mcem", "acceptance") == ["`0.9`", "number > 0 and < 1"]
    assert says("variance", "minibatches") == ["`20`", "whole number ≥ 2"]
    online, all_of_them = says("figure2", "algorithms")[1], says("figure3", "algorithms")[1]
    assert "`aevb`" in online and "`mcem`" in all_of_them and "`mcem`" not in online
    for dataset in DATASETS:
        assert f"`{dataset}`" in says("experiments", "dataset")[1]


def test_a_small_budget_has_fewer_evaluations_of_log_p():
    raw = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    study = STUDIES["figure3"]

    def points(budget, **given):
        part = {**raw["figure3"], **given}
        return study.points(config.load({**raw, "samples": budget, "figure3": part}))

    assert [points(budget) for budget in (2e5, 5e5, 1e6, 1e8)] == [4, 6, 12, 20]
    assert points(1e8, samples=4e5) == 5 and points(2e5, points=9) == 9


def test_an_experiment_may_have_step_sizes_of_its_own():
    raw = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    study = config.load(raw | {"step_sizes": {"frey": [0.02]}})
    own, others = study.training_of("frey"), study.training_of("mnist")
    assert (
        own.step_sizes == study.training_of("frey+sd0.1").step_sizes == [0.02]
        and others.step_sizes == study.training.step_sizes
    )
    assert study.training_of("frey+step0.01").step_sizes == [0.01]
    with pytest.raises(
        UserError, match=r"step_sizes names the experiment 'fray'; did you mean 'frey'\?"
    ):
        config.load(raw | {"step_sizes": {"fray": [0.02]}})


def test_a_learner_may_have_step_sizes_of_its_own():
    raw = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    sizes = {"frey": [0.1], "frey/aevb": [0.02, 0.05], "mnist/wake_sleep": [0.03]}
    study = config.load(raw | {"step_sizes": sizes, "job_seconds": 10**6})
    asked = [("frey", ""), ("frey", "wake_sleep"), ("frey", "aevb"), ("mnist", "wake_sleep")]
    found = [study.training_of(*names).step_sizes for names in asked]
    assert found == [[0.1], [0.1], [0.02, 0.05], [0.03]]
    assert study.training_of("mnist", "aevb").step_sizes == study.training.step_sizes

    # What decides a run has the step sizes of its learner, so runs of one job share them.
    runs = [run for run in planning.budgets(study) if run.experiment == "frey"]
    packs = planning.pack(study, runs, lambda run: 1.0)
    assert {run for pack in packs for run in pack} == set(runs) and len(packs) == 2
    for pack in packs:
        [steps] = {tuple(study.training_of("frey", run.algorithm).step_sizes) for run in pack}
        both = planning.settings(study, pack, 1000), planning.pilot_settings(study, pack)
        assert all(settings["training"]["step_sizes"] == list(steps) for settings in both)
    with pytest.raises(UserError, match="step_sizes names the learner 'aebv'; did you mean 'aevb'"):
        config.load(raw | {"step_sizes": {"frey/aebv": [0.02]}})


def test_a_wrong_list_of_plug_ins_hides_what_it_causes():
    row = {"experiment": "digits_bernoulli", "latent_dims": [2], "algorithms": ["mine"]}
    with pytest.raises(UserError) as error:
        config.load({**raw(), "plugins": [5], "figure2": [row]})
    assert "plugins" in str(error.value) and "mine" not in str(error.value)
