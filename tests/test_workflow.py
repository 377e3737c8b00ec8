"""The pipeline as a person runs it: dry runs, a whole quick study in a temporary folder, bad
input, lint."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import image

from aevb import config, results
from aevb.pipeline import unpack
from aevb.studies.planning import budgets

ROOT = Path(__file__).parent.parent
QUICK = str(ROOT / "config/quick.yaml")
# The study that tests train: quick.yaml with less to measure.
LESS = {
    "samples": "6e4",
    "evidence": {"datapoints": 30},
    "figure3": {"points": 3},
    "estimators": {"datapoints": 10, "replicates": 2, "draws": [20, 50]},
    "variance": {"replicates": 100},
}
SMALL = ("--configfile", QUICK, "--config", *(f"{k}={json.dumps(v)}" for k, v in LESS.items()))
FIGURES = ["figure2", "figure3", "figure4", "figure5", "estimators"]


def snakemake(folder, *arguments, check=True):
    """Run snakemake on the project's Snakefile with `folder` as working directory; returns its
    output."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        *arguments,
    ]
    without_gpu = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # on which jobs are packed otherwise
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=1800, env=without_gpu
    )
    output = done.stdout + done.stderr
    if check:
        assert done.returncode == 0, output[-4000:]
    else:
        assert done.returncode != 0, output[-4000:]
    return output


def planned(output):
    """Job counts by rule name, from the table Snakemake prints."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", output, re.MULTILINE | re.DOTALL)
    return (
        {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        if table
        else {}
    )


def test_the_environment_may_lie_in_a_folder_with_a_space(tmp_path):
    """Snakemake calls Python without quotes."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "venv").symlink_to(sys.prefix)
    (folder / "mine.yaml").write_text((ROOT / "config/minimal.yaml").read_text(encoding="utf-8"))

    def call(cwd, **environment):
        command = [
            str(folder / "venv/bin/python"),
            "-m",
            "snakemake",
            "--cores",
            "1",
            "--snakefile",
        ]
        command += [str(ROOT / "Snakefile"), "--configfile", str(folder / "mine.yaml")]
        command += ["--", "data/digits.h5"]
        environment = os.environ | environment
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    code, said = call(folder)
    assert code == 0 and (folder / "data/digits.h5").exists(), said
    code, said = call(tmp_path, PATH=f"{folder / 'venv/bin'}:{os.environ['PATH']}")
    assert code == 0 and (tmp_path / "data/digits.h5").exists(), said
    code, said = call(tmp_path)
    assert code != 0 and "has a space or another character that a shell reads in its path" in said


@pytest.mark.parametrize(
    ("arguments", "train", "pilot", "evidence", "estimators", "variance", "encoded", "datasets"),
    [
        ((), 160, 45, 18, 5, 2, 2, 2),
        (("--config", "samples=1e6"), 160, 45, 18, 5, 2, 2, 2),
        (("--configfile", str(ROOT / "config/reference.yaml")), 122, 19, 0, 5, 2, 2, 2),
        (("--configfile", str(ROOT / "config/figure3.yaml")), 21, 13, 12, 5, 0, 1, 1),
        (("--configfile", QUICK), 8, 6, 6, 1, 1, 2, 1),
    ],
)
def test_dry_run_plans_every_job(
    tmp_path, arguments, train, pilot, evidence, estimators, variance, encoded, datasets
):
    jobs = planned(snakemake(tmp_path, "--dry-run", "--cores", "2", *arguments))
    kinds = Counter()
    for name, count in jobs.items():
        kinds[name.partition("_")[0]] += count
    # one for each row of Figure 2
    baselines = {160: 2, 122: 2, 21: 1, 8: 2}[train]
    # the distance to the paper is one more, which has no curves of the digits
    # and the reference run shows those of the studies beside it
    figures = {122: 32}.get(train, 5 if evidence else 3) + (QUICK not in arguments)
    # reconstructions, of both data sets in one job each
    reconstructed = 2 if train in (160, 122) else 0
    figures += bool(reconstructed)
    assert kinds.pop("total") == kinds.total()
    assert kinds == {
        "dataset": datasets,
        "pilot": pilot,
        "train": train,
        **({"evidence": evidence} if evidence else {}),
        **({"estimators": estimators} if estimators else {}),
        **({"variance": variance} if variance else {}),
        "encoded": encoded,
        **({"unfolding": 10} if train == 122 else {}),
        "baselines": baselines,
        **({"reconstructed": reconstructed} if reconstructed else {}),
        "gather": 1,
        "figure": figures,
        "claims": 1,
        "page": 1,
        "paper": 1,
        "report": 1,
        "all": 1,
    }


