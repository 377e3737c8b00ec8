"""The mixture of Gaussians: every formula against quadrature, enumeration or another program."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats
from scipy.special import logsumexp

from aevb import config, results
from aevb.core.errors import UserError
from aevb.paper import claims
from aevb.pipeline import local, plan
from aevb.report import pages
from aevb.report.style import write
from aevb.results import store
from aevb.results.gather import CURVES_CSV
from aevb.studies import STUDIES
from aevb.studies.mixture import MADE, TABLE, ascent, exact, findings, model, numbers, work
from aevb.studies.mixture import figures as drawings

S = 2.0  # sd of the prior
RAW = {
    "name": "mixtures",
    "samples": 2e4,
    "seeds": [0],
    "device": "cpu",
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 10, "scale": 16}
    },
    "training": {"warmup_steps": 5, "step_sizes": [0.05]},
    "evaluation": {"first": 5000},
    "figure2": [{"experiment": "digits", "latent_dims": [2]}],
}
SMALL = {
    "replicates": 3,
    "starts": 8,
    "points": 120,
    "svi_points": 2e4,
    "svi_batch": 100,
    "svi_passes": 1,
}
SMALL |= {"exact_points": 5, "chain_points": 20, "draws": 2000}


def mixture(**changes):
    """A study of mixtures, and of nothing else, that takes a second or two."""
    return config.load({**RAW, "figure2": [], "mixture": {**SMALL, **changes}})


def data(n=6, k=3, d=2, seed=0):
    return model.generate(np.random.default_rng(seed), n, k, d, S)[0]


def any_q(n=6, k=3, d=2, seed=1):
    """A q that no update has made: phi (n, K) and q(mu)."""
    generator = np.random.default_rng(seed)
    phi = generator.dirichlet(np.ones(k), n)
    return phi, model.Factors(generator.normal(0, 2, (k, d)), generator.gamma(2, 0.3, k))


def begin(x, k, seed=0):
    return model.start(np.random.default_rng(seed), x, k, S)


# The bound and the exact posterior --------------------------------------------------------------


def test_the_bound_against_quadrature():
    """E log p(x, c, mu) - E log q(c, mu), by sums over c and Gauss-Hermite quadrature over mu."""
    n, k = 3, 2
    x = data(n, k, 1)
    phi, factors = any_q(n, k, 1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    sd, total = np.sqrt(factors.variance), 0.0
    for (i, a), (j, b) in itertools.product(enumerate(nodes), repeat=2):
        mu = factors.mean[:, 0] + sd * np.array([a, b])
        outside = stats.norm.logpdf(mu, 0, S).sum()
        outside -= stats.norm.logpdf(mu, factors.mean[:, 0], sd).sum()
        for c in itertools.product(range(k), repeat=n):
            q = phi[range(n), c]
            inside = stats.norm.logpdf(x[:, 0], mu[list(c)], 1).sum() - n * np.log(k)
            total += weights[i] * weights[j] * q.prod() * (outside + inside - np.log(q).sum())
    assert model.bound(x, phi, factors, S) == pytest.approx(total, abs=1e-10)


@pytest.mark.parametrize(("n", "k", "d"), [(8, 3, 1), (5, 4, 2), (6, 2, 3)])
def test_bound_plus_divergence_is_log_p(n, k, d):
    """The three are computed without each other, for any q and along coordinate ascent."""
    x = data(n, k, d)
    posterior = exact.enumerated(x, k, S)
    assert len(posterior.c) == k**n == len(np.unique(posterior.c, axis=0))
    ends = [(state.phi, state.factors) for state in ascent.cavi(x, begin(x, k), S)]
    for phi, factors in [*(any_q(n, k, d, seed) for seed in range(5)), *ends]:
        value = model.bound(x, phi, factors, S)
        divergence = exact.divergence(posterior, phi, factors)
        assert value + divergence == pytest.approx(posterior.log_p, abs=1e-10)
        assert divergence > 0


def test_log_p_against_joint_gaussians():
    """Given c, points of one component are jointly Gaussian with covariance I + s^2."""
    n, k = 5, 3
    x = data(n, k, 2)
    posterior = exact.enumerated(x, k, S)
    terms = []
    for c in posterior.c:
        covariance = np.eye(n) + S**2 * (c[:, None] == c)
        terms.append(stats.multivariate_normal(cov=covariance).logpdf(x.T).sum() - n * np.log(k))
    assert posterior.log_p == pytest.approx(logsumexp(terms), abs=1e-10)
    np.testing.assert_allclose(posterior.weights, np.exp(terms - logsumexp(terms)), rtol=1e-9)


def grid_moments(x):
    """Mean and variance of (mu_1, mu_2), and of the sorted ones, on a fine grid (D = 1, K = 2)."""
    axis = np.linspace(-9, 9, 721)
    mu = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    log_p = stats.norm.logpdf(mu, 0, S).sum(-1)
    for value in x[:, 0]:
        log_p = log_p + np.logaddexp.reduce(stats.norm.logpdf(value, mu, 1), axis=-1)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    found = []
    for values in (mu, np.sort(mu, -1)):
        mean = (p[..., None] * values).sum((0, 1))
        found.append((p[..., None] * (values - mean) ** 2).sum((0, 1)).sum())
    return found


def test_variances_of_the_posterior_against_a_grid():
    x = data(4, 2, 1, seed=3)
    every, ordered = grid_moments(x)
    posterior = exact.enumerated(x, 2, S)
    assert exact.total_variance(posterior) == pytest.approx(every, rel=1e-6)
    draws = exact.draw(posterior, np.random.default_rng(0), 200_000).reshape(50, 4000, 2)
    value, error = exact.variance_of(draws)
    assert abs(value - every) < 4 * error < 0.1 * every
    value, error = exact.variance_of(np.sort(draws, 2))
    assert abs(value - ordered) < 4 * error < 0.1 * ordered
    assert ordered < 0.9 * every  # exchanged labels are a good part of it


def test_gibbs_chains_sample_the_enumerated_posterior():
    x = data(6, 3, 1, seed=2)
    posterior = exact.enumerated(x, 3, S)
    chains = exact.gibbs(x, 3, S, np.random.default_rng(0), 30, 3000)
    draws = exact.draw(posterior, np.random.default_rng(1), 90_000).reshape(30, 3000, 3)
    for statistic in (
        lambda mu: np.sort(mu, 2),
        lambda mu: np.abs(mu).max(2, keepdims=True),
        lambda mu: mu.prod(2, keepdims=True),
    ):
        found, expected = statistic(chains[..., 0]), statistic(draws)
        for power in (1, 2):
            a, b = (found**power).mean(1), (expected**power).mean(1)
            error = np.hypot(a.std(0, ddof=1), b.std(0, ddof=1)) / np.sqrt(30)
            assert (np.abs(a.mean(0) - b.mean(0)) < 4.5 * error).all()
    value, error = exact.variance_of(np.sort(chains[..., 0], 2))
    reference, its = exact.variance_of(np.sort(draws, 2))
    assert abs(value - reference) < 4 * np.hypot(error, its)


def test_the_error_of_a_variance_is_that_of_repetitions():
    generator = np.random.default_rng(0)
    found = np.array(
        [exact.variance_of(generator.standard_normal((10, 200, 2))) for _ in range(400)]
    )
    assert found[:, 0].mean() == pytest.approx(2, rel=0.01)
    assert found[:, 0].std() == pytest.approx(np.sqrt((found[:, 1] ** 2).mean()), rel=0.15)


# Coordinate ascent, EM --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "k", "d"), [(40, 3, 1), (60, 5, 2), (30, 4, 3)])
def test_coordinate_ascent_never_lowers_the_bound(n, k, d, seed):
    x = data(n, k, d, seed)
    sweeps = ascent.cavi(x, begin(x, k, seed), S)
    rises = np.array([[state.rise_c, state.rise_mu] for state in sweeps])
    rounding = 1e-12 * abs(sweeps[-1].bound)
    assert np.isnan(rises[0, 0]) and (rises[1:] > -rounding).all() and rises[0, 1] > -rounding
    assert 1 < len(sweeps) < ascent.SWEEPS and rises[-1].sum() < ascent.TOLERANCE
    steps = np.diff([state.bound for state in sweeps])
    np.testing.assert_allclose(steps, rises[1:].sum(1), atol=1e-9)
    for state in sweeps[:3]:
        value = model.bound(x, state.phi, state.factors, S)
        assert value == state.bound


def test_each_update_is_the_best_for_its_factor():
    """The gradient of the bound is 0 there, by finite differences; a random change lowers it."""
    x = data(8, 3, 2)
    phi, factors = any_q(8, 3, 2)
    best = model.assignments(x, factors)
    np.testing.assert_allclose(best.sum(1), 1)
    generator = np.random.default_rng(0)
    for _ in range(50):
        other = best * np.exp(0.05 * generator.standard_normal(best.shape))
        other /= other.sum(1, keepdims=True)
        assert model.bound(x, other, factors, S) < model.bound(x, best, factors, S)
    found = model.means(x, phi, S)

    def value(flat):
        moved = model.Factors(flat[:6].reshape(3, 2), np.exp(flat[6:]))
        return model.bound(x, phi, moved, S)

    flat = np.concatenate([found.mean.ravel(), np.log(found.variance)])
    assert np.abs(optimize.approx_fprime(flat, value, 1e-6)).max() < 1e-4
    for _ in range(50):
        assert value(flat + 0.05 * generator.standard_normal(9)) < value(flat)


def test_em_knows_the_posterior_of_c_and_climbs_to_a_mode():
    x = data(50, 3, 2)
    sweeps = ascent.em(x, begin(x, 3), S)
    joint = [ascent.log_joint(x, state.factors, S) for state in sweeps]
    assert (np.diff(joint) > -1e-10).all() and joint[-1] - joint[0] > 0.1
    for state in sweeps:
        assert abs(state.gap) < 1e-10 and state.rise_mu > -1e-10
    # the E step of the sweep after the last: p(c | x, mu) by Bayes' rule
    last = sweeps[-1].factors
    density = np.stack([stats.norm.pdf(x, mean, 1).prod(1) for mean in last.mean], 1)
    expected = density / density.sum(1, keepdims=True)
    np.testing.assert_allclose(model.assignments(x, last), expected, atol=1e-12)
    reference = np.log(density.mean(1)).sum() + stats.norm.logpdf(last.mean, 0, S).sum()
    assert joint[-1] == pytest.approx(reference, abs=1e-10)

    def value(flat):
        return ascent.log_joint(x, last._replace(mean=flat.reshape(3, 2)), S)

    assert np.abs(optimize.approx_fprime(last.mean.ravel(), value, 1e-6)).max() < 1e-2


def test_em_is_coordinate_ascent_with_ever_smaller_variances():
    """Copies of the data shrink q(mu) to a point: the two then take the same way."""
    x = data(40, 3, 2)
    first = begin(x, 3)

    def apart(times):
        many = np.repeat(x, times, axis=0)
        ways = [ascend(many, first, S)[4].factors.mean for ascend in (ascent.cavi, ascent.em)]
        return np.abs(ways[0] - ways[1]).max()

    few, many = apart(1), apart(100)
    assert many < 0.03 * few


def test_labels_do_not_matter():
    x = data(30, 3, 2)
    first = begin(x, 3)
    order = [2, 0, 1]
    a = ascent.cavi(x, first, S)[-1]
    b = ascent.cavi(x, model.Factors(first.mean[order], first.variance[order]), S)[-1]
    assert a.bound == pytest.approx(b.bound, abs=1e-8)
    np.testing.assert_allclose(a.factors.mean[order], b.factors.mean, atol=1e-4)


@pytest.mark.parametrize("which", ["drawn", "faithful"])
def test_the_same_parameters_as_scikit_learn(which):
    """Its mixture with priors that pin precisions to 1 and weights to 1/K is this model. Its
    lower_bound_ drops constants and is not compared."""
    sklearn = pytest.importorskip("sklearn.mixture")
    k, sd = (3, 5.0) if which == "drawn" else (2, 5.0)
    x = model.old_faithful()
    if which == "drawn":
        x = model.generate(np.random.default_rng(4), 200, k, 2, sd)[0]
    theirs = sklearn.BayesianGaussianMixture(
        n_components=k,
        covariance_type="spherical",
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1e9,
        mean_prior=np.zeros(2),
        mean_precision_prior=1 / sd**2,
        degrees_of_freedom_prior=1e9,
        covariance_prior=1e9,
        tol=1e-12,
        max_iter=5000,
        random_state=0,
    ).fit(x)
    starts = [model.start(np.random.default_rng(seed), x, k, sd) for seed in range(10)]
    ours = max((ascent.cavi(x, first, sd)[-1] for first in starts), key=lambda s: s.bound)
    left, right = (np.argsort(means[:, 0]) for means in (ours.factors.mean, theirs.means_))
    np.testing.assert_allclose(theirs.covariances_, 1, atol=1e-4)
    np.testing.assert_allclose(ours.factors.mean[left], theirs.means_[right], atol=1e-3)
    variance = 1 / theirs.mean_precision_[right]
    np.testing.assert_allclose(ours.factors.variance[left], variance, rtol=1e-3)
    np.testing.assert_allclose(ours.phi[:, left], theirs.predict_proba(x)[:, right], atol=1e-3)


# Stochastic VI ----------------------------------------------------------------------------------


def natural(factors):
    """(m / v, 1 / v), (K, D + 1)."""
    return np.column_stack([factors.mean / factors.variance[:, None], 1 / factors.variance])


def test_a_pass_in_chunks_is_coordinate_ascent(monkeypatch):
    monkeypatch.setattr(model, "CHUNK", 7)  # 40 = 5 x 7 + 5
    x = data(40, 3, 2)
    small, large = ascent.cavi(x, begin(x, 3), S), list(ascent.large_cavi(x, begin(x, 3), S))
    for state, (value, factors) in zip(small[:5], large[1:], strict=False):
        np.testing.assert_allclose(state.factors.mean, factors.mean, rtol=1e-10)
        best = model.assignments(x, factors)
        assert 40 * value == pytest.approx(model.bound(x, best, factors, S), abs=1e-9)
    assert large[-1][0] - large[-2][0] < ascent.TOLERANCE_EACH


def test_the_step_is_a_natural_gradient():
    """F^-1 times the gradient of max_phi bound, for natural parameters (Hoffman et al. 2013): here
    by automatic differentiation, with the Fisher matrix as the Hessian of a KL divergence."""
    x, _ = data(20, 1, 1), None
    factors = model.Factors(np.array([[0.7]]), np.array([0.4]))
    sizes, sums, _ = model.statistics(x, factors)
    step = natural(model.of_sums(sizes, sums, S))[0] - natural(factors)[0]
    at = torch.tensor(natural(factors)[0], requires_grad=True)
    points = torch.from_numpy(x[:, 0])

    def kl(a, b):
        """Between Gaussians of natural parameters (m / v, 1 / v)."""
        (m, v), (n, w) = ((p[0] / p[1], 1 / p[1]) for p in (a, b))
        return 0.5 * (v / w + (m - n) ** 2 / w - 1 + torch.log(w / v))

    mean, variance = at[0] / at[1], 1 / at[1]
    inside = -0.5 * ((points - mean) ** 2 + variance).sum()  # K = 1: phi is 1
    value = inside - kl(at, torch.tensor([0.0, 1 / S**2], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(value, at)
    fixed = at.detach()
    fisher = torch.autograd.functional.hessian(lambda other: kl(fixed, other), fixed)
    found = torch.linalg.solve(fisher, gradient)
    np.testing.assert_allclose(step, found.numpy(), rtol=1e-8)


def test_steps_are_unbiased_and_shrink_as_the_schedule_says():
    x, repeats = data(50, 3, 2), 4000
    first = begin(x, 3)
    target, origin = natural(ascent.cavi(x, first, S)[0].factors), natural(first)
    generator = np.random.default_rng(0)
    for delay, kappa in ((0, 1.0), (3, 0.6)):
        rate = (1 + delay) ** -kappa
        moved = np.array(
            [
                natural(next(ascent.svi(x, first, S, generator, 5, delay, kappa))) - origin
                for _ in range(repeats)
            ]
        )
        error = moved.std(0) / np.sqrt(repeats)
        assert (np.abs(moved.mean(0) - rate * (target - origin)) < 4.5 * error).all()
        assert np.abs(rate * (target - origin)).max() > 20 * error.max()


def test_the_second_step_has_the_second_rate():
    """All datapoints alike make every minibatch the same: what is left is the schedule."""
    x = np.full((10, 1), 3.0)
    first = model.Factors(np.array([[0.0]]), np.array([1.0]))
    steps = ascent.svi(x, first, S, np.random.default_rng(0), 2, 1, 0.8)
    goal, value = 1 / S**2 + 10, 1.0
    for step in (1, 2, 3, 4):
        value += (step + 1) ** -0.8 * (goal - value)
        assert 1 / next(steps).variance[0] == pytest.approx(value)


def test_stochastic_vi_comes_to_the_bound_of_coordinate_ascent():
    x, _ = model.generate(np.random.default_rng(3), 20_000, 4, 2, 5.0)
    first = model.spread_start(np.random.default_rng(1), x, 4, 5.0)
    end = list(ascent.large_cavi(x, first, 5.0))[-1][0]
    steps = ascent.svi(x, first, 5.0, np.random.default_rng(2), 100, 1, 0.7)
    *_, last = itertools.islice(steps, 200)

    def value(factors):
        return (model.statistics(x, factors)[2] - model.divergence(factors, 5.0)) / len(x)

    assert value(first) < end - 0.05 and abs(value(last) - end) < 0.005


def test_a_spread_start_is_at_datapoints_far_apart():
    x = np.concatenate([np.zeros((500, 2)), np.full((1, 2), 100.0), [[100.0, -100.0]]])
    chosen = model.spread_start(np.random.default_rng(0), x, 3, S).mean
    assert {tuple(row) for row in chosen} == {(0, 0), (100, 100), (100, -100)}


def test_old_faithful_is_r_s_and_its_groups_have_unit_variance():
    raw = np.loadtxt(
        model.Path(model.__file__).with_name("faithful.csv"), delimiter=",", skiprows=1
    )
    np.testing.assert_allclose(raw.mean(0), [3.487783, 70.89706], rtol=1e-6)  # as R gives them
    np.testing.assert_allclose(raw.std(0, ddof=1), [1.141371, 13.59497], rtol=1e-6)
    x, short = model.old_faithful(), raw[:, 0] < 3
    assert x.shape == (272, 2) and short.sum() == 97
    pooled = sum(x[rows].var(0) * rows.sum() for rows in (short, ~short)) / 270
    np.testing.assert_allclose(pooled, 1)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.corrcoef(x.T), np.corrcoef(raw.T))


# The study --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Its configuration, and its tables as a study gathers them."""
    folder = tmp_path_factory.mktemp("mixture")
    study = mixture()
    return study, measured(study, folder)


