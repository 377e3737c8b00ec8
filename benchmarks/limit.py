"""What one step cannot avoid on this machine, by measurement: its matrix products, and one pass of
Adagrad over the parameters.

The products are those of AEVB's forward and backward pass at the workload's shapes, in float32,
with L = 1. torch has two routes on a CPU: torch.mm, and oneDNN's linear layer, which torch.compile
uses. For each product, every layout of operands and result is tried on both, and the fastest stays.
In the window the chosen ones are run one after the other, as a step does.

Adagrad must read parameter, gradient and accumulator and write parameter and accumulator: 5 x 4
bytes per parameter. It does so at the bandwidth that a triad a = b + s c reaches over three arrays
of the same size (best of many passes), be that a cache's or the memory's.

Everything else counts as nothing: random numbers, the gather of a minibatch, tanh, densities, sums.
So no float32 program on torch's products can pass this limit by more than the noise.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
from contenders import Workload
from torch import Tensor

from aevb.models.likelihoods import LIKELIHOODS

_linear = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available()
    else None
)
TRIAD_SHARE = 0.1  # of the window


def shapes(workload: Workload) -> list[tuple[int, int, int]]:
    """(m, k, n) of the products (m, k) (k, n) of one step: forward, gradient of the weights,
    gradient of the inputs."""
    m, layout = workload.batch, workload.layout
    d, h, z = layout.pixels, layout.hidden, layout.latent_dim
    layers = [(d, h), (h, 2 * z), (z, h), (h, LIKELIHOODS[layout.likelihood].width(d))]
    forward, weights = [(m, i, o) for i, o in layers], [(i, m, o) for i, o in layers]
    return forward + weights + [(m, o, i) for i, o in layers[1:]]  # the images need no gradient


def _routes(m: int, k: int, n: int) -> Iterator[Callable[[], Tensor]]:
    """Every way to compute one product: on both routes, in every layout of the operands, as it
    is and as its transpose."""
    for by_rows_a, by_rows_b, transposed in product((True, False), repeat=3):
        a = torch.randn(m, k) if by_rows_a else torch.randn(k, m).T
        b = torch.randn(k, n) if by_rows_b else torch.randn(n, k).T
        if transposed:
            a, b = b.T, a.T
        yield partial(torch.mm, a, b, out=torch.empty(a.shape[0], b.shape[1]))
        if _linear is not None:
            yield partial(_linear, a, b.T, None, "none", [], "")


def _seconds(call: Callable[[], Tensor]) -> float:
    """Median time of a call, after the first."""
    call()
    return statistics.median(timeit.repeat(call, number=2, repeat=5))


def bandwidth(parameters: int, seconds: float) -> float:
    """Bytes per second of a triad over three float32 arrays of `parameters` entries, the best pass
    within `seconds`."""
    a, b, c = torch.zeros(3, parameters).unbind()
    best, end = float("inf"), time.perf_counter() + seconds
    while (started := time.perf_counter()) < end or best == float("inf"):
        torch.add(b, c, alpha=0.5, out=a)
        best = min(best, time.perf_counter() - started)
    return 3 * 4 * parameters / best


@torch.no_grad()
def measure(workload: Workload, wait: Callable[[], None], seconds: float) -> dict[str, float]:
    """Of one process, while the others do the same: its limit in samples per second, and what makes
    it up.

    `wait` returns when all processes have chosen their products.
    """
    chosen = [min(_routes(*shape), key=_seconds) for shape in shapes(workload)]
    wait()
    triad = bandwidth(workload.layout.n_parameters, TRIAD_SHARE * seconds)
    started, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < (1 - TRIAD_SHARE) * seconds or not steps:
        for call in chosen:
            call()
        steps += 1
    products, adagrad = elapsed / steps, 5 * 4 * workload.layout.n_parameters / triad
    return {
        "samples_per_second": workload.batch / (products + adagrad),
        "products_seconds": products,
        "adagrad_seconds": adagrad,
        "gflops": 2e-9 * sum(m * k * n for m, k, n in shapes(workload)) / products,
        "triad_bytes_per_second": triad,
    }
