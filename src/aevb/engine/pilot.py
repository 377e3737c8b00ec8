"""Pilots: short runs that choose the step size of a curve."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from .. import results
from ..core.errors import UserError
from ..core.run import Run
from ..data import Data
from ..learners import LEARNERS
from .roots import deciding
from .settings import Settings
from .stack import say_too_small, stack_of

SEGMENTS = 10  # of a pilot, over each of which its bounds are averaged


def pilot(run: Run, settings: Settings, data: Data) -> results.Pilot:
    """Choose the step size of a curve by short runs from the same start, one per candidate.

    The bound is the mean of the minibatch bounds over each tenth of the pilot. The candidates see
    the same minibatches and noise, so their differences are far more precise than the bounds
    themselves. The best last tenth wins. The learner says how long the pilot lasts, and on which
    points. Raises UserError if every candidate diverges, but not for a variant of an experiment.
    """
    candidates = list(settings.training.step_sizes)
    started, code = time.perf_counter(), deciding(run, settings)
    data = replace(data, train=data.train[: LEARNERS[run.algorithm].pilot_points])
    found = []
    with contextlib.suppress(torch.OutOfMemoryError):
        found = [_bounds(run, candidates, settings, data)]
    if not found:
        say_too_small(run, len(candidates))
        found = [_bounds(run, [candidate], settings, data) for candidate in candidates]
    samples, bounds = found[0][0], np.concatenate([part for _, part in found])
    converged = np.isfinite(bounds[:, -1]).any()
    if not converged and not run.variant:
        raise UserError(
            f"every step size of {candidates} diverged in the pilot of {run.curve}; give smaller "
            "ones in training.step_sizes"
        )
    # That another reading of the paper diverges at every step size is a result. Its runs will show
    # it at the smallest.
    chosen = candidates[np.nanargmax(bounds[:, -1])] if converged else min(candidates)
    best = [
        f"{step:g}"
        for step, bound in zip(candidates, bounds[:, -1], strict=True)
        if bound == bounds[candidates.index(chosen), -1]
    ]
    if len(best) > 1:
        print(
            f"{run.curve}: the step sizes {', '.join(best)} tie in the pilot, which takes the "
            "first",
            file=sys.stderr,
        )
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
        settings.to_json(run.algorithm),
        data.sha256,
        code.sha256,
        json.dumps(code.modules),
    )


def given(run: Run, settings: Settings, data: Data) -> results.Pilot:
    """The pilot of a curve with one step size, which chooses nothing and so trains nothing: it has
    no bounds.

    It is not part of `pilot`, whose code decides runs: theirs stays what it was.
    """
    code = deciding(run, settings)
    [step_size] = settings.training.step_sizes
    return results.Pilot(
        *run,
        step_size,
        np.array([step_size]),
        np.empty(0, int),
        np.empty((1, 0)),
        0.0,
        settings.to_json(run.algorithm),
        data.sha256,
        code.sha256,
        json.dumps(code.modules),
    )


def _bounds(
    run: Run, candidates: list[float], settings: Settings, data: Data
) -> tuple[np.ndarray, np.ndarray]:
    """Samples (T,) at the ends of the pilot's segments, and the candidates' bounds (S, T) there."""
    stack = stack_of([run] * len(candidates), candidates, settings, data)
    samples = stack.learner.pilot_samples(settings.training, stack.learner.options, len(data.train))
    last_step = -(-samples // stack.samples_per_step)
    ends = [max(1, round(last_step * (k + 1) / SEGMENTS)) for k in range(SEGMENTS)]
    blocks = sorted({min(last_step, -(-end // stack.block) * stack.block) for end in ends})
    bounds = np.full((len(candidates), len(blocks)), np.nan)
    for segment, end in enumerate(blocks):
        while stack.step < end and stack.live:
            stack.train_block(last_step)
        bounds[stack.live, segment] = stack.running[stack.live] / stack.running_steps
        stack.running[:] = 0
        stack.running_steps = 0
    return np.array([end * stack.samples_per_step for end in blocks]), bounds
