"""What is trained, and what is done with it: runs and jobs, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Run(NamedTuple):
    """One trained model. Its random numbers depend on these four fields and nothing else.

    A variant of an experiment is called BASE+VARIANT. It draws the random numbers of its base.
    """

    experiment: str
    algorithm: str
    latent_dim: int
    seed: int

    @property
    def base(self) -> str:
        """The experiment of the configuration that this is, or is a variant of."""
        return split(self.experiment)[0]

    @property
    def variant(self) -> str:
        """The variant of the experiment, '' for the experiment itself."""
        return split(self.experiment)[1]

    @property
    def curve(self) -> str:
        """What the replicas of this run have in common: EXPERIMENT/ALGORITHM-nzN_Z."""
        return f"{self.experiment}/{self.algorithm}-nz{self.latent_dim}"

    @property
    def name(self) -> str:
        """EXPERIMENT/ALGORITHM-nzN_Z-seedSEED."""
        return f"{self.curve}-seed{self.seed}"


def split(experiment: str) -> tuple[str, str]:
    """The base of an experiment or variant, and the variant ('' for none)."""
    base, _, variant = experiment.partition("+")
    return base, variant


class Job(NamedTuple):
    """Some work that one process does: which files it makes from which, and what decides them."""

    kind: str  # what it does: jobs of a kind share a function
    name: str  # unique among those of its kind, without slashes
    work: str  # "module:function" below aevb, called with a list of jobs of the kind
    outputs: list[str]
    inputs: dict[str, list[str]] = {}
    settings: dict[str, Any] = {}  # plain values that decide the outputs
    code: tuple[str, ...] = ()  # roots of the code that decides them, see core.provenance
    runs: tuple[Run, ...] = ()
    seconds: float = 0.0  # nominal, see studies.planning
    makes: str = ""  # what the outputs are, for the last words: "models trained"
    gpu: bool = False  # whether it uses a GPU where there is one
    together: bool = False  # whether a GPU advances all its runs at once
    memory_mb: int = 2000
    local: bool = False  # runs where Snakemake runs: it needs the internet, or takes no time
    caption: str = ""  # of its first output in Snakemake's own report, and in which category
    category: str = ""
    log: str = ""

    @property
    def experiment(self) -> str:
        """That of its runs, which share one."""
        return self.runs[0].experiment

    @property
    def curves(self) -> list[str]:
        """The curves of its runs."""
        return list(dict.fromkeys(run.curve for run in self.runs))

    @property
    def rule(self) -> str:
        """The name of the Snakemake rule that runs it."""
        return f"{self.kind}_{self.name}" if self.name else self.kind


def absolute(place: str) -> str:
    """A place below aevb, or of a plug-in ("aevb_plugin_..."), with its whole name."""
    return place if place.startswith("aevb_plugin_") else f"aevb.{place}"


def found(place: str) -> Callable:
    """The function at `place`, "module:function" as `absolute` takes it."""
    module, _, function = absolute(place).partition(":")
    return getattr(importlib.import_module(module), function)
