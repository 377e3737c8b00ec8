"""The path of a GPU. Without one the same code runs on a CPU, but for streams and graph: the
tests with `on_cuda` need the real thing."""

import dataclasses
import math
import os
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from aevb import config, results
from aevb.core.run import Run
from aevb.core.streams import stream
from aevb.engine import checkpoints, gpu, progress, training
from aevb.engine.stack import BLOCK, Stack, stack_of
from aevb.learners import LEARNERS
from aevb.models import kernels, nets
from aevb.pipeline import local, plan
from aevb.studies import planning

AEVB, SLEEP = Run("digits", "aevb", 3, 0), Run("digits", "wake_sleep", 5, 0)
ONLINE = [key for key, learner in LEARNERS.items() if learner.online]
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def branching(monkeypatch):
    """A CPU trains as a GPU does."""
    monkeypatch.setattr(gpu, "serves", lambda device: True)


def seeds(run, number):
    return [run._replace(seed=seed) for seed in range(number)]


def pilots_of(runs, folder) -> dict[str, str]:
    """Files of pilots that chose 0.02, by curve."""
    pilots = {run.curve: str(folder / f"pilot-{run.curve}.h5") for run in runs}
    for run in runs:
        tried = (np.array([0.02]), np.array([1]), np.zeros((1, 1)))
        pilot = results.Pilot(run.experiment, run.algorithm, 3, 0, 0.02, *tried, 0.0)
        results.write_pilot(pilots[run.curve], pilot)
    return pilots


