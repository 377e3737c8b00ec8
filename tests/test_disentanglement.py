"""beta-VAE and FactorVAE: sprites, information and metrics against quadrature, closed forms and a
second derivation; training; the rules of the claims; what the study says."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats
from sklearn.metrics import mutual_info_score

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.paper import claims as catalogue
from aevb.paper.verdicts import judge
from aevb.pipeline import plan
from aevb.report import pages
from aevb.report.style import write
from aevb.studies import STUDIES
from aevb.studies.disentanglement import (
    KIND,
    VALUES,
    Setting,
    claims,
    figures,
    findings,
    grades,
    information,
    numbers,
    sprites,
    training,
)

STUDY = STUDIES["disentanglement"]
RAW = {
    "name": "disentanglement",
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
    "betas": [1, 8],
    "gammas": [2.5],
    "seeds": [0, 1, 2],
    "latent_dim": 3,
    "hidden": 16,
    "steps": 30,
    "samples": 200,
    "votes": 100,
}
FACTORS = sprites.factors()


def study(**changes):
    return config.load({**RAW, KIND: {**SMALL, **changes}})


# Sprites ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images():
    return sprites.images()


def test_every_combination_is_another_image(images):
    assert images.shape == (4608, 256) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    assert len(np.unique(images, axis=0)) == len(np.unique(FACTORS, axis=0)) == 4608
    assert [len(np.unique(column)) for column in FACTORS.T] == list(sprites.SIZES)


def test_sprites_are_what_their_factors_say(images):
    """The centroid of an ellipse is its place, its area that of the formula, its long axis turned
    as it should be; a step in x or y is a shift by a pixel."""
    grid = images.reshape(*sprites.SIZES, 16, 16).astype(float)
    y, x = np.mgrid[:16, :16] + 0.5
    for scale, radius in enumerate(sprites.RADII):
        for turn, angle in enumerate(sprites.TURNS):
            one = grid[0, scale, turn, 3, 5]
            assert one.sum() == pytest.approx(math.pi * 0.45 * radius**2, rel=0.08)
            u, v = x - sprites.PLACES[3], y - sprites.PLACES[5]
            assert abs((one * u).sum() / one.sum()) < 0.05 > abs((one * v).sum() / one.sum())
            moments = [(one * part).sum() for part in (u * u - v * v, 2 * u * v)]
            assert math.atan2(moments[1], moments[0]) / 2 % math.pi == pytest.approx(
                angle, abs=0.05
            )
    np.testing.assert_array_equal(grid[..., 1:, :, :, 1:], grid[..., :-1, :, :, :-1])
    np.testing.assert_array_equal(grid[..., 1:, 1:, :], grid[..., :-1, :-1, :])


# Information ------------------------------------------------------------------------------------


def some(n=5, latent_dim=1, seed=0):
    generator = np.random.default_rng(seed)
    shape = (n, latent_dim)
    return generator.standard_normal(shape), generator.gamma(2, 0.1, shape)


def kl_to_prior(mean, variance):
    return 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(1).mean()


def test_two_codes_far_apart_tell_log_2():
    mean, variance = np.array([[-50.0], [50.0]]), np.ones((2, 1))
    value = information.mutual(np.random.default_rng(0), mean, variance, 500)
    assert value.value == pytest.approx(math.log(2), abs=1e-9) and value.error < 1e-9
    single = information.marginals(mean, variance, np.array([[0], [1]]))
    assert single.information.item() == pytest.approx(math.log(2), abs=1e-9)


def test_codes_that_are_all_the_prior_tell_nothing():
    mean, variance = np.zeros((7, 2)), np.ones((7, 2))
    for term in (information.mutual, information.to_prior):
        assert abs(term(np.random.default_rng(0), mean, variance, 100).value) < 1e-12
    single = information.marginals(mean, variance, np.arange(7)[:, None])
    np.testing.assert_allclose(single.kl, 0, atol=1e-9)
    np.testing.assert_allclose(single.information, 0, atol=1e-9)


def test_both_terms_are_those_of_scipys_quadrature():
    """One latent variable: q(z) by SciPy's densities, both integrals by quad."""
    mean, variance = some()
    mixture = [stats.norm(m, s) for m, s in zip(mean[:, 0], variance[:, 0] ** 0.5, strict=True)]

    def q(z):
        return np.mean([part.pdf(z) for part in mixture])

    limits = {"limit": 500, "points": list(mean[:, 0])}
    exact = integrate.quad(lambda z: q(z) * np.log(q(z) / stats.norm.pdf(z)), -4, 4, **limits)[0]
    entropy = -integrate.quad(lambda z: q(z) * np.log(q(z)), -4, 4, **limits)[0]
    told = entropy - np.mean([part.entropy() for part in mixture])
    assert exact + told == pytest.approx(kl_to_prior(mean, variance), abs=1e-6)
    generator = np.random.default_rng(1)
    for term, value in ((information.mutual, told), (information.to_prior, exact)):
        estimate = term(generator, mean, variance, 20_000)
        assert estimate.value == pytest.approx(value, abs=4 * estimate.error)
        assert 0 < estimate.error < 0.02
    single = information.marginals(mean, variance, np.arange(5)[:, None])
    assert single.kl.item() == pytest.approx(exact, abs=1e-7)
    assert single.information.item() == pytest.approx(told, abs=1e-7)


