"""The linear-Gaussian model: closed forms against scikit-learn, SciPy and brute force, EM's bound,
the learners' gradients, and the estimators of log p(x) against the exact value."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import optimize, stats

from aevb import config, results
from aevb.config.sections import Training
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.learners.mcem import Options
from aevb.marginal.importance import importance
from aevb.marginal.options import Evidence
from aevb.marginal.proposals import DiagonalGaussian
from aevb.paper.verdicts import judge
from aevb.pipeline import plan
from aevb.studies import STUDIES
from aevb.studies.linear import (
    claims,
    closed,
    collapse,
    figures,
    findings,
    grading,
    joint,
    learners,
    numbers,
    simulate,
    work,
)

STUDY = STUDIES["linear"]
TRAINING = {"batch_size": 50, "initial_sd": 0.01, "warmup_steps": 5, "epsilon": 1e-8}
TINY = {
    "latent_dims": [2, 3],
    "dims": [6, 8],
    "n": 200,
    "iterations": 12,
    "samples": 2000,
    "chain_samples": 9000,
    "graded_dims": [2, 6],
    "graded_dim": 10,
    "datapoints": 4,
    "replicates": 2,
    "draws": [10, 20],
    "collapse_latent_dim": 3,
    "collapse_dim": 8,
    "variances": 3,
    "experiment": "mine",
}
RAW = {
    "name": "tiny",
    "samples": 20_000,
    "seeds": [0, 1],
    "experiments": {
        "mine": {
            "dataset": "digits",
            "likelihood": "gaussian",
            "hidden": 5,
            "scale": 16,
            "dequantise": True,
        }
    },
    "evaluation": {"first": 10_000},
    "figure2": [{"experiment": "mine", "latent_dims": [2], "algorithms": ["aevb"]}],
}


def loaded(**changes):
    return config.load({**RAW, "linear": {**TINY, **changes}})


@pytest.fixture(scope="module")
def fitted():
    """A model that is no optimum, data of another, and their moments."""
    generator = np.random.default_rng(0)
    x = simulate.draw(simulate.true_model(generator, 3, 8), generator, 300)[0]
    data = closed.moments(x, 3, "test data")
    return simulate.em_start(generator, data, 3), x, data


def some_encoder(seed=1, q=3, d=8):
    generator = np.random.default_rng(seed)
    root = generator.standard_normal((q, q))
    a, b = 0.2 * generator.standard_normal((d, q)), generator.standard_normal(q)
    return closed.Recognition(a, b, root @ root.T / 5 + 0.1 * np.eye(q))


# Closed forms ---------------------------------------------------------------------------------


def test_log_density_is_that_of_scipys_normal(fitted):
    model, x, data = fitted
    normal = stats.multivariate_normal(
        model.mean, model.w @ model.w.T + model.variance * np.eye(len(model.mean))
    )
    np.testing.assert_allclose(closed.log_density(model, x), normal.logpdf(x))
    assert closed.log_likelihood(model, data) == pytest.approx(normal.logpdf(x).mean())


def test_maximum_likelihood_is_that_of_scikit_learn(fitted):
    """PCA.score takes the unbiased covariance; scaled to it the two densities are the same."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    _, x, data = fitted
    pca = decomposition.PCA(3, svd_solver="full").fit(x)
    unbiased = data._replace(covariance=data.covariance * data.n / (data.n - 1))
    model = closed.maximum_likelihood(unbiased, 3)
    assert closed.log_density(model, x) == pytest.approx(pca.score_samples(x))
    assert model.variance == pytest.approx(pca.noise_variance_)
    analysis = decomposition.FactorAnalysis(3, tol=1e-10, max_iter=5000).fit(x)
    best = closed.log_likelihood(closed.maximum_likelihood(data, 3), data)
    assert best < analysis.score(x) < best + 0.05  # it has a variance for each pixel


def test_no_direct_optimiser_finds_more(fitted):
    start, _, data = fitted
    best = closed.log_likelihood(closed.maximum_likelihood(data, 3), data)

    def loss(theta):
        model = closed.Model(theta[:24].reshape(8, 3), theta[24:32], np.exp(theta[32]))
        return -closed.log_likelihood(model, data)

    theta = np.concatenate([start.w.ravel(), start.mean + 1, [0.0]])
    reached = -optimize.minimize(loss, theta, options={"gtol": 1e-7}).fun
    assert reached == pytest.approx(best, abs=1e-6)


