"""What every likelihood promises (Likelihood): those of the project, and one of a plug-in."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import distributions

from aevb import config
from aevb.core import plugins
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine import training
from aevb.models import nets
from aevb.models.likelihoods import LIKELIHOODS, bernoulli
from aevb.report import pictures

PLUGIN = (Path(__file__).parent / "plugins/laplace.py").read_text(encoding="utf-8")

OWN = list(LIKELIHOODS)
KEYS = [*OWN, "laplace"]
DTYPES = {
    torch.float32: {"rtol": 2e-6, "atol": 1e-4},
    torch.float64: {"rtol": 1e-12, "atol": 1e-10},
}


def sigmoid_then_exp(make, half):
    """A distribution of torch from its mean's logits and the logarithm of a scale (or of its
    square)."""

    def build(decoded):
        logits, logarithm = decoded.chunk(2, dim=-1)
        return make(logits.sigmoid(), torch.exp((0.5 if half else 1) * logarithm))

    return build


#: decoded -> the same by torch
REFERENCE = {
    "bernoulli": lambda decoded: distributions.Bernoulli(logits=decoded, validate_args=False),
    "gaussian": sigmoid_then_exp(distributions.Normal, half=True),
    "laplace": sigmoid_then_exp(distributions.Laplace, half=False),
}


@pytest.fixture(scope="module", autouse=True)
def plugged(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "laplace_decoder.py"
    path.write_text(PLUGIN)
    plugins.load([str(path)])
    yield
    del LIKELIHOODS.entries["laplace"]


@pytest.fixture(params=KEYS)
def likelihood(request):
    return LIKELIHOODS[request.param]


def draw(likelihood, *shape, pixels=7, seed=0, spread=1.0):
    """Grey values x (*shape, D) and a decoder's output (*shape, outputs * D), in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape, pixels, generator=generator, dtype=torch.float64)
    width = likelihood.width(pixels)
    return x, spread * torch.randn(*shape, width, generator=generator, dtype=torch.float64)


def test_it_describes_itself(likelihood):
    assert likelihood.title[0].isupper() and likelihood.key == likelihood.key.lower()
    assert likelihood.decimals >= 0 and likelihood.tolerance > 0
    layout = nets.Layout(7, 4, 2, likelihood.key)
    assert layout.shapes["decoder.output.weight"] == (4, likelihood.width(7))
    assert likelihood.width(7) == 7 * likelihood.outputs


def test_log_density_is_torchs(likelihood):
    x, decoded = draw(likelihood, 3, 5)
    expected = REFERENCE[likelihood.key](decoded).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood.log_density(x, decoded), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key", [*KEYS, "bernoulli on a GPU"])
@pytest.mark.parametrize(
    "pixels", [784, 560, 64, 7, 1]
)  # 784 halves four times, 64 more often than is tried, 7 never
def test_the_fast_value_and_gradient_are_those_of_autograd(monkeypatch, dtype, key, pixels):
    if key == "bernoulli on a GPU":
        key = "bernoulli"
        monkeypatch.setattr(bernoulli, "in_few_logarithms", bernoulli.in_few_launches)
    likelihood = LIKELIHOODS[key]
    spread = 8 if key == "bernoulli" else 1
    x, _ = draw(likelihood, 2, 1, 5, pixels=pixels)
    _, decoded = draw(likelihood, 2, 3, 5, pixels=pixels, seed=1, spread=spread)
    plain = decoded.clone().requires_grad_(True)
    expected = likelihood.log_density(x, plain)
    expected.sum().backward()

    a = decoded.to(dtype, copy=True)
    value = likelihood.fast_log_density(x.to(dtype), a)
    torch.testing.assert_close(value.double(), expected.detach(), **DTYPES[dtype])
    assert torch.equal(a, decoded.to(dtype)) and not value.requires_grad
    assert torch.equal(likelihood.fast_log_density(x.to(dtype), a, gradient=True), value)
    torch.testing.assert_close(a.double(), plain.grad, rtol=1e-5, atol=1e-5)
    again = decoded.to(dtype, copy=True)
    found = likelihood.fast_log_density(x.to(dtype), again, value=False, gradient=True)
    assert found is None and torch.equal(again, a)


@pytest.mark.parametrize("kernel", [bernoulli.in_few_logarithms, bernoulli.in_few_launches])
def test_extreme_logits_keep_their_value(kernel):
    """Where sigmoid is 0 or 1 in float32 the product of pixels must be neither."""
    a = torch.tensor([-1e4, -100.0, 0.0, 0.0, 100.0, 1e4, 3.0, -3.0] * 8)
    for x in ((a > 0).float(), (a <= 0).float()):
        expected = LIKELIHOODS["bernoulli"].log_density(x.double(), a.double()).item()
        assert kernel(x, a, True, False).item() == pytest.approx(expected, rel=1e-6)


def test_the_shared_matrix_is_the_log_density_pair_by_pair(likelihood):
    x, _ = draw(likelihood, 6)
    _, decoded = draw(likelihood, 4, seed=1)
    expected = likelihood.log_density(x[:, None], decoded[None])
    assert expected.shape == (6, 4)
    torch.testing.assert_close(likelihood.shared_log_density(x, decoded), expected)


