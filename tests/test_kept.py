"""Finished results that stay: a job that is due makes only what does not fit it."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from test_workflow import planned, snakemake

from aevb import config, data, results
from aevb.core import files
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.engine.pilot import pilot
from aevb.engine.settings import Settings
from aevb.pipeline import cost, kept, made, plan
from aevb.report import general

ROOT = Path(__file__).parent.parent
STUDY = {
    "name": "tiny",
    "samples": 4e3,
    "seeds": [0, 1],
    "device": "cpu",
    "results": "results",
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 10, "scale": 16}
    },
    "training": {"pilot_samples": 2e3, "step_sizes": [0.02], "warmup_steps": 10},
    "evaluation": {"first": 2e3},
    "figure2": [{"experiment": "digits", "latent_dims": [2], "algorithms": ["aevb"]}],
    "figure4": [{"experiment": "digits", "grid": 2}],
    "figure5": [{"experiment": "digits", "latent_dims": [2]}],
}
MORE = {**STUDY, "seeds": [0, 1, 2]}
OTHER = {**STUDY, "training": {**STUDY["training"], "batch_size": 50}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study, made without Snakemake up to the gathered file."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "study.json").write_text(json.dumps(STUDY))
    command = [sys.executable, "-m", "aevb", "run", "study.json", "--until", "gather"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def study(whole, tmp_path, monkeypatch):
    """A copy of it, where the test works, as if Snakemake had made it."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    Path(tmp_path, "results", kept.ALONE).unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs(raw=STUDY):
    """The jobs of a study that train and measure, by kind."""
    planned = [job for job in plan.jobs(config.load(raw)) if job.kind in made.measured()]
    return {job.kind: job for job in planned}


def lose(job):
    """Remove what a job makes, as Snakemake does before it starts."""
    for output in job.outputs:
        Path(output).unlink(missing_ok=True)


def dry(folder, raw):
    """What a dry run of Snakemake says of the study `raw` in `folder`, and its exit status."""
    (folder / "other.json").write_text(json.dumps(raw))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "other.json", "--cores", "1", "--dry-run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    return said, done.returncode


