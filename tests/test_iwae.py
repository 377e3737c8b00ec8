"""IWAE, and learners that give a bound alone: against autograd written out, and against AEVB."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from test_learners import M, R, gradient, problem

from aevb.config.sections import Training
from aevb.core.run import Run
from aevb.engine import evaluation, gpu, training
from aevb.learners import LEARNERS
from aevb.learners.aevb import AEVB
from aevb.learners.iwae import IWAE, Options
from aevb.models import densities, nets
from aevb.models.likelihoods import LIKELIHOODS

RUN = Run("digits", "iwae", 3, 0)


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS])
@pytest.mark.parametrize("draws", [1, 2])
def test_with_one_sample_it_is_aevb_with_estimator_a(likelihood, draws):
    aevb = AEVB(likelihood, Training(draws=draws, estimator="A"))
    layout, flat, x, noise = problem(likelihood, draws, aevb)
    ours = gradient(IWAE(likelihood, aevb.training, Options(k=1)), layout, flat, x, noise)
    for found, expected in zip(ours, gradient(aevb, layout, flat, x, noise), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS])
@pytest.mark.parametrize(("draws", "k"), [(1, 3), (2, 4)])
def test_the_gradient_is_that_of_the_bound_written_out(likelihood, draws, k):
    """Burda et al., eq. 8, datapoint by datapoint and draw by draw, in float64."""
    learner = IWAE(likelihood, Training(draws=draws), Options(k=k))
    layout, flat, x, noise = problem(likelihood, draws, learner)
    value, grad = gradient(learner, layout, flat, x, noise)

    flat.requires_grad_(True)
    p, bounds = layout.view(flat), torch.zeros(R, dtype=torch.float64)
    for m in range(M):
        point = x[:, m : m + 1]
        mean, log_variance = nets.encode(point, p)
        for group in range(draws):
            weights = 0
            for i in range(group * k, group * k + k):
                z = mean + torch.exp(log_variance / 2) * noise[0][:, i, m : m + 1]
                log_p = LIKELIHOODS[likelihood].log_density(point, nets.decode(z, p))
                log_q = densities.log_normal(z, mean, log_variance)
                weights = weights + torch.exp(log_p + densities.log_prior(z) - log_q)
            bounds = bounds + torch.log(weights / k)[:, 0] / draws
    bounds.sum().backward()
    torch.testing.assert_close(value, bounds.detach() / M)
    torch.testing.assert_close(grad, flat.grad)


@pytest.fixture(scope="module")
def trained(make):
    """A small trained model: its layout, parameters (1, P) and test images."""
    settings, data = make("gaussian", 100_000)
    (result,) = training.train([RUN._replace(algorithm="aevb")], [0.1], settings, data)
    layout = nets.Layout(64, 20, 3, "gaussian")
    flat = np.concatenate([result.weights[name].ravel() for name in layout.shapes])
    return layout, torch.from_numpy(flat)[None], data.test


def test_more_samples_make_the_bound_tighter(trained):
    """On the same noise: the logarithm is concave, so that this holds to the bit's last."""
    layout, flat, x = trained
    noise = torch.randn(1, 60, len(x), 3, generator=torch.Generator().manual_seed(0))
    values = []
    for k in (1, 3, 12, 60):
        learner = IWAE("gaussian", Training(draws=60 // k), Options(k=k))
        values.append(learner.bound(layout.view(flat), x[None], [noise]).item())
    assert (np.diff(values) > 0.2).all()  # nats


def test_it_is_evaluated_by_its_own_bound_and_the_error_of_that_is_true(trained):
    layout, flat, x = trained

    def evaluated(learner, seed, error=1.0, most=1):
        generator = np.random.default_rng(seed)
        return evaluation.bound(learner, flat, layout, x, generator, error, most)

    one, five = (IWAE("gaussian", Training(), Options(k=k)) for k in (1, 5))
    bounds = [evaluated(five, seed) for seed in range(100)]
    values = np.array([bound.value for bound in bounds])
    assert values.std() == pytest.approx(np.mean([b.standard_error for b in bounds]), rel=0.3)
    noise = torch.randn(1, 400, len(x), 3, generator=torch.Generator().manual_seed(1))
    direct = IWAE("gaussian", Training(draws=80), Options(k=5)).bound(
        layout.view(flat), x[None], [noise]
    )
    assert abs(values.mean() - direct.item()) < 6 * values.std() / math.sqrt(80)

    aevb = evaluated(AEVB("gaussian", Training()), 0, 0.02, 1000)
    loose, tight = (evaluated(learner, 0, 0.02, 1000) for learner in (one, five))
    assert tight.standard_error <= 0.021 and tight.draws > 1
    error = math.hypot(loose.standard_error, aevb.standard_error)
    assert abs(loose.value - aevb.value) < 4 * error  # L_1 is what estimator B estimates
    assert tight.value > aevb.value + 0.5
    assert (tight.kl, tight.active_units) == (aevb.kl, aevb.active_units)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_engine_trains_it_and_keeps_its_option(make, likelihood):
    settings, data = make(likelihood, 40_000)
    settings = dataclasses.replace(settings, options={"iwae": Options(k=3)})
    (result,) = training.train([RUN], [0.02], settings, data)
    assert result.status == "completed" and result.settings["iwae"] == {"k": 3}
    first, last = result.curve["test"].iloc[[0, -1]]
    assert last > first + (5 if likelihood == "bernoulli" else 20)
    layout = nets.Layout(64, 20, 3, likelihood)
    flat = np.concatenate([result.weights[name].ravel() for name in layout.shapes])
    found = evaluation.bound(
        IWAE(likelihood, settings.training, Options(k=3)),
        torch.from_numpy(flat)[None],
        layout,
        data.test,
        np.random.default_rng(0),
        0.05,
        100,
    )
    assert abs(found.value - last) < 5 * math.hypot(0.05, found.standard_error)


def test_on_a_gpu_it_trains_beside_captured_learners_but_by_itself(make, monkeypatch, tmp_path):
    """No CUDA graph holds autograd: such curves form a group of their own."""
    from test_gpu import pilots_of

    monkeypatch.setattr(gpu, "serves", lambda device: True)
    settings, data = make("bernoulli", 4000)
    runs = [RUN, RUN._replace(latent_dim=2), RUN._replace(algorithm="aevb")]
    groups, together = [], training.train_together
    monkeypatch.setattr(
        training,
        "train_together",
        lambda curves: (
            groups.append({curve.runs[0].algorithm for curve in curves}) or together(curves)
        ),
    )
    files = {run: str(tmp_path / f"{run.name}.h5") for run in runs}
    training.train_jobs([training.Job(files, pilots_of(runs, tmp_path), settings, data)])
    assert groups == [{"iwae"}, {"aevb"}]
    assert not LEARNERS["iwae"].captured and LEARNERS["aevb"].captured
