"""log p(x) by quadrature: the ground truth for up to three latent dimensions."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import log
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from .common import Estimate, Progress, as_numpy, check_joint, check_latents, no_grad
from .modes import COARSE, EXTENT, Modes, datapoints_at_once, evaluate_at, find_modes

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


# Nats below the mode at which a posterior is cut: mass 1e-7 of a Gaussian in three dimensions.
DEPTH = 18.0
# Of the first lattice, in posterior standard deviations: trapezoid error 2 exp(-2 pi^2 / 1.25^2) =
# 7e-6.
SPACING = 1.25
HALVINGS = 4
#: nats, and share of the mass cut off: where any datapoint has more, quadrature is no truth
TRUSTED = 0.01
NODE_BYTES = 200  # a node of a lattice, with temporaries


@no_grad
def quadrature(
    joint,
    hints: Tensor | None = None,
    tolerance: float = 1e-3,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Estimate:
    """log p(x) = log of the integral of p(x, z) over z in one to three dimensions, by the trapezoid
    rule.

    Its error falls exponentially with the inverse of the spacing once that is below the posterior's
    standard deviation.

    1. p(x, z) of all datapoints on a coarse lattice over [-5, 5]^d. Newton's method climbs from
       each datapoint's highest local maxima, and from `hints`, (N, N_z) or (S, N, N_z). Those may
       be posterior samples; at most 12 of S are taken, evenly spaced.
    2. A lattice for each datapoint, with axes and spacings from the curvature at its modes. It
       grows from the modes and hints along neighbours. It stops when all of its border lies 18 nats
       below the highest node, whatever the shape of the posterior.
    3. The same lattice shifted by half a step in every dimension. The two sums err in opposite
       directions; where they differ by more than `tolerance`, the spacing is halved.

    A mode that is found neither from the coarse lattice nor from a hint, nor joined to a mode above
    that depth, is missed.

    Diagnostics: discretisation, the difference between the two lattices, nats (the value is their
    mean, which is much better); truncation, the share of the sum that lies on the border; nodes;
    modes. Raises UserError for more than three dimensions, or if the memory is too small.
    """
    check_joint(joint)
    points, dim = joint.x.shape[1], joint.latent_dim
    if dim not in COARSE:
        raise UserError(
            f"quadrature works for 1 to 3 latent dimensions, not {dim}; use importance or annealed "
            "importance sampling"
        )
    if hints is None:
        hints = joint.x.new_empty(0, points, dim)
    hints = check_latents(
        "hints", hints if hints.ndim == 3 else hints.unsqueeze(0), joint, leading=2
    )
    axis = torch.linspace(-EXTENT, EXTENT, round(2 * EXTENT / COARSE[dim]) + 1).to(joint.x)
    width = min(points, datapoints_at_once(axis, dim, memory_mb, least=NODE_BYTES * 4000))
    results = []
    for start in range(0, points, width):
        part = replace(joint, x=joint.x[:, start : start + width])
        modes = find_modes(part, axis, hints[:, start : start + width], memory_mb)
        results.append(
            _integrate(part, modes, hints[:, start : start + width], tolerance, memory_mb, start)
        )
        if progress:
            progress(min(start + width, points), points)
    value, *diagnostics = (np.concatenate(a) for a in zip(*results, strict=True))
    names = ("discretisation", "truncation", "nodes", "modes")
    return Estimate(value, np.zeros(points), dict(zip(names, diagnostics, strict=True)))


def _distinct_modes(modes: Modes, points: int, dim: int) -> tuple[np.ndarray, ...]:
    """The highest mode (N, d) of each datapoint, and of its distinct modes the sum of their
    precisions, (N, d, d), and their number (N,).

    A frame from that sum resolves all of them.
    """
    order = np.lexsort((-modes.value, modes.point))
    modes = Modes(*(a[order] for a in modes))
    origin, precision, counts = (
        np.zeros((points, dim)),
        np.zeros((points, dim, dim)),
        np.zeros(points),
    )
    kept: list[list[int]] = [[] for _ in range(points)]
    for i, n in enumerate(modes.point):
        apart = [
            (modes.z[i] - modes.z[j]) @ modes.precision[j] @ (modes.z[i] - modes.z[j]) > 1
            for j in kept[n]
        ]
        if all(apart):
            if not kept[n]:
                origin[n] = modes.z[i]
            kept[n].append(i)
            precision[n] += modes.precision[i]
            counts[n] += 1
    return origin, precision, counts


def _integrate(
    joint, modes: Modes, hints: Tensor, tolerance: float, memory_mb: float, first: int
) -> tuple[np.ndarray, ...]:
    """Value, discretisation, truncation, nodes and modes of each datapoint, (N,) each.

    `first` is the number of the first datapoint.
    """
    points, dim = joint.x.shape[1], joint.latent_dim
    best = np.full(points, -np.inf)
    np.maximum.at(best, modes.point, modes.value)
    tall = modes.value > best[modes.point] - DEPTH
    modes = Modes(*(a[tall] for a in modes))
    origin, precision, counts = _distinct_modes(modes, points, dim)
    values, vectors = np.linalg.eigh(precision)
    frame = SPACING * vectors / np.sqrt(values)[:, None, :]
    seed_point = np.concatenate([modes.point, np.tile(np.arange(points), len(hints))])
    seed_z = np.concatenate([modes.z, as_numpy(hints).reshape(-1, dim)])

    value, discretisation, truncation, nodes = (
        np.zeros(points),
        np.full(points, np.inf),
        np.zeros(points),
        np.zeros(points),
    )
    todo = np.arange(points)
    for halving in range(HALVINGS + 1):
        both = []
        for shift in (0.0, 0.5):
            both.append(
                _lattices(
                    joint,
                    todo,
                    origin,
                    frame / 2**halving,
                    shift,
                    seed_point,
                    seed_z,
                    best,
                    memory_mb,
                    first,
                )
            )
            nodes[todo] += both[-1][2]
        value[todo] = np.logaddexp(both[0][0], both[1][0]) - log(2)
        discretisation[todo] = np.abs(both[0][0] - both[1][0])
        truncation[todo] = np.maximum(both[0][1], both[1][1])
        todo = todo[discretisation[todo] > tolerance]
        if not len(todo):
            break
    return value, discretisation, truncation, nodes, counts


def _lattices(
    joint, todo, origin, frame, shift, seed_point, seed_z, best, memory_mb, first
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log of the lattice sum times the cell's volume, share on the border, and number of nodes, for
    the datapoints `todo`."""
    results = _grow(joint, todo, origin, frame, shift, seed_point, seed_z, best, memory_mb)
    if results is not None:
        return results
    if len(todo) == 1:
        advice = "raise memory_mb, or use importance sampling"
        raise UserError(
            f"the posterior of datapoint {first + todo[0]} needs more lattice nodes than "
            f"{memory_mb:g} MB hold; {advice}"
        )
    halves = np.array_split(todo, 2)
    parts = [
        _lattices(joint, half, origin, frame, shift, seed_point, seed_z, best, memory_mb, first)
        for half in halves
    ]
    return tuple(np.concatenate(a) for a in zip(*parts, strict=True))


