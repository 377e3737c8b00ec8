"""What the jobs of the study measure."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from ... import results
from ...config.sections import Evaluation, Experiment, Training
from ...core.errors import UserError
from ...core.progress import Progress
from ...core.run import Job, Run
from ...core.streams import stream
from ...data import load
from ...engine.evaluation import Bound, bound
from ...engine.settings import device
from ...learners import LEARNERS
from ...models import nets
from ...models.kernels import Parameters
from . import latent
from . import regression as linear
from .full import FORMS, Weights
from .networks import train

FIRST = 2e4  # training samples at the first evaluation, at most a quarter of all
PRIOR = 0.01  # nats: a parameter whose own KL is below is at its prior
LATENT = "latent"  # as tables name the case of latent.py


def grid(samples: int, points: int, batch: int) -> list[int]:
    """Steps after which to evaluate: evenly on a logarithmic axis, the last one included."""
    last = -(-samples // batch)
    found = np.geomspace(min(FIRST, samples / 4) / batch, last, points).round()
    return sorted({max(1, int(step)) for step in found})


def _each(job: Job) -> Iterator[tuple[dict, np.random.Generator, linear.Regression]]:
    """Every seed and design of the linear model with known codes."""
    options = job.settings["weights"]
    for seed in job.settings["seeds"]:
        for design in linear.DESIGNS:
            generator = stream("weights-linear", design, options["codes"], seed)
            size = (options["linear_points"], options["codes"], options["pixels"])
            row = {"seed": seed, "design": design}
            yield row, generator, linear.data(generator, design, *size)


def regression(jobs: list[Job]) -> None:
    """Train q(theta) where codes are known, by both forms; measure in closed form."""
    for job in jobs:
        started, options = time.perf_counter(), job.settings["weights"]
        device("cpu", job.settings["threads"], tf32=False)
        batch, rows = options["linear_points"], []
        training = Training(batch_size=batch, **job.settings["training"])
        points = grid(options["linear_samples"], options["points"], batch)
        how = (training, options["step_size"], points[-1])
        for case, _, data in _each(job):
            known = {
                "evidence": linear.evidence(data),
                "best_kl": linear.kl_to_posterior(data, *linear.best(data)),
            }
            for form in FORMS:
                own = stream("weights-steps", case["design"], options["codes"], case["seed"])
                steps = linear.train(data, own, *how, form, options["start_sd"])
                for step, weights in enumerate(steps, 1):
                    if step in points:
                        q = (part["w"].numpy() for part in weights)
                        mean, variance = next(q), np.exp(2 * next(q))
                        row = {**case, "form": form, "samples": step * batch, **known}
                        row["bound"] = linear.bound(data, mean, variance)
                        rows.append(row | {"kl": linear.kl_to_posterior(data, mean, variance)})
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(rows), started))


def estimates(jobs: list[Job]) -> None:
    """Estimate bounds at the best diagonal q, where log p(X) is known."""
    for job in jobs:
        started, options = time.perf_counter(), job.settings["weights"]
        device("cpu", job.settings["threads"], tf32=False)
        how, rows = (options["linear_points"], options["estimates"]), []
        for case, generator, data in _each(job):
            mean, variance = linear.best(data)
            log_sd = torch.from_numpy(0.5 * np.log(variance))
            weights = Weights({"w": torch.from_numpy(mean)}, {"w": log_sd})
            known = {
                "bound": linear.bound(data, mean, variance),
                "kl": linear.kl_to_posterior(data, mean, variance),
                "evidence": linear.evidence(data),
            }
            for form in FORMS:
                found = linear.estimates(data, weights, generator, *how, form)
                rows.append({**case, "form": form, **known, **_mean(found)})
        for seed in job.settings["seeds"]:
            generator = stream("weights-linear", LATENT, 1, seed)
            x = latent.data(generator, options["linear_points"])
            q = latent.best(x)
            exact = latent.exact(x, q)
            known = {"bound": latent.bound(x, q), "kl": exact.kl_w + exact.kl_z}
            for form in FORMS:
                found = latent.estimates(x, q, generator, *how, form)
                row = {"seed": seed, "design": LATENT, "form": form, "evidence": exact.evidence}
                rows.append({**row, **known, **_mean(found)})
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(rows), started))


def _mean(found: np.ndarray) -> dict[str, float]:
    error = found.std(ddof=1) / len(found) ** 0.5
    return {"estimate": found.mean(), "se": error, "estimates": len(found)}


def networks(jobs: list[Job]) -> None:
    """Train by MAP and by full VB on as many images as each of `jobs` says."""
    for job in jobs:
        started, settings = time.perf_counter(), job.settings
        device("cpu", settings["threads"], tf32=False)
        experiment = Experiment(**settings["experiment"])
        whole, n = load(job.inputs["data"][0], experiment), settings["n_train"]
        options = settings["weights"]
        progress = Progress(f"full VB and MAP, {n:,} images", 2 * len(settings["seeds"]))
        rows = []
        for seed in settings["seeds"]:
            generator = stream("weights-images", settings["name"], n, seed)
            chosen = torch.from_numpy(generator.choice(len(whole.train), n, replace=False))
            x = {"train": whole.train[chosen], "test": whole.test}
            run = Run(settings["name"], "aevb", options["latent_dim"], seed)
            for method in ("map", "full_vb"):
                model = Model(run, experiment, settings, x)
                rows += model.rows(method, progress)
                progress()
        results.write_table(job.outputs[0], results.measured(job, pd.DataFrame(rows), started))


class Model:
    """What one seed is trained and evaluated on."""

    def __init__(self, run: Run, experiment: Experiment, settings: dict, x: Parameters):
        self.run, self.x, self.scale = run, x, experiment.scale
        self.options, self.training = settings["weights"], Training(**settings["training"])
        self.evaluation = Evaluation(**settings["evaluation"])
        size = (x["train"].shape[1], experiment.hidden, run.latent_dim, experiment.likelihood)
        self.layout = nets.Layout(*size)
        self.learner = LEARNERS["aevb"](experiment.likelihood, self.training)

    def rows(self, method: str, progress: Progress) -> list[dict]:
        """Train by `method`; rows of columns.NETWORKS. Raises UserError if it diverges."""
        options, batch = self.options, self.training.batch_size
        points, found = grid(options["samples"], options["points"], batch), []
        how = (options["step_size"], points[-1])
        how += (options["form"], options["start_sd"]) if method == "full_vb" else ()
        steps = train(self.run, self.x["train"], self.scale, self.layout, self.training, *how)
        for step, weights in enumerate(steps, 1):
            progress.part(step, points[-1])
            if step not in points:
                continue
            first = {"seed": self.run.seed, "method": method, "samples": step * batch}
            for row in self.measured(weights, step * batch):
                if not np.isfinite([row["train"], row["test"]]).all():
                    raise UserError(
                        f"{method} on {len(self.x['train']):,} images, seed {self.run.seed}: the "
                        f"bound is not a number after {step * batch:,} samples; give a smaller "
                        "weights.step_size"
                    )
                found.append(first | row)
        return found

    def measured(self, weights: Weights, samples: int) -> Iterator[dict]:
        """Bounds at the point or the mean, and at theta ~ q(theta)."""
        name = (self.run.experiment, self.run.latent_dim, self.run.seed)
        generators = {split: stream(f"evaluate-{split}", *name, block=samples) for split in self.x}
        full, n = bool(weights.log_sd), len(self.x["train"])
        kl = weights.kl()
        total = float(kl.sum()) if full else np.nan
        row = {"kl": total, "whole": np.nan}
        row["at_prior"] = float((kl < PRIOR).double().mean()) if full else np.nan
        found = [self._bounds(weights.mean, generators)]
        yield {"theta": "mean" if full else "point", **row, **_over(found)}
        if full:
            own = stream("weights-evaluate", *name, block=samples)
            draws = self.options["draws"]
            found = [
                self._bounds(weights.drawn(weights.noise(own)), generators, draws)
                for _ in range(draws)
            ]
            row |= _over(found)
            yield {"theta": "sampled", **row, "whole": row["train"] - total / n}

    def _bounds(self, parameters: Parameters, generators: dict, draws: int = 1) -> dict[str, Bound]:
        """The bound (eq. 7) of one theta, by split, so precisely that the mean over `draws` such
        has the standard error that is asked for."""
        flat = torch.cat([parameters[name].flatten() for name in self.layout.shapes]).unsqueeze(0)
        error = self.evaluation.standard_error * draws**0.5
        options = (error, self.evaluation.max_draws)
        with torch.no_grad():
            return {
                split: bound(self.learner, flat, self.layout, x, generators[split], *options)
                for split, x in self.x.items()
            }


def _over(found: list[dict[str, Bound]]) -> dict[str, float]:
    """Means over theta of the bounds by split, with their standard errors."""
    row = {}
    for split in found[0]:
        values = np.array([each[split].value for each in found])
        inner = np.array([each[split].standard_error for each in found])
        spread = values.std(ddof=1) if len(values) > 1 else inner[0]  # the former holds the latter
        row |= {split: values.mean(), f"{split}_se": spread / len(values) ** 0.5}
    row["test_kl"] = float(np.mean([each["test"].kl for each in found]))
    row["active_units"] = float(np.mean([each["train"].active_units for each in found]))
    return row
