"""The hand-written gradients against autograd through objectives.py, in float64, and against
their definitions."""

import numpy as np
import pytest
import torch

from aevb.config.sections import Training
from aevb.core.provenance import fingerprint
from aevb.engine.roots import TRAINING, roots
from aevb.learners import LEARNERS
from aevb.learners.aevb import AEVB
from aevb.learners.mcem import MonteCarloEM
from aevb.learners.wake_sleep import WakeSleep
from aevb.marginal import hmc
from aevb.models import densities, nets
from aevb.models.joint import Joint
from aevb.models.likelihoods import LIKELIHOODS

R, M, D, H, NZ = 2, 5, 7, 4, 3
ONLINE = [key for key, learner in LEARNERS.items() if learner.online]


def problem(likelihood, draws, learner, seed=0):
    layout = nets.Layout(D, H, NZ, likelihood)
    flat = 0.5 * torch.randn(
        R, layout.n_parameters, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    x = torch.rand(R, M, D, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    noise = [learner.noise(np.random.default_rng(seed + 2 + r), 1, M, layout) for r in range(R)]
    noise = [
        torch.from_numpy(np.stack([n[k][0] for n in noise])).double() for k in range(len(noise[0]))
    ]
    return layout, flat, x, noise


def gradient(learner, layout, flat, x, noise):
    """Value, and the gradient laid out like `flat`."""
    value, parts = learner.gradient(layout.view(flat), x, noise)
    assert parts.keys() == layout.shapes.keys()
    return value, torch.cat([parts[name].flatten(1) for name in layout.shapes], 1)


def encode_and_draw(p, x, noise, draws):
    mean, log_variance = (
        t.unsqueeze(1).expand(-1, draws, -1, -1).flatten(1, 2) for t in nets.encode(x, p)
    )
    return mean, log_variance, mean + torch.exp(0.5 * log_variance) * noise.flatten(1, 2)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("estimator", ["A", "B"])
@pytest.mark.parametrize("draws", [1, 3])
def test_aevb_is_the_gradient_of_its_estimator(likelihood, estimator, draws):
    learner = AEVB(likelihood, Training(draws=draws, estimator=estimator))
    layout, flat, x, noise = problem(likelihood, draws, learner)
    value, grad = gradient(learner, layout, flat, x, noise)

    flat.requires_grad_(True)
    p = layout.view(flat)
    mean, log_variance, z = encode_and_draw(p, x, noise[0], draws)
    bounds = densities.bound(
        x.repeat(1, draws, 1), z, nets.decode(z, p), mean, log_variance, likelihood, estimator
    )
    (bounds.sum() / draws).backward()
    torch.testing.assert_close(value, bounds.mean(1).detach())
    torch.testing.assert_close(grad, flat.grad)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("draws", [1, 3])
def test_wake_sleep_gradients_are_their_definitions(likelihood, draws):
    learner = WakeSleep(likelihood, Training(draws=draws))
    layout, flat, x, noise = problem(likelihood, draws, learner)
    value, grad = gradient(learner, layout, flat, x, noise)
    got = layout.view(grad)

    # Wake: grad_theta log p(x, z) at z ~ q(z|x), the encoder held fixed.
    p = {name: v.clone().requires_grad_(True) for name, v in layout.view(flat).items()}
    mean, log_variance, z = (t.detach() for t in encode_and_draw(p, x, noise[0], draws))
    log_joint = LIKELIHOODS[likelihood].log_density(
        x.repeat(1, draws, 1), nets.decode(z, p)
    ) + densities.log_prior(z)
    (log_joint.sum() / draws).backward()
    for name in got:
        if name.startswith("decoder"):
            torch.testing.assert_close(got[name], p[name].grad)
        else:
            assert p[name].grad is None
    expected = log_joint - densities.log_prior(z) - densities.kl_to_prior(mean, log_variance)
    torch.testing.assert_close(value, expected.mean(1).detach())

    # Sleep: grad_phi log q(z|x) at (x, z) ~ p, the fantasy held fixed.
    z = noise[1].flatten(1, 2)
    with torch.no_grad():
        decoded = nets.decode(z, p)
        if likelihood == "bernoulli":
            fantasy = (noise[2] < torch.sigmoid(decoded)).double()
        else:
            logits, log_variance = decoded.chunk(2, -1)
            fantasy = torch.sigmoid(logits) + torch.exp(0.5 * log_variance) * noise[2]
    p = {name: v.clone().requires_grad_(True) for name, v in layout.view(flat).items()}
    (densities.log_normal(z, *nets.encode(fantasy, p)).sum() / draws).backward()
    for name in got:
        if name.startswith("encoder"):
            torch.testing.assert_close(got[name], p[name].grad)


@pytest.mark.parametrize(("algorithm", "engine"), [("aevb", "stack"), ("mcem", "chains")])
def test_the_code_that_decides_a_run_is_its_learner_and_its_engine(algorithm, engine):
    code = fingerprint(roots(*TRAINING, algorithm=algorithm, likelihood="bernoulli"))
    wanted = {f"learners/{algorithm}", f"engine/{engine}", "engine/evaluation", "engine/stack"}
    assert wanted <= code.modules.keys()
    others = {f"learners/{key}" for key in LEARNERS} - {f"learners/{algorithm}"}
    assert not others & code.modules.keys()


@pytest.mark.parametrize("algorithm", ONLINE)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_replica_alone_equals_the_same_replica_stacked(algorithm, likelihood):
    learner = LEARNERS[algorithm](likelihood, Training(draws=2))
    layout, flat, x, noise = problem(likelihood, 2, learner)
    value, grad = gradient(learner, layout, flat, x, noise)
    for r in range(R):
        value_alone, parts = learner.gradient(
            layout.view(flat[r]), x[r], [n[r] for n in noise]
        )  # without an axis of replicas
        torch.testing.assert_close(value[r], value_alone)
        torch.testing.assert_close(
            grad[r], torch.cat([parts[name].flatten() for name in layout.shapes])
        )


@pytest.mark.parametrize("algorithm", ONLINE)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_float32_gradients_are_those_of_float64(algorithm, likelihood):
    learner = LEARNERS[algorithm](likelihood, Training())
    layout, flat, x, noise = problem(likelihood, 1, learner)
    value, parts = learner.gradient(layout.view(flat[0]), x[0], [n[0] for n in noise])
    single, single_parts = learner.gradient(
        layout.view(flat[0].float()), x[0].float(), [n[0].float() for n in noise]
    )
    torch.testing.assert_close(single.double(), value, rtol=1e-5, atol=1e-5)
    for name, part in parts.items():
        torch.testing.assert_close(single_parts[name].double(), part, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_monte_carlo_em_updates_are_the_gradient_of_log_p_x_z_in_any_chunks(likelihood):
    layout = nets.Layout(D, H, NZ, likelihood)
    flat = 0.5 * torch.randn(
        R, layout.n_parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    x, z = (
        torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        for size in ((1, 12, D), (R, 12, NZ))
    )
    learner = MonteCarloEM(likelihood, Training())
    learner.chunk = 5
    value, parts = learner.gradient(layout.view(flat), x, z)

    flat.requires_grad_(True)
    joint = LIKELIHOODS[likelihood].log_density(
        x, nets.decode(z, layout.view(flat))
    ) + densities.log_prior(z)
    joint.sum().backward()
    torch.testing.assert_close(value, joint.mean(1).detach())
    for name, expected in layout.view(flat.grad).items():
        if name.startswith("decoder"):
            torch.testing.assert_close(parts[name], expected)
        else:
            assert name not in parts and not expected.any()


def test_the_e_step_is_one_transition_of_every_chain():
    """Against hmc.transition on the whole set at once; and the acceptance moves the step size as
    the author's rule says."""
    layout = nets.Layout(D, H, NZ, "bernoulli")
    p = layout.view(
        0.5
        * torch.randn(
            R, layout.n_parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
    )
    x = torch.rand(1, 12, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    learner = MonteCarloEM("bernoulli", Training())
    learner.chunk = 5
    noise = [learner.noise(np.random.default_rng(r), 12, NZ) for r in range(R)]
    momentum, uniform = (
        torch.from_numpy(np.stack([n[k] for n in noise])).double() for k in range(2)
    )
    chains, step_size = (
        torch.zeros(R, 12, NZ, dtype=torch.float64),
        torch.tensor([0.1, 2.5]).view(R, 1, 1).double(),
    )
    joint = Joint(p, x, "bernoulli")
    expected, info = hmc.transition(
        joint, hmc.initial(joint, chains), momentum, uniform, step_size, 10
    )
    acceptance, new = learner.expectation(p, x, chains, [momentum, uniform], step_size)
    torch.testing.assert_close(chains, expected.z)
    torch.testing.assert_close(acceptance.double(), info.accepted.double().mean(1))
    torch.testing.assert_close(new, step_size * torch.tensor([1.25, 1 / 1.25]).view(R, 1, 1))
    assert acceptance[0] >= 0.9 > acceptance[1]