def test_a_misspelt_key_stops_before_any_job(tmp_path):
    output = snakemake(
        tmp_path, "--cores", "1", "--configfile", QUICK, "--config", "sampels=5", check=False
    )
    assert "unknown key 'sampels'; did you mean 'samples'?" in output
    assert not (tmp_path / "results").exists()


def test_the_reference_folder_takes_no_other_study(tmp_path):
    output = snakemake(
        tmp_path,
        "--cores",
        "1",
        "--configfile",
        str(ROOT / "config/reference.yaml"),
        "--config",
        "samples=1e6",
        check=False,
    )
    assert "results/reference is for the study" in output and "results=results/NAME" in output


def test_redraw_without_results_says_so(tmp_path):
    output = snakemake(
        tmp_path, "--cores", "1", "--configfile", QUICK, "--config", "redraw=true", check=False
    )
    assert "gathered.h5, which does not exist" in output
    (tmp_path / "results/mine").mkdir(parents=True)
    shutil.copy(ROOT / "results/reference/gpu/gathered.h5", tmp_path / "results/mine")
    words = ("--config", "redraw=true", "results=results/mine")
    output = snakemake(tmp_path, "--cores", "1", "--configfile", QUICK, *words, check=False)
    assert "has no results of figure4, figure5, estimators" in output
    assert "leave these sections out, or run without redraw" in output


def test_without_cores_nothing_begins(tmp_path):
    output = snakemake(tmp_path, "--cores", "0", "--configfile", QUICK, check=False)
    assert "--cores 0 leaves nothing to work with" in output


