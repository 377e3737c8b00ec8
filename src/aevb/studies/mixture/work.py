"""What the study measures on each data set. Random numbers come from streams named after it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from ... import results
from ...core.lazy import lazy
from ...core.run import Job
from ...core.streams import stream
from . import FAITHFUL, MixtureStudy
from .ascent import Sweep, cavi, em, large_cavi, svi
from .exact import divergence, draw, enumerated, gibbs, total_variance, variance_of
from .model import Factors, generate, old_faithful, spread_start, start, statistics
from .model import divergence as from_prior

arviz = lazy("arviz_stats.base")

ALGORITHMS = {"cavi": cavi, "em": em}
FAITHFUL_COMPONENTS = 2  # short and long eruptions
CHAINS = 20  # in which draws are counted, for their standard errors
TRACED = 12  # rows of the trace of a start, at most
EVALUATIONS = 25  # of the bound during stochastic VI, evenly on a logarithmic axis


def points(jobs: list[Job]) -> None:
    """Write the datapoints on which many starts are compared."""
    _write(jobs, _points, FAITHFUL)


def traces(jobs: list[Job]) -> None:
    """Write the bound after every sweep from every start."""
    _write(jobs, _traces, FAITHFUL)


def optima(jobs: list[Job]) -> None:
    """Write where every start ends."""
    _write(jobs, _optima, FAITHFUL)


def evidence(jobs: list[Job]) -> None:
    """Write the bound and KL(q || posterior), by enumeration, along coordinate ascent."""
    _write(jobs, _evidence)


def variances(jobs: list[Job]) -> None:
    """Write the variance of the posterior and of q."""
    _write(jobs, _variances)


def stochastic(jobs: list[Job]) -> None:
    """Write the bounds of stochastic VI and coordinate ascent against passes over the data."""
    _write(jobs, _stochastic)


def _write(
    jobs: list[Job], measure: Callable[[str, int, MixtureStudy], list[dict]], *others: str
) -> None:
    """Write the rows that `measure` gives for each data set: drawn ones, then `others`."""
    for job in jobs:
        started = time.perf_counter()
        options, seed = MixtureStudy(**job.settings["mixture"]), job.settings["seed"]
        names = [*(f"drawn_{number}" for number in range(options.replicates)), *others]
        rows = [{"data": name, **row} for name in names for row in measure(name, seed, options)]
        frame = pd.DataFrame(rows)
        results.write_table(job.outputs[0], results.measured(job, frame, started))


def _plane(name: str, seed: int, options: MixtureStudy) -> tuple[np.ndarray, int]:
    """The data in two dimensions (n, 2), and K."""
    if name == FAITHFUL:
        return old_faithful(), FAITHFUL_COMPONENTS
    k = options.components
    generator = stream("mixture-points", name, k, seed)
    return generate(generator, options.points, k, 2, options.prior_sd)[0], k


def _points(name: str, seed: int, options: MixtureStudy) -> list[dict]:
    return [{"x_1": x_1, "x_2": x_2} for x_1, x_2 in _plane(name, seed, options)[0]]


def _ascents(name: str, seed: int, options: MixtureStudy) -> Iterator[tuple[dict, list[Sweep]]]:
    """Every start by every algorithm: its columns, and its sweeps."""
    x, k = _plane(name, seed, options)
    for number in range(options.starts):
        first = start(stream("mixture-starts", name, k, seed, block=number), x, k, options.prior_sd)
        for algorithm, ascend in ALGORITHMS.items():
            yield {"start": number, "algorithm": algorithm}, ascend(x, first, options.prior_sd)


def _traces(name: str, seed: int, options: MixtureStudy) -> list[dict]:
    """Rows at sweeps that are spread evenly on a logarithmic axis, and the last, which together
    stand for every sweep: the least rises and the largest gap since the row before."""
    rows = []
    for who, sweeps in _ascents(name, seed, options):
        wanted = np.geomspace(1, len(sweeps), TRACED).round().astype(int)
        for before, sweep in itertools.pairwise([0, *dict.fromkeys(wanted.tolist())]):
            part = sweeps[before:sweep]
            least = {key: min(getattr(s, key) for s in part) for key in ("rise_c", "rise_mu")}
            gap = max((state.gap for state in part), key=abs)
            rows.append({**who, "sweep": sweep, "bound": part[-1].bound, **least, "gap": gap})
    return rows


def _optima(name: str, seed: int, options: MixtureStudy) -> list[dict]:
    rows = []
    for who, sweeps in _ascents(name, seed, options):
        last = sweeps[-1]
        sizes, (mean, variance) = last.phi.sum(0), last.factors
        for k in range(len(mean)):
            place = {"component": k, "mean_1": mean[k, 0], "mean_2": mean[k, 1]}
            end = {"variance": variance[k], "size": sizes[k], "bound": last.bound}
            rows.append({**who, **place, **end})
    return rows


def _line(name: str, seed: int, options: MixtureStudy, n: int) -> tuple[np.ndarray, list[Sweep]]:
    """Data on a line, (n, 1), and coordinate ascent from the start that ends highest."""
    k, sd = options.exact_components, options.exact_prior_sd
    x, _ = generate(stream("mixture-line", name, k, seed, block=n), n, k, 1, sd)
    ascents = (
        cavi(x, start(stream("mixture-line-starts", name, k, seed, block=number), x, k, sd), sd)
        for number in range(options.starts)
    )
    return x, max(ascents, key=lambda sweeps: sweeps[-1].bound)


def _evidence(name: str, seed: int, options: MixtureStudy) -> list[dict]:
    x, sweeps = _line(name, seed, options, options.exact_points)
    posterior = enumerated(x, options.exact_components, options.exact_prior_sd)
    return [
        {
            "sweep": number,
            "bound": state.bound,
            "divergence": divergence(posterior, state.phi, state.factors),
            "log_p": posterior.log_p,
        }
        for number, state in enumerate(sweeps, 1)
    ]


def _variances(name: str, seed: int, options: MixtureStudy) -> list[dict]:
    k, sd = options.exact_components, options.exact_prior_sd
    shape, rows = (CHAINS, options.draws // CHAINS, k), []
    for method, n in (("enumeration", options.exact_points), ("Gibbs", options.chain_points)):
        generator = stream("mixture-posterior", name, k, seed, algorithm=method)
        x, sweeps = _line(name, seed, options, n)
        unsorted = r_hat = np.nan
        if method == "enumeration":
            exact = enumerated(x, k, sd)
            unsorted = total_variance(exact)
            mu = draw(exact, generator, shape[0] * shape[1]).reshape(shape)
        else:
            mu = gibbs(x, k, sd, generator, *shape[:2])[..., 0]
            ordered = np.sort(mu, 2).transpose(2, 0, 1)
            r_hat = float(arviz.array_stats.rhat(ordered, chain_axis=1, draw_axis=2).max())
        row = {"method": method, "points": n}
        row |= _both("posterior", mu) | _both("mean_field", _normal(sweeps, generator, shape))
        rows.append({**row, "unsorted": unsorted, "r_hat": r_hat})
    return rows


def _normal(sweeps: list[Sweep], generator: np.random.Generator, shape: tuple) -> np.ndarray:
    """Draws of mu from q."""
    mean, variance = sweeps[-1].factors
    return mean[:, 0] + np.sqrt(variance) * generator.standard_normal(shape)


def _both(name: str, mu: np.ndarray) -> dict[str, float]:
    """The summed variance of sorted draws mu (chains, draws, K), which no label bears on."""
    value, error = variance_of(np.sort(mu, axis=2))
    return {name: value, f"{name}_se": error}


def _stochastic(name: str, seed: int, options: MixtureStudy) -> list[dict]:
    n, k, sd = options.svi_points, options.components, options.prior_sd
    x, _ = generate(stream("mixture-large", name, k, seed), n, k, 2, sd)
    first = spread_start(stream("mixture-large-start", name, k, seed), x, k, sd)

    def row(algorithm: str, passes: float, bound: float) -> dict:
        return {"algorithm": algorithm, "passes": passes, "bound": bound}

    def value(factors: Factors) -> float:
        return (statistics(x, factors)[2] - from_prior(factors, sd)) / n

    rows = [row("cavi", at, bound) for at, (bound, _) in enumerate(large_cavi(x, first, sd))]
    steps = max(1, round(options.svi_passes * n / options.svi_batch))
    wanted = set(np.geomspace(1, steps, EVALUATIONS).round().astype(int).tolist())
    rows.append(row("svi", 0.0, value(first)))
    generator = stream("mixture-large-steps", name, k, seed)
    rule = (options.svi_batch, options.svi_delay, options.svi_kappa)
    for step, factors in zip(
        range(1, steps + 1), svi(x, first, sd, generator, *rule), strict=False
    ):
        if step in wanted:
            rows.append(row("svi", step * options.svi_batch / n, value(factors)))
    return rows