def test_with_its_variance_given_weak_directions_have_no_column(fitted):
    _, _, data = fitted
    values = np.linalg.eigvalsh(data.covariance)[::-1]
    variance = float(np.sqrt(values[1] * values[2]))
    model = closed.maximum_likelihood(data, 3, variance)
    assert (np.linalg.norm(model.w, axis=0) > 0).tolist() == [True, True, False]
    assert closed.active(closed.posterior(model), data) == 2
    assert closed.active_in_theory(data, 3, variance) == 2
    more = model._replace(w=model.w + 0.1 * some_encoder(5).a)
    assert closed.log_likelihood(more, data) < closed.log_likelihood(model, data)


@pytest.mark.parametrize("seed", range(3))
def test_log_p_is_bound_plus_kl_for_any_encoder(fitted, seed):
    """Each of the three by its own formula."""
    model, _, data = fitted
    q = some_encoder(seed)
    kl = closed.kl_to_posterior(model, q, data)
    assert kl > 0.01
    assert closed.bound(model, q, data) + kl == pytest.approx(closed.log_likelihood(model, data))
    assert closed.kl_to_posterior(model, closed.posterior(model), data) == pytest.approx(0)


def test_the_bound_is_the_mean_of_what_monte_carlo_samples(fitted):
    """Estimator A of the paper (eq. 6) with the plain densities of SciPy."""
    model, x, _ = fitted
    q, generator = some_encoder(), np.random.default_rng(3)
    few = closed.moments(x[:40], 3, "some")
    values = []
    for _ in range(400):
        noise = stats.multivariate_normal(np.zeros(3), q.covariance)
        z = x[:40] @ q.a + q.b + (off := noise.rvs(40, random_state=generator))
        spread = np.sqrt(model.variance)
        log_x = stats.norm(z @ model.w.T + model.mean, spread).logpdf(x[:40]).sum(1)
        values.append((log_x + stats.norm.logpdf(z).sum(1) - noise.logpdf(off)).mean())
    error = np.std(values) / 400**0.5
    assert np.mean(values) == pytest.approx(closed.bound(model, q, few), abs=4 * error)
    assert error < 0.2


def test_the_best_diagonal_encoder_is_the_best(fitted):
    model, _, data = fitted
    q = closed.best_diagonal(model)
    best = closed.bound(model, q, data)
    for factor in (0.97, 1.03):
        for k in range(3):
            scale = np.ones(3)
            scale[k] = factor
            other = q._replace(covariance=q.covariance * scale)
            assert closed.bound(model, other, data) < best
    exact = closed.posterior(model)
    inclusive = q._replace(covariance=np.diag(np.diag(exact.covariance)))  # that of a sleep phase
    assert closed.bound(model, inclusive, data) < best < closed.log_likelihood(model, data)


def test_a_diagonal_encoder_is_tight_in_one_rotation_only(fitted):
    _, _, data = fitted
    model = closed.maximum_likelihood(data, 3)
    turned = closed.rotated(model, simulate.rotation(np.random.default_rng(2), 3))
    assert closed.log_likelihood(turned, data) == pytest.approx(closed.log_likelihood(model, data))
    for now, gap in ((model, 0.0), (turned, 0.05)):
        lacks = closed.kl_to_posterior(now, closed.best_diagonal(now), data)
        assert (lacks > gap) if gap else lacks == pytest.approx(0, abs=1e-12)


def test_wilks_the_truth_lies_below_the_maximum_by_what_data_cannot_tell():
    lost, d, q, n = [], 8, 2, 400
    for seed in range(200):
        model, x, _ = simulate.data(q, d, n, seed)
        data = closed.moments(x, q, "it")
        best = closed.log_likelihood(closed.maximum_likelihood(data, q), data)
        lost.append(best - closed.log_likelihood(model, data))
    error = np.std(lost) / 200**0.5
    assert np.mean(lost) == pytest.approx(closed.uncertainty(d, q, n), abs=4 * error)
    assert closed.free_parameters(8, 2) == 24  # 2 columns, less one angle, with mu and sigma^2


# EM -------------------------------------------------------------------------------------------


