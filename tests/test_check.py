"""The check of committed reference runs: equal bits pass, a number that moved does not."""

import copy
import dataclasses

import numpy as np
import pytest

from aevb import data, results
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine import training
from aevb.engine.settings import Settings
from aevb.marginal.options import Evidence
from aevb.pipeline import check
from aevb.studies.figure3 import work

RUN = Run("digits", "wake_sleep", 3, 0)
CHAINS = Run("digits", "mcem", 2, 0)
OPTIONS = Evidence(datapoints=20, draws=10, warmup=10, importance_draws=25)


@pytest.fixture
def reference(make):
    settings, images = make("bernoulli", 6000)
    (run,) = training.train([RUN], [0.02], settings, images)
    return run, images


@pytest.fixture(scope="module")
def measured(make, tmp_path_factory):
    """(run, its estimates of log p(x), data) of Monte Carlo EM."""
    settings, images = make("bernoulli", 90_000)
    settings = dataclasses.replace(settings, snapshots=2)
    (run,) = training.train([CHAINS], [0.02], settings, images)
    path = tmp_path_factory.mktemp("runs") / "run.h5"
    results.write_run(path, run)
    return run, work.figure3(path, images, OPTIONS, "cpu", 1), images


@pytest.fixture
def chains(measured):
    """The same, to be changed."""
    return *copy.deepcopy(measured[:2]), measured[2]


def again(run, images):
    return check.compare_curve(run, check.train(run, images))


def log_p_again(run, table, images):
    return check.compare_log_p(run, table, check.train(run, images), images)


def test_the_same_machine_gives_the_same_bits(reference):
    run, images = reference
    found = again(run, images)
    assert found.passes and found.difference == found.tolerance == 0 and found.other == ""
    assert found.samples == run.curve["samples"].iloc[check.EVALUATIONS - 1] < 6000


@pytest.mark.parametrize("column", check.COLUMNS)
def test_a_number_that_moved_is_found(reference, column):
    run, images = reference
    run.curve.loc[1, column] += 1e-9
    found = again(run, images)
    assert not found.passes and 0 < found.difference < 2e-9 and column in found.where
    run.curve.loc[1, column] = np.nan
    assert not again(run, images).passes


def test_elsewhere_numbers_may_differ_within_the_tolerance(reference):
    run, images = reference
    run.attributes["processor"] = "another"
    run.curve["test"] -= 0.9
    found = again(run, images)
    assert found.passes and found.difference == pytest.approx(0.9) and "another" in found.other
    run.curve["test"] -= 0.2
    assert not again(run, images).passes


def test_the_tolerance_depends_on_likelihood_and_step_size(reference):
    run, _ = reference
    assert check.tolerance(run) == 1
    run.attributes["step_size"] = 0.1
    assert check.tolerance(run) == 5
    run.attributes["likelihood"] = "gaussian"
    assert check.tolerance(run) == 750


def test_monte_carlo_em_is_compared_by_what_it_has(chains):
    run, _, images = chains
    assert run.curve["train"].isna().all()
    found = again(run, images)
    assert found.passes and found.difference == 0
    run.curve.loc[0, "running"] += 1e-9
    found = again(run, images)
    samples = int(run.curve["samples"][0])
    assert not found.passes and found.where == f"running at {samples:,} samples"
    run.curve.loc[0, "running"] -= 1e-9
    run.curve.loc[1, "train"] = -20.0  # a bound where there can be none
    assert not again(run, images).passes


def test_log_p_is_the_same_bits_on_the_same_machine(chains):
    run, table, images = chains
    found = log_p_again(run, table, images)
    assert found.passes and found.difference == found.tolerance == 0
    assert found.samples == run.curve["samples"][0] and "log p(x)" in str(found)


@pytest.mark.parametrize(("column", "split"), [("importance", "train"), ("hmc", "test")])
def test_an_estimate_that_moved_is_found(chains, column, split):
    run, table, images = chains
    row = table.frame.index[table.frame["split"] == split][0]
    table.frame.loc[row, column] += 1e-9
    found = log_p_again(run, table, images)
    assert not found.passes and found.difference > 0 and found.where == f"{column}, {split}"
    table.frame.loc[row, column] = np.nan
    assert not log_p_again(run, table, images).passes


def test_only_the_first_evaluation_is_estimated(chains):
    run, table, images = chains
    table.frame.loc[2:, ["importance", "hmc"]] = 0.0
    assert log_p_again(run, table, images).passes


