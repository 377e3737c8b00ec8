"""What the jobs of the study do: train a VAE and a GAN of one seed, and judge their samples.

The VAE is the engine's AEVB, bit by bit (studies/weights/networks.py). Both see the same
minibatches, and their samples are judged at the same z, from the stream gan.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ... import data, results
from ...config.sections import Experiment, Training
from ...core.errors import UserError
from ...core.progress import Progress
from ...core.run import Job, Run
from ...core.streams import stream
from ...engine.settings import device
from ...models import nets
from ...models.likelihoods import LIKELIHOODS
from ...models.quality import classifier, measures
from ..figure4.encoding import eight_bits
from ..weights import networks
from ..weights.work import grid
from . import adversarial
from .columns import METHODS, SAMPLED


def work(jobs: list[Job]) -> None:
    """Train and judge the pair of each of `jobs`."""
    for job in jobs:
        started, settings = time.perf_counter(), job.settings
        device("cpu", settings["threads"], tf32=False)
        experiment = Experiment(**settings["experiment"])
        pair = Pair(settings, experiment, data.load(job.inputs["data"][0], experiment))
        rows = [pair.judge.row("data", pair.x[: pair.judge.images])]
        progress = Progress(f"VAE and GAN, seed {settings['seed']}", 2)
        for kind, steps in (("VAE", pair.vae()), ("GAN", pair.gan())):
            rows += pair.followed(kind, steps, progress)
            progress()
        frame = pd.DataFrame([row for row, _, _ in rows])
        arrays = {"shares": np.stack([shares for _, shares, _ in rows])}
        if settings["shows"]:
            shown = {row["method"]: images for row, _, images in rows}  # the last of each
            some = settings["gan"]["side"] ** 2
            arrays["shown"] = np.concatenate([shown[name][:some] for name in METHODS])
        results.write_table(job.outputs[0], results.measured(job, frame, started, arrays=arrays))


class Judge:
    """Measures samples against test images, drawn at random: the same for every seed and N_z."""

    def __init__(self, test: Tensor, name: str, dataset: str, images: int):
        self.images, self.shape = images, data.DATASETS[dataset].shape
        self.classifier = classifier.load(dataset)
        generator = stream("gan", name, 0, 0, algorithm="test")
        self.test = test[torch.from_numpy(generator.permutation(len(test))[:images])]
        self.features = self.classifier.features(self.test)
        self.high = measures.high_frequency(self.test.numpy(), self.shape)

    def row(
        self, method: str, x: Tensor, samples: int = 0, seconds: float = 0.0
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """Columns GAN of samples x (n, D), the shares of classes (10,), and x in 8 bits."""
        features = self.classifier.features(x)
        with torch.no_grad():
            logits = self.classifier.logits(torch.from_numpy(features))
        probabilities = logits.softmax(-1).numpy()
        shares = measures.class_shares(probabilities)
        row = {"method": method, "samples": samples, "seconds": seconds}
        row["high"] = measures.high_frequency(x.numpy(), self.shape)
        row["test_high"] = self.high
        row["frechet"] = measures.frechet(features, self.features)
        row["covered"] = measures.coverage(shares)
        row["entropy"] = measures.entropy(shares)
        row["doubt"] = float(np.mean([measures.entropy(each) for each in probabilities]))
        return row, shares, eight_bits(x.numpy())


class Pair:
    """The models of one seed, and the noise with which they are judged."""

    def __init__(self, settings: dict, experiment: Experiment, loaded: data.Data):
        self.options, self.training = settings["gan"], Training(**settings["training"])
        self.x, self.scale = loaded.train, experiment.scale
        self.run = Run(settings["name"], "aevb", self.options["latent_dim"], settings["seed"])
        self.likelihood = LIKELIHOODS[experiment.likelihood]
        size = (self.x.shape[1], experiment.hidden, self.run.latent_dim, experiment.likelihood)
        self.layout = nets.Layout(*size)
        images = self.options["images"]
        self.judge = Judge(loaded.test, self.run.experiment, experiment.dataset, images)
        name = (self.run.experiment, self.run.latent_dim, self.run.seed)
        generator = stream("gan", *name, algorithm="evaluate")
        shape = (self.judge.images, self.run.latent_dim)
        self.z = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
        pixels = (self.judge.images, self.x.shape[1])
        self.noise = torch.from_numpy(self.likelihood.noise(generator, pixels))
        self.points = grid(
            self.options["samples"], self.options["points"], self.training.batch_size
        )

    def vae(self) -> Iterator[dict[str, Tensor]]:
        """The VAE's parameters after every step."""
        how = (self.layout, self.training, self.options["step_size"], self.points[-1])
        for weights in networks.train(self.run, self.x, self.scale, *how):
            yield weights.mean

    def gan(self) -> Iterator[dict[str, Tensor]]:
        """The generator's parameters after every step."""
        how = (self.layout.hidden, self.training.batch_size, self.options["gan_step_size"])
        how += (self.options["beta_1"], self.points[-1])
        return adversarial.train(self.run, self.x, self.scale, *how)

    def followed(
        self, kind: str, steps: Iterator[dict[str, Tensor]], progress: Progress
    ) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
        """Rows of one model as of Judge.row. Raises UserError if it diverges."""
        seconds = 0.0
        for step in range(1, self.points[-1] + 1):
            before = time.process_time()
            parameters = next(steps)
            seconds += time.process_time() - before
            progress.part(step, self.points[-1])
            if step in self.points:
                seen = step * self.training.batch_size
                for method, x in self.sampled(kind, parameters):
                    if not torch.isfinite(x).all():
                        key = "step_size" if kind == "VAE" else "gan_step_size"
                        raise UserError(
                            f"the {kind} of seed {self.run.seed} makes no numbers after {seen:,} "
                            f"samples; give a smaller gan.{key}"
                        )
                    yield self.judge.row(method, x, seen, seconds)

    @torch.no_grad()
    def sampled(self, kind: str, parameters: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Samples (n, D) at the same z: of a GAN; or of a VAE, means and draws of p(x|z)."""
        if kind == "GAN":
            yield "gan", adversarial.generated(self.z, parameters)
            return
        decoded = nets.decode(self.z, parameters)
        yield SAMPLED[0], decoded[:, : self.x.shape[1]].sigmoid()
        yield SAMPLED[1], self.likelihood.sample(decoded, self.noise).float()
