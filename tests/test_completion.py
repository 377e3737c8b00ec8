"""Completed images: chains against the linear-Gaussian model and quadrature on a network, what is
seen against densities of SciPy, and the study from its own models."""

import dataclasses
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import special, stats

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.marginal.options import Evidence
from aevb.models import densities, nets
from aevb.models.joint import Joint
from aevb.models.likelihoods import LIKELIHOODS
from aevb.paper.verdicts import judge
from aevb.pipeline import cost, plan
from aevb.studies import STUDIES
from aevb.studies.completion import (
    Completion,
    Task,
    baselines,
    blocks,
    claims,
    columns,
    figures,
    findings,
    numbers,
    observed,
    posterior,
    predictive,
    work,
)
from aevb.studies.linear import simulate
from aevb.studies.linear.joint import joint_of

STUDY, EVIDENCE = STUDIES["completion"], Evidence()
TINY = {
    "experiments": ["mine", "grey"],
    "latent_dim": 3,
    "datapoints": 5,
    "pixels": [0.2],
    "top": [0.5],
    "grid": [2],
    "blocks": [2],
    "flips": [0.2],
    "deviations": [0.3],
    "chains": 2,
    "draws": 10,
    "warmup": 10,
    "leapfrog": 3,
    "images": 2,
    "temperatures": 5,
}
DIGITS = {"dataset": "digits", "hidden": 8, "scale": 16}
RAW = {
    "name": "tiny",
    "samples": 2000,
    "seeds": [0, 1],
    "experiments": {
        "mine": {**DIGITS, "likelihood": "bernoulli"},
        "grey": {**DIGITS, "likelihood": "gaussian", "dequantise": True},
    },
    "training": {"step_sizes": [0.05], "warmup_steps": 5, "pilot_samples": 1000},
    "evaluation": {"first": 2000},
    "figure2": [{"experiment": "mine", "latent_dims": [2], "algorithms": ["aevb"]}],
}


def loaded(**changes):
    return config.load({**RAW, "completion": {**TINY, **changes}})


def rng(seed=0):
    return np.random.default_rng(seed)


def options(**changes):
    given = {"chains": 4, "draws": 400, "warmup": 150, "leapfrog": 6, **changes}
    return Completion(experiments=["it"], **given)


