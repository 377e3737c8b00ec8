"""Estimators of log p(x): against a model whose log p(x) is known, against each other, and their
errors and messages."""

from dataclasses import dataclass, replace
from math import log, pi

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from aevb.core.errors import UserError
from aevb.marginal.annealed import annealed, sigmoidal_schedule
from aevb.marginal.chains import Samples, posterior_samples, prior_start
from aevb.marginal.common import rows_at_once, shared_log_likelihood
from aevb.marginal.importance import importance, refined
from aevb.marginal.modes import COARSE, from_modes
from aevb.marginal.proposals import (
    DiagonalGaussian,
    StudentT,
    from_encoder,
    from_samples,
    from_weighted,
)
from aevb.marginal.quadrature import quadrature
from aevb.marginal.reciprocal import kernel_density, reciprocal
from aevb.models import densities, nets
from aevb.models.joint import Joint


@dataclass(frozen=True)
class LinearGaussian:
    """x ~ N(z W + b, sigma^2 I), z ~ N(0, I), with the interface of Joint."""

    weight: Tensor  # (N_z, D)
    bias: Tensor  # (D,)
    sigma: float
    x: Tensor  # (1, N, D)
    temperature: float = 1.0

    @property
    def latent_dim(self):
        return len(self.weight)

    def _residual(self, z):
        mean = (z @ self.weight + self.bias).view(1, -1, *self.x.shape[1:])
        return (self.x.unsqueeze(1) - mean) / self.sigma

    def log_likelihood(self, z):
        return (
            (-0.5 * self._residual(z) ** 2 - 0.5 * log(2 * pi * self.sigma**2))
            .sum(-1)
            .flatten(1, 2)
        )

    def value(self, z):
        return densities.log_prior(z) + self.temperature * self.log_likelihood(z)

    def gradient(self, z):
        return self.temperature * (self._residual(z) / self.sigma @ self.weight.T).flatten(1, 2) - z

    def value_and_gradient(self, z):
        return self.value(z), self.gradient(z)

    def truth(self):
        covariance = self.weight.T @ self.weight + self.sigma**2 * torch.eye(
            len(self.bias), dtype=self.x.dtype
        )
        return (
            torch.distributions.MultivariateNormal(self.bias, covariance)
            .log_prob(self.x[0])
            .numpy()
        )


@dataclass(frozen=True)
class Mixture:
    """A likelihood of two narrow bumps in z, the same for all datapoints: `heights` are log
    masses of N(m, sd^2)."""

    means: Tensor  # (2, d)
    sd: Tensor  # (2,)
    heights: Tensor  # (2,)
    x: Tensor
    temperature: float = 1.0

    @property
    def latent_dim(self):
        return self.means.shape[1]

    def log_likelihood(self, z):
        square = ((z.unsqueeze(-2) - self.means) ** 2).sum(-1) / self.sd**2
        constant = self.heights - self.latent_dim * (self.sd.log() + 0.5 * log(2 * pi))
        return torch.logsumexp(constant - 0.5 * square, -1) - 300

    def value(self, z):
        return densities.log_prior(z) + self.temperature * self.log_likelihood(z)

    def value_and_gradient(self, z):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self.value(z)
            return value.detach(), torch.autograd.grad(value.sum(), z)[0]

    def gradient(self, z):
        return self.value_and_gradient(z)[1]

    def truth(self):
        scale = torch.sqrt(1 + self.sd**2).unsqueeze(1)
        mass = (
            torch.distributions.Normal(torch.zeros_like(self.means), scale.expand_as(self.means))
            .log_prob(self.means)
            .sum(1)
        )
        return torch.logsumexp(self.heights + mass, 0).item() - 300


def linear(latent_dim, pixels=6, number=5, sigma=0.5, seed=0, dtype=torch.float64):
    """A model, and the z that its datapoints were drawn with."""
    generator = np.random.default_rng(seed)
    weight, bias = (
        generator.standard_normal((latent_dim, pixels)) / latent_dim**0.5,
        generator.standard_normal(pixels),
    )
    z = generator.standard_normal((number, latent_dim))
    x = z @ weight + bias + sigma * generator.standard_normal((number, pixels))
    tensors = [torch.from_numpy(a).to(dtype) for a in (weight, bias, x[None], z)]
    return LinearGaussian(tensors[0], tensors[1], sigma, tensors[2]), tensors[3]