def measured(study, folder):
    tables = {}
    for job in STUDIES["mixture"].jobs(study):
        path = folder / job.outputs[0].replace("/", "-")
        work = plan.absolute(job.work).split(":")
        getattr(__import__(work[0], fromlist=[work[1]]), work[1])([job._replace(outputs=[path])])
        columns = STUDIES["mixture"].columns[job.kind]
        tables[job.kind] = {TABLE: results.read_table(path, columns)}
    return results.Gathered(study.model_dump(mode="json"), {}, {}, tables)


def test_tables_hold_the_columns_that_are_described(made):
    _, gathered = made
    assert set(gathered.tables) == set(MADE) == set(STUDIES["mixture"].work)
    for kind, columns in STUDIES["mixture"].columns.items():
        frame = gathered.of(kind)[TABLE].frame
        assert list(frame) == list(columns) and len(frame)
    drawn = [f"drawn_{number}" for number in range(3)]
    for kind in ("mixture_points", "mixture_traces", "mixture_optima"):
        assert list(numbers.by_data(gathered, kind)) == [*drawn, "faithful"]
    assert list(numbers.by_data(gathered, "mixture_svi")) == drawn


def test_one_seed_gives_the_same_bits_and_another_others(made, tmp_path):
    study, gathered = made
    again = measured(study, tmp_path)
    other = measured(study.model_copy(update={"seeds": [1]}), tmp_path)
    for kind, tables in gathered.tables.items():
        assert tables[TABLE].frame.equals(again.of(kind)[TABLE].frame), kind
        assert not tables[TABLE].frame.equals(other.of(kind)[TABLE].frame), kind


