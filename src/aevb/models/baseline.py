"""The best bound of a model that ignores z: one fixed distribution for each pixel. Figure 2 is
read against it."""

from __future__ import annotations

import numpy as np

from ..data import Data


def baseline(data: Data, likelihood: str) -> dict[str, float]:
    """Mean log-likelihood of the splits "train" and "test", nats per datapoint, under independent
    pixels fitted to the training set.

    Such a model has no KL divergence to pay, so this is its bound (eq. 7) too. Bernoulli: the
    cross-entropy of the grey values with their means (appendix C.1, eq. 11), each with half an
    observation of black and of white added (Krichevsky and Trofimov 1981), without which one grey
    test pixel that is black in all training images would cost infinitely much. Gaussian: means and
    variances of maximum likelihood (appendix C.2, eq. 12); infinite if a pixel is constant.
    """
    splits = {"train": data.train.numpy(), "test": data.test.numpy()}
    train, means = splits["train"], {split: x.mean(0, dtype=float) for split, x in splits.items()}
    if likelihood == "bernoulli":
        p = (means["train"] * len(train) + 0.5) / (len(train) + 1)
        return {
            split: float(mean @ np.log(p) + (1 - mean) @ np.log(1 - p))
            for split, mean in means.items()
        }
    variance = train.var(0, dtype=float)
    if not (variance > 0).all():
        return dict.fromkeys(splits, np.inf)
    squares = {split: ((x - means["train"]) ** 2).mean(0) for split, x in splits.items()}
    return {
        split: float(-0.5 * (np.log(2 * np.pi * variance) + square / variance).sum())
        for split, square in squares.items()
    }