def test_terms_add_up_to_the_mean_kl_in_more_dimensions():
    mean, variance = some(300, 4)
    generator = np.random.default_rng(2)
    told = information.mutual(generator, mean, variance, 4000)
    rest = information.to_prior(generator, mean, variance, 4000)
    error = math.hypot(told.error, rest.error)
    assert told.value + rest.value == pytest.approx(kl_to_prior(mean, variance), abs=4 * error)
    assert told.value < math.log(300)
    z = generator.standard_normal((50, 4))
    plain = stats.norm.pdf(z[:, None], mean, variance**0.5).prod(2).mean(1)
    np.testing.assert_allclose(information.log_mixture(z, mean, variance), np.log(plain))


def test_total_correlation_of_a_gaussian():
    """q(z) of many narrow codes that lie as N(0, [[1, r], [r, 1]]): TC = -log(1 - r^2) / 2."""
    r, generator = 0.8, np.random.default_rng(3)
    mean = generator.multivariate_normal([0, 0], [[0.9, r], [r, 0.9]], 4000)
    variance = np.full_like(mean, 0.1)
    marginal = information.to_prior(generator, mean, variance, 3000)
    single = information.marginals(mean, variance, np.zeros((4000, 1), int))
    assert marginal.value - single.kl.sum() == pytest.approx(-0.5 * math.log(1 - r**2), abs=0.05)


# Metrics ----------------------------------------------------------------------------------------


def perfect(noise=0.05):
    """Codes that are the factors, scaled to mean 0 and variance 1."""
    mean = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
    return mean, np.full(mean.shape, noise**2)


def rotated():
    """The same in a basis in which every latent variable says something of every factor."""
    mean, variance = perfect()
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    return mean @ turn, variance


def chance():
    generator = np.random.default_rng(0)
    return generator.standard_normal((4608, 5)), np.full((4608, 5), 0.01)


CODES = {"perfect": perfect(0.1), "noisy": perfect(0.3), "rotated": rotated(), "chance": chance()}


@pytest.fixture(scope="module")
def mig():
    """MIG of each of CODES."""
    entropy, found = grades.entropies(FACTORS), {}
    for name, codes in CODES.items():
        single = information.marginals(*codes, FACTORS)
        found[name] = grades.gaps(single.information, entropy).mean()
    return found


def mig_again(mean, variance, bins=60, draws=4):
    """MIG once more: sampled codes in bins, and scikit-learn's mutual information."""
    generator = np.random.default_rng(5)
    z = np.concatenate(
        [mean + variance**0.5 * generator.standard_normal(mean.shape) for _ in range(draws)]
    )
    v, each = np.tile(FACTORS, (draws, 1)), []
    for k in range(v.shape[1]):
        told = []
        for j in range(z.shape[1]):
            edges = np.linspace(z[:, j].min(), z[:, j].max(), bins)
            told.append(mutual_info_score(np.digitize(z[:, j], edges), v[:, k]))
        told.sort()
        each.append((told[-1] - told[-2]) / mutual_info_score(v[:, k], v[:, k]))
    return float(np.mean(each))


