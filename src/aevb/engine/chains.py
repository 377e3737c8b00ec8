"""Stacks of learners that walk a chain for every datapoint and update on the whole training set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.run import Run
from ..core.streams import stream
from ..data import Data
from ..models import kernels
from .evaluation import GPU_CHUNK
from .settings import Settings, full_precision
from .stack import Stack

# Transitions that not one chain accepts. The step size adapts by a factor of 1.25 at each, so it
# will not mend.
STUCK = 50


class ChainStack(Stack):
    """R replicas of one curve whose learner walks a chain for every datapoint: a step is a
    transition of all chains and the updates that follow it."""

    block = 1
    what = "the mean of log p(x, z)"
    grace = 0

    def __init__(self, runs: list[Run], step_sizes: list[float], settings: Settings, data: Data):
        super().__init__(runs, step_sizes, settings, data)
        options, n = self.learner.options, len(self.train)
        self.branches = None  # few large steps, which launch no faster from a graph
        self.batch, self.decay = n, 1.0
        if self.together:
            self.learner.chunk = GPU_CHUNK
        self.regularised = [name for name in self.regularised if name.startswith("decoder")]
        starts = [
            stream("chains", r.experiment, r.latent_dim, r.seed).standard_normal(
                (n, r.latent_dim), dtype=np.float32
            )
            for r in runs
        ]
        self.chains = torch.from_numpy(np.stack(starts)).to(self.device)
        self.leapfrog_size = torch.full((len(runs), 1, 1), options.step_size, device=self.device)
        # Transitions in a row that no chain accepted.
        self.stuck = torch.zeros(len(runs), device=self.device)

    TENSORS = (*Stack.TENSORS, "chains", "leapfrog_size", "stuck")

    @full_precision()
    def _advance(self, steps: int) -> Tensor:
        options, first = self.learner.options, self.step * self.learner.options.updates
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
        alone = [slice(row, row + 1) for row in range(len(self.live))]
        for rows in [slice(None)] if self.together else alone:
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
        text = f"no chain accepted a proposal in {STUCK} transitions, the last after "
        text += f"{self.samples} samples"
        self.take_out(
            {replica: text * never for replica, never in zip(self.live, stuck, strict=True)}
        )

    def _bounds(self, row: int) -> dict[str, float]:
        return {}  # without an encoder there is no bound

    def _runaway_evaluation(self, values: dict[str, float]) -> str:
        return ""
