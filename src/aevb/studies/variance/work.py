"""How much one-sample gradients of the bound vary with the noise of z: estimators A and B against
the score function.

Written plainly, by autograd through densities.py, for one model with parameters (1, in, out). A
minibatch is x (1, M, D), with R replicates of its noise: one draw of z per datapoint (L = 1). Every
estimator gives an unbiased gradient of the same mean bound over the M datapoints (eq. 8 without the
factor N). They share the encoder, which is deterministic, and differ in the gradient that they hand
back at its output. The gradient for the decoder is that of log p(x|z) in all of them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ... import results
from ...core import provenance
from ...core.run import Job, Run
from ...core.streams import stream
from ...data import Data, load
from ...engine.roots import roots
from ...engine.settings import Settings
from ...engine.stack import Stack
from ...models import densities, nets
from ...models.kernels import Parameters
from ...models.likelihoods import LIKELIHOODS
from . import CODE, VARIANCE

CHUNK = 1000  # datapoints at a time for the gradient over the training set


def work(jobs: list[Job]) -> None:
    """Measure variances on the models of `jobs`."""
    for job in jobs:
        options = dict(job.settings)
        settings = Settings.from_dict(options.pop("training"))
        loaded = load(job.inputs["data"][0], settings.experiment)
        for run, pilot, path in zip(job.runs, job.inputs["pilots"], job.outputs, strict=True):
            step_size = results.read_pilot(pilot).step_size
            results.write_table(path, study(run, step_size, settings, loaded, **options))


class Draws(NamedTuple):
    """One-sample estimates of the bound with their graph: R draws of z per datapoint."""

    mean: Tensor  # (R, M, N_z): q(z|x), for each replicate a copy of its own to take gradients for
    log_variance: Tensor
    z: Tensor  # mean + sd * noise (eq. 4)
    bounds: dict[str, Tensor]  # estimators "A" (eq. 6) and "B" (eq. 7), (R, M) in nats


def draw(parameters: Parameters, x: Tensor, noise: Tensor, likelihood: str) -> Draws:
    """Estimate the bound of x (1, M, D) from `noise` (R, M, N_z)."""
    mean, log_variance = (
        part.detach().repeat(len(noise), 1, 1).requires_grad_()
        for part in nets.encode(x, parameters)
    )
    z = mean + torch.exp(0.5 * log_variance) * noise
    decoded = nets.decode(z.flatten(0, 1).unsqueeze(0), parameters).view(*z.shape[:2], -1)
    bounds = {
        name: densities.bound(x, z, decoded, mean, log_variance, likelihood, name) for name in "AB"
    }
    return Draws(mean, log_variance, z, bounds)


def pathwise(draws: Draws, estimator: str) -> Tensor:
    """The gradient of estimator "A" or "B" through z (section 2.4), (R, M, 2 N_z).

    It is that of each draw's estimate for the mean and log-variance of q(z|x).
    """
    return _at_output(draws, draws.bounds[estimator])


def score_function(draws: Draws, baseline: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of section 2.2, in the same form: (f(z) - b) grad log q(z|x) at fixed z.

    f(z) = log p(x, z) - log q(z|x), the value of estimator A (Williams 1992; Ranganath, Gerrish &
    Blei 2014). grad log q has mean 0, so a b which does not depend on z biases nothing. `baseline`
    makes it from f (R, M).
    """
    f = draws.bounds["A"].detach()
    return _at_output(
        draws,
        (f - baseline(f)) * densities.log_normal(draws.z.detach(), draws.mean, draws.log_variance),
    )


def _at_output(draws: Draws, values: Tensor) -> Tensor:
    return torch.cat(
        torch.autograd.grad(values.sum(), (draws.mean, draws.log_variance), retain_graph=True), -1
    )


def other_datapoints(f: Tensor) -> Tensor:
    """Baseline: mean over the other datapoints of the minibatch.

    A running mean of f (Mnih & Gregor 2014) follows it with a lag.
    """
    return (f.sum(1, keepdim=True) - f) / (f.shape[1] - 1)


def other_draws(f: Tensor) -> Tensor:
    """Baseline: mean over the other replicates' draws for the same datapoint (Kool, van Hoof &
    Welling 2019).

    One draw per datapoint cannot give it. It shows what is left when b is E f(z) for each x.
    Baselines that are learnt from x aim at that (Mnih & Gregor 2014). It correlates replicates, by
    1/(R-1)^2 of the squared gradient: far below their variance.
    """
    return (f.sum(0, keepdim=True) - f) / (f.shape[0] - 1)


