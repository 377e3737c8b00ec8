"""The modes of log p(x, z) in one to three latent dimensions, and a proposal around them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from .common import (
    as_numpy,
    check_joint,
    check_latents,
    no_grad,
    rows_at_once,
    shared_log_likelihood,
    which,
)
from .proposals import StudentT

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")
densities = lazy("aevb.models.densities")


COARSE = {1: 0.01, 2: 0.05, 3: 0.2}  # spacing of the lattice that is searched for modes
EXTENT = 5.0  # its half-width
SEEDS = 12  # local maxima of that lattice to climb from, and hints
PROPOSED = 6  # local maxima around which importance samples are proposed
#: spacings of the lattice for these, in those of COARSE: by itself, and where there are hints
ALONE, HINTED = 1.5, 2.5


class Modes(NamedTuple):
    """Local maxima of the log joint, of all datapoints in one list."""

    point: np.ndarray  # (M,), number of the datapoint
    z: np.ndarray  # (M, d)
    value: np.ndarray  # (M,)
    precision: np.ndarray  # (M, d, d), minus the Hessian, made positive definite


def datapoints_at_once(axis: Tensor, dim: int, memory_mb: float, least: int = 0) -> int:
    """Datapoints whose lattices with that `axis` fit the memory, each of `least` bytes or more.

    Raises UserError if not one does.
    """
    size = max(3 * 4 * len(axis) ** dim, least)
    if size > memory_mb * 2**20:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold the lattice of one datapoint; give at least "
            f"{ceil(1e-6 * size)}"
        )
    return int(memory_mb * 2**20 / size)


def evaluate_at(joint, what: str, point: Tensor, z: Tensor, memory_mb: float):
    """joint.<what> at z (M, d) for the datapoints `point` (M,)."""
    parts = []
    for index, rows in zip(
        point.split(rows_at_once(joint, memory_mb)),
        z.split(rows_at_once(joint, memory_mb)),
        strict=True,
    ):
        found = getattr(replace(joint, x=joint.x[:, index]), what)(rows.unsqueeze(0))
        parts.append(found if isinstance(found, tuple) else (found,))
    parts = tuple(torch.cat([part[0] for part in column]) for column in zip(*parts, strict=True))
    return parts if len(parts) > 1 else parts[0]


def highest_peaks(
    joint, axis: Tensor, memory_mb: float, number: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes (G, d) of a lattice with that `axis`, and the highest local maxima of the log joint.

    Those are given by their nodes and values, both (N, number); a value is -inf where there are
    fewer. Raises UserError if the log joint is not finite.
    """
    points, dim = joint.x.shape[1], joint.latent_dim
    nodes = torch.cartesian_prod(*[axis] * dim).view(-1, dim)
    values = (
        shared_log_likelihood(joint, nodes, memory_mb)
        .mul_(joint.temperature)
        .add_(densities.log_prior(nodes))
    )
    if not torch.isfinite(values).all():
        bad = as_numpy(~torch.isfinite(values).all(1)).astype(bool)
        raise UserError(
            f"log p(x, z) is not finite for {which(bad)}; check that the model has not diverged"
        )
    peaks = values.masked_fill(
        _highest_nearby(values.view(points, *[len(axis)] * dim)).view_as(values) > values,
        -torch.inf,
    )
    found, where = peaks.topk(min(number, len(nodes)), 1)
    return nodes, where, found


def find_modes(joint, axis: Tensor, hints: Tensor, memory_mb: float) -> Modes:
    """The modes to which Newton's method climbs from a lattice and from `hints` (S, N, d).

    It starts at most SEEDS times per datapoint from each.
    """
    points, dim = joint.x.shape[1], joint.latent_dim
    nodes, where, found = highest_peaks(joint, axis, memory_mb, SEEDS)
    point = (
        torch.arange(points, device=where.device)
        .unsqueeze(1)
        .expand_as(where)[torch.isfinite(found)]
    )
    z = nodes[where[torch.isfinite(found)]]
    if len(hints) > SEEDS:
        hints = hints[torch.linspace(0, len(hints) - 1, SEEDS).long()]
    point = torch.cat([point, torch.arange(points, device=point.device).repeat(len(hints))])
    return climb(joint, point, torch.cat([z, hints.reshape(-1, dim)]), memory_mb)


def _highest_nearby(a: Tensor) -> Tensor:
    """Maximum over each node and its neighbours on a lattice (N, G, ...), axis by axis."""
    for axis in range(1, a.ndim):
        wider = a.clone()
        for here, there in ((1, 0), (0, 1)):
            part = wider.narrow(axis, here, a.shape[axis] - 1)
            part.copy_(torch.maximum(part, a.narrow(axis, there, a.shape[axis] - 1)))
        a = wider
    return a


