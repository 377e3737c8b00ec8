"""The paper's estimator of log p(x), appendix D: the reciprocal of a mean over samples."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from .chains import Samples, effective_size, enough_for_covariance, split_rhat, whitening
from .common import Estimate, as_numpy, log_mean_exp, no_grad
from .estimator import Estimator, Task

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


def _kernel_terms(fit: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Half the squared Mahalanobis distances (N, T, S) from `at` (N, T, d) to `fit` (N, S, d).

    Then log det W and degenerate, as of `whitening`.
    """
    mean, w, log_det, degenerate = whitening(fit)
    distance = torch.cdist(
        (at - mean) @ w.mT, (fit - mean) @ w.mT, compute_mode="donot_use_mm_for_euclid_dist"
    )
    return 0.5 * distance.square(), log_det, degenerate


def _kernel_density(half_squares: Tensor, log_det: Tensor, factor: Tensor, dim: int) -> Tensor:
    """Log of the Gaussian KDE with bandwidth `factor` (N,), as scipy.stats.gaussian_kde defines it:
    (N, T)."""
    scale = factor.view(-1, 1)
    normaliser = (
        log_det.view(-1, 1)
        - dim * scale.log()
        - 0.5 * dim * log(2 * pi)
        - log(half_squares.shape[2])
    )
    return torch.logsumexp(-half_squares / scale.unsqueeze(2) ** 2, 2) + normaliser


def kernel_density(fit: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log density (N, T) at `at` (N, T, d) of a Gaussian KDE of `fit` (N, S, d).

    Its kernel has the full sample covariance times factor^2. Then come the factor (N,) and whether
    a covariance was degenerate (N,).

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


def _gaussian_density(fit: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    samples, dim = fit.shape[1:]
    mean, w, log_det, degenerate = whitening(fit, enough_for_covariance(samples, dim))
    distance = ((at - mean) @ w.mT).square().sum(2)
    return (
        -0.5 * (distance + dim * log(2 * pi)) + log_det.unsqueeze(1),
        fit.new_ones(len(fit)),
        degenerate,
    )


@no_grad
def reciprocal(samples: Samples, density: str = "kde", memory_mb: float = 500) -> Estimate:
    """Appendix D: log p(x) ~ -log mean_l q(z_l) / p(x, z_l), z_l ~ p(z|x).

    q is fitted to the first half of the samples, and the mean is over the second half. `density` q:
    "kde" (author's code, see kernel_density) or "gaussian" (full covariance from 4 N_z samples on,
    else diagonal). Where q reaches beyond the samples in the second half, the mean misses weights
    and log p(x) comes out too high.

    The standard error does not contain that bias. It is that of the reciprocal weights, by the
    delta method and the effective sample size of their chain, times a factor for the noise of the
    fit, which is common to the datapoints: with the halves exchanged the estimate is another, all
    but independent one, so that half the mean squared difference is its variance. From few
    datapoints that factor is a rough one.

    Diagnostics: ess and rhat, the worst over log p(x, z) and the coordinates of z; weight_ess;
    acceptance; bandwidth (the factor; 1 for "gaussian"); degenerate (1 if a covariance was singular
    and its smallest eigenvalues were raised). Raises UserError with fewer than 8 samples, or an
    unknown density.
    """
    total = len(samples.z)
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
    log_joint = as_numpy(samples.log_joint)
    log_mean, weights, factor, degenerate = _weigh(fitted, samples.z, log_joint, half, step)
    exchanged = torch.cat([samples.z[half:], samples.z[:half]])
    log_joint = np.concatenate([log_joint[half:], log_joint[:half]])
    other, *_ = _weigh(fitted, exchanged, log_joint, total - half, step)
    weight_ess = effective_size(weights)
    # The chain's first half has chosen q, so that these are weights of a fixed q. An ess above the
    # number of draws (antithetic chains) is real, but estimated too roughly to be counted on.
    error = weights.std(1, ddof=1) / np.sqrt(np.minimum(weight_ess, weights.shape[1]))
    both = ((log_mean - other) ** 2).mean() / 2
    error *= max(1.0, sqrt(both / (error**2).mean())) if error.any() else 1.0
    chains = np.concatenate(
        [as_numpy(samples.z).transpose(2, 1, 0), as_numpy(samples.log_joint).T[None]]
    )
    diagnostics = {
        "ess": np.min([effective_size(chain) for chain in chains], 0),
        "rhat": np.max([split_rhat(chain) for chain in chains], 0),
        "weight_ess": weight_ess,
        "acceptance": samples.info["acceptance"],
        "bandwidth": factor,
        "degenerate": degenerate,
    }
    return Estimate(-log_mean, error, diagnostics)


def _weigh(fitted, z: Tensor, log_joint: np.ndarray, half: int, step: int) -> tuple:
    """The mean of the reciprocal weights of the samples after `half`, under a density that is
    `fitted` to those before: log mean (N,), weights over their mean (N, S - half), and the
    density's factor and degenerate (N,). z (S, N, N_z) goes through `step` datapoints at a time."""
    parts = []
    for start in range(0, z.shape[1], step):
        part = z[:, start : start + step].double().transpose(0, 1)
        parts.append(fitted(part[:, :half].contiguous(), part[:, half:].contiguous()))
    log_q, factor, degenerate = (as_numpy(torch.cat(part)) for part in zip(*parts, strict=True))
    return *log_mean_exp(log_q - log_joint[half:].T), factor, degenerate


def hmc_kde(task: Task) -> Estimate:
    """Appendix D with the author's density, from the task's chain."""
    return reciprocal(task.samples, "kde", task.memory_mb)


def hmc_gaussian(task: Task) -> Estimate:
    """Appendix D with a Gaussian as the density, from the task's chain."""
    return reciprocal(task.samples, "gaussian", task.memory_mb)


def _none(leapfrog: int) -> float:
    """The gradients per sample beyond the chain's."""
    return 0.0


_SHARED = {"needs_chain": True, "gradients": _none, "shares_noise": True, "order": 1}
ESTIMATORS = (
    Estimator(
        key="hmc_kde",
        label="HMC, kernel density (the paper's)",
        estimate=hmc_kde,
        colour="#000000",
        marker="o",
        **_SHARED,
    ),
    Estimator(
        key="hmc_gaussian",
        label="HMC, Gaussian",
        estimate=hmc_gaussian,
        colour="#D55E00",
        marker="D",
        **_SHARED,
    ),
)
