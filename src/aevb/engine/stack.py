"""A stack: R replicas of one curve, side by side in tensors (R, ...).

The replicas are seeds, or the pilot's step sizes. Random numbers come in blocks of BLOCK steps,
each from a stream of its own (core/streams.py). Checkpoints, evaluations and the check for
divergence fall between blocks, so that a resumed run repeats nothing and skips nothing. On a CPU
one replica goes through a block after the other, which keeps its parameters in cache and its bits
independent of the others. On a GPU all curves of a job advance together (gpu.py).
"""

from __future__ import annotations

import sys
import time
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .. import results
from ..core.errors import UserError
from ..core.run import Run, found
from ..core.streams import stream
from ..data import Data
from ..learners import LEARNERS
from ..models import kernels, nets
from ..models.likelihoods import LIKELIHOODS
from . import evaluation, gpu, start
from .settings import Settings, device, full_precision, rounded

# Steps: fine enough for the evaluation grid (2,000 samples at M = 100), coarse enough to cost
# nothing.
BLOCK = 20
# Nats: a bound below -20 per pixel is far under that of any model worth continuing.
WORST_PER_PIXEL = 20.0


class Stack:
    """R replicas of one curve in training, by an on-line learner."""

    block = BLOCK  # steps whose random numbers are drawn together; evaluations fall between blocks

    def __init__(self, runs: list[Run], step_sizes: list[float], settings: Settings, data: Data):
        self.settings, self.data, self.runs = settings, data, runs
        self.device = device(settings.device, settings.threads, settings.tf32)
        # Whether all replicas take each step as one batched product.
        self.together = gpu.serves(self.device)
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
        self.learner = LEARNERS[first.algorithm](
            settings.experiment.likelihood, training, settings.options_of(first.algorithm)
        )
        self.train, self.test = data.train.to(self.device), data.test.to(self.device)
        self.rows = kernels.Rows(self.train, data.scale)
        self.batch = training.batch_size
        self.samples_per_step = self.learner.samples_per_step(
            training, self.learner.options, len(data.train)
        )
        self.decay = self.batch / len(data.train)
        self.regularised = nets.REGULARISED[training.prior]
        self.factors = {
            name: factor.to(self.device)
            for name, factor in start.factors(self.layout, training).items()
        }

        self.step = 0
        # Rows of the tensors -> replicas; diverged ones are taken out.
        self.live = list(range(len(runs)))
        self.reasons = [""] * len(runs)
        self.samples_at_end = [0] * len(runs)
        self.curves: list[list[list[float]]] = [[] for _ in runs]
        self.snapshots: list[list[np.ndarray]] = [[] for _ in runs]
        self.running = np.zeros(len(runs))  # sum of minibatch bounds since the last evaluation
        self.running_steps = 0
        self.train_seconds = np.zeros(len(runs))
        self.evaluation_seconds = np.zeros(len(runs))
        starts = [stream("initial", r.experiment, r.latent_dim, r.seed) for r in runs]
        theta = [start.initial(self.layout, training, generator) for generator in starts]
        self.theta = torch.stack(theta).to(self.device)
        self.accumulator = torch.full_like(self.theta, training.epsilon)
        self.step_sizes = list(step_sizes)

    @property
    def samples(self) -> int:
        """Training samples that each replica has seen."""
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
        """Take `steps` steps, all in one block.

        Returns the sum over them of the live replicas' minibatch bounds, (R,), in nats.
        """
        with rounded(self.settings.bfloat16):
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
            step_size = None if i < warmup else self.step_sizes[row]
            total += self.learner.step(
                parameters,
                self.rows[indices[i]],
                [array[i] for array in noise],
                lambda p, g, rate=step_size: kernels.adagrad(
                    p, g, accumulators, rate, self.decay, self.regularised, self.factors
                ),
            )
        return total

    def train_block(self, last_step: int) -> None:
        """Train to the end of the current block, or to `last_step`; take out what diverged."""
        steps = min(self.block, last_step - self.step)
        if self.branches is not None:
            self.branches.train([self], self.step + steps)
            return
        started = time.perf_counter()
        total = self._advance(steps).cpu()
        self.account(total, steps, (time.perf_counter() - started) / len(self.live))

    def account(self, total: Tensor, steps: int, seconds: float) -> None:
        """Book `steps` steps, which took each live replica `seconds`; take out what diverged.

        `total` (R,) are the sums of the replicas' minibatch bounds, in nats.
        """
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
        """Steps during which the bound may be as low as it likes.

        Adagrad's first steps without a warm-up throw it far down, and it recovers.
        """
        return self.settings.training.warmup_steps + 100

    def _runaway(self, value: float, what: str) -> str:
        """Why `value`, nats per datapoint, means that the replica has diverged; '' if not."""
        likelihood, when = LIKELIHOODS[self.layout.likelihood], f"after {self.samples} samples"
        limit = likelihood.max_log_density(self.layout.pixels, self.data.scale)
        if not np.isfinite(value):
            return f"{what} is not a number {when}"
        if value < -WORST_PER_PIXEL * self.layout.pixels and self.step > self.grace:
            return f"{what} fell to {value:.0f} nats {when}"
        if value > limit:
            allowed = f"above what grey levels allow ({limit:.0f})"
            return f"{what} rose to {value:.0f} nats {when}, {allowed}"
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

    def evaluate_once(self, points: list[int]) -> None:
        """Evaluate where the samples seen are one of `points`, unless that is done."""
        if self.live and self.samples in points and self.running_steps:
            self.evaluate()

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
                self.learner,
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
                f"{split}_draws": found.draws,
            }
            values.setdefault("active_units", found.active_units)  # those of the training set
        return values

    def _runaway_evaluation(self, values: dict[str, float]) -> str:
        reason = self._runaway(values["train"], "the training bound")
        # The test bound may fall as it likes: that is overfitting, a result.
        if not reason and not np.isfinite(values["test"]):
            reason = f"the test bound is not a number after {self.samples} samples"
        return reason

    # What changes in training, for checkpoints (checkpoints.py).
    STATE = ("step", "live", "reasons", "samples_at_end", "curves", "running_steps", "step_sizes")
    ARRAYS = ("running", "train_seconds", "evaluation_seconds")
    TENSORS = ("theta", "accumulator")


def stack_of(runs: list[Run], step_sizes: list[float], settings: Settings, data: Data) -> Stack:
    """The stack that trains `runs`, replicas of one curve, as their learner says."""
    return found(LEARNERS[runs[0].algorithm].stack)(runs, step_sizes, settings, data)


def say_too_small(run: Run, replicas: int) -> None:
    """Say that a GPU's memory is too small, and free the tensors that the traceback kept.

    To be called after torch.OutOfMemoryError. Raises UserError if it was a single replica.
    """
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
