"""Reconstructions of test images: which are shown, by which formula, and how they are drawn."""

import itertools

import numpy as np
import pandas as pd
import pytest
from synthetic import DIGITS, STUDY, build, diverge, synthetic_run

from aevb import config, data, results
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.pipeline import plan
from aevb.studies.reconstructed import COLUMNS, findings, work
from aevb.studies.reconstructed import STUDY as RECONSTRUCTED
from aevb.studies.reconstructed.figures import reconstructed

PANEL = {"experiment": "digits_bernoulli", "latent_dims": [2], "images": 4}
RAW = DIGITS | {"reconstructed": [PANEL]}
PANELS = [
    {"experiment": "mnist", "latent_dims": [3, 5], "images": 3},
    {"experiment": "frey", "latent_dims": [2], "images": 3},
]
LOST = "mnist/wake_sleep-nz5-seed0"


def test_the_first_image_of_each_class_is_shown_then_the_second():
    labels = np.array([1, 1, 0, 2, 0, 2, 1])
    assert list(work.choose(labels, False, 7, 3)) == [2, 0, 3]
    assert list(work.choose(labels, False, 7, 7)) == [2, 0, 3, 4, 1, 5, 6]


def test_images_of_a_film_are_shown_at_even_distances():
    frames = np.array([30, 0, 20, 10, 40])
    assert list(work.choose(frames, True, 5, 3)) == [1, 2, 4]  # frames 0, 20, 40
    assert list(work.choose(None, False, 9, 3)) == [0, 4, 8]


@pytest.fixture
def run():
    """A made-up run on digits with random weights, those of the encoder included."""
    study = config.load(RAW)
    result = synthetic_run(study, Run("digits_bernoulli", "aevb", 2, 0), 0)
    random, hidden = np.random.RandomState(1), result.weights["decoder.hidden.bias"].size
    shapes = {
        "hidden.weight": (64, hidden),
        "hidden.bias": hidden,
        "output.weight": (hidden, 4),
        "output.bias": 4,
    }
    for name, shape in shapes.items():
        value = random.standard_normal(shape).astype(np.float32) / 8
        result.weights[f"encoder.{name}"] = value
    return result


def test_the_job_stores_images_and_errors_by_the_papers_formulas(run, digits_file, tmp_path):
    study = config.load(RAW)
    [job] = [job for job in RECONSTRUCTED.jobs(study) if job.kind == "reconstructed"]
    assert [r.algorithm for r in job.runs] == ["aevb", "wake_sleep"]
    results.write_run(tmp_path / "run.h5", run)
    results.write_run(tmp_path / "lost.h5", diverge(synthetic_run(study, job.runs[1], 1)))
    inputs = {
        "data": [str(digits_file)],
        "runs": [str(tmp_path / f"{n}.h5") for n in ("run", "lost")],
    }
    outputs = [str(tmp_path / f"made{k}.h5") for k in (0, 1)]
    work.work([job._replace(inputs=inputs, outputs=outputs)])
    assert results.read_table(outputs[1], COLUMNS).frame.empty
    table = results.read_table(outputs[0], COLUMNS)
    x = data.load(digits_file, study.experiments["digits_bernoulli"]).test.numpy().astype(float)
    w = run.weights
    hidden = np.tanh(x @ w["encoder.hidden.weight"] + w["encoder.hidden.bias"])
    z = (hidden @ w["encoder.output.weight"] + w["encoder.output.bias"])[:, :2]
    hidden = np.tanh(z @ w["decoder.hidden.weight"] + w["decoder.hidden.bias"])
    made = 1 / (1 + np.exp(-hidden @ w["decoder.output.weight"] - w["decoder.output.bias"]))
    errors = ((made - x) ** 2).mean(1)
    row = table.frame.iloc[0]
    assert (row["images"], len(table.frame)) == (297, 1)
    assert row["error"] == pytest.approx(errors.mean(), rel=1e-5)
    assert row["error_se"] == pytest.approx(errors.std(ddof=1) / 297**0.5, rel=1e-5)
    labels = data.labels("digits", tmp_path)
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(4)]
    assert table.arrays["inputs"].dtype == table.arrays["outputs"].dtype == np.uint8
    assert np.abs(table.arrays["inputs"] - 255 * x[first]).max() <= 0.5
    assert np.abs(table.arrays["outputs"] - 255 * made[first]).max() <= 0.501


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        ([PANEL, PANEL | {"images": 5}], "2 panels of 'digits_bernoulli'"),
        ([PANEL | {"images": 298}], "298 images of 'digits_bernoulli', which has 297"),
        ([PANEL | {"algorithms": ["mcem"]}], "'mcem' has no bound"),
    ],
)
def test_a_panel_that_cannot_be_is_a_sentence(panels, said):
    with pytest.raises(UserError, match=said):
        config.load(DIGITS | {"reconstructed": panels})


