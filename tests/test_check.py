"""The check of a committed reference run: equal bits pass, a number that moved does not."""

import numpy as np
import pytest

from aevb import data, results
from aevb.config import Run
from aevb.core.errors import UserError
from aevb.engine import training
from aevb.pipeline import check

RUN = Run("digits", "wake_sleep", 3, 0)


@pytest.fixture
def reference(make):
    settings, images = make("bernoulli", 6000)
    (run,) = training.train([RUN], [0.02], settings, images)
    return run, images


def test_the_same_machine_gives_the_same_bits(reference):
    run, images = reference
    found = check.again(RUN.name, run, images)
    assert found.passes and found.difference == found.tolerance == 0 and found.other == ""
    assert found.samples == run.curve["samples"].iloc[check.EVALUATIONS - 1] < 6000


@pytest.mark.parametrize("column", check.COLUMNS)
def test_a_number_that_moved_is_found(reference, column):
    run, images = reference
    run.curve.loc[1, column] += 1e-9
    found = check.again(RUN.name, run, images)
    assert not found.passes and 0 < found.difference < 2e-9 and column in found.where
    run.curve.loc[1, column] = np.nan
    assert not check.again(RUN.name, run, images).passes


def test_elsewhere_numbers_may_differ_within_the_tolerance(reference):
    run, images = reference
    run.attributes["processor"] = "another"
    run.curve["test"] -= 0.9
    found = check.again(RUN.name, run, images)
    assert found.passes and found.difference == pytest.approx(0.9) and "another" in found.other
    run.curve["test"] -= 0.2
    assert not check.again(RUN.name, run, images).passes


def test_other_images_are_an_error(reference):
    run, images = reference
    run.attributes["data_sha256"] = "0" * 64
    with pytest.raises(UserError, match="not those of the reference"):
        check.again(RUN.name, run, images)


def test_a_reference_of_which_nothing_can_be_compared_is_an_error(reference, tmp_path, monkeypatch):
    run, _ = reference
    run.attributes["device"] = "cuda"
    monkeypatch.setattr(
        results, "read_gathered", lambda path: results.Gathered({}, {RUN.name: run}, {})
    )
    with pytest.raises(UserError, match="no curve that can be compared"):
        check.check("gathered.h5", tmp_path)


def test_the_whole_check_names_what_differs(reference, digits_file, tmp_path, monkeypatch, capsys):
    run, _ = reference
    other = results.RunResult(
        {**run.attributes, "latent_dim": 2}, run.curve.assign(train=run.curve["train"] + 1)
    )
    gathered = results.Gathered(
        {},
        {RUN.name: run, "digits/wake_sleep-nz2-seed0": other, RUN._replace(seed=1).name: run},
        {},
    )
    monkeypatch.setattr(results, "read_gathered", lambda path: gathered)
    (tmp_path / "digits.h5").write_bytes(digits_file.read_bytes())
    with pytest.raises(
        UserError, match=r"1 curve\(s\) are not what .*: digits/wake_sleep-nz2-seed0;"
    ):
        check.check("gathered.h5", tmp_path)
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if "samples:" in line]) == 2 and "the same bits" in said[0]
    assert (
        data.load(
            tmp_path / "digits.h5", training.Settings.from_dict(run.settings).experiment
        ).sha256
        == run.data_sha256
    )