def test_a_key_that_decides_no_table_makes_none_anew():
    def settings(**changes):
        jobs = STUDIES["mixture"].jobs(mixture(**changes))
        return {job.kind: json.dumps(job.settings, sort_keys=True, default=list) for job in jobs}

    before = settings()
    for changes, kinds in (
        ({"svi_kappa": 0.9}, {"mixture_svi"}),
        ({"draws": 4000}, {"mixture_variance"}),
        ({"points": 90}, {"mixture_points", "mixture_traces", "mixture_optima"}),
        ({"exact_points": 6}, {"mixture_evidence", "mixture_variance"}),
    ):
        after = settings(**changes)
        assert {kind for kind in before if before[kind] != after[kind]} == kinds


def test_the_rows_of_a_trace_stand_for_every_sweep(made):
    options = made[1].study.mixture
    rows = pd.DataFrame(work._traces("drawn_0", 0, options))
    for who, sweeps in work._ascents("drawn_0", 0, options):
        mine = rows[(rows["start"] == who["start"]) & (rows["algorithm"] == who["algorithm"])]
        assert mine["sweep"].iloc[-1] == len(sweeps) and len(mine) <= work.TRACED
        for key in ("rise_c", "rise_mu"):
            assert mine[key].min() == np.nanmin([getattr(state, key) for state in sweeps])
        gaps = np.abs([state.gap for state in sweeps])
        assert np.isnan(gaps).all() or mine["gap"].abs().max() == gaps.max()