def test_samples_have_the_moments_of_torchs(likelihood):
    """Mean, and variance, by the Monte Carlo error of 40,000 draws; `mean` is that mean."""
    decoded = torch.linspace(-2, 1.2, likelihood.width(7), dtype=torch.float64)
    n, reference = 40_000, REFERENCE[likelihood.key](decoded)
    noise = likelihood.noise(np.random.default_rng(0), (1, n, 7))
    assert noise.dtype == np.float32
    x = likelihood.sample(decoded.repeat(1, n, 1), torch.from_numpy(noise).double())[0]
    assert x.shape == (n, 7) and x.dtype == torch.float64
    squared = (x - reference.mean) ** 2
    for draws, expected in ((x, reference.mean), (squared, reference.variance)):
        assert ((draws.mean(0) - expected).abs() < 4.5 * draws.std(0) / n**0.5).all()
    np.testing.assert_allclose(likelihood.mean(decoded.numpy()), reference.mean, rtol=1e-12)
    assert likelihood.mean(decoded.numpy()[None]).shape == (1, 7)
    if not likelihood.continuous:
        assert set(x.unique().tolist()) == {0.0, 1.0}


def fitted(likelihood, train, weights):
    """The decoder's output, the same for all z, at which the weighted log density of `train` is
    highest, pixel by pixel and without derivatives."""

    def loss(output, pixel):
        log_density = likelihood.log_density(pixel, torch.from_numpy(output))
        return -float(weights @ log_density)

    options = {"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000, "maxfev": 4000}
    start = np.full(likelihood.outputs, -0.5)
    found = [
        optimize.minimize(loss, start, (pixel[:, None],), "Nelder-Mead", options=options).x
        for pixel in train.T
    ]
    return torch.from_numpy(np.stack(found, 1).ravel())


def test_the_bound_without_z_is_that_of_the_best_output_for_all(likelihood):
    random = np.random.RandomState(0)
    train, test = (random.beta(0.5, 0.7, (n, 4)).astype(np.float32) for n in (41, 30))
    seen, weights = torch.from_numpy(train).double(), torch.ones(41, dtype=torch.float64)
    if likelihood.key == "bernoulli":  # half an observation of black and of white
        seen = torch.cat([seen, torch.tensor([[0.0] * 4, [1.0] * 4], dtype=torch.float64)])
        weights = torch.cat([weights, torch.tensor([0.5, 0.5], dtype=torch.float64)])
    best = fitted(likelihood, seen, weights)
    for x in (train, test):
        expected = likelihood.log_density(torch.from_numpy(x).double(), best).mean().item()
        assert likelihood.ignoring_z(train, x) == pytest.approx(expected, rel=1e-5)


def test_a_pixel_that_never_changes_costs_a_probability_little_and_breaks_a_density():
    random = np.random.RandomState(0)
    train, test = (random.beta(0.5, 0.7, (n, 4)).astype(np.float32) for n in (41, 30))
    train[:, 0] = 0  # black in training and grey in test images
    assert np.isfinite(LIKELIHOODS["bernoulli"].ignoring_z(train, test))
    assert LIKELIHOODS["gaussian"].ignoring_z(train, test) == np.inf


def test_max_log_density(likelihood):
    """The density that is uniform on the cells of one image attains it; a narrower cell is worth
    more nats."""
    if not likelihood.continuous:
        assert likelihood.max_log_density(64, 16) == math.inf
        return
    image = torch.rand(64)
    cell = distributions.Uniform(image, image + 1 / 16)
    uniform = cell.log_prob(image).sum().item()
    assert likelihood.max_log_density(64, 16) == pytest.approx(uniform, rel=1e-5)
    assert likelihood.max_log_density(64, 16) == pytest.approx(64 * math.log(16))


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UserError, match="no likelihood 'bernouli'; did you mean 'bernoulli'"):
        LIKELIHOODS["bernouli"]
    with pytest.raises(UserError, match="no likelihood 'poisson'"):
        _ = nets.Layout(7, 4, 2, "poisson").shapes
    with pytest.raises(ValueError, match="no likelihood 'gausian'; did you mean 'gaussian'"):
        config.Experiment(dataset="digits", likelihood="gausian", hidden=1)


def test_binarised_images_need_a_probability(likelihood):
    raw = {"dataset": "digits", "likelihood": likelihood.key, "hidden": 5, "scale": 16}
    study = {
        "name": "x",
        "samples": 1e5,
        "seeds": [0],
        "experiments": {"digits": {**raw, "binarise": True}},
        "figure2": [{"experiment": "digits", "latent_dims": [2]}],
        "figure4": [{"experiment": "digits", "grid": 5}],
        "figure5": [{"experiment": "digits", "latent_dims": [2]}],
    }
    if likelihood.continuous:
        with pytest.raises(UserError, match=f"binarise does not fit a {likelihood.title} likel"):
            config.load(study)
    else:
        assert config.load(study).experiments["digits"].binarise


def test_planning_and_drawing_import_no_torch():
    code = (
        "import sys, numpy, aevb.config; from aevb.models.likelihoods import LIKELIHOODS\n"
        "for each in LIKELIHOODS.values():\n"
        "    each.width(4), each.title, each.mean(numpy.zeros((1, 4)))\n"
        "    each.ignoring_z(numpy.eye(3), numpy.eye(3))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
def test_a_plug_in_trains(make, algorithm):
    settings, data = make("laplace", 20_000)
    run = Run("digits", algorithm, 3, 0)
    (result,) = training.train([run], [0.02], settings, data)
    assert result.status == "completed" and result.attributes["likelihood"] == "laplace"
    first, last = result.curve["test"].iloc[[0, -1]]
    assert last > first + 5 * result.curve["test_se"].max()
    drawn = pictures.decode(result.weights, np.zeros((2, 3)), "laplace")
    assert drawn.shape == (2, 64) and (drawn > 0).all() and (drawn < 1).all()