def test_snakemake_takes_no_results_that_do_not_fit_where_it_has_no_record(whole, tmp_path):
    """Of a folder that was copied, or that the command made: it would call them up to date."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for name in ("curves.csv", "report.html", "report.pdf", "manifold.html"):
        Path(tmp_path, "results", name).touch()
    said, code = dry(tmp_path, {**STUDY, "name": "other", "job_seconds": 77})  # decide no result
    assert code == 0 and "gather" not in planned(said)
    said, code = dry(tmp_path, OTHER)
    assert code == 1 and "finished results in results were made with other settings (1 pi" in said
    said, code = dry(tmp_path, {**STUDY, "seeds": [1]})
    assert code == 0 and "gather" in planned(said) and "train_digits_0" not in planned(said)
    said, code = dry(tmp_path, {**STUDY, "seeds": [1, 5]})
    assert code == 0 and {"gather", "train_digits_0"} <= set(planned(said))

    run = tmp_path / "results/runs/digits/aevb-nz2-seed0.h5"
    with h5py.File(run, "a") as file:
        file.attrs["code_sha256"], file.attrs["code_modules"] = "0" * 64, "{}"
    content = run.read_bytes()[files.BLOCK :]
    run.write_bytes(files._block(content) + content)
    said, code = dry(tmp_path, STUDY)
    assert code == 1 and "1 of its files are of other settings or code (first: results/runs" in said

    shutil.rmtree(tmp_path / "results/runs")
    Path(tmp_path, "results", kept.ALONE).unlink()
    said, code = dry(tmp_path, MORE)
    assert code == 1 and "and the files of its models are gone; to keep it, set results=" in said


def test_a_file_of_another_run_is_none_of_this(study):
    """Neither seed nor N_z is among the settings that a run stores."""
    shutil.copy("results/runs/digits/aevb-nz2-seed0.h5", "results/runs/digits/aevb-nz2-seed2.h5")
    job = jobs(MORE)["train"]
    assert [made.made(job, k) for k in range(3)] == [True, True, False]
    with pytest.raises(UserError, match=r"made with other settings \(1 model\)"):
        kept.hold("results", [job])


def test_a_table_whose_model_is_gone_is_made_anew(study):
    job = jobs()["encoded"]
    assert made.made(job, 0)
    Path(job.inputs["runs"][0]).unlink()
    assert not made.made(job, 0) and made.due(job) == job


def test_what_a_killed_pipeline_kept_is_put_back_by_the_command(study):
    job = jobs()["train"]
    kept.hold("results", [job])
    lose(job)
    Path("results/.kept/record.json").unlink()
    before = [kept._link("results", path).stat().st_mtime_ns for path in job.outputs]
    command = [sys.executable, "-m", "aevb", "run", "study.json", "--until", "train"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "files to make" not in done.stderr and not Path("results/.kept").exists()
    assert [Path(path).stat().st_mtime_ns for path in job.outputs] == before


def test_what_a_configuration_no_longer_asks_for_is_named(study):
    whole = plan.jobs(config.load(STUDY))
    for name in ("aevb-nz2-seed0.checkpoint.h5", ".partial-aevb-nz2-seed0.h5"):
        Path("results/runs/digits", name).touch()
    assert kept.unasked("results", whole) == ""
    fewer = {key: value for key, value in STUDY.items() if key != "figure4"} | {"seeds": [0]}
    said = kept.unasked("results", plan.jobs(config.load(fewer)))
    assert "1 model (first: results/runs/digits/aevb-nz2-seed1.h5), 1 encoded table" in said
    before = sorted(Path("results").rglob("*-seed[01].h5"))
    Path("study.json").write_text(json.dumps({**STUDY, "seeds": [0]}))
    command = [sys.executable, "-m", "aevb", "run", "study.json", "--until", "train"]
    script = subprocess.run(command, capture_output=True, text=True)
    assert script.returncode == 0, script.stderr
    assert "1 model (first: results/runs/digits/aevb-nz2-seed1.h5). Delete" in script.stderr
    assert sorted(Path("results").rglob("*-seed[01].h5")) == before


def test_what_fits_stays_and_nothing_is_made_anew(study):
    mine = jobs()
    before = {path: Path(path).read_bytes() for job in mine.values() for path in job.outputs}
    assert kept.hold("results", mine.values()) == []
    for job in mine.values():
        lose(job)
        assert kept.put_back("results", job) == (None, [])
        for output in job.outputs:
            os.utime(output)  # as Snakemake does when a job has ended
    assert {path: Path(path).read_bytes() for path in before} == before
    kept.release("results", finished=True)
    assert not Path("results/.kept").exists()
    assert all(made.made(job, k) for job in mine.values() for k in range(len(job.outputs)))


def test_more_seeds_make_the_new_ones_alone(study):
    job = jobs(MORE)["train"]
    first, second, third = job.outputs
    checkpoint = Path(first).with_suffix(".checkpoint.h5")
    checkpoint.write_bytes(b"of a job that was killed later")
    kept.hold("results", [job])
    lose(job)
    due, lines = kept.put_back("results", job)
    assert [run.seed for run in due.runs] == [2] and due.outputs == [third] and lines == []
    assert Path(first).exists() and Path(second).exists() and not checkpoint.exists()


def test_other_settings_are_counted_told_and_made_anew_where_that_is_asked_for(study):
    other = jobs(OTHER)
    with pytest.raises(UserError, match=r"\(1 pilot, 2 models.*results/NAME.*replace=true"):
        kept.hold("results", other.values())
    assert not Path("results/.kept").exists()
    [line] = kept.hold("results", other.values(), replace=True)
    assert line.startswith("Finished results in results were made with other settings")
    assert "1 pilot, 2 models" in line and "--config results=results/NAME" in line
    lose(other["train"])
    due, lines = kept.put_back("results", other["train"])
    assert due == other["train"]
    assert [words.split(" ")[0] for words in lines] == other["train"].outputs
    assert all(made.OTHER_SETTINGS in words for words in lines)


def test_a_changed_default_is_as_if_the_key_had_been_set(study, tmp_path_factory):
    """Of a copy of the sources, which is edited."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    sections = copy / "src/aevb/config/sections.py"
    text = sections.read_text()
    sections.write_text(
        text.replace("epsilon: Positive = Field(1e-8", "epsilon: Positive = Field(1")
    )
    assert sections.read_text() != text
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
from aevb import config
from aevb.core.errors import UserError
from aevb.pipeline import kept, made, plan
for raw in json.loads(sys.argv[2]):
    [job] = plan.train_jobs(config.load(raw))
    try:
        said = kept.hold("results", [job])
    except UserError as error:
        said = str(error)
    print(json.dumps([made.deciding(job.settings), said]))