# What is seen ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "count"),
    [
        (Task("pixels", 0.25), 12),
        (Task("pixels", 0.001), 1),
        (Task("pixels", 0.999), 47),
        (Task("top", 0.5), 24),
        (Task("top", 0.99), 40),
        (Task("grid", 2), 12),
        (Task("blocks", 2), 48),
        (Task("noise", 0.1), 48),
    ],
)
def test_what_is_seen(task, count):
    seen = observed.seen_pixels(task, (6, 8), rng()).reshape(6, 8)
    assert seen.sum() == count
    if task.kind == "top":
        assert seen[: count // 8].all()
    if task.kind == "grid":
        assert seen[1::2, 1::2].all()
    other = observed.seen_pixels(task, (6, 8), rng(1))
    assert (task.kind == "pixels") == (other != seen.ravel()).any()


def network(likelihood, latent_dim=2, pixels=12, seed=0):
    """Parameters of a small model and test images (N, D), both float64."""
    layout = nets.Layout(pixels, 7, latent_dim, likelihood)
    flat = torch.from_numpy(rng(seed).standard_normal((1, layout.n_parameters)))
    x = torch.from_numpy(rng(seed + 1).random((4, pixels)))
    return layout.view(flat), x


def noisy_joint(parameters, y, likelihood, level):
    density = partial(observed.noisy_density, likelihood, level)
    return observed.Indirect(parameters, y.unsqueeze(0), density)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_decoder_of_some_pixels_has_their_terms_alone(likelihood):
    parameters, x = network(likelihood)
    z = torch.from_numpy(rng(2).standard_normal((1, 4, 2)))
    seen = rng(3).random(12) < 0.5
    own = observed.decoder_of(parameters, seen, likelihood)
    value = Joint(own, x[None, :, seen], likelihood).log_likelihood(z)[0]
    output = nets.decode(z, parameters)[0].numpy()
    mean = special.expit(output[:, :12])
    if likelihood == "bernoulli":
        terms = special.xlogy(x, mean) + special.xlog1py(1 - x, -mean)
    else:
        terms = stats.norm.logpdf(x, mean, np.exp(output[:, 12:] / 2))
    assert value.numpy() == pytest.approx(np.asarray(terms)[:, seen].sum(1), rel=1e-5)


@pytest.mark.parametrize(("likelihood", "level"), [("bernoulli", 0.2), ("gaussian", 0.3)])
def test_noise_is_integrated_out_exactly(likelihood, level):
    parameters, x = network(likelihood)
    y = observed.corrupted(x, likelihood, level, rng(5))
    joint = noisy_joint(parameters, y, likelihood, level)
    z = torch.from_numpy(rng(2).standard_normal((1, 4, 2))).requires_grad_()
    value, gradient = joint.value_and_gradient(z.detach())
    output = nets.decode(z.detach(), parameters)[0].numpy()
    mean = special.expit(output[:, :12])
    if likelihood == "bernoulli":  # sum over the pixel's value: white and kept, black and flipped
        white = (1 - level) * mean + level * (1 - mean)
        terms = stats.bernoulli.logpmf(y.numpy().astype(int), white)
    else:
        terms = stats.norm.logpdf(y, mean, np.sqrt(np.exp(output[:, 12:]) + level**2))
    prior = stats.norm.logpdf(z.detach()[0]).sum(1)
    assert value[0].numpy() == pytest.approx(terms.sum(1) + prior, rel=1e-6)
    decoded = observed.noisy(nets.decode(z, parameters), likelihood, level)
    whole = LIKELIHOODS[likelihood].log_density(y, decoded) + densities.log_prior(z)
    (slope,) = torch.autograd.grad(whole.sum(), z)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(joint.gradient(z.detach()), gradient)


def test_noise_has_the_mean_and_variance_that_linear_prediction_takes():
    x = torch.from_numpy(rng().random((3, 4), dtype=np.float32)).repeat(20_000, 1)
    moments = baselines.moments_of(x)
    for likelihood, level in (("bernoulli", 0.15), ("gaussian", 0.4)):
        y = observed.corrupted(x, likelihood, level, rng(1)).double()
        offset, gain = observed.channel(likelihood, level)
        assert y.mean(0).numpy() == pytest.approx(offset + gain * moments.mean, abs=0.01)
        noise = baselines.noise_of(moments, likelihood, "noise", level)
        expected = gain**2 * moments.covariance + np.diag(noise)
        assert np.cov(y.numpy().T) == pytest.approx(expected, abs=0.012)


# Means of blocks ---------------------------------------------------------------------------------


def test_blocks_tile_the_image():
    view = blocks.blocks_of((4, 6), 2)
    image = np.arange(24.0).reshape(4, 6)
    expected = [image[r : r + 2, c : c + 2].mean() for r in (0, 2) for c in (0, 2, 4)]
    assert view(image.ravel()) == pytest.approx(expected)
    full = blocks.spread(view(torch.from_numpy(image.reshape(1, 24))), view)
    assert view(full)[0].numpy() == pytest.approx(expected)
    assert (full.view(4, 6)[:2, 2:4] == expected[1]).all()


@pytest.mark.parametrize(
    ("n", "kind"), [(4, torch.float64), (9, torch.float64), (9, torch.float32)]
)
def test_the_ways_to_choose_white_pixels_are_all_of_them(n, kind):
    """Against the sum over all subsets, also where the product of all w is far below the smallest
    number."""
    a = torch.from_numpy(rng(n).normal(-20, 15, (6, n))).to(kind).requires_grad_()
    for c in range(n + 1):
        value = blocks.log_symmetric(a, torch.full((6,), c))
        (white,) = torch.autograd.grad(value.sum(), a)
        ways = [a[:, list(some)].double().sum(1) for some in combinations(range(n), c)]
        exact = torch.stack(ways).logsumexp(0)
        slope = torch.autograd.grad(exact.sum(), a)[0] if c else torch.zeros_like(a)
        torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(white, slope, rtol=1e-4, atol=1e-5)
        assert white.sum(1).detach().numpy() == pytest.approx(c, abs=1e-4)


def test_counts_of_binary_pixels_have_the_poisson_binomial_law():
    """Against SciPy's, block by block."""
    decoded = torch.from_numpy(rng(2).normal(0, 3, (1, 16)))
    view, mean = blocks.blocks_of((4, 4), 2), special.expit(decoded.numpy()[0])
    for counts in ([0, 1, 2, 4], [3, 2, 0, 1]):
        y = torch.tensor([counts], dtype=torch.float64) / 4
        value = blocks.log_density(view, "bernoulli", y, decoded)
        laws = [stats.poisson_binom(mean[block]) for block in view.index]
        exact = sum(law.logpmf(c) for law, c in zip(laws, counts, strict=True))
        assert value.item() == pytest.approx(exact)
    sharp = blocks.sharpened(view, "bernoulli", decoded.numpy(), y.numpy())
    assert view(sharp)[0] == pytest.approx(y[0].numpy())


def test_means_of_gaussian_pixels_are_gaussian():
    decoded, view = rng(1).normal(size=(2, 3, 48)), blocks.blocks_of((4, 6), 2)
    y, mean, v = rng(2).random((3, 6)), special.expit(decoded[..., :24]), np.exp(decoded[..., 24:])
    matrix = np.zeros((6, 24))
    for row, block in zip(matrix, view.index, strict=True):
        row[block] = 0.25
    value = blocks.log_density(view, "gaussian", torch.from_numpy(y), torch.from_numpy(decoded))
    exact = stats.norm.logpdf(y, mean @ matrix.T, np.sqrt(v @ (matrix**2).T)).sum(-1)
    assert value.numpy() == pytest.approx(exact)
    sharp = blocks.sharpened(view, "gaussian", decoded, y)
    for k, n in np.ndindex(2, 3):
        own = np.diag(v[k, n])
        gain = own @ matrix.T @ np.linalg.inv(matrix @ own @ matrix.T)
        expected = mean[k, n] + gain @ (y[n] - matrix @ mean[k, n])
        assert sharp[k, n] == pytest.approx(expected)


def test_the_chains_sharpen_as_the_sum_over_all_binary_images():
    """N_z = 1, 2 x 4 pixels in 2 x 2 blocks: a quadrature over z, all images with these counts."""
    parameters, x = network("bernoulli", latent_dim=1, pixels=8, seed=3)
    view = blocks.blocks_of((2, 4), 2)
    y = view(observed.drawn(x, rng(2)))
    density = partial(blocks.log_density, view, "bernoulli")
    joint = observed.Indirect(parameters, y.unsqueeze(0), density)
    near = Joint(parameters, blocks.spread(y, view).unsqueeze(0), "bernoulli")
    grid = torch.linspace(-6, 6, 1201, dtype=torch.float64).view(1, -1, 1)
    mean = torch.from_numpy(posterior.decoder(parameters, "bernoulli")(grid[0]))
    b = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 8)
    fits = (view(b)[None] == y[:, None]).all(2)  # (N, B)
    prior = b @ mean.log().T + (1 - b) @ (1 - mean).log().T - grid[0, :, 0] ** 2 / 2
    weight = torch.where(fits, prior.logsumexp(1), -torch.inf).softmax(1)
    few = options(draws=100, warmup=40, leapfrog=3)
    chains = posterior.chains_of(joint, near, rng(2), few, EVIDENCE)
    mended = partial(blocks.sharpened, view, "bernoulli")
    decode = posterior.decoder(parameters, "bernoulli", y.numpy(), mended)
    made = posterior.completed(chains.z, decode)
    assert (np.abs(made.mean - (weight @ b).numpy()) < 5 * np.sqrt(made.mc) + 0.01).all()


