"""A study without Snakemake: the same files as the pipeline's, which then has nothing left to
train."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aevb import results
from aevb.core.errors import UserError
from aevb.pipeline import local

ROOT = Path(__file__).parent.parent
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
    "training": {"pilot_samples": 5000, "step_sizes": [0.01, 0.05]},
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
    assert "preparing data/digits.h5" in said and "10 of 10 models to train" in said
    gathered = results.read_gathered(folder / "results/tiny-1e4/gathered.h5")
    assert (
        len(gathered.runs) == 10
        and len(gathered.pilots) == 5
        and len(gathered.evidence) == 6
        and len(gathered.estimators) == 1
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
    assert {"figure", "report", "all"} <= jobs
    assert not {job for job in jobs if job.startswith(("pilot", "train", "evidence", "estimators"))}


def test_what_is_there_stays_and_what_is_missing_or_of_other_settings_is_made(study):
    folder, _ = study
    made = folder / "results/tiny-1e4"
    before = {path: path.stat().st_mtime_ns for path in made.glob("*/**/*.h5")}
    lost = made / "runs/digits/wake_sleep-nz2-seed1.h5"
    lost.unlink()
    assert "1 of 10 models to train" in run(folder, "tiny.json")
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} == {lost}

    other = {
        **STUDY,
        "results": "results/tiny-1e4",
        "training": {**STUDY["training"], "warmup_steps": 50},
    }
    (folder / "other.json").write_text(json.dumps(other))
    said = run(folder, "other.json", "--without-estimates")
    assert "pilot of digits/aevb-nz2" in said and "10 of 10 models to train" in said


def test_mistakes_and_missing_packages_are_one_sentence(study, tmp_path):
    folder, _ = study
    assert "pip install pydantic" in run(folder, "tiny.json", missing=("pydantic",), check=False)
    assert "pip install pyyaml" in run(ROOT, "config/quick.yaml", missing=("yaml",), check=False)
    said = run(folder, "tiny.json", missing=("arviz_stats",), check=False)
    assert "arviz" in said and "--without-estimates" in said and "to train" not in said
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