def test_the_tables_tell_one_story(made):
    """Traces, optima, sizes and log p(x) of the same data agree, computed apart."""
    _, gathered = made
    for name in ("drawn_0", "faithful"):
        traces = numbers.by_data(gathered, "mixture_traces")[name]
        optima = numbers.by_data(gathered, "mixture_optima")[name]
        ends = traces.groupby(["algorithm", "start"])["bound"].last()
        np.testing.assert_array_equal(ends, optima.groupby(["algorithm", "start"])["bound"].last())
        points = len(numbers.by_data(gathered, "mixture_points")[name])
        sizes = optima.groupby(["algorithm", "start"])["size"].sum()
        np.testing.assert_allclose(sizes, points)
    known = numbers.evidence(gathered)
    assert (known["residual"] < 1e-10).all() and (known["divergence"] > 0).all()
    ratios = numbers.variance_ratios(gathered)
    assert set(ratios) == {"enumeration", "Gibbs"}
    assert (ratios["enumeration"]["labels"] < ratios["enumeration"]["ratio"]).all()


def test_the_summary_has_every_number_with_its_interval(made):
    _, gathered = made
    table = numbers.summary(gathered, pd.DataFrame())
    assert list(table) == numbers.COLUMNS and table["value"].notna().all()
    many = table[table["values"] > 1]
    assert many[["low", "high"]].notna().all(axis=None) and len(many) > 15
    assert (many["low"] <= many["value"]).all() and (many["value"] <= many["high"]).all()
    kl = table.set_index("quantity")["value"]
    assert kl["bound"] + kl["KL(q || posterior)"] == pytest.approx(kl["log p(x)"], abs=1e-9)
    empty = results.Gathered(gathered.config, {}, {}, {})
    assert numbers.summary(empty, pd.DataFrame()).empty
    assert not findings.part(empty, pd.DataFrame(), {}).sections


