"""log p(x) of each datapoint under a latent variable model: reciprocal estimator (appendix D),
importance sampling, annealed importance sampling, and quadrature, which is the ground truth for up
to three latent dimensions.

Every function takes the `joint` of one model (R = 1): joint.Joint, or a dataclass with its
interface, at temperature 1 (at another, the integral of p(z) p(x|z)^temperature takes the place of
p(x), but for AIS, which ends at 1). Values are in nats. All noise comes from a numpy Generator and
is drawn in an order that no memory limit changes. `memory_mb` bounds the temporary arrays; what is
returned, and weights of 8 bytes a draw, come on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, lgamma, log, pi
from typing import NamedTuple, Protocol

import numpy as np
import torch
from arviz_stats.base import array_stats
from torch import Tensor

from ..core.errors import UserError
from ..models import densities, kernels, nets
from ..models.joint import Joint
from . import hmc

CHUNK = 1000  # rows at a time on a CPU: activations stay in cache
GAIN = 2.0  # of the step size's adaptation: log step size per unit of acceptance probability
STUCK_SHARE = (
    0.01  # of chains that may accept nothing: more, and the sampler does not fit the model
)
FLOOR = 1e-6  # smallest eigenvalue of a fitted covariance, relative to the largest
KHAT_DRAWS = 25  # k-hat wants five draws in the tail
NAMED = 3  # datapoints that an error message names

Progress = Callable[[int, int], None]  # (done, total)


class Estimate(NamedTuple):
    value: np.ndarray  # (N,) log p(x), nats, float64
    standard_error: (
        np.ndarray
    )  # (N,) Monte Carlo standard error, nats; 0 for quadrature, whose diagnostics bound its error
    diagnostics: dict[str, np.ndarray]  # each (N,)


class Samples(NamedTuple):
    """One chain per datapoint."""

    z: Tensor  # (S, N, N_z)
    log_joint: Tensor  # (S, N), log p(x, z), nats
    info: dict[
        str, np.ndarray
        # each (N,): acceptance (mean), energy_error (largest, absolute), divergences (number),
        # step_size
    ]


# Chunks, noise and checks


def _row_bytes(joint) -> int:
    """Bytes that one row z costs: a dozen arrays as wide as the data (twice that for the
    Gaussian decoder's two outputs)."""
    return 24 * joint.x.shape[-1] * joint.x.element_size()


def _rows(joint, memory_mb: float) -> int:
    """Rows z at a time."""
    rows = int(memory_mb * 2**20 / _row_bytes(joint))
    if rows < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold a single draw; give at least "
            f"{_row_bytes(joint) / 2**20:.2g}"
        )
    return rows if joint.x.is_cuda else min(rows, CHUNK)