# Chains against closed forms ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def linear():
    """A linear-Gaussian model of N_z = 3 with 10 pixels, 6 seen, 5 datapoints; the exact
    conditional mean of all pixels and its covariance (posterior of W z + mu given what is seen)."""
    generator = rng(4)
    model = simulate.true_model(generator, 3, 10)
    x, _ = simulate.draw(model, generator, 5)
    seen = np.arange(10) < 6
    signal = model.w @ model.w.T
    gain = signal[:, seen] @ np.linalg.inv(signal[np.ix_(seen, seen)] + model.variance * np.eye(6))
    mean = model.mean + (x - model.mean)[:, seen] @ gain.T
    return model, x, seen, mean, np.diag(signal - gain @ signal[seen])


def test_the_chains_complete_a_linear_gaussian_image_as_its_closed_form(linear):
    model, x, seen, exact, variance = linear
    part = model._replace(w=model.w[seen], mean=model.mean[seen])
    joint = joint_of(part, x[:, seen])
    chains = posterior.chains_of(joint, joint, rng(6), options(), EVIDENCE)
    assert chains.rhat.max() < 1.05 and chains.ess.min() > 200
    made = posterior.completed(chains.z, lambda z: z.numpy() @ model.w.T + model.mean)
    error = np.sqrt(made.mc)
    assert (np.abs(made.mean - exact) < 6 * error + 0.02).all()
    assert made.variance == pytest.approx(np.broadcast_to(variance, (5, 10)), rel=0.25)
    # The Monte Carlo error is of the size of the deviation: rms over pixels and images.
    assert 0.4 < np.sqrt(((made.mean - exact) ** 2).mean() / made.mc.mean()) < 2.5