def judged(gathered):
    table = claims.verdicts(gathered, pd.DataFrame())
    table["number"] = table["claim"].str.extract(r"^(\d+)", expand=False).astype(int)
    return table.set_index("number")


def changed(gathered, kind, change):
    frame = gathered.of(kind)[TABLE].frame.copy()
    change(frame)
    tables = {**gathered.tables, kind: {TABLE: results.Table(frame, {})}}
    return results.Gathered(gathered.config, {}, {}, tables)


@pytest.fixture
def claims_of_mixtures(monkeypatch):
    """The claims of this study alone: those of others need runs."""
    mine = [entry for entry in claims.catalogue() if 21 <= entry.number <= 24]
    assert [entry.number for entry in mine] == [21, 22, 23, 24]
    monkeypatch.setattr(claims, "CLAIMS", mine)


def test_claims_hold_on_what_was_measured(made, claims_of_mixtures):
    found = judged(made[1])
    assert found.loc[21, "verdict"] == "holds" and found.loc[21, "checks"] == 2
    assert found.loc[22, "effect"] > 1
    assert found.loc[23, "checks"] == 2 and found.loc[23, "effect"] < 1
    assert found.loc[24, "verdict"].startswith(("holds", "undecided"))
    assert set(found["figure"]) == {"mixture_optima", "mixture_exact"}
    absent = judged(results.Gathered(made[0].model_dump(mode="json"), {}, {}, {}))
    assert absent.empty  # no claim of the paper: it shows where it is tested alone


