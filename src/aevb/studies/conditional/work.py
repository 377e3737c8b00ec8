"""What the jobs of the study measure: models with and without the label, and completions.

Random numbers come from the streams conditional-*. A model with the label shares minibatches and
noise of z with the one without, and a network without z the minibatches of the model with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ... import results
from ...config.sections import Experiment
from ...core.errors import UserError
from ...core.progress import Progress
from ...core.run import Job
from ...core.streams import stream
from ...data import Data, load
from ...engine.settings import device
from ...models import kernels
from ...models.kernels import Parameters
from . import Conditional, model
from .columns import LABEL, QUADRANTS
from .evidence import Values, bounds, log_marginal, summed_out
from .labels import CLASSES, classes
from .quadrants import Parts, averaged, choose, log_density, mask, nearest, parts

WHITE = 255  # an image's grey value 1, in 8 bits
HIDDEN_GREY = 0.5  # how pictures show what is not observed
CODES = 10_000  # first training images whose codes train a classifier
NEAR = 10  # neighbours of its rival
COMPLETIONS = 3  # of each picture, by the conditional model


@dataclass(frozen=True)
class Setting:
    """What the models of a job share."""

    name: str  # of the experiment
    experiment: Experiment
    batch: int  # minibatch size
    options: Conditional
    data: Data

    @classmethod
    def of(cls, job: Job) -> Setting:
        """That of `job`."""
        chosen, experiment = job.settings, Experiment(**job.settings["experiment"])
        device("cpu", chosen["threads"], tf32=False)
        options = Conditional(experiment=chosen["name"], **chosen["conditional"])
        data = load(job.inputs["data"][0], experiment)
        return cls(chosen["name"], experiment, chosen["batch_size"], options, data)

    def noise(
        self, latent_dim: int, seed: int, purpose: str, block: int = 0
    ) -> np.random.Generator:
        """The generator of a purpose."""
        return stream(f"conditional-{purpose}", self.name, latent_dim, seed, block=block)

    def trained(
        self, t: Tensor, c: Tensor, latent_dim: int, prior: bool, seed: int, progress: Progress
    ) -> Parameters:
        """A model of targets t given c. Raises UserError if its training diverges."""
        hidden, options = self.experiment.hidden, self.options
        shape = model.Shape(t.shape[1], c.shape[1], hidden, latent_dim, prior and latent_dim > 0)
        steps = -(-options.samples // self.batch)
        rows = kernels.Rows(t, self.experiment.scale)

        def noise(purpose: str, block: int) -> np.random.Generator:
            # A network without z sees the minibatches of the model that it is compared with.
            return self.noise(latent_dim or options.completion_dim, seed, purpose, block)

        how = (options.step_size, self.batch, steps, progress.part)
        p = model.train(noise, rows, c, shape, *how)
        progress()
        if not all(torch.isfinite(part).all() for part in p.values()):
            raise UserError(
                f"the model of N_z = {latent_dim}, seed {seed}, diverged; give a smaller "
                "conditional.step_size"
            )
        return p


def spread(count: int, total: int) -> Tensor:
    """Numbers (count,) of test images, evenly over all `total`: the first half of MNIST's are other
    writers than the second."""
    return torch.arange(count) * total // count


def eight_bits(x: Tensor) -> np.ndarray:
    """Grey values in [0, 1] as bytes."""
    return np.round(WHITE * x.clamp(0, 1).numpy()).astype(np.uint8)


# With and without the label ---------------------------------------------------------------------


def label(jobs: list[Job]) -> None:
    """Models with and without the label, columns LABEL, for each of `jobs`."""
    for job in jobs:
        started, setting = time.perf_counter(), Setting.of(job)
        shown = classes(setting.experiment.dataset, job.inputs["data"][0])
        both = Both(setting, *shown, job.settings["latent_dim"])
        seeds, rows, arrays = job.settings["seeds"], [], {}
        progress = Progress(f"with and without the label, {job.name}", 2 * len(seeds))
        for seed in seeds:
            found, p = both.rows(seed, progress)
            rows += found
            arrays = arrays or {"grid": both.grid(p)}
        frame = pd.DataFrame(rows, columns=list(LABEL))
        results.write_table(job.outputs[0], results.measured(job, frame, started, None, arrays))


class Both:
    """The models of one N_z, with the label and without."""

    def __init__(self, setting: Setting, train: np.ndarray, test: np.ndarray, latent_dim: int):
        self.setting, self.latent_dim = setting, latent_dim
        self.x, self.test_x = setting.data.train, setting.data.test
        self.y, self.test_y = train[: len(self.x)], test
        self.prior = np.bincount(self.y, minlength=CLASSES) / len(self.y)  # p(y)
        self.some = spread(setting.options.points, len(test))  # on which log p is estimated

    def condition(self, y: np.ndarray, given: bool) -> Tensor:
        """Labels y (N,) as one of CLASSES, (N, CLASSES); (N, 0) where none is given."""
        chosen = torch.eye(CLASSES)[torch.from_numpy(y)]
        return chosen if given else chosen[:, :0]

    def rows(self, seed: int, progress: Progress) -> tuple[list[dict], Parameters]:
        """Train both models; their rows, and the parameters of the one with the label."""
        made = {}
        for given in (False, True):
            c = self.condition(self.y, given)
            p = self.setting.trained(self.x, c, self.latent_dim, False, seed, progress)
            row, log_p = self.measured(p, given, seed)
            made[given] = row, log_p, p
        more = made[True][1].value - made[False][1].value
        gain = {"gain": more.mean(), "gain_se": more.std(ddof=1) / len(more) ** 0.5}
        return [made[False][0], made[True][0] | gain], made[True][2]

    def measured(self, p: Parameters, given: bool, seed: int) -> tuple[dict, Values]:
        """The row of one model, and log p(x) of some test images."""
        samples = self.setting.options.samples
        noise = self.setting.noise(self.latent_dim, seed, "label" if given else "none")
        c = self.condition(self.test_y, given)
        found, kl = bounds(p, self.test_x, c, self.latent_dim, noise)
        row = {"seed": seed, "label": int(given), "samples": samples, "kl": kl}
        row |= {"bound": found.mean(), "bound_se": found.error_of_mean()}
        row["points"] = len(self.some)
        log_p, own = self.over_classes(p, noise) if given else self.without(p, noise)
        row |= own | {"log_p": log_p.mean(), "log_p_se": log_p.error_of_mean()}
        return row | self.told(p, given), log_p

    def given(self, p: Parameters, noise: np.random.Generator, c: Tensor) -> Values:
        """log p(x|c) of some test images, by importance sampling from q(z|x, c)."""
        x = self.test_x[self.some]
        with torch.no_grad():
            proposal = model.recognition(p, x, c)
        return log_marginal(p, x, c, proposal, noise, self.setting.options.draws)

    def without(self, p: Parameters, noise: np.random.Generator) -> tuple[Values, dict]:
        """log p(x) of the model without a label, from as many draws in all as one with it gets, and
        what the last tenfold of them added: each is too low on average, by less the more draws
        (Burda, Grosse and Salakhutdinov 2016, theorem 1)."""
        none = self.condition(self.test_y[self.some.numpy()], False)
        found = [self.given(p, noise, none) for _ in range(CLASSES)]
        log_p, errors = (np.stack(parts, 1) for parts in zip(*found, strict=True))
        # The mean of p from equal shares of the draws is p from all of them.
        log_x, _ = summed_out(log_p, errors, np.full(CLASSES, 1 / CLASSES))
        return log_x, {"given": log_x.mean(), "added": log_x.mean() - log_p.mean()}

    def over_classes(self, p: Parameters, noise: np.random.Generator) -> tuple[Values, dict]:
        """log p(x) with the label summed out, and what follows from log p(x|y) of every y."""
        count = len(self.some)
        true, found = self.test_y[self.some.numpy()], []
        for y in range(CLASSES):
            found.append(self.given(p, noise, self.condition(np.full(count, y), True)))
        log_p, errors = (np.stack(parts, 1) for parts in zip(*found, strict=True))
        log_x, posterior = summed_out(log_p, errors, self.prior)
        given = log_p[np.arange(count), true].mean()
        return log_x, {"given": given, "accuracy": (posterior.argmax(1) == true).mean()}

    def told(self, p: Parameters, given: bool) -> dict:
        """How well the mean of q tells the class: trained on training images, of test images."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.neighbors import KNeighborsClassifier

        pairs = ((self.x[:CODES], self.y[:CODES]), (self.test_x, self.test_y))
        with torch.no_grad():
            (own, y), (test, test_y) = (
                (model.recognition(p, x, self.condition(y, given))[0].double().numpy(), y)
                for x, y in pairs
            )
        row = {"chance": np.bincount(test_y).max() / len(test_y)}
        row["linear"] = LinearDiscriminantAnalysis().fit(own, y).score(test, test_y)
        row["near"] = KNeighborsClassifier(NEAR).fit(own, y).score(test, test_y)
        return row

    def grid(self, p: Parameters) -> np.ndarray:
        """Test images, and the means of q(z|x, y) decoded with every class: the array `grid`."""
        x = self.test_x[: self.setting.options.styles]
        with torch.no_grad():
            z, _ = model.recognition(p, x, self.condition(self.test_y[: len(x)], True))
            rows = [x]
            for y in range(CLASSES):
                c = self.condition(np.full(len(x), y), True)
                rows.append(model.decode(p, z, c).sigmoid())
        return eight_bits(torch.cat(rows))


