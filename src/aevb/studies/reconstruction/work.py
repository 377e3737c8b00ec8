"""What the jobs of the study measure: every seed of one term on one data set."""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ... import results
from ...config.sections import Experiment, Training
from ...core.progress import Progress
from ...core.run import Job, Run
from ...core.streams import stream
from ...data import Data, load
from ...engine.settings import device
from ...models import nets
from . import KIND
from .columns import COLUMNS
from .loop import train
from .measure import Model, Sampled, errors, learned_variances, sampled
from .samples import Quality
from .terms import TERMS

FIRST = 10  # of the budget's share after which the first evaluation is: one in so many


def work(jobs: list[Job]) -> None:
    """Train and measure every term and seed of `jobs`; a seed that diverges has no last row."""
    for job in jobs:
        settings = job.settings
        device("cpu", settings["threads"], tf32=False)
        data = load(job.inputs["data"][0], Experiment(**settings["experiment"]))
        progress = Progress(job.name, len(job.outputs) * len(settings["seeds"]))
        for about, output in zip(settings["terms"], job.outputs, strict=True):
            started, study, rows = time.perf_counter(), Study(settings, about["key"], data), []
            for seed in settings["seeds"]:
                rows += study.rows(seed, progress)
                progress()
            frame = pd.DataFrame(rows, columns=list(COLUMNS))
            made = results.measured(job, frame, started, arrays=study.arrays)
            results.write_table(output, made)


def grid(samples: int, points: int, batch: int) -> list[int]:
    """Steps after which learned variances are measured: evenly on a logarithmic axis from a tenth
    of `samples`, at half of them and at the end."""
    last = -(-samples // batch)
    found = np.geomspace(last / FIRST, last, points).round()
    return sorted({max(1, int(step)) for step in (*found, last / 2)})


def some(images: Tensor, dataset: str, most: int) -> Tensor:
    """`most` of the images (N, D) at most, in random order, the same for every term and seed: the
    first of a file may be cleaner than the others, as those of MNIST's test images are."""
    generator = stream("reconstruction-measured", dataset, 0, 0)
    return images[torch.from_numpy(generator.permutation(len(images))[:most])]


class Study:
    """One term on one data set; `arrays` are the images of its first seed."""

    def __init__(self, settings: dict, key: str, data: Data):
        self.settings, self.options = settings, settings[KIND]
        batch = self.options["batch_size"]
        self.training = Training(batch_size=batch, **settings["training"])
        self.term, self.data = TERMS[key], data
        self.first = key == settings["first"]
        most = self.options["datapoints"]
        self.train, self.test = (
            some(images, data.name, most) for images in (data.train, data.test)
        )
        self.quality = Quality(data.name, self.train, self.test, data.scale)
        hidden, nz = settings["experiment"]["hidden"], self.options["latent_dim"]
        self.layout = nets.Layout(data.train.shape[1], hidden, nz, self.term.shaped_as)
        self.arrays: dict[str, np.ndarray] = {}

    def rows(self, seed: int, progress: Progress) -> list[dict]:
        """Train one seed: rows of columns.TERMS."""
        options, batch = self.options, self.training.batch_size
        run = Run(options["experiment"], "aevb", options["latent_dim"], seed)
        points = grid(options["samples"], options["points"], batch)
        points = points if self.term.outputs > 1 else points[-1:]
        how = (self.layout, self.training, options["step_size"], points[-1])
        steps = train(run, self.term, self.data.train, self.data.scale, *how)
        found = []
        for step, parameters in enumerate(steps, 1):
            progress.part(step, points[-1])
            if step not in points:
                continue
            model = Model(self.term, parameters, self.data.scale)
            with torch.no_grad():
                row, *drawn = self.along(model, run, step, step == points[-1])
                if not np.isfinite([row["train"], row["test"]]).all():
                    print(
                        f"{run.name}, {self.term.title}: diverged before {step * batch:,} samples",
                        file=sys.stderr,
                    )
                    break
                row |= {"seed": seed, "samples": step * batch, "last": float(step == points[-1])}
                found.append(row | (self.at_end(model, run, *drawn) if row["last"] else {}))
        return found

    def along(self, model: Model, run: Run, step: int, last: bool) -> tuple[dict, Sampled, Sampled]:
        """Bounds and variances, and the draws of z for training and test images that they are of;
        at the end of training with those of the continuous Bernoulli, if they are asked for."""
        name = (run.experiment, run.latent_dim, run.seed)
        generator = stream("reconstruction-evaluate", *name, block=step)
        draws, crossed = self.options["draws"], last and not self.term.normalised
        train = sampled(model, self.train, draws, generator)
        test = sampled(model, self.test, draws, generator, crossed)
        row = {"train": train.bound(train.own)[0]}
        row |= dict(zip(("test", "test_se"), test.bound(test.own), strict=True))
        top = self.term.ceiling(self.layout.pixels, model.level)
        row |= {"kl": test.kl.mean(), "above": float(((test.own - test.kl).mean(0) > top).mean())}
        return row | learned_variances(model, self.train), train, test

    def at_end(self, model: Model, run: Run, train: Sampled, test: Sampled) -> dict:
        """What is measured at the end alone; see `along` for `train` and `test`."""
        name, pixels = (run.experiment, run.latent_dim, run.seed), self.layout.pixels
        sigma = float((train.squares.mean() / pixels) ** 0.5)
        row = {"sigma": sigma}
        row |= errors(model, self.test, stream("reconstruction-noise", *name))
        row["common"], _ = test.bound(test.common(sigma, pixels))
        row |= {key: test.bound(getattr(test, key))[0] for key in ("same_logits", "same_mean")}
        row |= self.quality.of(model, self.train, stream("reconstruction-samples", *name))
        if not self.arrays:
            self.arrays = self.drawn(model, stream("reconstruction-images", *name))
        return row

    def drawn(self, model: Model, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """What the model makes of test images, and samples of its prior: (images, D), bytes where
        255 is white; for the first term also these test images."""
        n = self.options["images"]
        z = generator.standard_normal((n, self.layout.latent_dim), dtype=np.float32)
        codes = model.codes(self.test[:n])
        shown = {"originals": self.test[:n]} if self.first else {}
        shown |= {
            "reconstructions": model.decode(codes),
            "generated": model.decode(torch.from_numpy(z)),
        }
        white = self.data.test.max()
        return {
            name: (255 * images / white).round().clamp(0, 255).to(torch.uint8).numpy()
            for name, images in shown.items()
        }
