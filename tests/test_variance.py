"""Gradient estimators and their variances: unbiased for one gradient, and as variable as brute
force says."""

import dataclasses

import numpy as np
import pytest
import torch

from aevb import results
from aevb.config.sections import Training
from aevb.core.run import Run
from aevb.engine import training
from aevb.learners.aevb import AEVB
from aevb.models import densities, nets
from aevb.studies.variance import VARIANCE
from aevb.studies.variance import work as variance

RUN = Run("digits", "aevb", 2, 0)
LAYOUT = nets.Layout(6, 5, 2, "bernoulli")
NETS = ("encoder", "decoder")


def model(likelihood="bernoulli"):
    """Parameters (1, in, out) in float64 and a training set (12, 6) of a model small enough for
    brute force."""
    generator = torch.Generator().manual_seed(0)
    layout = dataclasses.replace(LAYOUT, likelihood=likelihood)
    flat = 0.7 * torch.randn(1, layout.n_parameters, generator=generator, dtype=torch.float64)
    return layout.view(flat), torch.rand(12, 6, generator=generator, dtype=torch.float64)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def flattened(gradient):
    return torch.cat([value.flatten(1) for value in gradient], 1)


def every_gradient(parameters, x, likelihood, replicates, seed=1):
    """Estimator -> gradients (R, P) of the encoder, and those of the decoder."""
    draws = variance.draw(parameters, x, noise(replicates, x.shape[1], 2, seed=seed), likelihood)
    encoder = {
        name: flattened(variance.encoder_gradient(parameters, x, found(draws))).numpy()
        for name, found in variance.ESTIMATORS.items()
    }
    return encoder, flattened(variance.decoder_gradient(parameters, x, draws.z, likelihood)).numpy()


@pytest.mark.parametrize("name", variance.ESTIMATORS)
def test_unbiased_against_the_closed_form_of_a_linear_gaussian_model(name):
    """x = W z + noise of known variance: E_q log p(x|z) is a Gaussian integral, and the KL is
    appendix B's."""
    w, log_s, x = noise(5, 2, seed=2), torch.full((5,), -0.5).double(), noise(3, 5, seed=3)
    mean, log_variance = noise(3, 2, seed=4), 0.5 * noise(3, 2, seed=5)

    leaves = [mean.clone().requires_grad_(), log_variance.clone().requires_grad_()]
    expected = densities.log_normal(x, leaves[0] @ w.T, log_s) - 0.5 * (
        torch.exp(leaves[1]) @ (w**2).T * torch.exp(-log_s)
    ).sum(-1)
    exact = torch.cat(
        torch.autograd.grad((expected - densities.kl_to_prior(*leaves)).sum(), leaves), -1
    )

    n = 40_000
    means, log_variances = (part.repeat(n, 1, 1).requires_grad_() for part in (mean, log_variance))
    z = means + torch.exp(0.5 * log_variances) * noise(n, 3, 2)
    reconstruction = densities.log_normal(x, z @ w.T, log_s)
    bounds = {
        "A": reconstruction
        + densities.log_prior(z)
        - densities.log_normal(z, means, log_variances),
        "B": reconstruction - densities.kl_to_prior(means, log_variances),
    }
    found = variance.ESTIMATORS[name](variance.Draws(means, log_variances, z, bounds))
    errors = (found.mean(0) - exact) / (found.std(0) / n**0.5 + 1e-12)
    assert found.shape == (n, 3, 4) and errors.abs().max() < 4
    assert (errors.abs() > 0.01).any()  # it does vary


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_all_are_unbiased_for_the_same_gradient_of_the_networks(likelihood):
    parameters, data = model(likelihood)
    n = 20_000
    encoder, _ = every_gradient(parameters, data[:4].unsqueeze(0), likelihood, n)
    reference, _ = every_gradient(parameters, data[:4].unsqueeze(0), likelihood, n, seed=9)
    for found in encoder.values():
        error = np.hypot(found.std(0), reference["B"].std(0)) / n**0.5
        assert np.abs((found.mean(0) - reference["B"].mean(0)) / error).max() < 4.5
    assert (
        np.abs(reference["B"].mean(0)).max() > 20 * (reference["B"].std(0) / n**0.5).max()
    )  # and the gradient is not 0


