"""A data set of private arrays: stripes.npz lies beside this file."""

import numpy as np

from aevb.data import DATASETS, Dataset, File


def read(files):
    arrays = np.load(files[0])
    return arrays["train"], arrays["test"]


def labels(files):
    return np.load(files[0])["width"]


STRIPES = Dataset(
    key="stripes",
    title="Stripes",
    shape=(6, 6),
    n_train=300,
    n_test=60,
    files=(File("stripes.npz"),),
    read=read,
    labels=labels,
    label="width",
)
DATASETS.register(STRIPES)
