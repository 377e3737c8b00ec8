"""Known values on the real data sets: slow, and only where the data are (a mirror, or prepared
by an earlier run)."""

import os
from pathlib import Path

import pandas as pd
import pytest

from aevb import config, data, results
from aevb.core.run import Run
from aevb.data import download
from aevb.engine import training
from aevb.engine.settings import Settings
from aevb.marginal.options import Evidence
from aevb.studies.figure3.work import figure3

ROOT = Path(__file__).parent.parent
EXPERIMENTS = {
    "mnist": config.Experiment(dataset="mnist", likelihood="bernoulli", hidden=500),
    "frey": config.Experiment(dataset="frey", likelihood="gaussian", hidden=200),
}
BATCH_SIZES = {"mnist": 100, "frey": 500}  # of the reference run
pytestmark = pytest.mark.slow


def prepared(name: str, folder: Path) -> Path:
    path = ROOT / f"data/{name}.h5"
    if not path.exists():
        if "AEVB_MIRROR" not in os.environ:
            pytest.skip(f"{name} is not here: set AEVB_MIRROR, or run the pipeline on it once")
        download.fetch(name, folder, os.environ["AEVB_MIRROR"])
        path = folder / f"{name}.h5"
        data.prepare(name, folder, path)
    return path


def train(run: Run, step_size: float, samples: int, folder: Path):
    experiment = EXPERIMENTS[run.experiment]
    optimised = config.Training(batch_size=BATCH_SIZES[run.experiment])
    settings = Settings(experiment, optimised, config.Evaluation(), samples)
    (result,) = training.train(
        [run], [step_size], settings, data.load(prepared(run.experiment, folder), experiment)
    )
    return result.curve.set_index(result.curve["samples"].astype(int))


@pytest.mark.parametrize(
    ("run", "step_size", "samples"),
    [
        (Run("mnist", "aevb", 20, 0), 0.02, 316_000),
        (Run("frey", "wake_sleep", 2, 0), 0.02, 200_000),
        (Run("frey", "aevb", 10, 1), 0.02, 130_000),
    ],
    ids=lambda value: value.name if isinstance(value, Run) else str(value),
)
def test_the_reference_run_is_made_again(run, step_size, samples, tmp_path):
    """To 0.001 nats, as curves.csv prints it, on the processor and versions of the reference;
    elsewhere rounding grows to a few nats."""
    curve = train(run, step_size, samples, tmp_path)
    table = pd.read_csv(ROOT / "results/reference/curves.csv")
    table = table[(table[["dataset", "algorithm", "latent_dim", "seed"]] == list(run)).all(axis=1)]
    for split in ("train", "test"):
        reference = table[table["split"] == split].set_index("samples")["value"].loc[:samples]
        difference = (curve[split] - reference).abs().max()
        print(f"{run.name}, {split}: largest difference {difference:.4f} nats")
        assert len(reference) >= 2
        assert difference < (5 if run.experiment == "mnist" else 30)


def test_wake_sleep_on_frey_face_sits_at_the_bound_of_a_model_without_latents(tmp_path):
    last = train(Run("frey", "wake_sleep", 2, 7), 0.02, 200_000, tmp_path).iloc[-1]
    assert last["train"] == pytest.approx(578, abs=1.5) and last["test"] == pytest.approx(
        569, abs=1.5
    )


def test_aevb_on_mnist_passes_the_first_anchor(tmp_path):
    """The paper has -148.5 there; seeds differ by 2 nats."""
    last = train(Run("mnist", "aevb", 20, 7), 0.02, 320_000, tmp_path)["test"].iloc[-1]
    assert last == pytest.approx(-148.5, abs=5)


def test_monte_carlo_em_on_1000_points_passes_the_papers_first_values(tmp_path):
    """Figure 3, N_train = 1000: the paper has -146.5 (train) and -156.9 (test) at 6.1e5 samples."""
    experiment = config.Experiment(
        dataset="mnist", likelihood="bernoulli", hidden=100, n_train=1000
    )
    images = data.load(prepared("mnist", tmp_path), experiment)
    settings = Settings(
        experiment, config.Training(), config.Evaluation(), 41 * 15_000, snapshots=1
    )
    (result,) = training.train([Run("mnist_1000", "mcem", 3, 7)], [0.1], settings, images)
    results.write_run(tmp_path / "run.h5", result)
    last = (
        figure3(tmp_path / "run.h5", images, Evidence(), "cpu", 1)
        .frame.iloc[-2:]
        .set_index("split")
    )
    print(last[["importance", "quadrature", "hmc"]])
    assert (last["importance"] - last["quadrature"]).abs().max() < 0.02
    assert last["importance"]["train"] == pytest.approx(-146.5, abs=6) and last["importance"][
        "test"
    ] == pytest.approx(-156.9, abs=6)
