"""What goes wrong outside the code: wrong configurations, kills, full disks, damaged and hostile
files. See docs/faults.md."""

import contextlib
import copy
import functools
import gzip
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import yaml
from test_data import change, files_in, original
from test_workflow import ROOT, snakemake

from aevb import config, data, results
from aevb.config.sections import Experiment
from aevb.core import files
from aevb.core.errors import Damaged, UserError
from aevb.core.run import Run
from aevb.data import download
from aevb.engine import checkpoints, training
from aevb.engine.stack import stack_of
from aevb.pipeline import clock, console, locks
from aevb.report import style
from aevb.results import csv
from aevb.results.store import write_run_group
from aevb.studies.figure2 import figures, numbers
from aevb.studies.figure3 import EVIDENCE
from aevb.studies.figure4 import page

# A study of every kind of job but those of log p(x) and of variances, in seconds.
SMALL = {
    "name": "small",
    "samples": 1e4,
    "seeds": [0, 1],
    "device": "cpu",
    "job_seconds": 1000,
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}
    },
    "training": {"pilot_samples": 2e3, "step_sizes": [0.02, 0.05], "warmup_steps": 10},
    "evaluation": {"first": 2e3},
    "figure2": [{"experiment": "digits", "latent_dims": [2]}],
    "figure4": [{"experiment": "digits", "grid": 3}],
    "figure5": [{"experiment": "digits", "latent_dims": [2]}],
}
MADE = "results/small-1e4"
CURVES = f"{MADE}/curves.csv"
TIMES = ("train_seconds", "evaluation_seconds", "samples_per_second")


def command(folder, *arguments):
    """The command that makes the small study in `folder`, the same every time."""
    path = folder / "small.yaml"
    if not path.exists():
        path.write_text(yaml.safe_dump(SMALL))
    start = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--cores",
        "2",
        "--configfile",
        str(path),
    ]
    return [*start, *(arguments or ("--", CURVES))]


def start(folder, *arguments, **options):
    """Start that command in a session of its own; its output goes to the file `output` in
    `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "output", "w") as output:
        return subprocess.Popen(
            command(folder, *arguments),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            **options,
        )


def finish(folder, *arguments, status=0, **options):
    """Run that command to its end; returns its output."""
    ended = start(folder, *arguments, **options).wait(timeout=1200)
    output = (folder / "output").read_text()
    assert (ended == 0) == (status == 0), output[-3000:]
    return output


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The small study made without a fault; (folder, seconds that took)."""
    folder, began = tmp_path_factory.mktemp("plain"), time.monotonic()
    finish(folder)
    return folder, time.monotonic() - began


def assert_same(folder, other):
    """Both hold the same study, bit for bit but for times, and nothing half-done."""
    assert (folder / CURVES).read_bytes() == (other / CURVES).read_bytes()
    paths = sorted((folder / MADE / "runs").rglob("*"))
    assert [path.relative_to(folder) for path in paths] == [
        path.relative_to(other) for path in sorted((other / MADE / "runs").rglob("*"))
    ]
    runs = [path for path in paths if path.is_file()]
    assert len(runs) == 4
    for path in runs:
        mine, theirs = results.read_run(path), results.read_run(other / path.relative_to(folder))
        assert mine.curve.drop(columns="seconds").equals(theirs.curve.drop(columns="seconds"))
        assert (
            all(np.array_equal(value, theirs.weights[name]) for name, value in mine.weights.items())
            and mine.weights
        )
        same = [
            {name: value for name, value in run.attributes.items() if name not in TIMES}
            for run in (mine, theirs)
        ]
        assert same[0] == same[1]
    assert not list(folder.rglob(".partial-*")) and not list(folder.rglob("*.checkpoint.h5"))


RAW = {
    name: yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("quick", "paper")
}


# Wrong configurations.


def places(node, at=()):
    """The path of every key and entry in nested dictionaries and lists."""
    for step, value in (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    ):
        yield (*at, step)
        yield from places(value, (*at, step))


def inside(node, path):
    for step in path:
        node = node[step]
    return node


def named(path):
    """The last key of a path, which a message has to name."""
    return next(step for step in reversed(path) if isinstance(step, str))