def _blocks(draws: int, points: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """(draws, datapoints) of at most `rows` pairs each."""
    width, height = min(points, rows), max(1, rows // points)
    for k in range(0, draws, height):
        for n in range(0, points, width):
            yield slice(k, k + height), slice(n, n + width)


def _flat(a: Tensor, block: tuple[slice, slice]) -> Tensor:
    """The rows of `block` of a (K, N, ...) as (1, k*n, ...)."""
    return a[block].flatten(0, 1).unsqueeze(0)


def _normal(generator: np.random.Generator, shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).to(like)


def _check(joint) -> None:
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


def _check_latents(name: str, z: Tensor, joint, leading: int = 1) -> Tensor:
    """z of shape (..., N, N_z) with `leading` axes, finite, in the dtype and on the device of x."""
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


def _at_least(name: str, number: int, least: int) -> None:
    if number < least:
        raise UserError(f"{name} is {number}; it must be at least {least}")


def _which(bad: np.ndarray) -> str:
    """'2 of 10 datapoints (numbers 3, 7)'."""
    numbers = np.flatnonzero(bad)
    names = ", ".join(map(str, numbers[:NAMED])) + (", ..." if len(numbers) > NAMED else "")
    return (
        f"{len(numbers)} of {len(bad)} datapoints (number{'s' if len(numbers) > 1 else ''} {names})"
    )


def _numpy(a: Tensor) -> np.ndarray:
    return a.double().cpu().numpy()


# Likelihood of all datapoints at the same z


@torch.no_grad()
def shared_log_likelihood(joint, z: Tensor, memory_mb: float = 500) -> Tensor:
    """log p(x_n|z_g) of every datapoint at every z (G, N_z): (N, G). The latents are decoded once
    for all datapoints.

    Bernoulli (eq. 11): X a^T - sum softplus(a). Gaussian (eq. 12): the square expanded, in float64,
    because its terms cancel.
    """
    points = joint.x.shape[1]
    rows = _rows(joint, memory_mb)
    if not isinstance(joint, Joint):
        height = max(1, rows // points)
        parts = [
            joint.log_likelihood(part.repeat_interleave(points, 0).unsqueeze(0))[0]
            .view(-1, points)
            .T
            for part in z.split(height)
        ]
        return torch.cat(parts, 1)
    x = joint.x[0]
    result = x.new_empty(points, len(z))
    for start in range(0, len(z), rows):
        decoded = nets.decode(z[None, start : start + rows], joint.parameters)[0]
        part = result[:, start : start + rows]
        if joint.likelihood == "bernoulli":
            part.copy_(kernels.product(x[None], decoded.T[None])[0])
            part -= densities.softplus(decoded).sum(-1)
        else:
            logits, log_variance = decoded.double().chunk(2, dim=-1)
            mean, precision, wide = logits.sigmoid(), torch.exp(-log_variance), x.double()
            constant = (log(2 * pi) + log_variance + mean.square() * precision).sum(-1)
            part.copy_(wide @ (mean * precision).T - 0.5 * (wide.square() @ precision.T + constant))
    return result


@torch.no_grad()
def prior_start(
    joint, generator: np.random.Generator, draws: int, memory_mb: float = 500
) -> Tensor:
    """Starts of chains without an encoder: for each datapoint one of `draws` draws from the
    prior, shared by all datapoints, resampled with probability proportional to p(x|z). (N, N_z)."""
    _check(joint)
    _at_least("draws", draws, 1)
    points = joint.x.shape[1]
    z = _normal(generator, (draws, joint.latent_dim), joint.x)
    uniform = torch.from_numpy(generator.random(points)).to(joint.x.device)
    step = int(memory_mb * 2**20 / (24 * draws))
    if step < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold {draws} draws for one datapoint; give more, "
            "or take fewer draws"
        )
    chosen = []
    for start in range(0, points, step):
        part = replace(joint, x=joint.x[:, start : start + step])
        cumulative = shared_log_likelihood(part, z, memory_mb).double().softmax(1).cumsum(1)
        at = (uniform[start : start + step] * cumulative[:, -1]).unsqueeze(1)
        chosen.append(torch.searchsorted(cumulative, at, right=True)[:, 0].clamp(max=draws - 1))
    return z[torch.cat(chosen)]


# Hamiltonian Monte Carlo


@torch.no_grad()
def posterior_samples(
    joint,
    start: Tensor,
    generator: np.random.Generator,
    draws: int,
    warmup: int,
    leapfrog: int,
    acceptance: float,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Samples:
    """`draws` samples of p(z|x) for each datapoint: one HMC chain each, from `start` (N, N_z),
    after `warmup` transitions.

    Each chain has a step size of its own, because posteriors differ in width by a factor of ten.
    Robbins-Monro steps of size 2 t^-0.6 on its logarithm drive the acceptance probability to
    `acceptance` during warm-up; the mean over the second half of warm-up then stays fixed.

    Raises UserError when log p(x, z) is not finite at a start, or more than STUCK_SHARE of the
    chains accept nothing after warm-up; fewer go on as constants, which the diagnostics of their
    estimates show (degenerate, k_hat).
    """
    _check(joint)
    start = _check_latents("start", start, joint)
    for name, number, least in (
        ("draws", draws, 1),
        ("warmup", warmup, 1),
        ("leapfrog", leapfrog, 1),
    ):
        _at_least(name, number, least)
    if not 0 < acceptance < 1:
        raise UserError(f"acceptance is {acceptance}; it must lie between 0 and 1")
    points, latent_dim = start.shape
    columns = [n for _, n in _blocks(1, points, _rows(joint, memory_mb))]
    targets = [replace(joint, x=joint.x[:, n]) for n in columns]
    states = [
        hmc.initial(target, start[None, n]) for target, n in zip(targets, columns, strict=True)
    ]
    values = _numpy(torch.cat([state.value[0] for state in states]))
    if not np.isfinite(values).all():
        raise UserError(
            f"log p(x, z) is not finite at the start of {_which(~np.isfinite(values))}; start "
            "elsewhere"
        )

    z = start.new_empty(draws, points, latent_dim)
    log_joint = start.new_empty(draws, points)
    totals = {
        name: np.zeros(points) for name in ("acceptance", "energy_error", "divergences", "accepted")
    }
    log_step, history = np.full(points, log(0.1)), []
    for iteration in range(warmup + draws):
        momentum = _normal(generator, (1, points, latent_dim), start)
        uniform = torch.from_numpy(generator.random((1, points), dtype=np.float32)).to(start)
        step_size = torch.from_numpy(np.exp(log_step)).to(start).view(1, -1, 1)
        infos = []
        for c, (target, n) in enumerate(zip(targets, columns, strict=True)):
            states[c], info = hmc.transition(
                target, states[c], momentum[:, n], uniform[:, n], step_size[:, n], leapfrog
            )
            infos.append(info)
        probability, accepted, error, divergent = (
            _numpy(torch.cat([info[i][0] for info in infos])) for i in range(4)
        )
        if iteration < warmup:
            log_step = log_step + GAIN * (iteration + 1) ** -0.6 * (probability - acceptance)
            history.append(log_step)
            if iteration == warmup - 1:
                log_step = np.mean(history[warmup // 2 :], 0)
        else:
            for state, n in zip(states, columns, strict=True):
                z[iteration - warmup, n], log_joint[iteration - warmup, n] = (
                    state.z[0],
                    state.value[0],
                )
            totals["acceptance"] += probability / draws
            totals["accepted"] += accepted
            totals["divergences"] += divergent
            totals["energy_error"] = np.maximum(totals["energy_error"], np.abs(error))
        if progress:
            progress(iteration + 1, warmup + draws)
    never = totals.pop("accepted") == 0
    if never.mean() > STUCK_SHARE:
        advice = (
            "lengthen the warm-up, raise the target acceptance or start nearer to the posterior"
        )
        raise UserError(f"HMC accepted none of {draws} transitions for {_which(never)}; {advice}")
    return Samples(z, log_joint, {**totals, "step_size": np.exp(log_step)})


def _ess(chains: np.ndarray) -> np.ndarray:
    """Effective sample size of the mean of each chain, split in halves: (N, S) -> (N,)."""
    ess = np.asarray(array_stats.ess(chains[:, None], chain_axis=1, draw_axis=2, method="mean"))
    return np.where(np.isfinite(ess) & (np.ptp(chains, axis=1) > 0), ess, 1.0)


def _rhat(chains: np.ndarray) -> np.ndarray:
    """R-hat of the two halves of each chain: (N, S) -> (N,). Infinite for a chain that has not
    moved."""
    half = chains.shape[1] // 2
    halves = np.stack([chains[:, :half], chains[:, -half:]], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rhat = np.asarray(array_stats.rhat(halves, chain_axis=1, draw_axis=2, method="identity"))
    # Rounding can give what has not moved a variance.
    return np.where(np.isnan(rhat) | (np.ptp(chains, axis=1) == 0), np.inf, rhat)


# Densities fitted to samples


def _whitening(z: Tensor, full: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean (N, 1, d), W (N, d, d) with W cov W^T = 1, log det W (N,) and whether the covariance was
    degenerate (N,), of z (N, S, d).

    A direction in which a chain hardly moved gets FLOOR times the largest variance.
    """
    mean = z.mean(1, keepdim=True)
    centred = z - mean
    covariance = centred.mT @ centred / (z.shape[1] - 1)
    if not full:
        covariance = torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
    values, vectors = torch.linalg.eigh(covariance)
    floor = (FLOOR * values[:, -1:]).clamp(min=1e-12)
    regular = values.maximum(floor)
    return (
        mean,
        vectors.mT / regular.sqrt().unsqueeze(2),
        -0.5 * regular.log().sum(1),
        (values < floor).any(1),
    )


def _kernel_terms(fit: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Half the squared Mahalanobis distances (N, T, S) from `at` (N, T, d) to `fit` (N, S, d);
    log det W; degenerate."""
    mean, w, log_det, degenerate = _whitening(fit)
    distance = torch.cdist(
        (at - mean) @ w.mT, (fit - mean) @ w.mT, compute_mode="donot_use_mm_for_euclid_dist"
    )
    return 0.5 * distance.square(), log_det, degenerate


def _kernel_density(half_squares: Tensor, log_det: Tensor, factor: Tensor, dim: int) -> Tensor:
    """Log of the Gaussian KDE with bandwidth `factor` (N,), as scipy.stats.gaussian_kde defines
    it: (N, T)."""
    scale = factor.view(-1, 1)
    normaliser = (
        log_det.view(-1, 1)
        - dim * scale.log()
        - 0.5 * dim * log(2 * pi)
        - log(half_squares.shape[2])
    )
    return torch.logsumexp(-half_squares / scale.unsqueeze(2) ** 2, 2) + normaliser


def kernel_density(fit: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log density at `at` (N, T, d) of a Gaussian KDE of `fit` (N, S, d) with the full sample
    covariance times factor^2: (N, T); the factor (N,); whether a covariance was degenerate (N,).

    Author's code: the factor is Scott's S^(-1/(d+4)) times e^((i-5)/2), i = 0 ... 9, with the
    highest likelihood of the first half of `fit` under the KDE of its second half.
    """
    samples, dim = fit.shape[1:]
    half = samples // 2
    squares, log_det, bad = _kernel_terms(fit[:, half:], fit[:, :half])
    factors = [samples ** (-1 / (dim + 4)) * np.exp((i - 5) / 2) for i in range(10)]
    scores = [
        _kernel_density(squares, log_det, fit.new_full((len(fit),), f), dim).sum(1) for f in factors
    ]
    factor = fit.new_tensor(factors)[torch.stack(scores).argmax(0)]
    squares, log_det, worse = _kernel_terms(fit, at)
    return _kernel_density(squares, log_det, factor, dim), factor, bad | worse


def _full(samples: int, dim: int) -> bool:
    """Whether `samples` are enough for a full covariance; its diagonal is taken otherwise."""
    return samples >= 4 * dim


def _gaussian_density(fit: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    samples, dim = fit.shape[1:]
    mean, w, log_det, degenerate = _whitening(fit, _full(samples, dim))
    distance = ((at - mean) @ w.mT).square().sum(2)
    return (
        -0.5 * (distance + dim * log(2 * pi)) + log_det.unsqueeze(1),
        fit.new_ones(len(fit)),
        degenerate,
    )


@torch.no_grad()
def reciprocal(samples: Samples, density: str = "kde", memory_mb: float = 500) -> Estimate:
    """Appendix D: log p(x) ~ -log mean_l q(z_l) / p(x, z_l), z_l ~ p(z|x), with q fitted to the
    first half of the samples and the mean over the second half.

    `density` q: "kde" (author's code, see kernel_density) or "gaussian" (full covariance from 4 N_z
    samples on, else diagonal). The standard error is that of the reciprocal weights (delta method,
    effective sample size of their chain). It does not contain the bias: where q reaches beyond the
    samples in the second half, the mean misses weights and log p(x) comes out too high.

    Diagnostics: ess and rhat, the worst over log p(x, z) and the coordinates of z; weight_ess;
    acceptance; bandwidth (the factor; 1 for "gaussian"); degenerate (1 if a covariance was singular
    and its smallest eigenvalues were raised). Raises UserError with fewer than 8 samples, or an
    unknown density.
    """
    total, points, _ = samples.z.shape
    if density not in ("kde", "gaussian"):
        raise UserError(f"density is '{density}'; it must be 'kde' or 'gaussian'")
    if total < 8:
        raise UserError(
            f"{total} samples are too few for the reciprocal estimator, which splits them in "
            "halves twice; draw at least 8"
        )
    if not (torch.isfinite(samples.z).all() and torch.isfinite(samples.log_joint).all()):
        raise UserError(
            "the posterior samples hold values that are not finite; sample again with a higher "
            "target acceptance"
        )
    half = total // 2
    step = int(memory_mb * 2**20 / (4 * 8 * half * (total - half)))
    if step < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold the {total} samples of one datapoint; give "
            "more, or thin the samples"
        )
    fitted = kernel_density if density == "kde" else _gaussian_density
    parts = []
    for start in range(0, points, step):
        z = samples.z[:, start : start + step].double().transpose(0, 1)
        parts.append(fitted(z[:, :half].contiguous(), z[:, half:].contiguous()))
    log_q, factor, degenerate = (_numpy(torch.cat(part)) for part in zip(*parts, strict=True))
    log_weights = log_q - _numpy(samples.log_joint[half:]).T
    log_mean, weights = _log_mean_exp(log_weights)
    weight_ess = _ess(weights)
    # The chain's first half has chosen q, so that these are weights of a fixed q. An ess above the
    # number of draws (antithetic chains) is real, but estimated too roughly to be counted on.
    error = weights.std(1, ddof=1) / np.sqrt(np.minimum(weight_ess, weights.shape[1]))
    chains = np.concatenate(
        [_numpy(samples.z).transpose(2, 1, 0), _numpy(samples.log_joint).T[None]]
    )
    diagnostics = {
        "ess": np.min([_ess(chain) for chain in chains], 0),
        "rhat": np.max([_rhat(chain) for chain in chains], 0),
        "weight_ess": weight_ess,
        "acceptance": samples.info["acceptance"],
        "bandwidth": factor,
        "degenerate": degenerate,
    }
    return Estimate(-log_mean, error, diagnostics)


def _log_mean_exp(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the mean weight (N,), and the weights divided by their mean (N, K)."""
    shift = log_weights.max(1, keepdims=True)
    weights = np.exp(log_weights - shift)
    mean = weights.mean(1, keepdims=True)
    return (shift + np.log(mean))[:, 0], weights / mean


# Importance sampling


class Proposal(Protocol):
    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        """z (K, N, N_z)."""

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) of z (K, N, N_z): (K, N)."""


@dataclass(frozen=True)
class DiagonalGaussian:
    mean: Tensor  # (N, N_z)
    log_variance: Tensor  # (N, N_z)

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        return self.mean + torch.exp(0.5 * self.log_variance) * _normal(
            generator, (draws, *self.mean.shape), self.mean
        )

    def log_density(self, z: Tensor) -> Tensor:
        return densities.log_normal(z, self.mean, self.log_variance)


@dataclass(frozen=True)
class StudentT:
    """A mixture of C multivariate t distributions for each datapoint: heavier tails than the
    posterior's, so that no importance weight is huge."""

    mean: Tensor  # (C, N, N_z)
    root: Tensor  # (C, N, N_z, N_z), scale matrix = root root^T
    share: Tensor  # (C, N), of the components
    degrees: int = 5

    def sample(self, generator: np.random.Generator, draws: int) -> Tensor:
        components, points, dim = self.mean.shape
        noise = _normal(
            generator, (draws, points, 1 + dim + self.degrees), self.mean
        )  # all in one array: the order fits any chunks
        uniform = torch.special.ndtr(noise[..., 0])
        component = (uniform.unsqueeze(1) > self.share.cumsum(0)).sum(1).clamp(max=components - 1)
        chosen = component, torch.arange(points, device=component.device)
        chi_square = noise[..., 1 + dim :].square().sum(-1, keepdim=True)
        return self.mean[chosen] + (
            self.root[chosen]
            @ (noise[..., 1 : 1 + dim] * (self.degrees / chi_square).sqrt()).unsqueeze(-1)
        ).squeeze(-1)

    @cached_property
    def _inverse(self) -> tuple[Tensor, Tensor]:
        """Inverse of root, and log |det root|."""
        return torch.linalg.inv(self.root), torch.linalg.slogdet(self.root)[1]

    def log_density(self, z: Tensor) -> Tensor:
        dim, nu = self.mean.shape[2], self.degrees
        inverse, log_det = self._inverse
        square = (inverse @ (z.unsqueeze(1) - self.mean).unsqueeze(-1)).square().sum((-2, -1))
        normaliser = lgamma((nu + dim) / 2) - lgamma(nu / 2) - 0.5 * dim * log(nu * pi)
        return normaliser + torch.logsumexp(
            self.share.log() - log_det - 0.5 * (nu + dim) * torch.log1p(square / nu), 1
        )

    def __or__(self, other: StudentT) -> StudentT:
        """The mixture of both, half and half."""
        pairs = (
            (self.mean, other.mean),
            (self.root, other.root),
            (0.5 * self.share, 0.5 * other.share),
        )
        return StudentT(*(torch.cat(pair) for pair in pairs), self.degrees)


@torch.no_grad()
def from_encoder(parameters: dict[str, Tensor], x: Tensor) -> DiagonalGaussian:
    """q(z|x) (eq. 9) of one model, parameters (1, ...) and x (1, N, D)."""
    mean, log_variance = nets.encode(x, parameters)
    return DiagonalGaussian(mean[0], log_variance[0])


@torch.no_grad()
def from_samples(samples: Samples, inflation: float = 1.2) -> StudentT:
    """A t distribution with 5 degrees of freedom, around the samples' mean, its scale matrix
    their covariance (its diagonal with fewer than 4 N_z samples) times `inflation`^2."""
    _at_least("the number of samples", len(samples.z), 2)
    z = samples.z.double().transpose(0, 1)
    mean, w, _, _ = _whitening(z, _full(*z.shape[1:]))
    root = inflation * torch.linalg.inv(w)
    return StudentT(
        mean[None, :, 0].to(samples.z),
        root.unsqueeze(0).to(samples.z),
        samples.z.new_ones(1, len(z)),
    )


@torch.no_grad()
def from_modes(joint, inflation: float = 1.2, memory_mb: float = 500) -> StudentT:
    """A mixture of t distributions around the modes of each posterior, in one to three dimensions:
    it covers posteriors of several modes, of which one chain knows one.

    Newton's method climbs from the highest local maxima of a coarse lattice. `inflation`^2 times
    the inverse curvature at a mode is the scale matrix, and the component's share follows the mass
    of a Gaussian there, a tenth spread evenly.
    """
    _check(joint)
    points, dim = joint.x.shape[1], joint.latent_dim
    if dim not in COARSE:
        raise UserError(
            f"modes are sought on a lattice of 1 to 3 latent dimensions, not {dim}; take "
            "from_samples"
        )
    axis = torch.linspace(-EXTENT, EXTENT, round(EXTENT / (0.75 * COARSE[dim])) + 1).to(joint.x)
    width = int(memory_mb * 2**20 / (3 * 4 * len(axis) ** dim))
    if width < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold the lattice of one datapoint; give at least "
            f"{ceil(12e-6 * len(axis) ** dim)}"
        )
    parts = []
    for start in range(0, points, width):
        part = replace(joint, x=joint.x[:, start : start + width])
        number = part.x.shape[1]
        nodes, where, found = _peaks(part, axis, memory_mb, PROPOSED)
        where = torch.where(
            torch.isfinite(found), where, where[:, :1]
        )  # too few local maxima: the highest again
        modes = _climb(
            part,
            torch.arange(number, device=where.device).repeat_interleave(where.shape[1]),
            nodes[where.flatten()],
            memory_mb,
        )
        shape = (number, where.shape[1])
        mass = modes.value - 0.5 * np.linalg.slogdet(modes.precision)[1]
        share = torch.from_numpy(mass.reshape(shape)).softmax(1)
        root = inflation * np.linalg.cholesky(np.linalg.inv(modes.precision)).reshape(
            *shape, dim, dim
        )
        parts.append(
            (
                torch.from_numpy(modes.z.reshape(*shape, dim)),
                torch.from_numpy(root),
                0.9 * share + 0.1 / shape[1],
            )
        )
    return StudentT(
        *(torch.cat(part).transpose(0, 1).to(joint.x) for part in zip(*parts, strict=True))
    )


@torch.no_grad()
def importance(
    joint,
    proposal: Proposal,
    generator: np.random.Generator,
    draws: int,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Estimate:
    """log mean_k p(x, z_k) / q(z_k), z_k ~ q: an unbiased estimate of p(x), so on average a lower
    bound of log p(x).

    The standard error is by the delta method from the normalised weights; trust it where k-hat is
    below 0.7 (Vehtari, Simpson, Gelman, Yao & Gabry 2024). Diagnostics: ess, (sum w)^2 / sum w^2;
    k_hat, the Pareto shape of the largest weights (not a number with fewer than KHAT_DRAWS draws).
    """
    _check(joint)
    _at_least("draws", draws, 2)
    points, rows = joint.x.shape[1], _rows(joint, memory_mb)
    log_weights = np.empty((points, draws))
    # All datapoints at each draw, so that the order of the noise is the same for any memory:
    # `height` draws at a time
    height = max(1, rows // points)
    for k in range(0, draws, height):
        z = proposal.sample(generator, min(height, draws - k))
        if tuple(z.shape[1:]) != (points, joint.latent_dim):
            expected = f"({points}, {joint.latent_dim})"
            raise UserError(
                f"the proposal draws z of shape {tuple(z.shape[1:])} instead of {expected}; make "
                "it for the same datapoints"
            )
        log_q = proposal.log_density(z)
        for block in _blocks(len(z), points, rows):
            value = (
                replace(joint, x=joint.x[:, block[1]]).value(_flat(z, block)).view_as(log_q[block])
            )
            log_weights[block[1], k + block[0].start : k + min(block[0].stop, len(z))] = _numpy(
                value - log_q[block]
            ).T
        if progress:
            progress(min(k + height, draws), draws)
    bad = ~np.isfinite(log_weights).all(1)
    if bad.any():
        raise UserError(
            f"importance weights are not finite for {_which(bad)}; check the model and take "
            "another proposal"
        )
    value, weights = _log_mean_exp(log_weights)
    # psislw takes log likelihoods, of which importance weights are the inverse, and no ties: hence
    # the signs and the slight slope
    slope = np.linspace(0, 1e-10, draws)
    k_hat = np.full(points, np.nan)
    if draws >= KHAT_DRAWS:
        k_hat = np.asarray(
            array_stats.psislw(log_weights.max(1, keepdims=True) - log_weights + slope, axis=1)[1]
        )
    return Estimate(
        value,
        weights.std(1, ddof=1) / draws**0.5,
        {"ess": draws / (weights**2).mean(1), "k_hat": k_hat},
    )


# Annealed importance sampling


def sigmoidal_schedule(steps: int, spread: float = 4.0) -> np.ndarray:
    """Temperatures 0 = b_0 < ... < b_steps = 1, a sigmoid over [-spread, spread] rescaled: fine
    steps at both ends, where the distribution changes fastest (Grosse, Ghahramani & Adams 2015).
    (steps + 1,)."""
    s = 1 / (1 + np.exp(-np.linspace(-spread, spread, steps + 1)))
    return (s - s[0]) / (s[-1] - s[0])


@torch.no_grad()
def annealed(
    joint,
    generator: np.random.Generator,
    temperatures: int | np.ndarray,
    chains: int,
    leapfrog: int,
    acceptance: float,
    backward_from: Tensor | None = None,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Estimate:
    """Annealed importance sampling (Neal 2001) from the prior to the posterior through p(z)
    p(x|z)^b, one HMC transition at each temperature b.

    `temperatures` is a number of steps (sigmoidal_schedule) or an increasing array from 0 to 1.
    Step sizes, one for each temperature and datapoint, are adapted to `acceptance` along a pilot
    path of one chain and then fixed for the `chains` that count: no weight depends on the
    acceptance of its own path, so that exp(value) is unbiased exactly, and the value on average a
    lower bound of log p(x).

    With `backward_from` (N, N_z), exact samples of p(z|x), as simulated data have (z ~ p(z), x ~
    p(x|z)), the chains go from the posterior to the prior, and the value is on average an upper
    bound (bidirectional Monte Carlo: Grosse et al. 2015).

    Standard error by the delta method over chains; backward, the chains share their start, so it is
    too small. Diagnostics: ess of the weights; acceptance, the mean.
    """
    _check(joint)
    for name, number, least in (("chains", chains, 2), ("leapfrog", leapfrog, 1)):
        _at_least(name, number, least)
    if not 0 < acceptance < 1:
        raise UserError(f"acceptance is {acceptance}; it must lie between 0 and 1")
    if np.ndim(temperatures) == 0:
        _at_least("temperatures", int(temperatures), 2)
        temperatures = sigmoidal_schedule(int(temperatures))
    schedule = np.asarray(temperatures, np.float64)
    if (
        schedule.ndim != 1
        or len(schedule) < 3
        or schedule[0] != 0
        or schedule[-1] != 1
        or not (np.diff(schedule) > 0).all()
    ):
        raise UserError(
            "temperatures must be a number of steps, or at least three increasing values from 0 to "
            "1"
        )
    if backward_from is not None:
        backward_from = _check_latents("backward_from", backward_from, joint)

    points, inner = joint.x.shape[1], len(schedule) - 2
    total = 2 * inner
    z = _normal(generator, (1, points, joint.latent_dim), joint.x)
    start = np.full(points, 0.5)  # of the prior's standard deviation
    pilot = _anneal(
        joint,
        z,
        schedule,
        start,
        leapfrog,
        generator,
        memory_mb,
        progress and (lambda done: progress(done, total)),
        acceptance,
    )
    if backward_from is None:
        z, order, steps = (
            _normal(generator, (chains, points, joint.latent_dim), joint.x),
            schedule,
            pilot.step_sizes,
        )
    else:
        z, order, steps = (
            backward_from.expand(chains, -1, -1),
            schedule[::-1],
            pilot.step_sizes[::-1],
        )
    path = _anneal(
        joint,
        z,
        order,
        steps,
        leapfrog,
        generator,
        memory_mb,
        progress and (lambda done: progress(inner + done, total)),
    )
    bad = ~np.isfinite(path.log_weights).all(1)
    if bad.any():
        raise UserError(
            f"annealed weights are not finite for {_which(bad)}; check the model, or raise the "
            "target acceptance"
        )
    # Backward, the weights are those of 1 / p(x)
    log_mean, weights = _log_mean_exp(path.log_weights)
    value = log_mean if backward_from is None else -log_mean
    diagnostics = {"ess": chains / (weights**2).mean(1), "acceptance": path.acceptance}
    return Estimate(value, weights.std(1, ddof=1) / chains**0.5, diagnostics)


class _Path(NamedTuple):
    log_weights: np.ndarray  # (N, K)
    acceptance: np.ndarray  # (N,)
    step_sizes: np.ndarray  # (T - 1, N), at the inner temperatures in the order of the path


def _anneal(
    joint, z, schedule, step_sizes, leapfrog, generator, memory_mb, progress, adapt_to=None
) -> _Path:
    """Chains z (K, N, N_z) along `schedule` (T + 1,): sum of (b_t - b_{t-1}) log p(x|z), a
    transition at each inner b_t.

    `step_sizes` (T - 1, N) are used as they are. With a target acceptance `adapt_to` they are (N,),
    those of the first temperature, and the next ones follow from the acceptance so far, with a gain
    that suits one chain's noise.
    """
    draws, points = z.shape[:2]
    blocks = list(_blocks(draws, points, _rows(joint, memory_mb)))
    z = z.clone()
    likelihood, slope = (
        z.new_empty(draws, points),
        torch.empty_like(z),
    )  # log p(x|z) and its gradient
    for block in blocks:
        rows = _flat(z, block)
        state = hmc.initial(replace(joint, x=joint.x[:, block[1]], temperature=1.0), rows)
        likelihood[block] = (state.value - densities.log_prior(rows)).view_as(likelihood[block])
        slope[block] = (state.gradient + rows).view_as(slope[block])
    log_weights = np.zeros((draws, points))
    acceptance = np.zeros(points)
    used = []
    for t in range(1, len(schedule)):
        log_weights += (schedule[t] - schedule[t - 1]) * _numpy(likelihood)
        if t == len(schedule) - 1:
            break
        temperature = float(schedule[t])
        step = step_sizes if adapt_to is not None else step_sizes[t - 1]
        step_tensor = (
            torch.from_numpy(np.ascontiguousarray(step))
            .to(z)
            .view(1, points, 1)
            .expand(draws, -1, -1)
        )
        momentum = _normal(generator, tuple(z.shape), z)
        uniform = torch.from_numpy(generator.random((draws, points), dtype=np.float32)).to(z)
        probability = z.new_empty(draws, points)
        for block in blocks:
            rows = _flat(z, block)
            old = hmc.State(
                rows,
                densities.log_prior(rows) + temperature * _flat(likelihood, block),
                temperature * _flat(slope, block) - rows,
            )
            target = replace(joint, x=joint.x[:, block[1]], temperature=temperature)
            new, info = hmc.transition(
                target,
                old,
                _flat(momentum, block),
                _flat(uniform, block),
                _flat(step_tensor, block),
                leapfrog,
            )
            # Where nothing moved the old numbers stay: no rounding builds up
            moved = info.accepted.view_as(likelihood[block])
            z[block] = new.z.view_as(z[block])
            now = ((new.value - densities.log_prior(new.z)) / temperature).view_as(
                likelihood[block]
            )
            likelihood[block] = torch.where(moved, now, likelihood[block])
            now = ((new.gradient + new.z) / temperature).view_as(slope[block])
            slope[block] = torch.where(moved.unsqueeze(-1), now, slope[block])
            probability[block] = info.acceptance.view_as(probability[block])
        mean = _numpy(probability).mean(0)
        acceptance += mean / (len(schedule) - 2)
        used.append(step)
        if adapt_to is not None:
            step_sizes = step * np.exp(0.2 * (mean - adapt_to))
        if progress:
            progress(t)
    return _Path(log_weights.T, acceptance, np.stack(used))


# Quadrature

COARSE = {1: 0.01, 2: 0.05, 3: 0.2}  # spacing of the lattice that is searched for modes
EXTENT = 5.0  # its half-width
SEEDS = 12  # local maxima of that lattice to climb from, and hints
PROPOSED = (
    6  # local maxima on a lattice half as fine again, around which importance samples are proposed
)
# nats below the mode at which a posterior is cut: mass 1e-7 of a Gaussian in three dimensions
DEPTH = 18.0
# of the first lattice, in posterior standard deviations: trapezoid error 2 exp(-2 pi^2 / 1.25^2) =
# 7e-6
SPACING = 1.25
HALVINGS = 4
NODE_BYTES = 200  # a node of a lattice, with temporaries


@torch.no_grad()
def quadrature(
    joint,
    hints: Tensor | None = None,
    tolerance: float = 1e-3,
    memory_mb: float = 500,
    progress: Progress | None = None,
) -> Estimate:
    """log p(x) = log of the integral of p(x, z) over z in one to three dimensions, by the trapezoid
    rule: its error falls exponentially with the inverse of the spacing once that is below the
    posterior's standard deviation.

    1. p(x, z) of all datapoints on a coarse lattice over [-5, 5]^d; Newton's method climbs from
       each datapoint's highest local maxima, and from `hints`, (N, N_z) or (S, N, N_z), such as
       posterior samples (at most 12 of S, evenly spaced).
    2. A lattice for each datapoint, with axes and spacings from the curvature at its modes. From
       the modes and hints it grows along neighbours until all of its border lies 18 nats below the
       highest node, whatever the shape of the posterior.
    3. The same lattice shifted by half a step in every dimension. The two sums err in opposite
       directions; where they differ by more than `tolerance`, the spacing is halved.

    A mode that is found neither from the coarse lattice nor from a hint, nor joined to a mode above
    that depth, is missed. Diagnostics: discretisation, the difference between the two lattices
    (their mean, the value, is much better), nats; truncation, the share of the sum that lies on the
    border; nodes; modes. Raises UserError for more than three dimensions.
    """
    _check(joint)
    points, dim = joint.x.shape[1], joint.latent_dim
    if dim not in COARSE:
        raise UserError(
            f"quadrature works for 1 to 3 latent dimensions, not {dim}; use importance or annealed "
            "importance sampling"
        )
    if hints is None:
        hints = joint.x.new_empty(0, points, dim)
    hints = _check_latents(
        "hints", hints if hints.ndim == 3 else hints.unsqueeze(0), joint, leading=2
    )
    axis = torch.linspace(-EXTENT, EXTENT, round(2 * EXTENT / COARSE[dim]) + 1).to(joint.x)
    width = min(
        points,
        int(memory_mb * 2**20 / (3 * 4 * len(axis) ** dim)),
        int(memory_mb * 2**20 / (NODE_BYTES * 4000)),
    )
    if width < 1:
        raise UserError(
            f"memory_mb = {memory_mb:g} does not hold the lattice of one datapoint; give at least "
            f"{ceil(12e-6 * len(axis) ** dim)}"
        )
    results = []
    for start in range(0, points, width):
        part = replace(joint, x=joint.x[:, start : start + width])
        modes = _modes(part, axis, hints[:, start : start + width], memory_mb)
        results.append(
            _integrate(part, modes, hints[:, start : start + width], tolerance, memory_mb, start)
        )
        if progress:
            progress(min(start + width, points), points)
    value, discretisation, truncation, nodes, modes = (
        np.concatenate(a) for a in zip(*results, strict=True)
    )
    diagnostics = {
        "discretisation": discretisation,
        "truncation": truncation,
        "nodes": nodes,
        "modes": modes,
    }
    return Estimate(value, np.zeros(points), diagnostics)


class _Modes(NamedTuple):
    """Local maxima of the log joint, of all datapoints in one list."""

    point: np.ndarray  # (M,), number of the datapoint
    z: np.ndarray  # (M, d)
    value: np.ndarray  # (M,)
    precision: np.ndarray  # (M, d, d), minus the Hessian, made positive definite


def _at(joint, what: str, point: Tensor, z: Tensor, memory_mb: float):
    """joint.<what> at z (M, d) for the datapoints `point` (M,)."""
    parts = []
    for index, rows in zip(
        point.split(_rows(joint, memory_mb)), z.split(_rows(joint, memory_mb)), strict=True
    ):
        found = getattr(replace(joint, x=joint.x[:, index]), what)(rows.unsqueeze(0))
        parts.append(found if isinstance(found, tuple) else (found,))
    parts = tuple(torch.cat([part[0] for part in column]) for column in zip(*parts, strict=True))
    return parts if len(parts) > 1 else parts[0]


def _peaks(joint, axis: Tensor, memory_mb: float, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes (G, d) of a lattice with that `axis`; numbers and values (N, number) of the highest
    local maxima of the log joint on it, with values of -inf where there are fewer."""
    points, dim = joint.x.shape[1], joint.latent_dim
    nodes = torch.cartesian_prod(*[axis] * dim).view(-1, dim)
    values = (
        shared_log_likelihood(joint, nodes, memory_mb)
        .mul_(joint.temperature)
        .add_(densities.log_prior(nodes))
    )
    if not torch.isfinite(values).all():
        bad = _numpy(~torch.isfinite(values).all(1)).astype(bool)
        raise UserError(
            f"log p(x, z) is not finite for {_which(bad)}; check that the model has not diverged"
        )
    peaks = values.masked_fill(
        _highest_nearby(values.view(points, *[len(axis)] * dim)).view_as(values) > values,
        -torch.inf,
    )
    found, where = peaks.topk(min(number, len(nodes)), 1)
    return nodes, where, found


def _modes(joint, axis: Tensor, hints: Tensor, memory_mb: float) -> _Modes:
    points, dim = joint.x.shape[1], joint.latent_dim
    nodes, where, found = _peaks(joint, axis, memory_mb, SEEDS)
    point = (
        torch.arange(points, device=where.device)
        .unsqueeze(1)
        .expand_as(where)[torch.isfinite(found)]
    )
    z = nodes[where[torch.isfinite(found)]]
    if len(hints) > SEEDS:
        hints = hints[torch.linspace(0, len(hints) - 1, SEEDS).long()]
    point = torch.cat([point, torch.arange(points, device=point.device).repeat(len(hints))])
    return _climb(joint, point, torch.cat([z, hints.reshape(-1, dim)]), memory_mb)


def _highest_nearby(a: Tensor) -> Tensor:
    """Maximum over each node and its neighbours on a lattice (N, G, ...), one axis after the
    other."""
    for axis in range(1, a.ndim):
        wider = a.clone()
        for here, there in ((1, 0), (0, 1)):
            part = wider.narrow(axis, here, a.shape[axis] - 1)
            part.copy_(torch.maximum(part, a.narrow(axis, there, a.shape[axis] - 1)))
        a = wider
    return a


def _climb(joint, point: Tensor, z: Tensor, memory_mb: float, iterations: int = 40) -> _Modes:
    """Newton's method on the log joint, with the Hessian's eigenvalues made negative and a trust
    radius."""
    dim = z.shape[1]
    difference = 5e-3 if z.dtype == torch.float32 else 1e-4
    value, gradient = _at(joint, "value_and_gradient", point, z, memory_mb)
    precision = torch.eye(dim).to(z).repeat(len(z), 1, 1)
    radius = torch.full_like(value, 0.25)
    active = torch.arange(len(z), device=z.device)
    for _ in range(iterations):
        p, at, g = point[active], z[active], gradient[active]
        columns = [
            (g - _at(joint, "gradient", p, at + difference * e, memory_mb)) / difference
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
        new_value, new_gradient = _at(joint, "value_and_gradient", p, at + step, memory_mb)
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
        # Within 0.1 standard deviations of the top, which is all that a lattice needs; or stuck in
        # rounding errors
        active = active[(gain > 0.01) & (radius[active] > 1e-4)]
        if not len(active):
            break
    return _Modes(point.cpu().numpy(), _numpy(z), _numpy(value), _numpy(precision))


def _integrate(
    joint, modes: _Modes, hints: Tensor, tolerance: float, memory_mb: float, first: int
) -> tuple[np.ndarray, ...]:
    """Value, discretisation, truncation, nodes and modes of each datapoint, (N,) each; `first`
    is the number of the first."""
    points, dim = joint.x.shape[1], joint.latent_dim
    best = np.full(points, -np.inf)
    np.maximum.at(best, modes.point, modes.value)
    tall = modes.value > best[modes.point] - DEPTH
    modes = _Modes(*(a[tall] for a in modes))
    # One frame resolves all modes of a datapoint: its precision is the sum over its distinct modes
    order = np.lexsort((-modes.value, modes.point))
    modes = _Modes(*(a[order] for a in modes))
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
    values, vectors = np.linalg.eigh(precision)
    frame = SPACING * vectors / np.sqrt(values)[:, None, :]
    seed_point = np.concatenate([modes.point, np.tile(np.arange(points), len(hints))])
    seed_z = np.concatenate([modes.z, _numpy(hints).reshape(-1, dim)])

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
    """Log of the lattice sum times the cell's volume, share on the border, and number of nodes,
    for the datapoints `todo`."""
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
    """As _lattices; None if the nodes do not fit the memory. A node is an int64: its row in
    `todo`, then 16 bits a coordinate."""
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
        found = _numpy(_at(joint, "value", index, torch.from_numpy(z).to(joint.x), memory_mb))
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