"""
    given = {**STUDY, "training": {**STUDY["training"], "epsilon": 1e-8}}
    command = [sys.executable, "-c", code, str(copy / "src"), json.dumps([STUDY, given])]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (after, said), same = map(json.loads, output.splitlines())
    before = made.deciding(jobs()["train"].settings)
    assert same == [before, []]  # with the key given
    assert before["training"].pop("epsilon") == 1e-8 and after["training"].pop("epsilon") == 1
    assert after == before and "made with other settings (2 models)" in said


@pytest.mark.parametrize("forced", [False, True])
def test_what_stays_is_not_announced(study, forced, capsys, monkeypatch):
    asked = {
        "config": STUDY,
        "cores": 1,
        "due": [job.rule for job in plan.jobs(config.load(STUDY))],
    }
    monkeypatch.setattr(cost, "seconds_per_sample", lambda *_: 1e-3)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({**asked, "forced": forced})))
    cost.main(["-"])
    assert ("To train: 2 models" in capsys.readouterr().err) == forced


def test_results_of_other_code_are_counted_and_made_anew(study, monkeypatch):
    monkeypatch.setattr(made, "differs", lambda stored, code: ["aevb.models.kernels"])
    job = jobs()["train"]
    [line] = kept.hold("results", [job])
    assert "by other code" in line and "2 models" in line
    due, lines = kept.put_back("results", job)
    assert due == job and "aevb.models.kernels" in lines[0]


def test_other_data_are_noticed_once_they_are_there(study, edited):
    job = jobs()["train"]
    kept.hold("results", [job])
    lose(job)
    with edited("data/digits.h5") as file:
        file.attrs["sha256"] = "of other images"
    assert kept.put_back("results", job)[0] == job


def test_a_pilot_that_chose_another_step_size_makes_its_models_anew(study, edited):
    job = jobs()["train"]
    assert made.made(job, 0)
    kept.hold("results", [job])
    lose(job)
    with edited(job.inputs["pilots"][0]) as file:
        file.attrs["step_size"] = 0.5
    assert kept.put_back("results", job)[0] == job


def test_the_pilot_of_one_step_size_trains_nothing_and_one_that_did_stays(study, capsys):
    job, [path] = jobs()["pilot"], jobs()["pilot"].outputs
    found = results.read_pilot(path)
    assert found.step_size == 0.02 and found.bounds.shape == (1, 0) and found.seconds == 0
    settings = Settings.from_dict(job.settings)
    loaded = data.load(job.inputs["data"][0], settings.experiment)
    trained = pilot(job.runs[0], settings, loaded)  # as before there were such
    assert trained.step_size == 0.02 and len(trained.samples) and np.isfinite(trained.bounds).all()
    for name in ("config", "data_sha256", "code_sha256", "code_modules"):
        assert getattr(found, name) == getattr(trained, name)
    results.write_pilot(path, trained)
    assert made.made(job, 0) and all(made.made(jobs()["train"], k) for k in range(2))
    # What is said of it.
    part = general.part(results.read_gathered("results/gathered.h5"), pd.DataFrame(), {})
    assert part.tables["pilots"].rows == [["digits", "2", "AEVB", "–", "0.02, given"]]
    study = config.load(STUDY)
    assert plan.pilot_cost(study, job.runs[0]) == 0
    cost.announce(study, 1, [*plan.pilot_jobs(study), *plan.train_jobs(study)])
    assert "after" not in capsys.readouterr().err


def test_a_job_without_runs_is_done_whole(monkeypatch):
    study = config.load(yaml.safe_load((ROOT / "config/studies.yaml").read_text()))
    several = [job for job in plan.study_jobs(study) if len(job.outputs) > 1 and not job.runs]
    assert {job.kind for job in several} == {"reconstruction_terms"}
    for missing, wanted in (([1], several[0]), ([], None)):
        monkeypatch.setattr(made, "made", lambda job, k, missing=missing: k not in missing)
        assert made.due(several[0]) == wanted


def test_a_table_stays_with_its_model_alone(study):
    """Its model is put back, then made anew."""
    mine = jobs()
    train, encoded = mine["train"], mine["encoded"]
    kept.hold("results", [train, encoded])
    lose(train)
    kept.put_back("results", train)
    for output in train.outputs:
        os.utime(output)
    lose(encoded)
    assert kept.put_back("results", encoded)[0] is None
    lose(train)
    found(train.work)([train])
    lose(encoded)
    assert kept.put_back("results", encoded)[0] == encoded


def test_a_run_that_stops_gives_back_what_it_kept(study):
    mine = jobs()
    times = {path: os.stat(path).st_mtime_ns for job in mine.values() for path in job.outputs}
    kept.hold("results", mine.values())
    lose(mine["encoded"])  # and its job failed
    lose(mine["train"])
    kept.put_back("results", mine["train"])
    for output in mine["train"].outputs:
        os.utime(output)
    kept.release("results", finished=False)
    assert {path: os.stat(path).st_mtime_ns for path in times} == times
    assert all(made.made(job, k) for job in mine.values() for k in range(len(job.outputs)))


def test_a_plan_that_changed_on_the_way_removes_nothing(study):
    more = {**MORE, "job_runs": 2}
    planned = plan.jobs(config.load(more))
    rules = [job.rule for job in planned]
    kept.check_plan("results", planned, rules)  # nothing is noted: of no pipeline
    kept.note("results", planned)
    kept.check_plan("results", planned, rules)
    for later in (MORE, {**more, "job_runs": 1}):
        repacked = plan.jobs(config.load(later))
        with pytest.raises(UserError, match=r"train_digits_\d makes other files now, .* run again"):
            kept.check_plan("results", repacked, ["train_digits_0", "train_digits_1"])
        kept.check_plan("results", repacked, ["pilot_digits_0", "gather"])
    kept.release("results", finished=False)
    kept.check_plan("results", repacked, rules)


def test_without_hard_links_files_are_copied(study, monkeypatch):
    def none(*arguments):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    job = jobs()["train"]
    kept.hold("results", [job])
    lose(job)
    assert kept.put_back("results", job) == (None, [])
    kept.release("results", finished=False)
    assert all(made.made(job, k) for k in range(2))


# Through Snakemake.

GATHERED = "results/gathered.h5"


def run(folder, raw, *arguments, check=True):
    """Make the models of `raw` in `folder`, up to its gathered file; returns what Snakemake
    says."""
    models = {key: value for key, value in raw.items() if key not in ("figure4", "figure5")}
    (folder / "study.json").write_text(json.dumps(models))
    return snakemake(
        folder,
        "--cores",
        "1",
        "--configfile",
        "study.json",
        *arguments,
        "--",
        GATHERED,
        check=check,
    )


def runs(folder):
    """The bytes of every trained model, in which its seconds of training are."""
    return {path.name: path.read_bytes() for path in folder.glob("results/runs/*/*.h5")}


@pytest.mark.slow
def test_snakemake_makes_what_is_missing_and_says_what_it_replaces(study):
    before = runs(study)  # Snakemake has no record of them
    lost = "aevb-nz2-seed0.h5"
    (study / "results/runs/digits" / lost).unlink()
    (study / GATHERED).unlink()
    shutil.rmtree(study / "results/pilots")
    output = run(study, {**MORE, "job_seconds": 1, "job_runs": 2})
    after = runs(study)
    assert len(after) == 3 and {name for name in before if after[name] != before[name]} == {lost}
    assert "will be made anew" not in output and not (study / "results/.kept").exists()

    # A job that fails under other settings leaves nothing that is taken for its results.
    data = (study / "data/digits.h5").read_bytes()
    (study / "data/digits.h5").write_bytes(data[:1000])
    os.utime(study / "data/digits.h5", (1, 1))
    other = {**MORE, "training": OTHER["training"]}
    output = run(study, other, check=False)
    assert "made with other settings (1 pilot, 3 models)" in output and runs(study) == after
    other["replace"] = True
    output = run(study, other, check=False)
    assert "were made with other settings and will be made anew: 1 pilot, 3 models" in output
    run(study, other)
    assert all(new != after[name] for name, new in runs(study).items()) and len(runs(study)) == 3


@pytest.mark.slow
def test_forced_jobs_are_done(study):
    before = runs(study)
    run(study, STUDY, "--forcerun", "train_digits_0")
    after = runs(study)
    assert after.keys() == before.keys() and all(after[name] != before[name] for name in before)


@pytest.fixture
def copy(tmp_path_factory):
    """A copy of the repository, which is edited."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "workflow", "profiles", "report", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.mark.slow