def wrong_type(raw, draw):
    """A value that is of no use where it stands."""
    path = draw.choice(list(places(raw)))
    value = inside(raw, path)
    fits_no = {
        dict: ["many", 5, [1], True],
        list: ["many", 5, {"a": 1}, True],
        str: [["a"], {"a": 1}, 0.5, True, "", "two\nlines", "\x1b[31m{x}", "x" * 3000]
        if path != ("name",)
        else [[], "../x", "a b", "a\n"],
        bool: ["many", 5, [], {}],
    }.get(type(value), ["many", [], {"a": 1}, True, float("nan"), "two\nlines", b"x", "9" * 3000])
    inside(raw, path[:-1])[path[-1]] = draw.choice(fits_no)
    return [named(path)]


def wrong_range(raw, draw):
    """A number out of its range."""
    path = draw.choice(
        [
            path
            for path in places(raw)
            if isinstance(inside(raw, path), int | float)
            and not isinstance(inside(raw, path), bool)
        ]
    )
    inside(raw, path[:-1])[path[-1]] = draw.choice([-1, -0.5, float("inf"), 10**400, "-1e9"])
    return [named(path)]


def misspelt(raw, draw):
    """A key with a letter too few, too many or in the wrong place."""
    free = (("experiments",), ("ablation", "readings"))  # whose keys are names
    path = draw.choice(
        [path for path in places(raw) if isinstance(path[-1], str) and path[:-1] not in free]
    )
    parent, key = inside(raw, path[:-1]), path[-1]
    at = draw.randrange(1, len(key))
    wrong = draw.choice(
        [
            key[:at] + key[at + 1 :],
            key[:at] + "x" + key[at:],
            key[: at - 1] + key[at] + key[at - 1] + key[at + 1 :],
        ]
    )
    if wrong == key:
        wrong += "s"
    parent[wrong] = parent.pop(key)
    return [f"{wrong}'", f"did you mean '{key}'"]


def impossible(raw, draw):
    """Values of which each alone would do."""
    first = draw.choice(raw["figure2"])["experiment"]
    many = draw.randrange(10**8, 10**9)
    changes = [
        (
            {
                "training": {**raw["training"], "batch_size": many}
                if "training" in raw
                else {"batch_size": many}
            },
            "batch_size",
        ),
        ({"samples": draw.randrange(1, 99)}, "batch_size"),
        ({"evidence": {"datapoints": draw.randrange(60_000, 10**6)}}, "evidence.datapoints"),
        (
            {"estimators": {**raw["estimators"], "datapoints": draw.randrange(60_000, 10**6)}},
            "estimators.datapoints",
        ),
        (
            {"estimators": {**raw["estimators"], "latent_dims": [draw.randrange(50, 99)]}},
            "estimators names N_z",
        ),
        (
            {"estimators": {**raw["estimators"], "draws": [20, 50, 20]}},
            "draws lists an entry twice",
        ),
        (
            {"estimators": {**raw["estimators"], "experiment": "nobody"}},
            "estimators names the experiment 'nobody'",
        ),
        ({"extended": {"samples": draw.randrange(1, 10**5), "seeds": [0]}}, "extended.samples"),
        ({"extended": {"samples": 10**10, "seeds": [draw.randrange(50, 99)]}}, "extended.seeds"),
        ({"seeds": [3, 4, 3]}, "seeds"),
        ({"variance": {**raw["variance"], "samples": [10**9 + many]}}, "variance.samples"),
        (
            {"variance": {**raw["variance"], "latent_dims": [draw.randrange(50, 99)]}},
            "variance names N_z",
        ),
        ({"training": {"batch_size": 1}}, "batch_size"),
        ({"training": {"step_sizes": [0.1, 0.2, 0.1]}}, "training"),
        ({"figure3": {**raw["figure3"], "experiments": [first]}}, "figure3 shares the experiment"),
        (
            {"figure3": {**raw["figure3"], "algorithms": ["aevb", "aevb"]}},
            "algorithms lists an entry twice",
        ),
        (
            {"figure4": [{"experiment": "nobody", "grid": 5}]},
            "figure4 names the experiment 'nobody'",
        ),
        ({"tradeoff": {**raw["tradeoff"], "batch_sizes": [many]}}, "batch_size"),
        ({"tradeoff": {**raw["tradeoff"], "draws": [2, 2]}}, "draws lists an entry twice"),
        ({"ablation": {**raw["ablation"], "readings": {"same": {}}}}, "ablation.readings.same"),
        (
            {"ablation": {**raw["ablation"], "readings": {"default": {"prior": "all"}}}},
            "ablation.readings.default",
        ),
        ({"ablation": {**raw["ablation"], "readings": {"b": {"batch_size": many}}}}, "batch_size"),
    ]
    for name, experiment in raw["experiments"].items():
        other = {
            "scale": draw.choice([16, 255])
            if experiment["dataset"] != "digits"
            else draw.choice([255, 256]),
            "n_train": draw.randrange(60_000, 10**6),
            "binarise": True,
        }
        if experiment["dataset"] != "digits":
            other["scale"] = 16
        if experiment["likelihood"] == "bernoulli":
            del other["binarise"]
        key = draw.choice(list(other))
        changes.append(
            (
                {"experiments": {**raw["experiments"], name: {**experiment, key: other[key]}}},
                f"experiments.{name}.{key}",
            )
        )
    change, word = draw.choice(changes)
    raw.update(change)
    return [word]


