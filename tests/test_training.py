"""The engine: Adagrad, evaluation, replicas, divergence, kill and resume."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.core.streams import stream
from aevb.engine import checkpoints, evaluation, progress, training
from aevb.engine import settings as engine_settings
from aevb.engine.pilot import pilot
from aevb.engine.settings import device
from aevb.engine.stack import Stack
from aevb.learners import LEARNERS, mcem
from aevb.models import densities, nets

AEVB = Run("digits", "aevb", 3, 0)
ONLINE = [key for key, learner in LEARNERS.items() if learner.online]


def same(a: results.RunResult, b: results.RunResult) -> bool:
    """Equal bit for bit in all but time."""
    pd.testing.assert_frame_equal(
        a.curve.drop(columns="seconds"), b.curve.drop(columns="seconds"), check_exact=True
    )
    assert a.weights.keys() == b.weights.keys()
    assert (a.snapshots is None) == (b.snapshots is None) and (
        a.snapshots is None or np.array_equal(a.snapshots, b.snapshots)
    )
    timing = {"train_seconds", "evaluation_seconds", "samples_per_second"}
    return all(np.array_equal(a.weights[k], b.weights[k]) for k in a.weights) and all(
        a.attributes[k] == b.attributes[k] for k in a.attributes.keys() - timing
    )


@pytest.mark.parametrize(
    ("prior", "regularised"),
    [("weights", nets.WEIGHTS), ("all", nets.WEIGHTS + nets.BIASES), ("none", ())],
)
def test_a_block_is_adagrad_on_the_map_objective_after_the_warm_up(make, prior, regularised):
    """Twenty steps of the engine against autograd, in float64, of sum of bounds + (M/N) log
    p(theta)."""
    warmup = 7
    printed = {"log_variance_start": "random", "log_variance_factor": 1.0}
    settings, data = make("bernoulli", prior=prior, warmup_steps=warmup, initial_sd=0.1, **printed)
    stack = Stack([AEVB], [0.02], settings, data)
    theta = stack.theta.double().requires_grad_(True)
    accumulator = torch.full_like(theta, 1e-8)
    index = stream("minibatch", "digits", 3, 0).integers(0, 1500, (20, 100))
    noise = stream("learner", "digits", 3, 0, algorithm="aevb").standard_normal(
        (20, 1, 100, 3), dtype=np.float32
    )
    for step in range(20):
        p = stack.layout.view(theta)
        x = data.train[index[step]].double()[None]
        mean, log_variance = nets.encode(x, p)
        z = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(noise[step]).double()
        log_prior = sum(-0.5 * (p[name] ** 2).sum() for name in regularised)
        bounds = densities.bound(x, z, nets.decode(z, p), mean, log_variance, "bernoulli", "B")
        (gradient,) = torch.autograd.grad(bounds.sum() + 100 / 1500 * log_prior, theta)
        accumulator += gradient**2
        if step >= warmup:
            theta = (theta + 0.02 * gradient / accumulator.sqrt()).detach().requires_grad_(True)
    stack.train_block(10**6)
    torch.testing.assert_close(stack.theta.double(), theta.detach(), rtol=1e-3, atol=2e-4)


def test_grid_is_logarithmic_and_ends_at_the_budget():
    points = training.grid(100_000, 1_000_000, 10, 2000)
    assert points == [
        100000,
        126000,
        158000,
        200000,
        252000,
        316000,
        398000,
        502000,
        630000,
        794000,
        1000000,
    ]
    assert training.grid(100_000, 5000, 10, 2000) == [5000]
    assert training.grid(1, 4100, 10, 2000) == [2000, 4000, 4100]
    assert training.grid(1000, 10_000, 2, 1000, even=4) == [1000, 2000, 5000, 8000, 10_000]


@pytest.mark.parametrize("algorithm", ONLINE)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_training_improves_the_bound(make, algorithm, likelihood):
    settings, data = make(likelihood, 40_000)
    (result,) = training.train([AEVB._replace(algorithm=algorithm)], [0.02], settings, data)
    assert result.status == "completed"
    assert result.curve["samples"].iloc[-1] == result.samples == 40_000
    first, last = result.curve["test"].iloc[[0, -1]]
    assert last > first + 5 * result.curve["test_se"].max() + 1
    assert (result.curve[["train_se", "test_se"]] < 0.07).all(axis=None)  # 0.05 is aimed at


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_monte_carlo_em_improves_log_p_x_z_and_keeps_snapshots(make, likelihood):
    settings, data = make(likelihood, 60 * 15 * 1500)
    (result,) = training.train(
        [AEVB._replace(algorithm="mcem")], [0.1], dataclasses.replace(settings, snapshots=6), data
    )
    assert result.status == "completed" and result.samples == 60 * 15 * 1500
    assert (
        result.curve["samples"].is_monotonic_increasing
        and result.curve["seconds"].is_monotonic_increasing
    )
    assert len(result.curve) == len(result.snapshots) >= 6
    assert result.curve["running"].iloc[-1] > result.curve["running"].iloc[0] + 5
    assert result.curve[["train", "test", "train_kl", "active_units"]].isna().all(axis=None)
    layout = nets.Layout(64, 20, 3, likelihood)
    last = layout.view(torch.from_numpy(result.snapshots[-1:]))
    assert np.array_equal(last["decoder.output.weight"][0], result.weights["decoder.output.weight"])
    initial = layout.view(
        torch.from_numpy(result.snapshots[:1])
    )  # it has no encoder: that part never moves
    assert torch.equal(last["encoder.hidden.weight"], initial["encoder.hidden.weight"])


def test_monte_carlo_em_whose_chains_never_move_stops_with_a_reason(make):
    settings, data = make("bernoulli", 80 * 15 * 1500)
    settings = dataclasses.replace(
        settings, options={"mcem": mcem.Options(step_size=1e9, leapfrog=1, updates=1)}
    )
    (result,) = training.train([AEVB._replace(algorithm="mcem")], [0.1], settings, data)
    assert (
        result.status == "diverged"
        and "no chain accepted a proposal in 50 transitions" in result.reason
    )


@pytest.mark.parametrize("algorithm", [*LEARNERS])
def test_same_seed_same_bits_and_companions_change_nothing(make, algorithm):
    settings, data = make("bernoulli", 4000)
    if algorithm == "mcem":
        settings = dataclasses.replace(settings, samples=13 * 15 * 1500, snapshots=3)
    runs = [AEVB._replace(algorithm=algorithm, seed=seed) for seed in range(3)]
    stacked = training.train(runs, [0.02] * 3, settings, data)
    again = training.train(runs, [0.02] * 3, settings, data)
    for run, a, b in zip(runs, stacked, again, strict=True):
        (alone,) = training.train([run], [0.02], settings, data)
        assert same(a, b)
        assert same(a, alone)
    assert not np.array_equal(stacked[0].curve["running"], stacked[1].curve["running"])


def test_algorithms_of_one_seed_share_start_and_minibatches():
    a = stream("minibatch", "mnist", 3, 0).integers(0, 10**6, 5)
    assert np.array_equal(a, stream("minibatch", "mnist", 3, 0).integers(0, 10**6, 5))
    others = [
        ("minibatch", "frey", 3, 0),
        ("minibatch", "mnist", 5, 0),
        ("minibatch", "mnist", 3, 1),
        ("initial", "mnist", 3, 0),
    ]
    assert not any(np.array_equal(a, stream(*other).integers(0, 10**6, 5)) for other in others)
    assert not np.array_equal(a, stream("minibatch", "mnist", 3, 0, block=1).integers(0, 10**6, 5))


def test_a_variant_draws_the_numbers_of_its_base():
    for purpose in ("initial", "minibatch", "learner"):
        a, b = (
            stream(purpose, name, 3, 0, algorithm="aevb", block=2).integers(0, 10**6, 5)
            for name in ("mnist", "mnist+warmup0")
        )
        assert np.array_equal(a, b)
    # and a base those that it always drew
    assert stream("minibatch", "mnist", 20, 1, block=7).integers(0, 50_000, 5).tolist() == [
        22276,
        6171,
        31943,
        9483,
        27345,
    ]


def test_a_diverged_replica_stops_alone(make, tmp_path):
    settings, data = make("bernoulli", 20_000, warmup_steps=0)
    runs = [AEVB, AEVB._replace(seed=1)]
    good, bad = training.train(runs, [0.02, 1e6], settings, data)
    (alone,) = training.train(runs[:1], [0.02], settings, data)
    assert bad.status == "diverged"
    assert "after" in bad.reason and bad.samples < 20_000 and not bad.weights
    results.write_run(
        tmp_path / "bad.h5", bad
    )  # it may have diverged before its first evaluation: an empty curve
    assert same(results.read_run(tmp_path / "bad.h5"), bad)
    assert same(good, alone)


@pytest.mark.parametrize(
    ("value", "word"),
    [(math.nan, "not a number"), (-math.inf, "not a number"), (-5000.0, "fell"), (178.0, "rose")],
)
def test_what_counts_as_diverged(make, value, word):
    settings, data = make("gaussian")
    stack = Stack([AEVB], [0.02], settings, data)
    assert bool(stack._runaway(value, "the bound")) == (
        word != "fell"
    )  # at the start a low bound may recover
    stack.step = 201
    assert word in stack._runaway(value, "the bound")
    assert (
        stack._runaway(-300.0, "the bound") == stack._runaway(170.0, "the bound") == ""
    )  # 64 ln 16 = 177.4


def test_bound_against_a_direct_estimate_and_its_standard_error_is_true(make):
    settings, data = make("gaussian", 20_000)
    (result,) = training.train([AEVB], [0.02], settings, data)
    layout = nets.Layout(64, 20, 3, "gaussian")
    p = {
        name: torch.from_numpy(value.reshape(layout.shapes[name]))[None]
        for name, value in result.weights.items()
    }
    flat = torch.cat([p[name].flatten() for name in layout.shapes])[None]
    x = data.test
    learner = LEARNERS["aevb"]("gaussian", settings.training)
    bounds = [
        evaluation.bound(learner, flat, layout, x, np.random.default_rng(k), 1.0, 1)
        for k in range(200)
    ]
    values = np.array([b.value for b in bounds])
    assert values.std() == pytest.approx(np.mean([b.standard_error for b in bounds]), rel=0.25)
    mean, log_variance = nets.encode(x[None], p)
    noise = torch.randn(500, len(x), 3, generator=torch.Generator().manual_seed(0))
    z = mean + torch.exp(0.5 * log_variance) * noise
    direct = densities.bound(
        x,
        z,
        nets.decode(z.flatten(0, 1)[None], p).view(500, len(x), -1),
        mean,
        log_variance,
        "gaussian",
        "A",
    ).mean(1)
    error = math.hypot(values.std() / math.sqrt(200), direct.std() / math.sqrt(500))
    assert abs(values.mean() - direct.mean()) < 4 * error
    precise = evaluation.bound(learner, flat, layout, x, np.random.default_rng(0), 0.02, 1000)
    assert precise.standard_error <= 0.021 and precise.draws > 1
    assert bounds[0].kl == pytest.approx(
        densities.kl_to_prior(mean, log_variance).mean().item(), rel=1e-4
    )
    assert bounds[0].active_units == int((mean[0].var(0) > 0.01).sum())


def test_pilot_takes_the_best_finite_step_size(make):
    settings, data = make("bernoulli", 6000, pilot_samples=20_000, step_sizes=[0.001, 0.02, 1e6])
    chosen = pilot(AEVB, settings, data)
    assert chosen.step_size == 0.02
    assert chosen.bounds.shape == (3, len(chosen.samples)) and chosen.samples[-1] == 20_000
    assert np.isfinite(chosen.bounds[:2]).all() and np.isnan(chosen.bounds[2, -1])
    assert chosen.bounds[1, -1] > chosen.bounds[0, -1]
    settings, data = make("bernoulli", 6000, pilot_samples=20_000, step_sizes=[1e6])
    with pytest.raises(UserError, match="every step size"):
        pilot(AEVB, settings, data)
    variant = pilot(AEVB._replace(experiment="digits+reading"), settings, data)
    assert variant.step_size == 1e6 and np.isnan(variant.bounds[:, -1]).all()


def test_pilot_of_monte_carlo_em_lasts_as_many_iterations_as_the_options_say(make):
    settings, data = make("bernoulli", step_sizes=[0.001, 0.1])
    chosen = pilot(AEVB._replace(algorithm="mcem"), settings, data)
    assert chosen.step_size == 0.1
    assert chosen.samples[-1] == 80 * 15 * 1000 and len(chosen.samples) == 10


def test_cuda_asked_for_and_absent_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match="device=cpu"):
        device("cuda", 1, False)
    assert device("auto", 1, False).type == "cpu"


JOB = """
import sys
import numpy as np
from aevb import config, data, results
from aevb.engine import checkpoints, training
from aevb.engine.settings import Settings
from aevb.core.run import Run
checkpoints.SECONDS, checkpoints.SHARE = 0.05, 1.0
data_file, folder = sys.argv[1:3]
experiment = config.Experiment(dataset="digits", likelihood="bernoulli", hidden=20, scale=16)
evaluation = config.Evaluation(first=2000)
settings = Settings(experiment, config.Training(), evaluation, 60_000, snapshots=4)
if sys.argv[3] == "mcem":
    settings = Settings(experiment, config.Training(), evaluation, 20 * 15 * 1500, snapshots=5)
