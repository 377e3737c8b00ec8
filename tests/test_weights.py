"""Full variational Bayes (appendix F): closed forms against SciPy and quadrature, gradients against
autograd, MAP against the engine, and what the study says."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from aevb import config, results
from aevb.config.sections import Training
from aevb.core.errors import UserError
from aevb.core.run import Run, found
from aevb.engine.training import train as engine_train
from aevb.learners import LEARNERS
from aevb.models import densities, nets
from aevb.models.likelihoods import LIKELIHOODS
from aevb.paper import claims as catalogue
from aevb.paper.verdicts import judge
from aevb.pipeline import plan
from aevb.report import pages
from aevb.report.style import write
from aevb.studies import STUDIES
from aevb.studies.weights import claims, figures, findings, latent, networks, numbers, work
from aevb.studies.weights import full as appendix_f
from aevb.studies.weights import regression as linear

STUDY = STUDIES["weights"]
RUN = Run("mine", "aevb", 3, 0)
RAW = {
    "name": "weights",
    "samples": 2e4,
    "seeds": [0, 1],
    "device": "cpu",
    "experiments": {
        "mine": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 8, "scale": 16}
    },
    "training": {"warmup_steps": 5, "step_sizes": [0.05]},
    "evaluation": {"first": 5000},
    "figure2": [{"experiment": "mine", "latent_dims": [2]}],
}
SMALL = {
    "experiment": "mine",
    "n_train": [30, 60],
    "samples": 6000,
    "points": 3,
    "draws": 2,
    "linear_samples": 6e4,
    "estimates": 2000,
    "linear_points": 60,
    "pixels": 4,
}


def study(**changes):
    return config.load({**RAW, "weights": {**SMALL, **changes}})


def some(design="correlated", n=25, k=3, d=4, seed=0):
    """A regression, and a diagonal q that is no optimum."""
    generator = np.random.default_rng(seed)
    data = linear.data(generator, design, n, k, d)
    return data, generator.standard_normal((k, d)), generator.gamma(2, 0.1, (k, d))


def q_of(mean, variance):
    parts = (mean, 0.5 * np.log(variance))
    return appendix_f.Weights(*({"w": torch.from_numpy(part)} for part in parts))


# The linear model with known codes --------------------------------------------------------------


def test_evidence_and_posterior_are_those_of_the_joint_normal():
    """By conditioning the joint normal of a column of W and its pixel, without the formulas."""
    data, _, _ = some()
    z, d = data.codes, data.x.shape[1]
    marginal = z @ z.T + linear.VARIANCE * np.eye(len(z))
    exact = sum(stats.multivariate_normal(cov=marginal).logpdf(data.x[:, j]) for j in range(d))
    assert linear.evidence(data) == pytest.approx(exact)
    gain = z.T @ np.linalg.inv(marginal)
    np.testing.assert_allclose(linear.posterior_mean(data), gain @ data.x)
    covariance = np.eye(3) - gain @ z
    np.testing.assert_allclose(np.linalg.inv(linear.precision(data)), covariance, atol=1e-12)


def test_the_kl_is_torchs_and_adds_up_to_the_evidence():
    """Three formulas for three numbers (eq. 13)."""
    data, mean, variance = some()
    covariance = torch.from_numpy(np.linalg.inv(linear.precision(data)))
    total = 0.0
    for j, target in enumerate(torch.from_numpy(linear.posterior_mean(data)).T):
        q = torch.distributions.MultivariateNormal(
            torch.from_numpy(mean[:, j]), torch.from_numpy(np.diag(variance[:, j]))
        )
        p = torch.distributions.MultivariateNormal(target, covariance)
        total += torch.distributions.kl_divergence(q, p).item()
    kl = linear.kl_to_posterior(data, mean, variance)
    assert kl == pytest.approx(total) and kl > 1
    assert linear.bound(data, mean, variance) + kl == pytest.approx(linear.evidence(data))


@pytest.mark.parametrize("design", linear.DESIGNS)
def test_no_other_diagonal_q_is_better_and_orthogonal_codes_leave_nothing(design):
    data, _, _ = some(design)
    mean, variance = linear.best(data)
    top = linear.bound(data, mean, variance)
    for factor in (0.95, 1.05):
        assert linear.bound(data, mean, variance * factor) < top
        assert linear.bound(data, mean * factor, variance) < top
    assert top <= linear.evidence(data) + 1e-9
    gap = linear.evidence(data) - top
    assert gap == pytest.approx(0, abs=1e-8) if design == "orthogonal" else gap > 1


@pytest.mark.parametrize("form", appendix_f.FORMS)
def test_estimates_have_the_bound_as_their_mean(form):
    data, mean, variance = some()
    values = linear.estimates(
        data, q_of(mean, variance), np.random.default_rng(1), 10, 20_000, form
    )
    error = values.std() / len(values) ** 0.5
    assert values.mean() == pytest.approx(linear.bound(data, mean, variance), abs=4 * error)
    assert len(np.unique(values)) == len(values)
    few = linear.estimates(data, q_of(mean, variance), np.random.default_rng(1), 10, 150, form)
    np.testing.assert_array_equal(few, values[:100].tolist() + few[100:].tolist())


def test_the_analytic_form_varies_less_given_the_datapoints():
    """Appendix F.1: without the noise of a minibatch."""
    _, mean, variance = some()
    weights, generator = q_of(mean, variance), np.random.default_rng(2)
    zeta = torch.from_numpy(generator.standard_normal((5000, *mean.shape)))
    w = weights.mean["w"] + weights.log_sd["w"].exp() * zeta
    drawn = linear.prior_part(weights, w, "sampled")
    assert drawn.std() > 0.5
    known = linear.prior_part(weights, w, "analytic")
    assert known.item() == pytest.approx(-weights.kl().sum().item())
    assert drawn.mean().item() == pytest.approx(
        known.item(), abs=4 * drawn.std().item() / 5000**0.5
    )


# The smallest model with latent codes -----------------------------------------------------------


def test_the_latent_case_adds_up_by_quadrature():
    """log p(X) = bound + KL(q(w) || p(w|X)) + E KL(q(z|x) || p(z|x, w)) (eq. 13 and 15)."""
    x = latent.data(np.random.default_rng(0), 20)
    for q in (latent.best(x), latent.Q(0.8, 0.4, 0.2, 0.9)):
        exact = latent.exact(x, q)
        assert min(exact.kl_w, exact.kl_z) > 0
        whole = latent.bound(x, q) + exact.kl_w + exact.kl_z
        assert whole == pytest.approx(exact.evidence, abs=1e-9)
    assert latent.bound(x, latent.best(x)) > latent.bound(x, q)
    assert latent.exact(x, latent.best(x)).kl_w > 0.9 * math.log(2)  # of two modes it takes one


def test_its_evidence_is_that_of_a_plain_double_integral():
    """Over w and z, by the trapezoidal rule on a lattice."""
    x, line = np.array([0.7]), np.linspace(-9, 9, 801)
    w, z = np.meshgrid(line, line)
    joint = stats.norm.pdf(w) * stats.norm.pdf(z) * stats.norm.pdf(x[0], w * z)
    value = joint.sum() * (line[1] - line[0]) ** 2
    assert latent.exact(x, latent.Q(1, 1, 0, 1)).evidence == pytest.approx(math.log(value))


@pytest.mark.parametrize("form", appendix_f.FORMS)
def test_its_estimates_have_the_bound_as_their_mean(form):
    x = latent.data(np.random.default_rng(0), 20)
    q = latent.Q(0.8, 0.4, 0.2, 0.9)
    values = latent.estimates(x, q, np.random.default_rng(1), 10, 20_000, form)
    error = values.std() / len(values) ** 0.5
    assert values.mean() == pytest.approx(latent.bound(x, q), abs=4 * error)


# Gradients and training -------------------------------------------------------------------------


def small_network(likelihood="bernoulli", prior="weights"):
    """A network in float64 away from its start, a minibatch and noise."""
    layout, training = nets.Layout(6, 5, 2, likelihood), Training(prior=prior, batch_size=4)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mean = layout.view(0.5 * normal(layout.n_parameters))
    weights = appendix_f.Weights(
        mean, {name: 0.3 * normal(*mean[name].shape) - 1 for name in networks.covered(training)}
    )
    zeta = {name: normal(*part.shape) for name, part in weights.log_sd.items()}
    return training, weights, normal(4, 6).sigmoid(), [normal(1, 4, 2)], zeta


@pytest.mark.parametrize("form", appendix_f.FORMS)
@pytest.mark.parametrize(("likelihood", "prior"), [("bernoulli", "weights"), ("gaussian", "all")])
def test_the_gradient_is_autograds_through_the_appendix(form, likelihood, prior):
    """Equations 21 and 24 as they are written, with the densities of densities.py."""
    training, weights, x, noise, zeta = small_network(likelihood, prior)
    n, share = 50, 4 / 50
    leaves = [
        {name: part.clone().requires_grad_() for name, part in parts.items()} for parts in weights
    ]
    mean, log_sd = leaves
    theta = mean | {name: mean[name] + log_sd[name].exp() * zeta[name] for name in log_sd}
    m, log_v = nets.encode(x, theta)
    z = m + torch.exp(0.5 * log_v) * noise[0][0]
    f = LIKELIHOODS[likelihood].log_density(x, nets.decode(z, theta))
    if form == "sampled":
        f = f + densities.log_prior(z) - densities.log_normal(z, m, log_v)
    else:
        f = f - densities.kl_to_prior(m, log_v)
    value = n * f.mean()
    for name in log_sd:
        flat = [part[name].flatten() for part in (theta, mean, log_sd)]
        if form == "sampled":
            log_q = densities.log_normal(flat[0], flat[1], 2 * flat[2])
            value = value + densities.log_prior(flat[0]) - log_q
        else:
            value = value - densities.kl_to_prior(flat[1], 2 * flat[2])
    (share * value).backward()
    learner = LEARNERS["aevb"](
        likelihood, training.model_copy(update={"estimator": networks.ESTIMATORS[form]})
    )
    with torch.no_grad():
        up, own = appendix_f.gradient(learner, weights, x, noise, zeta, share, form)
    for name, part in mean.items():
        # what kernels.adagrad adds for the parameters that have a prior
        whole = up[name] - share * weights.mean[name] * (name in log_sd)
        torch.testing.assert_close(whole, part.grad, rtol=1e-5, atol=1e-7)
    for name, part in log_sd.items():
        torch.testing.assert_close(own[name], part.grad, rtol=1e-5, atol=1e-7)
    assert set(log_sd) == {k for k in nets.REGULARISED[prior] if k.startswith("decoder")}


def test_map_is_the_engines_aevb_to_the_bit(make):
    settings, data = make(samples=4000, warmup_steps=5)
    [trained] = engine_train([RUN], [0.05], settings, data)
    layout = nets.Layout(64, 20, 3, "bernoulli")
    *_, weights = networks.train(RUN, data.train, 16, layout, settings.training, 0.05, 40)
    assert not weights.log_sd
    for name, value in trained.weights.items():
        np.testing.assert_array_equal(weights.mean[name].numpy().reshape(value.shape), value)


def test_full_vb_starts_as_map_and_repeats_its_bits(make):
    settings, data = make(warmup_steps=5)
    layout = nets.Layout(64, 20, 3, "bernoulli")
    arguments = (RUN, data.train[:100], 16, layout, settings.training, 0.05)
    first = next(networks.train(*arguments, 1, "analytic", 0.1))
    same = next(networks.train(*arguments, 1))
    for name, part in first.mean.items():
        torch.testing.assert_close(part, same.mean[name], rtol=0, atol=0)  # a warm-up step
    assert {part.unique().item() for part in first.log_sd.values()} == {np.float32(math.log(0.1))}
    ends = [[*networks.train(*arguments, 30, "analytic", 0.1)][-1] for _ in range(2)]
    for one, other in zip(*ends, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    other = [*networks.train(*arguments, 30, "sampled", 0.1)][-1]
    assert not torch.equal(
        ends[0].log_sd["decoder.output.weight"], other.log_sd["decoder.output.weight"]
    )


def test_without_data_to_speak_of_q_returns_to_the_prior():
    """One datapoint at 0 with codes of 0: nothing but the KL, whose optimum is N(0, 1)."""
    data = linear.Regression(np.zeros((2, 3)), np.zeros((2, 2)))
    training = Training(batch_size=2, warmup_steps=0)
    *_, weights = linear.train(data, np.random.default_rng(0), training, 0.1, 1000, "analytic", 0.3)
    assert weights.kl().max() < work.PRIOR


# The study --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(digits_file):
    """Its tables, measured."""
    loaded, tables = study(), {}
    folder = digits_file.parent / "weights"
    for job in STUDY.jobs(loaded):
        path = folder / job.kind / f"{job.name}.h5"
        job = job._replace(outputs=[str(path)], inputs={"data": [str(digits_file)]})
        found(job.work)([job])
        columns = STUDY.columns[job.kind]
        tables.setdefault(job.kind, {})[job.name] = results.read_table(path, columns)
    return results.Gathered(loaded.model_dump(), {}, {}, tables)


@pytest.fixture(scope="module")
def tables(gathered):
    return {name: found(place)(gathered, None) for name, place in STUDY.numbers(None).items()}


def test_tables_hold_what_their_columns_say(gathered):
    for kind, columns in STUDY.columns.items():
        for table in gathered.of(kind).values():
            assert set(table.frame) == set(columns) and len(table.frame)
    frame = gathered.of("weights_networks")["n60"].frame
    assert len(frame) == 2 * 3 * 3  # seeds, evaluations, thetas
    own = frame[frame["theta"] == "sampled"]
    np.testing.assert_allclose(own["whole"], own["train"] - own["kl"] / 60)
    assert frame[frame["method"] == "map"]["kl"].isna().all() and (own["kl"] > 0).all()
    one, other = (gathered.of("weights_networks")[name].frame for name in ("n30", "n60"))
    assert not np.allclose(one["train"], other["train"])


def test_trained_q_comes_near_the_evidence_where_it_can(gathered):
    table = gathered.of("weights_regression")["all"].frame
    np.testing.assert_allclose(table["bound"] + table["kl"], table["evidence"])
    assert (table["kl"] > table["best_kl"] - 1e-9).all()
    gaps = numbers.trained_gaps(gathered)
    assert gaps["orthogonal", "analytic"].max() < 1 < gaps["correlated", "analytic"].min()


def test_numbers_are_those_of_the_tables(gathered, tables):
    trained = tables["weights"]
    frame = gathered.of("weights_networks")["n30"].frame
    last = frame[(frame["theta"] == "point") & (frame["samples"] == frame["samples"].max())]
    row = trained[(trained["n_train"] == 30) & (trained["theta"] == "point")].iloc[0]
    gap = last["train"] - last["test"]
    low, high = stats.t.interval(0.95, 1, gap.mean(), stats.sem(gap))
    assert [row["gap"], row["gap_low"], row["gap_high"]] == pytest.approx([gap.mean(), low, high])
    assert row["best"] >= row["test"] and row["seeds"] == 2
    moved = tables["weights_differences"].set_index(["n_train", "theta", "quantity"])["difference"]
    quantity = "test bound of full VB less that of MAP"
    at = trained.set_index(["n_train", "theta"])["test"]
    assert moved[60, "mean", quantity] == pytest.approx(at[60, "mean"] - at[60, "point"])
    linear_rows = tables["weights_linear"]
    assert len(linear_rows) == 6 and (linear_rows["high"] > linear_rows["low"]).all()


def made(**effects):
    """Gathered results whose networks end as `effects` says: theta -> (train, test, best)."""
    rows = []
    for seed in range(3):
        for theta, (train, test, best) in effects.items():
            shift = 0.01 * seed * (theta == "sampled")
            for samples, value in ((100, best), (200, test)):
                row = {"seed": seed, "theta": theta, "samples": samples, "train": train}
                rows.append({**row, "test": value + shift})
    table = results.Table(pd.DataFrame(rows), {})
    return results.Gathered({}, {}, {}, {"weights_networks": {"n100": table}})


@pytest.mark.parametrize(
    ("effects", "word", "remark"),
    [
        ({"point": (-90, -120, -110), "sampled": (-95, -100, -101)}, "holds", False),
        ({"point": (-90, -120, -110), "sampled": (-110, -115, -116)}, "holds", True),
        ({"point": (-90, -120, -110), "sampled": (-130, -135, -136)}, "mixed", True),
        ({"point": (-90, -120, -120), "sampled": (-80, -130, -136)}, "does not hold", False),
    ],
)
def test_claim_33_follows_its_rule(effects, word, remark):
    checks, remarks = claims.overfits_less(made(**effects), None)
    assert [check.name for check in checks] == ["gap, N = 100", "test bound, N = 100"]
    assert judge(checks, remarks)[0].startswith(word)
    assert bool(remarks) == remark
    gap = effects["point"][0] - effects["point"][1] - effects["sampled"][0] + effects["sampled"][1]
    assert checks[0].values[0] == pytest.approx(gap)


def test_claim_32_fails_where_an_estimator_is_biased(gathered):
    checks, _ = claims.tight(gathered, None)
    assert len(checks) == 6 + 4
    table = gathered.of("weights_estimates")["all"]
    off = table.frame.assign(estimate=table.frame["estimate"] + 50)
    moved = {"all": results.Table(off, table.attributes)}
    tables = {**gathered.tables, "weights_estimates": moved}
    checks, _ = claims.tight(results.Gathered(gathered.config, {}, {}, tables), None)
    assert not judge(checks, [])[0].startswith("holds")


def test_claims_without_the_study_are_not_tested():
    nothing = results.Gathered({}, {}, {})
    assert claims.tight(nothing, None) == claims.overfits_less(nothing, None) == ([], [])
    own = [entry for entry in catalogue.catalogue() if entry.number in (32, 33)]
    assert len(own) == 2 and not any(entry.paper for entry in own)


def test_figures_and_words(gathered, tables, tmp_path):
    for draw in (figures.networks, figures.linear):
        write(draw(gathered, None), [tmp_path / f"{draw.__name__}.png"])
        assert (tmp_path / f"{draw.__name__}.png").stat().st_size > 10_000
    part = findings.part(gathered, None, tables)
    said = pages.texts(STUDY.text(), part.facts)
    headings = re.findall(r"^== (\S+)$", STUDY.text().read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(headings)) == len(headings)  # a later one would take an earlier one's place
    figures_of = STUDY.figures(None)
    assert {"weights-bound", "weights-networks", *figures_of} <= set(said)
    assert {f"cap-{name}" for name in part.tables} <= set(said)
    listed = next(what for kind, what in part.sections[0].blocks if kind == "list")
    assert len(listed) == 2 and listed[0].startswith("N = 30: MAP ends at a test bound of −")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_train": [5000]}, "asks for 5,000 training images, of which 'mine' has 1,500"),
        ({"samples": 500}, "the warm-up leaves nothing to train; give at least 600"),
        ({"codes": 100}, "codes cannot be orthogonal; give fewer codes"),
        ({"draws": 1}, "weights.draws"),
        ({"form": "local"}, "weights.form"),
        ({"experiment": "yours"}, "yours"),
    ],
)
def test_bad_input_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        study(**changes)
    assert "\n" not in str(error.value)


def test_it_needs_a_prior():
    raw = {**RAW, "training": {**RAW["training"], "prior": "none"}, "weights": SMALL}
    with pytest.raises(UserError, match=r"training\.prior is none; give weights"):
        config.load(raw)


def test_divergence_is_one_sentence(digits_file, tmp_path):
    jobs = STUDY.jobs(study(step_size=1e30, n_train=[30], samples=1000))
    job = jobs[-1]._replace(outputs=[str(tmp_path / "out.h5")], inputs={"data": [str(digits_file)]})
    with pytest.raises(
        UserError, match=r"the bound is not a number .* give a smaller weights\.step"
    ):
        found(job.work)([job])
    assert not (tmp_path / "out.h5").exists()


def test_a_pilot_of_other_studies_makes_nothing_stale():
    """The step sizes and evaluations that it does not use are no part of its settings."""
    one, other = (
        [job.settings for job in STUDY.jobs(config.load({**RAW, **more, "weights": SMALL}))]
        for more in ({}, {"evaluation": {"first": 9000, "points_per_decade": 3}})
    )
    assert one == other
    planned = [job for job in plan.jobs(study()) if job.kind.startswith("weights")]
    assert [job.name for job in planned] == ["all", "all", "n30", "n60"]