def test_the_chains_clean_a_linear_gaussian_image_as_its_closed_form(linear):
    """E[x|y] = mu + (W W^T + v) (W W^T + v + s^2)^-1 (y - mu), of x and not only of W z + mu."""
    model, x, *_ = linear
    # In units that keep all means within 0 and 1; noise and p(x|z) have the same variance.
    level = 0.02
    mean = level * model.mean + 0.5
    model = model._replace(w=level * model.w, mean=mean, variance=level**2)
    x = level * x + 0.5
    y = x + level * rng(1).standard_normal(x.shape)
    joint = joint_of(model._replace(variance=model.variance + level**2), y)
    chains = posterior.chains_of(joint, joint, rng(6), options(), EVIDENCE)

    def decode(z):
        mean = z.numpy().reshape(-1, 5, 3) @ model.w.T + model.mean
        assert mean.min() > 0 and mean.max() < 1
        decoded = np.concatenate(
            [special.logit(mean), np.full_like(mean, np.log(model.variance))], 2
        )
        return observed.cleaned(decoded, y, "gaussian", level).reshape(-1, 10)

    made = posterior.completed(chains.z, decode)
    signal, own = model.w @ model.w.T, model.variance * np.eye(10)
    inverse = np.linalg.inv(signal + own + level**2 * np.eye(10))
    exact = model.mean + (y - model.mean) @ inverse @ (signal + own)
    assert (np.abs(made.mean - exact) < 6 * np.sqrt(made.mc) + 1e-4).all()
    # That of z alone is another.
    of_z = model.mean + (y - model.mean) @ inverse @ signal
    assert np.sqrt(((of_z - exact) ** 2).mean()) > 10 * np.sqrt(((made.mean - exact) ** 2).mean())
    # Total variance: what is left of x given z and y is the same for every z.
    left = model.variance * level**2 / (model.variance + level**2)
    total = np.diag(signal + own - (signal + own) @ inverse @ (signal + own))
    assert made.variance + left == pytest.approx(np.broadcast_to(total, (5, 10)), rel=0.1)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_cleaned_pixel_is_bayes_rule(likelihood):
    """Against p(x|z) p(y|x), normalised: a sum over two values, or a fine grid."""
    level, y = 0.2, np.array([0.0, 1.0, 1.0])
    decoded = rng().standard_normal(3 if likelihood == "bernoulli" else 6)
    mean = special.expit(decoded[:3])
    if likelihood == "bernoulli":
        x = np.array([[0.0], [1.0]])
        weight = stats.bernoulli.pmf(x, mean) * np.where(x == y, 1 - level, level)
    else:
        x = np.linspace(-15, 15, 20_001)[:, None]
        weight = stats.norm.pdf(x, mean, np.exp(decoded[3:] / 2)) * stats.norm.pdf(y, x, level)
    exact = (x * weight).sum(0) / weight.sum(0)
    assert observed.cleaned(decoded, y, likelihood, level) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("noise", [False, True])
def test_the_chains_agree_with_quadrature_on_a_network(noise):
    parameters, x = network("bernoulli", latent_dim=1, pixels=6, seed=3)
    decode = posterior.decoder(parameters, "bernoulli")
    grid = torch.linspace(-6, 6, 2001, dtype=torch.float64).view(1, -1, 1)
    mean = torch.from_numpy(decode(grid[0]))
    if noise:
        y = observed.corrupted(x, "bernoulli", 0.1, rng(1))
        joint = noisy_joint(parameters, y, "bernoulli", 0.1)
        near = Joint(parameters, y.unsqueeze(0), "bernoulli")
        mended = partial(observed.cleaned, likelihood="bernoulli", level=0.1)
        decode = posterior.decoder(parameters, "bernoulli", y.numpy(), mended)
        # All binary images b: the sum of b p(b|z) p(y|b) p(z) over b and z, normalised.
        b = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 6)
        kept = torch.where(y[:, None] == b, 0.9, 0.1).log().sum(2)  # (N, B)
        prior = b @ mean.log().T + (1 - b) @ (1 - mean).log().T - grid[0, :, 0] ** 2 / 2
        exact = ((kept + prior.logsumexp(1)).softmax(1) @ b).numpy()
    else:
        holes = np.arange(6) < 3
        own = observed.decoder_of(parameters, holes, "bernoulli")
        joint = near = Joint(own, x[None, :, :3], "bernoulli")
        seen, chance = x[:, :3], mean[:, :3]
        log = seen @ chance.log().T + (1 - seen) @ (1 - chance).log().T - grid[0, :, 0] ** 2 / 2
        exact = (log.softmax(1) @ mean).numpy()
    chains = posterior.chains_of(
        joint, near, rng(2), options(draws=400, warmup=80, leapfrog=3), EVIDENCE
    )
    made = posterior.completed(chains.z, decode)
    assert (np.abs(made.mean - exact) < 5 * np.sqrt(made.mc) + 0.01).all()


# log p(not seen | seen) --------------------------------------------------------------------------