@pytest.mark.parametrize("how", [wrong_type, wrong_range, misspelt, impossible])
def test_generated_wrong_configurations_are_one_clear_sentence(how):
    """Fifty of each kind, two hundred in all."""
    draw = random.Random(how.__name__)
    for number in range(50):
        raw = copy.deepcopy(RAW[draw.choice(["quick", "paper"])])
        words = how(raw, draw)
        with pytest.raises(UserError) as error:
            config.load(raw)
        text = str(error.value)
        assert text.isprintable() and len(text) < 500, f"{number}: {text}"
        assert all(word in text for word in words), f"{number}: {words} not in: {text}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("samples=-5", "'samples' is -5: it must be greater than 0"),
        (
            "results={x}/y",
            "'results' is '{x}/y': a path must be printable and have no braces or angle brackets",
        ),
        ("results=wrong.yaml", "wrong.yaml, where the results would go, is no folder; set results"),
        ("results=" + 256 * "a", "a name in a path must have at most 255 bytes"),
        ("beside=[wrong.yaml]", "beside names wrong.yaml, which is no gathered.h5 of a study"),
        ('seeds=[0, 1, "many"]', "'seeds.2' is 'many': it must be a whole number"),
        (
            "training={batch_size: 1e9}",
            "1,000,000,000, is larger than the sample budget or the pilot",
        ),
        (
            '!!python/object/apply:os.system ["touch canary"]',
            "Config file is not valid JSON or YAML",
        ),
    ],
)
def test_wrong_configurations_stop_the_pipeline_before_it_begins(change, words, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        change
        if change.startswith("!")
        else yaml.safe_dump({**RAW["quick"], **one_setting(change)})
    )
    output = snakemake(tmp_path, "--cores", "1", "--configfile", str(path), check=False)
    [line] = [line for line in output.splitlines() if words in line]
    assert len(line) < 300 and "Traceback" not in output
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != ".snakemake") == [
        "wrong.yaml"
    ]


def one_setting(pair):
    key, _, value = pair.partition("=")
    return {key: value if key == "results" else yaml.safe_load(value)}


# Kills.


@pytest.mark.slow
def test_a_killed_pipeline_takes_its_jobs_along_and_the_same_command_goes_on(plain, tmp_path):
    """Only Snakemake's process is killed, with one curve trained; the same command, started at
    once, waits for the jobs left over."""
    process = start(tmp_path)
    while process.poll() is None and not list(tmp_path.glob(f"{MADE}/runs/**/[!.]*.checkpoint.h5")):
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    output = finish(tmp_path)
    assert "--unlock" not in output
    assert_same(tmp_path, plain[0])


# A shell starts its background jobs with SIGINT ignored, and children inherit that.
HEED = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)

WAITING = """
import sys, threading, time
from aevb.pipeline import console
console.stop_once(SystemExit("stopped"))
worker = threading.Thread(target=time.sleep, args=[1])  # a job that takes a second to end
worker.start()
try:
    print("at work", flush=True)
    time.sleep(600)
except SystemExit:
    worker.join()
    print("ended in order", flush=True)
    raise
"""


def test_ctrl_c_again_and_again_is_as_once():
    process, said = python(WAITING, preexec_fn=HEED)
    assert said == "at work"
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    output, errors = process.communicate()
    assert (output, errors, process.returncode) == ("ended in order\n", "stopped\n", 1)


def test_where_ctrl_c_is_ignored_it_stays_so():
    ignored = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    process, said = python(WAITING.replace("600", "0.5"), preexec_fn=ignored)
    assert said == "at work"
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "") and process.returncode == 0