def lower(column, by):
    def change(frame):
        frame[column] = frame[column] - by

    return change


def test_claims_fail_on_the_opposite(made, claims_of_mixtures):
    """A bound that falls, starts that end alike, a q that is too wide, stochastic VI that is
    slower: each claim can fail."""
    _, gathered = made
    fallen = judged(changed(gathered, "mixture_traces", lower("rise_mu", 1e3)))
    assert fallen.loc[21, "verdict"] == "does not hold"

    def alike(frame):
        frame["bound"] = -100.0 - 1.0 / frame["sweep"]

    same = judged(changed(gathered, "mixture_traces", alike))
    assert same.loc[22, "verdict"].startswith("does not hold")

    def wide(frame):
        frame["mean_field"] = 3 * frame["posterior"]

    assert judged(changed(gathered, "mixture_variance", wide)).loc[23, "verdict"] == "does not hold"

    def stuck(frame):
        frame.loc[frame["algorithm"] == "svi", "bound"] -= 10

    lost = judged(changed(gathered, "mixture_svi", stuck))
    assert "3 of 3 runs did not get there" in lost.loc[24, "verdict"]
    assert not lost.loc[24, "verdict"].startswith("holds")

    def slow(frame):
        frame.loc[frame["algorithm"] == "svi", "passes"] *= 1e4

    late = judged(changed(gathered, "mixture_svi", slow)).loc[24, "verdict"]
    assert late.startswith("does not hold")


