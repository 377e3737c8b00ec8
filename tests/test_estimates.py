"""The estimators applied to trained models: which data, which snapshot, what is made of their
errors."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from aevb import results
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine import training
from aevb.marginal.chains import posterior_samples
from aevb.marginal.options import Evidence
from aevb.marginal.quadrature import quadrature
from aevb.models import nets
from aevb.models.joint import Joint
from aevb.results.curves import appendix_d, at
from aevb.studies.estimators import EstimatorStudy, work
from aevb.studies.estimators.work import study as grade
from aevb.studies.figure3 import EVIDENCE
from aevb.studies.figure3.work import chained, figure3

RUN = Run("digits", "aevb", 2, 0)
OPTIONS = Evidence(datapoints=40, draws=20, warmup=20, importance_draws=50)


@pytest.fixture(scope="module")
def trained(make, tmp_path_factory):
    """(run file, its result, data) of a small model with snapshots."""
    settings, data = make("bernoulli", 12_000)
    (result,) = training.train([RUN], [0.02], dataclasses.replace(settings, snapshots=3), data)
    path = tmp_path_factory.mktemp("runs") / "run.h5"
    results.write_run(path, result)
    return path, result, data


def snapshot(result, k, x):
    layout = nets.Layout(64, 20, 2, "bernoulli")
    return Joint(
        layout.view(torch.from_numpy(result.snapshots[k : k + 1])), x.unsqueeze(0), "bernoulli"
    )


def diverged(trained, folder):
    attributes = {**trained[1].attributes, "status": "diverged", "reason": "it ran away"}
    results.write_run(folder / "diverged.h5", results.RunResult(attributes, trained[1].curve[:0]))
    return folder / "diverged.h5"


def test_figure3_estimates_every_snapshot_on_the_first_points_of_each_split(trained, tmp_path):
    path, result, data = trained
    table = figure3(path, data, OPTIONS, "cpu", 1)
    results.write_table(tmp_path / "table.h5", table)
    frame = results.read_table(tmp_path / "table.h5", EVIDENCE).frame
    assert list(frame["samples"]) == list(np.repeat(result.curve["samples"], 2)) and list(
        frame["split"][:2]
    ) == ["train", "test"]
    assert (
        frame["quadrature"].notna().sum() == 2
        and (frame["quadrature_error"].dropna() <= 1e-3).all()
    )
    for row in frame.itertuples():
        x = getattr(data, row.split)[:40]
        truth = quadrature(
            snapshot(result, list(result.curve["samples"]).index(row.samples), x)
        ).value.mean()
        assert row.importance == pytest.approx(truth, abs=5 * row.importance_se + 0.01)
        assert row.hmc == pytest.approx(truth, abs=1.0)
        assert np.isnan(row.quadrature) or row.quadrature == pytest.approx(truth, abs=1e-3)
    again = figure3(path, data, OPTIONS, "cpu", 1).frame
    assert again.equals(table.frame)


def test_without_chains_at_every_snapshot_the_values_are_the_same(trained):
    path, result, data = trained
    fewer = OPTIONS.model_copy(update={"chains_per_decade": 1, "checked": 10})
    frame, plain = (figure3(path, data, o, "cpu", 1).frame for o in (fewer, OPTIONS))
    samples = result.curve["samples"].to_numpy(float)
    assert 0 < chained(samples, 1).sum() < len(samples)
    with_chains = np.repeat(chained(samples, 1), 2)
    for name in ("hmc", "rhat", "acceptance"):
        assert (frame[name].notna() == with_chains).all()
    numbers = frame.columns.drop(["split", "quadrature", "quadrature_error"])
    assert frame[with_chains][numbers].equals(plain[with_chains][numbers])
    error = np.hypot(frame["importance_se"], plain["importance_se"])
    assert (abs(frame["importance"] - plain["importance"]) < 4 * error + 0.01).all()
    assert not frame["importance"].equals(plain["importance"])
    # What quadrature adds to importance sampling, on ten points and on all.
    added = [(f["quadrature"] - f["importance"]).dropna() for f in (frame, plain)]
    assert len(added[0]) == len(added[1]) == 2
    np.testing.assert_allclose(*added, atol=0.05)
    assert not added[0].equals(added[1])


def test_chains_run_at_the_last_evaluation_and_at_shares_of_it():
    samples = np.array([1e5, 2e5, 3e5, 1e6, 2e6, 3e6, 4e6])
    assert chained(samples, None).all()
    assert list(samples[chained(samples, 1)]) == [3e5, 4e6]
    assert list(samples[chained(samples, 2)]) == [1e5, 3e5, 1e6, 4e6]
    assert list(chained(samples[:1], 2)) == [True]


def test_the_papers_estimator_is_read_between_the_evaluations_that_have_it():
    samples = np.array([1e5, 1e6, 1e7])
    shown = np.array([-200.0, -150.0, -140.0])
    hmc = shown + np.array([0.3, 0.2, 0.1])
    curve = pd.DataFrame({"samples": samples, "test": shown, "test_hmc": hmc})
    assert appendix_d(curve, "test", 1e6) == at(curve, "test_hmc", 1e6)
    some = curve.assign(test_hmc=curve["test_hmc"].where([True, False, True]))
    np.testing.assert_allclose(appendix_d(some, "test", samples), hmc)
    assert appendix_d(some, "test", 10**5.5) == pytest.approx(-175 + 0.25)
    late = curve.assign(test_hmc=curve["test_hmc"].where([False, True, True]))
    assert np.isnan(appendix_d(late, "test", 2e5))  # no bias is known there
    none = curve.assign(test_hmc=np.nan)
    assert np.isnan(appendix_d(none, "test", 1e6))


def test_a_run_that_diverged_gives_no_rows_and_a_sentence(trained, tmp_path, capsys):
    path = diverged(trained, tmp_path)
    table = figure3(path, trained[2], OPTIONS, "cpu", 1)
    study = grade(
        path,
        trained[2],
        EstimatorStudy(experiment="digits", latent_dims=[2]),
        OPTIONS,
        "cpu",
        1,
    )
    assert len(table.frame) == len(study.frame) == 0
    assert capsys.readouterr().err.count("diverged (it ran away)") == 2
    results.write_table(tmp_path / "table.h5", table)
    assert list(results.read_table(tmp_path / "table.h5", EVIDENCE).frame.columns) == list(EVIDENCE)


def test_an_estimator_that_gives_up_costs_one_row(trained, monkeypatch, capsys):
    path, _, data = trained

    def gives_up(joint, *arguments, **options):
        if torch.equal(joint.x[0], data.test[:40]):
            raise UserError("HMC accepted none of 20 transitions")
        return posterior_samples(joint, *arguments, **options)

    monkeypatch.setattr("aevb.studies.figure3.work.posterior_samples", gives_up)
    frame = figure3(path, data, OPTIONS, "cpu", 1).frame
    assert (
        frame[frame["split"] == "test"]["importance"].isna().all()
        and frame[frame["split"] == "train"]["importance"].notna().all()
    )
    assert "test, 2,000 samples: no estimate: HMC accepted none" in capsys.readouterr().err


def test_without_snapshots_it_says_so(trained, tmp_path):
    results.write_run(tmp_path / "run.h5", dataclasses.replace(trained[1], snapshots=None))
    with pytest.raises(UserError, match="holds no snapshots"):
        figure3(tmp_path / "run.h5", trained[2], OPTIONS, "cpu", 1)


def test_bias_and_spread_by_hand():
    errors = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]])  # two replicates of three datapoints
    found = work._bias_and_spread(errors, 0.4, same_start=False)
    assert found["bias"] == pytest.approx(3.0)
    assert found["spread"] == pytest.approx(np.sqrt((2 + 0 + 2) / 3))
    assert found["bias_se"] == pytest.approx(np.hypot(0.0, 0.4))  # both replicates have the mean 3
    means = np.array([2.0, 2.0, 5.0])
    found = work._bias_and_spread(errors, 0.4, same_start=True)
    assert found["bias_se"] == pytest.approx(np.hypot(means.std(ddof=1) / np.sqrt(3), 0.4))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_simulated_points_are_draws_of_the_model(likelihood):
    layout = nets.Layout(6, 5, 2, likelihood)
    parameters = layout.view(
        0.7 * torch.randn(1, layout.n_parameters, generator=torch.Generator().manual_seed(0))
    )
    joint, z = work._simulated(
        Joint(parameters, torch.zeros(1, 20_000, 6), likelihood), np.random.default_rng(0)
    )
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.03
    decoded = nets.decode(z[None], parameters)
    mean = torch.sigmoid(decoded[..., :6])
    variance = mean * (1 - mean) if likelihood == "bernoulli" else torch.exp(decoded[..., 6:])
    scores = (joint.x - mean) / variance.sqrt()
    assert (scores.mean((0, 1)).abs() < 4 / 20_000**0.5).all() and (
        scores.square().mean((0, 1)) - 1
    ).abs().max() < 0.06
    if likelihood == "bernoulli":
        assert set(joint.x.unique().tolist()) == {0.0, 1.0}


def test_the_study_grades_against_quadrature_on_both_kinds_of_data(trained):
    path, _, data = trained
    options = EstimatorStudy(
        experiment="digits", latent_dims=[2], datapoints=30, replicates=3, draws=[8, 40]
    )
    frame = grade(path, data, options, OPTIONS, "cpu", 1).frame
    forward = {"hmc_kde", "hmc_gaussian", "importance", "importance_hmc", "ais"}
    for kind, names in {"test": forward, "simulated": forward | {"ais_backward"}}.items():
        rows = frame[frame["data"] == kind]
        assert (
            set(rows["estimator"]) == names
            and len(rows) == 2 * len(names)
            and (rows["reference"] == "quadrature").all()
        )
        good = rows[
            (rows["samples"] == 40)
            & rows["estimator"].isin(["importance_hmc", "ais", "ais_backward"])
        ]
        assert (good["bias"].abs() < 0.3).all()
    test = snapshot(trained[1], len(trained[1].snapshots) - 1, data.test[:30])  # the final model
    value = frame[frame["data"] == "test"]["reference_value"].iloc[0]
    assert value == pytest.approx(quadrature(test).value.mean(), abs=1e-3)


def test_without_quadrature_the_reference_is_a_lower_bound_and_named(make, tmp_path, monkeypatch):
    settings, data = make("bernoulli", 4000)
    (result,) = training.train([RUN._replace(latent_dim=4)], [0.02], settings, data)
    results.write_run(tmp_path / "run.h5", result)
    for name, number in {"BOUND_DRAWS": 200, "BOUND_TEMPERATURES": 50, "BOUND_CHAIN": 30}.items():
        monkeypatch.setattr(work, name, number)
    options = EstimatorStudy(
        experiment="digits", latent_dims=[4], datapoints=10, replicates=2, draws=[30]
    )
    frame = grade(tmp_path / "run.h5", data, options, OPTIONS, "cpu", 1).frame
    assert frame["reference"].isin(["importance, 200 samples", "ais, 50 temperatures"]).all()
