"""The small classifier: two convolutions, a layer of 32 features, 10 classes.

Its weights are committed in half precision, one HDF5 file per data set beside this module, with its
accuracy on the test images. They are made again, in about a minute, by

    python -m aevb.models.quality.classifier data

in a folder where the pipeline has fetched MNIST into `data`. Other processors give other last
digits, and so another file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.errors import UserError
from ...core.files import new_h5, open_h5
from ...core.streams import stream
from ...data import DATASETS, labels, training_labels
from . import TRAINED, weights_of

CHANNELS = (8, 16)  # of the convolutions, 3 x 3, each before a pooling of 2 x 2
FEATURES, CLASSES = 32, 10
STEPS, BATCH, RATE = 3000, 128, 2e-3  # of Adam; the rate falls to 0 along a line
AT_ONCE = 2000  # images


class Classifier(NamedTuple):
    """Weights (out, in, ...) and biases (out,) by layer, and what they are for."""

    parameters: dict[str, Tensor]
    shape: tuple[int, int]  # rows and columns of an image
    accuracy: float = np.nan  # on the test images: share of right answers

    def _features(self, images: Tensor) -> Tensor:
        p, x = self.parameters, images.view(-1, 1, *self.shape)
        for layer in ("first", "second"):
            x = functional.conv2d(x, p[f"{layer}.weight"], p[f"{layer}.bias"], padding=1)
            x = functional.max_pool2d(x.relu(), 2)
        return functional.linear(x.flatten(1), p["hidden.weight"], p["hidden.bias"]).relu()

    def logits(self, features: Tensor) -> Tensor:
        """features (n, 32) -> (n, 10)."""
        return functional.linear(
            features, self.parameters["output.weight"], self.parameters["output.bias"]
        )

    def _blocks(self, images: np.ndarray | Tensor) -> Iterator[Tensor]:
        images = torch.as_tensor(images, dtype=torch.float32)
        for block in images.reshape(len(images), -1).split(AT_ONCE):
            yield self._features(block)

    @torch.no_grad()
    def features(self, images: np.ndarray | Tensor) -> np.ndarray:
        """The last hidden layer: images (n, D) from 0 to 1 -> (n, 32), from 0 up."""
        return torch.cat(list(self._blocks(images))).numpy()

    @torch.no_grad()
    def probabilities(self, images: np.ndarray | Tensor) -> np.ndarray:
        """p(class | image): images (n, D) from 0 to 1 -> (n, 10)."""
        return torch.cat([self.logits(f).softmax(-1) for f in self._blocks(images)]).numpy()


def load(dataset: str) -> Classifier:
    """The committed classifier for a data set. Raises UserError if it is not there or damaged."""
    path = weights_of(dataset)
    try:
        with open_h5(path) as file:
            parameters = {
                name: torch.from_numpy(data[:].astype(np.float32)) for name, data in file.items()
            }
            return Classifier(parameters, tuple(file.attrs["shape"]), file.attrs["accuracy"])
    except (OSError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it from the repository") from error


def start(shape: tuple[int, int], generator: np.random.Generator) -> dict[str, Tensor]:
    """Weights from N(0, 2 / in) (He et al. 2015), biases of 0."""
    pooled = CHANNELS[1] * (shape[0] // 4) * (shape[1] // 4)
    sizes = {
        "first": (CHANNELS[0], 1, 3, 3),
        "second": (CHANNELS[1], CHANNELS[0], 3, 3),
        "hidden": (FEATURES, pooled),
        "output": (CLASSES, FEATURES),
    }
    parameters = {}
    for layer, size in sizes.items():
        weight = generator.standard_normal(size) * np.sqrt(2 / np.prod(size[1:]))
        parameters[f"{layer}.weight"] = torch.from_numpy(weight.astype(np.float32))
        parameters[f"{layer}.bias"] = torch.zeros(size[0])
    return parameters


def trained(
    dataset: str, images: np.ndarray, classes: np.ndarray, steps: int = STEPS
) -> Classifier:
    """A classifier trained on images (n, D) from 0 to 1 and their classes (n,), by Adam on the
    cross-entropy; random numbers are those of stream classifier, seed 0."""
    generator = stream("classifier", dataset, FEATURES, 0)
    made = Classifier(start(DATASETS[dataset].shape, generator), DATASETS[dataset].shape)
    x = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    y = torch.from_numpy(classes.astype(np.int64))
    own = [part.requires_grad_() for part in made.parameters.values()]
    ascent = torch.optim.Adam(own, RATE)
    for step in range(steps):
        chosen = torch.from_numpy(generator.integers(0, len(x), BATCH))
        ascent.param_groups[0]["lr"] = RATE * (1 - step / steps)
        ascent.zero_grad()
        logits = made.logits(made._features(x[chosen]))
        functional.cross_entropy(logits, y[chosen]).backward()
        ascent.step()
    # as it is stored: in half precision
    return made._replace(
        parameters={k: part.detach().half().float() for k, part in made.parameters.items()}
    )


def accuracy(classifier: Classifier, images: np.ndarray, classes: np.ndarray) -> float:
    """The share of images (n, D) whose most probable class is theirs (n,)."""
    return float((classifier.probabilities(images).argmax(1) == classes).mean())


def make(dataset: str, folder: str | Path, path: Path) -> Classifier:
    """Train the classifier of a data set on its training images and write it to `path`. `folder`
    holds the original files, as data.prepare takes them."""
    known = DATASETS[dataset]
    files = known.paths(folder)
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f"{missing[0]} does not exist; run the pipeline to fetch {dataset}")
    train, test = (
        np.reshape(part, (len(part), -1)) / (known.levels - 1) for part in known.read(files)
    )
    found = trained(dataset, train, training_labels(dataset, folder))
    found = found._replace(accuracy=accuracy(found, test, labels(dataset, folder)))
    with new_h5(path) as file:
        for name, part in found.parameters.items():
            file.create_dataset(name, data=part.numpy().astype(np.float16), track_times=False)
        file.attrs["shape"], file.attrs["accuracy"] = found.shape, found.accuracy
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in TRAINED:
        result = make(each, sys.argv[1] if len(sys.argv) > 1 else "data", weights_of(each))
        print(f"{weights_of(each)}: {result.accuracy:.4f} of the test images right")