def vote_again(mean, votes=300, images=100):
    """The FactorVAE metric once more, vote by vote."""
    generator = np.random.default_rng(6)
    counts = {}
    for part in ("fit", "grade"):
        right = 0
        for _ in range(votes):
            factor = int(generator.integers(5))
            value = generator.integers(sprites.SIZES[factor])
            rows = np.flatnonzero(FACTORS[:, factor] == value)
            codes = mean[generator.choice(rows, images)]
            least = min(
                range(mean.shape[1]), key=lambda j, c=codes: np.var(c[:, j]) / np.var(mean[:, j])
            )
            if part == "fit":
                counts.setdefault(least, [0] * 5)[factor] += 1
            else:
                tally = counts.get(least, [1, 0, 0, 0, 0])
                right += tally.index(max(tally)) == factor
    return right / votes


def vote(mean, votes=800):
    return grades.vote_score(np.random.default_rng(1), mean, FACTORS, sprites.SIZES, votes, 100)


def test_known_codes_get_the_grades_they_deserve(mig):
    assert mig["perfect"] > 0.95 and mig["rotated"] < 0.35 and mig["chance"] < 0.02
    one, none = perfect()[0], chance()[0]
    assert vote(one) == (1.0, 5)
    assert vote(none)[0] == pytest.approx(0.2, abs=0.08)
    unused = np.concatenate([one, 0.01 * none[:, :2]], axis=1)
    assert vote(unused) == (1.0, 5)  # what is no more than noise takes no part
    score, live = vote(0.01 * none)
    assert live == 0 and score == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("name", CODES)
def test_metrics_agree_with_a_second_derivation(name, mig):
    assert mig[name] == pytest.approx(mig_again(*CODES[name]), abs=0.03)
    assert vote(CODES[name][0])[0] == pytest.approx(vote_again(CODES[name][0]), abs=0.09)


def test_gaps_of_a_table_by_hand():
    told = np.array([[0.9, 0.0], [0.3, 0.2], [0.6, 0.2]])
    np.testing.assert_allclose(grades.gaps(told, np.array([1.0, 2.0])), [0.3, 0.0])
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_allclose(grades.entropies(factors), math.log(2))


# Training ---------------------------------------------------------------------------------------

OPTIONS = {"latent_dim": 3, "hidden": 16, "step_size": 0.01, "batch_size": 20, "steps": 40}


def trainer(method, weight, images, seeds=(0, 1), **changes):
    return training.train(Setting(method, weight), images, list(seeds), {**OPTIONS, **changes})


def one_step(method, weight, images):
    """A trainer of one replica, and minibatches of its first step."""
    made = training.Trainer(Setting(method, weight), torch.from_numpy(images), [0], OPTIONS)
    noise = training.Noise([0], 3, len(images), 20)
    return made, *([part[0] for part in noise.block(0, what)] for what in ("vae", "discriminator"))


@pytest.mark.parametrize(("method", "weight"), [("beta_vae", 4.0), ("factor_vae", 7.0)])
def test_objectives_are_those_of_torchs_distributions(method, weight, images):
    made, vae, other = one_step(method, weight, images)
    with torch.no_grad():
        x = torch.from_numpy(images)[vae[0][0]]
        mean, log_variance = (part[0] for part in made.model.encode(x[None]))
        q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        z = mean + q.stddev * vae[1][0]
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
        decoder = torch.distributions.Bernoulli(
            logits=made.model.decode(z[None])[0], validate_args=False
        )
        log_p = decoder.log_prob(x).sum(1)
        d = made.logits(z[None])[0].sigmoid()
        total = torch.log(d / (1 - d))
        expected = log_p - (weight * kl if method == "beta_vae" else kl + weight * total)
    assert made.step(vae, other).item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_a_step_moves_the_discriminator_only_by_its_own_loss(images):
    """Adam's first step goes against the sign of the gradient of algorithm 2's loss."""
    made, vae, other = one_step("factor_vae", 7.0, images)
    with torch.no_grad():
        z = made.drawn(*vae[:2])[1]
        apart = made.drawn(*other[:2])[1]
        apart = torch.stack(
            [apart[0, other[2][0, :, j].argsort(), j] for j in range(3)], dim=1
        ).unsqueeze(0)
    loss = -made.logits(z).sigmoid().log().mean() - (1 - made.logits(apart).sigmoid()).log().mean()
    slopes = torch.autograd.grad(0.5 * loss, list(made.critic.values()))
    before = {name: part.detach().clone() for name, part in made.critic.items()}
    made.step(vae, other)
    for slope, (name, part) in zip(slopes, made.critic.items(), strict=True):
        sure = slope.abs() > 1e-5
        assert (torch.sign(before[name] - part)[sure] == torch.sign(slope)[sure]).all()


