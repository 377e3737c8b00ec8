"""What goes wrong outside the code: wrong configurations, kills, full disks, damaged and hostile files. See docs/faults.md."""

import copy
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from test_workflow import ROOT

from aevb import config, results
from aevb.errors import UserError

# A study of every kind of job but those of log p(x) and of variances, in seconds.
SMALL = {
    "name": "small",
    "samples": 1e4,
    "seeds": [0, 1],
    "device": "cpu",
    "job_seconds": 1000,
    "experiments": {"digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}},
    "training": {"pilot_samples": 2e3, "step_sizes": [0.02, 0.05]},
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
    start = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--configfile", str(path)]
    return [*start, *(arguments or ("--", CURVES))]


def start(folder, *arguments, **options):
    """Start that command in a session of its own; its output goes to the file `output` in `folder`."""
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
    assert [path.relative_to(folder) for path in paths] == [path.relative_to(other) for path in sorted((other / MADE / "runs").rglob("*"))]
    runs = [path for path in paths if path.is_file()]
    assert len(runs) == 4
    for path in runs:
        mine, theirs = results.read_run(path), results.read_run(other / path.relative_to(folder))
        assert mine.curve.drop(columns="seconds").equals(theirs.curve.drop(columns="seconds"))
        assert all(np.array_equal(value, theirs.weights[name]) for name, value in mine.weights.items()) and mine.weights
        same = [{name: value for name, value in run.attributes.items() if name not in TIMES} for run in (mine, theirs)]
        assert same[0] == same[1]
    assert not list(folder.rglob(".partial-*")) and not list(folder.rglob("*.checkpoint.h5"))


RAW = {name: yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("quick", "paper")}


# Wrong configurations.


def places(node, at=()):
    """The path of every key and entry in nested dictionaries and lists."""
    for step, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
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
        str: [["a"], {"a": 1}, 0.5, True, "", "two\nlines", "\x1b[31m{x}", "x" * 3000] if path != ("name",) else [[], "../x", "a b", "a\n"],
        bool: ["many", 5, [], {}],
    }.get(type(value), ["many", [], {"a": 1}, True, float("nan"), "two\nlines", b"x", "9" * 3000])
    inside(raw, path[:-1])[path[-1]] = draw.choice(fits_no)
    return [named(path)]


def wrong_range(raw, draw):
    """A number out of its range."""
    path = draw.choice(
        [path for path in places(raw) if isinstance(inside(raw, path), int | float) and not isinstance(inside(raw, path), bool)]
    )
    inside(raw, path[:-1])[path[-1]] = draw.choice([-1, -0.5, float("inf"), 10**400, "-1e9"])
    return [named(path)]


def misspelt(raw, draw):
    """A key with a letter too few, too many or in the wrong place."""
    free = (("experiments",), ("ablation", "readings"))  # whose keys are names
    path = draw.choice([path for path in places(raw) if isinstance(path[-1], str) and path[:-1] not in free])
    parent, key = inside(raw, path[:-1]), path[-1]
    at = draw.randrange(1, len(key))
    wrong = draw.choice([key[:at] + key[at + 1 :], key[:at] + "x" + key[at:], key[: at - 1] + key[at] + key[at - 1] + key[at + 1 :]])
    if wrong == key:
        wrong += "s"
    parent[wrong] = parent.pop(key)
    return [f"{wrong}'", f"did you mean '{key}'"]


def impossible(raw, draw):
    """Values of which each alone would do."""
    first = draw.choice(raw["figure2"])["experiment"]
    many = draw.randrange(10**8, 10**9)
    changes = [
        ({"training": {**raw["training"], "batch_size": many} if "training" in raw else {"batch_size": many}}, "batch_size"),
        ({"samples": draw.randrange(1, 99)}, "batch_size"),
        ({"evidence": {"datapoints": draw.randrange(60_000, 10**6)}}, "evidence.datapoints"),
        ({"estimators": {**raw["estimators"], "datapoints": draw.randrange(60_000, 10**6)}}, "estimators.datapoints"),
        ({"estimators": {**raw["estimators"], "latent_dims": [draw.randrange(50, 99)]}}, "estimators names N_z"),
        ({"estimators": {**raw["estimators"], "draws": [20, 50, 20]}}, "draws lists an entry twice"),
        ({"estimators": {**raw["estimators"], "experiment": "nobody"}}, "estimators names the experiment 'nobody'"),
        ({"extended": {"samples": draw.randrange(1, 10**5), "seeds": [0]}}, "extended.samples"),
        ({"extended": {"samples": 10**10, "seeds": [draw.randrange(50, 99)]}}, "extended.seeds"),
        ({"seeds": [3, 4, 3]}, "seeds"),
        ({"variance": {**raw["variance"], "samples": [10**9 + many]}}, "variance.samples"),
        ({"variance": {**raw["variance"], "latent_dims": [draw.randrange(50, 99)]}}, "variance names N_z"),
        ({"training": {"batch_size": 1}}, "batch_size"),
        ({"training": {"step_sizes": [0.1, 0.2, 0.1]}}, "training"),
        ({"figure3": {**raw["figure3"], "experiments": [first]}}, "figure3 shares the experiment"),
        ({"figure3": {**raw["figure3"], "algorithms": ["aevb", "aevb"]}}, "algorithms lists an entry twice"),
        ({"figure4": [{"experiment": "nobody", "grid": 5}]}, "figure4 names the experiment 'nobody'"),
        ({"tradeoff": {**raw["tradeoff"], "batch_sizes": [many]}}, "batch_size"),
        ({"tradeoff": {**raw["tradeoff"], "draws": [2, 2]}}, "draws lists an entry twice"),
        ({"ablation": {**raw["ablation"], "readings": {"same": {}}}}, "ablation.readings.same"),
        ({"ablation": {**raw["ablation"], "readings": {"default": {"prior": "all"}}}}, "ablation.readings.default"),
        ({"ablation": {**raw["ablation"], "readings": {"b": {"batch_size": many}}}}, "batch_size"),
    ]
    for name, experiment in raw["experiments"].items():
        other = {
            "scale": draw.choice([16, 255]) if experiment["dataset"] != "digits" else draw.choice([255, 256]),
            "n_train": draw.randrange(60_000, 10**6),
            "binarise": True,
        }
        if experiment["dataset"] != "digits":
            other["scale"] = 16
        if experiment["likelihood"] == "bernoulli":
            del other["binarise"]
        key = draw.choice(list(other))
        changes.append(({"experiments": {**raw["experiments"], name: {**experiment, key: other[key]}}}, f"experiments.{name}.{key}"))
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


# Kills.


def test_a_killed_pipeline_takes_its_jobs_along_and_the_same_command_goes_on(plain, tmp_path):
    """Only Snakemake's process is killed, with one curve trained; the same command, started at once, waits for the jobs left over."""
    process = start(tmp_path)
    while process.poll() is None and not list(tmp_path.glob(f"{MADE}/runs/**/[!.]*.checkpoint.h5")):
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    output = finish(tmp_path)
    assert "--unlock" not in output
    assert_same(tmp_path, plain[0])


@pytest.mark.slow
def test_killed_at_fifty_random_moments(plain, tmp_path):
    """SIGKILL to all processes or, every other time, to Snakemake alone; then the same command. A study that ends is compared."""
    whole, seconds = plain
    draw = random.Random(0)
    kills = studies = 0
    process = None
    while kills < 50 or process:
        folder = tmp_path / str(studies)
        process = start(folder)
        end = time.monotonic() + draw.uniform(0, seconds) if kills < 50 else float("inf")
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            kills += 1
            process.kill() if kills % 2 else os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            assert process.returncode == 0, (folder / "output").read_text()[-3000:]
            assert_same(folder, whole)
            studies, process = studies + 1, None
    print(f"{kills} kills, {studies} studies of {seconds:.0f} s finished with the same bits")