@pytest.mark.parametrize("made", ["run", "table"])
def test_elsewhere_estimates_may_differ_by_tolerance_and_noise(chains, made):
    run, table, images = chains
    {"run": run, "table": table}[made].attributes["processor"] = "another"
    errors = table.frame.loc[:1, ["importance_se", "hmc_se"]].to_numpy()
    allowed = 1 + check.STANDARD_ERRORS * errors.max()
    table.frame["hmc"] += allowed - 1e-6
    found = log_p_again(run, table, images)
    assert found.passes and found.tolerance == allowed and "another" in found.other
    table.frame["hmc"] += 2e-6
    assert not log_p_again(run, table, images).passes


def test_estimators_that_give_up_must_do_so_on_both_sides(chains, monkeypatch):
    run, table, images = chains

    def gives_up(*arguments):
        raise UserError("HMC accepted none of 20 transitions")

    monkeypatch.setattr(work, "_estimate", gives_up)
    assert not log_p_again(run, table, images).passes
    table.frame[["importance", "importance_se", "hmc", "hmc_se"]] = np.nan
    assert log_p_again(run, table, images).passes
    run.attributes["processor"] = "another"
    found = log_p_again(run, table, images)
    assert found.passes and found.tolerance == 1


def test_a_run_that_diverges_now_fails(chains):
    run, table, images = chains
    nothing = check.Anew(run.curve[:0], None)
    assert not check.compare_curve(run, nothing).passes
    assert not check.compare_log_p(run, table, nothing, images).passes


def test_other_images_are_an_error(reference):
    run, images = reference
    run.attributes["data_sha256"] = "0" * 64
    with pytest.raises(UserError, match="not those of the reference"):
        check.train(run, images)


def gathered_as(monkeypatch, **files):
    """results.read_gathered gives `files`, by the name of the file."""
    monkeypatch.setattr(results, "read_gathered", lambda path: files[path.stem])


def test_a_reference_of_which_nothing_can_be_compared_is_an_error(reference, tmp_path, monkeypatch):
    run, _ = reference
    run.attributes["device"] = "cuda"
    gathered_as(monkeypatch, first=results.Gathered({}, {RUN.name: run}, {}))
    with pytest.raises(UserError, match="no curve that can be compared"):
        check.check([tmp_path / "first.h5"], tmp_path)


def test_references_beside_are_those_with_estimates(tmp_path, monkeypatch):
    beside = {"beside": ["figure3.h5", "ablation.h5"]}
    gathered_as(
        monkeypatch,
        main=results.Gathered(beside, {}, {}),
        figure3=results.Gathered({}, {}, {}, {"evidence": {CHAINS.name: None}}),
        ablation=results.Gathered({}, {}, {}),
    )
    found = check.references(tmp_path / "main.h5", tmp_path)
    assert found == [tmp_path / "main.h5", tmp_path / "figure3.h5"]


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
    gathered_as(monkeypatch, gathered=gathered)
    (tmp_path / "digits.h5").write_bytes(digits_file.read_bytes())
    with pytest.raises(
        UserError, match=r"1 curve\(s\) are not what .*: digits/wake_sleep-nz2-seed0;"
    ):
        check.check([tmp_path / "gathered.h5"], tmp_path)
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if "samples:" in line]) == 2 and "the same bits" in said[1]
    assert (
        data.load(tmp_path / "digits.h5", Settings.from_dict(run.settings).experiment).sha256
        == run.data_sha256
    )


def test_a_curve_in_two_references_is_trained_once(
    reference, chains, digits_file, tmp_path, monkeypatch, capsys
):
    run, (em, table, _) = reference[0], chains
    longer = copy.deepcopy(run)
    longer.attributes["config"] = longer.config.replace('"samples": 6000', '"samples": 9000')
    assert longer.config != run.config
    tables = {"evidence": {CHAINS.name: table}}
    gathered_as(
        monkeypatch,
        first=results.Gathered({}, {RUN.name: run, CHAINS.name: em}, {}, tables),
        second=results.Gathered({}, {RUN.name: longer}, {}),
    )
    trained = []
    train = check.train
    monkeypatch.setattr(
        check, "train", lambda run, images: (trained.append(run.algorithm), train(run, images))[1]
    )
    (tmp_path / "digits.h5").write_bytes(digits_file.read_bytes())
    paths = [tmp_path / "first.h5", tmp_path / "second.h5"]
    check.check(paths, tmp_path)
    assert trained == ["wake_sleep", "mcem"]
    said = capsys.readouterr().err
    assert said.count("the same bits") == 4 and f"{CHAINS.name}, log p(x) at" in said
    table.frame.loc[0, "hmc"] += 1e-9
    with pytest.raises(UserError, match=rf"1 curve\(s\) are not what .*: {CHAINS.name};"):
        check.check(paths, tmp_path)