def test_permuted_codes_keep_their_marginals():
    z, keys = torch.randn(2, 50, 3), torch.rand(2, 50, 3)
    apart = training.permuted(z, keys)
    torch.testing.assert_close(apart.sort(1).values, z.sort(1).values)
    assert not torch.equal(apart[..., 0] - z[..., 0], apart[..., 1] - z[..., 1])
    assert (apart[0] != z[0]).any(1).all() or (apart[0] != z[0]).float().mean() > 0.8


def test_training_repeats_and_seeds_are_strangers(images):
    """The same bits twice; and a seed learns the same in whichever company."""
    one, again, alone = (
        trainer("factor_vae", 5.0, images, seeds) for seeds in ((0, 1), (0, 1), (1,))
    )
    for part, other, own in zip(
        *(t.model.encoder.values() for t in (one, again, alone)), strict=True
    ):
        assert torch.equal(part, other) and not torch.equal(part[0], part[1])
        torch.testing.assert_close(part[1], own[0], rtol=1e-3, atol=1e-3)


def test_the_discriminator_finds_what_is_dependent(images):
    """Total correlation of a Gaussian, from a discriminator trained by algorithm 2's loss alone."""
    made, _, _ = one_step("factor_vae", 0.0, images)
    generator = torch.Generator().manual_seed(0)
    r = 0.9

    def codes(n):
        z = torch.randn(1, n, 3, generator=generator)
        return torch.cat(
            [z[..., :1], r * z[..., :1] + (1 - r * r) ** 0.5 * z[..., 1:2], z[..., 2:]], 2
        )

    for _ in range(400):
        apart = training.permuted(codes(200), torch.rand(1, 200, 3, generator=generator))
        loss = training.softplus(-made.logits(codes(200))).mean()
        loss = loss + training.softplus(made.logits(apart)).mean()
        made.judge.zero_grad()
        (0.5 * loss).backward()
        made.judge.step()
    exact = -0.5 * math.log(1 - r**2)
    assert made.logits(codes(20_000)).mean().item() == pytest.approx(exact, abs=0.15)


# The study --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    folder, small = tmp_path_factory.mktemp("study"), study()
    tables = {}
    for job in STUDY.jobs(small):
        path = folder / f"{job.name}.h5"
        found(job.work)([job._replace(outputs=[str(path)])])
        tables[job.name] = results.read_table(path, STUDY.columns[KIND])
    return results.Gathered(small.model_dump(), {}, {}, {KIND: tables})


@pytest.fixture(scope="module")
def tables(gathered):
    places = STUDY.numbers(gathered.study)
    return {name: found(place)(gathered, None, ()) for name, place in places.items()}


def test_tables_hold_every_setting_and_seed(gathered):
    assert sorted(gathered.of(KIND)) == ["beta1", "beta8", "gamma2_5"]
    for name, table in gathered.of(KIND).items():
        frame = table.frame
        assert frame["seed"].tolist() == [0, 1, 2]
        assert np.isfinite(frame["density_ratio"]).all() == name.startswith("gamma")
        error = np.hypot(frame["information_se"], frame["marginal_se"])
        gap = frame["information"] + frame["marginal"] - frame["kl"]
        assert (gap.abs() < 4.5 * error).all()
        assert (frame[["error", "information", "own"]] > -0.02).all().all()
        assert frame["information"].max() < math.log(4608)
        assert table.arrays["shares"].shape == (3, 3, 5)
        gaps = np.sort(table.arrays["shares"], axis=1)
        np.testing.assert_allclose((gaps[:, -1] - gaps[:, -2]).mean(1), frame["mig"], atol=1e-5)
        assert table.arrays["traversal"].shape == (3 * 16, len(VALUES) * 16)
        assert table.arrays["traversal"].dtype == np.uint8


def test_what_is_told_of_factors_makes_mig(gathered, tables):
    gap = tables["disentanglement_told"].groupby(["method", "weight"])["gap"].mean()
    migs = tables["disentanglement"].set_index(["method", "weight"])["mig"]
    pd.testing.assert_series_equal(
        gap.sort_index(), migs.sort_index(), check_names=False, atol=1e-6
    )