def close(a: results.RunResult, b: results.RunResult, **tolerance) -> None:
    """Equal within `tolerance` (nats, and parameters), bit for bit without one, in all but time."""
    columns = ["samples", "train", "test", "running", "train_kl", "active_units"]
    assert (
        a.attributes["samples"] == b.attributes["samples"]
        and a.attributes["reason"] == b.attributes["reason"]
    )
    pd.testing.assert_frame_equal(
        a.curve[columns], b.curve[columns], **(tolerance or {"check_exact": True})
    )
    for name, value in a.weights.items():
        np.testing.assert_allclose(value, b.weights[name], **(tolerance or {"rtol": 0}))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    "step_sizes", [[0.02, 0.02, 0.02], [0.02, 0.01, 0.05]]
)  # with the fused Adagrad where torch has it, and without
def test_branches_take_the_steps_of_the_cpu(make, monkeypatch, likelihood, step_sizes):
    """With the CPU's random numbers, through a warm-up that ends within a block, to a step
    within another."""
    settings, data = make(likelihood, warmup_steps=30)
    expected = [Stack(seeds(run, 3), step_sizes, settings, data) for run in (AEVB, SLEEP)]
    for stack in expected:
        while stack.step < 127:
            stack.train_block(127)
    monkeypatch.setattr(gpu, "serves", lambda device: True)
    stacks = [Stack(seeds(run, 3), step_sizes, settings, data) for run in (AEVB, SLEEP)]
    for stack in stacks:
        stack.stream = stream
    branches = gpu.Branches()
    branches.train(stacks, 60)
    branches.train(stacks, 127)
    for stack, other in zip(stacks, expected, strict=True):
        assert stack.step == other.step == stack.running_steps == 127
        torch.testing.assert_close(stack.theta, other.theta, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(stack.running, other.running, rtol=1e-4)


def test_monte_carlo_em_on_stacked_replicas_takes_the_steps_of_the_cpu(make, monkeypatch):
    settings, data = make("gaussian")
    runs, step_sizes = seeds(AEVB._replace(algorithm="mcem"), 3), [0.02, 0.01, 0.02]
    expected = stack_of(runs, step_sizes, settings, data)
    monkeypatch.setattr(gpu, "serves", lambda device: True)
    stacked = stack_of(runs, step_sizes, settings, data)
    stacked.stream = stream
    for stack in (expected, stacked):
        for _ in range(5):  # past the warm-up
            stack.train_block(10**6)
    torch.testing.assert_close(stacked.theta, expected.theta, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(stacked.running, expected.running, rtol=1e-4)


def test_random_numbers_are_named_as_on_a_cpu():
    """By purpose, run and block: AEVB and wake-sleep share minibatches; nothing else repeats."""
    generator = partial(gpu.DeviceGenerator, torch.device("cpu"))
    name = ("digits", 3, 0)
    indices = generator("minibatch", *name, block=1).integers(0, 10**6, (20, 100))
    assert torch.equal(
        indices, generator("minibatch", *name, block=1).integers(0, 10**6, (20, 100))
    )
    others = [
        (("minibatch", *name), 2),
        (("minibatch", "digits", 3, 1), 1),
        (("minibatch", "digits", 5, 0), 1),
        (("learner", *name), 1),
    ]
    assert not any(
        torch.equal(indices, generator(*other, block=block).integers(0, 10**6, (20, 100)))
        for other, block in others
    )
    normal, uniform = (
        generator("learner", *name).standard_normal((50_000,)),
        generator("learner", *name).random((50_000,)),
    )
    assert normal.dtype == uniform.dtype == torch.float32
    assert abs(normal.mean()) < 0.02 and abs(normal.var() - 1) < 0.03
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01


@pytest.mark.usefixtures("branching")
@pytest.mark.parametrize("algorithm", [*LEARNERS])
def test_companions_change_nothing(make, algorithm):
    """Alone, with other seeds, and with another curve: on a CPU to the bit, Monte Carlo EM but
    for the order of a sum."""
    settings, data = make("bernoulli", 13 * 15 * 1500 if algorithm == "mcem" else 4000)
    runs = seeds(AEVB._replace(algorithm=algorithm), 3)
    curves = [training.Curve(runs, [0.02] * 3, settings, data)]
    if algorithm != "mcem":
        curves.append(training.Curve(seeds(SLEEP, 2), [0.02] * 2, settings, data))
    together = training.train_together(curves)[0]
    for run, result in zip(runs, together, strict=True):
        (alone,) = training.train([run], [0.02], settings, data)
        close(result, alone, **({"rtol": 1e-5, "atol": 1e-5} if algorithm == "mcem" else {}))
    assert not np.array_equal(together[0].curve["running"], together[1].curve["running"])


@pytest.mark.parametrize("algorithm", ONLINE)
def test_the_bounds_are_those_of_the_cpu_but_for_noise(make, monkeypatch, algorithm):
    """Other random numbers: the means over six seeds differ by less than four standard errors."""
    settings, data = make("bernoulli", 30_000)
    runs = seeds(AEVB._replace(algorithm=algorithm), 6)
    cpu = training.train(runs, [0.05] * 6, settings, data)
    monkeypatch.setattr(gpu, "serves", lambda device: True)
    device = training.train(runs, [0.05] * 6, settings, data)
    for split in results.SPLITS:
        a, b = (
            np.array([result.curve[split].iloc[-1] for result in found]) for found in (cpu, device)
        )
        error = math.hypot(a.std(ddof=1), b.std(ddof=1)) / math.sqrt(6)
        assert (
            error < 0.3 and abs(a.mean() - b.mean()) < 4 * error
        )  # nats; training moves the bound by 20
        assert not np.isclose(a, b, rtol=0, atol=1e-6).any()


@pytest.mark.usefixtures("branching")
def test_a_diverged_replica_stops_alone(make, monkeypatch, capsys):
    monkeypatch.setattr(training, "GPU_CHECK", 2 * BLOCK)
    settings, data = make("bernoulli", 12_000, warmup_steps=0)
    runs = seeds(AEVB, 3)
    other = training.Curve(seeds(SLEEP, 2), [0.02] * 2, settings, data)
    (good, bad, fine), sleep = training.train_together(
        [training.Curve(runs, [0.02, 1e6, 0.02], settings, data), other]
    )
    assert (
        bad.status == "diverged"
        and "not a number after" in bad.reason
        and bad.samples < 12_000
        and not bad.weights
    )
    assert f"{runs[1].name}, step size 1e+06: diverged" in capsys.readouterr().err
    expected = training.train_together(
        [training.Curve([runs[0], runs[2]], [0.02] * 2, settings, data), other]
    )
    for found, alone in zip([good, fine, *sleep], [*expected[0], *expected[1]], strict=True):
        close(found, alone, rtol=1e-4, atol=1e-4)  # before it stopped, without the fused Adagrad


@pytest.mark.usefixtures("branching")
def test_stopped_and_resumed_it_gives_the_same_bits(make, monkeypatch, tmp_path, capsys):
    """Also where one curve has lost its checkpoint, and catches up with the others."""
    monkeypatch.setattr(training, "GPU_CHECK", 2 * BLOCK)
    settings, data = make("bernoulli", 15_000)
    runs = [*seeds(AEVB, 2), *seeds(SLEEP, 1), AEVB._replace(latent_dim=4)]
    pilots = pilots_of(runs, tmp_path)

    def train(folder):
        files = {run: str(tmp_path / folder / f"{run.name}.h5") for run in runs}
        training.train_jobs([training.Job(files, pilots, settings, data)])
        return [results.read_run(path) for path in files.values()]

    expected = train("whole")
    for stop in (4000, 10_000):
        monkeypatch.setattr(
            progress.Progress,
            "__call__",
            lambda self, stacks, at=stop: (
                stacks[0].samples == at and os.kill(os.getpid(), signal.SIGTERM)
            ),
        )
        with pytest.raises(checkpoints.Interrupted):
            train("stopped")
        assert len(list(tmp_path.glob("stopped/**/*.checkpoint.h5"))) == 3
        next(tmp_path.glob("stopped/**/wake_sleep*.checkpoint.h5")).unlink()
    monkeypatch.undo()
    monkeypatch.setattr(gpu, "serves", lambda device: True)
    monkeypatch.setattr(training, "GPU_CHECK", 2 * BLOCK)
    for found, result in zip(train("stopped"), expected, strict=True):
        close(found, result)
    assert "resumed at 12,000" in capsys.readouterr().err
    assert not list(tmp_path.glob("**/*checkpoint*"))


def test_on_a_gpu_a_job_trains_all_runs_of_an_experiment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    paper = local.read(str(Path(__file__).parent.parent / "config/paper.yaml"))
    for device, found in (("auto", False), ("cuda", True)):
        assert planning.on_gpu(config.load({**paper, "device": device})) == found
    paper = {
        key: value
        for key, value in paper.items()
        if key not in ("ablation", "tradeoff", "variance")
    }  # variants have jobs of their own
    auto, cuda = (config.load({**paper, "device": device}) for device in ("auto", "cuda"))
    for pack, number in ((plan.train_jobs, 73), (plan.pilot_jobs, 6)):
        jobs = pack(cuda)
        assert len(pack(auto)) == number and [job.experiment for job in jobs] == sorted(
            cuda.experiments
        )
        assert sorted(run for job in jobs for run in job.runs) == sorted(
            run for job in pack(auto) for run in job.runs
        )


def on_fake_cuda(tensor):
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda:0")


def fakes_cuda() -> bool:
    try:
        with FakeTensorMode():
            torch.empty(3, 4, device="cuda:0")[:, :2].flatten()
        return True
    except RuntimeError:  # torch 2.6, and builds without CUDA
        return False


@pytest.mark.skipif(not fakes_cuda(), reason="this torch cannot trace for CUDA without a device")
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("run", [AEVB, SLEEP])
def test_a_block_can_be_captured(make, monkeypatch, branching, likelihood, run):
    """Traced for CUDA, with shapes and devices but no values, a block waits for no value, mixes
    no devices, and gives gradients laid out as the parameters, which the fused Adagrad wants."""
    settings, data = make(likelihood)
    stack = Stack(seeds(run, 2), [0.02, 0.01], settings, data)
    branch = gpu._Branch(stack)
    branch.refill(stack, 0)
    with FakeTensorMode():
        monkeypatch.setattr(
            kernels, "_constant", lambda value: torch.empty(())
        )  # a number on the CPU, which a kernel takes as an argument
        for name in ("parameters", "accumulators"):
            setattr(
                branch,
                name,
                {key: on_fake_cuda(value) for key, value in getattr(branch, name).items()},
            )
        for name in ("rates", "total"):
            setattr(branch, name, on_fake_cuda(getattr(branch, name)))
        branch.factors = {key: on_fake_cuda(value) for key, value in branch.factors.items()}
        branch.draws = [on_fake_cuda(array) for array in branch.draws]
        branch.rows.rows = on_fake_cuda(branch.rows.rows)
        branch.run(stack.block)
        x = branch.rows[branch.draws[0][:, 0]]
        value, gradient = branch.learner.gradient(
            branch.parameters, x, [noise[:, 0] for noise in branch.draws[1:]]
        )
        assert value.device.type == "cuda" and value.shape == (2,)
        assert gradient.keys() == branch.parameters.keys() == set(nets.WEIGHTS + nets.BIASES)
        for name, part in gradient.items():
            assert (part.shape, part.stride()) == (
                branch.parameters[name].shape,
                branch.parameters[name].stride(),
            )
        with pytest.raises(DataDependentOutputException):  # what waiting would look like
            branch.total.sum().item()


@pytest.mark.skipif(not fakes_cuda(), reason="this torch cannot trace for CUDA without a device")
def test_monte_carlo_em_mixes_no_devices(make, monkeypatch):
    settings, _ = make("bernoulli")
    learner, layout = (
        LEARNERS["mcem"]("bernoulli", settings.training),
        nets.Layout(64, 20, 3, "bernoulli"),
    )
    with FakeTensorMode():
        monkeypatch.setattr(kernels, "_constant", lambda value: torch.empty(()))
        flat, x, chains, uniform, size = (
            torch.empty(s, device="cuda:0")
            for s in ((2, layout.n_parameters), (1, 1500, 64), (2, 1500, 3), (2, 1500), (2, 1, 1))
        )
        p = layout.view(flat)
        acceptance, next_size = learner.expectation(p, x, chains, [chains, uniform], size)
        value, gradient = learner.gradient(p, x, chains)
        assert acceptance.shape == value.shape == (2,) and next_size.shape == (2, 1, 1)
        assert {
            part.device.type for part in (acceptance, next_size, value, *gradient.values())
        } == {"cuda"}


def test_tf32_is_for_training_steps_alone(make, watched):
    settings, data = make("bernoulli", 4000)
    seen = watched(lambda: torch.backends.cuda.matmul.allow_tf32)
    training.train([AEVB], [0.02], dataclasses.replace(settings, tf32=True), data)
    assert seen == {"bound": False, "adagrad": True}
    training.train([AEVB], [0.02], settings, data)
    assert seen == {"bound": False, "adagrad": False}


class Eager(gpu.Branches):
    """Every block is launched step by step."""

    def _captured(self, block):
        return SimpleNamespace(replay=lambda: self._run(block))


@pytest.fixture
def cuda(make):
    """cuda(curves of runs) -> their stacks, in the warm-up of a GPU."""
    settings, data = make("bernoulli")
    settings = dataclasses.replace(settings, device="cuda")

    def build(*curves):
        stacks = [Stack(runs, [0.02] * len(runs), settings, data) for runs in curves]
        torch.use_deterministic_algorithms(
            True
        )  # an operation without a deterministic form is an error
        return stacks

    return build


@on_cuda
def test_the_captured_steps_are_the_eager_ones(cuda):
    curves = seeds(AEVB, 3), seeds(SLEEP, 2)
    captured, eager = cuda(*curves), cuda(*curves)
    gpu.Branches().train(captured, 400), Eager().train(eager, 400)
    for a, b in zip(captured, eager, strict=True):
        torch.testing.assert_close(a.theta, b.theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(a.running, b.running, rtol=1e-6)


@on_cuda
def test_nothing_waits_for_the_host_within_a_span(cuda):
    stacks, branches = cuda(seeds(AEVB, 2), seeds(SLEEP, 2)), gpu.Branches()
    branches.train(stacks, 200)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for branch, stack in zip(branches.branches, stacks, strict=True):
            branch.refill(stack, 200)
        branches.graph.replay()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@on_cuda
def test_on_cuda_companions_and_interruptions_change_nothing(cuda, tmp_path):
    (alone,), (first, other), (small,) = (
        cuda(seeds(AEVB, 3)),
        cuda(seeds(AEVB, 3), seeds(SLEEP, 2)),
        cuda(seeds(AEVB, 1)),
    )
    (
        gpu.Branches().train([alone], 400),
        gpu.Branches().train([first, other], 400),
        gpu.Branches().train([small], 400),
    )
    assert torch.equal(alone.theta, first.theta)  # another curve: to the bit
    np.testing.assert_allclose(
        small.running, alone.running[:1], rtol=1e-3
    )  # other seeds: another batch, rounded otherwise
    (stopped,), (resumed,) = cuda(seeds(AEVB, 3)), cuda(seeds(AEVB, 3))
    gpu.Branches().train([stopped], 200)
    checkpoints.save(stopped, tmp_path / "checkpoint.h5", "key")
    checkpoints.restore(resumed, [checkpoints.read(tmp_path / "checkpoint.h5", "key")])
    gpu.Branches().train([resumed], 400)
    assert torch.equal(resumed.theta, alone.theta)


@on_cuda
@pytest.mark.parametrize("algorithm", [*LEARNERS])
def test_training_on_cuda_ends_where_the_cpu_does(make, algorithm):
    samples = 30 * 15 * 1500 if algorithm == "mcem" else 30_000
    settings, data = make("bernoulli", samples)
    runs = seeds(AEVB._replace(algorithm=algorithm), 6)
    cpu, cuda = (
        np.array(
            [
                r.curve["running"].iloc[-1]
                for r in training.train(
                    runs, [0.05] * 6, dataclasses.replace(settings, device=name), data
                )
            ]
        )
        for name in ("cpu", "cuda")
    )
    assert abs(cpu.mean() - cuda.mean()) < 4 * math.hypot(
        cpu.std(ddof=1), cuda.std(ddof=1)
    ) / math.sqrt(6)
