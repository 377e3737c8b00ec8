"""The gaps between the bound and log p(x): against closed forms on the linear-Gaussian model,
against Gauss-Hermite quadrature on a network, and the study from its own models."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import optimize, stats

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.marginal.options import Evidence
from aevb.marginal.proposals import DiagonalGaussian
from aevb.marginal.quadrature import truth
from aevb.models import densities, nets
from aevb.models.joint import Joint
from aevb.paper.verdicts import judge
from aevb.pipeline import cost, plan
from aevb.studies import STUDIES
from aevb.studies.gaps import Gaps, claims, evidence, figures, findings, gaussian, numbers, work
from aevb.studies.linear import closed, simulate
from aevb.studies.linear.joint import joint_of

STUDY, SAMPLING, MEMORY = STUDIES["gaps"], Evidence(), 500
TINY = {
    "experiment": "mine",
    "latent_dims": [2, 4],
    "budgets": [1500, 3000],
    "along": [2],
    "datapoints": 6,
    "draws": 16,
    "steps": 8,
    "evaluation_draws": 60,
    "temperatures": 4,
    "images": 2,
}
RAW = {
    "name": "tiny",
    "samples": 3000,
    "seeds": [0, 1],
    "experiments": {
        "mine": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 8, "scale": 16}
    },
    "training": {"step_sizes": [0.05], "warmup_steps": 5, "pilot_samples": 1000},
    "evaluation": {"first": 1500},
    "figure2": [{"experiment": "mine", "latent_dims": [2], "algorithms": ["aevb"]}],
}


def loaded(**changes):
    return config.load({**RAW, "gaps": {**TINY, **changes}})


def rng(seed=0):
    return np.random.default_rng(seed)


# The linear-Gaussian model, of which both gaps are closed forms ----------------------------------


@pytest.fixture(scope="module")
def linear():
    """A rotated model of N_z = 3, 7 datapoints, exact latents, and log p(x, z) as a joint."""
    generator = rng(4)
    model = simulate.true_model(generator, 3, 8)
    x, z = simulate.draw(model, generator, 7)
    return model, x, torch.from_numpy(z), joint_of(model, x)


def gaussian_of(q, x):
    mean = torch.from_numpy(x @ q.a + q.b)
    return DiagonalGaussian(mean, torch.from_numpy(np.log(np.diag(q.covariance))).expand_as(mean))


def exact_kl(model, q, x):
    """KL(q(z|x) || p(z|x)) of each datapoint by its closed form, (N,)."""
    return np.array([closed.kl_to_posterior(model, q, closed.Moments(v, 0 * np.outer(v, v), 1))
                     for v in x])  # fmt: skip


def wrong_encoder(model):
    """An encoder that is no optimum: mean and variances are off."""
    best = closed.best_diagonal(model)
    return best._replace(a=0.7 * best.a, b=best.b + 0.2, covariance=best.covariance * 1.7)


def test_the_approximation_gap_is_the_kl_of_the_best_diagonal_gaussian(linear):
    """log p(x) - bound, each from its own closed form, against the ascent from a wrong encoder."""
    model, x, _, joint = linear
    noise = gaussian.balanced(rng(), 7, 8, 3, joint.x)
    start = gaussian_of(wrong_encoder(model), x)
    end = gaussian.best_gaussian(joint, start, noise, 60, MEMORY)
    best = closed.best_diagonal(model)
    kl = exact_kl(model, best, x)
    assert kl.min() > 0.02
    np.testing.assert_allclose(closed.log_density(model, x) - end.bounds[-1], kl, atol=1e-9)
    expected = gaussian_of(best, x)
    torch.testing.assert_close(end.best.mean, expected.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(end.best.log_variance, expected.log_variance, atol=1e-4, rtol=0)


def test_the_amortisation_gap_is_zero_at_the_optimal_encoder_and_the_rest_of_the_kl_else(linear):
    model, x, _, joint = linear
    noise = gaussian.balanced(rng(), 7, 8, 3, joint.x)
    best = exact_kl(model, closed.best_diagonal(model), x)
    for q, nothing in ((closed.best_diagonal(model), True), (wrong_encoder(model), False)):
        end = gaussian.best_gaussian(joint, gaussian_of(q, x), noise, 60, MEMORY)
        amortisation = exact_kl(model, q, x) - best
        assert (np.abs(amortisation).max() < 1e-12) == nothing
        np.testing.assert_allclose(end.bounds[-1] - end.bounds[0], amortisation, atol=1e-9)
        assert (np.diff(end.bounds, axis=0) >= 0).all()


def test_draws_of_the_bound_have_the_mean_of_its_closed_form(linear):
    model, x, _, joint = linear
    q = wrong_encoder(model)
    noise = torch.from_numpy(rng(1).standard_normal((4000, 7, 3)))
    drawn = gaussian.sampled(joint, gaussian_of(q, x), noise, MEMORY)
    exact = closed.log_density(model, x) - exact_kl(model, q, x)
    error = drawn.std(0) / 4000**0.5
    assert (np.abs(drawn.mean(0) - exact) < 4.5 * error).all() and error.max() < 0.3


def test_annealing_from_the_best_gaussian_brackets_log_p(linear):
    model, x, z, joint = linear
    q = gaussian_of(closed.best_diagonal(model), x)
    exact = closed.log_density(model, x).mean()
    low, error = evidence.below(joint, q, rng(2), 40, 20, SAMPLING).mean()
    high, other = evidence.above(joint, q, z, rng(3), 40, 20, SAMPLING).mean()
    assert low == pytest.approx(exact, abs=4 * error) and error < 0.03
    assert high == pytest.approx(exact, abs=4 * other + 0.05)
    kl = exact_kl(model, closed.best_diagonal(model), x).mean()
    assert abs(low - exact) < kl / 3  # far nearer than the bound it starts from


def test_the_path_has_its_own_gradient_and_ends(linear):
    model, x, _, joint = linear
    q = gaussian_of(wrong_encoder(model), x)
    u = torch.from_numpy(rng(5).standard_normal((1, 14, 3))).requires_grad_()
    for temperature in (0.0, 0.4, 1.0):
        path = dataclasses.replace(evidence.from_gaussian(joint, q), temperature=temperature)
        value, gradient = path.value_and_gradient(u)
        (automatic,) = torch.autograd.grad(value.sum(), u)
        torch.testing.assert_close(gradient, automatic)
        torch.testing.assert_close(path.gradient(u), gradient)
        prior = stats.norm.logpdf(u.detach().numpy()).sum(-1)
        z = (q.mean + torch.exp(0.5 * q.log_variance) * u.unflatten(1, (2, 7))).flatten(1, 2)
        log_sd = 0.5 * q.log_variance.sum(1).repeat(2)
        ends = {0.0: prior, 1.0: (joint.value(z) + log_sd).detach().numpy()}
        if temperature in ends:
            np.testing.assert_allclose(path.value(u).detach().numpy(), ends[temperature])


# Noise and ascent ------------------------------------------------------------------------------


def test_balanced_noise_has_the_moments_of_a_standard_normal_exactly():
    like = torch.zeros(1, dtype=torch.float64)
    noise = gaussian.balanced(rng(), 5, 12, 4, like).numpy()
    assert noise.shape == (12, 5, 4)
    np.testing.assert_allclose(noise[:6], -noise[6:])
    second = np.einsum("knd,kne->nde", noise, noise) / 12
    np.testing.assert_allclose(second, np.tile(np.eye(4), (5, 1, 1)), atol=1e-12)
    np.testing.assert_array_equal(gaussian.balanced(rng(), 2, 12, 4, like).numpy(), noise[:, :2])
    for draws in (7, 6):
        with pytest.raises(UserError, match="give an even number, at least 8"):
            gaussian.balanced(rng(), 5, draws, 4, like)


@pytest.fixture(scope="module")
def network():
    """A joint of a random tanh network, N_z = 2, D = 6, in float64, with its parameters."""
    layout = nets.Layout(6, 5, 2, "bernoulli")
    flat = torch.from_numpy(1.6 * rng(7).standard_normal((1, layout.n_parameters)))
    x = torch.from_numpy(rng(8).random((1, 4, 6)).round())
    return Joint(layout.view(flat), x, "bernoulli")


def hermite(joint, mean, log_sd, nodes=40):
    """The bound (eq. 7) of a Gaussian per datapoint by Gauss-Hermite quadrature, (N,)."""
    t, w = np.polynomial.hermite_e.hermegauss(nodes)
    eps = torch.from_numpy(np.stack(np.meshgrid(t, t), -1).reshape(-1, 1, 2))
    weight = torch.from_numpy(np.outer(w, w).ravel() / (2 * np.pi))
    z = (mean + log_sd.exp() * eps).reshape(1, -1, 2)
    log_p = joint.log_likelihood(z).view(len(eps), -1)
    return (weight @ log_p - densities.kl_to_prior(mean, 2 * log_sd)).numpy()


def test_the_best_gaussian_is_that_of_a_direct_optimiser_on_a_network(network):
    """Nelder-Mead on the bound by quadrature finds no more than the ascent does."""
    own = DiagonalGaussian(torch.zeros(4, 2).double(), torch.zeros(4, 2).double())
    noise = gaussian.balanced(rng(), 4, 400, 2, network.x)
    end = gaussian.best_gaussian(network, own, noise, 60, MEMORY)
    reached = hermite(network, end.best.mean, 0.5 * end.best.log_variance)
    np.testing.assert_allclose(end.bounds[-1], reached, atol=0.05)
    for n in range(2):
        part = dataclasses.replace(network, x=network.x[:, n : n + 1])

        def loss(theta, part=part):
            theta = torch.from_numpy(theta)
            return -hermite(part, theta[None, :2], theta[None, 2:])[0]

        start = torch.cat([end.best.mean[n], 0.5 * end.best.log_variance[n]]).numpy()
        options = {"xatol": 1e-4, "fatol": 1e-6, "maxiter": 400}
        best = -optimize.minimize(loss, start, method="Nelder-Mead", options=options).fun
        assert 0 <= best - reached[n] + 1e-6 < 0.01
    assert (end.bounds[-1] - end.bounds[0]).min() > 0.02


def test_draws_agree_with_quadrature_on_a_network(network):
    mean = torch.from_numpy(rng(9).standard_normal((4, 2)))
    log_sd = torch.full((4, 2), -0.5).double()
    noise = torch.from_numpy(rng(10).standard_normal((4000, 4, 2)))
    drawn = gaussian.sampled(network, DiagonalGaussian(mean, 2 * log_sd), noise, MEMORY)
    error = drawn.std(0) / 4000**0.5
    assert (np.abs(drawn.mean(0) - hermite(network, mean, log_sd)) < 4.5 * error).all()


def test_a_start_without_a_bound_is_one_sentence(network):
    bad = torch.zeros(4, 2).double()
    bad[1, 0] = np.inf
    noise = gaussian.balanced(rng(), 4, 8, 2, network.x)
    with pytest.raises(UserError, match=r"not finite for 1 of 4 datapoints \(number 1\)"):
        gaussian.best_gaussian(network, DiagonalGaussian(bad, 0 * bad), noise, 3, MEMORY)


@dataclasses.dataclass(frozen=True)
class TwoModes:
    """N(z; 0, I) times a mixture: a low mode at -2, a high one at 2, in one dimension."""

    x: torch.Tensor
    temperature: float = 1.0
    latent_dim = 1

    def log_likelihood(self, z):
        parts = [w - 20 * (z[..., 0] - m) ** 2 for w, m in ((0.0, -2.0), (3.0, 2.0))]
        return torch.logaddexp(*parts)

    def value_and_gradient(self, z):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = densities.log_prior(z) + self.log_likelihood(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient


def test_an_encoder_in_the_lower_mode_does_not_hide_the_higher_one():
    joint = TwoModes(torch.zeros(1, 3, 1, dtype=torch.float64))
    options = Gaps(experiment="it", draws=8, steps=40)
    own = DiagonalGaussian(torch.full((3, 1), -1.9).double(), torch.full((3, 1), -4.0).double())
    best, columns = work.climbed(joint, own, lambda name: rng(), options, SAMPLING)
    assert best.mean.numpy() == pytest.approx(40 * 2 / 41, abs=0.01)
    assert columns["other"] == pytest.approx(3, abs=0.01)
    assert columns["left_0"].min() > 0 and columns["left_75"].max() < 1e-6


def test_what_a_variant_costs_can_be_told():
    assert cost.seconds_per_gradient(loaded(), "mine+gaps-1.5e3", 2) > 0


# The study ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(digits_file, tmp_path_factory):
    """The results of a tiny study: its models trained and measured by its own jobs."""
    folder = tmp_path_factory.mktemp("gaps")
    study = config.load(
        {**RAW, "gaps": TINY, "results": str(folder / "out"), "data": str(digits_file.parent)}
    )
    tables = {}
    for job in plan.jobs(study):
        if job.kind in ("pilot", "train", *STUDY.columns):
            found(job.work)([job])
        if columns := STUDY.columns.get(job.kind):
            for run, output in zip(job.runs, job.outputs, strict=True):
                table = results.read_table(output, columns)
                assert list(table.frame) == list(columns)
                tables.setdefault(job.kind, {})[run.name] = table
    return results.Gathered(study.model_dump(), {}, {}, tables)


def test_models_along_training_are_runs_of_their_own():
    study = loaded()
    runs = {run.name: samples for run, samples in STUDY.runs(study)}
    assert len(runs) == 2 * 2 * 3
    assert runs["mine/wake_sleep-nz2-seed1"] == 3000
    assert runs["mine+gaps-1.5e3/aevb-nz2-seed0"] == 1500
    assert "mine+gaps-1.5e3/aevb-nz4-seed0" not in runs
    assert study.evaluation_of("mine+gaps-1.5e3").first == 1500


def test_every_table_holds_what_it_says(gathered):
    name = "mine/wake_sleep-nz4-seed0"
    frame = gathered.of("gaps")[name].frame
    assert list(frame["data"]) == ["test"] * 6 + ["simulated"] * 6
    test, drawn = (frame[frame["data"] == data] for data in ("test", "simulated"))
    assert set(test["method"]) == {"annealed"} and drawn[["log_p", "upper"]].notna().all(axis=None)
    assert (test["left_0"] >= test["left_50"]).all() and (test["left_75"] >= 0).all()
    exact = gathered.of("gaps")["mine/aevb-nz2-seed0"].frame
    assert set(exact["method"]) == {"quadrature"} and len(exact) == 6
    assert (test["annealed"] == test["log_p"]).all() and (exact["annealed"] != exact["log_p"]).all()
    noise = 5 * np.hypot(exact["best_se"], exact["log_p_se"]) + 1e-3
    assert (exact["log_p"] - exact["best"] > -noise).all()
    grid = gathered.of("gaps_posterior")["mine/aevb-nz2-seed0"].frame
    for point, rows in grid.groupby("point"):
        step = np.diff(np.unique(rows["z_1"])).mean() * np.diff(np.unique(rows["z_2"])).mean()
        for density in ("exact", "encoder", "best"):
            mass = np.exp(rows[density]).sum() * step
            assert 0.9 < mass < 1.005, (point, density)


def test_the_same_bits_twice(gathered):
    jobs = [job for job in plan.jobs(gathered.study) if job.kind == "gaps"]
    job = next(job for job in jobs if any(run.latent_dim == 4 for run in job.runs))
    for joint, run, _, options, sampling in work.loaded(job):
        if run.run.name == "mine/aevb-nz4-seed1":
            rows = work.measured(joint, work.noise_of(run), options, sampling)
            frame = gathered.of("gaps")[run.run.name].frame
            again = pd.DataFrame(rows, columns=list(frame))
            pd.testing.assert_frame_equal(again, frame, check_exact=True, check_dtype=False)
            return
    raise AssertionError("no such run")


def test_annealing_agrees_with_quadrature_on_a_trained_model(gathered):
    job = next(job for job in plan.jobs(gathered.study) if job.kind == "gaps")
    joint, run, _, options, sampling = next(work.loaded(job))
    assert run.latent_dim == 2
    noise, own = work.noise_of(run), work.from_encoder(joint.parameters, joint.x)
    best, _ = work.climbed(joint, own, noise, options, sampling)
    exact = truth(joint, best.mean[None])
    low = evidence.below(joint, best, rng(1), 20, 20, sampling)
    off = (low.value - exact.value) / np.hypot(low.standard_error, 2e-3)
    assert np.abs(off).max() < 5 and low.standard_error.max() < 0.1


def test_the_parts_add_up(gathered):
    table = numbers.gaps(gathered, None)
    assert list(table.columns) == numbers.GAPS and len(table) == 2 * 3
    whole = table["bound"] + table["approximation"] + table["amortisation"]
    np.testing.assert_allclose(whole, table["log_p"])
    assert (table["width"][table["latent_dim"] == 2] == 0).all()
    apart = numbers.differences(gathered, None)
    assert list(apart.columns) == numbers.DIFFERENCES and len(apart) == 3
    whole = apart["log_p"] + apart["approximation"] + apart["amortisation"]
    np.testing.assert_allclose(whole, apart["bound"])
    row = table[(table["samples"] == 1500) & (table["algorithm"] == "AEVB")].iloc[0]
    frames = [gathered.of("gaps")[f"mine+gaps-1.5e3/aevb-nz2-seed{s}"].frame for s in (0, 1)]
    seeds = np.stack([f["best"] - f["encoder"] for f in frames])
    assert row["amortisation"] == pytest.approx(seeds.mean())
    t = stats.t.interval(0.95, 5, seeds.mean(0).mean(), stats.sem(seeds.mean(0)))
    assert row["amortisation_points"] == pytest.approx((t[1] - t[0]) / 2)


def changed(gathered, own, other):
    """The results with log p(x), best and encoder of AEVB and of wake-sleep as given, and a bit of
    noise over points and seeds; the sandwich 0.1 nats wide."""
    generator, tables = rng(3), {}
    for name, table in gathered.of("gaps").items():
        values, frame = own if "/aevb-" in name else other, table.frame.copy()
        for column, value in zip(("log_p", "best", "encoder"), values, strict=True):
            frame[column] = value + 0.01 * generator.standard_normal(len(frame))
        frame["upper"] = frame["log_p"] + 0.1
        tables[name] = results.Table(frame, table.attributes)
    return results.Gathered(gathered.config, {}, {}, {**gathered.tables, "gaps": tables})


@pytest.mark.parametrize(
    ("claim", "good", "bad"),
    [
        (claims.amortised, ((0, -2, -3), (0, -2, -6)), ((0, -2, -3), (0, -5, -6))),
        (claims.larger, ((0, -1, -3), (0, -2, -3)), ((0, -2, -3), (0, -1, -3))),
        (claims.generator, ((5, 3, 2), (0, -2, -4)), ((1, 0, -1), (0, -2, -6))),
    ],
)
def test_each_claim_comes_out_both_ways(gathered, claim, good, bad):
    verdicts = [judge(*claim(changed(gathered, *values), None))[0] for values in (good, bad)]
    assert verdicts[0] == "holds"
    assert verdicts[1].startswith("does not hold" if claim is not claims.amortised else "mixed")


def test_the_width_of_log_p_counts_against_a_claim(gathered):
    """At N_z = 4 the sandwich is 0.1 wide, at 2 there is quadrature: an excess of 0.05 is enough
    there alone."""
    near = changed(gathered, (0, -1, -2.05), (0, -1, -2))
    checks, _ = claims.larger(near, None)
    effects = {check.name: np.mean(check.values) for check in checks}
    assert effects["N_z = 2"] == pytest.approx(0.05, abs=0.02)
    assert effects["N_z = 4"] == pytest.approx(-0.05, abs=0.02)


def test_points_that_disagree_and_a_worse_bound_are_qualifications(gathered):
    worse = changed(gathered, (5, 3, 0), (0, 0, 1))
    assert any("AEVB's bound is not the better one" in r for r in claims.generator(worse, None)[1])
    level = changed(gathered, (0, -1, -2), (0, -1, -2))
    remarks = claims.larger(level, None)[1]
    assert any("over test points the interval reaches across in N_z = 2" in r for r in remarks)


def test_without_the_study_nothing_is_tested():
    other = results.Gathered(config.load(RAW).model_dump(), {}, {})
    for claim in (claims.amortised, claims.larger, claims.generator):
        assert claim(other, None) == ([], [])


def test_a_model_that_diverged_leaves_its_pair_out(gathered):
    """And a figure that has nothing to show says so."""
    tables = {kind: dict(found) for kind, found in gathered.tables.items()}
    name = "mine/aevb-nz2-seed0"
    for kind in tables:
        empty = tables[kind][name].frame.iloc[:0]
        tables[kind][name] = results.Table(empty, {})
    left = results.Gathered(gathered.config, {}, {}, tables)
    assert list(numbers.gaps(left, None)["seeds"]) == [2, 2, 1, 1, 2, 2]
    drawn = figures.posteriors(left, None)
    assert [text.get_text() for text in drawn.axes[0].texts] == ["diverged"]
    nothing = results.Gathered(gathered.config, {}, {}, {})
    assert figures.gaps(nothing, None).texts and findings.part(nothing, None, {}).sections == []


def test_figures_and_findings_show_every_number(gathered):
    drawn = figures.gaps(gathered, None)
    titles = [axis.get_title() for axis in drawn.axes]
    assert titles[0] == "gaps after 3e3 samples" and titles[1] == "along training, $N_z$ = 2"
    assert len(figures.posteriors(gathered, None).axes) == 4
    tables = {"gaps": numbers.gaps(gathered, None)}
    tables["gaps_differences"] = numbers.differences(gathered, None)
    part = findings.part(gathered, None, tables)
    assert list(part.tables) == list(STUDY.numbers(gathered.study))
    said = " ".join(" ".join(block[1]) for block in part.sections[0].blocks if block[0] == "list")
    row = tables["gaps"].iloc[-1]
    assert f"{row['amortisation']:.2f}".lstrip("-") in said and "nan" not in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"along": [3]}, "gaps.along has N_z = 3, which gaps.latent_dims has not"),
        ({"budgets": [5000]}, "gaps.budgets has 5e3, more than samples, 3e3; give a smaller one"),
        ({"draws": 6}, "gaps.draws is 6, less than twice the largest of gaps.latent_dims"),
        ({"draws": 9}, "'gaps.draws'.*multiple of 2"),
        ({"datapoints": 5000}, "gaps.datapoints is more than the 297 of the test set"),
        ({"images": 7}, "gaps.images is more than gaps.datapoints"),
        ({"experiment": "others"}, "gaps names the experiment 'others'; valid are mine"),
    ],
)
def test_a_configuration_that_cannot_work_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        loaded(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["studies", "lectures"])
def test_the_forms_that_are_kept_are_valid(name):
    text = (plan.ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    study = config.load(yaml.safe_load(text))
    assert {job.kind for job in STUDY.jobs(study)} == {"gaps", "gaps_posterior"}
