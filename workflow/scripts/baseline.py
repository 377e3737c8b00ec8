"""The bound of a model that ignores z, on the data of one experiment."""

import json

from aevb import config, data
from aevb.core.files import atomic
from aevb.models import baseline
from aevb.pipeline import console

with console.job(snakemake.log[0]):
    experiment = config.Experiment(**snakemake.params.experiment)
    values = baseline.baseline(data.load(snakemake.input.data, experiment), experiment.likelihood)
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(json.dumps(values))
