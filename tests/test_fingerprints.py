"""The fingerprints on hand-made runs that are the paper's curves, or off them by known amounts."""

import re

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import FULL, PAPER, build, synthetic_attributes
from test_report import render

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.studies import STUDIES
from aevb.studies.fingerprints.figures import fingerprints as draw
from aevb.studies.fingerprints.findings import part
from aevb.studies.fingerprints.numbers import fingerprints, step_sizes
from aevb.studies.planning import budgets

NOISE = np.array([-1.0, 0.0, 1.0])  # nats, by seed
SPREAD = np.sqrt(1 / (stats.chi2.median(2) / 2))  # of these: the variance is 1
STUDY = {
    "name": "made",
    "samples": 1e6,
    "seeds": [0, 1, 2],
    "experiments": FULL["experiments"],
    "fingerprints": {
        "curves": [
            {
                "experiment": "mnist",
                "latent_dims": [3, 200],
                "readings": ["true", "off", "small"],
                "steps": ["true", "small"],
            }
        ],
        "readings": {
            "true": {"step_sizes": [0.02]},
            "off": {"log_variance_start": "zero"},
            "small": {"step_sizes": [0.01]},
        },
    },
}


@pytest.fixture(scope="module")
def paper():
    return pd.read_csv(PAPER)


def theirs(paper, run, split):
    chosen = paper[
        (paper["figure"] == 2)
        & (paper["dataset"] == run.base)
        & (paper["latent_dim"] == run.latent_dim)
        & (paper["algorithm"] == run.algorithm)
        & (paper["split"] == split)
    ].sort_values("samples")
    return chosen["samples"].to_numpy(float), chosen["value"].to_numpy(float)


def made(paper, away=None, raw=STUDY, until=1.2e6, change=None):
    """Runs that have the paper's values at its own counts, plus `away` nats by reading, plus
    NOISE."""
    study, runs = config.load(raw), {}
    for run in budgets(study):
        counts = sorted({*theirs(paper, run, "train")[0], *theirs(paper, run, "test")[0]})
        counts = np.array([n for n in counts if n <= until] or [until])
        shift = (away or {}).get(run.variant, 0.0) + NOISE[run.seed]
        # The paper's train values are means since the count before: a straight line where one of
        # its points is missing.
        curve = pd.DataFrame({name: 0.01 for name in results.CURVE}, index=range(len(counts)))
        curve = curve.assign(
            samples=counts,
            test=np.interp(counts, *theirs(paper, run, "test")) + shift,
            running=np.interp(counts, *theirs(paper, run, "train")) + shift,
        )
        attributes = synthetic_attributes(study.experiments[run.base], run, int(counts[-1]))
        attributes["step_size"] = study.training_of(run.experiment).step_sizes[0]
        result = results.RunResult(attributes, curve)
        runs[run.name] = change(run, result) if change else result
    return results.Gathered(study.model_dump(mode="json"), runs, {})


def test_the_papers_own_curves_score_nothing_and_others_their_distance(paper):
    table = fingerprints(made(paper, {"off": 5.0, "small": -2.0}), paper)
    whole = table[table["latent_dim"].isna()].set_index(["algorithm", "reading"])
    table = table.dropna(subset="latent_dim").set_index(["algorithm", "latent_dim", "reading"])
    yard = np.sqrt(SPREAD**2 * (1 + 1 / 3) + 0.1**2)  # 0.1 nats: how well the paper can be read
    for algorithm in ("aevb", "wake_sleep"):
        for latent_dim in (3.0, 200.0):
            for reading, away in {"true": 0.0, "off": 5.0, "small": -2.0}.items():
                row = table.loc[algorithm, latent_dim, reading]
                np.testing.assert_allclose(row[["average", "test"]].astype(float), away, atol=1e-6)
                assert row["spread"] == pytest.approx(yard)
                assert row["score"] == pytest.approx(abs(away) / yard, abs=1e-6)
                assert row["closest"] == (reading == "true") and row["seeds"] == 3
        assert whole.loc[(algorithm, "off"), "score"] == pytest.approx(5.0 / yard)
    # All that the paper has up to 1e6 samples: wake-sleep's train curve lacks two of its points.
    assert table.loc["wake_sleep", 200.0, "true"]["points"] == 3 + 4
    assert table.loc["aevb", 3.0, "true"]["points"] == 3 + 3  # the fourth is at 1.009e6


