"""What several test files share: the embedded data set and small settings on it."""

import os
from pathlib import Path

import browser
import h5py
import pytest
import torch

from aevb import config, data
from aevb.core import files
from aevb.engine import evaluation
from aevb.engine.settings import Settings
from aevb.models import kernels
from aevb.models.likelihoods import LIKELIHOODS

torch.set_num_threads(1)
os.environ["PYTHONPATH"] = str(
    Path(__file__).parent.parent / "src"
)  # for the processes that tests start


#: files that take longest: they go first, lest one process is left with them at the end
LONG = ("test_workflow.py", "test_kept.py", "test_pages.py")


def pytest_collection_modifyitems(items):
    """The long files first; the order within a file stays."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(autouse=True)
def no_pipeline_left(monkeypatch):
    """A pipeline that a test runs in this process names itself to its jobs: not to later tests."""
    for name in ("AEVB_PIPELINE", "AEVB_LOCK"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def edited():
    """edited(path): an HDF5 file of ours open for changes, as another program would leave it:
    without the SHA-256 of its bytes."""

    def edit(path):
        content = Path(path).read_bytes()
        Path(path).write_bytes(
            content[files.BLOCK :] if content.startswith(files.MARK) else content
        )
        return h5py.File(path, "r+")

    return edit


@pytest.fixture
def watched(monkeypatch):
    """watched(read): what read() last gave in an evaluation ("bound") and in a training step
    ("adagrad"), a dictionary that fills as training goes."""

    def watch(read):
        seen = {}

        def seeing(name, function):
            def call(*arguments):
                seen[name] = read()
                return function(*arguments)

            return call

        for owner, name in ((evaluation, "bound"), (kernels, "adagrad")):
            monkeypatch.setattr(owner, name, seeing(name, getattr(owner, name)))
        return seen

    return watch


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.h5"
    data.prepare("digits", path.parent, path)
    return path


@pytest.fixture(scope="session")
def make(digits_file):
    """make(likelihood, samples, **training options) -> (settings, data) for digits with 20
    hidden units."""

    def build(likelihood="bernoulli", samples=6000, **options):
        experiment = config.Experiment(
            dataset="digits",
            likelihood=likelihood,
            hidden=20,
            scale=16,
            dequantise=LIKELIHOODS[likelihood].continuous,
        )
        settings = Settings(
            experiment, config.Training(**options), config.Evaluation(first=2000), samples
        )
        return settings, data.load(digits_file, experiment)

    return build


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless browser; tests that want one are skipped where there is none."""
    if browser.PROGRAM is None:
        pytest.skip("neither Chromium nor Chrome is installed")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as program:
        yield program
