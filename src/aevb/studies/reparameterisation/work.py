"""What is measured: gradient estimates by g and by the score function, tests of the samples, and
draws to show.

Gradients are of single samples: phi is repeated, one copy per sample, and autograd differentiates
the sum. Random numbers come from the stream reparameterisation of distribution and seed; torch's
own samplers take its seed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from ... import results
from ...core.run import Job
from ...core.streams import device_seed, stream
from .catalogue import DISTRIBUTIONS
from .entry import Distribution, Function, functions
from .expectation import expected, gradient

PURPOSE = "reparameterisation"
MAIN = "main"  # the view that f takes
ROUNDING = 1e-12  # standard deviations below this share of the mean are rounding
Phi = Mapping[str, float]


def repeated(phi: Phi, n: int) -> dict[str, Tensor]:
    """phi as leaves of a graph, a copy (n,) per parameter: one value per sample."""
    return {
        name: torch.full((n,), float(value), dtype=torch.float64, requires_grad=True)
        for name, value in phi.items()
    }


def noise(key: str, phi: Phi, n: int, seed: int) -> Tensor:
    """epsilon (n,) or (n, width) of one seed."""
    generator = stream(PURPOSE, key, 0, seed)
    return torch.from_numpy(DISTRIBUTIONS[key].noise(generator, n, **phi))


def per_sample(values: Tensor, phi: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of each of `values` (n,) with respect to its own copy of phi: name -> (n,)."""
    found = torch.autograd.grad(
        values.sum(), list(phi.values()), retain_graph=True, materialize_grads=True
    )
    return dict(zip(phi, found, strict=True))


def by_g(entry: Distribution, epsilon: Tensor, phi: Phi) -> tuple[Tensor, dict[str, Tensor]]:
    """z = g(epsilon, phi) with its graph, and the leaves for which g gives a gradient."""
    leaves = {k: v for k, v in repeated(phi, len(epsilon)).items() if k in entry.covered}
    return entry.g(epsilon, **{**phi, **leaves}), leaves


def by_torch(entry: Distribution, phi: Phi, n: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The same by torch's rsample: implicit gradients (Figurnov, Mohamed & Mnih 2018; Jankowiak &
    Obermeyer 2018) where it has no g."""
    leaves = repeated(phi, n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return entry.torch(**leaves).rsample(), leaves


def through(
    entry: Distribution, function: Function, z: Tensor, phi: Phi, leaves: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Pathwise: the gradient of f(view(z)) through z (section 2.4), name -> (n,)."""
    return per_sample(function.of(entry.view(z, **phi)), leaves) if leaves else {}


def scores(entry: Distribution, z: Tensor, phi: Phi) -> dict[str, Tensor]:
    """grad log q_phi(z) at fixed z (section 2.2), name -> (n,)."""
    leaves = repeated(phi, len(z))
    return per_sample(entry.log_density(z.detach(), **leaves), leaves)


def estimates(
    key: str, phi: Phi, n: int, seed: int, means: Mapping[str, float]
) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """(f, estimator, estimates by parameter, (n,) each) of one seed; `means` are E f, by f."""
    entry = DISTRIBUTIONS[key]
    z, leaves = by_g(entry, noise(key, phi, n, seed), phi)
    grad_log_q = scores(entry, z, phi)
    implicit = by_torch(entry, phi, n, device_seed(PURPOSE, key, 0, seed)) if entry.torch else None
    for name, function in functions(entry, phi).items():
        f = function.of(entry.view(z.detach(), **phi))
        yield name, "pathwise", through(entry, function, z, phi, leaves)
        yield name, "score", {k: f * score for k, score in grad_log_q.items()}
        yield name, "score_baseline", {k: (f - means[name]) * s for k, s in grad_log_q.items()}
        if implicit:
            yield name, "torch", through(entry, function, implicit[0], phi, implicit[1])


def measure(key: str, phi: Phi, n: int, seeds: list[int]) -> Iterator[dict]:
    """Rows of GRADIENTS of one distribution."""
    entry = DISTRIBUTIONS[key]
    known = functions(entry, phi)
    means = {name: expected(entry, function, phi) for name, function in known.items()}
    exact = {name: gradient(entry, function, phi) for name, function in known.items()}
    for seed in seeds:
        for name, estimator, found in estimates(key, phi, n, seed, means):
            for parameter, values in found.items():
                mean, variance = values.mean().item(), values.var().item()
                yield {
                    "distribution": key,
                    "function": name,
                    "parameter": parameter,
                    "estimator": estimator,
                    "seed": seed,
                    "samples": n,
                    "exact": exact[name][parameter],
                    "mean": mean,
                    "variance": variance if variance > (ROUNDING * mean) ** 2 else 0.0,
                }


def views(key: str, phi: Phi, n: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each view of the samples of one seed, (n,)."""
    entry = DISTRIBUTIONS[key]
    z = entry.g(noise(key, phi, n, seed), **phi)
    yield MAIN, entry.view(z, **phi).numpy()
    for name, view in entry.others.items():
        yield name, view.of(z, **phi).numpy()


def test(key: str, phi: Phi, n: int, seeds: list[int]) -> Iterator[dict]:
    """Rows of TESTS of one distribution."""
    entry = DISTRIBUTIONS[key]
    laws = {MAIN: entry.law, **{name: view.law for name, view in entry.others.items()}}
    samples: dict[str, list[np.ndarray]] = {name: [] for name in laws}
    for seed in seeds:
        for name, values in views(key, phi, n, seed):
            samples[name].append(values)
    for name, parts in samples.items():
        values = np.concatenate(parts)
        found = stats.kstest(values, laws[name](**phi).cdf)
        row = {"distribution": key, "view": name, "samples": len(values)}
        yield {**row, "statistic": found.statistic, "p_value": found.pvalue}


def draws(key: str, phi: Phi, n: int, seeds: list[int]) -> Iterator[dict]:
    """Rows of TRANSPORT of one distribution: the first `n` draws of the first seed."""
    epsilon = noise(key, phi, n, seeds[0])
    columns = {}
    for name, values in (("noise", epsilon), ("sample", DISTRIBUTIONS[key].g(epsilon, **phi))):
        wide = values.reshape(n, -1).numpy()
        columns[f"{name}_1"] = wide[:, 0]
        columns[f"{name}_2"] = wide[:, 1] if wide.shape[1] == 2 else np.full(n, np.nan)
    for row in pd.DataFrame(columns).to_dict("records"):
        yield {"distribution": key, **row}


def _table(jobs: list[Job], rows) -> None:
    """Write the table of each job: `rows` of every distribution that it names."""
    torch.set_num_threads(1)  # with more, sums over many samples are of other bits
    for job in jobs:
        started = time.perf_counter()
        asked = job.settings["distributions"]
        made = [
            row
            for key, values in asked.items()
            for row in rows(
                key, DISTRIBUTIONS[key].phi(values), job.settings["samples"], job.settings["seeds"]
            )
        ]
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(made), started))


gradients = functools.partial(_table, rows=measure)
tests = functools.partial(_table, rows=test)
transport = functools.partial(_table, rows=draws)
