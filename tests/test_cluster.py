"""The profiles for clusters, on a real Slurm of one node (slurm_node.py), and what of them can
be tested without one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slurm_node
import yaml

from aevb import config, results
from aevb.pipeline import made, plan
from aevb.studies import planning

ROOT = Path(__file__).parent.parent
CLUSTER = ["slurm", "slurm-gres", "cluster-generic"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


def profile(name):
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())


# Every rule of the quick study, in few jobs, with a training job that goes through six curves and
# one that goes through four.
STUDY = yaml.safe_load((ROOT / "config/quick.yaml").read_text()) | {
    "name": "cluster",
    "samples": 6e4,
    "seeds": [0],
    "job_seconds": 600,
    "training": {"pilot_samples": 4e3, "step_sizes": [0.01, 0.02], "warmup_steps": 20},
    "evidence": {"datapoints": 10, "draws": 20, "warmup": 10, "importance_draws": 25},
    "figure3": {"experiments": ["digits_300"], "latent_dim": 2, "points": 2, "samples": 2e4},
    "estimators": {
        "experiment": "digits_bernoulli",
        "latent_dims": [2],
        "datapoints": 10,
        "replicates": 2,
        "draws": [10],
    },
}
for part in ("ablation", "tradeoff", "variance", "reference"):
    del STUDY[part]
FOLDER = "results/cluster-6e4"
CANCELLED, OVERDUE = "train_digits_bernoulli_0", "train_digits_gaussian_0"


def test_the_profiles_differ_from_each_other_only_where_they_say():
    profiles = {name: profile(name) for name in CLUSTER}
    for name, found in profiles.items():
        assert (found["retries"], found["latency-wait"], found["jobs"]) == (3, 60, 200), name
        assert found["set-resource-scopes"] == {
            "gpu": "local"
        }  # a workstation's limit of one GPU, which is read as well, is none here
        assert found["executor"] == name.removesuffix("-gres")
        assert not set(found) & set(profile("default"))  # whose keys would win
    own = {"slurm-partition-config", "default-resources"}
    assert {k: v for k, v in profiles["slurm"].items() if k not in own} == {
        k: v for k, v in profiles["slurm-gres"].items() if k not in own
    }
    partitions = [
        (ROOT / f"profiles/{name}/partitions.yaml").read_text() for name in ("slurm", "slurm-gres")
    ]
    assert partitions[0] == partitions[1]


def test_a_misspelt_profile_is_an_error(tmp_path):
    done = subprocess.run(
        [*SNAKEMAKE, "-n", "--cores", "1", "--profile", "profiles/slrum"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode != 0
        and "profiles/slrum" in done.stderr
        and "no profile.yaml" in done.stderr
    )


def test_every_job_has_memory_and_a_time_limit(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    done = subprocess.run(
        [*SNAKEMAKE, "--configfile", "study.json", "-n", "--cores", "1", "--quiet", "host"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    jobs = re.findall(
        r"^(?:rule|localrule) (\S+):\n((?:    .*\n)+)", done.stdout + done.stderr, re.MULTILINE
    )
    assert len({name for name, _ in jobs}) > 15, done.stdout + done.stderr
    for name, text in jobs:
        asks = "mem_mb=" in text and "runtime=" in text
        assert asks or name.startswith("dataset_") or name == "all", (name, text)


def test_states_reach_every_training_job_and_decide_no_result():
    raw = yaml.safe_load((ROOT / "config/quick.yaml").read_text())
    kept = plan.train_jobs(config.load({**raw, "states": "kept"}))
    plain = plan.train_jobs(config.load(raw))
    assert kept and all(job.settings["states"] == "kept" for job in kept)
    assert [made.told(job.settings) for job in kept] == [made.told(job.settings) for job in plain]


def test_time_limits_grow_with_the_budget_and_have_an_end():
    raw = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    limits = []
    for samples in (1e6, 1e7, 1e8):
        study = config.load({**raw, "samples": samples, "device": "cpu"})
        limits.append(
            {
                job.name: planning.minutes(study, job)
                for job in plan.train_jobs(study)
                if job.experiment == "mnist"
            }
        )
    longest = [max(found.values()) for found in limits]
    assert planning.START_MINUTES < longest[0] < longest[1] < longest[2]
    assert longest[2] <= planning.LONGEST_MINUTES
    everything = plan.train_jobs(study)[0]._replace(seconds=1e9)
    assert planning.minutes(study, everything) == planning.LONGEST_MINUTES


def test_job_runs_spreads_an_experiment_over_gpus():
    raw = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    together, spread = (
        {
            job.name: job.runs
            for job in plan.train_jobs(config.load({**raw, "device": "cuda", "job_runs": number}))
        }
        for number in (None, 3)
    )
    assert len(together["mnist_0"]) == 31 and len(together["frey_0"]) == 24
    assert all(len(runs) <= 3 for runs in spread.values())
    assert sorted(run for runs in spread.values() for run in runs) == sorted(
        run for runs in together.values() for run in runs
    )
    assert {run.curve for run in spread["mnist_1"]} == {
        "mnist/wake_sleep-nz3"
    }  # its three seeds: a stack


@pytest.fixture(scope="module")
def node():
    if reason := slurm_node.why_not():
        pytest.skip(reason)
    with slurm_node.node() as folder:
        yield folder


def snakemake(folder, name, *arguments):
    """Start the study in `folder` through the profile `name`, impatient as no site should be;
    returns the process."""
    command = [*SNAKEMAKE, "--profile", str(ROOT / f"profiles/{name}")]
    command += [
        "--configfile",
        "study.json",
        "--latency-wait",
        "20",
        "--seconds-between-status-checks",
        "1",
    ]
    if name != "cluster-generic":  # there is no accounting here
        command += [
            "--slurm-init-seconds-before-status-checks",
            "3",
            "--slurm-status-command",
            "squeue",
        ]
    said = open(folder / "said", "w")  # noqa: SIM115
    return subprocess.Popen([*command, *arguments], cwd=folder, stdout=said, stderr=said)


def jobs_of(rule):
    """What Slurm says of all jobs of `rule`, in the order of their submission."""
    said = subprocess.run(
        ["scontrol", "show", "job", "--details", "--oneliner"], capture_output=True, text=True
    ).stdout
    found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in said.splitlines()]
    named = [
        job for job in found if job.get("Comment") == f"rule_{rule}" or job.get("JobName") == rule
    ]
    return sorted(named, key=lambda job: int(job["JobId"]))


def trainers(rule, folder):
    """Process ids of the Python that runs the script of `rule`'s job."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            mine = (
                any(word.endswith(b".job.py") for word in words)
                and (process / "cwd").readlink() == folder
            )
            if mine and rule_of(process) == rule:
                yield int(process.name)
        except OSError:
            continue