def made(beta, factor=(), seeds=5, votes=0.0):
    """Gathered results of models of (weight, error, I(x; z), MIG, spread of MIG over seeds); the
    FactorVAE metric is that MIG."""
    tables = {}
    for method, models in (("beta_vae", beta), ("factor_vae", factor)):
        for weight, error, told, mig, spread in models:
            steps = np.arange(seeds) - (seeds - 1) / 2
            frame = pd.DataFrame({"seed": range(seeds), "error": error, "information": told})
            frame["mig"] = frame["vote"] = mig + spread * steps
            frame["marginal"] = frame["own"] = 0.0
            frame["vote_se"] = votes
            tables[Setting(method, weight).name] = results.Table(frame, {})
    weights = {"betas": [row[0] for row in beta], "gammas": [row[0] for row in factor] or [99.0]}
    return results.Gathered(study(**weights).model_dump(), {}, {}, {KIND: tables})


@pytest.mark.parametrize(
    ("beta", "word", "remark"),
    [
        ([(1, 5, 6, 0.1, 0), (2, 8, 5, 0.2, 0), (4, 12, 3, 0.3, 0)], "holds", False),
        ([(1, 5, 6, 0.1, 0), (2, 8, 5, 0.2, 0), (4, 12, 3, 0.05, 0)], "mixed", False),
        ([(1, 5, 6, 0.1, 0.2), (2, 8, 5, 0.1, 0.1), (4, 12, 3, 0.1, 0)], "undecided", False),
        ([(1, 5, 3, 0.3, 0), (2, 4, 5, 0.2, 0), (4, 3, 6, 0.1, 0)], "does not hold", True),
    ],
)
def test_claim_45_follows_its_rule(beta, word, remark):
    checks, remarks = claims.bought(made(beta), None)
    assert len(checks) == 6 and judge(checks, remarks)[0].startswith(word)
    assert bool(remarks) == remark
    assert checks[0].name == "MIG, beta = 2 less 1" and checks[-1].name == "I(x; z), beta 2 to 4"
    assert checks[-1].values == pytest.approx([beta[2][2] - beta[1][2]] * 5)
    assert np.mean(checks[2].values) == pytest.approx(beta[2][3] - beta[0][3])


@pytest.mark.parametrize(
    ("error", "mig", "difference", "word", "remark"),
    [
        (7.5, 0.4, 0.25, "holds", False),
        (7.5, 0.1, -0.05, "does not hold", False),
        (4.0, 0.4, 0.3, "holds", True),
        (40.0, 0.4, 0.2, "holds", True),
    ],
)
def test_claim_46_compares_at_equal_reconstruction(error, mig, difference, word, remark):
    beta = [(1, 5, 6, 0.1, 0), (2, 10, 5, 0.2, 0)]
    gathered = made(beta, [(10, error, 6, mig, 0)])
    checks, remarks = claims.better_traded(gathered, None)
    assert len(checks) == 2 and checks[0].values == pytest.approx([difference] * 5)
    assert judge(checks, remarks)[0].startswith(word) and bool(remarks) == remark
    table = numbers.equal(gathered, None)
    assert table["beyond"].tolist() == [5 * remark] * 2
    assert table["difference"].tolist() == pytest.approx([difference] * 2)


@pytest.mark.parametrize(
    ("spread", "rise", "word"), [(0.1, 0.001, "holds"), (0.001, 0.1, "does not hold")]
)
def test_claim_47_follows_its_rule(spread, rise, word):
    beta = [(weight, 5, 6, 0.3 + rise * weight, spread) for weight in (1, 2, 3)]
    checks, remarks = claims.seeds_matter(made(beta), None)
    assert [check.name for check in checks] == ["MIG of beta-VAE", "FactorVAE metric of beta-VAE"]
    assert judge(checks, remarks)[0].startswith(word)
    assert remarks == []
    checks, remarks = claims.seeds_matter(made(beta, votes=2 * spread), None)
    assert remarks == ["beta-VAE: the votes' error is 160 % of the seeds'"]
    assert claims.seeds_matter(made(beta, seeds=2), None)[0] == []


def test_shares_of_the_variance_are_those_of_analysis_of_variance():
    table = np.random.default_rng(0).standard_normal((4, 6)) + np.arange(4)[:, None]
    within, between = numbers.variances(table)
    f = stats.f_oneway(*table).statistic  # mean square of the weights over that within them
    rest = table - table.mean(1)[:, None] - table.mean(0) + table.mean()
    assert 6 * between == pytest.approx(f * within - (rest**2).sum() / 15)
    assert numbers.share(table) == pytest.approx(within / (within + between))
    assert len(numbers.jackknifed(table)) == 6 and not len(numbers.jackknifed(table[:, :2]))
    pseudo = 6 * numbers.share(table) - 5 * numbers.share(table[:, 1:])
    assert numbers.jackknifed(table)[0] == pytest.approx(pseudo)
    same = np.repeat([[1.0, 2.0, 4.0]], 2, axis=0)
    assert numbers.share(same) == pytest.approx(1)  # seeds do the same at each weight