def test_a_job_is_due_when_its_code_says_something_else(study, copy):
    """Not when times or comments change, in sources, the script or the rules."""

    def said(*arguments):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(copy / "Snakefile")]
        command += ["--cores", "1", "--configfile", "study.json", *arguments, "--", GATHERED]
        done = subprocess.run(command, cwd=study, capture_output=True, text=True, timeout=300)
        return done.stdout + done.stderr, done.returncode

    def due(*arguments):
        output, code = said(*arguments)
        assert code == 0, output
        return set(planned(output))

    due()
    assert due("--dry-run") == set()
    for name in ("src/aevb/models/kernels.py", "workflow/scripts/job.py"):
        with open(copy / name, "a") as file:
            file.write("\n# A new comment.\n")
    rules = copy / "workflow/rules/jobs.smk"
    rules.write_text(rules.read_text().replace("script:", "# A new comment.\n        script:"))
    for path in copy.rglob("*"):
        path.touch()
    assert due("--dry-run") == set()
    # Without the profile Snakemake asks for every job whose script is newer: nothing is made anew.
    before = runs(study)
    assert "train_digits_0" in due("--dry-run", "--workflow-profile", "none")
    due("--workflow-profile", "none")
    assert runs(study) == before and due("--dry-run") == set()

    sections = copy / "src/aevb/config/sections.py"
    text, epsilon = sections.read_text(), "    epsilon: Positive = Field("
    sections.write_text(text.replace(f"{epsilon}1e-8", f"{epsilon}1"))  # a changed default
    output, code = said("--dry-run")
    assert code == 1 and "made with other settings (1 pilot, 2 models)" in output
    sections.write_text(text.replace(epsilon, f"    added: Count = 1\n{epsilon}"))  # a new key
    assert "train_digits_0" in due()
    assert runs(study) == before and due("--dry-run") == set()

    kernels = copy / "src/aevb/models/kernels.py"
    text = kernels.read_text()
    kernels.write_text(text.replace("addcmul_(g, g)", "add_(g * g)"))
    assert kernels.read_text() != text
    assert {"pilot_digits_0", "train_digits_0", "gather"} <= due("--dry-run")


@pytest.mark.slow
def test_a_plan_that_is_edited_while_it_runs_loses_nothing(study, copy):
    """Jobs are packed otherwise from the first finished model on."""
    shutil.rmtree(study / "results")
    path = study / "study.json"
    raw = {key: value for key, value in MORE.items() if key not in ("figure4", "figure5")}
    path.write_text(json.dumps({**raw, "job_runs": 1}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(copy / "Snakefile")]
    command += ["--cores", "1", "--configfile", str(path), "--", GATHERED]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}

    def made():
        return {
            name: part
            for name, part in runs(study).items()
            if "checkpoint" not in name and name[0] != "."
        }

    with subprocess.Popen(command, cwd=study, **pipes) as process:
        while process.poll() is None and not made():
            time.sleep(0.01)
        planning = copy / "src/aevb/studies/planning.py"
        text = planning.read_text()
        planning.write_text(text.replace("most = config.job_runs or", "most ="))
        assert planning.read_text() != text
        finished = made()
        output = process.communicate()[0]
    assert process.returncode == 1 and "planned otherwise when it began: train_" in output
    assert "Traceback" not in output
    assert finished and finished.items() <= made().items()
    done = subprocess.run(command, cwd=study, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(made()) == 3 and finished.items() <= made().items()
