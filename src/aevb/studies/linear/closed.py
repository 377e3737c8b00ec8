"""What is known exactly of the linear-Gaussian model, probabilistic PCA (Tipping and Bishop 1999):

    z ~ N(0, I),  x = W z + mu + sigma eps,  eps ~ N(0, I)

of q = N_z latent variables and D pixels. Data enter by their mean and covariance alone. All values
are in nats, and means over the datapoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import linalg

from ...core.errors import UserError

#: a variance below so many times the largest one is taken as 0: it is rounding
ZERO = 1e-10


class Moments(NamedTuple):
    """What the model sees of n datapoints."""

    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D), divided by n (T&B eq. 5)
    n: int


class Model(NamedTuple):
    """Parameters of p(x, z)."""

    w: np.ndarray  # W, (D, q)
    mean: np.ndarray  # mu, (D,)
    variance: float  # sigma^2


class Recognition(NamedTuple):
    """q(z|x) = N(a^T x + b, covariance), a linear encoder."""

    a: np.ndarray  # (D, q)
    b: np.ndarray  # (q,)
    covariance: np.ndarray  # (q, q)


def moments(x: np.ndarray, latent_dim: int, what: str) -> Moments:
    """The moments of x (n, D), which messages call `what`.

    Raises UserError where a model with `latent_dim` latent variables has no maximum likelihood: too
    few datapoints, a constant pixel, or a covariance of rank N_z or less, so that sigma^2 = 0 and
    the density has no upper limit.
    """
    n, d = x.shape
    if latent_dim >= d:
        raise UserError(f"N_z = {latent_dim} of {what} must be less than its {d} pixels")
    if n < latent_dim + 2:
        raise UserError(
            f"{n} datapoints of {what} are too few for N_z = {latent_dim}; give at least "
            f"{latent_dim + 2}"
        )
    if constant := int((np.ptp(x, axis=0) == 0).sum()):
        raise UserError(
            f"{constant} of {d} pixels of {what} are the same in every datapoint; set "
            "dequantise: true in the experiment, or leave them out"
        )
    centred = x - x.mean(0)
    found = Moments(x.mean(0), centred.T @ centred / n, n)
    values = linalg.eigvalsh(found.covariance)[::-1]
    if values[latent_dim] < ZERO * values[0]:
        rank = int((values >= ZERO * values[0]).sum())
        raise UserError(
            f"the covariance of {what} is singular, of rank {rank}, so that N_z = {latent_dim} "
            "leaves no noise; give a smaller N_z, or dequantise the data"
        )
    return found


def maximum_likelihood(data: Moments, latent_dim: int, variance: float | None = None) -> Model:
    """The best model (T&B eq. 7 and 8 with R = I): W has orthogonal columns, the strongest first.

    With sigma^2 = `variance` given, directions whose eigenvalue it exceeds get a column of zeros
    (Lucas et al. 2019).
    """
    values, vectors = linalg.eigh(data.covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    if variance is None:
        variance = float(values[latent_dim:].mean())
    lengths = np.sqrt(np.clip(values[:latent_dim] - variance, 0, None))
    return Model(vectors[:, :latent_dim] * lengths, data.mean, variance)


def rotated(model: Model, rotation: np.ndarray) -> Model:
    """The same density of x with other latent variables: W R for orthogonal R (q, q)."""
    return model._replace(w=model.w @ rotation)


def precision(model: Model) -> np.ndarray:
    """The inverse covariance of p(z|x), M / sigma^2 with M = W^T W + sigma^2 I (T&B eq. 6)."""
    return np.eye(model.w.shape[1]) + model.w.T @ model.w / model.variance


def posterior(model: Model) -> Recognition:
    """p(z|x) = N(M^-1 W^T (x - mu), sigma^2 M^-1) (T&B eq. 6)."""
    covariance = linalg.inv(precision(model))
    a = model.w @ covariance / model.variance
    return Recognition(a, -model.mean @ a, covariance)


def best_diagonal(model: Model) -> Recognition:
    """The encoder of diagonal covariance with the highest bound: the posterior's mean, and one over
    the diagonal of its precision."""
    return posterior(model)._replace(covariance=np.diag(1 / np.diag(precision(model))))


def log_density(model: Model, x: np.ndarray) -> np.ndarray:
    """log p(x) = log N(x; mu, W W^T + sigma^2 I) (T&B eq. 3) of x (n, D): (n,)."""
    d = len(model.mean)
    factor = linalg.cho_factor(model.w @ model.w.T + model.variance * np.eye(d), lower=True)
    residual = x - model.mean
    square = (residual * linalg.cho_solve(factor, residual.T).T).sum(1)
    log_det = 2 * np.log(np.diag(factor[0])).sum()
    return -0.5 * (d * np.log(2 * np.pi) + log_det + square)


def log_likelihood(model: Model, data: Moments) -> float:
    """Mean of log p(x) over the data (T&B eq. 4)."""
    d = len(model.mean)
    factor = linalg.cho_factor(model.w @ model.w.T + model.variance * np.eye(d), lower=True)
    off = data.mean - model.mean
    square = np.trace(linalg.cho_solve(factor, data.covariance + np.outer(off, off)))
    log_det = 2 * np.log(np.diag(factor[0])).sum()
    return -0.5 * (d * np.log(2 * np.pi) + log_det + square)


def bound(model: Model, q: Recognition, data: Moments) -> float:
    """The variational bound (eq. 3 of the paper), E_q[log p(x|z)] - KL(q(z|x) || p(z)), as the
    Gaussian integrals that it consists of."""
    d, latent_dim = model.w.shape
    spread = model.w @ q.covariance @ model.w.T
    rest = np.eye(d) - model.w @ q.a.T  # of x, once its reconstruction is subtracted
    off = rest @ data.mean - model.mean - model.w @ q.b
    square = np.trace(rest @ data.covariance @ rest.T) + off @ off + np.trace(spread)
    reconstruction = -0.5 * (d * np.log(2 * np.pi * model.variance) + square / model.variance)
    mean = q.a.T @ data.mean + q.b
    second = np.trace(q.a.T @ data.covariance @ q.a) + mean @ mean + np.trace(q.covariance)
    log_det = np.linalg.slogdet(q.covariance)[1]
    return reconstruction - 0.5 * (second - latent_dim - log_det)


def kl_to_posterior(model: Model, q: Recognition, data: Moments) -> float:
    """KL(q(z|x) || p(z|x)) in closed form: what the bound lacks of log p(x) (eq. 1)."""
    exact, inverse = posterior(model), precision(model)
    a, off = q.a - exact.a, (q.a - exact.a).T @ data.mean + q.b - exact.b
    square = np.trace(inverse @ a.T @ data.covariance @ a) + off @ inverse @ off
    log_dets = np.linalg.slogdet(inverse)[1] + np.linalg.slogdet(q.covariance)[1]
    return 0.5 * (square + np.trace(inverse @ q.covariance) - len(inverse) - log_dets)


def m_step(q: Recognition, data: Moments, variance: float | None = None) -> Model:
    """The model that maximises E_q[log p(x, z)] (T&B, appendix B), with mu at the data's mean.

    That is where mu stays if q was the posterior of a model with that mu. sigma^2 is estimated too,
    unless given.
    """
    cross = data.covariance @ q.a
    w = linalg.solve(q.covariance + q.a.T @ cross, cross.T, assume_a="pos").T
    if variance is None:
        variance = float(np.trace(data.covariance) - (w * cross).sum()) / len(w)
    return Model(w, data.mean, variance)


def em(
    start: Model, data: Moments, iterations: int, variance: float | None = None
) -> Iterator[tuple[Recognition, Model]]:
    """Exact EM from `start`: yields q(z|x) after each E step, the posterior, and the model after
    the M step that follows. `variance` as of `m_step`."""
    model = start
    for _ in range(iterations):
        q = posterior(model)
        model = m_step(q, data, variance)
        yield q, model


def free_parameters(d: int, latent_dim: int) -> int:
    """Parameters that the density of x tells apart: W up to a rotation, mu and sigma^2."""
    return d * latent_dim - latent_dim * (latent_dim - 1) // 2 + d + 1


def uncertainty(d: int, latent_dim: int, n: int) -> float:
    """How much of log p(x) per datapoint n datapoints cannot tell: P / (2 n) for P parameters.

    By Wilks' theorem 2 n (best log likelihood - that of the truth) has a chi-square distribution
    with P degrees of freedom, hence this mean.
    """
    return free_parameters(d, latent_dim) / (2 * n)


#: variance of a posterior mean over the data above which its direction is active, as of the
#: evaluations of all learners (column active_units of a run)
ACTIVE = 0.01


def active(q: Recognition, data: Moments) -> int:
    """Directions of z along which the mean of q(z|x) varies by more than ACTIVE.

    They are eigenvectors of its covariance over the data, so that no rotation of z matters.
    """
    return int((linalg.eigvalsh(q.a.T @ data.covariance @ q.a) > ACTIVE).sum())


def active_in_theory(data: Moments, latent_dim: int, variance: float) -> int:
    """The same at maximum likelihood with sigma^2 = `variance`: the posterior mean varies by
    1 - sigma^2 / lambda along a direction of eigenvalue lambda, if that is positive."""
    values = linalg.eigvalsh(data.covariance)[::-1][:latent_dim]
    return int((1 - variance / values > ACTIVE).sum())