algorithms = sys.argv[3].split()
runs = {Run("digits", a, 3, s): f"{folder}/{a}-{s}.h5" for a in algorithms for s in (0, 1)}
for a in algorithms:
    import numpy as np
    one = np.array([0.02]), np.array([1]), np.zeros((1, 1)), 0.0
    results.write_pilot(f"{folder}/{a}.h5", results.Pilot("digits", a, 3, 0, 0.02, *one))
pilots = {run.curve: f"{folder}/{run.algorithm}.h5" for run in runs}
training.train_jobs([training.Job(runs, pilots, settings, data.load(data_file, experiment))])
"""


def run_job(digits_file, folder, algorithms, kill=None, delay=0.0):
    """Run JOB; with `kill`, send that signal `delay` seconds after this process wrote its first
    checkpoint."""

    def checkpoints():
        return {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*.checkpoint.h5")}

    before = checkpoints()
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, str(digits_file), str(folder), algorithms],
        stderr=subprocess.PIPE,
        text=True,
    )
    if kill is not None:
        while process.poll() is None and checkpoints() == before:
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(kill)
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr


@pytest.mark.parametrize(
    "algorithms", ["aevb wake_sleep", pytest.param("mcem", marks=pytest.mark.slow)]
)
def test_killed_anywhere_a_job_resumes_to_the_same_bits(digits_file, tmp_path, algorithms):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    assert run_job(digits_file, whole, algorithms)[0] == 0
    kills = enumerate([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL])
    logs = [run_job(digits_file, killed, algorithms, number, 0.07 * k)[1] for k, number in kills]
    code, stderr = run_job(digits_file, killed, algorithms)
    assert code == 0
    assert all("resumed at" in log for log in [*logs[1:], stderr])
    files = sorted(os.listdir(whole))
    assert files == sorted(os.listdir(killed))  # no checkpoint or temporary file is left
    for file in files:
        if "-" in file:
            assert same(results.read_run(whole / file), results.read_run(killed / file))


@pytest.mark.parametrize(
    ("algorithm", "budgets"),
    [
        ("aevb", (4000, 6000, 10_000)),
        ("wake_sleep", (2000, 4130, 8000)),  # ends between points of the grid, and within a block
        ("mcem", (13 * 15 * 500, 13 * 15 * 900, 13 * 15 * 1500)),
    ],
)
def test_more_samples_go_on_from_the_state_that_is_kept_to_the_same_bits(
    make, tmp_path, capsys, algorithm, budgets
):
    """Whichever replicas train together, killed on the way or not; a shorter budget is no longer
    one's, and a state of other settings is none."""
    settings, data = make("bernoulli", budgets[-1])
    runs = [AEVB._replace(algorithm=algorithm, seed=seed) for seed in range(3)]
    chosen = results.Pilot("digits", algorithm, 2, 0, 0.02, *([np.zeros(1)] * 3), 0.0, "", "", "")
    results.write_pilot(tmp_path / "pilot.h5", chosen)

    def trained(folder, members, samples, states=str(tmp_path / "states"), **other):
        files = {run: str(tmp_path / folder / f"{run.name}.h5") for run in members}
        asked = dataclasses.replace(settings, samples=samples, **other)
        job = training.Job(files, {runs[0].curve: tmp_path / "pilot.h5"}, asked, data, states)
        training.train_jobs([job])
        return [results.read_run(file) for file in files.values()]

    expected = trained("whole", runs, budgets[-1], states=None)
    assert not (tmp_path / "states").exists()
    trained("short", runs[:2], budgets[0])
    trained("longer", runs[1:2], budgets[1])
    capsys.readouterr()
    found = trained("found", runs, budgets[-1])  # from the first state, the second, and anew
    assert capsys.readouterr().err.count("resumed at") == 2
    assert all(map(same, found, expected))
    assert same(*trained("again", runs[:1], budgets[-1]), expected[0])
    assert "resumed at" in capsys.readouterr().err
    trained("short again", runs[:1], budgets[0])
    trained("seen otherwise", runs[:1], budgets[-1], evaluation=config.Evaluation(first=1000))
    assert "resumed at" not in capsys.readouterr().err
    assert same(*trained("and again", runs[:1], budgets[-1]), expected[0])
    assert "resumed at" in capsys.readouterr().err  # no shorter one has taken its place


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_stops(make, tmp_path, monkeypatch, capsys, number):
    settings, data = make("gaussian", 10_000)
    run, path = AEVB._replace(algorithm="wake_sleep"), tmp_path / "checkpoint.h5"
    (expected,) = training.train([run], [0.02], settings, data)
    monkeypatch.setattr(
        progress.Progress,
        "__call__",
        lambda self, stacks: stacks[0].samples == 4000 and os.kill(os.getpid(), number),
    )
    with pytest.raises(checkpoints.Interrupted) as stop:
        training.train([run], [0.02], settings, data, path)
    assert stop.value.code == 128 + number
    assert "run again to resume" in capsys.readouterr().err
    monkeypatch.undo()
    (resumed,) = training.train([run], [0.02], settings, data, path)
    assert "resumed at 6,000" in capsys.readouterr().err and same(resumed, expected)