def test_chains_that_disagree_qualify_the_claim(made, claims_of_mixtures):
    def apart(frame):
        frame.loc[frame["method"] == "Gibbs", "r_hat"] = 1.5

    verdict = judged(changed(made[1], "mixture_variance", apart)).loc[23, "verdict"]
    assert "chains disagree on 3 of 3 data sets" in verdict


def test_stochastic_vi_is_there_once_it_stays_there():
    def race(*bounds):
        frame = pd.DataFrame({"passes": [0.0, 0.1, 0.2, 0.3], "bound": bounds})
        return numbers._stays(frame, -1.0)

    assert race(-5, -2, -0.5, -0.4) == 0.2
    assert race(-5, -0.5, -2, -0.4) == 0.3  # it had been there by chance
    assert race(-0.5, -0.5, -0.5, -0.5) == 0
    assert race(-5, -4, -3, -2) == np.inf


def test_figures_and_texts_come_from_the_gathered_tables(made, tmp_path):
    study, gathered = made
    entry = STUDIES["mixture"]
    assert set(entry.figures(study)) == {"mixture_optima", "mixture_exact"}
    for draw, panels in ((drawings.optima, 6), (drawings.exact, 3)):
        figure = draw(gathered, pd.DataFrame())
        assert len(figure.axes) == panels and all(axis.has_data() for axis in figure.axes)
        write(figure, [tmp_path / "figure.svg"])
        assert (tmp_path / "figure.svg").stat().st_size > 10_000
    shown = findings.part(
        gathered, pd.DataFrame(), {"mixture": numbers.summary(gathered, pd.DataFrame())}
    )
    [section] = shown.sections
    words = pages.texts(entry.text(), shown.facts)
    for kind, name in section.blocks:
        assert kind in ("text", "figure", "table")
        assert words[f"cap-{name}" if kind == "table" else name]
    assert "243 assignments" in words["mixture-exact"]
    assert f"{len(numbers.starts(gathered)['drawn_0'].bounds)} starts" in words["mixture"]
    quantities = [row[0] for row in shown.tables["mixture"].rows]
    assert "highest end minus lowest" in quantities


