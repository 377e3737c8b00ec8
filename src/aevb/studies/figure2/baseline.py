"""The bound of a model that ignores z, against which Figure 2 is read."""

from __future__ import annotations

import json
import time

import pandas as pd
import torch

from ... import results
from ...config.sections import Experiment
from ...core import provenance
from ...core.run import Job
from ...data import Data, load
from ...engine.roots import roots
from ...models.likelihoods import LIKELIHOODS
from . import CODE


def work(jobs: list[Job]) -> None:
    """Measure it on the data of each of `jobs`."""
    for job in jobs:
        experiment = Experiment(**job.settings["experiment"])
        made = table(load(job.inputs["data"][0], experiment), experiment)
        results.write_table(job.outputs[0], made)


def table(data: Data, experiment: Experiment) -> results.Table:
    """Likelihood.ignoring_z on both splits of the data, columns BASELINES."""
    started, likelihood = time.perf_counter(), LIKELIHOODS[experiment.likelihood]
    train = data.train.numpy()
    values = [likelihood.ignoring_z(train, x) for x in (train, data.test.numpy())]
    frame = pd.DataFrame({"split": results.SPLITS, "value": values})
    code = provenance.fingerprint(roots(*CODE, likelihood=experiment.likelihood))
    made = provenance.attributes(torch.device("cpu"), code)
    attributes = {"config": json.dumps(experiment.model_dump()), **made}
    return results.Table(frame, {**attributes, "seconds": time.perf_counter() - started})
