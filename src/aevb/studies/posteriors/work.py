"""What the jobs of the study train and measure."""

from __future__ import annotations

import time

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
from ...data import load
from ...engine.settings import device
from . import Posteriors, snr
from .columns import GRADIENTS, POSTERIORS, YARDSTICK
from .fitting import Fitted, fitted
from .grids import grid
from .measuring import Proposal, exact, measured
from .training import FAMILIES, Networks, Place, Schedule, Spec, train

KHAT_LIMIT = 0.7  # Vehtari et al. 2024


class Bench:
    """The data and options of a job."""

    def __init__(self, job: Job):
        self.settings = job.settings
        self.options = Posteriors(**job.settings["posteriors"])
        device("cpu", job.settings["threads"], tf32=False)
        self.experiment = Experiment(**job.settings["experiment"])
        data = load(job.inputs["data"][0], self.experiment)
        self.train, self.test = data.train, data.test
        self.name = job.settings["name"]

    def model(
        self, spec: Spec, place: Place, schedule: Schedule, hidden: int, progress: Progress
    ) -> Networks:
        """Train one model. Raises UserError if it diverges."""
        size = (self.train.shape[1], hidden)
        networks = Networks(*size, place, spec.family, self.experiment.likelihood)
        try:
            train(networks, spec, place, self.train, schedule, progress.part)
        except FloatingPointError as error:
            raise UserError(
                f"posteriors, {spec.family}, k = {spec.k}, N_z = {place.latent_dim}, seed "
                f"{place.seed}: {error}; give a smaller posteriors.rate"
            ) from None
        progress()
        return networks.requires_grad_(False)

    def schedule(self) -> Schedule:
        """That of the models which are compared."""
        return Schedule(self.options.samples, self.options.batch, self.options.rate)


def noise_of(place: Place):
    """The generators of a model's measurements by name: all models of a seed share them."""

    def noise(name: str) -> np.random.Generator:
        return stream("posteriors-measure", *place, algorithm=name)

    return noise


def posteriors(jobs: list[Job]) -> None:
    """Train the models of each of `jobs` and measure them; with `own`, fit q to test points too."""
    for job in jobs:
        started, bench = time.perf_counter(), Bench(job)
        specs, seeds = [Spec(*each) for each in job.settings["models"]], job.settings["seeds"]
        progress = Progress(f"posteriors, {job.name}", len(specs) * len(seeds))
        rows, arrays = [], {}
        for seed in seeds:
            place = Place(bench.name, job.settings["latent_dim"], seed)
            for spec in specs:
                schedule, hidden = bench.schedule(), bench.options.hidden
                networks = bench.model(spec, place, schedule, hidden, progress)
                own = _encoded(bench, networks, spec, place)
                rows.append(own)
                if job.settings["own"] and spec.family == "diagonal":
                    more, drawn = _own(bench, networks, place, own["exact"].to_numpy())
                    rows, arrays = rows + more, arrays or drawn
        frame = pd.concat(rows)[list(POSTERIORS)]
        results.write_table(job.outputs[0], results.measured(job, frame, started, arrays=arrays))


def _encoded(bench: Bench, networks: Networks, spec: Spec, place: Place) -> pd.DataFrame:
    """Rows of a model with its encoder."""
    x = bench.test[: bench.options.datapoints]
    proposal = Proposal(networks.q, networks.encoder(x), place.latent_dim)
    found = measured(networks, proposal, x, bench.options.draws, noise_of(place))
    hint = proposal.sample(noise_of(place)("hint"), 1)[0]
    return _frame(place, spec, "encoder", found | {"exact": exact(networks.joint(x), hint)})