def network(
    likelihood="bernoulli",
    latent_dim=2,
    pixels=40,
    number=10,
    scale=1.0,
    hidden=20,
    seed=0,
    dtype=torch.float32,
):
    """A random decoder with data drawn from it, and their z."""
    generator = np.random.default_rng(seed)
    layout = nets.Layout(pixels, hidden, latent_dim, likelihood)
    flat = scale * generator.standard_normal((1, layout.n_parameters))
    parameters = layout.view(torch.from_numpy(flat).to(dtype))
    if likelihood == "gaussian":
        parameters["decoder.output.weight"] *= 0.3
        parameters["decoder.output.bias"][..., pixels:] -= 2
    z = torch.from_numpy(generator.standard_normal((1, number, latent_dim))).to(dtype)
    decoded = nets.decode(z, parameters)
    if likelihood == "bernoulli":
        x = (torch.from_numpy(generator.random((1, number, pixels))) < torch.sigmoid(decoded)).to(
            dtype
        )
    else:
        logits, log_variance = decoded.chunk(2, dim=-1)
        x = torch.sigmoid(logits) + torch.exp(0.5 * log_variance) * torch.from_numpy(
            generator.standard_normal(logits.shape)
        ).to(dtype)
    return Joint(parameters, x, likelihood), z[0]


def posterior(model, draws=200, warmup=100, seed=0, **options):
    generator = np.random.default_rng(seed)
    start = prior_start(model, generator, 1000)
    return posterior_samples(model, start, generator, draws, warmup, 4, 0.9, **options)


def exact(model, draws, seed=0):
    """Independent samples of the linear model's posterior."""
    precision = (
        torch.eye(model.latent_dim, dtype=model.x.dtype)
        + model.weight @ model.weight.T / model.sigma**2
    )
    mean = torch.linalg.solve(
        precision, model.weight @ ((model.x[0] - model.bias) / model.sigma**2).T
    ).T
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((draws, *mean.shape)))
    z = mean + noise @ torch.linalg.inv(torch.linalg.cholesky(precision))
    log_joint = torch.stack([model.value(one.unsqueeze(0))[0] for one in z])
    return Samples(z, log_joint, {"acceptance": np.ones(len(mean))})


def assert_within(estimate, truth, sigmas=4.5, largest=0.5):
    assert (
        estimate.value.dtype == np.float64
        and estimate.value.shape == estimate.standard_error.shape == truth.shape
    )
    assert all(value.shape == truth.shape for value in estimate.diagnostics.values())
    assert (estimate.standard_error > 0).all() and (estimate.standard_error < largest).all()
    assert (np.abs(estimate.value - truth) < sigmas * estimate.standard_error).all()


# Against log p(x)


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_quadrature_of_a_linear_model(latent_dim):
    for sigma in (0.5, 0.05):  # posterior sd down to 0.02
        model, _ = linear(latent_dim, sigma=sigma)
        estimate = quadrature(model)
        np.testing.assert_allclose(estimate.value, model.truth(), atol=1e-6)
        assert (estimate.standard_error == 0).all()
        assert (estimate.diagnostics["discretisation"] < 1e-3).all() and (
            estimate.diagnostics["truncation"] < 1e-6
        ).all()
        single = replace(
            model, weight=model.weight.float(), bias=model.bias.float(), x=model.x.float()
        )
        np.testing.assert_allclose(quadrature(single).value, model.truth(), atol=1e-3)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 8])
def test_importance_sampling_of_a_linear_model(latent_dim):
    model, _ = linear(latent_dim)
    generator = np.random.default_rng(1)
    for proposal in (
        from_samples(posterior(model)),
        DiagonalGaussian(*_wide(model)),
    ):
        estimate = importance(model, proposal, generator, 2000)
        assert_within(estimate, model.truth())
        assert ((estimate.diagnostics["ess"] > 1) & (estimate.diagnostics["ess"] <= 2000)).all()
    t = importance(model, from_samples(exact(model, 400)), generator, 2000)
    assert (t.diagnostics["k_hat"] < 0.5).all()


def _wide(model):
    """Mean and log-variance of a Gaussian wider than the posterior."""
    samples = exact(model, 500)
    return samples.z.mean(0), 2 * torch.log(1.5 * samples.z.std(0))


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 8])
def test_annealing_sandwiches_a_linear_model(latent_dim):
    model, z = linear(latent_dim, number=20)
    truth, generator = model.truth(), np.random.default_rng(2)
    lower = annealed(model, generator, 150, 20, 4, 0.8)
    upper = annealed(model, generator, 150, 20, 4, 0.8, backward_from=z)
    for estimate in (lower, upper):
        assert_within(estimate, truth, largest=1)
        assert (
            (estimate.diagnostics["acceptance"] > 0.4) & (estimate.diagnostics["acceptance"] < 1)
        ).all()
    error = np.hypot(lower.standard_error, upper.standard_error)
    assert (lower.value < truth + 4.5 * lower.standard_error).all() and (
        upper.value > truth - 4.5 * upper.standard_error
    ).all()
    assert (upper.value - lower.value).mean() > -4 * np.sqrt((error**2).sum()) / len(error)