ESTIMATORS: dict[str, Callable[[Draws], Tensor]] = {
    "A": partial(pathwise, estimator="A"),
    "B": partial(pathwise, estimator="B"),
    "score": partial(score_function, baseline=torch.zeros_like),
    "score_baseline": partial(score_function, baseline=other_datapoints),
    "score_oracle": partial(score_function, baseline=other_draws),
}


def encoder_gradient(parameters: Parameters, x: Tensor, at_output: Tensor) -> list[Tensor]:
    """Back-propagate `at_output` (R, M, 2 N_z) to the encoder's parameters, (R, in, out) each.

    The gradient is that of each replicate's mean over datapoints.
    """
    leaves = {
        name: value.detach().requires_grad_()
        for name, value in parameters.items()
        if name.startswith("encoder")
    }
    output = torch.cat(nets.encode(x, leaves), -1)
    vectors = at_output.unsqueeze(1) / x.shape[1]
    return [
        value[:, 0]
        for value in torch.autograd.grad(
            output, list(leaves.values()), vectors, is_grads_batched=True
        )
    ]


def decoder_gradient(parameters: Parameters, x: Tensor, z: Tensor, likelihood: str) -> list[Tensor]:
    """The gradient of each replicate's mean of log p(x|z) over datapoints.

    It is (R, in, out) for each of the decoder's parameters.
    """
    leaves = {
        name: value.detach().repeat(len(z), 1, 1).requires_grad_()
        for name, value in parameters.items()
        if name.startswith("decoder")
    }
    value = LIKELIHOODS[likelihood].log_density(x, nets.decode(z.detach(), leaves))
    return list(torch.autograd.grad(value.mean(1).sum(), list(leaves.values())))


def expectation(
    parameters: Parameters, x: Tensor, likelihood: str, generator: np.random.Generator
) -> dict[str, list[Tensor]]:
    """Gradient of the mean bound over all of x (N, D), by one draw of estimator B per datapoint.

    It is for "encoder" and "decoder"; "bound" is that bound itself, in nats.
    """
    total: dict[str, list[Tensor]] = {}
    for rows in x.split(CHUNK):
        draws = draw(
            parameters, rows.unsqueeze(0), _noise(generator, 1, len(rows), parameters), likelihood
        )
        found = _gradients(parameters, rows.unsqueeze(0), draws, likelihood, ["B"])["B"] | {
            "bound": [draws.bounds["B"].detach().mean(1)]
        }
        for name, values in found.items():
            values = [value.double() * (len(rows) / len(x)) for value in values]
            total[name] = (
                [a + b for a, b in zip(total[name], values, strict=True)]
                if name in total
                else values
            )
    return total


def _gradients(
    parameters: Parameters, x: Tensor, draws: Draws, likelihood: str, names
) -> dict[str, dict[str, list[Tensor]]]:
    """The gradient of each replicate's mean bound by each of the estimators `names`.

    It is for "encoder" and "decoder".
    """
    decoder = decoder_gradient(parameters, x, draws.z, likelihood)
    return {
        name: {
            "encoder": encoder_gradient(parameters, x, ESTIMATORS[name](draws)),
            "decoder": decoder,
        }
        for name in names
    }


def _noise(
    generator: np.random.Generator, replicates: int, datapoints: int, parameters: Parameters
) -> Tensor:
    weight = parameters["decoder.hidden.weight"]
    return torch.from_numpy(
        generator.standard_normal((replicates, datapoints, weight.shape[1]), dtype=np.float32)
    ).to(weight)


def _trace(replicates: list[Tensor]) -> float:
    """Trace of the covariance over the first axis, all arrays together."""
    return sum(
        (values - values.mean(0)).square().sum().item() / (len(values) - 1) for values in replicates
    )


def _against_b(values: list[float], reference: list[float]) -> dict[str, float]:
    """Columns of VARIANCE from the variances on each minibatch: of an estimator, and of B."""
    own, b = np.array(values), np.array(reference)
    ratio = own.mean() / b.mean()
    residual = (own - ratio * b) / b.mean()  # delta method
    return {
        "variance": own.mean(),
        "variance_se": own.std(ddof=1) / np.sqrt(len(own)),
        "ratio": ratio,
        "ratio_se": residual.std(ddof=1) / np.sqrt(len(own)),
    }