def _frame(place: Place, spec: Spec, fit: str, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    points = np.arange(len(columns["bound"]))
    case = {"seed": place.seed, "latent_dim": place.latent_dim, **spec._asdict(), "fit": fit}
    return pd.DataFrame({"point": points, **columns}).assign(**case)


def _own(
    bench: Bench, networks: Networks, place: Place, known: np.ndarray
) -> tuple[list[pd.DataFrame], dict]:
    """Rows of each family fitted to the first test points, and posteriors on a grid for N_z = 2.
    `known` is log p(x) of the test points by quadrature."""
    options, rows, fits = bench.options, [], {}
    x = bench.test[: options.own_points]
    for family in FAMILIES:
        fit = fitted(networks, x, family, place, options.own_draws, options.own_steps)
        proposal, fits[family] = Proposal(fit.q, fit.context, place.latent_dim), fit
        found = measured(networks, proposal, x, options.draws, noise_of(place))
        rows.append(_frame(place, Spec(family), "own", found | {"exact": known[: len(x)]}))
    return rows, _grids(networks, x, fits, options.images) if place.latent_dim == 2 else {}


def _grids(networks: Networks, x: Tensor, fits: dict[str, Fitted], images: int) -> dict:
    """Arrays by name: see grids.grid."""
    found = [grid(networks, x, fits, point) for point in range(images)]
    densities, corners = zip(*found, strict=True)
    return {"densities": np.stack(densities), "corners": np.stack(corners)}


def gradients(jobs: list[Job]) -> None:
    """Signal and noise of the encoder's gradient, on models with a diagonal q that L_1 trained."""
    for job in jobs:
        started, bench = time.perf_counter(), Bench(job)
        options, rows = bench.options, []
        places = [
            Place(bench.name, nz, seed)
            for nz in options.importance_dims
            for seed in job.settings["seeds"]
        ]
        progress = Progress("gradients of importance-weighted bounds", len(places))
        for place in places:
            networks = bench.model(
                Spec("diagonal"), place, bench.schedule(), options.hidden, progress
            )
            networks.requires_grad_(True)
            x = bench.train[: options.batch]
            size = (options.replicates, noise_of(place))
            for row in snr.measured(networks, x, [1, *options.ks], *size):
                rows.append({"seed": place.seed, "latent_dim": place.latent_dim, **row})
        frame = pd.DataFrame(rows)[list(GRADIENTS)]
        results.write_table(job.outputs[0], results.measured(job, frame, started))


def yardstick(jobs: list[Job]) -> None:
    """Models of binarised images, to stand beside published ones."""
    for job in jobs:
        started, bench = time.perf_counter(), Bench(job)
        options, rows = bench.options, []
        place = Place(f"{bench.name}-yardstick", options.yardstick_dim, job.settings["seed"])
        schedule = Schedule(options.yardstick_samples, options.batch, options.rate, sampled=True)
        noise = noise_of(place)
        grey = bench.test[: options.datapoints]
        uniform = noise("binarise").random(tuple(grey.shape), dtype=np.float32)
        x = (torch.from_numpy(uniform) < grey).float()
        progress = Progress("posteriors, yardstick", len(options.yardstick_ks))
        for k in options.yardstick_ks:
            began = time.process_time()
            networks = bench.model(
                Spec("diagonal", k), place, schedule, options.yardstick_hidden, progress
            )
            spent = time.process_time() - began
            proposal = Proposal(networks.q, networks.encoder(x), place.latent_dim)
            found = measured(networks, proposal, x, options.draws, noise)
            rows.append(
                {
                    "k": k,
                    "epochs": schedule.steps * schedule.batch / len(bench.train),
                    "log_p": found["log_p"].mean(),
                    "log_p_se": (found["log_p_se"] ** 2).sum() ** 0.5 / len(x),
                    "points_se": found["log_p"].std(ddof=1) / len(x) ** 0.5,
                    "k_hat_bad": (found["k_hat"] > KHAT_LIMIT).mean(),
                    "tenth": found["tenth"].mean(),
                    "points": len(x),
                    "training_seconds": spent,
                }
            )
        frame = pd.DataFrame(rows)[list(YARDSTICK)]
        results.write_table(job.outputs[0], results.measured(job, frame, started))
