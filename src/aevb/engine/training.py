"""The training engine that all learners share: Adagrad on stacked replicas, evaluation,
checkpoints, results.

A stack is R replicas of one curve (seeds, or the pilot's step sizes) side by side in tensors (R,
...). Random numbers come in blocks of BLOCK steps, each from a stream of its own (streams.py);
checkpoints, evaluations and the check for divergence fall between blocks, so that a resumed run
repeats nothing and skips nothing. On a CPU one replica goes through a block after the other, which
keeps its parameters in cache and its bits independent of the others; on a GPU all curves of a job
advance together (gpu.py), and look up from it at evaluations and every GPU_CHECK steps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .. import config as configuration
from .. import results
from ..config import PILOT_POINTS, Run
from ..core import provenance
from ..core.errors import UserError
from ..core.files import new_h5, open_h5
from ..core.streams import stream
from ..core.words import duration
from ..data import Data
from ..learners import LEARNERS, MonteCarloEM
from ..models import kernels, nets
from . import evaluation, gpu
from .evaluation import GPU_CHUNK

# steps: fine enough for the evaluation grid (2,000 samples at M = 100), coarse enough to cost
# nothing
BLOCK = 20
GPU_CHECK = (
    50 * BLOCK
    # steps after which a GPU's replicas are checked for divergence and may be interrupted: a second or
    # less
)
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = (
    0.05  # of the time that may go into writing them: those of many large models come less often
)
PROGRESS_SECONDS = 10.0
# transitions that not one chain accepts: the step size adapts by a factor of 1.25 each, so it will
# not mend
STUCK = 50
PILOT_SEGMENTS = 10
WORST_PER_PIXEL = (
    20.0  # nats: a bound below -20 per pixel is far under that of any model worth continuing
)


@dataclass(frozen=True)
class Settings:
    """What decides a result beside run and data: the slice of the configuration that its job
    receives."""

    experiment: configuration.Experiment
    training: configuration.Training
    evaluation: configuration.Evaluation
    samples: int
    mcem: configuration.MonteCarloEM = field(default_factory=configuration.MonteCarloEM)
    snapshots: int = (
        0  # Figure 3: evaluations spread evenly over the budget, at which the parameters are kept
    )
    device: str = "cpu"  # "auto" is resolved by `device`
    threads: int = 1
    tf32: bool = False

    @classmethod
    def from_dict(cls, raw: dict) -> Settings:
        """From plain values, as plan.settings makes them."""
        parts = {
            "experiment": configuration.Experiment,
            "training": configuration.Training,
            "evaluation": configuration.Evaluation,
            "mcem": configuration.MonteCarloEM,
        }
        return cls(
            **{
                name: parts[name](**value) if name in parts else value
                for name, value in raw.items()
            }
        )

    def to_json(self) -> str:
        return json.dumps(
            {k: v.model_dump() if hasattr(v, "model_dump") else v for k, v in vars(self).items()},
            sort_keys=True,
        )


def device(name: str, threads: int, tf32: bool) -> torch.device:
    """Set up torch for deterministic results and return the device for 'auto', 'cpu' or 'cuda'.

    Raises UserError if CUDA is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device: cuda was asked for, but torch finds no CUDA device; use --config device=cpu, "
            "or device=auto"
        )
    chosen = "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # cuBLAS is deterministic only with a fixed workspace
    torch.set_num_threads(threads)
    # Training uses none that have no deterministic form. Estimates of log p(x) do on a GPU, under a
    # torch whose cumsum has none: there torch warns and goes on.
    torch.use_deterministic_algorithms(True, warn_only=chosen == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = (
        False  # every entry of a buffer is written before it is read
    )
    torch.backends.cuda.matmul.allow_tf32 = tf32
    return torch.device(chosen)


@contextlib.contextmanager
def full_precision():
    """Matrix products in float32 even if settings.tf32 lets training steps round to TF32:
    measurements, and the energies of HMC."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def grid(first: int, last: int, points_per_decade: int, quantum: int, even: int = 0) -> list[int]:
    """Sample counts of the evaluations: a logarithmic grid from `first`, rounded to `quantum`,
    and `last` itself; with `even`, that many spread evenly up to `last`, and the logarithmic
    grid only before the first of them."""
    points = {max(1, round(last * k / even / quantum)) * quantum for k in range(1, even)} | {last}
    k, stop = 0, min(points)
    while (point := first * 10 ** (k / points_per_decade)) < stop:
        rounded = max(quantum, round(point / quantum) * quantum)
        if rounded < last:
            points.add(rounded)
        k += 1
    return sorted(points)


class Interrupted(SystemExit):
    """SIGTERM or SIGINT arrived; the checkpoint is written."""


@contextlib.contextmanager
def _signals():
    """Yields a list that receives the number of the first SIGTERM or SIGINT instead of dying at
    once."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda n, _: received.append(n))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Stack:
    """R replicas of one curve in training, by an on-line learner."""

    block = BLOCK  # steps whose random numbers are drawn together; evaluations fall between blocks

    def __init__(self, runs: list[Run], step_sizes: list[float], settings: Settings, data: Data):
        self.settings, self.data, self.runs = settings, data, runs
        self.device = device(settings.device, settings.threads, settings.tf32)
        self.together = gpu.serves(
            self.device
        )  # all replicas take each step as one batched product
        self.stream = partial(gpu.DeviceGenerator, self.device) if self.together else stream
        self.branches = gpu.Branches() if self.together else None
        training = settings.training
        first = runs[0]
        self.layout = nets.Layout(
            data.train.shape[1],
            settings.experiment.hidden,
            first.latent_dim,
            settings.experiment.likelihood,
        )
        self.learner = self._learner(first.algorithm)
        self.train, self.test = data.train.to(self.device), data.test.to(self.device)
        self.rows = kernels.Rows(self.train, data.scale)
        self.batch = training.batch_size
        self.samples_per_step = self.batch
        self.decay = self.batch / len(data.train)
        self.regularised = {"weights": nets.WEIGHTS, "all": nets.WEIGHTS + nets.BIASES, "none": ()}[
            training.prior
        ]

        self.step = 0
        self.live = list(
            range(len(runs))
        )  # rows of the tensors -> replicas; diverged ones are taken out
        self.reasons = [""] * len(runs)
        self.samples_at_end = [0] * len(runs)
        self.curves: list[list[list[float]]] = [[] for _ in runs]
        self.snapshots: list[list[np.ndarray]] = [[] for _ in runs]
        self.running = np.zeros(len(runs))  # sum of minibatch bounds since the last evaluation
        self.running_steps = 0
        self.train_seconds = np.zeros(len(runs))
        self.evaluation_seconds = np.zeros(len(runs))
        theta = np.stack([
            stream("initial", r.experiment, r.latent_dim, r.seed).standard_normal(self.layout.n_parameters, dtype=np.float32) for r in runs
        ])  # fmt: skip
        self.theta = torch.from_numpy(theta * np.float32(training.initial_sd)).to(self.device)
        self.accumulator = torch.full_like(self.theta, training.epsilon)
        self.step_sizes = list(step_sizes)

    def _learner(self, algorithm: str):
        training = self.settings.training
        return LEARNERS[algorithm](
            self.settings.experiment.likelihood, training.draws, training.estimator
        )

    @property
    def samples(self) -> int:
        return self.step * self.samples_per_step

    def draw(self, replica: int, block: int) -> list[np.ndarray] | list[Tensor]:
        """Minibatch indices (BLOCK, M) and the learner's noise (BLOCK, ...) of one block of a
        replica."""
        run = self.runs[replica]
        name = (run.experiment, run.latent_dim, run.seed)
        indices = self.stream("minibatch", *name, block=block).integers(
            0, len(self.train), (BLOCK, self.batch)
        )
        generator = self.stream("learner", *name, algorithm=run.algorithm, block=block)
        return [indices, *self.learner.noise(generator, BLOCK, self.batch, self.layout)]

    def _advance(self, steps: int) -> Tensor:
        """Take `steps` steps, all in one block; returns the sum over them of the live replicas'
        minibatch bounds."""
        return torch.stack([self._steps(row, steps) for row in range(len(self.live))])

    def _steps(self, row: int, steps: int) -> Tensor:
        """Steps of one replica; returns the sum of its minibatch bounds."""
        indices, *noise = map(torch.from_numpy, self.draw(self.live[row], self.step // self.block))
        parameters, accumulators = (
            self.layout.view(self.theta[row]),
            self.layout.view(self.accumulator[row]),
        )
        warmup = self.settings.training.warmup_steps - self.step
        total = torch.zeros(())
        for i in range(steps):
            value, gradient = self.learner.gradient(
                parameters, self.rows[indices[i]], [array[i] for array in noise]
            )
            total += value
            step_size = None if i < warmup else self.step_sizes[row]
            kernels.adagrad(
                parameters, gradient, accumulators, step_size, self.decay, self.regularised
            )
        return total

    def train_block(self, last_step: int) -> None:
        """Train to the end of the current block, or to `last_step`; take out replicas that
        diverged."""
        steps = min(self.block, last_step - self.step)
        if self.branches is not None:
            self.branches.train([self], self.step + steps)
            return
        started = time.perf_counter()
        total = self._advance(steps).cpu()
        self.account(total, steps, (time.perf_counter() - started) / len(self.live))

    def account(self, total: Tensor, steps: int, seconds: float) -> None:
        """Book `steps` steps that gave the live replicas `total` (R,), the sums of their
        minibatch bounds, and took `seconds` each; take out those that diverged."""
        self.step += steps
        total = total.numpy().astype(float)
        self.running[self.live] += total
        self.running_steps += steps
        self.train_seconds[self.live] += seconds
        self.take_out(
            {
                replica: self._runaway(mean, self.what)
                for replica, mean in zip(self.live, total / steps, strict=True)
            }
        )

    what = "the minibatch bound"

    @property
    def grace(self) -> int:
        """Steps during which the bound may be as low as it likes: Adagrad's first steps without
        a warm-up throw it far down, and it recovers."""
        return self.settings.training.warmup_steps + 100

    def _runaway(self, value: float, what: str) -> str:
        """Why a bound of `value` nats per datapoint means that the replica has diverged; '' if
        it does not."""
        limit, when = self.data.max_log_density, f"after {self.samples} samples"
        if not np.isfinite(value):
            return f"{what} is not a number {when}"
        if value < -WORST_PER_PIXEL * self.layout.pixels and self.step > self.grace:
            return f"{what} fell to {value:.0f} nats {when}"
        if self.layout.likelihood == "gaussian" and value > limit:
            return f"{what} rose to {value:.0f} nats {when}, above what grey levels allow ({limit:.0f})"
        return ""

    def take_out(self, reasons: dict[int, str]) -> None:
        """Stop the replicas for which `reasons` gives one; the others go on."""
        for replica, reason in reasons.items():
            self.samples_at_end[replica] = self.samples
            self.reasons[replica] = reason
        rows = [row for row, replica in enumerate(self.live) if not self.reasons[replica]]
        if len(rows) < len(self.live):
            for replica, reason in reasons.items():
                if reason:
                    print(
                        f"{self.runs[replica].name}, step size "
                        f"{self.step_sizes[self.live.index(replica)]:g}: diverged: {reason}",
                        file=sys.stderr,
                    )
            for name in self.TENSORS:
                setattr(self, name, getattr(self, name)[rows])
            self.step_sizes = [self.step_sizes[row] for row in rows]
            self.live = [self.live[row] for row in rows]

    def evaluate(self) -> None:
        """Add a row to the curve of every live replica."""
        reasons = {}
        for row, replica in enumerate(self.live):
            started = time.perf_counter()
            values = {name: np.nan for name in results.CURVE}
            values |= {"samples": self.samples, "seconds": self.train_seconds[replica]}
            values |= {"running": self.running[replica] / self.running_steps}
            values |= self._bounds(row)
            self.curves[replica].append([float(values[name]) for name in results.CURVE])
            if self.settings.snapshots:
                self.snapshots[replica].append(self.theta[row].cpu().numpy().copy())
            reasons[replica] = self._runaway_evaluation(values)
            self.evaluation_seconds[replica] += time.perf_counter() - started
        self.running[:] = 0
        self.running_steps = 0
        self.take_out(reasons)

    @full_precision()
    def _bounds(self, row: int) -> dict[str, float]:
        """The columns of results.CURVE that evaluation.bound gives."""
        options, run = self.settings.evaluation, self.runs[self.live[row]]
        values = {}
        for split, x in (("train", self.train), ("test", self.test)):
            generator = self.stream(
                f"evaluate-{split}", run.experiment, run.latent_dim, run.seed, block=self.samples
            )
            found = evaluation.bound(
                self.theta[row : row + 1],
                self.layout,
                x,
                generator,
                options.standard_error,
                options.max_draws,
            )
            values |= {
                split: found.value,
                f"{split}_se": found.standard_error,
                f"{split}_kl": found.kl,
            }
            values.setdefault("active_units", found.active_units)  # those of the training set
        return values

    def _runaway_evaluation(self, values: dict[str, float]) -> str:
        reason = self._runaway(values["train"], "the training bound")
        if not reason and not np.isfinite(
            values["test"]
        ):  # it may fall as it likes: that is overfitting, a result
            reason = f"the test bound is not a number after {self.samples} samples"
        return reason

    # Checkpoints: everything above that changes, and a key that says to what it belongs.

    def key(self, step_sizes: list[float]) -> str:
        """A checkpoint is used only by the same runs, settings, data, code, torch and device."""
        parts = [
            self.settings.to_json(),
            [run.name for run in self.runs],
            step_sizes,
            self.data.sha256,
            provenance.code_sha256(),
        ]
        return hashlib.sha256(
            json.dumps([*parts, torch.__version__, str(self.device)]).encode()
        ).hexdigest()

    STATE = ("step", "live", "reasons", "samples_at_end", "curves", "running_steps", "step_sizes")
    ARRAYS = ("running", "train_seconds", "evaluation_seconds")
    TENSORS = ("theta", "accumulator")

    def save(self, path: Path, key: str) -> None:
        """Write a checkpoint atomically; raises UserError if the disk is full."""
        with new_h5(path) as file:
            file.attrs["key"] = key
            file.attrs["state"] = json.dumps({name: getattr(self, name) for name in self.STATE})
            for name in self.ARRAYS:
                file[name] = getattr(self, name)
            for name in self.TENSORS:
                file[name] = getattr(self, name).cpu().numpy()
            for replica, snapshots in enumerate(self.snapshots):
                if snapshots:
                    file[f"snapshots/{replica}"] = np.stack(snapshots)

    def restore(self, path: Path, key: str) -> bool:
        """Continue from a checkpoint; False, with the reason on stderr, if it is not there,
        damaged or of other settings."""
        try:
            with open_h5(path) as file:
                if file.attrs["key"] != key:
                    print(
                        f"{path}: a checkpoint of other settings, data or code; starting anew",
                        file=sys.stderr,
                    )
                    return False
                state = json.loads(file.attrs["state"])
                arrays = {name: file[name][:] for name in self.ARRAYS}
                tensors = {
                    name: torch.from_numpy(file[name][:]).to(self.device) for name in self.TENSORS
                }
                snapshots = [
                    list(file[f"snapshots/{r}"][:]) if f"snapshots/{r}" in file else []
                    for r in range(len(self.runs))
                ]
        except FileNotFoundError:
            return False
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            print(f"{path}: damaged checkpoint ({error}); starting anew", file=sys.stderr)
            return False
        for name, value in {**state, **arrays, **tensors, "snapshots": snapshots}.items():
            setattr(self, name, value)
        return True


class ChainStack(Stack):
    """R replicas of one curve of Monte Carlo EM: a step is a transition of all chains and the
    updates that follow it.

    The x axis counts a datapoint once for each leapfrog step and each update, N (10 + 5) a step:
    the gradient evaluations. The paper's own points lie on multiples of that number
    (docs/method.md).
    """

    block = 1
    what = "the mean of log p(x, z)"
    grace = 0

    def __init__(self, runs: list[Run], step_sizes: list[float], settings: Settings, data: Data):
        super().__init__(runs, step_sizes, settings, data)
        options, n = settings.mcem, len(self.train)
        self.branches = None  # few large steps, which launch no faster from a graph
        self.batch, self.decay = n, 1.0
        self.samples_per_step = n * (options.leapfrog + options.updates)
        self.regularised = [name for name in self.regularised if name.startswith("decoder")]
        starts = [
            stream("chains", r.experiment, r.latent_dim, r.seed).standard_normal(
                (n, r.latent_dim), dtype=np.float32
            )
            for r in runs
        ]
        self.chains = torch.from_numpy(np.stack(starts)).to(self.device)
        self.leapfrog_size = torch.full((len(runs), 1, 1), options.step_size, device=self.device)
        self.stuck = torch.zeros(
            len(runs), device=self.device
        )  # transitions in a row that no chain accepted

    TENSORS = (*Stack.TENSORS, "chains", "leapfrog_size", "stuck")

    def _learner(self, algorithm: str):
        return MonteCarloEM(
            self.settings.experiment.likelihood,
            self.settings.mcem,
            **({"chunk": GPU_CHUNK} if self.together else {}),
        )

    @full_precision()
    def _advance(self, steps: int) -> Tensor:
        options, first = self.settings.mcem, self.step * self.settings.mcem.updates
        total = torch.zeros(len(self.live), device=self.device)
        noise = []
        for run in (self.runs[replica] for replica in self.live):
            generator = self.stream(
                "learner",
                run.experiment,
                run.latent_dim,
                run.seed,
                algorithm=run.algorithm,
                block=self.step,
            )
            noise.append(self.learner.noise(generator, len(self.train), run.latent_dim))
        noise = [
            torch.stack([torch.as_tensor(array) for array in arrays])
            for arrays in zip(*noise, strict=True)
        ]
        x = self.train.unsqueeze(0)
        for rows in (
            [slice(None)]
            if self.together
            else [slice(row, row + 1) for row in range(len(self.live))]
        ):
            parameters, accumulators = (
                {
                    name: part
                    for name, part in self.layout.view(flat[rows]).items()
                    if name.startswith("decoder")
                }
                for flat in (self.theta, self.accumulator)
            )
            chains = self.chains[rows]
            acceptance, self.leapfrog_size[rows] = self.learner.expectation(
                parameters, x, chains, [array[rows] for array in noise], self.leapfrog_size[rows]
            )
            self.stuck[rows] = torch.where(acceptance > 0, 0, self.stuck[rows] + 1)
            step_size = torch.tensor(
                self.step_sizes[rows], dtype=torch.float32, device=self.device
            ).view(-1, 1, 1)
            for update in range(options.updates):
                value, gradient = self.learner.gradient(parameters, x, chains)
                total[rows] += value / options.updates
                warm = first + update >= options.warmup_updates
                kernels.adagrad(
                    parameters,
                    gradient,
                    accumulators,
                    step_size if warm else None,
                    self.decay,
                    self.regularised,
                )
        return total

    def train_block(self, last_step: int) -> None:
        super().train_block(last_step)
        stuck = (self.stuck >= STUCK).tolist()
        text = f"no chain accepted a proposal in {STUCK} transitions, the last after {self.samples} samples"
        self.take_out(
            {replica: text * never for replica, never in zip(self.live, stuck, strict=True)}
        )

    def _bounds(self, row: int) -> dict[str, float]:
        return {}  # without an encoder there is no bound

    def _runaway_evaluation(self, values: dict[str, float]) -> str:
        return ""


def stack_of(runs: list[Run], step_sizes: list[float], settings: Settings, data: Data) -> Stack:
    return (ChainStack if runs[0].algorithm == "mcem" else Stack)(runs, step_sizes, settings, data)


class Curve(NamedTuple):
    """What one stack trains: the replicas `runs` of a curve with `step_sizes`, one each, to
    settings.samples."""

    runs: list[Run]
    step_sizes: list[float]
    settings: Settings
    data: Data
    checkpoint: Path | None = None


def train(
    runs: list[Run],
    step_sizes: list[float],
    settings: Settings,
    data: Data,
    checkpoint: Path | None = None,
) -> list[results.RunResult]:
    """Train the replicas `runs` (one curve) as a stack, with `step_sizes`, one each, to
    settings.samples.

    With `checkpoint`, state is kept there every half minute and on SIGTERM or SIGINT (then
    Interrupted is raised), and training continues from it if it is there; the result has the same
    bits either way.
    """
    return train_fitting([Curve(runs, step_sizes, settings, data, checkpoint)])[0]


def train_together(curves: list[Curve]) -> list[list[results.RunResult]]:
    """Train `curves`, which have the same batch size, budget and evaluations: several only on a
    GPU, by on-line learners."""
    stacks = [stack_of(*curve[:4]) for curve in curves]
    keys = [stack.key(curve.step_sizes) for stack, curve in zip(stacks, curves, strict=True)]
    first, settings = stacks[0], curves[0].settings
    kept = [
        (stack, curve.checkpoint, key)
        for stack, curve, key in zip(stacks, curves, keys, strict=True)
        if curve.checkpoint
    ]
    for stack, checkpoint, key in kept:
        if stack.restore(checkpoint, key):
            print(
                f"{stack.runs[0].curve}: resumed at {stack.samples:,} of {settings.samples:,} "
                "samples",
                file=sys.stderr,
            )
    last_step = -(-settings.samples // first.samples_per_step)
    last, options = last_step * first.samples_per_step, settings.evaluation
    points = grid(
        options.first,
        last,
        options.points_per_decade,
        first.block * first.samples_per_step,
        settings.snapshots,
    )
    stops = sorted(
        {
            *range(GPU_CHECK, last_step, GPU_CHECK),
            *(point // first.samples_per_step for point in points),
        }
    )
    progress = _Progress(stacks, last)
    saved, cost = time.monotonic(), 0.0
    with _signals() as received:
        while due := [stack for stack in stacks if stack.step < last_step and stack.live]:
            step = min(
                stack.step for stack in due
            )  # those that resumed at an older checkpoint catch up first
            due = [stack for stack in due if stack.step == step]
            if first.branches is None:
                first.train_block(last_step)
            else:
                first.branches.train(due, next(stop for stop in stops if stop > step))
            for stack in due:
                if stack.live and stack.samples in points:
                    stack.evaluate()
            started = time.monotonic()
            if kept and (
                received or started - saved > max(CHECKPOINT_SECONDS, cost / CHECKPOINT_SHARE)
            ):
                for stack, checkpoint, key in kept:
                    stack.save(checkpoint, key)
                saved = time.monotonic()
                cost = saved - started
            if received:
                print(
                    f"{progress.name}: stopped by signal {received[0]} at {due[0].samples:,} "
                    "samples; run again to resume",
                    file=sys.stderr,
                )
                raise Interrupted(128 + received[0])
            progress(due)
        for stack, checkpoint, key in kept:
            stack.save(
                checkpoint, key
            )  # finished: a job that is stopped in a later curve does not repeat this one
    return [
        [_result(stack, replica, step_size) for replica, step_size in enumerate(curve.step_sizes)]
        for stack, curve in zip(stacks, curves, strict=True)
    ]


def checkpoint_path(path: str | Path) -> Path:
    """The checkpoint of a stack, beside the file of its first run."""
    path = Path(path)
    return path.with_name(f"{path.stem}.checkpoint.h5")


def train_fitting(curves: list[Curve]) -> list[list[results.RunResult]]:
    """train_together, by halves one after the other where a GPU's memory does not hold all: half of
    the curves, or of the replicas of one. A replica's random numbers do not depend on its
    companions.

    Raises UserError if the memory does not hold a single replica.
    """
    with contextlib.suppress(torch.OutOfMemoryError):
        return train_together(curves)
    first = curves[0]
    replicas = sum(len(curve.runs) for curve in curves)
    _say_too_small(first.runs[0], replicas)
    if len(curves) > 1:
        half = len(curves) // 2
        return train_fitting(curves[:half]) + train_fitting(curves[half:])
    trained = []
    for part in (slice(replicas // 2), slice(replicas // 2, None)):
        runs = first.runs[part]
        checkpoint = first.checkpoint and checkpoint_path(
            first.checkpoint.with_name(Path(runs[0].name).name + ".h5")
        )
        trained += train_fitting(
            [first._replace(runs=runs, step_sizes=first.step_sizes[part], checkpoint=checkpoint)]
        )[0]
    return [trained]


def _say_too_small(run: Run, replicas: int) -> None:
    """After torch.OutOfMemoryError, whose traceback kept the tensors: free them. Raises
    UserError if it was a single replica."""
    torch.cuda.empty_cache()
    if replicas == 1:
        raise UserError(
            f"the GPU's memory does not hold {run.name}; free it of other programs, or use "
            "--config device=cpu"
        )
    print(
        f"{run.curve}: the GPU's memory does not hold {replicas} models at once; going on with "
        "fewer",
        file=sys.stderr,
    )


def _result(stack: Stack, replica: int, step_size: float) -> results.RunResult:
    run, settings = stack.runs[replica], stack.settings
    diverged = bool(stack.reasons[replica])
    seconds = float(stack.train_seconds[replica])
    attributes = {
        "schema": results.SCHEMA,
        "experiment": run.experiment,
        "dataset": stack.data.name,
        "likelihood": settings.experiment.likelihood,
        "algorithm": run.algorithm,
        "latent_dim": run.latent_dim,
        "hidden": settings.experiment.hidden,
        "n_train": len(stack.train),
        "n_test": len(stack.test),
        "seed": run.seed,
        "step_size": step_size,
        "status": "diverged" if diverged else "completed",
        "reason": stack.reasons[replica],
        "samples": stack.samples_at_end[replica],
        "config": settings.to_json(),
        "data_sha256": stack.data.sha256,
        "threads": settings.threads,
        "train_seconds": seconds,
        "evaluation_seconds": float(stack.evaluation_seconds[replica]),
        "samples_per_second": stack.samples_at_end[replica] / seconds,
        **provenance.attributes(stack.device),
    }
    curve = pd.DataFrame(stack.curves[replica], columns=list(results.CURVE), dtype=float)
    weights = {}
    if not diverged:
        views = stack.layout.view(stack.theta[[stack.live.index(replica)]].cpu())
        weights = {
            name: value[0].squeeze(0).numpy() if name.endswith("bias") else value[0].numpy()
            for name, value in views.items()
        }
    snapshots = stack.snapshots[replica]
    return results.RunResult(attributes, curve, weights, np.stack(snapshots) if snapshots else None)


def pilot(run: Run, settings: Settings, data: Data) -> results.Pilot:
    """Choose the step size of a curve: short runs from the same start with every candidate,
    stacked.

    The bound is the mean of the minibatch bounds over each tenth of the pilot; the candidates see
    the same minibatches and noise, so that its differences are far more precise than the bound
    itself. The best last tenth wins. Monte Carlo EM, which sees the whole training set in each
    update, is tried on its first PILOT_POINTS points, for settings.mcem.pilot_iterations, and
    judged by log p(x, z). Raises UserError if every candidate diverges, but for a variant
    (config.Config.experiment).
    """
    candidates = list(settings.training.step_sizes)
    started = time.perf_counter()
    if run.algorithm == "mcem":
        data = replace(data, train=data.train[:PILOT_POINTS])
    found = []
    with contextlib.suppress(torch.OutOfMemoryError):
        found = [_pilot_bounds(run, candidates, settings, data)]
    if not found:
        _say_too_small(run, len(candidates))
        found = [_pilot_bounds(run, [candidate], settings, data) for candidate in candidates]
    samples, bounds = found[0][0], np.concatenate([part for _, part in found])
    converged = np.isfinite(bounds[:, -1]).any()
    if not converged and "+" not in run.experiment:
        raise UserError(
            f"every step size of {candidates} diverged in the pilot of {run.curve}; give smaller "
            "ones in training.step_sizes"
        )
    # that another reading of the paper diverges at every step size is a result: its runs will show
    # it at the smallest
    chosen = candidates[np.nanargmax(bounds[:, -1])] if converged else min(candidates)
    return results.Pilot(
        run.experiment,
        run.algorithm,
        run.latent_dim,
        run.seed,
        chosen,
        np.array(candidates),
        samples,
        bounds,
        time.perf_counter() - started,
        settings.to_json(),
        data.sha256,
        provenance.code_sha256(),
    )


def _pilot_bounds(
    run: Run, candidates: list[float], settings: Settings, data: Data
) -> tuple[np.ndarray, np.ndarray]:
    """Samples (T,) at the ends of the pilot's segments, and the bounds (S, T) of the candidates
    there."""
    stack = stack_of([run] * len(candidates), candidates, settings, data)
    samples = (
        settings.mcem.pilot_iterations * stack.samples_per_step
        if run.algorithm == "mcem"
        else settings.training.pilot_samples
    )
    last_step = -(-samples // stack.samples_per_step)
    ends = [max(1, round(last_step * (k + 1) / PILOT_SEGMENTS)) for k in range(PILOT_SEGMENTS)]
    blocks = sorted({min(last_step, -(-end // stack.block) * stack.block) for end in ends})
    bounds = np.full((len(candidates), len(blocks)), np.nan)
    for segment, end in enumerate(blocks):
        while stack.step < end and stack.live:
            stack.train_block(last_step)
        bounds[stack.live, segment] = stack.running[stack.live] / stack.running_steps
        stack.running[:] = 0
        stack.running_steps = 0
    return np.array([end * stack.samples_per_step for end in blocks]), bounds


class _Progress:
    """A line on stderr every ten seconds: share done, rate, time left, current bound of the
    first curve."""

    def __init__(self, stacks: list[Stack], total: int):
        runs = [run for stack in stacks for run in stack.runs]
        self.name = f"{runs[0].curve}{f' and {len(stacks) - 1} other curves' if len(stacks) > 1 else ''}, {len(runs)} x"
        self.total, self.start_samples = total, min(stack.samples for stack in stacks)
        self.start = self.last = time.monotonic()

    def __call__(self, stacks: list[Stack]) -> None:
        """`stacks` are those that just advanced, all to the same number of samples."""
        now, stack = time.monotonic(), next((stack for stack in stacks if stack.live), None)
        if now - self.last < PROGRESS_SECONDS or stack is None or stack.samples >= self.total:
            return
        self.last = now
        rate = (stack.samples - self.start_samples) / (now - self.start)
        left = (self.total - stack.samples) / rate
        if stack.running_steps:
            bound = f"{stack.what.removeprefix('the ')} {np.mean(stack.running[stack.live]) / stack.running_steps:.1f} nats"
        else:
            column = list(results.CURVE).index("running")
            bound = f"{stack.what.removeprefix('the ')} {np.mean([stack.curves[r][-1][column] for r in stack.live]):.1f} nats"
        print(
            f"{self.name} {stack.samples:,} of {self.total:,} samples "
            f"({stack.samples / self.total:.0%}), "
            f"{rate * sum(len(stack.live) for stack in stacks):,.0f} samples/s, {bound}, "
            f"{duration(left)} left",
            file=sys.stderr,
            flush=True,
        )


class Job(NamedTuple):
    """Runs of one experiment with what decides them: run -> output file; curve name -> pilot
    file."""

    runs: dict[Run, str]
    pilots: dict[str, str]
    settings: Settings
    data: Data


def train_job(runs: dict[Run, str], pilots: dict[str, str], settings: Settings, data: Data) -> None:
    """Train the runs of one job, see train_jobs."""
    train_jobs([Job(runs, pilots, settings, data)])


def train_jobs(jobs: list[Job]) -> None:
    """Train the runs of `jobs` and write their files: one curve after the other, the seeds of a
    curve stacked; on a GPU all curves of on-line learners that can go in step, of all jobs,
    together.

    All checkpoints are removed when the last result is written, so that a job that is stopped and
    started again repeats none of its curves.
    """
    files: dict[Run, str] = {}
    groups: dict[object, list[Curve]] = {}
    for job in jobs:
        files |= job.runs
        settings, data = job.settings, job.data
        together = gpu.serves(where := device(settings.device, settings.threads, settings.tf32))
        if together:  # one copy there for all curves
            data = replace(data, train=data.train.to(where), test=data.test.to(where))
        curves: dict[str, list[Run]] = {}
        for run in job.runs:
            curves.setdefault(run.curve, []).append(run)
        for curve, members in curves.items():
            chosen = results.read_pilot(job.pilots[curve]).step_size
            first = job.runs[members[0]]
            step = (
                settings.training.batch_size,
                settings.samples,
                settings.snapshots,
                settings.evaluation,
            )
            group = step if together and members[0].algorithm != "mcem" else (curve, len(groups))
            groups.setdefault(group, []).append(
                Curve(members, [chosen] * len(members), settings, data, checkpoint_path(first))
            )
    for curves in groups.values():
        for curve, trained in zip(curves, train_fitting(curves), strict=True):
            for run, result in zip(curve.runs, trained, strict=True):
                results.write_run(files[run], result)
    for (
        path
    ) in files.values():  # of every run: where a GPU was too small, parts of curves have some
        checkpoint_path(path).unlink(missing_ok=True)