def test_every_half_step_of_em_is_what_theory_says():
    frame = pd.DataFrame(work.halves(0, 3, 8, 200, 150))
    e, m = (frame[frame["half"] == half].reset_index(drop=True) for half in "EM")
    assert frame["residual"].abs().max() < 1e-9
    assert e["kl"].abs().max() < 1e-9 and (m["kl"].iloc[:5] > 1e-6).all()
    assert (np.diff(frame["bound"]) > -1e-10).all()  # it never falls, in no half
    assert (np.diff(frame["log_p"]) > -1e-10).all()
    assert np.allclose(m["log_p"].iloc[:-1], e["log_p"].iloc[1:])  # an E step leaves the model
    data = closed.moments(work.centred(3, 8, 200, 0), 3, "it")
    best = closed.log_likelihood(closed.maximum_likelihood(data, 3), data)
    assert frame["log_p"].iloc[-1] == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize("variance", [None, 2.0])
def test_an_m_step_is_the_best_answer_to_its_q(fitted, variance):
    model, _, data = fitted
    q = closed.posterior(model)
    best = closed.m_step(q, data, variance)
    most = closed.bound(best, q, data)
    moved = [best._replace(w=best.w + 0.01 * some_encoder(s).a) for s in range(4)]
    moved += [best._replace(mean=best.mean + 0.01)]
    if variance is None:
        moved += [best._replace(variance=best.variance * f) for f in (0.99, 1.01)]
    assert all(closed.bound(other, q, data) < most for other in moved)
    assert variance is None or best.variance == variance


# Learners -------------------------------------------------------------------------------------


def replicas(x, q=3, variance=None, seed=4):
    generators = [np.random.default_rng((seed, k)) for k in range(len(x))]
    return learners.Replicas(torch.from_numpy(x), q, generators, variance)


def gradients(objective, model, q, x, draws):
    """Mean and standard error of the gradients of a learner's objective, by name."""
    theta = {
        "weight": torch.from_numpy(model.w.T.copy()),
        "mean": torch.from_numpy(model.mean[None]),
        "log_variance": torch.tensor([[np.log(model.variance)]]),
        "encoder_weight": torch.from_numpy(q.a),
        "encoder_bias": torch.from_numpy(q.b[None]),
        "encoder_log_variance": torch.from_numpy(np.log(np.diag(q.covariance))[None]),
    }
    count, (n, d) = draws, x.shape
    theta = {k: v.repeat(count, 1, 1).requires_grad_() for k, v in theta.items()}
    generator = np.random.default_rng(0)
    shapes = [(count, n, 3), (count, n, 3), (count, n, d)]
    noise = [torch.from_numpy(generator.standard_normal(shape)) for shape in shapes]
    value = objective(theta, torch.from_numpy(x).repeat(count, 1, 1), noise).sum() / n
    found = dict(zip(theta, torch.autograd.grad(value, list(theta.values())), strict=True))
    return {k: (g.mean(0), g.std(0) / count**0.5) for k, g in found.items()}


def slope(model, q, data, name, at, step=1e-5):
    """Central difference of the exact bound in one parameter."""
    ends = []
    for sign in (1, -1):
        w, log_v = model.w.copy(), np.log(model.variance)
        a, s = q.a.copy(), np.log(np.diag(q.covariance))
        part = {"weight": w.T, "encoder_weight": a, "encoder_log_variance": s[None]}.get(name)
        if part is None:
            log_v += sign * step
        else:
            part[at] += sign * step
        moved = closed.Model(w, model.mean, float(np.exp(log_v)))
        ends.append(closed.bound(moved, q._replace(a=a, covariance=np.diag(np.exp(s))), data))
    return (ends[0] - ends[1]) / (2 * step)


def test_aevbs_gradient_is_unbiased_for_that_of_the_exact_bound(fitted):
    model, x, _ = fitted
    q = some_encoder()
    q = q._replace(covariance=np.diag(np.diag(q.covariance)))
    x = x[:20]
    data = closed.moments(x, 3, "some")
    found_ = gradients(learners.aevb, model, q, x, 3000)
    for name, at in (
        ("weight", (1, 2)),
        ("log_variance", (0, 0)),
        ("encoder_weight", (4, 0)),
        ("encoder_log_variance", (0, 2)),
    ):
        mean, error = (part[at].item() for part in found_[name])
        assert mean == pytest.approx(slope(model, q, data, name, at), abs=4 * error + 1e-6), name
        assert abs(mean) > 5 * error


