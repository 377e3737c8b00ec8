"""Ablation, trade-off, variances and seeds trained further, in gathered results: kept there, and
kept out of the paper's figures."""

import numpy as np
import pandas as pd
import pytest
from synthetic import GRID, PAPER, STUDY, build, lines, panel
from test_report import Page, render

from aevb import config, results
from aevb.core.errors import UserError
from aevb.paper import claims, distance
from aevb.paper.comparison import comparison
from aevb.pipeline import made
from aevb.report.panels import curves, mean_and_longer
from aevb.results import csv
from aevb.results.curves import completed
from aevb.studies import planning
from aevb.studies.figure2.figures import figure2
from aevb.studies.figure2.numbers import units
from aevb.studies.tradeoff.numbers import tradeoff
from aevb.studies.variance import VARIANCE

RAW = {
    **STUDY,
    "ablation": {
        "curves": [{"experiment": "mnist", "latent_dims": [3, 10]}],
        "readings": {"warmup0": {"warmup_steps": 0}},
    },
    "tradeoff": {"experiment": "mnist", "latent_dim": 3, "draws": [1, 5], "batch_sizes": [100]},
    "variance": {"experiment": "mnist", "latent_dims": [3]},
    "extended": {"samples": 1e7, "seeds": [1]},
}
LONGER = np.array([2_000_000, 5_000_000, 10_000_000])


def change(name, run):
    """Of the seeds trained further: three evaluations more, each a nat above the one before."""
    if planning.budgets(config.load(RAW))[run.run] > 10**6:
        more = pd.concat([run.curve.tail(1)] * len(LONGER)).assign(samples=LONGER)
        for column in ("train", "test"):
            more[column] += np.arange(1, len(LONGER) + 1)
        run.curve = pd.concat([run.curve, more], ignore_index=True)
        run.attributes["samples"] = int(LONGER[-1])
    return run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("studies"), RAW, change)


@pytest.fixture(scope="module")
def gathered(path):
    return results.read_gathered(path)


def test_every_run_is_gathered_and_the_table_of_curves_has_those_of_figures(gathered):
    names = {run.name for run in planning.budgets(config.load(RAW))}
    assert set(gathered.runs) == names
    assert {
        "mnist+warmup0/aevb-nz3-seed0",
        "mnist/aevb-nz10-seed0",
        "mnist+l5-m100/aevb-nz3-seed0",
    } <= names
    assert set(gathered.pilots) == {name.rsplit("-seed", 1)[0] for name in names}
    table, alone = results.curves_table(gathered), gathered.without_variants()
    assert (
        set(table["figure"]) == {2, 4}
        and set(table["dataset"]) == {"mnist", "frey"}
        and set(table["latent_dim"]) == {2, 3, 5}
    )
    assert len(table) == sum(2 * len(run.curve) for run in alone.runs.values())
    assert set(alone.runs) == {
        run.name
        for run in planning.budgets(config.load({k: v for k, v in RAW.items() if k in STUDY}))
    }
    assert set(alone.pilots) == {name.rsplit("-seed", 1)[0] for name in alone.runs}


def test_variances_are_gathered_by_run(tmp_path, path):
    frame = pd.DataFrame({name: [1.0, 2.0] for name in VARIANCE}).assign(
        estimator=["A", "B"], part="encoder"
    )
    results.write_table(
        tmp_path / "table.h5", results.Table(frame, {"config": "{}", "seconds": 3.0})
    )
    tables = {"variance": {"mnist/aevb-nz3-seed0": tmp_path / "table.h5"}}
    results.gather(
        results.read_gathered(path).config, {}, {}, tables, set(), tmp_path / "gathered.h5"
    )
    found = results.read_gathered(tmp_path / "gathered.h5").of("variance")["mnist/aevb-nz3-seed0"]
    pd.testing.assert_frame_equal(found.frame, frame, check_dtype=False)


def test_runs_of_other_settings_are_not_gathered(tmp_path, path, capsys):
    study, runs = config.load(RAW), {"mnist/aevb-nz3-seed0": path.parent / "0.h5"}
    assert results.read_run(runs["mnist/aevb-nz3-seed0"]).experiment == "mnist"
    target = tmp_path / "gathered.h5"
    with pytest.raises(
        UserError,
        match=r"1 results are not what this study makes, .*0\.h5 \(settings differ\); delete them",
    ):
        results.gather(RAW, runs, {}, {}, set(), target, made.fits(study))
    assert str(runs["mnist/aevb-nz3-seed0"]) in capsys.readouterr().err and not target.exists()
    asked = []
    results.gather(RAW, runs, {}, {}, set(), target, lambda *what: asked.append(what) or "")
    [(kind, name, attributes)] = asked
    assert (kind, name, attributes["config"]) == ("runs", "mnist/aevb-nz3-seed0", "{}")
    assert list(results.read_gathered(target).runs) == list(runs)


