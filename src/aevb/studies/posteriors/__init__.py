"""Posteriors beyond a diagonal Gaussian: normalising flows, and the importance-weighted bound."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.run import Job
from ...core.sections import Count, Positive, ShortName, Size, Strict, whole
from ...data import DATASETS
from ...engine.roots import roots
from .. import Figure, Study
from ..planning import data_path, table_path
from .columns import GRADIENTS, POSTERIORS, YARDSTICK

FLOWS = ("planar", "autoregressive")
TABLE = "all"  # the name of the tables of gradients and of the yardstick
#: seconds of a training sample, about: the step's overhead shared by a minibatch of 20, and a
#: sample of z
STEP_SECONDS = {"diagonal": 1.4e-4, "planar": 2.2e-4, "autoregressive": 2.0e-4}
DRAW_SECONDS = 1.8e-5
IMPORTANCE_SECONDS = 1.0e-5  # of a weight
FIT_SECONDS = 8e-5  # of a sample of z where a flow is fitted to a test point

Several = Annotated[int, BeforeValidator(whole), Field(ge=2, le=10_000)]


class Posteriors(Strict):
    """Normalising flows for q(z|x), and the importance-weighted bound L_k: do they raise log p(x),
    and how much of the approximation gap of the study `gaps` do flows close?"""

    experiment: ShortName = Field(description="a name under `experiments`: data set, likelihood")
    hidden: Size = Field(100, description="tanh units of encoder and decoder, in this study")
    latent_dims: list[Several] = Field([2, 20], min_length=1, description="N_z, of the flows")
    samples: Count = Field(100_000, description="training samples of every model")
    batch: Several = Field(20, description="minibatch size")
    rate: Positive = Field(0.003, description="of Adam, falling linearly to 0")
    importance_dims: list[Several] = Field([20], min_length=1, description="N_z of L_k")
    ks: list[Several] = Field(
        [5, 50], min_length=1, description="k of L_k, beside 1, which is the paper's bound"
    )
    doubly: list[Several] = Field(
        [50], description="those of ks that are trained by doubly reparameterised gradients, too"
    )
    datapoints: Several = Field(50, description="first test points, where log p(x) is estimated")
    draws: Annotated[int, BeforeValidator(whole), Field(ge=250, le=10**6)] = Field(
        5000, description="importance samples of each estimate"
    )
    own_draws: Several = Field(
        8, description="samples of z per step, where q is fitted to each test point for itself"
    )
    own_steps: Several = Field(500, description="of that fit")
    replicates: Several = Field(200, description="gradients for their signal and noise")
    images: Size = Field(5, description="test points whose posterior is drawn, at N_z = 2")
    yardstick_ks: list[Size] = Field([1, 50], description="k of models of binarised images")
    yardstick_dim: Several = Field(50, description="their N_z")
    yardstick_hidden: Size = Field(200, description="their tanh units")
    yardstick_samples: Count = Field(60_000, description="their training samples")
    yardstick_datapoints: Several = Field(
        500, description="first test points, at most, where their log p(x) is estimated"
    )


#: keys of all models, and those that decide each kind of table
MODELS = {"hidden", "samples", "batch", "rate"}
MEASURED = {"datapoints", "draws"}
OWN = {"own_draws", "own_steps", "images"}
GRADIENT = {"importance_dims", "ks", "replicates"}
BINARY = {"batch", "rate", "draws"}
BINARY |= {f"yardstick_{name}" for name in ("ks", "dim", "hidden", "samples", "datapoints")}


class PosteriorsStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = "posteriors"
    order = 140
    section = Posteriors
    columns = {
        "posteriors": POSTERIORS,
        "posteriors_gradients": GRADIENTS,
        "posteriors_yardstick": YARDSTICK,
    }
    work = {
        "posteriors": "training with flows and importance weights",
        "posteriors_gradients": "signal and noise of importance-weighted gradients",
        "posteriors_yardstick": "a model of binarised images",
    }
    claims = "studies.posteriors.claims"

    def names(self, config):
        return [config.posteriors.experiment]

    def check(self, config):
        part = config.posteriors
        if missing := sorted(set(part.doubly) - set(part.ks)):
            raise ValueError(f"posteriors.doubly has k = {missing[0]}, which posteriors.ks has not")
        there = DATASETS[config.experiments[part.experiment].dataset].n_test
        if part.datapoints > there:
            raise ValueError(f"posteriors.datapoints is more than the {there:,} of the test set")
        if part.images > part.datapoints:
            raise ValueError("posteriors.images is more than posteriors.datapoints")
        if config.experiments[part.experiment].likelihood != "bernoulli":
            raise ValueError(
                f"posteriors binarises images for its yardstick, and '{part.experiment}' is not "
                "Bernoulli; name an experiment that is"
            )

    def jobs(self, config):
        part = config.posteriors
        found = [self._flows(config, nz) for nz in part.latent_dims]
        for nz in part.importance_dims:
            first = [] if nz in part.latent_dims else [1]
            found += [self._weighted(config, nz, k) for k in [*first, *part.ks]]
        found.append(self._gradients(config))
        return found + ([self._yardstick(config)] if part.yardstick_ks else [])

    def _flows(self, config, nz: int) -> Job:
        """All families, for all seeds."""
        part, families = config.posteriors, ("diagonal", *FLOWS)
        own = {"own": True, "models": [(each, 1, "plain") for each in families]}
        seconds = sum(self._trained(part, each, 1) for each in families)
        seconds += (2 if nz <= 3 else 4) * self._fitted(part)
        return self._models(config, f"flows-nz{nz}", nz, own, seconds)

    def _weighted(self, config, nz: int, k: int) -> Job:
        """The diagonal q that L_k trains, for all seeds."""
        part = config.posteriors
        ways = ["plain", "doubly"] if k in part.doubly else ["plain"]
        own = {"own": False, "models": [("diagonal", k, gradient) for gradient in ways]}
        seconds = len(ways) * (self._trained(part, "diagonal", k) + self._fitted(part))
        return self._models(config, f"k{k}-nz{nz}", nz, own, seconds)

    def _models(self, config, name, nz, own, seconds) -> Job:
        own = {**own, "latent_dim": nz, "seeds": config.seeds}
        keys = MODELS | MEASURED | OWN
        return self._job(config, "posteriors", name, keys, own, seconds * len(config.seeds))

    def _fitted(self, part: Posteriors) -> float:
        """Nominal seconds of fitting a flow to each test point, and of its estimates."""
        weights = 1.1 * part.datapoints * part.draws * IMPORTANCE_SECONDS
        return part.datapoints * part.own_steps * part.own_draws * FIT_SECONDS + weights

    def _trained(self, part: Posteriors, family: str, k: int) -> float:
        """Nominal seconds of training one model and of its estimates."""
        of_sample = STEP_SECONDS[family] * 20 / part.batch + k * DRAW_SECONDS * part.hidden / 100
        weights = 1.1 * part.datapoints * part.draws
        return part.samples * of_sample + weights * IMPORTANCE_SECONDS * part.hidden / 100

    def _gradients(self, config) -> Job:
        part = config.posteriors
        models = len(part.importance_dims) * len(config.seeds)
        seconds = self._trained(part, "diagonal", 1)
        seconds += 2 * part.replicates * part.batch * (1 + sum(part.ks)) * DRAW_SECONDS
        own, keys = {"seeds": config.seeds}, MODELS | GRADIENT
        return self._job(config, "posteriors_gradients", TABLE, keys, own, models * seconds)

    def _yardstick(self, config) -> Job:
        part = config.posteriors
        there = DATASETS[config.experiments[part.experiment].dataset].n_test
        like = part.model_copy(
            update={
                "samples": part.yardstick_samples,
                "hidden": part.yardstick_hidden,
                "datapoints": min(part.yardstick_datapoints, there),
            }
        )
        seconds = sum(self._trained(like, "diagonal", k) for k in part.yardstick_ks)
        own, keys = {"seed": config.seeds[0]}, BINARY
        return self._job(config, "posteriors_yardstick", TABLE, keys, own, seconds)

    def _job(self, config, kind, name, keys, own, seconds) -> Job:
        experiment = config.experiments[config.posteriors.experiment]
        options = config.posteriors.model_dump(include=keys | {"experiment"})
        settings = {"name": config.posteriors.experiment, "experiment": experiment.model_dump()}
        settings |= {"posteriors": options, "threads": config.threads, **own}
        place = f"studies.posteriors.work:{kind.partition('_')[2] or kind}"
        code = roots(f"aevb.{place}", "aevb.data:load", likelihood=experiment.likelihood)
        return Job(
            kind,
            name,
            place,
            [table_path(config, kind, name)],
            {"data": [data_path(config, config.posteriors.experiment)]},
            settings,
            code,
            seconds=seconds,
            makes="tables of posteriors",
        )

    def figures(self, config):
        place = "studies.posteriors.figures"
        found = {
            "posteriors": Figure(
                "log p(x) with flows and importance weights, and the gradient's noise",
                f"{place}:posteriors",
            )
        }
        if 2 in config.posteriors.latent_dims:
            title = "Exact posteriors and the q of each family"
            found["posteriors_drawn"] = Figure(title, f"{place}:drawn")
        return found

    def numbers(self, config):
        place = "studies.posteriors.numbers"
        names = ("posteriors", "posteriors_gaps", "posteriors_gradients", "posteriors_yardstick")
        return {name: f"{place}:{name.partition('_')[2] or 'posteriors'}" for name in names}

    def part(self):
        return "studies.posteriors.findings:part"


STUDY = PosteriorsStudy()
