"""What several test files share: the embedded data set and small settings on it."""

import os
from pathlib import Path

import browser
import pytest
import torch

from aevb import config, data, training

torch.set_num_threads(1)
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent / "src")  # for the processes that tests start


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.h5"
    data.prepare("digits", path.parent, path)
    return path


@pytest.fixture(scope="session")
def make(digits_file):
    """make(likelihood, samples, **training options) -> (settings, data) for digits with 20 hidden units."""

    def build(likelihood="bernoulli", samples=6000, **options):
        experiment = config.Experiment(dataset="digits", likelihood=likelihood, hidden=20, scale=16, dequantise=likelihood == "gaussian")
        settings = training.Settings(experiment, config.Training(**options), config.Evaluation(first=2000), samples)
        return settings, data.load(digits_file, experiment)

    return build


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless browser; tests that want one are skipped where there is none."""
    if browser.PROGRAM is None:
        pytest.skip("neither Chromium nor Chrome is installed")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as program:
        yield program