def test_log_p_of_what_is_not_seen_has_its_closed_form(linear):
    """log N(x_h; E[x_h | x_s], cov[x_h | x_s]) of a linear-Gaussian model."""
    model, x, seen, *_ = linear
    cov = model.w @ model.w.T + model.variance * np.eye(10)
    gain = cov[np.ix_(~seen, seen)] @ np.linalg.inv(cov[np.ix_(seen, seen)])
    mean = model.mean[~seen] + (x - model.mean)[:, seen] @ gain.T
    left = cov[np.ix_(~seen, ~seen)] - gain @ cov[np.ix_(seen, ~seen)]
    exact = stats.multivariate_normal(np.zeros(4), left).logpdf(x[:, ~seen] - mean)
    first, second = (
        joint_of(model._replace(w=model.w[part], mean=model.mean[part]), x[:, part])
        for part in (seen, ~seen)
    )
    few = options(chains=40, draws=8, warmup=40)
    chains = posterior.chains_of(first, first, rng(6), few, EVIDENCE)
    start = (chains.z[-1], chains.step_size)
    found = predictive.log_predictive(first, second, *start, rng(7), 40, 5, 0.9)
    off = (found.value - exact) / found.error
    assert (found.error < 0.3).all() and (np.abs(off) < 4).all() and np.sqrt((off**2).mean()) < 2.5
    rough = predictive.log_predictive(first, second, *start, rng(7), 2, 5, 0.9)
    assert rough.error.mean() > 1.5 * found.error.mean()  # two temperatures are few
    moments = baselines.Moments(model.mean, cov, 100)
    assert predictive.linear_log(moments, "gaussian", x, ~seen) == pytest.approx(exact)
    alone = stats.norm.logpdf(x, model.mean, np.sqrt(np.diag(cov)))[:, ~seen].sum(1)
    assert predictive.pixelwise(moments, "gaussian", x, ~seen) == pytest.approx(alone)


def test_binary_pixels_have_the_cross_entropy_of_their_prediction():
    train = torch.from_numpy((rng(1).random((200, 6)) < [0.2, 0.4, 0.5, 0.6, 0.8, 0]).astype(float))
    moments, hidden = baselines.moments_of(train), np.arange(6) > 2
    x = rng(2).random((4, 6))
    white = (train.numpy().sum(0) + 0.5) / 201
    own = (x * np.log(white) + (1 - x) * np.log(1 - white))[:, hidden].sum(1)
    assert predictive.pixelwise(moments, "bernoulli", x, hidden) == pytest.approx(own)
    view = observed.View(np.flatnonzero(~hidden))
    made = baselines.linear(moments, x[:, ~hidden], view, 0, 1, np.zeros(3))
    made = made.clip(np.minimum(white, predictive.LEAST), 1 - predictive.LEAST)
    expected = (x * np.log(made) + (1 - x) * np.log(1 - made))[:, hidden].sum(1)
    assert predictive.linear_log(moments, "bernoulli", x, hidden) == pytest.approx(expected)


def test_chains_that_do_not_agree_are_told():
    values = rng().standard_normal((3, 2, 4, 100))
    values[1, 0, 2] += 3  # one chain elsewhere
    values[2, 1, 1] = 0.5  # one that has not moved
    rhat, ess = posterior.agreement(values)
    assert rhat[0] < 1.05 and ess[0] > 200
    assert rhat[1] > 1.3 and ess[1] < 50
    assert np.isinf(rhat[2]) and ess[2] == 1


# Other guesses -----------------------------------------------------------------------------------


def test_the_nearest_image_and_linear_prediction(linear):
    generator = rng(8)
    train = torch.from_numpy(generator.random((50, 9)))
    y, seen = torch.from_numpy(generator.random((6, 9))), generator.random(9) < 0.6
    view = observed.View(np.flatnonzero(seen))
    chosen = baselines.nearest(train, view(y), view, 0.1, 0.8)
    distance = ((y[:, None] - 0.1 - 0.8 * train)[..., seen] ** 2).sum(-1)
    assert (chosen == distance.argmin(1).numpy()).all()
    model, x, seen, exact, _ = linear
    # Of the signal s = W z + mu, seen with noise of variance sigma^2; cut off at 0 and 1.
    moments = baselines.Moments(model.mean, model.w @ model.w.T, 1)
    view = observed.View(np.flatnonzero(seen))
    made = baselines.linear(moments, view(x), view, 0, 1, np.full(6, model.variance))
    assert made == pytest.approx(exact.clip(0, 1))