def test_the_report_shows_it_with_its_caption():
    study = config.load(STUDY | {"reconstructed": PANELS})
    assert "reconstructed" in plan.figures(study)
    kinds = [job.kind for job in plan.jobs(study)]
    assert kinds.count("reconstructed") == 2
    # of Figure 2's models alone: nothing more is trained
    assert kinds.count("train") == [j.kind for j in plan.jobs(config.load(STUDY))].count("train")


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    """Results with made-up reconstructions: those of wake-sleep have the larger error; one model
    diverged."""
    found = results.read_gathered(
        build(tmp_path_factory.mktemp("synthetic"), STUDY | {"reconstructed": PANELS})
    )
    tables, random = {}, np.random.RandomState(0)
    for run, _ in RECONSTRUCTED.runs(found.study):
        pixels = {"mnist": 784, "frey": 560}[run.experiment]
        error = 0.02 if run.algorithm == "aevb" else 0.03
        frame = pd.DataFrame([{"images": 10, "error": error, "error_se": 0.001}])
        arrays = {
            name: random.randint(0, 256, (3, pixels)).astype(np.uint8)
            for name in ("inputs", "outputs")
        }
        if run.name != LOST:
            tables[run.name] = results.Table(frame, {"config": "{}", "seconds": 1.0}, arrays)
    found.tables["reconstructed"] = tables
    return found


def test_the_figure_has_a_row_per_model(gathered):
    first, second = reconstructed(gathered, pd.DataFrame()).axes
    assert [axis.get_title() for axis in (first, second)] == ["MNIST", "Frey Face"]
    names = [text.get_text() for text in first.get_yticklabels()]
    expected = ["test images"]
    expected += [f"{a}, $N_z$ = {d}" for d in (3, 5) for a in ("AEVB", "wake-sleep")]
    assert names == expected
    texts = [text.get_text() for text in first.texts]
    assert texts == ["MSE\n× 10³", "20.0", "30.0", "20.0", "this model diverged"]
    assert len(first.images) == 4 and len(second.images) == 3
    tables = gathered.of("reconstructed")
    shown = np.asarray(second.images[1].get_array())
    made = tables["frey/aevb-nz2-seed0"].arrays["outputs"]
    np.testing.assert_array_equal(shown[:, 20:40], made[1].reshape(28, 20))
    np.testing.assert_array_equal(
        np.asarray(first.images[0].get_array())[:, :28],
        tables["mnist/aevb-nz3-seed0"].arrays["inputs"][0].reshape(28, 28),
    )
    # rows lie below each other, none over another
    edges = [image.get_extent() for image in first.images]
    assert all(one[2] <= other[3] for one, other in itertools.pairwise(edges))


def test_the_caption_counts_pairs(gathered):
    facts = findings.part(gathered, pd.DataFrame(), {}).facts
    [said] = facts["reconstructed_pairs"]
    assert "wake-sleep is larger than AEVB's in 2 of 2 pairs" in said and "smaller in 0" in said
    assert facts["reconstructed_data"] == "MNIST and Frey Face"


def test_arrays_of_a_table_come_back_as_they_were(tmp_path):
    frame = pd.DataFrame([{"images": 10, "error": 0.5, "error_se": 0.1}])
    arrays = {"inputs": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    attributes = {"config": "{}", "seconds": 1.0}
    results.write_table(tmp_path / "t.h5", results.Table(frame, attributes, arrays))
    table = results.read_table(tmp_path / "t.h5", COLUMNS)
    assert list(table.frame) == list(COLUMNS) and list(table.arrays) == ["inputs"]
    assert table.arrays["inputs"].dtype == np.uint8
    np.testing.assert_array_equal(table.arrays["inputs"], arrays["inputs"])