def measure(
    parameters: Parameters,
    x: Tensor,
    likelihood: str,
    batch_size: int,
    minibatches: int,
    replicates: int,
    generator: np.random.Generator,
) -> list[dict]:
    """Rows of VARIANCE, but for latent_dim and samples, of one model on its training set x (N, D).

    Its `parameters` are (1, in, out).
    """
    variances: dict[tuple[str, str], list[float]] = {}
    means: dict[str, list[list[Tensor]]] = {"encoder": [], "decoder": [], "bound": []}
    for _ in range(minibatches):
        chosen = torch.from_numpy(generator.integers(0, len(x), batch_size)).to(x.device)
        batch = x[chosen].unsqueeze(0)
        noise = _noise(generator, replicates, batch_size, parameters)
        draws = draw(parameters, batch, noise, likelihood)
        for name, parts in _gradients(parameters, batch, draws, likelihood, ESTIMATORS).items():
            for part, gradient in parts.items():
                variances.setdefault((name, part), []).append(_trace(gradient))
                if name == "B":
                    means[part].append([value.mean(0) for value in gradient])
        for name, values in draws.bounds.items():
            values = values.detach()
            variances.setdefault((name, "bound"), []).append(values.mean(1).var().item())
            variances.setdefault((name, "bound_all"), []).append(
                values.var(0).mean().item() / len(x)
            )
        means["bound"].append([draws.bounds["B"].detach().mean()])
    # Two independent draws: the product of their noise has mean 0.
    first, second = (expectation(parameters, x, likelihood, generator) for _ in range(2))
    squared = {
        part: sum((a * b).sum().item() for a, b in zip(first[part], second[part], strict=True))
        for part in means
    }
    between = {
        part: _trace([torch.stack(values) for values in zip(*rows, strict=True)])
        for part, rows in means.items()
    }
    rows = []
    for (name, part), values in variances.items():
        reference, whole = variances["B", part], part == "bound_all"
        data_variance = 0.0 if whole else between[part] - np.array(reference).mean() / replicates
        rows.append(
            {
                "estimator": name,
                "part": part,
                "datapoints": len(x) if whole else batch_size,
                **_against_b(values, reference),
                "data_variance": data_variance,
                "squared_norm": squared["bound" if whole else part],
                "minibatches": minibatches,
                "replicates": replicates,
            }
        )
    return rows


def study(
    run: Run,
    step_size: float,
    settings: Settings,
    data: Data,
    points: list[int],
    minibatches: int,
    replicates: int,
) -> results.Table:
    """Train `run` anew, to the same bits as ever, and measure after each of `points` training
    samples: columns VARIANCE.

    Points are rounded up to whole blocks of steps. If training diverges, rows are of the points
    that it reached. A minibatch has settings.training.batch_size datapoints. Random numbers come
    from stream "variance", one block per point.
    """
    started = time.perf_counter()
    stack = Stack([run], [step_size], settings, data)
    rows = []
    for point in points:
        last_step = -(-point // (stack.block * stack.batch)) * stack.block
        while stack.step < last_step and stack.live:
            stack.train_block(last_step)
        if not stack.live:
            print(f"{run.name} diverged: no variances from {point:,} samples on", file=sys.stderr)
            break
        generator = stream(
            "variance", run.experiment, run.latent_dim, run.seed, block=stack.samples
        )
        parameters = stack.layout.view(stack.theta)
        found = measure(
            parameters,
            stack.train,
            stack.layout.likelihood,
            stack.batch,
            minibatches,
            replicates,
            generator,
        )
        rows += [{"latent_dim": run.latent_dim, "samples": stack.samples, **row} for row in found]
        print(
            f"{run.name}: variances measured after {stack.samples:,} samples",
            file=sys.stderr,
            flush=True,
        )
    likelihood = settings.experiment.likelihood
    code = provenance.fingerprint(roots(*CODE, algorithm=run.algorithm, likelihood=likelihood))
    options = {
        "training": json.loads(settings.to_json(run.algorithm)),
        "points": points,
        "minibatches": minibatches,
        "replicates": replicates,
    }
    attributes = {
        "config": json.dumps(options),
        **provenance.attributes(stack.device, code),
    }
    frame = pd.DataFrame(rows, columns=list(VARIANCE))
    return results.Table(frame, {**attributes, "seconds": time.perf_counter() - started})