def climb(joint, point: Tensor, z: Tensor, memory_mb: float, iterations: int = 40) -> Modes:
    """Newton's method on the log joint, from z (M, d) for the datapoints `point` (M,).

    The Hessian's eigenvalues are made negative, and a trust radius bounds each step.
    """
    dim = z.shape[1]
    difference = 5e-3 if z.dtype == torch.float32 else 1e-4
    value, gradient = evaluate_at(joint, "value_and_gradient", point, z, memory_mb)
    precision = torch.eye(dim).to(z).repeat(len(z), 1, 1)
    radius = torch.full_like(value, 0.25)
    active = torch.arange(len(z), device=z.device)
    for _ in range(iterations):
        p, at, g = point[active], z[active], gradient[active]
        columns = [
            (g - evaluate_at(joint, "gradient", p, at + difference * e, memory_mb)) / difference
            for e in torch.eye(dim).to(z)
        ]
        curvature = torch.stack(columns, 2)
        eigenvalues, vectors = torch.linalg.eigh(0.5 * (curvature + curvature.mT).double())
        eigenvalues = eigenvalues.abs().clamp(min=0.5)  # the prior's curvature is 1
        precision[active] = (vectors * eigenvalues.unsqueeze(1) @ vectors.mT).to(z)
        newton = (
            (vectors @ ((vectors.mT @ g.double().unsqueeze(2)) / eigenvalues.unsqueeze(2)))
            .squeeze(2)
            .to(z)
        )
        length = newton.norm(dim=1)
        step = newton * (radius[active] / length.clamp(min=1e-30)).clamp(max=1).unsqueeze(1)
        new_value, new_gradient = evaluate_at(joint, "value_and_gradient", p, at + step, memory_mb)
        better = new_value > value[active]
        gain = (newton * g).sum(1)
        radius[active] = torch.where(better, radius[active] * 2, step.norm(dim=1) / 4).clamp(
            max=1.0
        )
        rows = active[better]
        z[rows], value[rows], gradient[rows] = (
            (at + step)[better],
            new_value[better],
            new_gradient[better],
        )
        # The others are within 0.1 standard deviations of the top, which is all that a lattice
        # needs, or stuck in rounding errors.
        active = active[(gain > 0.01) & (radius[active] > 1e-4)]
        if not len(active):
            break
    return Modes(point.cpu().numpy(), as_numpy(z), as_numpy(value), as_numpy(precision))


@no_grad
def from_modes(
    joint, inflation: float = 1.2, memory_mb: float = 500, hints: Tensor | None = None
) -> StudentT:
    """A mixture of t distributions around the modes of each posterior, in one to three dimensions.

    It covers posteriors of several modes, of which one chain knows one. Newton's method climbs from
    the highest local maxima of a coarse lattice. With `hints` (C, N, N_z), such as the means of a
    mixture under almost the same model, it climbs from these too, and the lattice is coarser; the
    best of the modes remain. The scale matrix is `inflation`^2 times the inverse curvature at a
    mode. The component's share follows the mass of a Gaussian there, a tenth spread evenly. Raises
    UserError in more dimensions.
    """
    check_joint(joint)
    points, dim = joint.x.shape[1], joint.latent_dim
    if dim not in COARSE:
        raise UserError(
            f"modes are sought on a lattice of 1 to 3 latent dimensions, not {dim}; take "
            "from_samples"
        )
    spacing = COARSE[dim] * (ALONE if hints is None else HINTED)
    axis = torch.linspace(-EXTENT, EXTENT, round(2 * EXTENT / spacing) + 1).to(joint.x)
    width = datapoints_at_once(axis, dim, memory_mb)
    if hints is not None:
        hints = check_latents("hints", hints, joint, leading=2).transpose(0, 1)
    parts = []
    for start in range(0, points, width):
        part = replace(joint, x=joint.x[:, start : start + width])
        nodes, where, found = highest_peaks(part, axis, memory_mb, PROPOSED)
        # Where there are too few local maxima: the highest again.
        where = torch.where(torch.isfinite(found), where, where[:, :1])
        starts, first = nodes[where], torch.ones_like(where, dtype=torch.bool)
        if hints is not None:
            known = hints[start : start + width]
            first = torch.cat([torch.isfinite(found), first.new_ones(known.shape[:2])], 1)
            starts = torch.cat([starts, known], 1)
        number = len(starts)
        point = torch.arange(number, device=starts.device).unsqueeze(1).expand_as(first)
        modes = climb(part, point[first], starts[first], memory_mb)
        if hints is not None:
            at = (first.flatten().cumsum(0) - 1).view_as(first)
            at = torch.where(first, at, at[:, :1]).flatten().cpu().numpy()
            modes = _best(Modes(*(a[at] for a in modes)), number, where.shape[1])
        parts.append(_components(modes, number, inflation))
    return StudentT(
        *(torch.cat(part).transpose(0, 1).to(joint.x) for part in zip(*parts, strict=True))
    )


def _mass(modes: Modes, points: int) -> np.ndarray:
    """Log mass of a Gaussian at each of C modes per datapoint, but for a constant: (N, C)."""
    return (modes.value - 0.5 * np.linalg.slogdet(modes.precision)[1]).reshape(points, -1)


def _best(modes: Modes, points: int, number: int) -> Modes:
    """Of C modes per datapoint the `number` with the most mass; what was found again comes last."""
    order = np.argsort(-_mass(modes, points), 1)
    order += order.shape[1] * np.arange(points)[:, None]
    z, precision = modes.z[order], modes.precision[order]
    apart = z[:, :, None] - z[:, None]  # (N, C, C, d)
    near = np.einsum("nabi,nbij,nabj->nab", apart, precision, apart) < 1
    again = np.tril(near, -1).any(2)
    first = np.take_along_axis(order, np.argsort(again, 1, kind="stable"), 1)[:, :number]
    return Modes(*(a[first.ravel()] for a in modes))


def _components(modes: Modes, points: int, inflation: float) -> tuple[Tensor, ...]:
    """Mean, root and share of the components of a StudentT, (N, C, ...), at C modes each."""
    dim = modes.z.shape[1]
    share = torch.from_numpy(_mass(modes, points)).softmax(1)
    root = inflation * np.linalg.cholesky(np.linalg.inv(modes.precision))
    return (
        torch.from_numpy(modes.z.reshape(points, -1, dim)),
        torch.from_numpy(root.reshape(points, -1, dim, dim)),
        0.9 * share + 0.1 / share.shape[1],
    )
