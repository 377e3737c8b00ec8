"""A study without Snakemake: the same files as the pipeline's, which then has nothing left to
train."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aevb import config, results
from aevb.core.errors import UserError
from aevb.pipeline import local, made, plan

ROOT = Path(__file__).parent.parent
#: rules that train or measure begin so
MEASURED = (
    "dataset",
    "pilot",
    "train",
    "evidence",
    "estimators",
    "encoded",
    "baselines",
    "variance",
)
STUDY = {
    "name": "tiny",
    "samples": 1e4,
    "seeds": [0, 1],
    "device": "cpu",
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16},
        "digits_300": {
            "dataset": "digits",
            "likelihood": "bernoulli",
            "hidden": 20,
            "scale": 16,
            "n_train": 300,
        },
    },
    "training": {"pilot_samples": 5000, "step_sizes": [0.01, 0.05], "warmup_steps": 20},
    "evaluation": {"first": 5000},
    "mcem": {"pilot_iterations": 5},
    "evidence": {"datapoints": 20, "draws": 20, "warmup": 10, "importance_draws": 25},
    "figure2": [{"experiment": "digits", "latent_dims": [2]}],
    "figure3": {"experiments": ["digits_300"], "latent_dim": 2, "points": 2},
    "figure4": [{"experiment": "digits", "grid": 4}],
    "figure5": [{"experiment": "digits", "latent_dims": [2]}],
    "estimators": {
        "experiment": "digits",
        "latent_dims": [2],
        "datapoints": 10,
        "replicates": 2,
        "draws": [10],
    },
    "variance": {
        "experiment": "digits",
        "latent_dims": [2],
        "samples": [0],
        "minibatches": 2,
        "replicates": 2,
    },
}
# A machine without Snakemake and figures: importing them fails.
WITHOUT = """
import runpy, sys
sys.modules |= dict.fromkeys({missing!r})
sys.argv[1:1] = ["run"]
runpy.run_module("aevb", run_name="__main__", alter_sys=True)
"""


def run(folder, *arguments, missing=("snakemake", "matplotlib", "jinja2"), check=True):
    """Run `python -m aevb run` in `folder` where the packages `missing` cannot be imported;
    returns what it says."""
    command = [sys.executable, "-c", WITHOUT.format(missing=missing), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == check, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "tiny.json").write_text(json.dumps(STUDY))
    return folder, run(folder, "tiny.json")


def test_a_whole_study(study):
    folder, said = study
    assert "dataset: 1 of 1 files to make" in said and "train: 10 of 10 files to make" in said
    assert "package matplotlib is missing" in said and "redraw=true" in said
    gathered = results.read_gathered(folder / "results/tiny-1e4/gathered.h5")
    assert (
        len(gathered.runs) == 10
        and len(gathered.pilots) == 5
        and len(gathered.of("evidence")) == 6
        and len(gathered.of("estimators")) == len(gathered.of("encoded")) == 1
        and len(gathered.of("baselines")) == len(gathered.of("variance")) == 1
    )
    assert all(result.status == "completed" for result in gathered.runs.values())
    pilot = gathered.pilots["digits/aevb-nz2"]
    assert (
        json.loads(pilot.config)["training"]["step_sizes"] == [0.01, 0.05]
        and pilot.data_sha256
        and pilot.code_sha256
    )
    assert (folder / "results/tiny-1e4/curves.csv").read_text().startswith("figure,dataset")


def test_snakemake_takes_over_with_nothing_left_to_train(study):
    folder, _ = study
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        "tiny.json",
        "--cores",
        "1",
        "-n",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {
        line.split()[0]
        for line in done.stdout.splitlines()
        if len(line.split()) == 2 and line.split()[1].isdigit()
    }
    assert {"figure_figure2", "report", "all"} <= jobs
    assert not {job for job in jobs if job.startswith(MEASURED)}


def due(study):
    """{job: names of the outputs that are due} of the jobs of a study."""
    jobs = {job.rule: made.due(job) for job in plan.jobs(study)}
    return {
        rule: {path.split("/", 3)[-1] for path in job.outputs} for rule, job in jobs.items() if job
    }


def test_what_follows_from_a_new_choice_is_due(study, monkeypatch):
    monkeypatch.chdir(study[0])
    tiny = config.load(STUDY)
    measured = {rule for rule in due(tiny) if rule.startswith((*MEASURED, "gather"))}
    assert not measured  # figures alone are
    assert "gather" in due(config.load({**STUDY, "beside": ["other.h5"]}))
    path = Path("results/tiny-1e4/pilots/digits/aevb-nz2.h5")
    before, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    pilot = results.read_pilot(path)
    [pilot.step_size] = {0.01, 0.05} - {pilot.step_size}
    results.write_pilot(path, pilot)
    found = due(tiny)
    assert found["train_digits_0"] == {f"digits/aevb-nz2-seed{seed}.h5" for seed in (0, 1)}
    assert found["variance_digits_0"] == {"digits/aevb-nz2-seed0.h5"}
    assert not [rule for rule in found if rule.startswith(("pilot", "evidence", "encoded"))]
    path.write_bytes(before)
    os.utime(path, ns=times)


def test_what_is_there_stays_and_what_is_missing_or_of_other_settings_is_made(study):
    folder, _ = study
    place = folder / "results/tiny-1e4"
    before = {path: path.stat().st_mtime_ns for path in place.glob("*/**/*.h5")}
    lost = place / "runs/digits/wake_sleep-nz2-seed1.h5"
    lost.unlink()
    said = run(folder, "tiny.json")
    assert "train: 1 of 10 files to make" in said and "pilot" not in said
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} == {lost}

    other = {
        **STUDY,
        "results": "results/tiny-1e4",
        "training": {**STUDY["training"], "warmup_steps": 10},
    }
    (folder / "other.json").write_text(json.dumps(other))
    said = run(folder, "other.json", "--until", "train", check=False)
    assert (
        "made with other settings (5 pilots, 10 models, 1 variance table)" in said
        and "to make" not in said
    )
    said = run(folder, "other.json", "--until", "train", "--set", "replace=true")
    assert "pilot: 5 of 5 files to make" in said and "train: 10 of 10 files to make" in said
    assert "evidence" not in said and "gather" not in said


def test_mistakes_and_missing_packages_are_one_sentence(study, tmp_path):
    folder, _ = study
    assert "pip install pydantic" in run(folder, "tiny.json", missing=("pydantic",), check=False)
    assert "pip install pyyaml" in run(ROOT, "config/quick.yaml", missing=("yaml",), check=False)
    said = run(folder, "tiny.json", missing=("arviz_stats",), check=False)
    assert "arviz" in said and "--until train" in said and "to make" not in said
    assert "did you mean 'samples'" in run(folder, "tiny.json", "--set", "sampels=1e5", check=False)
    assert "results=results/NAME" in run(
        ROOT, "config/reference.yaml", "--set", "samples=1e6", check=False
    )
    assert local.override({"a": 1}, ["samples=1e6", "seeds=[0, 1]", "device=cuda"]) == {
        "a": 1,
        "samples": 1e6,
        "seeds": [0, 1],
        "device": "cuda",
    }
    with pytest.raises(UserError, match="KEY=VALUE"):
        local.override({}, ["samples"])
    for text, word in (("[1, 2]", "does not hold"), ("{", "cannot be parsed")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match=word):
            local.read(str(tmp_path / "bad.json"))
    with pytest.raises(UserError, match="cannot read"):
        local.read(str(tmp_path / "none.yaml"))
    assert os.listdir(tmp_path) == ["bad.json"]