def rule_of(process):
    """The rule of a job, from the command line of the Snakemake process that started its script."""
    while process.name not in ("0", "1"):
        words = (process / "cmdline").read_bytes().split(b"\0")
        if b"--allowed-rules" in words:
            return words[words.index(b"--allowed-rules") + 1].decode()
        process = (
            Path("/proc")
            / re.search(r"^PPid:\s*(\d+)", (process / "status").read_text(), re.MULTILINE)[1]
        )
    return None


@pytest.mark.slurm
def test_the_quick_pipeline_on_slurm_with_a_cancelled_and_an_overdue_job(node, tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    # One training job gets the stand-in for a GPU, and another a minute, which it sleeps through.
    resources = [f"{CANCELLED}:gpu=1", f"{OVERDUE}:runtime=10 * attempt - 9"]
    process = snakemake(tmp_path, "slurm", "--set-resources", *resources)
    try:
        checkpoints = {
            rule: tmp_path / f"{FOLDER}/runs/{rule[6:-2]}/aevb-nz2-seed0.checkpoint.h5"
            for rule in (CANCELLED, OVERDUE)
        }
        environment, stopped = {}, False
        while process.poll() is None and (checkpoints or not stopped):
            for rule, checkpoint in list(checkpoints.items()):
                if checkpoint.exists() and (pids := list(trainers(rule, tmp_path))):
                    environment[rule] = Path(f"/proc/{pids[0]}/environ").read_bytes().split(b"\0")
                    if rule == OVERDUE:
                        os.kill(pids[0], signal.SIGSTOP)
                        stopped = True
                    else:
                        subprocess.run(["scancel", jobs_of(rule)[0]["JobId"]], check=True)
                    del checkpoints[rule]
            time.sleep(0.05)
        assert not checkpoints, (tmp_path / "said").read_text()[-3000:]
        assert process.wait(timeout=1500) == 0, (tmp_path / "said").read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()

    # Every job but the local ones was a Slurm job with what its rule asks for.
    said = (tmp_path / "said").read_text()
    study = config.load(STUDY)
    for job in plan.train_jobs(study):
        rule = f"train_{job.name}"
        first = jobs_of(rule)[0]
        limit = 1 if rule == OVERDUE else planning.minutes(study, job)
        assert first["TimeLimit"] == f"{limit // 60:02}:{limit % 60:02}:00" and first[
            "MinMemoryNode"
        ] in ("2000M", "2G")
        assert (
            first["Partition"] == ("gpu" if rule == CANCELLED else "cpu")
            and first["CPUs/Task"] == "1"
        )
        assert first.get("TresPerJob") == ("gres:gpu:1" if rule == CANCELLED else None)
    assert (
        b"CUDA_VISIBLE_DEVICES=0" in environment[CANCELLED]
        and b"CUDA_VISIBLE_DEVICES=0" not in environment[OVERDUE]
    )
    for rule in (
        "gather",
        "claims",
        "page_manifold",
        "report",
        "paper",
        "encoded_digits_bernoulli",
        "baselines_digits_gaussian",
    ):
        assert [job["JobState"] for job in jobs_of(rule)] == ["COMPLETED"], rule
    assert not jobs_of("dataset_digits") and "jobs go to the cluster" in said

    # The two were tried again and went on from their checkpoints.
    for rule, state in ((CANCELLED, "CANCELLED"), (OVERDUE, "TIMEOUT")):
        states = [job["JobState"] for job in jobs_of(rule)]
        assert states[0] == state and states[-1] == "COMPLETED" and len(states) >= 2
        assert (
            tmp_path / f".snakemake/slurm_logs/rule_{rule}/{jobs_of(rule)[0]['JobId']}.log"
        ).exists()  # the first attempt's
        assert "resumed at" in (tmp_path / f"{FOLDER}/logs/train/{rule[6:]}.log").read_text()
    assert not list(tmp_path.rglob("*checkpoint*")) and not list(tmp_path.rglob(".partial-*"))

    # The results are those of a local run, in one process.
    local = tmp_path / "local"
    local.mkdir()
    (local / "study.json").write_text(json.dumps(STUDY))
    subprocess.run(
        [sys.executable, "-m", "aevb", "run", "study.json"],
        cwd=local,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / FOLDER / "curves.csv").read_bytes() == (
        local / FOLDER / "curves.csv"
    ).read_bytes()
    for run in planning.budgets(study):
        here, there = (
            results.read_run(folder / planning.run_path(study, run)) for folder in (tmp_path, local)
        )
        assert (
            all(np.array_equal(value, there.weights[name]) for name, value in here.weights.items())
            and here.status == "completed"
        )


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("slurm", "TresPerJob", "gres:gpu:1"),
        ("slurm-gres", "TresPerNode", "gres:gpu:1"),
        ("cluster-generic", "TresPerJob", "gres:gpu:1"),
    ],
)
def test_a_job_asks_for_its_gpu_in_one_way(node, tmp_path, name, field, value):
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    target = f"{FOLDER}/pilots/digits_300/mcem-nz2.h5"
    process = snakemake(tmp_path, name, "--retries", "0", "--config", "device=cuda", "--", target)
    assert process.wait(timeout=600) != 0  # the stand-in is no device that torch would find
    said = (tmp_path / "said").read_text()
    assert "torch finds no CUDA device" in said, said[-3000:]
    job = jobs_of("pilot_digits_300_0")[-1]
    assert job[field] == value and job["Partition"] == "gpu" and job["JobState"] == "FAILED"
    assert {"TresPerJob", "TresPerNode", "TresPerTask"} & set(job) == {field}  # and in no other
