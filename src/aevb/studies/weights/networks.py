"""MAP and full variational Bayes of the paper's networks, in one loop.

The engine's stack fixes which parameters a model has (nets.Layout), so that no learner can bring a
standard deviation for each weight. This loop has what the engine has otherwise: its start, its
minibatches, AEVB's gradient by hand and Adagrad, with the same random numbers. So MAP is AEVB to
the engine's bits, and full VB differs from it by q(theta) alone.

theta of appendix F are the parameters of p(x|z). q(theta) covers those of the decoder that have the
prior N(0, I) under `training.prior`; those without a prior stay points, and so does the encoder,
whose weights are phi. Both methods give the encoder the same weight decay.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...config.sections import Training
from ...core.run import Run
from ...core.streams import stream
from ...engine import start
from ...engine.stack import BLOCK
from ...learners import LEARNERS
from ...models import kernels, nets
from .full import Ascent, Weights

#: form of appendix F -> estimator of the terms of z (`training.estimator`)
ESTIMATORS = {"sampled": "A", "analytic": "B"}


def covered(training: Training) -> list[str]:
    """The parameters that q(theta) covers: those of the decoder with the prior N(0, I)."""
    return [name for name in nets.REGULARISED[training.prior] if name.startswith("decoder")]


def train(
    run: Run,
    x: Tensor,
    scale: float,
    layout: nets.Layout,
    training: Training,
    step_size: float,
    steps: int,
    form: str = "",
    start_sd: float = 1.0,
) -> Iterator[Weights]:
    """Train on x (N, D), grey values over `scale`: yields the weights, which change in place, after
    every step.

    `form` is one of full.FORMS, with sigma = `start_sd` at the start; '' for MAP. Random numbers
    are those of the engine for AEVB on `run`; those of theta come from the stream weights.
    """
    name, n = (run.experiment, run.latent_dim, run.seed), len(x)
    estimator = ESTIMATORS.get(form, training.estimator)
    learner = LEARNERS["aevb"](
        layout.likelihood, training.model_copy(update={"estimator": estimator})
    )
    mean = layout.view(start.initial(layout, training, stream("initial", *name)))
    weights = Weights.start(mean, covered(training) if form else (), start_sd)
    prior, factors = nets.REGULARISED[training.prior], start.factors(layout, training)
    ascent = Ascent(weights, training.epsilon, prior, factors)
    rows, batch = kernels.Rows(x, scale), training.batch_size
    for step in range(steps):
        if step % BLOCK == 0:
            block = step // BLOCK
            generator = stream("minibatch", *name, block=block)
            chosen = torch.from_numpy(generator.integers(0, n, (BLOCK, batch)))
            generator = stream("learner", *name, algorithm="aevb", block=block)
            noise = torch.from_numpy(learner.noise(generator, BLOCK, batch, layout)[0])
            own = stream("weights", *name, block=block)
        at, rate = step % BLOCK, step_size if step >= training.warmup_steps else None
        batch_rows, zeta = rows[chosen[at]], weights.noise(own)
        ascent.step(learner, batch_rows, [noise[at]], zeta, batch / n, form, rate)
        yield weights