# Missing quadrants ------------------------------------------------------------------------------


def quadrants(jobs: list[Job]) -> None:
    """Completions of missing quadrants, columns QUADRANTS, for each of `jobs`."""
    for job in jobs:
        started, setting = time.perf_counter(), Setting.of(job)
        task = Completion(setting, tuple(job.settings["shape"]), job.settings["observed"])
        seeds = job.settings["seeds"]
        rows, arrays = [*task.neighbours()], {}
        progress = Progress(f"missing quadrants, {job.name}", 2 * len(seeds))
        for seed in seeds:
            nets = [
                setting.trained(task.train.missing, task.train.observed, n, True, seed, progress)
                for n in (0, setting.options.completion_dim)
            ]
            rows += [*task.rows(*nets, seed)]
            arrays = arrays or {"pictures": task.pictures(*nets, seed)}
        frame = pd.DataFrame(rows, columns=list(QUADRANTS))
        results.write_table(job.outputs[0], results.measured(job, frame, started, None, arrays))


class Completion:
    """Images of which `observed` quadrants are given."""

    def __init__(self, setting: Setting, shape: tuple[int, int], observed: int):
        self.setting, self.seen = setting, mask(shape, observed)
        self.train, self.test = (
            parts(x, self.seen) for x in (setting.data.train, setting.data.test)
        )
        self.some = spread(setting.options.completed, len(setting.data.test))
        self.own = Parts(*(part[self.some] for part in self.test))
        self.best = np.zeros(len(self.some))  # of neighbours, per image

    def row(self, method: str, measure: str, found: Values, **more) -> dict:
        """A row of QUADRANTS."""
        value, count = found.value, len(found.value)
        row = {"method": method, "measure": measure, "points": count, "value": value.mean()}
        row |= {"points_se": value.std(ddof=1) / count**0.5, "mc_se": found.error_of_mean()}
        if count == len(self.best):
            less = value - self.best
            row |= {"less": less.mean(), "less_se": less.std(ddof=1) / count**0.5}
        return row | more

    def neighbours(self) -> Iterator[dict]:
        """Rows of the nearest neighbour and of the mean of several."""
        single, several = choose(self.train)
        self.index = nearest(self.train, self.own.observed, several.neighbours)
        found = {}
        for name, chosen in (("neighbours", several), ("neighbour", single)):
            mean = averaged(self.train, self.index[:, : chosen.neighbours])
            found[name] = log_density(self.own.missing, mean, chosen.epsilon), chosen
        self.best = found["neighbours"][0]
        for name, (value, chosen) in found.items():
            exact = Values(value, np.zeros_like(value))
            more = {"neighbours": chosen.neighbours, "epsilon": chosen.epsilon}
            yield self.row(name, "exact", exact, **more)

    def rows(self, baseline: Parameters, cvae: Parameters, seed: int) -> Iterator[dict]:
        """Rows of both networks of a seed."""
        latent_dim, draws = self.setting.options.completion_dim, self.setting.options.draws
        noise = self.setting.noise(latent_dim, seed, f"quadrants-{int(self.seen.sum())}")
        for name, p, n, measure in (
            ("baseline", baseline, 0, "exact"),
            ("cvae", cvae, latent_dim, "bound"),
        ):
            value, error = bounds(p, self.test.missing, self.test.observed, n, noise)[0]
            some = self.some.numpy()
            yield self.row(name, measure, Values(value[some], error[some]), seed=seed)
            if len(some) < len(value):
                yield self.row(name, measure, Values(value, error), seed=seed)
        t, c = self.own.missing, self.own.observed
        with torch.no_grad():
            own = model.recognition(cvae, t, c)
            prior = model.prior(cvae, c, own[0])
        for measure, proposal in (("importance", own), ("prior", prior)):
            found = log_marginal(cvae, t, c, proposal, noise, draws)
            yield self.row("cvae", measure, found, seed=seed)

    def pictures(self, baseline: Parameters, cvae: Parameters, seed: int) -> np.ndarray:
        """The array `pictures`: observed, neighbour, baseline, completions, truth."""
        options = self.setting.options
        c, t = (part[: options.images] for part in self.own)
        noise = self.setting.noise(options.completion_dim, seed, "pictures")
        with torch.no_grad():
            filled = [
                torch.full_like(t, HIDDEN_GREY),
                averaged(self.train, self.index[: len(c), :1]),
            ]
            filled.append(model.decode(baseline, t[:, :0], c).sigmoid())
            mean, log_variance = model.prior(cvae, c, t.new_zeros(len(c), options.completion_dim))
            for _ in range(COMPLETIONS):
                eps = torch.from_numpy(noise.standard_normal(mean.shape, dtype=np.float32))
                z = mean + torch.exp(0.5 * log_variance) * eps
                filled.append(model.decode(cvae, z, c).sigmoid())
        pictures = torch.empty(len(filled) + 1, len(c), len(self.seen))
        where = torch.from_numpy(self.seen)
        for row, missing in zip(pictures, [*filled, t], strict=True):
            row[:, where], row[:, ~where] = c, missing
        return eight_bits(pictures.flatten(0, 1))
