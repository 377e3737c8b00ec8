"""How good a model's samples are: decoder means at z ~ N(0, I), and at z ~ the Gaussian fitted to
the codes (Ghosh et al. 2020, section 4, with one component), against test images.

The Frechet distance is between Gaussians fitted to features (models.quality): the first principal
components of the training pixels, for every data set, and those of the project's classifier of
digits, where it knows them. Samples are means: what a likelihood adds to each pixel is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...data import DATASETS
from ...models import quality
from ...models.quality import classifier
from ...models.quality.measures import frechet, high_frequency
from .measure import Model

COMPONENTS = 20  # principal components

Features = Callable[[np.ndarray], np.ndarray]  # images (n, D) -> (n, F)


def components(train: np.ndarray, most: int = COMPONENTS) -> Features:
    """Scores on the first principal components of training images (n, D)."""
    mean = train.mean(0)
    _, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    axes = vectors[:, ::-1][:, :most]
    return lambda images: (images - mean) @ axes


class Quality:
    """Features of a data set, and what the distances of samples are measured to."""

    def __init__(self, dataset: str, train: Tensor, test: Tensor, scale: float):
        """train and test (n, D): those measured, in random order; grey values over `scale`. The
        distance depends on how many images there are, so that of training images, which stands
        beside those of samples, is of as many as there are test images."""
        self.shape, self.test = DATASETS[dataset].shape, test.numpy()
        own = {"frechet": components(train.numpy())}
        if DATASETS[dataset].original in quality.TRAINED:
            known, whole = classifier.load(dataset), scale / (DATASETS[dataset].levels - 1)
            own["features"] = lambda images: known.features(images * whole)  # white is 1 there
        self.features = own
        self.there = {name: feature(self.test) for name, feature in own.items()}
        some = train[: len(test)].numpy()
        self.data = {f"{name}_data": value for name, value in self._to(some).items()}
        self.data |= {"sharpness_data": high_frequency(self.test, self.shape)}

    def _to(self, images: np.ndarray) -> dict[str, float]:
        """Distances of images (n, D) to the test images, by kind of features."""
        return {
            name: frechet(feature(images), self.there[name])
            for name, feature in self.features.items()
        }

    def of(self, model: Model, train: Tensor, generator: np.random.Generator) -> dict[str, float]:
        """The columns on samples, of as many as there are test images; `train` (n, D) has the
        codes."""
        codes = model.codes(train).double().numpy()
        noise = generator.standard_normal((len(self.test), codes.shape[1]))
        root = np.linalg.cholesky(np.cov(codes, rowvar=False) + 1e-9 * np.eye(codes.shape[1]))
        found = dict.fromkeys(("features", "features_codes", "features_data"), np.nan) | self.data
        for end, z in (("", noise), ("_codes", codes.mean(0) + noise @ root.T)):
            images = model.decode(torch.from_numpy(z).float()).numpy()
            found |= {f"{name}{end}": value for name, value in self._to(images).items()}
            if not end:
                found["sharpness"] = high_frequency(images, self.shape)
        return found | {"code_sd": float((codes**2).mean() ** 0.5)}
