"""Reparameterisation: section 2.4's families, g by g, against the score function."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ...core.run import Job
from ...core.sections import ShortName, Strict, Whole, whole
from ...core.words import nearest
from .. import Figure, Study
from ..planning import table_path
from .catalogue import DISTRIBUTIONS
from .columns import GRADIENTS, TESTS, TRANSPORT
from .entry import FAMILIES

#: of the figure that shows g, and how many draws of each
SHOWN = ("exponential", "cauchy", "gumbel", "gaussian", "elliptical_gaussian", "log_normal")
DRAWS = 1000
SECONDS = 2e-5  # of one sample of one seed of a distribution, about


class Reparameterisation(Strict):
    """The distributions that section 2.4 names: samples, gradients and their variance by the
    paper's g(epsilon, phi), by the score function, and by torch's rsample."""

    distributions: list[ShortName] | None = Field(
        None,
        min_length=1,
        description="keys of src/aevb/studies/reparameterisation/catalogue.py; unless given, all",
    )
    samples: Annotated[int, BeforeValidator(whole), Field(ge=1000, le=100_000)] = Field(
        10_000, description="of z, per distribution and seed, for each estimator"
    )
    seeds: list[Whole] = Field(
        list(range(10)),
        min_length=2,
        description="of the noise; intervals of the ratios of variances are over these",
    )
    parameters: dict[ShortName, dict[ShortName, float]] = Field(
        {}, description="distribution -> its parameters that are not as in the catalogue"
    )


class Families(Study):
    """The study; see `Study` for what each method answers."""

    key = "reparameterisation"
    order = 92
    section = Reparameterisation
    columns = {
        "reparameterisation": GRADIENTS,
        "reparameterisation_tests": TESTS,
        "reparameterisation_transport": TRANSPORT,
    }
    work = {
        "reparameterisation": "gradients of reparameterised samples",
        "reparameterisation_tests": "tests of reparameterised samples",
        "reparameterisation_transport": "draws of reparameterised samples",
    }
    claims = "studies.reparameterisation.claims"

    def check(self, config):
        part = config.reparameterisation
        for key in [*(part.distributions or []), *part.parameters]:
            if key not in DISTRIBUTIONS:
                raise ValueError(
                    f"reparameterisation names the distribution '{key}', which is not in its "
                    f"catalogue{nearest(key, DISTRIBUTIONS)}"
                )
        for key, values in part.parameters.items():
            known = DISTRIBUTIONS[key].parameters
            for name, value in values.items():
                where = f"reparameterisation.parameters.{key}.{name}"
                if name not in known:
                    raise ValueError(f"unknown key '{where}'{nearest(name, known)}")
                if problem := known[name].problem(value):
                    raise ValueError(f"{where} is {value:g}; {problem}")

    def chosen(self, config) -> dict[str, dict[str, float]]:
        """Its distributions with the values of their parameters, in the order of the catalogue."""
        part = config.reparameterisation
        return {
            key: entry.phi(part.parameters.get(key, {}))
            for key, entry in DISTRIBUTIONS.items()
            if not part.distributions or key in part.distributions
        }

    def jobs(self, config):
        part, chosen = config.reparameterisation, self.chosen(config)

        def job(kind: str, name: str, work: str, keys: list[str], samples: int) -> Job:
            place = f"studies.reparameterisation.work:{work}"
            settings = {"distributions": {key: chosen[key] for key in keys}, "samples": samples}
            seconds = SECONDS * samples * len(part.seeds) * len(keys)
            return Job(
                kind,
                name,
                place,
                [table_path(config, kind, name)],
                settings={**settings, "seeds": part.seeds},
                code=(f"aevb.{place}",),
                seconds=seconds,
                makes="tables of reparameterised samples",
            )

        families = {
            family: [key for key in chosen if DISTRIBUTIONS[key].family == family]
            for family in FAMILIES
        }
        made = [
            job("reparameterisation", family, "gradients", keys, part.samples)
            for family, keys in families.items()
            if keys
        ]
        made.append(job("reparameterisation_tests", "all", "tests", list(chosen), part.samples))
        if shown := [key for key in SHOWN if key in chosen]:
            made.append(job("reparameterisation_transport", "shown", "transport", shown, DRAWS))
        return made

    def figures(self, config):
        place = "studies.reparameterisation.figures"
        title = "Reparameterisation. Pathwise gradients against the score function's"
        made = {self.key: Figure(title, f"{place}:variances")}
        if set(SHOWN) & set(self.chosen(config)):
            title = "Transport. How g carries noise to samples"
            made[f"{self.key}_transport"] = Figure(title, f"{place}:transport")
        return made

    def numbers(self, config):
        place = "studies.reparameterisation.numbers"
        return {
            self.key: f"{place}:catalogue",
            f"{self.key}_gradients": f"{place}:gradients",
            f"{self.key}_ratios": f"{place}:ratios",
        }

    def part(self):
        return "studies.reparameterisation.findings:part"


STUDY = Families()