@pytest.mark.parametrize("estimator", ["A", "B"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_pathwise_gradients_are_those_that_the_learner_trains_with(likelihood, estimator):
    parameters, data = model(likelihood)
    x, eps = data[:4].unsqueeze(0), noise(3, 4, 2)
    repeated = {name: value.repeat(3, 1, 1) for name, value in parameters.items()}
    value, trained = AEVB(likelihood, Training(estimator=estimator)).gradient(
        repeated, x.repeat(3, 1, 1), [eps.unsqueeze(1)]
    )
    draws = variance.draw(parameters, x, eps, likelihood)
    torch.testing.assert_close(draws.bounds[estimator].mean(1), value)
    encoder = variance.encoder_gradient(parameters, x, variance.pathwise(draws, estimator))
    found = encoder + variance.decoder_gradient(parameters, x, draws.z, likelihood)
    names = [name for net in NETS for name in parameters if name.startswith(net)]
    for name, gradient in zip(names, found, strict=True):
        torch.testing.assert_close(gradient, trained[name] / 4)


def test_a_baseline_does_not_see_the_draw_it_is_subtracted_from():
    f = noise(5, 4)
    changed = f.clone()
    changed[2, 1] += 100
    for baseline in (variance.other_datapoints, variance.other_draws):
        moved = baseline(changed) - baseline(f)
        assert moved[2, 1] == pytest.approx(0, abs=1e-12) and moved.abs().max() > 10
    assert variance.other_datapoints(f)[0, 0] == pytest.approx(f[0, 1:].mean())
    assert variance.other_draws(f)[0, 0] == pytest.approx(f[1:, 0].mean())


@pytest.fixture(scope="module")
def measured():
    """Rows by (estimator, part) of minibatches of 4 and of 8, and the model."""
    parameters, x = model()
    sizes = {
        size: variance.measure(parameters, x, "bernoulli", size, 60, 80, np.random.default_rng(0))
        for size in (4, 8)
    }
    return (
        {
            size: {(row["estimator"], row["part"]): row for row in rows}
            for size, rows in sizes.items()
        },
        parameters,
        x,
    )


def test_variances_against_brute_force(measured):
    """Every datapoint of the training set by itself: its gradient's expectation and covariance,
    from many draws."""
    rows, parameters, x = measured
    n = 4000
    per_point = [
        every_gradient(
            parameters, x[i : i + 1].unsqueeze(0).repeat(1, 2, 1), "bernoulli", n, seed=i
        )
        for i in range(12)
    ]
    expected = {
        "encoder": [encoder["B"].mean(0) for encoder, _ in per_point],
        "decoder": [decoder.mean(0) for _, decoder in per_point],
    }
    for name in (
        "A",
        "B",
        "score",
        "score_oracle",
    ):  # of the same datapoint twice: half a single one's variance
        traces = {"encoder": np.mean([2 * encoder[name].var(0).sum() for encoder, _ in per_point])}
        traces["decoder"] = np.mean([2 * decoder.var(0).sum() for _, decoder in per_point])
        for part, trace in traces.items():
            for size in (4, 8):
                row = rows[size][name, part]
                assert row["variance"] == pytest.approx(
                    trace / size, abs=5 * row["variance_se"] + 0.03 * trace / size
                )
    for part in NETS:
        between = np.var(expected[part], axis=0).sum()  # of a datapoint drawn at random
        norm = (np.mean(expected[part], axis=0) ** 2).sum()
        for size in (4, 8):
            assert rows[size]["B", part]["data_variance"] == pytest.approx(between / size, rel=0.3)
            assert rows[size]["A", part]["data_variance"] == rows[size]["B", part]["data_variance"]
            # a product of two estimates of the gradient g, each of covariance S: its variance is 2
            # g'Sg + tr S^2
            trace = rows[size]["B", part]["variance"] * size / 12
            assert rows[size]["score", part]["squared_norm"] == pytest.approx(
                norm, abs=4 * (2 * norm * trace + trace**2) ** 0.5
            )
        few = variance.measure(
            parameters, x, "bernoulli", 4, 500, 2, np.random.default_rng(1)
        )  # whose noise is a good part of it
        assert {r["part"]: r["data_variance"] for r in few}[part] == pytest.approx(
            between / 4, rel=0.12
        )
    bounds = torch.stack(
        [
            variance.draw(parameters, x.unsqueeze(0), noise(n, 12, 2), "bernoulli").bounds[name]
            for name in "AB"
        ]
    ).detach()
    for name, values in zip("AB", bounds, strict=True):
        single = values.var(0).mean().item()
        for size in (4, 8):
            row, whole = rows[size][name, "bound"], rows[size][name, "bound_all"]
            assert row["variance"] == pytest.approx(single / size, abs=5 * row["variance_se"])
            assert whole["variance"] == pytest.approx(single / 12, abs=5 * whole["variance_se"])
            assert (row["datapoints"], whole["datapoints"], whole["data_variance"]) == (size, 12, 0)
            assert row["data_variance"] == pytest.approx(
                values.mean(0).var(unbiased=False).item() / size, rel=0.5
            )


def test_a_baseline_helps_and_the_ratio_is_paired(measured):
    rows = measured[0][8]
    for name in variance.ESTIMATORS:
        row, reference = rows[name, "encoder"], rows["B", "encoder"]
        assert row["ratio"] == pytest.approx(row["variance"] / reference["variance"])
        assert rows[name, "decoder"]["ratio"] == 1 and rows[name, "decoder"]["ratio_se"] == 0
    assert rows["B", "encoder"]["ratio_se"] == 0 < rows["A", "encoder"]["ratio_se"]
    assert (
        rows["score", "encoder"]["variance"]
        > rows["score_baseline", "encoder"]["variance"]
        > rows["B", "encoder"]["variance"]
    )


def test_the_expected_gradient_is_that_of_the_whole_training_set(monkeypatch):
    monkeypatch.setattr(variance, "CHUNK", 5)  # 12 = 5 + 5 + 2
    parameters, x = model()
    found = [
        variance.expectation(parameters, x, "bernoulli", np.random.default_rng(seed))
        for seed in range(1000)
    ]
    encoder, decoder = every_gradient(parameters, x.unsqueeze(0), "bernoulli", 1000)
    for part, reference in (("encoder", encoder["B"]), ("decoder", decoder)):
        values = np.stack(
            [
                flattened([value.flatten().unsqueeze(0) for value in one[part]])[0].numpy()
                for one in found
            ]
        )
        error = np.hypot(values.std(0), reference.std(0)) / 1000**0.5
        assert np.abs((values.mean(0) - reference.mean(0)) / error).max() < 4.5
        np.testing.assert_allclose(values.std(0), reference.std(0), rtol=0.25)


def test_the_study_measures_the_model_that_the_engine_trains(make, tmp_path, monkeypatch):
    settings, data = make("gaussian", 6000)
    seen = []
    measure = variance.measure
    monkeypatch.setattr(
        variance,
        "measure",
        lambda parameters, *rest: seen.append(parameters) or measure(parameters, *rest),
    )
    arguments = (RUN, 0.02, settings, data, [0, 5000], 2, 3)
    table = variance.study(*arguments)
    (result,) = training.train([RUN], [0.02], settings, data)
    assert list(table.frame["samples"].unique()) == [0, 6000]  # whole blocks of 20 steps of 100
    for name, value in result.weights.items():
        assert np.array_equal(seen[1][name][0].squeeze().numpy(), value.squeeze())
    results.write_table(tmp_path / "table.h5", table)
    frame = results.read_table(tmp_path / "table.h5", VARIANCE).frame
    assert (
        frame.equals(table.frame[frame.columns].astype(frame.dtypes.to_dict()))
        and len(frame) == 2 * 14
    )
    assert frame.notna().all(axis=None) and set(frame["part"]) == {
        "encoder",
        "decoder",
        "bound",
        "bound_all",
    }
    assert variance.study(*arguments).frame.equals(table.frame)


def test_a_model_that_diverges_is_measured_until_then(make, capsys):
    settings, data = make("bernoulli", warmup_steps=0)
    table = variance.study(RUN, 1e6, settings, data, [0, 20_000], 2, 2)
    assert list(table.frame["samples"].unique()) == [0]
    assert "no variances from 20,000 samples on" in capsys.readouterr().err
