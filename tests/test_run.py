"""The start-up script ./run where Python is missing, too old, or lacks venv; and that it reuses
what it built."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARALLEL = ["--numprocesses", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]


@pytest.fixture
def checkout(tmp_path):
    """A folder with a space in its name that holds nothing but ./run and a lock."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(ROOT / "run", folder)
    (folder / "requirements.lock").write_text("six==1.17.0\n")
    return folder


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def run(checkout, *arguments, **environment):
    return subprocess.run(
        [str(checkout / "run"), *arguments],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("exit 127", "too old; install Python 3.11"),
        ('case "$2" in *venv*) exit 1;; *version_info*) exit 0;; esac', "lacks the venv module"),
        (None, "no /nowhere/python here"),
    ],
)
def test_what_is_missing_is_one_sentence(checkout, tmp_path, python, words):
    path = script(tmp_path / "python", python) if python else "/nowhere/python"
    done = run(checkout, PYTHON=path)
    assert done.returncode == 1
    assert (
        words in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    )
    assert not (checkout / ".run-venv").exists()


def test_a_built_environment_is_reused_and_arguments_are_handed_on(checkout):
    script(checkout / ".run-venv/bin/python", '[ "$1" = -c ] || for word; do echo "<$word>"; done')
    shutil.copy(checkout / "requirements.lock", checkout / ".run-venv")
    said = {
        (): ["-m", "snakemake", "--cores", "all", "--configfile", "config/start.yaml"],
        ("test", "-k", "a b"): ["-m", "pytest", *PARALLEL, "-k", "a b"],
        ("--cores", "2", "--config", "samples=1e6"): [
            "-m",
            "snakemake",
            "--cores",
            "2",
            "--config",
            "samples=1e6",
        ],
    }
    for arguments, expected in said.items():
        done = run(checkout, *arguments, PYTHON="/nowhere/python")
        assert done.stdout.splitlines() == [f"<{word}>" for word in expected], done.stderr


def test_a_configuration_is_named_from_the_callers_folder_or_the_checkouts(built, tmp_path):
    (built / "config").mkdir()
    (built / "config/paper.yaml").write_text("name: a\n")
    (tmp_path / "mine.yaml").write_text("name: b\n")
    (tmp_path / "wide.yaml").write_text("name: c\n", encoding="utf-16")

    def call(*arguments):
        command = [str(built / "run"), "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.stdout.split(" with ")[0], done.stderr

    mine = f"{tmp_path}/mine.yaml"
    start = "python -m snakemake --cores 1 --configfile"
    assert call("--configfile", "mine.yaml", "-n")[0] == f"{start} {mine} -n"
    assert call("--configfile=mine.yaml", "--", "check")[0] == f"{start} {mine} -- check"
    assert call("--configfile", "config/paper.yaml")[0] == f"{start} config/paper.yaml"
    for name, said in (("none.yaml", "there is no configuration"), ("wide.yaml", "no UTF-8 text")):
        out, error = call("--configfile", name)
        assert not out and error.startswith("error: ") and said in error and error.count("\n") == 1


def test_another_lock_is_built_anew(checkout):
    script(checkout / ".run-venv/bin/python", "exit 0")
    (checkout / ".run-venv/requirements.lock").write_text("six==1.16.0\n")
    done = run(checkout, PYTHON="/nowhere/python")
    assert done.returncode == 1 and "no /nowhere/python here" in done.stderr


@pytest.fixture
def built(checkout):
    """A checkout with an environment whose python says its arguments and PYTHONPATH, and whose
    uv says its own."""
    script(checkout / ".run-venv/bin/python", '[ "$1" = -c ] || echo "python $* with $PYTHONPATH"')
    shutil.copy(checkout / "requirements.lock", checkout / ".run-venv")
    (checkout / "benchmarks").mkdir()
    (checkout / "benchmarks/requirements.lock").write_text("pyro-ppl==1.9.2\n")
    return checkout


def test_the_benchmark_installs_its_libraries_once_for_each_lock(built, tmp_path):
    script(tmp_path / "bin/uv", 'echo "uv $*"')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    install = (
        "uv pip install --python .run-venv/bin/python --require-hashes "
        "--requirement benchmarks/requirements.lock"
    )
    work = f"python benchmarks/throughput.py --rounds 1 with {built / 'src'}"
    assert run(built, "bench", "--rounds", "1", PATH=path).stdout.splitlines() == [install, work]
    assert run(built, "bench", "--rounds", "1", PATH=path).stdout.splitlines() == [work]
    (built / "benchmarks/requirements.lock").write_text("pyro-ppl==1.9.1\n")
    assert run(built, "bench", "--rounds", "1", PATH=path).stdout.splitlines() == [install, work]


def test_without_a_network_the_benchmark_runs_and_tries_again_next_time(built, tmp_path):
    script(tmp_path / "bin/uv", "exit 1")
    for _ in range(2):
        done = run(built, "bench", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        assert done.returncode == 0 and done.stdout.startswith(
            "python benchmarks/throughput.py with"
        )
        assert "could not be installed" in done.stderr