def test_what_seeds_share_between_weights_biases_no_variance():
    random, weights = np.random.default_rng(1), np.array([0.0, 1.0, 2.0, 3.0])
    draws = [
        weights[:, None] + 2 * random.standard_normal(5) + random.standard_normal((4, 5))
        for _ in range(2000)
    ]
    found = np.array([numbers.variances(table) for table in draws])
    error = found.std(0) / 2000**0.5
    assert (np.abs(found.mean(0) - [4 + 1, weights.var(ddof=1)]) < 4 * error).all()


def test_claims_without_the_study_are_not_tested():
    nothing = results.Gathered(config.load(RAW).model_dump(), {}, {})
    for check in (claims.bought, claims.better_traded, claims.seeds_matter):
        assert check(nothing, None) == ([], [])
    own = [entry for entry in catalogue.catalogue() if entry.number in (45, 46, 47)]
    assert len(own) == 3 and not any(entry.paper for entry in own)


def test_figures_and_words(gathered, tables, tmp_path):
    for draw in (figures.tradeoff, figures.traversals):
        write(draw(gathered, None), [tmp_path / f"{draw.__name__}.png"])
        assert (tmp_path / f"{draw.__name__}.png").stat().st_size > 10_000
    chosen = figures.shown(numbers.by_setting(gathered))
    assert [setting.name for setting in chosen] == ["beta1", "beta8", "gamma2_5"]
    part = findings.part(gathered, None, tables)
    said = pages.texts(STUDY.text(), part.facts)
    assert {"disentanglement-question", *STUDY.figures(None)} <= set(said)
    assert {f"cap-{name}" for name in part.tables} <= set(said)
    listed = next(what for kind, what in part.sections[0].blocks if kind == "list")
    first = tables["disentanglement_terms"].iloc[0]
    assert f"of {first['kl']:.2f} [" in listed[0] and f"{first['information']:.2f} [" in listed[0]
    assert "4,608 generated sprites" in said["disentanglement-question"]
    assert len(part.tables["disentanglement"].rows) == 3
    assert set(part.findings) == set(STUDY.figures(None))
    price = part.findings["disentanglement"]
    assert price.startswith("From beta = 1 to 8 I(x; z) goes from")
    assert f"to {tables['disentanglement_terms']['information'][1]:.2f} [" in price


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"betas": [2, 4]}, "disentanglement.betas lacks 1, the VAE .* add it"),
        ({"betas": [1]}, "disentanglement.betas"),
        ({"betas": [0.5, 1]}, "disentanglement.betas has none above 1 .* add one"),
        ({"betas": [1, 2, 2.0000001]}, "two weights that are both called beta2; leave one out"),
        ({"latent_dim": 1}, "MIG compares two; give more"),
        ({"gammas": [0]}, "disentanglement.gammas"),
        ({"seeds": [1, 1]}, "a seed twice"),
    ],
)
def test_bad_input_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        study(**changes)
    assert "\n" not in str(error.value)


def test_divergence_is_one_sentence(tmp_path):
    job = STUDY.jobs(study(step_size=1e30, steps=5))[0]
    job = job._replace(outputs=[str(tmp_path / "out.h5")])
    with pytest.raises(UserError, match=r"beta1 .* diverged; give a smaller disentanglement\.step"):
        found(job.work)([job])
    assert not (tmp_path / "out.h5").exists()


def test_other_weights_make_nothing_stale():
    """A job's settings are its own weight and what all share."""
    one = {job.name: job.settings for job in STUDY.jobs(study())}
    other = {job.name: job.settings for job in STUDY.jobs(study(betas=[1, 3], gammas=[7]))}
    assert one["beta1"] == other["beta1"] and sorted(other) == ["beta1", "beta3", "gamma7"]
    planned = [job.rule for job in plan.jobs(study()) if job.kind == KIND]
    assert planned == [f"disentanglement_{name}" for name in ("beta1", "beta8", "gamma2_5")]
