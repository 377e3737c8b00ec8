"""On-line learners on a GPU: the curves of a job take their steps together, and a block of steps of
all of them is one CUDA graph.

Curves that differ in N_z alone, up to WIDTH, are a branch: each of their steps is one batched
product over all their replicas. What they lack of WIDTH is padding, which never moves. So is any
other stack (stack.py) a branch. A branch has a stream of its own; memory, random numbers and
results of a replica are its own too. Hence it depends on its companions only through cuBLAS, which
rounds batches of another size otherwise. What a replay reads is refilled on the device before it;
nothing waits for the host until `Branches.train` returns.

The same code runs on a CPU, without streams and graph: that is how the tests run it.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..core import streams
from ..models import kernels
from . import start

# Latent dimensions of a branch of several curves. The products with pixels, which take longest, do
# not depend on it.
WIDTH = 32


def serves(device: torch.device) -> bool:
    """Whether on-line learners train in branches on `device`."""
    return device.type == "cuda"


class DeviceGenerator:
    """numpy's Generator as far as learners and evaluation use it, but drawing tensors on `device`.

    It is named as streams.stream names, and draws float32 alone. The numbers depend on the kind of
    device, and are not those of the CPU's streams.
    """

    def __init__(self, device: torch.device, *name, **more):
        self.device = device
        self.generator = torch.Generator(device).manual_seed(streams.device_seed(*name, **more))

    def standard_normal(self, shape: tuple[int, ...], dtype=np.float32) -> Tensor:
        """Standard normal numbers, float32."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def random(self, shape: tuple[int, ...], dtype=np.float32) -> Tensor:
        """Uniform numbers on [0, 1), float32."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        """Uniform integers from `low` to `high` - 1."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)


def _of(parameter: Tensor, name: str, latent_dim: int) -> Tensor:
    """The part of a parameter (R, in, out) or (R, 1, out) that a curve of N_z = `latent_dim` has:
    all of it but the padding."""
    if name.startswith("encoder.output"):  # means, then log-variances
        return parameter.unflatten(-1, (2, -1))[..., :latent_dim]
    return parameter[:, :latent_dim] if name == "decoder.hidden.weight" else parameter


def _companions(stack) -> tuple:
    """What the stacks of a branch have in common."""
    run, learner = stack.runs[0], stack.learner
    width = WIDTH if learner.padded and run.latent_dim <= WIDTH else run.latent_dim
    step_sizes = frozenset(stack.step_sizes)
    return width, run.experiment, run.algorithm, step_sizes, stack.settings.to_json(run.algorithm)