def test_a_checkpoint_of_other_settings_or_damaged_is_not_used(make, tmp_path, capsys):
    settings, data = make("bernoulli", 4000)
    path = tmp_path / "checkpoint.h5"
    (expected,) = training.train([AEVB], [0.02], settings, data)
    training.train([AEVB], [0.01], settings, data, path)
    (other,) = training.train([AEVB], [0.02], settings, data, path)
    assert "of other settings" in capsys.readouterr().err and same(other, expected)
    path.write_bytes(path.read_bytes()[:1000])
    (damaged,) = training.train([AEVB], [0.02], settings, data, path)
    assert "damaged checkpoint" in capsys.readouterr().err and same(damaged, expected)


FULL = """
import resource, sys
import numpy as np, pandas as pd
from aevb import results
from aevb.core.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
many = np.array([0.02]), np.arange(10_000), np.zeros((1, 10_000)), 0.0
pilot = results.Pilot("digits", "aevb", 3, 0, 0.02, *many)
try:
    results.write_pilot(sys.argv[1], pilot)
except UserError as error:
    sys.exit(f"error: {error}")
"""


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "pilot.h5")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert (
        done.stderr.startswith("error: cannot write")
        and "make room" in done.stderr
        and done.stderr.count("\n") == 1
    )
    assert not list(tmp_path.iterdir())