def test_it_is_in_the_plan():
    jobs = {job.rule: job for job in plan.jobs(mixture())}
    for kind in MADE:
        job = jobs[f"{kind}_{TABLE}"]
        assert job.seconds >= 0 and not job.runs and not job.gpu
        assert jobs["gather"].inputs[kind] == job.outputs
    assert {"figure_mixture_optima", "figure_mixture_exact"} <= set(jobs)
    assert any(path.endswith("/mixture.csv") for path in jobs["claims"].outputs)
    without = {job.rule for job in plan.jobs(config.load(RAW))}
    assert not [rule for rule in without if "mixture" in rule]


def test_a_study_that_trains_no_curve_comes_to_its_report(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, tables = made
    jobs = {job.rule: job for job in plan.jobs(study)}
    assert not {"pilot", "train"} & {job.kind for job in jobs.values()}
    for kind in MADE:
        results.write_table(jobs[f"{kind}_{TABLE}"].outputs[0], tables.of(kind)[TABLE])
    for path in map(Path, jobs["report"].inputs["figures"]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<svg/>")
    local.run([jobs[name] for name in ("gather", "claims", "report")])
    [header] = Path(study.folder, "curves.csv").read_text().splitlines()
    assert header == ",".join(CURVES_CSV) and store.is_gathered(f"{study.folder}/gathered.h5")
    verdicts = pd.read_csv(f"{study.folder}/claims.csv").set_index("claim")["verdict"]
    assert verdicts["21. coordinate ascent never lowers the bound"].startswith("holds")
    page = Path(study.folder, "report.html").read_text()
    said = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "no curves, only studies" in said and "What was not run" in said
    assert "0 runs" not in said and not re.search(r"\bnan\b", said)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"components": 200}, "mixture.components is 200, more than the 120 of mixture.points"),
        ({"exact_components": 6}, "mixture.exact_components is 6, more than the 5 of mixture.exac"),
        (
            {"svi_points": 4, "svi_batch": 1},
            "mixture.components is 5, more than the 4 of mixture.s",
        ),
        ({"exact_points": 20}, r"mixture: to enumerate 3\^20 assignments .* memory .* fewer"),
        ({"exact_points": 10_000, "chain_points": 10_000}, r"enumerate 3\^10000 assignments"),
        ({"exact_points": 2000, "exact_components": 2000, "chain_points": 2000}, r"2000\^2000"),
        ({"svi_kappa": 0.5}, "svi_kappa is 0.5: .* only with kappa above 0.5 and at most 1"),
        ({"svi_kappa": 1.1}, r"svi_kappa is 1.1: .* \(Robbins and Monro\)"),
        ({"svi_batch": 10**6}, "mixture.svi_batch is 1,000,000, more than the 20,000"),
        ({"prior_sd": 0}, "'mixture.prior_sd' is 0: it must be greater than 0"),
        ({"exact_prior_sd": -1}, "'mixture.exact_prior_sd' is -1: it must be greater than 0"),
        ({"starts": 1}, "'mixture.starts' is 1"),
        ({"draws": "many"}, "'mixture.draws' is 'many': it must be a whole number"),
        ({"kappa": 0.7}, "unknown key 'mixture.kappa'; did you mean 'svi_kappa'"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_job(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        mixture(**changes)
    assert "\n" not in str(error.value) and not re.search(r"\.\s", str(error.value))
