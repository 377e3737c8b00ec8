"""Encoded test points: the encoder's formula, and labels that belong to their images."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from synthetic import DIGITS, diverge, synthetic_run

from aevb import config, data, results
from aevb.core.errors import UserError
from aevb.core.run import Job
from aevb.studies.figure4 import ENCODED, STUDY, encoding, unfolding

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def run(tmp_path):
    """write(change=None): the path of a made-up run on digits with random weights, and these."""
    study = config.load(DIGITS)
    result = synthetic_run(study, STUDY.drawn(study)[0], 0)
    random = np.random.RandomState(1)
    result.weights |= {
        **{
            "encoder.hidden.weight": random.standard_normal((64, 10)) / 8,
            "encoder.hidden.bias": random.standard_normal(10),
        },
        **{
            "encoder.output.weight": random.standard_normal((10, 4)),
            "encoder.output.bias": random.standard_normal(4),
        },
    }
    result.weights = {name: value.astype(np.float32) for name, value in result.weights.items()}

    def write(change=lambda run: run):
        results.write_run(tmp_path / "run.h5", change(result))
        return tmp_path / "run.h5", result.weights, study.experiments["digits_bernoulli"]

    return write


def test_points_are_posterior_means_with_their_digits(run, digits_file, tmp_path):
    path, weights, experiment = run()
    results.write_table(tmp_path / "encoded.h5", encoding.encode(path, digits_file, experiment))
    table = results.read_table(tmp_path / "encoded.h5", ENCODED)
    with h5py.File(digits_file) as file:
        images = file["test"][:]
    # equation 9: a tanh layer, then linear; the first two outputs are the mean
    hidden = np.tanh(
        images / 16 @ weights["encoder.hidden.weight"].astype(float)
        + weights["encoder.hidden.bias"]
    )
    mean = (hidden @ weights["encoder.output.weight"] + weights["encoder.output.bias"])[:, :2]
    np.testing.assert_allclose(table.frame[["z1", "z2"]], mean, atol=1e-5)
    known = {
        image.astype(np.uint8).tobytes(): digit
        for image, digit in zip(load_digits().data, load_digits().target, strict=True)
    }
    assert [known[image.tobytes()] for image in images] == list(table.frame["label"])
    assert json.loads(table.attributes["config"]) == {"points": 2000, "label": "digit"}
    assert len(table.attributes["code_sha256"]) == 64


def test_a_plane_on_the_way_has_its_points_and_what_it_decodes_to(run, digits_file, tmp_path):
    path, weights, experiment = run()
    settings = {"experiment": experiment.model_dump()}
    inputs = {"runs": [str(path)], "data": [str(digits_file)]}
    output = str(tmp_path / "unfolding.h5")
    code = ("aevb.studies.figure4.unfolding:work",)
    unfolding.work([Job("unfolding", "a", "", [output], inputs, settings, code)])
    table = results.read_table(output, ENCODED)
    whole = encoding.encode(path, digits_file, experiment)
    pd.testing.assert_frame_equal(table.frame, whole.frame[: unfolding.POINTS], check_dtype=False)
    half = unfolding.reach(table.frame)
    assert half >= 3 and table.frame[["z1", "z2"]].abs().to_numpy().max() < half
    assert table.arrays["tiles"].shape == (12 * 12, 64)
    # The second picture of the first row, by appendix C: at 3/12 and 1/12 of the plane's side.
    z = np.array([2 * half * 1.5 / 12 - half, half - 2 * half * 0.5 / 12])
    hidden = np.tanh(z @ weights["decoder.hidden.weight"] + weights["decoder.hidden.bias"])
    logits = hidden @ weights["decoder.output.weight"] + weights["decoder.output.bias"]
    mean = 255 / (1 + np.exp(-logits.ravel()[:64].astype(float)))
    assert np.abs(table.arrays["tiles"][1] - mean).max() <= 0.51


def test_the_slider_has_models_that_trained_for_less():
    panel = {"experiment": "digits_bernoulli", "grid": 3, "along": [1e6, 3e4]}
    [(run, budget)] = STUDY.along(config.load({**DIGITS, "figure4": [panel]})).items()
    assert budget == 30_000 and run.experiment == "digits_bernoulli+plane-3e4"


def test_a_diverged_run_has_no_points_and_gathers_to_none(run, digits_file, tmp_path, capsys):
    path, _, experiment = run(diverge)
    table = encoding.encode(path, digits_file, experiment)
    assert table.frame.empty and "the bound ran away" in capsys.readouterr().err
    results.write_table(tmp_path / "encoded.h5", table)
    name = STUDY.drawn(config.load(DIGITS))[0].name
    results.gather(
        DIGITS,
        {name: path},
        {},
        {"encoded": {name: tmp_path / "encoded.h5"}},
        set(),
        tmp_path / "gathered.h5",
    )
    assert results.read_gathered(tmp_path / "gathered.h5").of("encoded") == {}


def test_missing_labels_are_a_sentence(tmp_path):
    with pytest.raises(
        UserError,
        match=r"t10k-labels-idx1-ubyte.gz is missing or damaged; delete .*mnist.h5 and run again",
    ):
        data.labels("mnist", tmp_path)


@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs the downloaded data sets in data/")
def test_labels_of_the_papers_data():
    labels = data.labels("mnist", DATA)
    assert len(labels) == 10_000 and list(labels[:10]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert list(np.bincount(labels)) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.skipif(not (DATA / "frey").is_dir(), reason="needs the downloaded data sets in data/")
def test_frames_of_frey_face_are_those_of_the_film():
    import scipy.io

    film = scipy.io.loadmat(DATA / "frey/frey_rawface.mat")["ff"].T
    with h5py.File(DATA / "frey.h5") as file:
        np.testing.assert_array_equal(film[data.labels("frey", DATA)], file["test"][:])