class Small:
    """A stand-in for a GPU whose memory holds `capacity` replicas: Stack with a limit. No GPU
    takes part."""

    def __init__(self, monkeypatch, capacity):
        train_block = Stack.train_block
        self.sizes = []

        def limited(stack, last_step):
            if len(stack.live) > capacity:
                raise torch.OutOfMemoryError("stand-in for CUDA out of memory")
            self.sizes.append(len(stack.live))
            train_block(stack, last_step)

        monkeypatch.setattr(Stack, "train_block", limited)


def test_a_gpu_that_is_too_small_goes_on_by_halves_to_the_same_bits(
    make, tmp_path, monkeypatch, capsys
):
    settings, data = make("bernoulli", 4000)
    runs = [Run("digits", "aevb", 2, seed) for seed in range(5)]
    files = {run: str(tmp_path / f"{run.name}.h5") for run in runs}
    pilots = {runs[0].curve: str(tmp_path / "pilot.h5")}
    whole = pilot(runs[0], settings, data)
    results.write_pilot(pilots[runs[0].curve], whole)
    expected = training.train(runs, [whole.step_size] * 5, settings, data)
    small = Small(monkeypatch, 2)
    training.train_jobs([training.Job(files, pilots, settings, data)])
    assert set(small.sizes) == {1, 2}
    for run, one in zip(runs, expected, strict=True):
        found = results.read_run(files[run])
        for name, weight in one.weights.items():
            np.testing.assert_array_equal(found.weights[name], weight)
    assert "does not hold 5 models at once" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*checkpoint*"))
    np.testing.assert_array_equal(pilot(runs[0], settings, data).bounds, whole.bounds)