class _Branch:
    """The live replicas of `stacks`: parameters by name, and what one block of steps reads.

    Each parameter is an array of its own. As part of a row of the flat theta it would start at any
    multiple of 4 bytes, which costs cuBLAS its fast kernels. Padding is 0 and has no noise, so that
    its z is 0; an infinite accumulator keeps Adagrad from moving it.
    """

    def __init__(self, stacks: list):
        self.stacks, self.thetas = stacks, [stack.theta for stack in stacks]
        first, self.sizes = stacks[0], [len(stack.theta) for stack in stacks]
        self.learner, self.rows, self.block = first.learner, first.rows, first.block
        self.decay, self.regularised = first.decay, first.regularised
        self.training, device = first.settings.training, first.theta.device
        layout = replace(first.layout, latent_dim=_companions(first)[0])
        self.factors = {
            name: factor.to(device) for name, factor in start.factors(layout, self.training).items()
        }
        replicas = sum(self.sizes)
        self.parameters, self.accumulators = (
            {
                name: first.theta.new_full((replicas, *shape), fill)
                for name, shape in layout.shapes.items()
            }
            for fill in (0.0, torch.inf)
        )
        for mine, theirs in self._parts():
            mine.copy_(theirs)
        # Of the minibatch bounds.
        self.total = torch.zeros(replicas, dtype=torch.float64, device=device)
        # One step size for all, as in training but not in pilots, can take the fused kernel.
        step_sizes = [size for stack in stacks for size in stack.step_sizes]
        fused = len(set(step_sizes)) == 1 and kernels.fused_adagrad_takes(device)
        shape = () if fused else (replicas, 1, 1)
        self.step_size = first.theta.new_tensor(step_sizes[: 1 if fused else None]).view(shape)
        self.counter = torch.arange(self.block, device=device).view(-1, *(1 for _ in shape))
        self.rates = first.theta.new_zeros(self.block, *shape)  # step sizes, step by step
        # Minibatch indices (R, BLOCK, M), then the learner's noise (R, BLOCK, ...).
        name = ("learner", first.runs[0].experiment, layout.latent_dim, 0)
        noise = self.learner.noise(DeviceGenerator(device, *name), self.block, first.batch, layout)
        self.draws = [
            torch.zeros((replicas, self.block, first.batch), dtype=torch.int64, device=device),
            *(torch.zeros((replicas, *array.shape), device=device) for array in noise),
        ]
        self.stream = torch.cuda.Stream(device) if first.theta.is_cuda else None

    def _parts(self):
        """What the branch holds of each parameter and accumulator, and the same in the stacks."""
        end = 0
        for stack, size in zip(self.stacks, self.sizes, strict=True):
            begin, end, nz = end, end + size, stack.layout.latent_dim
            for mine, flat in (
                (self.parameters, stack.theta),
                (self.accumulators, stack.accumulator),
            ):
                for name, view in stack.layout.view(flat).items():
                    yield _of(mine[name][begin:end], name, nz), _of(view, name, nz)

    def refill(self, step: int) -> None:
        """Draw the random numbers of the block that starts at `step`, and set its step sizes.

        They are 0 in the warm-up, which then accumulates only.
        """
        warmup = self.training.warmup_steps
        torch.mul(self.step_size, self.counter >= warmup - step, out=self.rates)
        replicas = ((stack, replica) for stack in self.stacks for replica in stack.live)
        for row, (stack, replica) in enumerate(replicas):
            drawn = stack.draw(replica, step // self.block)
            for buffer, array in zip(self.draws, drawn, strict=True):
                part = buffer[row][tuple(slice(length) for length in array.shape)]
                part.copy_(torch.as_tensor(array))

    def run(self, steps: int) -> None:
        """Take the first `steps` steps of the block.

        No operation here may wait for the host or depend on a value.
        """
        indices, *noise = self.draws
        x = self.rows[indices[:, :steps]]
        for i in range(steps):
            self.total += self.learner.step(
                self.parameters,
                x[:, i],
                [array[:, i] for array in noise],
                lambda p, g, rate=self.rates[i]: kernels.adagrad(
                    p, g, self.accumulators, rate, self.decay, self.regularised, self.factors
                ),
            )

    def state(self) -> list[Tensor]:
        """What a step changes."""
        return [*self.parameters.values(), *self.accumulators.values(), self.total]

    def unload(self) -> tuple[Tensor, ...]:
        """Write theta and the accumulator back to the stacks.

        Returns, for each stack, the sum of the minibatch bounds since the last call, (R,), in nats.
        """
        for mine, theirs in self._parts():
            theirs.copy_(mine)
        total = self.total.to("cpu", copy=True)
        self.total.zero_()
        return total.split(self.sizes)


class Branches:
    """Stacks that take their steps together.

    Only one object of this class may be at work at a time.
    """

    def __init__(self):
        self.branches: list[_Branch] = []
        self.graph: torch.cuda.CUDAGraph | None = None

    def train(self, stacks: list, until: int) -> None:
        """Take `stacks` (stack.Stack) to step `until`, and book it (Stack.account).

        All are at the same step, at the start of a block.
        """
        started = time.perf_counter()
        thetas = {id(stack.theta) for stack in stacks}
        if {id(t) for branch in self.branches for t in branch.thetas} != thetas:
            # Others, or fewer replicas. The old graph goes first: torch may free the cuBLAS
            # workspaces of its streams with it (pytorch issue 193402).
            self.graph = None
            groups: dict[tuple, list] = {}
            for stack in stacks:
                groups.setdefault(_companions(stack), []).append(stack)
            self.branches = [_Branch(group) for group in groups.values()]
        first, block = stacks[0].step, stacks[0].block
        captured = stacks[0].device.type == "cuda" and all(s.learner.captured for s in stacks)
        for step in range(first, until, block):
            steps = min(block, until - step)
            for branch in self.branches:
                branch.refill(step)
            if steps < block or not captured:
                self._run(steps)
                continue
            if self.graph is None:
                self.graph = self._captured(block)
            self.graph.replay()
        totals = [(branch.stacks, branch.unload()) for branch in self.branches]
        seconds = (time.perf_counter() - started) / sum(len(stack.live) for stack in stacks)
        for members, sums in totals:
            for stack, total in zip(members, sums, strict=True):
                stack.account(total, until - first, seconds)

    def _run(self, steps: int) -> None:
        """The next `steps` steps of all branches; on a GPU side by side, forked from the current
        stream and joined to it again."""
        for branch in self.branches:
            if branch.stream is None:
                branch.run(steps)
                continue
            branch.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(branch.stream):
                branch.run(steps)
        for branch in self.branches:
            if branch.stream is not None:
                torch.cuda.current_stream().wait_stream(branch.stream)

    def _captured(self, block: int) -> torch.cuda.CUDAGraph:
        """A block of steps of all branches as a graph.

        It is run once before, on the same streams, so that kernels are loaded and libraries have
        their handles and workspaces. Then the state is put back.
        """
        tensors = [tensor for branch in self.branches for tensor in branch.state()]
        kept = [tensor.clone() for tensor in tensors]
        self._run(block)
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.copy_(value)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run(block)
        return graph
