"""beta-VAE and FactorVAE: sprites, information and metrics against quadrature, closed forms and a
second derivation; training; the rules of the claims; what the study says."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
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
    "steps": 60,
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
                angle, abs=0.03
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


def mig(mean, variance):
    single = information.marginals(mean, variance, FACTORS)
    return grades.gaps(single.information, grades.entropies(FACTORS)).mean()


def mig_again(mean, variance, bins=60, draws=5):
    """MIG once more: sampled codes in bins, and scikit-learn's mutual information."""
    generator = np.random.default_rng(5)
    z = np.concatenate(
        [mean + variance**0.5 * generator.standard_normal(mean.shape) for _ in range(draws)]
    )
    v, found = np.tile(FACTORS, (draws, 1)), []
    for k in range(v.shape[1]):
        told = []
        for j in range(z.shape[1]):
            edges = np.linspace(z[:, j].min(), z[:, j].max(), bins)
            told.append(mutual_info_score(np.digitize(z[:, j], edges), v[:, k]))
        told.sort()
        found.append((told[-1] - told[-2]) / mutual_info_score(v[:, k], v[:, k]))
    return float(np.mean(found))


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


def test_known_codes_get_the_grades_they_deserve():
    one, turned, none = perfect(), rotated(), chance()
    assert mig(*one) > 0.999 and vote(one[0]) == (1.0, 5)
    assert mig(*turned) < 0.35 and mig(*none) < 0.02
    assert vote(none[0])[0] == pytest.approx(0.2, abs=0.08)
    unused = np.concatenate([one[0], 0.01 * none[0][:, :2]], axis=1)
    assert vote(unused) == (1.0, 5)  # what is no more than noise takes no part
    score, live = vote(0.01 * none[0])
    assert live == 0 and score == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    "codes", [perfect(0.3), rotated(), chance()], ids=["perfect", "turned", "none"]
)
def test_metrics_agree_with_a_second_derivation(codes):
    assert mig(*codes) == pytest.approx(mig_again(*codes), abs=0.03)
    assert vote(codes[0])[0] == pytest.approx(vote_again(codes[0]), abs=0.09)


def test_gaps_of_a_table_by_hand():
    told = np.array([[0.9, 0.0], [0.3, 0.2], [0.6, 0.2]])
    np.testing.assert_allclose(grades.gaps(told, np.array([1.0, 2.0])), [0.3, 0.0])
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_allclose(grades.entropies(factors), math.log(2))