def test_a_gpu_too_small_for_one_replica_is_one_sentence(make, monkeypatch):
    settings, data = make("bernoulli", 4000)
    Small(monkeypatch, 0)
    with pytest.raises(UserError, match="does not hold digits/aevb-nz2-seed0; free it"):
        training.train(
            [Run("digits", "aevb", 2, seed) for seed in range(2)], [0.02] * 2, settings, data
        )


def test_bfloat16_is_for_training_steps_alone(make, watched):
    if not engine_settings.has_bfloat16():
        pytest.skip("this processor has no bfloat16 products")
    settings, data = make("bernoulli", 20_000)
    before = torch.backends.mkldnn.matmul.fp32_precision
    rounded = dataclasses.replace(settings, bfloat16=True)
    seen = watched(lambda: torch.backends.mkldnn.matmul.fp32_precision)
    (one,), (again,) = (training.train([AEVB], [0.02], rounded, data) for _ in range(2))
    assert seen == {"bound": before, "adagrad": "bf16"} and same(one, again)
    (exact,) = training.train([AEVB], [0.02], settings, data)
    assert seen == {"bound": before, "adagrad": before} and before != "bf16"
    away = (one.curve["test"] - exact.curve["test"]).abs()
    assert 0 < away.iloc[-1] < 0.5 and json.loads(one.attributes["config"])["bfloat16"]
    chains = [AEVB._replace(algorithm="mcem")], [0.02]
    (one,), (exact,) = (training.train(*chains, asked, data) for asked in (rounded, settings))
    assert all(np.array_equal(one.weights[k], v) for k, v in exact.weights.items())


def test_a_processor_without_bfloat16_is_an_error(make, monkeypatch):
    monkeypatch.setattr(engine_settings, "has_bfloat16", lambda: False)
    settings, data = make("bernoulli", 1000)
    with pytest.raises(UserError, match="has no such products; leave it out"):
        training.train([AEVB], [0.02], dataclasses.replace(settings, bfloat16=True), data)
    training.train([AEVB], [0.02], settings, data)
