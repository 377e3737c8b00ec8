"""The HMC kernel: what the integrator conserves, what the chains converge to, and that a wrong
rule would be noticed."""

from math import exp, log, pi

import numpy as np
import pytest
import torch
from arviz_stats.base import array_stats
from scipy import integrate, stats

from aevb.marginal import hmc
from aevb.models import densities, nets
from aevb.models.joint import Joint
from aevb.models.likelihoods import LIKELIHOODS


class Autograd:
    """A target from its log density, (..., D) -> (...)."""

    def __init__(self, log_density):
        self.log_density = log_density

    def value_and_gradient(self, z):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self.log_density(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    def gradient(self, z):
        return self.value_and_gradient(z)[1]


CURVED = Autograd(
    lambda z: (
        -0.25 * z[..., 0] ** 4
        - 0.5 * (z[..., 1] - 0.5 * z[..., 0] ** 2) ** 2
        - torch.log(1 + (z**2).sum(-1))
    )
)


def sample(target, start, draws, step_size, steps, seed=0, warmup=100, kernel=hmc.transition):
    """Draws (S, chains, D), and the last Info."""
    generator = np.random.default_rng(seed)
    state, kept, info = hmc.initial(target, start), [], None
    for t in range(warmup + draws):
        momentum = torch.from_numpy(generator.standard_normal(start.shape)).to(start)
        uniform = torch.from_numpy(generator.random(start.shape[:-1])).to(start)
        state, info = kernel(target, state, momentum, uniform, step_size, steps)
        if t >= warmup:
            kept.append(state.z)
    return torch.stack(kept), info


def decoder(
    likelihood="bernoulli",
    pixels=20,
    hidden=8,
    latent_dim=2,
    replicas=1,
    scale=1.5,
    dtype=torch.float64,
):
    layout = nets.Layout(pixels, hidden, latent_dim, likelihood)
    flat = scale * np.random.default_rng(3).standard_normal((replicas, layout.n_parameters))
    parameters = layout.view(torch.from_numpy(flat).to(dtype))
    if likelihood == "gaussian":
        parameters["decoder.output.weight"] *= 0.2
    return parameters


def simulate(parameters, number, seed=0):
    """z ~ p(z) (1, N, N_z) and x ~ p(x|z) (1, N, D), Bernoulli."""
    generator = np.random.default_rng(seed)
    weight = parameters["decoder.hidden.weight"]
    z = torch.from_numpy(generator.standard_normal((1, number, weight.shape[1]))).to(weight)
    probability = torch.sigmoid(nets.decode(z, parameters))
    return z, (torch.from_numpy(generator.random(probability.shape)) < probability).to(z)


# The integrator


def test_leapfrog_is_reversible():
    generator = torch.Generator().manual_seed(0)
    z, momentum = torch.randn(2, 50, 2, generator=generator, dtype=torch.float64)
    there, end = hmc.leapfrog(CURVED, hmc.initial(CURVED, z), momentum, 0.1, 7)
    assert (there.z - z).norm(dim=-1).min() > 0.05
    back, start = hmc.leapfrog(CURVED, there, -end, 0.1, 7)
    torch.testing.assert_close(back.z, z, rtol=0, atol=1e-10)
    torch.testing.assert_close(-start, momentum, rtol=0, atol=1e-10)


def test_leapfrog_preserves_volume():
    def flow(phase):
        state, momentum = hmc.leapfrog(CURVED, hmc.initial(CURVED, phase[:2]), phase[2:], 0.2, 5)
        return torch.cat([state.z, momentum])

    for seed in range(5):
        phase = torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        columns = [
            (flow(phase + 1e-5 * e) - flow(phase - 1e-5 * e)) / 2e-5
            for e in torch.eye(4, dtype=torch.float64)
        ]
        assert abs(torch.linalg.det(torch.stack(columns, 1)).item() - 1) < 1e-6


def test_energy_error_is_of_second_order():
    generator = torch.Generator().manual_seed(1)
    z, momentum = torch.randn(2, 200, 2, generator=generator, dtype=torch.float64)
    sizes, errors = [0.02, 0.01, 0.005], []
    for size in sizes:
        _, info = hmc.transition(
            CURVED, hmc.initial(CURVED, z), momentum, torch.zeros(200), size, round(0.2 / size)
        )
        errors.append(info.energy_error.abs().max().item())
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert 1.8 < slope < 2.2


def test_evaluates_the_gradient_once_a_step():
    class Counting(Autograd):
        calls = 0

        def value_and_gradient(self, z):
            self.calls += 1
            return super().value_and_gradient(z)

    target = Counting(CURVED.log_density)
    state = hmc.initial(target, torch.zeros(3, 2))
    hmc.leapfrog(target, state, torch.ones(3, 2), 0.1, 4)
    assert target.calls == 1 + 4


# What the chains converge to


def assert_mean(draws, expected):
    """draws (S, chains) have the mean `expected`, within four Monte Carlo standard errors that
    are small."""
    draws = draws.numpy()
    error = draws.std() / np.sqrt(array_stats.ess(draws.T, method="mean"))
    assert error < 0.1 * draws.std()
    assert abs(draws.mean() - expected) < 4 * error


def test_moments_of_a_correlated_gaussian():
    covariance = torch.tensor([[1.0, 0.9], [0.9, 2.0]], dtype=torch.float64)
    mean, precision = torch.tensor([1.0, -2.0], dtype=torch.float64), covariance.inverse()
    target = Autograd(lambda z: -0.5 * (((z - mean) @ precision) * (z - mean)).sum(-1))
    z, _ = sample(target, torch.zeros(20, 2, dtype=torch.float64), 400, 0.5, 4)
    for i in range(2):
        assert_mean(z[..., i], mean[i].item())
        for j in range(i + 1):
            assert_mean((z[..., i] - mean[i]) * (z[..., j] - mean[j]), covariance[i, j].item())


@pytest.mark.parametrize(
    "log_density",
    [
        lambda z: 2 * z - torch.exp(z),  # log of a gamma variable: skewed
        lambda z: torch.logaddexp(
            -0.5 * (z - 1.5) ** 2, log(0.3) - 0.5 * ((z + 1.5) / 0.7) ** 2
        ),  # bimodal
    ],
    ids=["skewed", "bimodal"],
)
def test_moments_of_other_targets(log_density):
    target = Autograd(lambda z: log_density(z).sum(-1))
    z, _ = sample(target, torch.zeros(50, 1, dtype=torch.float64), 500, 0.5, 5)

    def moment(power):
        return integrate.quad(
            lambda t: t**power * exp(log_density(torch.tensor(t, dtype=torch.float64))),
            -15,
            10,
            limit=200,
        )[0]

    total = moment(0)
    for power in (1, 2, 3):
        assert_mean(z[..., 0] ** power, moment(power) / total)


def ranks(kernel, step_size):
    """Chi-square p-values of the ranks of z_1, z_2 and log p(x, z) among states of their own
    chain, for 3,000 simulated (z, x): uniform if the chains leave p(z|x) invariant. z takes a
    random place in its chain, which runs from it both ways, as a reversible kernel may: exact
    however slowly the chain mixes (Gandy & Scott 2021)."""
    parameters, number, draws, thin = decoder(), 3000, 19, 5
    z, x = simulate(parameters, number)
    target = Joint(parameters, x, "bernoulli")
    ways = [
        sample(target, z, draws * thin, step_size, 5, seed, 0, kernel)[0][thin - 1 :: thin, 0]
        for seed in (1, 2)
    ]
    generator = np.random.default_rng(3)
    ahead = torch.from_numpy(generator.integers(0, draws + 1, number))
    places = torch.arange(draws).unsqueeze(1)
    chosen = torch.cat([places < ahead, places < draws - ahead])  # (2 draws, N): `draws` of them
    samples = torch.cat(ways)
    density = torch.stack([target.value(one.unsqueeze(0))[0] for one in samples])
    pvalues = []
    for values, own in (
        (samples[..., 0], z[0, :, 0]),
        (samples[..., 1], z[0, :, 1]),
        (density, target.value(z)[0]),
    ):
        below, ties = (
            (chosen & (values < own)).sum(0).numpy(),
            (chosen & (values == own)).sum(0).numpy(),
        )
        rank = below + generator.integers(0, ties + 1)
        pvalues.append(stats.chisquare(np.bincount(rank, minlength=draws + 1)).pvalue)
    return pvalues


def test_simulation_based_calibration():
    assert min(ranks(hmc.transition, 0.3)) > 1e-3


def always_accepts(target, state, momentum, uniform, step_size, steps):
    return hmc.transition(target, state, momentum, torch.full_like(uniform, -1), step_size, steps)


def wrong_sign(target, state, momentum, uniform, step_size, steps):
    """Accepts with probability min(1, e^+energy_error)."""
    proposal, info = hmc.transition(
        target, state, momentum, torch.full_like(uniform, -1), step_size, steps
    )
    accepted = uniform < torch.exp(info.energy_error.clamp(max=0))
    state = hmc.State(
        *(
            torch.where(accepted.view(*accepted.shape, *[1] * (a.ndim - 2)), a, b)
            for a, b in zip(proposal, state, strict=True)
        )
    )
    return state, info


@pytest.mark.parametrize("kernel", [always_accepts, wrong_sign])
def test_calibration_notices_a_wrong_acceptance_rule(kernel):
    assert min(ranks(kernel, 0.3)) < 1e-6


# Batches, and what is reported


def test_many_chains_equal_one_at_a_time():
    parameters = decoder(replicas=2)
    x = torch.from_numpy((np.random.default_rng(0).random((2, 6, 20)) < 0.5).astype(float))
    target = Joint(parameters, x, "bernoulli")
    generator = np.random.default_rng(1)
    z, momentum = torch.from_numpy(
        generator.standard_normal((2, 2, 12, 2))
    )  # two draws of each datapoint
    uniform = torch.from_numpy(generator.random((2, 12)))
    step = torch.tensor([0.3, 0.1]).view(2, 1, 1)
    together, info = hmc.transition(target, hmc.initial(target, z), momentum, uniform, step, 3)
    for r in range(2):
        for row in range(12):
            one = Joint(
                {name: p[r : r + 1] for name, p in parameters.items()},
                x[r : r + 1, row % 6 : row % 6 + 1],
                "bernoulli",
            )
            at = (slice(r, r + 1), slice(row, row + 1))
            alone, alone_info = hmc.transition(
                one, hmc.initial(one, z[at]), momentum[at], uniform[at], step[r].item(), 3
            )
            for a, b in zip((*together, *info), (*alone, *alone_info), strict=True):
                torch.testing.assert_close(a[at], b, rtol=1e-6, atol=1e-9)
    assert 0 < info.accepted.sum() <= 24


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_gradient_of_the_joint(likelihood, temperature):
    parameters = decoder(likelihood, replicas=2)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 5, 20, generator=generator, dtype=torch.float64)
    z = torch.randn(2, 15, 2, generator=generator, dtype=torch.float64)
    target = Joint(parameters, x, likelihood, temperature)
    reference = Autograd(
        lambda z: (
            densities.log_prior(z)
            + temperature
            * LIKELIHOODS[likelihood].log_density(x.repeat(1, 3, 1), nets.decode(z, parameters))
        )
    )
    value, gradient = reference.value_and_gradient(z)
    torch.testing.assert_close(target.gradient(z), gradient)
    torch.testing.assert_close(target.value(z), value)
    for found, wanted in zip(target.value_and_gradient(z), (value, gradient), strict=True):
        torch.testing.assert_close(found, wanted)
    assert target.latent_dim == 2


def test_divergences_are_flagged_and_rejected():
    target = Autograd(lambda z: -0.5 * (z**2).sum(-1) - 0.5 * log(2 * pi))
    start = torch.ones(4, 1, dtype=torch.float64)
    step = torch.tensor([0.1, 3.0, 1e200, torch.nan], dtype=torch.float64).unsqueeze(1)
    state, info = hmc.transition(
        target, hmc.initial(target, start), torch.ones_like(start), torch.zeros(4), step, 8
    )
    assert info.divergent.tolist() == [False, True, True, True]
    assert info.accepted.tolist() == [True, False, False, False]
    assert (state.z[1:] == 1).all() and (state.value[1:] == state.value[1]).all()
    assert (info.acceptance >= 0).all() and (info.acceptance <= 1).all()


def test_author_rule():
    step = torch.tensor([0.1, 0.1, 0.1])
    acceptance = torch.tensor([0.89, 0.9, 0.95])
    torch.testing.assert_close(
        hmc.author_rule(step, acceptance, 0.9, 1), torch.tensor([0.1 / 1.02, 0.102, 0.102])
    )
    torch.testing.assert_close(
        hmc.author_rule(step, acceptance, 0.9, 1000), torch.tensor([0.08, 0.125, 0.125])
    )