def test_a_sleep_phase_is_at_rest_where_theory_says(fitted):
    """KL(p || q) of a diagonal encoder is least at the exact mean and the marginal variances; the
    wake phase's gradient leaves the encoder alone, and the sleep phase's the decoder."""
    model, x, _ = fitted
    exact = closed.posterior(model)
    rest = exact._replace(covariance=np.diag(np.diag(exact.covariance)))
    for q, still in ((rest, True), (closed.best_diagonal(model), False)):
        found_ = gradients(learners.wake_sleep, model, q, x[:20], 3000)
        off = [(found_[k][0] / found_[k][1]).abs().max().item() for k in learners.ENCODER]
        assert (max(off) < 4.5) is still
    # the decoder's: that of the complete log likelihood, which an M step sets to zero
    diagonal = closed.moments(x[:20], 3, "some")
    fixed = closed.m_step(rest, diagonal)
    found_ = gradients(
        learners.wake_sleep, fixed, rest._replace(b=-diagonal.mean @ rest.a), x[:20], 3000
    )
    for name in ("weight", "log_variance"):
        assert (found_[name][0] / found_[name][1]).abs().max() < 4.5


def test_an_exact_sleep_phase_leads_wake_sleep_to_the_closed_form(fitted):
    """Though its encoder minimises KL(p || q): at the end the posterior is diagonal."""
    model, _, data = fitted
    best = closed.log_likelihood(closed.maximum_likelihood(data, 3), data)
    for _ in range(3000):
        exact = closed.posterior(model)
        q = exact._replace(covariance=np.diag(np.diag(exact.covariance)))
        model = closed.m_step(q, data)
    assert closed.log_likelihood(model, data) == pytest.approx(best, abs=1e-6)
    assert closed.kl_to_posterior(model, closed.best_diagonal(model), data) < 1e-6


@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep", "mcem"])
def test_a_learner_comes_near_the_closed_form_and_repeats_its_bits(algorithm):
    x = np.stack([work.centred(2, 8, 300, seed) for seed in (0, 1)])
    options = Training(**TRAINING)

    def train():
        if algorithm == "mcem":
            grid = [300 * 15 * 120]
            steps = learners.monte_carlo_em(replicas(x, 2), options, Options(), 0.1, grid)
        else:
            steps = learners.online(algorithm, replicas(x, 2), options, 0.1, [1000, 60_000])
        return list(steps)[-1]

    (seen, state), (_, again) = train(), train()
    assert seen == (540_000 if algorithm == "mcem" else 60_000)
    for name, value in state.theta.items():
        assert torch.equal(value, again.theta[name])
    for k in range(2):
        data = closed.moments(x[k], 2, "it")
        model, q = learners.found(state, k)
        best = closed.log_likelihood(closed.maximum_likelihood(data, 2), data)
        lacks = best - closed.log_likelihood(model, data)
        assert 0 <= lacks < closed.uncertainty(8, 2, 300)
        if algorithm != "mcem":
            assert closed.kl_to_posterior(model, q, data) < closed.uncertainty(8, 2, 300)


def test_a_replica_with_its_variance_given_keeps_it():
    x = np.stack([work.centred(2, 8, 300, 0)] * 2)
    made = replicas(x, 2, np.array([1.5, 3.0]))
    *_, (_, state) = learners.online("aevb", made, Training(**TRAINING), 0.1, [5000])
    assert [learners.found(state, k)[0].variance for k in range(2)] == pytest.approx([1.5, 3.0])


def test_collapse_counts_what_the_eigenvalues_say():
    x = np.stack([work.centred(3, 8, 400, seed) for seed in (0, 1)])
    options = {"points": 4, "samples": 40_000, "step_size": 0.1, "training": TRAINING}
    rows = pd.DataFrame(collapse.counted(x, "it", [0, 1], 3, **options))
    assert (rows["em"] == rows["theory"]).all() and rows["theory"].nunique() > 2
    assert rows["em_shortfall"].abs().max() < 1e-6 and (rows["aevb_shortfall"] > 0).all()
    assert (rows["aevb"] - rows["theory"]).abs().max() <= 1