def _grow(
    joint, todo, origin, frame, shift, seed_point, seed_z, best, memory_mb
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """As _lattices; None if the nodes do not fit the memory.

    A node is an int64: its row in `todo`, then 16 bits per coordinate.
    """
    dim, bias = joint.latent_dim, 2**15
    row_of = np.full(len(origin), -1)
    row_of[todo] = np.arange(len(todo))
    mine = row_of[seed_point] >= 0
    row, z = row_of[seed_point[mine]], seed_z[mine]
    n = todo[row]
    u = (
        np.rint((np.linalg.inv(frame[n]) @ (z - origin[n])[:, :, None])[:, :, 0] - shift)
        .clip(-bias + 1, bias - 2)
        .astype(np.int64)
    )
    units = 1 << (16 * np.arange(dim, dtype=np.int64))
    fresh = _distinct((row << (16 * dim)) + (u + bias) @ units)
    neighbours = np.concatenate([units, -units])
    top = best[todo].copy()
    seen, nodes, values = np.empty(0, np.int64), [], []
    limit = memory_mb * 2**20 / NODE_BYTES
    while len(fresh):
        seen = np.sort(np.concatenate([seen, fresh]))
        if len(seen) > limit:
            return None
        row = fresh >> (16 * dim)
        u = ((fresh[:, None] >> (16 * np.arange(dim))) & 0xFFFF) - bias
        z = origin[todo[row]] + (frame[todo[row]] @ (u + shift)[:, :, None])[:, :, 0]
        index = torch.from_numpy(todo[row]).to(joint.x.device)
        found = as_numpy(
            evaluate_at(joint, "value", index, torch.from_numpy(z).to(joint.x), memory_mb)
        )
        np.maximum.at(top, row, found)
        nodes.append(fresh)
        values.append(found)
        fresh = _distinct((fresh[found > top[row] - DEPTH, None] + neighbours).ravel())
        fresh = fresh[seen[np.searchsorted(seen, fresh).clip(max=len(seen) - 1)] != fresh]
    nodes, values = np.concatenate(nodes), np.concatenate(values)
    row = nodes >> (16 * dim)
    mass = np.exp(values - top[row])
    total = np.bincount(row, mass, len(todo))
    border = np.bincount(row, mass * (values <= top[row] - DEPTH), len(todo))
    volume = np.log(np.abs(np.linalg.det(frame[todo])))
    return (
        top + np.log(total) + volume,
        border / total,
        np.bincount(row, minlength=len(todo)).astype(float),
    )


def _distinct(a: np.ndarray) -> np.ndarray:
    """Sorted, without repetitions; several times faster than numpy.unique on these integers."""
    a = np.sort(a)
    return a[np.diff(a, prepend=-1) > 0]


def truth(joint, hints: Tensor, memory_mb: float = 500) -> Estimate | None:
    """log p(x) by quadrature; None where it cannot be had.

    That is in more dimensions than a lattice has, or where it did not converge, as stderr then
    says.
    """
    if joint.latent_dim not in COARSE:
        return None
    found = quadrature(joint, hints, memory_mb=memory_mb)
    off = {name: found.diagnostics[name].max() for name in ("discretisation", "truncation")}
    if max(off.values()) > TRUSTED:
        said = ", ".join(f"{name} {value:.2g}" for name, value in off.items())
        print(
            f"quadrature did not converge ({said} for some datapoint), so it is left out",
            file=sys.stderr,
        )
        return None
    return found