@pytest.mark.slow
def test_data_that_cannot_be_had_is_one_sentence_at_the_end(tmp_path):
    output = snakemake(
        tmp_path,
        "--cores",
        "2",
        "--config",
        "samples=2e5",
        f"mirror={tmp_path / 'nowhere'}",
        check=False,
    )
    last = output[output.index("Stopped before the end") :]
    assert "0 of 2 data sets prepared, 0 of 112 step sizes chosen, 0 of 160 models trained" in last
    assert "Failed: dataset_" in last and "see results/paper-2e5/logs/dataset/" in last
    assert "nowhere" in last and "mirror" in last and "resumes" in last
    assert (
        f"--config samples=2e5 {shlex.quote('mirror=' + str(tmp_path / 'nowhere'))}\n" in last
    )  # the command, to be copied
    assert not list(tmp_path.glob("data/**/*.gz")) and not list(tmp_path.glob("data/*.h5"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A whole quick study with a small budget; (folder, results folder, output of the run)."""
    folder = tmp_path_factory.mktemp("a study with spaces")
    output = snakemake(folder, "--cores", "2", *SMALL)
    return folder, folder / "results/quick-6e4", output


def test_quick_study_end_to_end(study):
    folder, made, output = study
    assert "34 models" in output and "2 of them variants" in output and "Estimated time" in output
    end = output[output.rindex("jobs done in") :]
    assert (
        "18 step sizes chosen, 34 models trained" in end
        and "5 figures drawn" in end
        and "results/quick-6e4/report.html" in end
    )
    gathered = results.read_gathered(made / "gathered.h5")
    assert len(gathered.runs) == 34 and len(gathered.pilots) == 18
    baselines = gathered.of("baselines")
    assert set(baselines) == {"digits_bernoulli", "digits_gaussian"}
    assert all(np.isfinite(table.frame["value"]).all() for table in baselines.values())
    for name, run in gathered.runs.items():
        assert results.read_run(made / f"runs/{name}.h5").attributes == run.attributes
        step = 15 * run.n_train if run.algorithm == "mcem" else 100
        budget = (
            12_000 if "+l5-" in name else 60_000
        )  # five draws a datapoint cost five times as much
        assert (
            run.status == "completed"
            and run.samples == -(-budget // step) * step
            and run.threads == 1
        )
        assert run.step_size == gathered.pilots[name.rsplit("-seed", 1)[0]].step_size
        assert run.settings["samples"] == budget
        assert re.fullmatch(r"[0-9a-f]{64}", run.data_sha256) and re.fullmatch(
            r"[0-9a-f]{40}|unknown", run.git_commit
        )
    with h5py.File(made / "gathered.h5") as file:
        with_weights = {run for run in gathered.runs if f"runs/{run}/weights" in file}
    assert with_weights == {
        "digits_gaussian/aevb-nz2-seed0",
        *(f"digits_bernoulli/aevb-nz{d}-seed0" for d in (2, 5, 10)),
    }

    table = pd.read_csv(made / "curves.csv")
    assert list(table.columns) == results.CURVES_CSV
    assert len(table) == sum(
        2 * len(run.curve) for name, run in gathered.runs.items() if "+" not in name
    )
    assert set(table["algorithm"]) == {"aevb", "wake_sleep", "mcem"} and set(table["split"]) == {
        "train",
        "test",
    }
    run = gathered.runs["digits_bernoulli/wake_sleep-nz5-seed1"]
    rows = table.query(
        "dataset == 'digits_bernoulli' and latent_dim == 5 and algorithm == 'wake_sleep' and seed "
        "== 1 and split == 'test'"
    )
    np.testing.assert_allclose(rows["value"], run.curve["test"], atol=6e-4)

    assert len(gathered.of("evidence")) == 12 and len(gathered.of("estimators")) == 3
    for (
        name,
        estimates,
    ) in gathered.of(
        "evidence"
    ).items():  # importance sampling and the bound below it against quadrature
        last, run = (
            estimates.frame[estimates.frame["samples"] == estimates.frame["samples"].max()],
            gathered.runs[name],
        )
        np.testing.assert_allclose(last["importance"], last["quadrature"], atol=0.05)
        if run.algorithm != "mcem":
            assert (
                run.curve["train"].iloc[-1] < last["quadrature"].iloc[0] + 0.5
            )  # of all points, and of the first hundred
    rows = table.query(
        "figure == 3 and dataset == 'digits' and n_train == 300 and algorithm == 'mcem' and seed "
        "== 0 and split == 'test'"
    )
    frame = gathered.of("evidence")["digits_300/mcem-nz2-seed0"].frame
    np.testing.assert_allclose(
        rows["value"], frame[frame["split"] == "test"]["importance"], atol=6e-4
    )

    assert [
        list(table.frame["samples"].unique()) for table in gathered.of("variance").values()
    ] == [[0, 20_000]] * 2
    runs = [
        gathered.runs[f"digits_bernoulli{variant}/aevb-nz2-seed0"] for variant in ("", "+warmup0")
    ]
    assert [run.settings["training"]["warmup_steps"] for run in runs] == [100, 0]
    assert (
        runs[1].curve["test"].iloc[0] > runs[0].curve["test"].iloc[0] + 3
    )  # where the base has not moved yet

    for name in FIGURES:
        picture = image.imread(made / f"figures/{name}.png")
        assert picture[..., :3].std() > 0.02
        assert (made / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
    page = (made / "report.html").read_text()
    assert "<svg" in page or "data:image" in page
    assert not list(made.rglob("*checkpoint*")) and not list(folder.rglob(".partial-*"))


def test_a_second_run_does_nothing(study):
    folder, _, _ = study
    assert "Nothing to be done" in snakemake(folder, "--cores", "2", *SMALL)


def test_data_that_was_deleted_and_made_again_makes_nothing_stale(study):
    folder, _, _ = study
    (folder / "data/digits.h5").unlink()
    snakemake(
        folder,
        "--cores",
        "1",
        *SMALL,
        "--",
        "data/digits.h5",
    )
    assert "Nothing to be done" in snakemake(folder, "--cores", "2", *SMALL)


def test_snakemakes_own_report(study, tmp_path):
    folder, _, _ = study
    snakemake(
        folder,
        *SMALL,
        "--report",
        str(tmp_path / "report.html"),
    )
    page = (tmp_path / "report.html").read_text()
    assert "Figure 5: random samples" in page and "curves.csv" in page


@pytest.mark.slow
def test_interrupted_as_by_ctrl_c_it_resumes_to_the_same_numbers(study, tmp_path):
    _, made, _ = study
    runs = sorted(
        path.relative_to(made.parent.parent) for path in made.glob("runs/digits_gaussian/*.h5")
    )
    arguments = [
        "--cores",
        "2",
        *SMALL,
        "--",
        *map(str, runs),
    ]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        *arguments,
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # A shell starts its background jobs with SIGINT ignored, and children inherit that.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, preexec_fn=heed, **quiet
    )
    while process.poll() is None and not list(tmp_path.glob("results/**/[!.]*.checkpoint.h5")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert runs and not all((tmp_path / path).exists() for path in runs)
    snakemake(tmp_path, *arguments)
    for path in runs:
        again, before = (
            results.read_run(folder / path) for folder in (tmp_path, made.parent.parent)
        )
        pd.testing.assert_frame_equal(
            again.curve.drop(columns="seconds"),
            before.curve.drop(columns="seconds"),
            check_exact=True,
        )
        assert again.weights.keys() == before.weights.keys() and again.weights
        assert all(
            np.array_equal(again.weights[name], before.weights[name]) for name in again.weights
        )


def test_another_budget_leaves_the_first_alone(study):
    folder, _, _ = study
    jobs = planned(
        snakemake(
            folder, "--dry-run", "--cores", "2", "--configfile", QUICK, "--config", "samples=8e4"
        )
    )
    assert jobs["gather"] == 1 and jobs["train_digits_gaussian_0"] == 1


@pytest.mark.slow
def test_redraw_needs_gathered_results_alone_and_gives_the_same_bytes(study, tmp_path):
    _, made, _ = study
    target = tmp_path / "results/quick-6e4"
    target.mkdir(parents=True)
    shutil.copy(made / "gathered.h5", target)
    output = snakemake(tmp_path, "--cores", "2", *SMALL, "redraw=true")
    assert planned(output) == {
        **{f"figure_{name}": 1 for name in FIGURES},
        "claims": 1,
        "page_manifold": 1,
        "paper": 1,
        "report": 1,
        "all": 1,
        "total": 10,
    }
    names = [
        "report.html",
        "report.pdf",
        "manifold.html",
        "claims.csv",
        *(f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "svg", "png")),
    ]
    for name in names:
        assert (target / name).read_bytes() == (made / name).read_bytes(), name


def test_a_gathered_file_is_enough_to_go_on_with_more_seeds(study, tmp_path):
    _, made, _ = study
    target = tmp_path / "results/quick-6e4"
    target.mkdir(parents=True)
    shutil.copy(made / "gathered.h5", target)
    more = yaml.safe_load(Path(QUICK).read_text())
    for name, value in LESS.items():
        more[name] = more[name] | value if isinstance(value, dict) else value
    more |= {"seeds": [0, 1, 2], "job_seconds": 0}
    (tmp_path / "more.json").write_text(json.dumps(more))
    command = [sys.executable, "-m", "aevb", "unpack", "more.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "34 of 50 runs" in done.stderr, done.stderr
    for path in target.rglob("*.h5"):
        if path.parent.parent.name == "runs":
            np.testing.assert_array_equal(
                results.read_run(path).curve,
                results.read_run(made / path.relative_to(target)).curve,
            )
    jobs = planned(snakemake(tmp_path, "--dry-run", "--cores", "1", "--configfile", "more.json"))
    kinds = {name.split("_")[0] for name in jobs}
    assert not kinds & {"pilot", "variance", "encoded", "dataset"}
    assert sum(count for name, count in jobs.items() if name.startswith("train_")) == 50 - 34
    # Of other settings nothing is taken; what lies there of them is removed if that is asked for.
    (tmp_path / "longer.json").write_text(
        json.dumps(more | {"samples": "7e4", "results": str(target)})
    )
    command[-1] = "longer.json"
    done = subprocess.run(
        [*command, str(target / "gathered.h5"), "--replace"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    before, study = (
        config.load(more | {"samples": samples, "results": str(target)})
        for samples in ("6e4", "7e4")
    )
    samples = budgets(before)
    fitting = sum(samples.get(run) == budget for run, budget in budgets(study).items())
    assert (
        f"{fitting} of 50 runs" in done.stderr and len(list(target.glob("runs/*/*.h5"))) == fitting
    ), done.stderr
    # Another first seed has pilots of its own, which may choose other step sizes.
    other = config.load(more | {"seeds": [1, 0], "results": str(tmp_path / "other")})
    assert unpack.unpack(other, target / "gathered.h5")[0] == 0


def test_lint():
    for command in (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "Snakefile", "workflow"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    output = snakemake(ROOT, "--lint", "--configfile", QUICK)
    assert "in a good condition" in output
