"""Reconstruction terms: one model under the paper's two likelihoods, and under their rivals."""

from __future__ import annotations

from math import prod
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from ...core.provenance import root
from ...core.run import Job
from ...core.sections import Count, Name, Positive, ShortName, Size, Strict, whole
from ...data import DATASETS
from ...models.quality import TRAINED, weights_sha256
from .. import Figure, Study
from ..planning import data_path, table_path
from .columns import COLUMNS
from .terms import TERMS

KIND = "reconstruction_terms"  # of its table; the key of the study is the same
#: the term of the paper, by the likelihood of an experiment
PAPERS = {"bernoulli": "bernoulli", "gaussian": "learned"}
#: of `training`, that the study shares
SHARED = {"initial_sd", "log_variance_start", "log_variance_factor"}
SHARED |= {"decoder_log_variance_bias", "warmup_steps", "epsilon", "prior"}


class Model(Strict):
    """What is trained with every term."""

    experiment: ShortName = Field(
        description="a name under `experiments`: data set, hidden units, and by its likelihood the "
        "paper's own term"
    )
    latent_dim: Size = Field(description="N_z")
    samples: Count = Field(description="training samples of every model")
    terms: list[Annotated[str, AfterValidator(Name(TERMS))]] | None = Field(
        None, min_length=1, description="its terms; those of the study unless given"
    )

    def __str__(self):
        return self.experiment  # which is what an entry of a list is told apart by


class ReconstructionTerms(Strict):
    """What the decoder's output is compared with an image by: the learned variance (Mahalanobis),
    Euclidean and L1 distances, the Bernoulli on grey values and the continuous Bernoulli, the
    deterministic autoencoder, and the denoising VAE."""

    models: list[Model] = Field(
        min_length=1,
        description="rows {experiment, latent_dim, samples, terms}: what is trained with the terms",
    )
    terms: list[Annotated[str, AfterValidator(Name(TERMS))]] | None = Field(
        None,
        min_length=1,
        description="entries of src/aevb/studies/reconstruction/terms; all unless given",
    )
    step_size: Positive = Field(0.02, description="Adagrad's, for every term")
    batch_size: Count = Field(100, description="minibatch size M, for every data set")
    points: Annotated[int, BeforeValidator(whole), Field(ge=2, le=100)] = Field(
        9,
        description="evaluations of learned variances on the way, evenly on a logarithmic axis, "
        "and one more at half of the samples",
    )
    datapoints: Annotated[int, BeforeValidator(whole), Field(ge=100, le=100_000)] = Field(
        3000,
        description="training and test images measured, drawn at random, at most; as many samples "
        "as test images are compared",
    )
    draws: Annotated[int, BeforeValidator(whole), Field(ge=2, le=1000)] = Field(
        5, description="z ~ q(z|x) per image measured"
    )
    images: Annotated[int, BeforeValidator(whole), Field(ge=1, le=20)] = Field(
        5, description="reconstructions and samples drawn for each term"
    )


def keys_of(part, model) -> list[str]:
    """The keys of a model's terms; `part` is the section, or what was gathered of it."""
    return list(model.terms or part.terms or TERMS)


class TermsStudy(Study):
    """The study; see `Study` for what each method answers."""

    key = KIND
    order = 260
    section = ReconstructionTerms
    columns = {KIND: COLUMNS}
    work = {KIND: "reconstruction terms"}
    claims = "studies.reconstruction.claims"

    def names(self, config):
        return [model.experiment for model in config.reconstruction_terms.models]

    def check(self, config):
        for model in config.reconstruction_terms.models:
            name = model.experiment
            experiment, training = config.experiments[name], config.training_of(name)
            if experiment.binarise or experiment.dequantise:
                raise ValueError(
                    f"reconstruction_terms compares terms on grey values, and '{name}' is binarised"
                    " or dequantised; name an experiment that is neither"
                )
            least = 2 * (training.warmup_steps + 1) * config.reconstruction_terms.batch_size
            if model.samples < least:
                raise ValueError(
                    f"reconstruction_terms has {model.samples:,} samples for '{name}', in which "
                    f"the warm-up leaves little to train; give at least {least:,}"
                )

    def jobs(self, config):
        part = config.reconstruction_terms
        return [
            self._job(config, model, keys)
            for model in part.models
            for keys in self._packs(config, model, keys_of(part, model))
        ]

    def _packs(self, config, model: Model, keys: list[str]) -> list[list[str]]:
        """Terms that share a job: as many in a row as fit into config.job_seconds."""
        most = max(1, int(config.job_seconds / self._seconds(config, model)))
        return [keys[at : at + most] for at in range(0, len(keys), most)]

    def _seconds(self, config, model: Model) -> float:
        """Nominal seconds of one term."""
        experiment = config.experiments[model.experiment]
        pixels = prod(DATASETS[experiment.dataset].shape)
        flops = 12 * model.samples * pixels * experiment.hidden
        return len(config.seeds) * (flops / 30e9 + model.samples * 1e-5)

    def _job(self, config, model: Model, keys: list[str]) -> Job:
        part, name = config.reconstruction_terms, model.experiment
        experiment, training = config.experiments[name], config.training_of(name)
        place, data = "studies.reconstruction.work:work", experiment.dataset
        settings = {
            KIND: part.model_dump(exclude={"models", "terms"})
            | model.model_dump(exclude={"terms"}),
            "first": keys[0] if keys[0] == keys_of(part, model)[0] else "",
            "terms": [TERMS[key].about for key in keys],
            "classifier": weights_sha256(data) if DATASETS[data].original in TRAINED else "",
            "experiment": experiment.model_dump(),
            "training": training.model_dump(include=SHARED),
            "seeds": config.seeds,
            "threads": config.threads,
        }
        return Job(
            KIND,
            f"{name}_{keys[0]}",
            place,
            [table_path(config, KIND, f"{name}_{key}") for key in keys],
            {"data": [data_path(config, name)]},
            settings,
            (f"aevb.{place}", "aevb.data:load", *(root(TERMS[key]) for key in keys)),
            seconds=len(keys) * self._seconds(config, model),
            makes="tables of reconstruction terms",
        )

    def figures(self, config):
        place = "studies.reconstruction.figures"
        return {
            "reconstruction_images": Figure("Reconstructions and samples", f"{place}:images"),
            "reconstruction_tradeoff": Figure(
                "Reconstruction against samples", f"{place}:tradeoff"
            ),
            "reconstruction_variances": Figure("The smallest variances", f"{place}:variances"),
        }

    def numbers(self, config):
        place = "studies.reconstruction.numbers"
        return {
            "reconstruction_terms": f"{place}:terms",
            "reconstruction_bernoulli": f"{place}:bernoulli",
            "reconstruction_variances": f"{place}:variances",
        }

    def part(self):
        return "studies.reconstruction.findings:part"


STUDY = TermsStudy()