@pytest.mark.slow
def test_three_ctrl_c_end_in_one_sentence_and_lose_nothing(plain, tmp_path):
    process = start(tmp_path, preexec_fn=HEED)
    while process.poll() is None and not list(tmp_path.glob(f"{MADE}/runs/**/[!.]*.checkpoint.h5")):
        time.sleep(0.01)
    for _ in range(3):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.2)
    assert process.wait(timeout=60) != 0
    output = (tmp_path / "output").read_text()
    assert "Traceback" not in output and "Nothing that was finished is lost" in output
    finish(tmp_path)
    assert_same(tmp_path, plain[0])


HOLD = (
    "import sys, time; from aevb.pipeline import locks; locks.claim(sys.argv[1]); "
    "print('mine', flush=True); time.sleep(600)"
)
WORK = (
    "import sys, time; from aevb.pipeline import locks; locks.follow(); "
    "print('at work', flush=True); time.sleep(600)"
)


def python(code, *arguments, **options):
    """A process that runs `code` and has printed its first line, which is returned too."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], **pipes, **options
    )
    return process, process.stdout.readline().strip()


def test_a_folder_takes_one_pipeline_and_is_free_when_that_is_killed(tmp_path):
    first, said = python(HOLD, tmp_path)
    assert said == "mine"
    second, said = python(HOLD, tmp_path)
    assert said == "" and second.wait() != 0
    [line] = [
        line
        for line in second.stderr.read().splitlines()
        if line.startswith("aevb.core.errors.UserError")
    ]
    assert (
        f"another run is at work in {tmp_path}" in line
        and f"process {first.pid}" in line
        and "then run again" in line
    )
    first.kill()
    third, said = python(HOLD, tmp_path)
    assert said == "mine"
    third.kill()


def test_a_job_ends_with_its_pipeline_and_the_next_one_waits_for_it(tmp_path):
    start = f"subprocess.Popen([sys.executable, '-c', {WORK!r}])"
    lines = f"import os, subprocess; {start}; time.sleep(600)"
    pipeline, said = python(f"{HOLD.rpartition(';')[0]}; {lines}", tmp_path)
    assert said == "mine" and pipeline.stdout.readline().strip() == "at work"
    stubborn = os.open(tmp_path / ".lock", os.O_RDONLY)  # a job that takes a second longer
    locks.fcntl.lockf(stubborn, locks.fcntl.LOCK_SH, 1, locks.JOBS)
    pipeline.kill()
    began = time.monotonic()
    pipeline.stdout.read()  # to the end of the job, which shares this pipe
    assert time.monotonic() - began < 30
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (
        waiting.stderr.readline()
        == f"Waiting for the jobs of a run that was killed to stop in {tmp_path}.\n"
    )
    os.close(stubborn)
    assert waiting.stdout.readline().strip() == "mine"
    waiting.kill()


def test_a_job_that_starts_after_its_pipeline_was_killed_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("AEVB_PIPELINE", f"{locks.socket.gethostname()}, process 1, 2")
    monkeypatch.setenv("AEVB_LOCK", str(tmp_path / ".lock"))
    (tmp_path / ".lock").write_text("somebody else")
    with pytest.raises(UserError, match="the run that started this job has ended"):
        locks.follow()
    monkeypatch.setenv(
        "AEVB_PIPELINE", "another machine, process 1, 2"
    )  # of which nothing can be known
    locks.follow()
    job, said = python(WORK, env={**os.environ, "AEVB_PIPELINE": "another machine, process 1, 2"})
    assert said == "at work"
    monkeypatch.setattr(locks, "WAIT", 0.5)
    with pytest.raises(UserError, match="jobs of a killed run are still at work"):
        locks.claim(tmp_path)
    job.kill()


def test_no_locks_is_no_error(tmp_path, monkeypatch, capsys):
    def none(*arguments):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", none)
    assert locks.claim(tmp_path) is None
    assert "has no locks: see to it that no other run works there" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_fifty_random_moments(plain, tmp_path):
    """SIGKILL to all processes or, every other time, to Snakemake alone; then the same command.
    A study that ends is compared."""
    whole, seconds = plain  # which another load of the machine may shorten
    draw = random.Random(0)
    kills = studies = calls = 0
    process = None
    while kills < 50 or process:
        folder = tmp_path / str(studies)
        process, began, calls = start(folder), time.monotonic(), calls + 1
        end = began + draw.uniform(0, seconds) if kills < 50 else float("inf")
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            kills += 1
            process.kill() if kills % 2 else os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            assert process.returncode == 0, (folder / "output").read_text()[-3000:]
            assert_same(folder, whole)
            seconds = min(seconds, time.monotonic() - began) if calls == 1 else seconds
            studies, process, calls = studies + 1, None, 0
        print(f"{kills} kills, {studies} studies finished with the same bits", flush=True)


@pytest.mark.slow
def test_a_second_pipeline_in_the_folder_of_the_first_is_one_sentence(plain, tmp_path):
    first = start(tmp_path)
    while not (tmp_path / MADE / ".lock").exists() and first.poll() is None:
        time.sleep(0.05)
    second = subprocess.run(
        command(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert second.returncode != 0
    [line] = [line for line in second.stderr.splitlines() if line.startswith("error:")]
    assert f"another run is at work in {MADE}" in line and f"process {first.pid}" in line
    assert first.wait() == 0
    assert_same(tmp_path, plain[0])


# Full and read-only disks.

FULL = "No space left on device; make room or make the folder writable, then run again"


@pytest.fixture
def disk(tmp_path):
    """A file system of 8 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.name != "posix"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, left=0):
    """Leave `left` bytes free, to the next page."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    os.truncate(ballast, ballast.stat().st_size // 4096 * 4096 - left)
    return ballast


@pytest.fixture(scope="module")
def gathered():
    return results.read_gathered(GATHERED)


def trained(make, path):
    """Train a model with a checkpoint."""
    settings, digits = make(samples=2000)
    return training.train([Run("digits", "aevb", 2, 0)], [0.02], settings, digits, path)


WRITERS = {
    "checkpoint.h5": lambda path, make, gathered: trained(make, path),
    "run.h5": lambda path, make, gathered: results.write_run(
        path, next(iter(gathered.runs.values()))
    ),
    "pilot.h5": lambda path, make, gathered: results.write_pilot(
        path, next(iter(gathered.pilots.values()))
    ),
    "table.h5": lambda path, make, gathered: results.write_table(
        path, next(iter(gathered.of("evidence").values()))
    ),
    "digits.h5": lambda path, make, gathered: data.prepare("digits", path.parent, path),
    "gathered.h5": lambda path, make, gathered: results.gather(
        gathered.config, {}, {}, {}, set(), path
    ),
    "curves.csv": lambda path, make, gathered: results.write_curves(gathered, path),
    "claims.csv": lambda path, make, gathered: csv.write(numbers.units(gathered, PAPER), path),
    "figure2.svg": lambda path, make, gathered: draw(path, gathered),
    "figure2.png": lambda path, make, gathered: draw(path, gathered),
    "manifold.html": lambda path, make, gathered: page.render(gathered, path),
}
GATHERED = ROOT / "results/reference/quick/gathered.h5"
PAPER = pd.read_csv(ROOT / "report/paper_curves.csv")


def draw(path, gathered):
    style.write(figures.figure2(gathered, PAPER), [path])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("left", [0, 4096])
def test_a_full_disk_is_one_sentence_leaves_nothing_and_is_mended_by_room(
    name, left, disk, make, gathered, tmp_path
):
    write = WRITERS[name]
    ballast = fill(disk, left)
    if left and name in ("pilot.h5", "table.h5", "gathered.h5", "claims.csv"):
        pytest.skip("that is enough for it")
    with pytest.raises(UserError) as error:
        write(disk / name, make, gathered)
    assert str(error.value) == f"cannot write {disk / name}: {FULL}"
    assert files_in(disk) == ["ballast"]
    ballast.unlink()
    write(disk / name, make, gathered)
    write(tmp_path / name, make, gathered)
    if name != "checkpoint.h5":  # which holds times
        assert (disk / name).read_bytes() == (tmp_path / name).read_bytes()
    assert files_in(disk) == [name]


def test_a_full_disk_does_not_silence_a_job(disk, capsys):
    fill(disk, 4096)

    def work():
        with console.job(str(disk / "job.log")):
            print("x" * 10_000, file=sys.stderr)
            raise UserError("the reason")

    with pytest.raises(SystemExit):
        work()
    assert "error: the reason" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_sentence_before_any_job(disk):
    fill(disk)
    with pytest.raises(UserError) as error:
        locks.claim(disk / "results")
    assert str(error.value) == f"cannot write {disk / 'results/.lock'}: {FULL}"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(UserError) as error:
        locks.claim(disk / "more")
    assert str(error.value).startswith(
        f"cannot write {disk / 'more/.lock'}: Read-only file system; make room or make the folder "
        "writable"
    )


@pytest.mark.slow
def test_a_read_only_and_then_a_full_disk_under_a_whole_study(plain, disk):
    """Results, Snakemake's own files and all else are on the disk."""
    whole, _ = plain
    shutil.copytree(whole, disk, dirs_exist_ok=True)
    (disk / CURVES).unlink()
    (disk / MADE / "gathered.h5").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = subprocess.run(command(disk), cwd=disk, capture_output=True, text=True, check=False)
    assert (
        done.returncode != 0
        and f"cannot write {disk}, where Snakemake keeps its records" in done.stderr
    )
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    ballast = fill(disk, 4 * 4096)
    done = subprocess.run(command(disk), cwd=disk, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "No space left on device" in done.stderr
    assert not (disk / CURVES).exists()
    ballast.unlink()
    finish(disk)
    assert_same(disk, whole)


# Damaged files.


def cut(content, draw):
    return content[: draw.randrange(len(content))]


def flipped(content, draw):
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


@pytest.fixture
def samples(make, gathered, digits_file, tmp_path):
    """A file of every kind that jobs hand on, and what reads it: name -> (path, reader)."""
    paths = {
        name: tmp_path / name
        for name in ("run.h5", "pilot.h5", "table.h5", "digits.h5", "gathered.h5", "checkpoint.h5")
    }
    for name in ("run.h5", "pilot.h5", "table.h5"):
        WRITERS[name](paths[name], make, gathered)
    shutil.copy(digits_file, paths["digits.h5"])
    with files.new_h5(paths["gathered.h5"]) as file, h5py.File(GATHERED) as source:
        file.attrs.update(source.attrs)
        for name in source:
            source.copy(name, file)
    settings, digits = make(samples=2000)
    stack = stack_of([Run("digits", "aevb", 2, 0)], [0.02], settings, digits)
    checkpoints.save(stack, paths["checkpoint.h5"], "key")

    def restore(path):
        if not checkpoints.read(path, "key"):
            raise Damaged(path, "told on stderr")

    readers = [
        results.read_run,
        results.read_pilot,
        lambda path: results.read_table(path, EVIDENCE),
        lambda path: data.load(
            path, Experiment(dataset="digits", likelihood="bernoulli", hidden=1, scale=16)
        ),
        results.read_gathered,
        restore,
    ]
    return {
        name: (path, reader) for (name, path), reader in zip(paths.items(), readers, strict=True)
    }


@pytest.mark.parametrize("harm", [cut, flipped])
def test_a_cut_or_a_flipped_bit_is_found_and_named(harm, samples, capsys):
    """Forty of each in every kind of file; a checkpoint that is damaged is told and not used."""
    draw = random.Random(harm.__name__)
    for name, (path, read) in samples.items():
        content = path.read_bytes()
        read(path)
        for _ in range(40):
            path.write_bytes(harm(content, draw))
            with pytest.raises(Damaged, match=f"{name} is damaged"):
                read(path)
    assert capsys.readouterr().err.count("damaged checkpoint") == 40


def test_a_damaged_file_is_removed_where_the_pipeline_makes_it_anew_and_nowhere_else(
    tmp_path, monkeypatch, capsys
):
    for name in ("study/runs/a.h5", "study/reference/a.h5", "elsewhere/a.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no HDF5")
    (tmp_path / "study/link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("AEVB_MADE", "")
    console.may_remove([str(tmp_path / "study")], [str(tmp_path / "study/reference/a.h5")])
    for name, removed in [
        ("runs", True),
        ("reference", False),
        ("link", False),
        ("../elsewhere", False),
    ]:
        path = tmp_path / "study" / name / "a.h5"
        with pytest.raises(SystemExit), console.job(str(tmp_path / "log")):
            results.read_run(path)
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {path} ") and path.exists() is not removed
        assert ("has been removed; run again, and it is made anew" in line) is removed
        assert ("delete it and run again" in line) is not removed
    assert (tmp_path / "log").read_text() == line + "\n"


def test_a_damaged_csv_table_is_named(tmp_path):
    for content in (b"", b"\xff\xfe\x00", b'a,b\n1,2,3,4\n"'):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(Damaged, match="x is damaged"):
            csv.read(tmp_path / "x")


@pytest.mark.slow
def test_damaged_results_and_data_are_made_anew_by_the_same_command(plain, tmp_path):
    """A run with a flipped bit, then a data set that was cut: named, removed, and made again
    with the same bits."""
    whole, _ = plain
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    run = tmp_path / MADE / "runs/digits/aevb-nz2-seed0.h5"
    run.write_bytes(flipped(run.read_bytes(), random.Random(0)))
    (tmp_path / CURVES).unlink()
    output = finish(tmp_path, status=1)
    assert f"error: {run.relative_to(tmp_path)} was damaged" in output and not run.exists()
    prepared = tmp_path / "data/digits.h5"
    prepared.write_bytes(prepared.read_bytes()[:5000])
    output = finish(tmp_path, status=1)
    assert "error: data/digits.h5 was damaged" in output and not prepared.exists()
    finish(tmp_path)
    assert_same(tmp_path, whole)


# Clocks that jump.


def test_files_from_the_future_are_of_now(tmp_path, capsys):
    old, now = time.time() - 1000, time.time()
    for name, moment in {"old": old, "a/b": now + 1e7, "c": now + 1e5}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    outside = tmp_path.with_name("outside")
    outside.touch()
    os.utime(outside, (now + 1e7, now + 1e7))
    (tmp_path / "link").symlink_to(outside)
    clock.settle(tmp_path)
    assert "2 files" in capsys.readouterr().err
    assert (tmp_path / "old").stat().st_mtime == pytest.approx(
        old
    ) and outside.stat().st_mtime == pytest.approx(now + 1e7)
    assert (tmp_path / "a/b").stat().st_mtime == (tmp_path / "c").stat().st_mtime <= time.time()
    clock.settle(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("days", [400, -400])
@pytest.mark.slow
def test_results_stamped_in_the_future_or_the_past_are_never_wrong(days, plain, tmp_path):
    """The end of a study whose beginning was made under another clock: the same bits, and nothing
    is trained again."""
    whole, _ = plain
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / CURVES).unlink()
    for path in (tmp_path / MADE).rglob("*"):
        if path.is_file():
            moment = path.stat().st_mtime + days * 86400
            os.utime(path, (moment, moment))
    runs = {path: path.read_bytes() for path in (tmp_path / MADE / "runs").rglob("*.h5")}
    finish(tmp_path)
    assert len(runs) == 4 and all(path.read_bytes() == content for path, content in runs.items())
    assert_same(tmp_path, whole)


# Hostile files and names.


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A path at which nothing must ever appear."""
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path))).close()
    assert path.exists()
    path.unlink()
    monkeypatch.chdir(tmp_path)
    yield path
    assert not path.exists()


def test_a_pickle_is_executed_nowhere(canary, samples):
    torch.save(Canary(canary), canary.with_name("saved.pt"))
    for evil in (
        pickle.dumps(Canary(canary)),
        canary.with_name("saved.pt").read_bytes(),
        files.SIGNATURE + pickle.dumps(Canary(canary)),
    ):
        for name, (path, read) in samples.items():
            path.write_bytes(evil)
            with pytest.raises(Damaged, match=f"{name} is damaged"):
                read(path)


def test_a_pickle_for_the_faces_is_refused_before_it_is_read(canary, tmp_path):
    mirror = tmp_path / "mirror/frey"
    mirror.mkdir(parents=True)
    for size in (None, data.DATASETS["frey"].files[0].size):
        evil = pickle.dumps(Canary(canary))
        (mirror / "frey_rawface.mat").write_bytes(evil.ljust(size or 0, b"."))
        with pytest.raises(UserError, match=r"ends after|wrong content: sha256"):
            download.fetch("frey", tmp_path / "data", mirror.parent)
        (tmp_path / "data/frey").mkdir(parents=True, exist_ok=True)
        shutil.copy(mirror / "frey_rawface.mat", tmp_path / "data/frey")
        with pytest.raises(UserError, match="is damaged: its size or sha256"):
            data.prepare("frey", tmp_path / "data", tmp_path / "data/frey.h5")
        (tmp_path / "data/frey/frey_rawface.mat").unlink()


def test_even_a_verified_mat_file_is_only_data(canary, monkeypatch, tmp_path):
    evil = pickle.dumps(Canary(canary))
    scipy.io.savemat(tmp_path / "frey_rawface.mat", {"ff": np.frombuffer(evil, dtype=np.uint8)})
    for content in ((tmp_path / "frey_rawface.mat").read_bytes(), evil):
        (tmp_path / "frey").mkdir(exist_ok=True)
        (tmp_path / "frey/frey_rawface.mat").write_bytes(content)
        change(monkeypatch, "frey", files=(original("frey_rawface.mat", content),))
        with pytest.raises(UserError, match=r"'ff' is uint8|cannot be read as a MATLAB file"):
            data.prepare("frey", tmp_path, tmp_path / "frey.h5")


def test_an_archive_bomb_is_refused_unopened(canary, monkeypatch, tmp_path):
    """A gigabyte of zeros in a megabyte, in the place of MNIST's images: neither the mirror's
    copy nor one that lies there is unpacked."""
    mirror = tmp_path / "mirror/mnist"
    mirror.mkdir(parents=True)
    for file in data.DATASETS["mnist"].files:
        with gzip.open(mirror / file.name, "wb", compresslevel=1) as bomb:
            for _ in range(1000 if "images" in file.name else 1):
                bomb.write(bytes(1_000_000))

    def opened(*arguments, **options):
        raise AssertionError("unpacked")

    monkeypatch.setattr(gzip, "GzipFile", opened)
    monkeypatch.setattr(gzip, "open", opened)
    with pytest.raises(UserError, match="cannot fetch"):
        download.fetch("mnist", tmp_path / "data", mirror.parent)
    assert files_in(tmp_path / "data") == []
    with pytest.raises(UserError, match="is damaged: its size or sha256"):
        data.prepare("mnist", mirror.parent, tmp_path / "mnist.h5")


def test_hdf5_that_reaches_out_of_its_file_or_declares_a_terabyte_is_refused(
    canary, gathered, samples, tmp_path
):
    (tmp_path / "secret").write_bytes(bytes(80))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["train"] = np.arange(10.0)

    def external(file):
        file.create_dataset(
            "curve/train", (10,), "f8", external=[(str(tmp_path / "secret"), 0, 80)]
        )

    def linked(file):
        file["curve/train"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "train")

    def soft(file):
        file["curve/train"] = h5py.SoftLink("/curve/test")

    def virtual(file):
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "train", (10,))
        file.create_virtual_dataset("curve/train", layout)

    def huge(file):
        file.create_dataset("curve/train", (10**11,), "f8", chunks=(1024,))

    def packed(file):
        file.create_dataset(
            "curve/train", data=np.zeros(10**7), chunks=(10**6,), compression="gzip"
        )

    def circle(file):
        del file["weights"]
        file["weights"] = file

    for evil in (
        external,
        linked,
        soft,
        virtual,
        huge,
        packed,
        circle,
    ):  # HDF5 would follow each of them
        path = tmp_path / f"{evil.__name__}.h5"
        with h5py.File(path, "w") as file:  # without a digest, as other programs write
            write_run_group(file, next(iter(gathered.runs.values())))
            if evil is not circle:
                del file["curve/train"]
            evil(file)
        with pytest.raises(Damaged, match=f"{evil.__name__}.h5 is damaged"):
            results.read_run(path)


NAMES = [
    "a b/$(touch canary)`touch canary`; touch canary # d",
    "-r/'\"; touch canary; \"'",
    "ü é 中 && touch canary ||*?[a]~\\",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_folders_are_never_commands(name, canary, tmp_path):
    """One job of a real pipeline with such folders for results, data and mirror."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "small.yaml").write_text(
        yaml.safe_dump({**SMALL, "results": f"../{name}", "data": name, "mirror": name})
    )
    assert "1 of 1 steps" in finish(folder, "--", f"{name}/digits.h5")
    made = {
        "work/small.yaml",
        "work/output",
        f"work/{name}/digits.h5",
        f"{name}/.lock",
        f"{name}/logs/dataset/digits.log",
        f"{name}/benchmarks/dataset/digits.tsv",
        f"work/{name}/.lock",
    }
    assert {path for path in files_in(tmp_path) if not path.startswith("work/.snakemake/")} == made


@pytest.mark.parametrize("key", ["results", "data", "mirror", "reference"])
@pytest.mark.parametrize("name", ["a\nb", "{x}", "a{b", "", "\x1b[31m", "a\0b", "x" * 5000])
def test_names_that_no_file_should_have_are_wrong_configurations(key, name):
    with pytest.raises(UserError, match=f"'{key}' is") as error:
        config.load(
            {**RAW["quick"], key: name} if name or key != "mirror" else {**RAW["quick"], key: "{"}
        )
    assert str(error.value).isprintable() and len(str(error.value)) < 300
