"""On-line learners on a GPU: the curves of a job take their steps together, and a block of steps of
all of them is one CUDA graph.

A stack (stack.py) is a branch, on a stream of its own. Its replicas take each step as one batched
product; its memory, random numbers and results are its own too. Hence a replica depends on no other
curve. On the other replicas of its curve it depends only through cuBLAS, which rounds batches of
another size otherwise. What a replay reads is refilled on the device before it; nothing waits for
the host until `Branches.train` returns.

The same code runs on a CPU, without streams and graph: that is how the tests run it.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from ..core import streams
from ..models import kernels


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


class _Branch:
    """The live replicas of one stack: parameters by name, and what one block of steps reads.

    Each parameter is an array of its own. As part of a row of the flat theta it would start at any
    multiple of 4 bytes, which costs cuBLAS its fast kernels.
    """

    def __init__(self, stack):
        self.theta, self.accumulator = stack.theta, stack.accumulator
        self.layout, self.learner, self.rows = stack.layout, stack.learner, stack.rows
        self.decay, self.regularised = stack.decay, stack.regularised
        self.factors = stack.factors
        self.parameters, self.accumulators = (
            {
                name: part.clone(memory_format=torch.contiguous_format)
                for name, part in self.layout.view(flat).items()
            }
            for flat in (self.theta, self.accumulator)
        )
        replicas = len(self.theta)
        # Of the minibatch bounds.
        self.total = torch.zeros(replicas, dtype=torch.float64, device=self.theta.device)
        # One step size for all, as in training but not in pilots, can take the fused kernel.
        fused = len(set(stack.step_sizes)) == 1 and kernels.fused_adagrad_takes(self.theta.device)
        shape = () if fused else (replicas, 1, 1)
        self.step_size = self.theta.new_tensor(stack.step_sizes[: 1 if fused else None]).view(shape)
        self.counter = torch.arange(stack.block, device=self.theta.device).view(
            -1, *(1 for _ in shape)
        )
        self.rates = self.theta.new_empty(stack.block, *shape)  # step sizes, step by step
        # Minibatch indices (R, BLOCK, M), then the learner's noise (R, BLOCK, ...).
        self.draws: list[Tensor] = []
        self.stream = torch.cuda.Stream(self.theta.device) if self.theta.is_cuda else None

    def refill(self, stack, step: int) -> None:
        """Draw the random numbers of the block that starts at `step`, and set its step sizes.

        They are 0 in the warm-up, which then accumulates only.
        """
        drawn = [
            [torch.as_tensor(array) for array in stack.draw(replica, step // stack.block)]
            for replica in stack.live
        ]
        warmup = stack.settings.training.warmup_steps
        if not self.draws or step < warmup + stack.block:
            torch.mul(self.step_size, self.counter >= warmup - step, out=self.rates)
        if not self.draws:
            self.draws = [torch.stack(arrays) for arrays in zip(*drawn, strict=True)]
        for arrays, buffer in zip(zip(*drawn, strict=True), self.draws, strict=True):
            torch.stack(arrays, out=buffer)

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

    def unload(self) -> Tensor:
        """Write theta and the accumulator back to the stack.

        Returns the sum of the minibatch bounds since the last call, (R,), in nats.
        """
        for flat, parts in ((self.theta, self.parameters), (self.accumulator, self.accumulators)):
            for name, view in self.layout.view(flat).items():
                view.copy_(parts[name])
        total = self.total.to("cpu", copy=True)
        self.total.zero_()
        return total


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
        thetas = [id(stack.theta) for stack in stacks]
        if [id(branch.theta) for branch in self.branches] != thetas:  # others, or fewer replicas
            # The old graph goes first: torch may free the cuBLAS workspaces of its streams with it
            # (pytorch issue 193402).
            self.graph = None
            self.branches = [_Branch(stack) for stack in stacks]
        first, block = stacks[0].step, stacks[0].block
        captured = stacks[0].device.type == "cuda" and all(s.learner.captured for s in stacks)
        for step in range(first, until, block):
            steps = min(block, until - step)
            for branch, stack in zip(self.branches, stacks, strict=True):
                branch.refill(stack, step)
            if steps < block or not captured:
                self._run(steps)
                continue
            if self.graph is None:
                self.graph = self._captured(block)
            self.graph.replay()
        totals = [branch.unload() for branch in self.branches]
        seconds = (time.perf_counter() - started) / sum(len(stack.live) for stack in stacks)
        for stack, total in zip(stacks, totals, strict=True):
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
