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
from .measuring import Noise, Proposal, exact, measured
from .training import FAMILIES, Networks, Place, Schedule, Spec, train

KHAT_LIMIT = 0.7  # Vehtari et al. 2024
PART = 50  # images of the yardstick measured at a time


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
                more, drawn = _rows(bench, networks, spec, place)
                rows, arrays = rows + more, arrays or drawn
        frame = pd.concat(rows)[list(POSTERIORS)]
        results.write_table(job.outputs[0], results.measured(job, frame, started, arrays=arrays))


def _rows(
    bench: Bench, networks: Networks, spec: Spec, place: Place
) -> tuple[list[pd.DataFrame], dict]:
    """Rows of a model: with its encoder; with the planar flow fitted to each test point, where
    there is no quadrature; with every family, on the decoder that families are compared on. And
    arrays of posteriors on a grid, for that one with N_z = 2."""
    options, noise, dim = bench.options, noise_of(place), place.latent_dim
    x = bench.test[: options.datapoints]
    own = Proposal(networks.q, networks.encoder(x), dim)
    known = exact(networks.joint(x), own.sample(noise("hint"), 1)[0])
    compared = bench.settings["own"] and spec.family == "diagonal"
    families = FAMILIES if compared else () if np.isfinite(known).all() else ("planar",)
    how = (place, options.own_draws, options.own_steps)
    fits = {family: _fitted(networks, x, family, *how) for family in families}
    proposals = {"encoder": own}
    proposals |= {family: Proposal(fit, fit.context, dim) for family, fit in fits.items()}
    late = {family: fit.late for family, fit in fits.items()}
    case = {"seed": place.seed, "latent_dim": dim, **spec._asdict(), "exact": known}
    rows = [
        pd.DataFrame(
            {
                "point": np.arange(len(x)),
                **measured(networks, proposal, x, options.draws, noise),
                **case,
                "q": name,
                "late": late.get(name, 0.0),
            }
        )
        for name, proposal in proposals.items()
    ]
    drawn = compared and dim == 2
    return rows, _grids(networks, x, fits, options.images) if drawn else {}


def _fitted(networks: Networks, x: Tensor, family: str, place: Place, *how: int) -> Fitted:
    """See `fitted`. Raises UserError if the fit diverges."""
    try:
        return fitted(networks, x, family, place, *how)
    except FloatingPointError as error:
        raise UserError(
            f"posteriors, {family} q fitted to test points, N_z = {place.latent_dim}, seed "
            f"{place.seed}: {error}; give more posteriors.own_draws or a smaller posteriors.rate"
        ) from None


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


def _in_parts(
    networks: Networks, x: Tensor, latent_dim: int, draws: int, noise: Noise
) -> dict[str, np.ndarray]:
    """`measured` with the encoder's q, in parts, as all draws of a part are in memory at once."""
    found = []
    for at in range(0, len(x), PART):
        part = x[at : at + PART]
        proposal = Proposal(networks.q, networks.encoder(part), latent_dim)

        def own(name: str, at: int = at) -> np.random.Generator:
            return noise(f"{name}-{at}")

        found.append(measured(networks, proposal, part, draws, own))
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def yardstick(jobs: list[Job]) -> None:
    """Models of binarised images, to stand beside published ones."""
    for job in jobs:
        started, bench = time.perf_counter(), Bench(job)
        options, rows = bench.options, []
        place = Place(f"{bench.name}-yardstick", options.yardstick_dim, job.settings["seed"])
        schedule = Schedule(options.yardstick_samples, options.batch, options.rate, sampled=True)
        noise = noise_of(place)
        grey = bench.test[: options.yardstick_datapoints]
        uniform = noise("binarise").random(tuple(grey.shape), dtype=np.float32)
        x = (torch.from_numpy(uniform) < grey).float()
        progress = Progress("posteriors, yardstick", len(options.yardstick_ks))
        for k in options.yardstick_ks:
            began = time.process_time()
            networks = bench.model(
                Spec("diagonal", k), place, schedule, options.yardstick_hidden, progress
            )
            spent = time.process_time() - began
            found = _in_parts(networks, x, place.latent_dim, options.draws, noise)
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