def test_the_encoder_iterated_ends_in_the_posterior_where_the_encoder_is_exact():
    """x does not depend on z, and the encoder gives the prior: the holes' mean is the decoder's."""
    parameters, x = network("bernoulli", latent_dim=1, pixels=6)
    zero = {name: torch.zeros_like(value) for name, value in parameters.items()}
    zero["decoder.output.bias"] = torch.linspace(-1, 1, 6).double().view(1, 1, 6)
    decode, seen = posterior.decoder(zero, "bernoulli"), np.arange(6) < 2
    counted = []

    def counting(z):
        counted.append(len(z))
        return decode(z)

    short = options(chains=3, draws=9, warmup=5)
    made = baselines.iterated(zero, x, seen, "bernoulli", counting, rng(), short)
    assert counted == [3 * 4] * 9  # as many as HMC's, after as long a warm-up
    assert made == pytest.approx(np.broadcast_to(special.expit(np.linspace(-1, 1, 6)), (4, 6)))


# The study ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(digits_file, tmp_path_factory):
    """The results of a tiny study: its models trained and measured by its own jobs."""
    folder = tmp_path_factory.mktemp("completion")
    raw = {**RAW, "results": str(folder / "out"), "data": str(digits_file.parent)}
    study = config.load({**raw, "completion": TINY})
    tables = {"completion": {}}
    for job in plan.jobs(study):
        if job.kind in ("pilot", "train", "completion"):
            found(job.work)([job])
        if job.kind == "completion":
            for run, output in zip(job.runs, job.outputs, strict=True):
                table = results.read_table(output, columns.COMPLETION)
                tables["completion"][run.name] = table
    return results.Gathered(study.model_dump(), {}, {}, tables)


def test_every_table_holds_what_it_says(gathered):
    first, other = (gathered.of("completion")[f"mine/aevb-nz3-seed{s}"] for s in (0, 1))
    assert list(first.frame["kind"]) == ["pixels", "top", "grid", "blocks", "noise"]
    assert list(first.frame["seen"]) == [13, 32, 16, 16, 64]
    errors = dict(zip(columns.METHODS, first.arrays["errors"].transpose(1, 0, 2), strict=True))
    assert errors["posterior"].shape == (5, 5) and (errors["draw"] >= errors["posterior"]).all()
    assert np.isnan(errors["gibbs"][3:]).all() and np.isfinite(errors["gibbs"][:3]).all()
    log_p = first.arrays["log_p"]
    assert log_p.shape == (5, len(columns.DENSITIES), 5)
    assert np.isnan(log_p[3:]).all() and (log_p[:3] < 0).all()
    assert first.frame["log_mc"].notna().tolist() == [True, True, True, False, False]
    assert first.arrays["pictures"].shape == (5, 2, len(columns.SHOWN), 64)
    assert "pictures" not in other.arrays
    # The pictures are what the errors are of.
    seen = first.arrays["masks"].astype(bool)
    pictures = first.arrays["pictures"] / 255
    for name in ("posterior", "nearest", "encoder"):
        off = pictures[:, :, 0] - pictures[:, :, columns.SHOWN.index(name)]
        for task in range(3):
            again = (off[task][:, ~seen[task]] ** 2).mean(1)
            assert again == pytest.approx(errors[name][task, :2], abs=0.01)


def test_test_images_are_drawn_at_random_once():
    chosen = work.images_of("mnist", 10_000, options(datapoints=50))
    assert len(set(chosen.tolist())) == 50 and chosen.double().mean() == pytest.approx(
        5000, rel=0.3
    )
    assert (work.images_of("mnist", 10_000, options(datapoints=20)) == chosen[:20]).all()


def test_the_encoder_at_noisy_images_has_the_formula_of_the_posterior_mean():
    parameters, x = network("gaussian")
    train = torch.from_numpy(rng().random((20, 12)))
    few, moments = options(chains=2, draws=8, warmup=8), baselines.moments_of(train)
    setting = work.Setting(parameters, "gaussian", (3, 4), x, train, moments, few, EVIDENCE)
    solved = work.solve(setting, Task("noise", 0.3), rng(1))
    mean = nets.encode(solved.seen.y.unsqueeze(0), parameters)[0]
    decoded = nets.decode(mean, parameters)[0].numpy()
    m, v = special.expit(decoded[:, :12]), np.exp(decoded[:, 12:])
    expected = m + v / (v + 0.09) * (solved.seen.y.numpy() - m)
    assert solved.guesses["encoder"] == pytest.approx(expected)


def test_the_same_bits_twice(gathered, tmp_path):
    job = next(job for job in plan.jobs(gathered.study) if job.kind == "completion")
    again = job._replace(outputs=[str(tmp_path / f"{at}.h5") for at in range(len(job.outputs))])
    work.work([again])
    for run, output in zip(again.runs, again.outputs, strict=True):
        one, two = (
            results.read_table(output, columns.COMPLETION),
            gathered.of("completion")[run.name],
        )
        pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)
        assert (one.arrays["errors"].tobytes()) == two.arrays["errors"].tobytes()