def test_few_temperatures_leave_bounds_on_either_side():
    """Where annealing is far too quick, the two directions err by much, and in opposite ways."""
    model, z = linear(8, number=50, sigma=0.2, pixels=10)
    generator = np.random.default_rng(0)
    lower = annealed(model, generator, 10, 3, 2, 0.8)
    upper = annealed(model, generator, 10, 3, 2, 0.8, backward_from=z)
    assert (lower.value - model.truth()).mean() < -1 and (upper.value - model.truth()).mean() > 1


def test_annealing_is_unbiased():
    """The mean of the weights over many chains is p(x): few temperatures and short paths change
    its variance alone."""
    model, _ = linear(2, number=4)
    estimate = annealed(model, np.random.default_rng(5), np.array([0, 0.1, 0.4, 1]), 20_000, 2, 0.7)
    assert_within(estimate, model.truth(), largest=0.05)


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
@pytest.mark.parametrize("density", ["kde", "gaussian"])
def test_reciprocal_of_a_linear_model(latent_dim, density):
    model, _ = linear(latent_dim, number=8)
    samples = exact(model, 2000)
    estimate = reciprocal(samples, density)
    error = estimate.value - model.truth()
    assert (
        np.abs(error) < 5 * estimate.standard_error + 0.05
    ).all()  # the KDE's tails bias it a little
    assert (estimate.diagnostics["rhat"] < 1.02).all() and (
        estimate.diagnostics["ess"] > 1500
    ).all()
    assert (estimate.diagnostics["degenerate"] == 0).all()
    if density == "gaussian":
        assert (np.abs(error) < 4.5 * estimate.standard_error + 1e-3).all()


def test_hmc_samples_of_a_linear_model():
    model, _ = linear(3, number=200)
    samples = posterior(model, draws=100)
    reference = exact(model, 1)
    assert samples.z.shape == (100, 200, 3) and samples.log_joint.shape == (100, 200)
    torch.testing.assert_close(samples.log_joint[7], model.value(samples.z[7:8])[0])
    assert abs(samples.info["acceptance"].mean() - 0.9) < 0.04
    assert (
        set(samples.info) == {"acceptance", "energy_error", "divergences", "step_size"}
        and (samples.info["divergences"] == 0).all()
    )
    # Chains of different datapoints are independent: last states against independent draws
    difference = (samples.log_joint[-1] - reference.log_joint[0]).numpy()
    assert abs(difference.mean()) < 4 * difference.std() / 200**0.5
    whitened = samples.z[-1] - reference.z[0]
    assert (whitened.mean(0).abs() < 4 * whitened.std(0) / 200**0.5).all()
    error = reciprocal(samples, "gaussian").value - model.truth()
    assert abs(error.mean()) < 0.25 and error.std() < 0.7


def test_prior_start_resamples_by_the_likelihood():
    model, _ = linear(1, number=400, sigma=1.0)
    start = prior_start(model, np.random.default_rng(0), 20_000)
    reference = exact(model, 1).z[0]
    assert abs((start - reference).mean()) < 4 * (start - reference).std() / 20
    assert start.std().item() == pytest.approx(reference.std().item(), rel=0.15)


# Against each other, on networks


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_estimators_agree_on_networks(likelihood, latent_dim):
    model, z = network(likelihood, latent_dim)
    truth = quadrature(model).value
    generator = np.random.default_rng(0)
    prior = DiagonalGaussian(torch.zeros_like(z), torch.zeros_like(z))
    assert_within(
        importance(model, prior, generator, 100_000 if latent_dim == 3 else 20_000),
        truth,
        largest=0.2,
    )
    assert_within(annealed(model, generator, 150, 20, 4, 0.8), truth, largest=1)


def test_the_encoder_proposes():
    model, _ = network("gaussian", 2)
    proposal = from_encoder(model.parameters, model.x)
    mean, log_variance = nets.encode(model.x, model.parameters)
    z = proposal.sample(np.random.default_rng(0), 4)
    assert z.shape == (4, 10, 2)
    torch.testing.assert_close(proposal.log_density(z), densities.log_normal(z, mean, log_variance))