def test_a_run_that_ends_early_is_compared_as_far_as_it_goes(paper):
    table = fingerprints(made(paper, until=3.1e5), paper).dropna(subset="latent_dim")
    assert set(table["points"]) == {2}
    assert set(table["first"]) < set(paper["samples"])
    nothing = fingerprints(made(paper, until=2.2e5), paper).dropna(subset="latent_dim")
    lost = nothing[(nothing["latent_dim"] == 3)]
    assert lost["score"].isna().all() and not lost["closest"].any()
    assert not len(step_sizes(made(paper, until=2.2e5), paper).query("latent_dim == 3"))


def test_between_evaluations_the_curve_is_a_smooth_one(paper):
    """A bound of a + b log(samples), evaluated nine times per factor of ten."""

    def smooth(run, result):
        counts = np.round(np.geomspace(1e5, 1e6, 10))
        whole = counts * (-300 + 10 * np.log(counts) - 10)  # the integral of the bound
        before = np.append(0.0, counts[:-1])
        running = np.diff(np.append(0.0, whole)) / (counts - before)
        curve = pd.DataFrame({name: 0.01 for name in results.CURVE}, index=range(len(counts)))
        result.curve = curve.assign(
            samples=counts, running=running, test=-300 + 10 * np.log(counts)
        )
        return result

    table = fingerprints(made(paper, change=smooth), paper).dropna(subset="latent_dim")
    for row in table[table["reading"] == "true"].itertuples():
        run = next(
            r
            for r in budgets(config.load(STUDY))
            if r.latent_dim == row.latent_dim and (r.algorithm == row.algorithm)
        )
        (first, *_), (value, *_) = theirs(paper, run, "train")
        assert row.average == pytest.approx(-300 + 10 * np.log(first) - 10 - value, abs=0.1)
        (first, *_), (value, *_) = theirs(paper, run, "test")
        assert row.test == pytest.approx(-300 + 10 * np.log(first) - value, abs=0.02)


def test_a_reading_under_which_a_seed_diverged_is_not_the_papers(paper):
    def lose(run, result):
        if run.variant == "off" or (run.variant == "true" and run.seed == 0):
            result.attributes.update(status="diverged", reason="ran away")
        return result

    table = fingerprints(made(paper, {"off": 5.0, "small": -2.0}, change=lose), paper)
    off = table[table["reading"] == "off"]
    assert np.isinf(off["score"]).all() and (off["points"] == 0).all() and not off["seeds"].any()
    rows = table.dropna(subset="latent_dim").set_index("reading")
    assert np.isinf(rows.loc["true", "score"]).all() and (rows.loc["true", "diverged"] == 1).all()
    assert rows.loc["small", "closest"].all() and not rows.loc["true", "closest"].any()


def test_the_step_size_and_the_pilot_that_would_have_chosen_it(paper):
    def crossing(run, result):
        """The smaller step is ahead up to 5e5 samples, and off the paper's curve."""
        if run.variant == "small":
            early = result.curve["samples"] < 5e5
            result.curve["running"] += np.where(early, 2.0, -2.0)
            result.curve["test"] += 9.0
        return result

    table = step_sizes(made(paper, change=crossing), paper)
    assert len(table) == 4 and set(table["step_size"]) == {0.02} and set(table["pilot"]) == {0.01}
    for row in table.itertuples():
        run = next(
            run
            for run in budgets(config.load(STUDY))
            if (run.algorithm, run.latent_dim) == (row.algorithm, row.latent_dim)
        )
        counts = np.union1d(theirs(paper, run, "train")[0], theirs(paper, run, "test")[0])
        assert row.needed == counts[counts >= 5e5][0]