def test_the_summary_is_of_the_tables(gathered):
    table = numbers.completion(gathered, None)
    assert list(table.columns) == numbers.COMPLETION and len(table) == 10
    row = table[(table["experiment"] == "grey") & (table["kind"] == "grid")].iloc[0]
    at = list(columns.METHODS)
    errors = np.stack(
        [gathered.of("completion")[f"grey/aevb-nz3-seed{s}"].arrays["errors"][2] for s in (0, 1)]
    ).astype(float)
    own, other = errors[:, at.index("posterior")], errors[:, at.index("nearest")]
    assert row["posterior"] == pytest.approx(np.sqrt(own.mean(1)).mean())
    ratio = np.sqrt(other.mean(1) / own.mean(1))
    assert row["ratio_nearest"] == pytest.approx(np.sqrt(ratio.prod()))
    assert row["share"] == 0.25
    log_p = np.stack(
        [gathered.of("completion")[f"grey/aevb-nz3-seed{s}"].arrays["log_p"][2] for s in (0, 1)]
    ).astype(float)
    assert table["log_mc"].isna().tolist() == [False, False, False, True, True] * 2
    assert row["log_model"] == pytest.approx(log_p[:, 0].mean())
    assert row["gain_linear"] == pytest.approx((log_p[:, 0] - log_p[:, 1]).mean())


def changed(gathered, errors, mc=0.0, gain=0.0, log_mc=0.0):
    """The results with squared errors by method, a bit of noise over images, Monte Carlo variance
    `mc`, and the model's log p `gain` above others, with its Monte Carlo error."""
    tables = {}
    for name, table in gathered.of("completion").items():
        noise = 1 + 0.01 * rng(3).standard_normal(table.arrays["errors"].shape)
        made = noise * np.array([errors.get(m, 1.0) for m in columns.METHODS])[:, None]
        log_p = noise[:, :3] - 1 + gain * np.array([1, 0, 0])[:, None]
        arrays = {**table.arrays, "errors": made, "log_p": log_p}
        frame = table.frame.assign(mc=mc, log_mc=log_mc)
        tables[name] = dataclasses.replace(table, frame=frame, arrays=arrays)
    return results.Gathered(gathered.config, {}, {}, {"completion": tables})


@pytest.mark.parametrize(
    ("claim", "method", "checks"),
    [(claims.better_than_nearest, "nearest", 10), (claims.better_than_encoder, "encoder", 6)],
)
def test_each_claim_comes_out_both_ways(gathered, claim, method, checks):
    good, bad = ({"posterior": 1.0, method: other} for other in (4.0, 0.25))
    found_good, found_bad = (claim(changed(gathered, e), None) for e in (good, bad))
    assert len(found_good[0]) == checks
    assert np.mean(found_good[0][0].values) == pytest.approx(np.log(2), abs=0.02)
    assert judge(*found_good)[0] == "holds"
    assert judge(*found_bad)[0].startswith("does not hold")


def test_the_claim_on_log_p_comes_out_both_ways(gathered):
    for gain, verdict in ((3.0, "holds"), (-3.0, "does not hold")):
        found = claims.denser_than_linear(changed(gathered, {}, gain=gain), None)
        assert len(found[0]) == 6 and judge(*found)[0].startswith(verdict)
        assert np.mean(found[0][0].values) == pytest.approx(gain, abs=0.05)
    unsure, rough = (
        claims.denser_than_linear(changed(gathered, {}, gain=gain, log_mc=0.5), None)[1]
        for gain in (0.0, 3.0)
    )
    assert unsure[0].startswith("over test images the interval reaches across in mine, random")
    assert rough[0].startswith("Monte Carlo error is more than a tenth in mine, random")


def test_images_that_disagree_and_rough_chains_are_qualifications(gathered):
    remarks = claims.better_than_nearest(changed(gathered, {}), None)[1]
    assert any("over test images the interval reaches across in mine, random" in r for r in remarks)
    rough = claims.better_than_nearest(changed(gathered, {"nearest": 4.0}, mc=0.2), None)[1]
    assert len(rough) == 1 and "the chains leave more than a tenth of the error" in rough[0]


def test_without_the_study_nothing_is_tested():
    other = results.Gathered(config.load(RAW).model_dump(), {}, {})
    for claim in (
        claims.better_than_nearest,
        claims.better_than_encoder,
        claims.denser_than_linear,
    ):
        assert claim(other, None) == ([], [])