# Estimators -----------------------------------------------------------------------------------


def test_the_joint_has_its_own_gradient_and_densities(fitted):
    model, x, _ = fitted
    made = joint.joint_of(model, x[:5])
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 10, 3))).requires_grad_()
    for temperature in (1.0, 0.3):
        now = dataclasses.replace(made, temperature=temperature)
        value, gradient = now.value_and_gradient(z.detach())
        plain = stats.norm.logpdf(z.detach().numpy()).sum(-1)
        decoded = z.detach().numpy() @ model.w.T + model.mean
        spread = np.sqrt(model.variance)
        rows = np.tile(x[:5], (2, 1))
        plain = plain + temperature * stats.norm(decoded, spread).logpdf(rows).sum(-1)
        np.testing.assert_allclose(value.numpy(), plain)
        (automatic,) = torch.autograd.grad(now.value(z).sum(), z)
        torch.testing.assert_close(gradient, automatic)
        torch.testing.assert_close(now.gradient(z.detach()), gradient)


def test_an_exact_proposal_gives_log_p_from_every_draw(fitted):
    """Where the bound is tight no importance sampling is needed: its weights are all the same."""
    _, x, data = fitted
    model, x = closed.maximum_likelihood(data, 3), x[:6]
    proposal = grading.encoder(model, x)
    found_ = importance(joint.joint_of(model, x), proposal, np.random.default_rng(0), 8)
    np.testing.assert_allclose(found_.value, closed.log_density(model, x))
    assert grading.second_moment(model) == pytest.approx(1)


def test_importance_sampling_is_as_biased_and_as_spread_as_its_second_moment_says():
    """To first order the bias is -(c - 1) / (2 K) and the variance (c - 1) / K."""
    plain = closed.Model(np.diag([8.0, 3.0, 0.0])[:, :2] ** 0.5, np.zeros(3), 1.0)
    turned = np.array([[0.9, -(0.19**0.5)], [0.19**0.5, 0.9]])
    model = closed.rotated(plain, turned)
    x, _ = simulate.draw(model, np.random.default_rng(1), 3000)
    more = grading.second_moment(model) - 1
    assert 0.1 < more < 1
    joint_, proposal = joint.joint_of(model, x), grading.encoder(model, x)
    draws = 100
    errors = importance(joint_, proposal, np.random.default_rng(0), draws).value
    errors = errors - closed.log_density(model, x)
    standard = errors.std() / len(errors) ** 0.5
    assert errors.var() == pytest.approx(more / draws, rel=0.25)
    assert errors.mean() == pytest.approx(-more / (2 * draws), abs=4 * standard)


def test_weights_without_variance_are_told(fitted):
    model = closed.Model(np.array([[3.0, 2.9], [0.0, 0.5], [0.0, 0.0]]), np.zeros(3), 1.0)
    assert grading.second_moment(model) == np.inf


def test_exact_samples_are_those_of_the_posterior(fitted):
    model, x, _ = fitted
    q = closed.posterior(model)
    z = grading.exact_samples(model, np.repeat(x[:1], 20_000, 0), np.random.default_rng(0)).numpy()
    np.testing.assert_allclose(np.cov(z.T), q.covariance, atol=0.05 * q.covariance.max())
    error = z.std(0) / 20_000**0.5
    assert (np.abs(z.mean(0) - (x[0] @ q.a + q.b)) < 4.5 * error).all()


def test_all_estimators_come_to_the_exact_value():
    rows = pd.DataFrame(grading.graded(2, 10, 4, 2, [150], 0, Evidence()))
    assert set(rows["estimator"]) >= {
        "hmc_kde",
        "hmc_gaussian",
        "importance",
        "ais",
        "ais_backward",
    }
    assert rows["bias"].abs().max() < 0.4 and (rows["spread"] > 0).all()
    again = pd.DataFrame(grading.graded(2, 10, 4, 2, [150], 0, Evidence()))
    pd.testing.assert_frame_equal(rows, again)
    assert isinstance(grading.encoder(*simulate.data(2, 10, 5, 0)[:2]), DiagonalGaussian)


# Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"latent_dims": [2, 8]}, "linear has N_z = 8 with D = 8; N_z must be less than D"),
        ({"graded_dims": [2, 10]}, "N_z = 10 with D = 10; N_z must be less than D"),
        ({"collapse_latent_dim": 64, "collapse_dim": 90}, "N_z = 64 with D = 64"),
        ({"dims": [6]}, "linear.dims needs one D for each of linear.latent_dims"),
        ({"n": 4}, "linear.n = 4 is too few datapoints for the largest N_z; give at least 5"),
        ({"experiment": "ours"}, "linear names the experiment 'ours'; valid are mine"),
        ({"sample": 5}, "unknown key 'linear.sample'; did you mean 'samples'"),
    ],
)
def test_a_configuration_that_cannot_work_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        loaded(**changes)
    assert "\n" not in str(error.value)


def test_data_without_a_maximum_likelihood_are_one_sentence():
    x = np.random.default_rng(0).standard_normal((30, 6))
    constant, flat = x.copy(), x[:, :2] @ np.ones((2, 6)) + x[:, :2] @ x[:2, :6]
    constant[:, [1, 4]] = 0.5
    for data, latent_dim, sentence in (
        (x, 6, "N_z = 6 of it must be less than its 6 pixels"),
        (x[:4], 3, "4 datapoints of it are too few for N_z = 3; give at least 5"),
        (constant, 2, "2 of 6 pixels of it are the same in every datapoint; set dequantise: true"),
        (flat, 3, "the covariance of it is singular, of rank 2, so that N_z = 3 leaves no noise"),
    ):
        with pytest.raises(UserError, match=sentence) as error:
            closed.moments(data, latent_dim, "it")
        assert "\n" not in str(error.value)
    closed.moments(x[:5], 2, "it")  # fewer datapoints than pixels are no harm


def test_constant_pixels_stop_the_job_before_it_writes(digits_file, tmp_path):
    plain = {**RAW["experiments"]["mine"], "dequantise": False}
    study = config.load({**RAW, "experiments": {"mine": plain}, "linear": TINY})
    [job] = [job for job in STUDY.jobs(study) if job.rule == "linear_collapse_mine"]
    output = tmp_path / "out" / "table.h5"
    job = job._replace(outputs=[str(output)], inputs={"data": [str(digits_file)]})
    with pytest.raises(UserError, match="pixels of the data set 'digits' are the same"):
        found(job.work)([job])
    assert not output.parent.exists()


# The study ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(digits_file, tmp_path_factory):
    """The tables of a tiny study, made by its jobs, and as the gathered file has them."""
    folder, study = tmp_path_factory.mktemp("linear"), loaded()
    tables = {}
    for job in STUDY.jobs(study):
        path = folder / f"{job.rule}.h5"
        data = {"data": [str(digits_file)]} if job.inputs else {}
        job = job._replace(outputs=[str(path)], inputs=data)
        found(job.work)([job])
        table = results.read_table(path, STUDY.columns[job.kind])
        assert list(table.frame) == list(STUDY.columns[job.kind]), job.rule
        tables.setdefault(job.kind, {})[job.name] = table
    return results.Gathered(study.model_dump(), {}, {}, tables)


def test_jobs_say_what_decides_them():
    jobs = {job.rule: job for job in plan.jobs(loaded())}
    assert "aevb.marginal.reciprocal:hmc_kde" in jobs["linear_estimators_nz2"].code
    more = {job.rule: job for job in plan.jobs(loaded(samples=3000))}
    changed = {rule for rule in jobs if jobs[rule].settings != more[rule].settings}
    mine = {rule for rule in changed if rule.startswith("linear")}
    assert mine == {
        "linear_learners_nz2-d6",
        "linear_learners_nz3-d8",
        "linear_collapse_simulated",
        "linear_collapse_mine",
    }


def test_numbers_are_the_ends_with_their_intervals(gathered):
    table = numbers.learned(gathered, None)
    assert list(table.columns) == numbers.LEARNED and len(table) == 12
    exact = table[table["algorithm"] == "closed form"]
    assert exact["shortfall"].abs().max() < 1e-12 and exact["diagonal_gap"].max() < 1e-9
    frame = gathered.of("linear_learners")["nz2-d6"].frame
    mine = frame[(frame["algorithm"] == "aevb") & (frame["samples"] == 2000)]
    row = table[(table["size"] == "N_z = 2, D = 6") & (table["algorithm"] == "AEVB")].iloc[0]
    assert row["shortfall"] == pytest.approx(mine["shortfall"].mean()) and row["seeds"] == 2
    assert row["low"] < row["shortfall"] < row["high"] and row["samples"] == 2000
    assert numbers.named("nz10-d100") == "N_z = 10, D = 100"
    assert list(numbers.graded(gathered, None)["latent_dim"].unique()) == [2, 6]
    assert set(numbers.collapsed(gathered, None)["data"]) == {"simulated", "mine"}