def test_the_figure_the_table_and_the_sentence(paper):
    gathered = made(paper, {"off": 50.0, "small": -2.0})
    drawn = draw(gathered, paper)
    words = [text.get_text() for text in drawn.axes[0].texts]
    assert words.count("0.0") == 4 and len(words) == 12
    assert len(drawn.axes[0].patches) == 4  # the frames
    numbers = {
        name: found(place)(gathered, paper)
        for name, place in STUDIES["fingerprints"].numbers(gathered.study).items()
    }
    said = part(gathered, paper, numbers)
    assert "MNIST, AEVB: true (0.00), then small" in said.facts["closest_reading"]
    assert "0.02 for 4 of 4 curves" in said.facts["recovered"]
    assert len(numbers["fingerprints"]) == 12 + 6 and said.sections


def test_a_gathered_file_holds_long_texts_once_and_gives_back_what_runs_hold(tmp_path):
    path = build(tmp_path, {**STUDY, "seeds": [0, 1]})
    gathered = results.read_gathered(path)
    for number, run in enumerate(gathered.runs.values()):
        alone = results.read_run(tmp_path / f"{number}.h5")
        assert alone.attributes == run.attributes
        pd.testing.assert_frame_equal(alone.curve, run.curve, check_dtype=False)
    with h5py.File(path) as file:
        attributes = file["runs"][run.run.name].attrs
        text = file[attributes["code_sha256"]].asstr()[()]
        assert text == run.attributes["code_sha256"] and attributes["algorithm"] == run.algorithm
        assert len(file["texts"]) < len(gathered.runs)


def test_a_study_of_variants_alone_has_curves_and_a_page(tmp_path):
    path = build(tmp_path, {**STUDY, "seeds": [0, 1]})
    gathered = results.read_gathered(path)
    table = results.curves_table(gathered)
    assert set(table["dataset"]) == {"mnist+true", "mnist+off", "mnist+small"}
    assert set(table["figure"]) == {"fingerprints"} and len(table) > 24
    text = render(tmp_path, path, fingerprints=fingerprints(gathered, pd.read_csv(PAPER)))
    assert "24 variants of experiments" in text and "Of the 24 variants none diverged" in text
    assert "0 models" not in text and "grey values / 256" in text
    ids = re.findall(r' id="([^"]*)"', re.sub(r"'data:image[^']*'", "", text))
    assert len(ids) == len(set(ids)) and {"fingerprints", "figure-fingerprints"} <= set(ids)
    assert set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": [0]}, "it must have 2 entries or more"),
        ({"seeds": [0, 7]}, "fingerprints.seeds must be among seeds"),
        ({"readings": {"true": {"initail_sd": 1}}}, "did you mean 'initial_sd'"),
        (
            {"curves": [{"experiment": "mnist", "latent_dims": [3], "readings": ["fasle"]}]},
            "names the reading 'fasle'",
        ),
        (
            {"curves": [{"experiment": "mnist", "latent_dims": [3], "steps": ["off"]}]},
            "'off' must have one step size",
        ),
        (
            {
                "curves": [
                    {
                        "experiment": "mnist",
                        "latent_dims": [3],
                        "readings": ["off"],
                        "steps": ["true"],
                    }
                ]
            },
            "'true', which is not among the readings of its row of mnist",
        ),
    ],
)
def test_wrong_sections_are_a_sentence(change, words):
    with pytest.raises(UserError) as error:
        config.load({**STUDY, "fingerprints": {**STUDY["fingerprints"], **change}})
    assert words in str(error.value)


def test_one_seed_is_too_few():
    with pytest.raises(UserError) as error:
        config.load({**STUDY, "seeds": [0]})
    assert "fingerprints needs two seeds or more" in str(error.value)