def test_figures_and_findings_show_what_there_is(gathered):
    drawn = figures.errors(gathered, None)
    assert len(drawn.axes) == 10 and drawn.axes[0].get_title() == "random pixels"
    assert drawn.axes[3].get_title() == "block means"
    dense = figures.density(gathered, None)
    line = dense.axes[3].lines[0].get_ydata()  # grey, random pixels, the model
    row = numbers.completion(gathered, None).set_index(["experiment", "kind"]).loc["grey", "pixels"]
    assert len(dense.axes) == 6 and line[0] == pytest.approx(row["log_model"].item() / 51)
    pictures = figures.images(gathered, None)
    shown = pictures.axes[0].get_images()[0].get_array()
    assert shown.shape == (len(columns.SHOWN) * 8, 5 * 2 * 8 + 4 * 2, 3)
    mask = gathered.of("completion")["mine/aevb-nz3-seed0"].arrays["masks"][0].reshape(8, 8)
    holes = (shown[8:16, :8] == figures.HOLE).all(-1)
    assert (holes == (mask == 0)).all()
    part = findings.part(gathered, None, {"completion": numbers.completion(gathered, None)})
    said = " ".join(" ".join(block[1]) for block in part.sections[0].blocks if block[0] == "list")
    table = numbers.completion(gathered, None)
    weakest = table[table["experiment"] == "grey"].nsmallest(1, "ratio_nearest").iloc[0]
    assert f"{weakest['ratio_nearest']:.2f}" in said and "nan" not in said
    won = (table["ratio_nearest"][table["experiment"] == "grey"] > 1).sum()
    assert f"on grey the nearest training image in {won} of 5" in part.facts["completion_found"]


@pytest.mark.parametrize("key", ["flips", "deviations"])
def test_a_kind_of_task_that_one_experiment_lacks_is_no_panel(gathered, key):
    name = "mine" if key == "flips" else "grey"
    tables = dict(gathered.of("completion"))
    for run, table in tables.items():
        if run.startswith(name):
            arrays = {key: table.arrays[key][:4] for key in ("errors", "log_p")}
            tables[run] = dataclasses.replace(table, frame=table.frame.iloc[:4], arrays=arrays)
    left = results.Gathered(gathered.config, {}, {}, {"completion": tables})
    drawn = figures.errors(left, None)
    drawn.draw_without_rendering()
    assert sum(axis.get_visible() for axis in drawn.axes) == 9


def test_models_that_diverged_are_left_out(gathered):
    tables = dict(gathered.of("completion"))
    for name in list(tables):
        if name.startswith("mine"):
            tables[name] = results.Table(tables[name].frame.iloc[:0], {})
    left = results.Gathered(gathered.config, {}, {}, {"completion": tables})
    assert set(numbers.completion(left, None)["experiment"]) == {"grey"}
    for claim, count in (
        (claims.better_than_nearest, 5),
        (claims.better_than_encoder, 3),
        (claims.denser_than_linear, 3),
    ):
        checks, _ = claim(left, None)
        empty = [check.name for check in checks if not len(check.values)]
        every = [check.name for check in claim(gathered, None)[0]]
        assert empty == every[:count] and len(checks) == len(every)
        assert f"every replica of an algorithm diverged in {count} of" in judge(checks, [])[0]
    assert figures.images(left, None).axes[0].texts[0].get_text() == "this model diverged"
    nothing = results.Gathered(gathered.config, {}, {}, {})
    empty = numbers.completion(nothing, None)
    assert figures.errors(nothing, None).texts and figures.density(nothing, None).texts
    assert findings.part(nothing, None, {"completion": empty}).sections == []


def test_models_with_samples_of_their_own_are_a_variant():
    study = loaded(samples=5000)
    runs = dict(STUDY.runs(study))
    assert {run.experiment for run in runs} == {"mine+completion", "grey+completion"}
    assert set(runs.values()) == {5000}
    assert study.evaluation_of("mine+completion").first == 5000
    assert cost.seconds_per_gradient(study, "mine+completion", 3) > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"datapoints": 5000}, "completion.datapoints is more than the 297 of mine's test set"),
        ({"grid": [9]}, "completion.grid has 9, more than the 8 pixels of a side"),
        ({"blocks": [2, 3]}, "completion.blocks has 3, which does not divide the sides of mine's"),
        ({"images": 6}, "completion.images is more than completion.datapoints"),
        ({"flips": [0.5]}, "'completion.flips"),
        ({"flips": [1e-9]}, "is 1e-09: it must be greater than or equal to 0.001"),
        ({"pixels": [0.2, 0.2000001]}, "completion has two tasks that are both called pixels-0.2,"),
        ({"experiments": ["others"]}, "completion names the experiment 'others'"),
        (
            {"pixels": [], "top": [], "grid": [], "blocks": [], "flips": [], "deviations": []},
            "completion has no task",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        loaded(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["studies", "extensions"])
def test_the_forms_that_are_kept_are_valid(name):
    text = (plan.ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    study = config.load(yaml.safe_load(text))
    assert {job.kind for job in STUDY.jobs(study)} == {"completion"}
