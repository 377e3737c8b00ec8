"""A study: how well AEVB's models reconstruct test images from the mean of q(z|x), by N_z."""

import time

import numpy as np
import pandas as pd
from pydantic import Field

from aevb import results
from aevb.core.run import Run
from aevb.core.sections import ShortName, Size, Strict
from aevb.core.words import number
from aevb.paper.claims import claim
from aevb.paper.verdicts import Check
from aevb.results.words import label
from aevb.studies import STUDIES, Figure, Study
from aevb.studies.planning import deciding, nominal_seconds, pack, tables_on


class Options(Strict):
    """How well AEVB's models reconstruct test images."""

    experiment: ShortName = Field(description="a name under `experiments`")
    latent_dims: list[Size] = Field(min_length=1, description="N_z, one model per seed each")


COLUMNS = {"reconstruction": {"latent_dim": "N_z", "error": "root mean square error"}}
WORK = {"reconstruction": "reconstructions"}  # as the report calls the hours that they took
TEXTS = """
== reconstruction
Images of {{ reconstructed }}, reconstructed from the mean of q(z|x). The line is the mean over the
seeds, a dot is one model. The least error is {{ least }}.
== cap-reconstruction
Error: root mean square over the pixels of all test images, in scaled grey values.
"""


class Reconstruction(Study):
    """Models of its own, one table per model, and what is drawn, written and judged from them."""

    key = "reconstruction"
    section = Options
    columns = COLUMNS
    work = WORK
    texts = TEXTS

    def names(self, config):
        return [config.reconstruction.experiment]

    def runs(self, config):
        part = config.reconstruction
        return [
            (Run(part.experiment, "aevb", latent_dim, seed), config.samples)
            for latent_dim in (part.latent_dims if part else ())
            for seed in config.seeds
        ]

    def jobs(self, config):
        def seconds(run):  # of one job, about: as long as training for 1000 samples
            return nominal_seconds(config, run, 1000)

        experiment = config.experiment(config.reconstruction.experiment)
        return [
            tables_on(
                config,
                "reconstruction",
                part,
                {"experiment": experiment.model_dump()},
                f"{__name__}:work",
                deciding(config, part[0], f"{__name__}:work"),
                "models with reconstructions measured",
            )
            for part in pack(config, [run for run, _ in self.runs(config)], seconds)
        ]

    def figures(self, config):
        return {"reconstruction": Figure("Error of reconstructions", f"{__name__}:figure")}

    def numbers(self, config):
        return {"reconstruction": f"{__name__}:errors"}

    def part(self):
        return f"{__name__}:part"


STUDIES.register(Reconstruction())


def work(jobs):
    """Measure the error of each trained model of `jobs`."""
    from aevb.config.sections import Experiment
    from aevb.data import load

    for job in jobs:
        x = load(job.inputs["data"][0], Experiment(**job.settings["experiment"])).test.numpy()
        for source, path in zip(job.inputs["runs"], job.outputs, strict=True):
            started = time.perf_counter()
            row = {"latent_dim": 0, "error": np.nan}
            run = results.read_run(source)
            if run.status == "completed":
                row = {"latent_dim": run.latent_dim, "error": error(run, x)}
            frame = pd.DataFrame([row])
            results.write_table(path, results.measured(job, frame, started))


def error(run, x):
    """The root mean square error of reconstructions of x (N, D)."""
    from aevb.report.pictures import decode

    w = run.weights
    hidden = np.tanh(x @ w["encoder.hidden.weight"] + w["encoder.hidden.bias"])
    z = (hidden @ w["encoder.output.weight"] + w["encoder.output.bias"])[:, : run.latent_dim]
    return float(np.sqrt(np.mean((decode(w, z, run.likelihood) - x) ** 2)))


def errors(gathered, paper, others=()):
    """The CSV table: one row per model."""
    rows = [
        {"experiment": run.experiment, "seed": run.seed, **table.frame.iloc[0]}
        for name, table in gathered.of("reconstruction").items()
        for run in [gathered.runs[name]]
    ]
    return pd.DataFrame(rows, columns=["experiment", "latent_dim", "seed", "error"])


def figure(gathered, paper):
    """Error against N_z."""
    from matplotlib.figure import Figure as Drawing

    from aevb.report.style import settle, style

    table = errors(gathered, paper)
    with style():
        drawing = Drawing(figsize=(3.5, 2.4), layout="constrained")
        axis = drawing.subplots()
        axis.plot(table["latent_dim"], table["error"], "o", color="0.6", markersize=3)
        axis.plot(table.groupby("latent_dim")["error"].mean(), color="0.2")
        axis.set(xlabel="$N_z$", ylabel="root mean square error")
        settle(drawing)
    return drawing


def part(gathered, paper, numbers):
    """Its section of the report."""
    from aevb.report.parts import Part, Section, plain

    table = numbers["reconstruction"]
    name = label(gathered.study.reconstruction.experiment)
    facts = {"reconstructed": name, "least": number(table["error"].min(), 3)}
    blocks = [("figure", "reconstruction"), ("table", "reconstruction")]
    section = Section("reconstruction", "Reconstruction", blocks)
    return Part(facts, {"reconstruction": plain(table)}, [section])


@claim(
    12,
    "more latent variables reconstruct better",
    says="The paper does not say it.",
    statement="The error of reconstructions falls with N_z.",
    rule="Error with the most latent variables minus that with the fewest, per seed. Below 0.",
    needs="the study of reconstructions with two N_z",
    unit="scaled grey values",
    figure="reconstruction",
)
def better(gathered, paper):
    wide = errors(gathered, paper).pivot(index="seed", columns="latent_dim", values="error")
    if wide.shape[1] < 2:
        return [], []
    name = label(gathered.study.reconstruction.experiment)
    return [Check(name, list(wide.iloc[:, -1] - wide.iloc[:, 0]), 0.0, -1)], []