def changed(gathered, kind, change):
    """The results with `change`(frame) in the tables of a kind."""
    tables = dict(gathered.tables)
    tables[kind] = {
        name: results.Table(change(table.frame.copy()), table.attributes)
        for name, table in gathered.of(kind).items()
    }
    return results.Gathered(gathered.config, {}, {}, tables)


@pytest.mark.parametrize(
    ("claim", "kind", "good", "bad"),
    [
        (
            claims.maximum_likelihood,
            "linear_learners",
            lambda f: f.assign(shortfall=0.1 * f["uncertainty"]),
            lambda f: f.assign(shortfall=3 * f["uncertainty"]),
        ),
        (
            claims.tight,
            "linear_learners",
            lambda f: f.assign(gap=0.1 * f["uncertainty"], diagonal_gap=f["uncertainty"]),
            lambda f: f.assign(gap=2 * f["uncertainty"], diagonal_gap=f["uncertainty"]),
        ),
        (
            claims.estimator,
            "linear_estimators",
            lambda f: f.assign(bias=np.where(f["latent_dim"] < 5, 0.1, 30.0), bias_se=0.01),
            lambda f: f.assign(bias=np.where(f["latent_dim"] < 5, -3.0, 0.2), bias_se=0.01),
        ),
        (
            claims.collapse,
            "linear_collapse",
            lambda f: f.assign(aevb=f["theory"], em=f["theory"]),
            lambda f: f.assign(aevb=f["theory"] - 2, em=f["theory"]),
        ),
    ],
)
def test_each_claim_comes_out_both_ways(gathered, claim, kind, good, bad):
    verdict = {}
    for name, change in (("good", good), ("bad", bad)):
        verdict[name] = judge(*claim(changed(gathered, kind, change), None))[0]
    assert verdict["good"] == "holds" and verdict["bad"] == "does not hold"


def test_claims_without_the_study_are_not_tested():
    other = results.Gathered(config.load(RAW).model_dump(), {}, {})
    for claim in (claims.maximum_likelihood, claims.tight, claims.estimator, claims.collapse):
        assert claim(other, None) == ([], [])


def test_em_that_differs_from_theory_qualifies_the_claim(gathered):
    off = changed(gathered, "linear_collapse", lambda f: f.assign(em=f["theory"] + 1))
    assert claims.collapse(off, None)[1] == ["exact EM differs from the closed form in 12 fits"]


def test_figures_and_findings_show_every_table(gathered, tmp_path):
    drawn = figures.linear(gathered, None)
    titles = [axis.get_title() for axis in drawn.axes]
    assert titles[:2] == ["$N_z$ = 2, D = 6", "$N_z$ = 3, D = 8"] and len(titles) == 5
    graded = figures.estimators(gathered, None)
    assert [axis.get_title() for axis in graded.axes[:2]] == [
        "10 samples per datapoint",
        "20 samples per datapoint",
    ]
    tables = {
        "linear": numbers.learned(gathered, None),
        "linear_estimators": numbers.graded(gathered, None),
        "linear_collapse": numbers.collapsed(gathered, None),
    }
    part = findings.part(gathered, None, tables)
    assert list(part.tables) == list(STUDY.numbers(gathered.study))
    said = " ".join(" ".join(block[1]) for block in part.sections[0].blocks if block[0] == "list")
    row = tables["linear"].set_index(["algorithm", "size"]).loc["AEVB", "N_z = 2, D = 6"]
    assert f"{row['shortfall']:.3f}" in said and "nan" not in said


def test_the_reduced_form_is_valid():
    text = (plan.ROOT / "config" / "studies.yaml").read_text(encoding="utf-8")
    study = config.load(yaml.safe_load(text))
    assert len(STUDY.jobs(study)) == 2 * 2 + 3 + 2