def test_tables_without_any_text_are_read_with_empty_texts(tmp_path):
    table = pd.DataFrame(
        {
            "claim": ["1. one"],
            "effect": [np.nan],
            "check": [None],
            "exceptions": [""],
            "study": [""],
        }
    )
    csv.write(table, tmp_path / "claims.csv")
    row = csv.read(tmp_path / "claims.csv").iloc[0]
    assert (row["check"], row["exceptions"], row["study"]) == ("", "", "") and np.isnan(
        row["effect"]
    )


def test_a_mean_is_over_the_seeds_that_go_so_far(gathered):
    table = comparison(gathered, pd.read_csv(PAPER))
    rows = table[
        (table.experiment == "mnist")
        & (table.latent_dim == 3)
        & (table.algorithm == "aevb")
        & (table.split == "test")
    ]
    at = {target: row for target, row in rows.set_index("target").iterrows()}
    assert [at[target]["replicas"] for target in (3e5, 1e6, 1e7)] == [2, 2, 1]
    curve = gathered.runs["mnist/aevb-nz3-seed1"].curve.set_index("samples")["test"]
    expected = np.interp(
        np.log(at[1e7]["samples"]), np.log(curve.index), curve
    )  # at the paper's point nearby
    assert (
        at[1e7]["ours"] == pytest.approx(expected)
        and np.isnan(at[1e7]["sd"])
        and at[1e7]["samples"] > 5e6
    )
    drawing = figure2(gathered, pd.read_csv(PAPER))
    drawn = lines(panel(drawing, "MNIST, $N_z$ = 3"))
    means = [
        gathered.runs[f"mnist/aevb-nz3-seed{seed}"].curve["test"].iloc[: len(GRID)]
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(drawn["aevb test"].get_xdata(), GRID)
    np.testing.assert_allclose(drawn["aevb test"].get_ydata(), np.mean(means, axis=0))
    # a line of its own: a mean over fewer seeds jumps
    np.testing.assert_allclose(drawn["aevb test longer"].get_xdata(), [*GRID, *LONGER])
    np.testing.assert_allclose(drawn["aevb test longer"].get_ydata(), curve)
    names = {
        found.name: found.frame
        for found in curves(gathered, pd.read_csv(PAPER), "mnist", 3, ["aevb"], "samples")
    }
    np.testing.assert_allclose(names["AEVB, test"]["value"], np.mean(means, axis=0))
    np.testing.assert_allclose(names["AEVB, test, seeds trained further"]["value"], curve)
    assert (
        "1e6 training samples per curve" in drawing.get_suptitle()
        and "(1e7 for seed 1)" in drawing.get_suptitle()
    )
    assert drawing.axes[0].get_xlim()[1] > 1e7


def test_what_becomes_of_a_seed_beyond_the_budget_of_all_bears_on_nothing_before(gathered, path):
    paper, name = pd.read_csv(PAPER), "mnist/aevb-nz3-seed1"
    lost = results.read_gathered(path)
    run = lost.runs[name]
    run.curve = run.curve[run.curve["samples"] <= LONGER[1]].copy()
    run.curve.loc[run.curve.index[-1], ["train", "test"]] = -3e6  # the evaluation that stopped it
    run.attributes |= {
        "status": "diverged",
        "reason": "a bound ran away",
        "samples": int(LONGER[1]),
    }
    both = [
        units(found, paper)
        .set_index(["experiment", "algorithm", "latent_dim"])
        .loc[("mnist", "aevb", 3)]
        for found in (gathered, lost)
    ]
    assert both[1]["diverged"] == "seed 1 at 5e6: a bound ran away" and both[0].drop(
        "diverged"
    ).equals(both[1].drop("diverged"))
    both = [
        found[found["check"].str.startswith("MNIST, N_z = 3")]
        for found in (claims.details(part, paper) for part in (gathered, lost))
    ]
    pd.testing.assert_frame_equal(*both)
    both = [
        found[found["last"] <= 1e6]
        for found in (distance.distances(part, paper) for part in (gathered, lost))
    ]
    assert len(both[0])
    pd.testing.assert_frame_equal(*both)
    drawn = lines(panel(figure2(lost, paper), "MNIST, $N_z$ = 3"))
    whole = lines(panel(figure2(gathered, paper), "MNIST, $N_z$ = 3"))
    np.testing.assert_array_equal(drawn["aevb test"].get_ydata(), whole["aevb test"].get_ydata())
    assert drawn["aevb test diverged"].get_xdata() == [LONGER[1]]
    beyond = distance.distances(lost, paper).query(
        "last > 1e6 and experiment == 'mnist' and latent_dim == 3 and algorithm == 'aevb'"
    )
    assert (
        len(beyond)
        and (beyond["largest"].abs() < 1000).all()
        and (beyond["last"] <= LONGER[0]).all()
    )


def test_a_seed_that_diverges_before_it_is_evaluated_beyond_the_budget_of_all_is_lost(path):
    lost = results.read_gathered(path)
    run = lost.runs["mnist/aevb-nz3-seed1"]
    run.curve = run.curve[run.curve["samples"] <= 1e6]
    run.attributes |= {"status": "diverged", "reason": "a bound ran away", "samples": 1_500_000}
    run.curve.loc[run.curve.index[-1], "samples"] = 999_999
    assert list(completed(lost, "mnist", "aevb", 3)) == [0] and len(units(lost, PAPER)) == len(
        units(results.read_gathered(path), PAPER)
    )


def test_seeds_evaluated_at_other_counts_are_averaged_where_all_go():
    one = pd.DataFrame(
        {
            "samples": [100, 1000, 2000],
            "seconds": [1.0, 2.0, 3.0],
            "train": [0.0, 1.0, 2.0],
            "test": [0.0, 1.0, 2.0],
        }
    )
    other = pd.DataFrame(
        {
            "samples": [100, 1000, 4000],
            "seconds": [1.0, 2.0, 3.0],
            "train": [0.0, 1.0, 5.0],
            "test": [0.0, 1.0, 5.0],
        }
    )
    mean, longer = mean_and_longer({0: one, 4: other})
    between = 1.0 + 4.0 * np.log(2) / np.log(4)  # of the other at 2000
    assert mean.groupby("samples")["test"].agg(list).to_dict() == {
        100: [0.0, 0.0],
        1000: [1.0, 1.0],
        2000: [2.0, pytest.approx(between)],
    }
    assert set(longer["seed"]) == {4} and [*longer["samples"]] == [100, 1000, 2000, 4000]
    assert list(longer["test"]) == [0.0, 1.0, pytest.approx(between), 5.0]


def test_the_report_lists_variants_only_where_it_counts_what_they_cost(path, gathered, tmp_path):
    page = Page(render(tmp_path, path))
    listed = {row["data"] for row in page.records("cost")}
    assert {"MNIST", "MNIST, warmup0", "MNIST, l5-m100", "Frey Face"} == listed
    for table in ("pilots", "ends"):
        assert {row["data"] for row in page.records(table)} == {"MNIST", "Frey Face"}
    assert {row["experiment"] for row in page.records("conventions")} == {"MNIST", "Frey Face"}
    assert (
        f"{len(gathered.without_variants().runs)} models" in page.text
        and "1e6 (1e7 for seed 1) training samples" in page.text
    )
    row = next(
        row for row in page.records("ends") if row["data"] == "MNIST" and row["algorithm"] == "AEVB"
    )
    latent_dim = int(row["Nz"])
    ends = [
        gathered.runs[f"mnist/aevb-nz{latent_dim}-seed{seed}"]
        .curve.set_index("samples")
        .loc[1_000_000, "test"]
        for seed in (0, 1)
    ]
    assert float(row["test"].replace("−", "-")) == pytest.approx(np.mean(ends), abs=0.006)


def test_the_trade_off_compares_at_equal_cost(gathered):
    table = tradeoff(gathered, pd.read_csv(PAPER)).set_index("draws")
    base = gathered.runs["mnist/aevb-nz3-seed0"].curve.set_index(
        "samples"
    )  # seed 1, which goes on to 1e7, is not of the trade-off
    assert table.loc[1, "samples"] == 1e6 and table.loc[1, "seeds"] == 1
    assert table.loc[1, "test"] == base.loc[1e6, "test"]
