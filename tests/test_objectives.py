"""The densities and bounds of objectives.py against closed forms and against each other."""

import math

import pytest
import torch
from scipy import stats

from aevb.models import densities
from aevb.models.likelihoods import LIKELIHOODS


def test_kl_closed_form_against_monte_carlo():
    mean, log_variance = (
        torch.tensor([0.7, -1.2, 0.1]).double(),
        torch.tensor([-0.4, 0.3, -2.0]).double(),
    )
    z = (
        mean
        + torch.exp(0.5 * log_variance)
        * torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1)).double()
    )
    draws = densities.log_normal(z, mean, log_variance) - densities.log_prior(z)
    standard_error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - densities.kl_to_prior(mean, log_variance)) < 4 * standard_error
    assert standard_error < 0.01


def linear_gaussian(generator):
    """x = W z + noise of known variance: exact log p(x) and posterior (Bishop 2006, section
    12.2)."""
    w = torch.randn(6, 2, generator=generator).double()
    log_variance = torch.full((6,), -0.7).double()
    x = torch.randn(6, generator=generator).double()
    covariance = w @ w.T + torch.diag(torch.exp(log_variance))
    log_p = torch.distributions.MultivariateNormal(torch.zeros(6).double(), covariance).log_prob(x)
    precision = torch.eye(2).double() + w.T @ torch.diag(torch.exp(-log_variance)) @ w
    mean = torch.linalg.solve(precision, w.T @ (torch.exp(-log_variance) * x))
    return w, log_variance, x, log_p, mean, precision


def estimates(estimator, q_mean, q_log_variance, model, rotation, n=100_000):
    """n draws of the bound of a linear-Gaussian model whose posterior is diagonal after
    `rotation` of z."""
    w, log_variance, x, *_ = model
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(3)).double()
    z = q_mean + torch.exp(0.5 * q_log_variance) * noise
    reconstruction = densities.log_normal(x, (z @ rotation.T) @ w.T, log_variance)
    if estimator == "A":
        return (
            reconstruction
            + densities.log_prior(z)
            - densities.log_normal(z, q_mean, q_log_variance)
        )
    return reconstruction - densities.kl_to_prior(q_mean, q_log_variance)


@pytest.mark.parametrize("estimator", ["A", "B"])
def test_bound_is_exact_at_the_exact_posterior_and_below_elsewhere(estimator):
    model = linear_gaussian(torch.Generator().manual_seed(4))
    _, _, _, log_p, mean, precision = model
    eigenvalues, rotation = torch.linalg.eigh(
        precision
    )  # the prior N(0, I) does not change under rotation
    exact_mean, exact_log_variance = rotation.T @ mean, -torch.log(eigenvalues)
    draws = estimates(estimator, exact_mean, exact_log_variance, model, rotation)
    standard_error = draws.std() / math.sqrt(len(draws))
    if estimator == "A":  # log p(x, z) - log q(z|x) = log p(x) for every z
        assert draws == pytest.approx(torch.full_like(draws, log_p.item()).numpy(), abs=1e-9)
    else:
        assert abs(draws.mean() - log_p) < 4 * standard_error
    shift = torch.tensor([0.3, -0.2]).double()
    below = estimates(estimator, exact_mean + shift, exact_log_variance + 0.5, model, rotation)
    # KL(q || posterior) in closed form, between diagonal Gaussians
    gap = 0.5 * (math.exp(0.5) + shift**2 * eigenvalues - 1 - 0.5).sum()
    assert abs(below.mean() + gap - log_p) < 4 * below.std() / math.sqrt(len(below))


def test_estimators_a_and_b_agree_in_expectation():
    model = linear_gaussian(torch.Generator().manual_seed(5))
    q = torch.tensor([0.2, -0.1]).double(), torch.tensor([-0.5, 0.4]).double()
    a, b = (estimates(estimator, *q, model, torch.eye(2).double()) for estimator in "AB")
    difference = a - b
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(len(a))
    assert difference.std() > 0.1  # but not draw by draw


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_bound_function_combines_its_parts(likelihood):
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(4, 3, generator=generator).double()
    decoded = torch.randn(4, 3 if likelihood == "bernoulli" else 6, generator=generator).double()
    mean, log_variance, z = (torch.randn(4, 2, generator=generator).double() for _ in range(3))
    reconstruction = LIKELIHOODS[likelihood].log_density(x, decoded)
    a = densities.bound(x, z, decoded, mean, log_variance, likelihood, "A")
    b = densities.bound(x, z, decoded, mean, log_variance, likelihood, "B")
    q = stats.norm.logpdf(z, mean, torch.exp(0.5 * log_variance)).sum(-1)
    assert a.numpy() == pytest.approx(reconstruction.numpy() + stats.norm.logpdf(z).sum(-1) - q)
    assert b.numpy() == pytest.approx(
        (reconstruction - densities.kl_to_prior(mean, log_variance)).numpy()
    )
