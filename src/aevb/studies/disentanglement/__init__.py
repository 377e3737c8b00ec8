"""beta-VAE and FactorVAE on sprites with known factors: what a weight on the KL divergence buys."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from ...core.run import Job
from ...core.sections import Count, Positive, Size, Strict, Whole, whole
from .. import Figure, Study
from ..planning import table_path
from .columns import MODELS

KIND = "disentanglement"
VALUES = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)  # of a latent variable, traversed
SECONDS = {"beta_vae": 1.4e-3, "factor_vae": 2.2e-3}  # about, per step and seed
Several = Annotated[int, BeforeValidator(whole), Field(ge=2, le=100_000)]
METHODS = {"beta_vae": "beta", "factor_vae": "gamma"}  # what the weight of each is called


class Setting(NamedTuple):
    """What the models of one table are trained by."""

    method: str  # one of METHODS
    weight: float  # beta or gamma

    @property
    def name(self) -> str:
        """Of its table, and a part of its rule's name: 'beta4', 'gamma2_5'."""
        return f"{METHODS[self.method]}{self.weight:g}".replace(".", "_").replace("+", "")


class DisentanglementStudy(Strict):
    """beta-VAE and FactorVAE on generated sprites with five known factors: information and its
    price in reconstruction, and two metrics of disentanglement."""

    betas: list[Positive] = Field(
        [1, 2, 4, 8], min_length=2, description="weights on the KL divergence, 1 (AEVB) among them"
    )
    gammas: list[Positive] = Field(
        [5, 10, 20, 40], min_length=1, description="weights of FactorVAE on the total correlation"
    )
    seeds: list[Whole] = Field(
        [0, 1, 2, 3, 4],
        min_length=1,
        description="of the study's own: the spread over them is a finding",
    )
    latent_dim: Size = Field(6, description="N_z, one more than there are factors")
    hidden: Size = Field(128, description="units in each of two hidden layers, of every network")
    steps: Count = Field(8000, description="of Adam")
    batch_size: Several = Field(64, description="images per step")
    step_size: Positive = Field(0.002, description="Adam's")
    samples: Several = Field(1000, description="codes from which I(x; z) and KL(q(z) || p(z)) are")
    votes: Count = Field(800, description="from which the FactorVAE metric is, and as many to fit")
    images: Several = Field(100, description="per vote")


class Disentanglement(Study):
    """The study; see `Study` for what each method answers."""

    key = "disentanglement"
    order = 310
    section = DisentanglementStudy
    columns = {KIND: MODELS}
    work = {KIND: "training beta-VAE and FactorVAE on sprites"}
    claims = "studies.disentanglement.claims"

    def check(self, config):
        part = config.disentanglement
        if 1 not in part.betas:
            raise ValueError(
                "disentanglement.betas lacks 1, the VAE with which others are compared; add it"
            )
        if max(part.betas) <= 1:
            raise ValueError("disentanglement.betas has none above 1 to compare with it; add one")
        names = [setting.name for setting in self.all_settings(config)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"disentanglement has two weights that are both called {twice[0]}; leave one out"
            )
        if part.latent_dim < 2:
            raise ValueError("disentanglement.latent_dim is 1, and MIG compares two; give more")

    def all_settings(self, config) -> list[Setting]:
        """Every setting, beta-VAE first, weights rising."""
        part = config.disentanglement
        return [
            *(Setting("beta_vae", weight) for weight in sorted(part.betas)),
            *(Setting("factor_vae", weight) for weight in sorted(part.gammas)),
        ]

    def jobs(self, config):
        part, place = config.disentanglement, "studies.disentanglement.work:work"
        chosen = part.model_dump(exclude={"betas", "gammas"})
        return [
            Job(
                KIND,
                setting.name,
                place,
                [table_path(config, KIND, setting.name)],
                settings={KIND: chosen, "setting": list(setting), "threads": config.threads},
                code=(f"aevb.{place}",),
                seconds=len(part.seeds) * part.steps * SECONDS[setting.method],
                makes="tables of beta-VAE and FactorVAE",
            )
            for setting in self.all_settings(config)
        ]

    def figures(self, config):
        draw = "studies.disentanglement.figures"
        return {
            "disentanglement": Figure("What a weight on the KL buys", f"{draw}:tradeoff"),
            "disentanglement_traversals": Figure(
                "Latent variables traversed", f"{draw}:traversals"
            ),
        }

    def numbers(self, config):
        place = "studies.disentanglement.numbers"
        return {
            "disentanglement": f"{place}:models",
            "disentanglement_terms": f"{place}:terms",
            "disentanglement_told": f"{place}:told",
            "disentanglement_equal": f"{place}:equal",
            "disentanglement_spread": f"{place}:spread",
        }

    def part(self):
        return "studies.disentanglement.findings:part"


STUDY = Disentanglement()
