"""What the estimators of log p(x) share: the estimate, chunks of rows, noise and checks.

An estimator takes the `joint` of one model (R = 1): joint.Joint, or a dataclass with its interface,
at temperature 1. At another temperature the integral of p(z) p(x|z)^temperature takes the place of
p(x); annealed importance sampling alone ends at 1. Values are in nats. All noise comes from a numpy
Generator, in an order that no memory limit changes. `memory_mb` bounds the temporary arrays;
what is returned, and weights of 8 bytes per draw, come on top.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from ..models.likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")
nets = lazy("aevb.models.nets")
joints = lazy("aevb.models.joint")

Progress = Callable[[int, int], None]  # (done, total)

CHUNK = 1000  # rows at a time on a CPU: activations stay in cache
NAMED = 3  # datapoints that an error message names


class Estimate(NamedTuple):
    """Estimates of log p(x) at N datapoints."""

    value: np.ndarray  # (N,) log p(x), nats, float64
    #: (N,) Monte Carlo standard error, nats; 0 for quadrature, whose diagnostics bound its error
    standard_error: np.ndarray
    diagnostics: dict[str, np.ndarray]  # each (N,)

    def mean(self) -> tuple[float, float]:
        """The mean over datapoints and its Monte Carlo standard error."""
        error = np.sqrt((self.standard_error**2).sum()) / len(self.value)
        return float(self.value.mean()), float(error)


def no_grad(function: Callable) -> Callable:
    """`function` without gradients, as by torch.no_grad, which is imported at the first call."""

    @functools.wraps(function)
    def without(*arguments, **options):
        with torch.no_grad():
            return function(*arguments, **options)

    return without


def _row_bytes(joint) -> int:
    """Bytes that one row z costs: two dozen arrays as wide as the data.

    That is a dozen as wide as a decoder's output with two numbers per pixel.
    """
    return 24 * joint.x.shape[-1] * joint.x.element_size()


def rows_at_once(joint, memory_mb: float) -> int:
    """Rows z at a time. Raises UserError if `memory_mb` does not hold one."""
    rows = int(memory_mb * 2**20 / _row_bytes(joint))
    if rows < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold a single draw; give at least "
            f"{_row_bytes(joint) / 2**20:.2g}"
        )
    return rows if joint.x.is_cuda else min(rows, CHUNK)


def blocks(draws: int, points: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """(draws, datapoints) of at most `rows` pairs each."""
    width, height = min(points, rows), max(1, rows // points)
    for k in range(0, draws, height):
        for n in range(0, points, width):
            yield slice(k, k + height), slice(n, n + width)


def flat(a: Tensor, block: tuple[slice, slice]) -> Tensor:
    """The rows of `block` of a (K, N, ...) as (1, k*n, ...)."""
    return a[block].flatten(0, 1).unsqueeze(0)


def standard_normal(generator: np.random.Generator, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Float32 draws, in the dtype and on the device of `like`."""
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(like)


def check_joint(joint) -> None:
    """Raise UserError unless `joint` is one model with finite data and parameters."""
    x = joint.x
    if x.ndim != 3 or x.shape[0] != 1 or 0 in x.shape:
        raise UserError(
            f"x has shape {tuple(x.shape)}; log p(x) is estimated for one model at a time, with x "
            "of shape (1, N, D)"
        )
    if not torch.isfinite(x).all():
        raise UserError("x holds values that are not finite; mend the data")
    if not all(torch.isfinite(p).all() for p in getattr(joint, "parameters", {}).values()):
        raise UserError(
            "the model's parameters are not finite, so its training diverged; take another run or "
            "a smaller step size"
        )


def check_acceptance(acceptance: float) -> None:
    """Raise UserError unless it lies between 0 and 1."""
    if not 0 < acceptance < 1:
        raise UserError(f"acceptance is {acceptance}; it must lie between 0 and 1")


def check_latents(name: str, z: Tensor, joint, leading: int = 1) -> Tensor:
    """z (..., N, N_z) with `leading` axes before N_z, in the dtype and on the device of x.

    Raises UserError if its shape is another, or a value is not finite.
    """
    shape = (joint.x.shape[1], joint.latent_dim)
    if z.ndim != leading + 1 or tuple(z.shape[-2:]) != shape:
        wanted = ", ".join(["S"] * (leading - 1) + [str(number) for number in shape])
        raise UserError(
            f"{name} has shape {tuple(z.shape)} instead of ({wanted}); give one z for each "
            "datapoint"
        )
    if not torch.isfinite(z).all():
        raise UserError(
            f"{name} holds values that are not finite; leave them out or start elsewhere"
        )
    return z.to(joint.x)


def at_least(name: str, number: int, least: int) -> None:
    """Raise UserError if the option `name` is less than `least`."""
    if number < least:
        raise UserError(f"{name} is {number}; it must be at least {least}")


def which(bad: np.ndarray) -> str:
    """'2 of 10 datapoints (numbers 3, 7)'."""
    numbers = np.flatnonzero(bad)
    names = ", ".join(map(str, numbers[:NAMED])) + (", ..." if len(numbers) > NAMED else "")
    return (
        f"{len(numbers)} of {len(bad)} datapoints (number{'s' if len(numbers) > 1 else ''} {names})"
    )


def as_numpy(a: Tensor) -> np.ndarray:
    """In float64, on the CPU."""
    return a.double().cpu().numpy()


def log_mean_exp(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the mean weight (N,), and the weights divided by their mean (N, K)."""
    shift = log_weights.max(1, keepdims=True)
    weights = np.exp(log_weights - shift)
    mean = weights.mean(1, keepdims=True)
    return (shift + np.log(mean))[:, 0], weights / mean


@no_grad
def shared_log_likelihood(joint, z: Tensor, memory_mb: float = 500) -> Tensor:
    """log p(x_n|z_g) of every datapoint at every z (G, N_z): (N, G), in nats.

    The latents are decoded once for all datapoints.
    """
    points = joint.x.shape[1]
    rows = rows_at_once(joint, memory_mb)
    if not isinstance(joint, joints.Joint):
        height = max(1, rows // points)
        parts = [
            joint.log_likelihood(part.repeat_interleave(points, 0).unsqueeze(0))[0]
            .view(-1, points)
            .T
            for part in z.split(height)
        ]
        return torch.cat(parts, 1)
    x, likelihood = joint.x[0], LIKELIHOODS[joint.likelihood]
    result = x.new_empty(points, len(z))
    for start in range(0, len(z), rows):
        decoded = nets.decode(z[None, start : start + rows], joint.parameters)[0]
        result[:, start : start + rows] = likelihood.shared_log_density(x, decoded)
    return result
