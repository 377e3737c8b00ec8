"""What a GPU makes of the 18 curves of Figure 2, three seeds each: samples per second and share of
the matrix products' own speed.

    PYTHONPATH=src python benchmarks/gpu.py [--seconds 10] [--data data]

Prints, without and with TF32: for each minibatch size all of its curves in one graph; the ceiling,
which is the same products alone, at the same shapes and in the same branches; and one model
launched step by step; all on random grey values. Then the bound of three seeds of AEVB (MNIST, N_z
= 20) after 1e6 samples, without and with TF32.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from aevb import config, data
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine import gpu, training
from aevb.engine.settings import Settings
from aevb.engine.stack import Stack
from aevb.pipeline import local, plan
from aevb.studies import planning

DEVICE = "cuda"
PRODUCTS = {torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default}


class Eager(gpu.Branches):
    """Every step is launched by the host."""

    def _captured(self, block):
        return SimpleNamespace(replay=lambda: self._run(block))


class Recorder(TorchDispatchMode):
    """Keeps the matrix products that are called, with their arguments, in the list `calls`."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function in PRODUCTS:
            self.calls.append((function, arguments))
        return function(*arguments, **(options or {}))


def build(study: config.Config, tf32: bool) -> list[Stack]:
    """The stacks of Figure 2, on random grey values."""
    stacks, loaded = [], {}
    for job in plan.train_jobs(study):
        settings = Settings.from_dict({**job.settings, "device": DEVICE, "tf32": tf32})
        known, scale = data.DATASETS[settings.experiment.dataset], settings.experiment.scale
        grey = (
            torch.randint(0, 256, (known.n_train, known.shape[0] * known.shape[1]), device=DEVICE)
            .float()
            .div_(scale)
        )
        images = loaded.setdefault(
            job.experiment,
            SimpleNamespace(train=grey, test=grey, scale=scale, sha256=""),
        )
        wanted = [
            run
            for row in study.figure2
            for run in job.runs
            if run.experiment == row.experiment and run.latent_dim in row.latent_dims
        ]
        for curve in dict.fromkeys(run.curve for run in wanted):
            runs = [run for run in job.runs if run.curve == curve]
            stacks.append(Stack(runs, [0.01] * len(runs), settings, images))
    return stacks


def samples_per_second(branches: gpu.Branches, stacks: list[Stack], seconds: float) -> float:
    """Of all replicas, over spans of GPU_CHECK steps."""
    rates, end = [], time.perf_counter() + seconds
    # This captures, and lets training move so long that its kernels are steady.
    branches.train(stacks, stacks[0].step + training.GPU_CHECK)
    while len(rates) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        branches.train(stacks, stacks[0].step + training.GPU_CHECK)
        rates.append(
            training.GPU_CHECK
            * stacks[0].batch
            * sum(len(s.live) for s in stacks)
            / (time.perf_counter() - started)
        )
    return statistics.median(rates)


def ceiling(branches: gpu.Branches, stacks: list[Stack], seconds: float) -> tuple[float, float]:
    """Samples per second of the products alone, in the branches of `branches`, and their
    operations per sample (mean over curves)."""
    operations = 0
    for branch in branches.branches:
        with (recorder := Recorder()), FlopCounterMode(display=False) as counter:
            recorder.calls = []
            branch.run(1)
        operations += counter.get_total_flops()
        branch.run = lambda steps, calls=recorder.calls: [
            function(*arguments) for _ in range(steps) for function, arguments in calls
        ]
    branches.graph = None
    replicas = sum(len(stack.live) for stack in stacks)
    return samples_per_second(branches, stacks, seconds), operations / (replicas * stacks[0].batch)


def bounds(folder: str, study: config.Config, tf32: bool) -> list[float]:
    """Test bounds of three seeds after 1e6 samples, nats per datapoint."""
    runs = [Run("mnist", "aevb", 20, seed) for seed in range(3)]
    settings = Settings.from_dict(
        {**planning.settings(study, runs, 1_000_000), "device": DEVICE, "tf32": tf32}
    )
    trained = training.train(
        runs, [0.02] * 3, settings, data.load(f"{folder}/mnist.h5", settings.experiment)
    )
    return [result.curve["test"].iloc[-1] for result in trained]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=10, help="of each measurement (%(default)s)"
    )
    parser.add_argument(
        "--data", default="data", metavar="DIR", help="MNIST lies in DIR/mnist.h5 (%(default)s)"
    )
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise UserError(
            "this measures a GPU, and torch finds no CUDA device; for a CPU there is "
            "benchmarks/throughput.py"
        )
    study = config.load(local.override(local.read("config/paper.yaml"), [f"device={DEVICE}"]))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for tf32 in (False, True):
        groups: dict[int, list[Stack]] = {}
        for stack in build(study, tf32):
            groups.setdefault(stack.batch, []).append(stack)
        print(
            f"TF32 {'on' if tf32 else 'off'}: samples/s of all models together, TFLOP/s in matrix "
            "products, milliseconds per step"
        )
        minutes = 0.0
        for batch, stacks in groups.items():
            branches, replicas = gpu.Branches(), sum(len(stack.live) for stack in stacks)
            rate = samples_per_second(branches, stacks, options.seconds)
            best, operations = ceiling(branches, stacks, options.seconds)
            minutes += replicas * 1e8 / rate / 60
            for what, value in (
                (f"M = {batch}: {len(stacks)} curves, {replicas} models", rate),
                ("their matrix products alone", best),
            ):
                print(
                    f"  {what:40} {value:>14,.0f} {value * operations / 1e12:8.1f} "
                    f"{replicas * batch / value * 1e3:8.3f}"
                )
            for model in stacks:
                if model.runs[0].curve == "mnist/aevb-nz20":
                    alone = Stack(model.runs[:1], [0.01], model.settings, model.data)
                    single = samples_per_second(Eager(), [alone], options.seconds)
                    print(f"  {'one model (MNIST, N_z = 20), step by step':40} {single:>14,.0f}")
        print(f"  1e8 samples per curve would take {minutes:.1f} min, evaluations left out")
    found = [bounds(options.data, study, tf32) for tf32 in (False, True)]
    moved = [b - a for a, b in zip(*found, strict=True)]
    for name, values in (("TF32 off", found[0]), ("TF32 on", found[1]), ("difference", moved)):
        print(
            f"test bound at 1e6, {name}: {statistics.mean(values):.3f} nats, sd over seeds "
            f"{statistics.stdev(values):.3f}"
        )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