def test_density_and_draws_of_the_t_proposal():
    model, _ = linear(3, number=2)
    proposal = from_samples(exact(model, 300), inflation=1.0)
    z = proposal.sample(np.random.default_rng(0), 20_000)
    for n in range(2):
        reference = stats.multivariate_t(
            proposal.mean[0, n].numpy(), (proposal.root[0, n] @ proposal.root[0, n].T).numpy(), df=5
        )
        np.testing.assert_allclose(
            proposal.log_density(z[:5])[:, n], reference.logpdf(z[:5, n].numpy()), atol=1e-8
        )
        np.testing.assert_allclose(
            np.cov(z[:, n].numpy().T), 5 / 3 * reference.shape, rtol=0.2, atol=0.01
        )


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_shared_likelihood_is_the_likelihood(likelihood):
    model, z = network(likelihood, 3)
    shared = shared_log_likelihood(model, z[:7])
    rows = model.log_likelihood(z[:7].repeat_interleave(10, 0).unsqueeze(0)).view(7, 10).T
    torch.testing.assert_close(shared, rows, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(shared_log_likelihood(model, z[:7], memory_mb=0.02), shared)


# Quadrature of difficult posteriors


@pytest.mark.parametrize(("latent_dim", "sd"), [(1, 0.001), (2, 0.01), (3, 0.03), (3, 0.3)])
def test_quadrature_of_two_modes(latent_dim, sd):
    """Narrow bumps of different widths, far apart and off the coarse lattice; each carries part
    of the mass."""
    means = torch.tensor([[0.613, -1.281, 0.377], [-1.713, 0.909, 1.093]], dtype=torch.float64)[
        :, :latent_dim
    ]
    widths = torch.tensor([sd, 1.7 * sd], dtype=torch.float64)
    for heights in ([0.0, 0.0], [0.0, 4.0]):
        model = Mixture(
            means,
            widths,
            torch.tensor(heights, dtype=torch.float64),
            torch.zeros(1, 2, 3, dtype=torch.float64),
        )
        estimate = quadrature(model)
        np.testing.assert_allclose(estimate.value, model.truth(), atol=1e-3)
        assert (estimate.diagnostics["modes"] == 2).all()


def test_a_hint_leads_to_a_mode_that_the_coarse_lattice_misses():
    means = torch.tensor(
        [[0.0, 0.0, 0.0], [0.7, 0.9, 0.5]], dtype=torch.float64
    )  # the second amid a cell, in the first's tail
    model = Mixture(
        means,
        torch.tensor([0.25, 0.025]).double(),
        torch.tensor([0.0, 1.0]).double(),
        torch.zeros(1, 1, 3).double(),
    )
    assert quadrature(model).value[0] < model.truth() - 0.5
    for hints in (means[1:] + 0.005, torch.stack([means[1:] + 0.005, means[:1]])):
        np.testing.assert_allclose(quadrature(model, hints=hints).value, model.truth(), atol=1e-3)


def test_a_mode_beyond_the_coarse_lattice_is_found_from_its_border():
    means = torch.tensor([[0.5, 0.5, 0.5], [9.0, 0.0, 0.0]], dtype=torch.float64)
    model = Mixture(
        means,
        torch.full((2,), 0.2).double(),
        torch.tensor([0.0, 45.0]).double(),
        torch.zeros(1, 1, 3).double(),
    )
    np.testing.assert_allclose(quadrature(model).value, model.truth(), atol=1e-3)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_quadrature_of_networks_depends_on_neither_hints_nor_chunks_nor_the_lattice(
    likelihood, monkeypatch
):
    """Decoders with large weights: several modes, narrow and curved."""
    model, z = network(likelihood, 2, pixels=200, number=30, scale=2.0)
    plain = quadrature(model)
    hinted = quadrature(model, hints=torch.cat([z[None], posterior(model, draws=30).z]))
    np.testing.assert_allclose(plain.value, hinted.value, atol=1e-3)
    np.testing.assert_allclose(plain.value, quadrature(model, memory_mb=4).value, atol=1e-3)
    monkeypatch.setitem(COARSE, 2, 0.02)
    monkeypatch.setattr("aevb.marginal.quadrature.SPACING", 0.6)
    np.testing.assert_allclose(plain.value, quadrature(model).value, atol=1e-3)


def test_quadrature_against_a_plain_fine_grid():
    model, _ = network("bernoulli", 2, pixels=100, number=8, scale=1.5, dtype=torch.float64)
    axis = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    nodes = torch.cartesian_prod(axis, axis)
    total = torch.cat(
        [
            torch.logsumexp(shared_log_likelihood(model, part) + densities.log_prior(part), 1)[
                :, None
            ]
            for part in nodes.split(200_000)
        ],
        1,
    )
    np.testing.assert_allclose(
        quadrature(model).value,
        torch.logsumexp(total, 1).numpy() + 2 * log(0.01),
        atol=1e-4,
    )


# Pieces


def test_kernel_density_is_scipys():
    generator = np.random.default_rng(0)
    fit, at = (
        generator.standard_normal((3, 25, 2)) @ [[1, 0], [0.8, 0.3]],
        generator.standard_normal((3, 4, 2)),
    )
    found, factor, degenerate = kernel_density(torch.from_numpy(fit), torch.from_numpy(at))
    for n in range(3):
        factors = [stats.gaussian_kde(fit[n].T).factor * np.exp((i - 5) / 2) for i in range(10)]
        scores = [stats.gaussian_kde(fit[n, 12:].T, f).logpdf(fit[n, :12].T).sum() for f in factors]
        assert factor[n].item() == pytest.approx(factors[int(np.argmax(scores))])
        np.testing.assert_allclose(
            found[n], stats.gaussian_kde(fit[n].T, factor[n].item()).logpdf(at[n].T), rtol=1e-9
        )
    assert not degenerate.any()


def test_a_chain_that_hardly_moved_is_reported():
    samples = exact(linear(2)[0], 40)
    samples.z[:, 0] = samples.z[0, 0]
    samples.z[:, 1, 1] = samples.z[0, 1, 1]
    samples.log_joint[:, 0] = samples.log_joint[0, 0]
    for density in ("kde", "gaussian"):
        estimate = reciprocal(samples, density)
        assert estimate.diagnostics["degenerate"].tolist() == [1, 1, 0, 0, 0]
        assert np.isfinite(estimate.value).all() and np.isfinite(estimate.standard_error).all()
        assert np.isinf(estimate.diagnostics["rhat"][0])


def test_few_samples_of_many_dimensions_take_the_diagonal():
    model, _ = linear(8)
    estimate = reciprocal(exact(model, 20), "gaussian")
    assert (estimate.diagnostics["degenerate"] == 0).all() and np.isfinite(estimate.value).all()
    root = from_samples(exact(model, 20)).root
    assert (root @ root.mT * (1 - torch.eye(8))).abs().max() < 1e-12


def test_standard_errors_are_calibrated():
    """z-scores over 1,000 copies of a datapoint have variance one."""
    model, _ = linear(2, number=1)
    many = replace(model, x=model.x.expand(1, 1000, -1))
    proposal = DiagonalGaussian(*(a.expand(1000, -1) for a in _wide(model)))
    z = {
        "importance": importance(many, proposal, np.random.default_rng(0), 300),
        "annealed": annealed(many, np.random.default_rng(0), 60, 40, 3, 0.8),
        "reciprocal": reciprocal(exact(many, 400), "gaussian"),
    }
    for name, estimate in z.items():
        scores = (estimate.value - many.truth()) / estimate.standard_error
        assert 0.85 < scores.std() < 1.2, name
        assert abs(scores.mean()) < 0.35, name


@pytest.mark.parametrize("density", ["kde", "gaussian"])
@pytest.mark.parametrize("samples", [20, 50])
@pytest.mark.parametrize("latent_dim", [2, 3, 5])
def test_the_reciprocals_error_holds_the_noise_of_the_fit(latent_dim, samples, density):
    """Its spread over 1,000 copies of a datapoint, at the paper's 50 samples and at fewer."""
    model, _ = linear(latent_dim, number=1)
    many = replace(model, x=model.x.expand(1, 1000, -1))
    estimate = reciprocal(exact(many, samples), density)
    known = np.sqrt((estimate.standard_error**2).mean())
    assert 0.8 < estimate.value.std() / known < 1.2


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_weighted_draws_refine_a_proposal(latent_dim):
    """Of a linear model, from a mixture that is too wide and off: nearer to the posterior, and the
    estimate is the truth."""
    model, _ = linear(latent_dim)
    mean, log_variance = _wide(model)
    root = 3 * torch.diag_embed(torch.exp(0.5 * log_variance)).unsqueeze(0)
    wide = StudentT(mean.unsqueeze(0) + root.sum(-1) / 3, root, torch.ones_like(mean[None, :, 0]))
    generator = np.random.default_rng(2)
    better = refined(model, wide, generator, 400)
    before, after = (importance(model, one, generator, 400) for one in (wide, better))
    assert_within(after, model.truth())
    assert after.diagnostics["ess"].mean() > 2 * before.diagnostics["ess"].mean()
    np.testing.assert_allclose(better.share.sum(0), 1.0)


def test_equal_weights_fit_what_samples_fit():
    model, _ = linear(2)
    samples = posterior(model)
    plain, weighed = (
        from_samples(samples),
        from_weighted(samples.z, torch.ones_like(samples.log_joint)),
    )
    number = len(samples.z)  # from_samples divides by one less
    covariance = [p.root @ p.root.mT for p in (plain, weighed)]
    torch.testing.assert_close(covariance[0] * (number - 1) / number, covariance[1])
    torch.testing.assert_close(plain.mean, weighed.mean)


def test_k_hat_grows_with_the_tail_and_stands_ties():
    model, _ = linear(2, number=3)
    mean, log_variance = _wide(model)
    k_hat = [
        importance(
            model,
            DiagonalGaussian(mean, log_variance - shrink),
            np.random.default_rng(0),
            2000,
        ).diagnostics["k_hat"]
        for shrink in (0.0, 3.0)
    ]
    assert (k_hat[0] < 0).all() and (k_hat[1] > 0.5).all()
    flat = replace(
        model, weight=torch.zeros_like(model.weight)
    )  # the posterior is the prior: all weights are equal
    estimate = importance(flat, DiagonalGaussian(0 * mean, 0 * mean), np.random.default_rng(0), 100)
    assert (estimate.diagnostics["k_hat"] < 0.5).all()
    np.testing.assert_allclose(estimate.value, flat.truth())


def test_sigmoidal_schedule():
    schedule = sigmoidal_schedule(100)
    assert len(schedule) == 101 and schedule[0] == 0 and schedule[-1] == 1
    steps = np.diff(schedule)
    assert (steps > 0).all() and steps.argmax() in (49, 50)
    np.testing.assert_allclose(steps, steps[::-1])


# Reproducibility


def estimates(model, z, memory_mb=500.0):
    generator = np.random.default_rng(7)
    start = prior_start(model, generator, 200, memory_mb=memory_mb)
    samples = posterior_samples(model, start, generator, 20, 20, 3, 0.9, memory_mb=memory_mb)
    return [
        samples.z.numpy(),
        reciprocal(samples, memory_mb=memory_mb).value,
        importance(model, from_samples(samples), generator, 60, memory_mb=memory_mb).value,
        annealed(model, generator, 20, 7, 3, 0.8, memory_mb=memory_mb).value,
        annealed(model, generator, 20, 7, 3, 0.8, backward_from=z, memory_mb=memory_mb).value,
    ]


def test_same_seed_same_bits():
    model, z = network()
    for first, second in zip(estimates(model, z), estimates(model, z), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("memory_mb", [0.03, 0.2])  # blocks of 4 and 27 of the 10 datapoints' rows
def test_memory_limits_do_not_change_results(memory_mb):
    model, z = network(dtype=torch.float64)
    assert rows_at_once(model, memory_mb) in (4, 27)
    for whole, blocks in zip(estimates(model, z), estimates(model, z, memory_mb), strict=True):
        np.testing.assert_allclose(whole, blocks, rtol=1e-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same():
    model, z = network(dtype=torch.float64)
    there = replace(
        model, parameters={name: p.cuda() for name, p in model.parameters.items()}, x=model.x.cuda()
    )
    generator = np.random.default_rng(7)
    samples = posterior_samples(
        there, prior_start(there, generator, 200), generator, 20, 20, 3, 0.9
    )
    found = [
        samples.z.cpu().numpy(),
        reciprocal(samples).value,
        importance(there, from_samples(samples), generator, 60).value,
        annealed(there, generator, 20, 7, 3, 0.8).value,
        annealed(there, generator, 20, 7, 3, 0.8, backward_from=z.cuda()).value,
    ]
    for cpu, cuda in zip(estimates(model, z), found, strict=True):
        np.testing.assert_allclose(cpu, cuda, rtol=1e-6)
    np.testing.assert_allclose(
        quadrature(there, hints=samples.z).value,
        quadrature(model).value,
        atol=1e-4,
    )


def test_progress_reaches_the_end():
    model, _ = network()
    calls = []

    def progress(done, total):
        calls.append((done, total))

    samples = posterior(model, draws=10, warmup=5, progress=progress)
    assert calls == [(i, 15) for i in range(1, 16)]
    for run in (
        lambda: importance(
            model, from_samples(samples), np.random.default_rng(0), 30, progress=progress
        ),
        lambda: annealed(model, np.random.default_rng(0), 5, 2, 2, 0.8, progress=progress),
        lambda: quadrature(model, progress=progress),
    ):
        calls.clear()
        run()
        assert calls[-1][0] == calls[-1][1] and [done for done, _ in calls] == sorted(
            done for done, _ in calls
        )


# Messages


def sampling(model, z, **options):
    arguments = {"draws": 10, "warmup": 5, "leapfrog": 3, "acceptance": 0.9} | options
    return posterior_samples(model, z, np.random.default_rng(0), **arguments)


def annealing(model, z, **options):
    arguments = {"temperatures": 5, "chains": 2, "leapfrog": 2, "acceptance": 0.8} | options
    return annealed(model, np.random.default_rng(0), **arguments)


def weighing(model, z, draws=30, points=10):
    proposal = DiagonalGaussian(
        torch.zeros(points, model.latent_dim), torch.zeros(points, model.latent_dim)
    )
    return importance(model, proposal, np.random.default_rng(0), draws)


def diverged(model):
    return replace(model, parameters={name: p * torch.nan for name, p in model.parameters.items()})


def test_a_proposal_around_the_modes_covers_all_of_them():
    """Two far modes of unequal mass, of which a chain sees one: the mixture's estimate is the
    truth, the chain's half of it."""
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    model = Mixture(
        means,
        torch.tensor([0.05, 0.1]).double(),
        torch.tensor([0.0, -1.0]).double(),
        torch.zeros(1, 3, 2).double(),
    )
    truth = quadrature(model).value
    proposal = from_modes(model)
    estimate = importance(model, proposal, np.random.default_rng(0), 2000)
    assert (np.abs(estimate.value - truth) < 5 * estimate.standard_error + 1e-3).all() and (
        estimate.standard_error < 0.05
    ).all()
    np.testing.assert_allclose(proposal.share.sum(0), 1.0)
    z = proposal.sample(np.random.default_rng(1), 4000)
    assert 0.05 < (z[:, 0, 0] > 0).double().mean() < 0.95
    both = StudentT(proposal.mean[:1], proposal.root[:1], torch.ones(1, 3).double()) | proposal
    estimate = importance(model, both, np.random.default_rng(0), 2000)
    assert (np.abs(estimate.value - truth) < 5 * estimate.standard_error + 1e-3).all()


def test_hints_add_modes_and_take_none_away():
    """The hints know one of two far modes; the lattice still finds the other, and only what is a
    mode of its own comes first."""
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    model = Mixture(
        means,
        torch.tensor([0.05, 0.1]).double(),
        torch.tensor([0.0, -1.0]).double(),
        torch.zeros(1, 3, 2).double(),
    )
    proposal = from_modes(model, hints=means[:1].expand(3, 3, 2) + 0.02)
    assert proposal.mean.shape == from_modes(model).mean.shape
    # Posterior modes lie off the likelihood's by the prior's pull, of 1 % at most.
    torch.testing.assert_close(proposal.mean[0], means[0].expand(3, 2), atol=0.03, rtol=0)
    torch.testing.assert_close(proposal.mean[1], means[1].expand(3, 2), atol=0.03, rtol=0)
    estimate = importance(model, proposal, np.random.default_rng(0), 2000)
    truth = quadrature(model).value
    assert (np.abs(estimate.value - truth) < 5 * estimate.standard_error + 1e-3).all()


def test_the_density_of_the_mixture_is_normalised():
    root = torch.tensor([[[[0.3]]], [[[0.1]]]]).double()
    proposal = StudentT(
        torch.tensor([[[-1.0]], [[0.5]]]).double(), root, torch.tensor([[0.3], [0.7]]).double()
    )
    grid = torch.linspace(-60, 60, 240_001, dtype=torch.float64).view(-1, 1, 1)
    density = torch.exp(proposal.log_density(grid))[:, 0]
    assert torch.trapezoid(density, grid[:, 0, 0]).item() == pytest.approx(1.0, abs=1e-4)
    draws = proposal.sample(np.random.default_rng(0), 40_000)[:, 0, 0].numpy()
    for edge in (-1.0, 0.0, 0.5):
        mass = torch.trapezoid(density * (grid[:, 0, 0] < edge), grid[:, 0, 0]).item()
        assert (draws < edge).mean() == pytest.approx(mass, abs=0.012)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, z: quadrature(diverged(m)), "parameters are not finite"),
        (lambda m, z: sampling(diverged(m), z), "parameters are not finite"),
        (lambda m, z: annealing(diverged(m), z), "parameters are not finite"),
        (lambda m, z: weighing(diverged(m), z), "parameters are not finite"),
        (
            lambda m, z: prior_start(diverged(m), np.random.default_rng(0), 10),
            "parameters are not finite",
        ),
        (lambda m, z: quadrature(replace(m, x=m.x[0])), r"x has shape \(10, 40\)"),
        (lambda m, z: quadrature(replace(m, x=m.x[:, :0])), r"x has shape \(1, 0, 40\)"),
        (
            lambda m, z: quadrature(replace(m, x=m.x.repeat(2, 1, 1))),
            "one model at a time",
        ),
        (
            lambda m, z: quadrature(replace(m, x=m.x / 0)),
            "x holds values that are not finite",
        ),
        (
            lambda m, z: quadrature(network(latent_dim=4)[0]),
            "1 to 3 latent dimensions, not 4",
        ),
        (
            lambda m, z: quadrature(m, hints=z[:3]),
            r"hints has shape \(1, 3, 2\) instead of \(S, 10, 2\)",
        ),
        (
            lambda m, z: quadrature(m, hints=z / 0),
            "hints holds values that are not finite",
        ),
        (
            lambda m, z: quadrature(m, memory_mb=0.3),
            "does not hold the lattice of one datapoint",
        ),
        (lambda m, z: sampling(m, z[:3]), r"start has shape \(3, 2\) instead of \(10, 2\)"),
        (lambda m, z: sampling(m, z / 0), "start holds values that are not finite"),
        (lambda m, z: sampling(m, z * 1e30), "not finite at the start of 10 of 10 datapoints"),
        (lambda m, z: sampling(m, z, draws=0), "draws is 0; it must be at least 1"),
        (lambda m, z: sampling(m, z, warmup=0), "warmup is 0"),
        (lambda m, z: sampling(m, z, leapfrog=0), "leapfrog is 0"),
        (
            lambda m, z: sampling(m, z, acceptance=1.0),
            "acceptance is 1.0; it must lie between 0 and 1",
        ),
        (
            lambda m, z: sampling(m, z, memory_mb=1e-4),
            "does not hold a single draw; give at least 0.0037",
        ),
        (lambda m, z: prior_start(m, np.random.default_rng(0), 0), "draws is 0"),
        (
            lambda m, z: prior_start(m, np.random.default_rng(0), 1000, memory_mb=0.01),
            "does not hold 1000 draws",
        ),
        (lambda m, z: reciprocal(sampling(m, z, draws=7)), "7 samples are too few"),
        (lambda m, z: reciprocal(sampling(m, z), "uniform"), "density is 'uniform'"),
        (
            lambda m, z: reciprocal(sampling(m, z), memory_mb=1e-5),
            "does not hold the 10 samples of one datapoint",
        ),
        (
            lambda m, z: reciprocal(sampling(m, z)._replace(z=torch.full((10, 10, 2), torch.nan))),
            "samples hold values",
        ),
        (
            lambda m, z: from_samples(sampling(m, z)._replace(z=z[None])),
            "number of samples is 1; it must be at least 2",
        ),
        (lambda m, z: weighing(m, z, points=3), r"draws z of shape \(3, 2\) instead of \(10, 2\)"),
        (lambda m, z: annealing(m, z, chains=1), "chains is 1; it must be at least 2"),
        (lambda m, z: annealing(m, z, leapfrog=0), "leapfrog is 0"),
        (lambda m, z: annealing(m, z, temperatures=1), "temperatures is 1; it must be at least 2"),
        (
            lambda m, z: annealing(m, z, temperatures=[0, 0.6, 0.5, 1]),
            "increasing values from 0 to 1",
        ),
        (lambda m, z: annealing(m, z, temperatures=[0.1, 0.5, 1]), "increasing values from 0 to 1"),
        (lambda m, z: annealing(m, z, acceptance=0), "acceptance is 0"),
        (
            lambda m, z: annealing(m, z, backward_from=z[0]),
            r"backward_from has shape \(2,\) instead of \(10, 2\)",
        ),
    ],
)
def test_messages(call, words):
    model, z = network()
    with pytest.raises(UserError, match=words) as error:
        call(model, z)
    message = str(error.value)
    assert "\n" not in message and not message.endswith(".") and len(message) < 200


def test_chains_that_accept_nothing_are_named():
    model, z = network()
    x = model.x.clone()
    x[0, 3] *= 1e6  # a posterior far narrower than a warm-up of three can adapt to
    with pytest.raises(
        UserError, match=r"accepted none of 10 transitions for 1 of 10 datapoints \(number 3\)"
    ):
        sampling(replace(model, x=x), z, acceptance=0.6, warmup=3)


def test_a_posterior_too_wide_for_the_memory_is_named():
    means = torch.tensor([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
    model = Mixture(
        means,
        torch.tensor([0.01, 1.0]).double(),
        torch.zeros(2).double(),
        torch.zeros(1, 2, 3).double(),
    )
    with pytest.raises(UserError, match=r"datapoint 0 needs more lattice nodes than 10 MB hold"):
        quadrature(model, memory_mb=10)


def test_weights_that_are_not_finite_are_named():
    model, _ = network()
    proposal = DiagonalGaussian(torch.zeros(10, 2), torch.tensor([[0.0, 0.0]] * 9 + [[200.0, 0.0]]))
    with pytest.raises(
        UserError, match=r"importance weights are not finite for 1 of 10 datapoints \(number 9\)"
    ):
        importance(model, proposal, np.random.default_rng(0), 30)
