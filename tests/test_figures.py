"""The figures from synthetic results: what is drawn where, and that equal results give equal
bytes."""

import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from aevb import config, results
from aevb.core.errors import UserError
from aevb.paper import distance
from aevb.report import figures

PAPER = Path(__file__).parents[1] / "report" / "paper_curves.csv"
PIXELS = {"mnist": 784, "frey": 560, "digits": 64}
GRID = np.array([100_000, 158_500, 251_200, 398_100, 631_000, 1_000_000])

# Offsets of the synthetic test bounds from the paper's curve, by seed: the mean of seeds 0 and 1 is
# +1.
OFFSETS = {0: 0.0, 1: 2.0}

STUDY = {
    "name": "synthetic",
    "samples": 1e6,
    "seeds": [0, 1],
    "experiments": {
        "mnist": {"dataset": "mnist", "likelihood": "bernoulli", "hidden": 500},
        "frey": {"dataset": "frey", "likelihood": "gaussian", "hidden": 200},
    },
    "evaluation": {"points_per_decade": 5},
    "figure2": [
        {"experiment": "mnist", "latent_dims": [3, 5]},
        {"experiment": "frey", "latent_dims": [2]},
    ],
    "figure4": [{"experiment": "frey", "grid": 3}, {"experiment": "mnist", "grid": 4}],
    "figure5": [{"experiment": "mnist", "latent_dims": [2, 5], "grid": 3}],
}

DIGITS = {
    "name": "quick",
    "samples": 1e6,
    "seeds": [0],
    "experiments": {
        "digits_bernoulli": {
            "dataset": "digits",
            "likelihood": "bernoulli",
            "hidden": 10,
            "scale": 16,
        }
    },
    "evaluation": {"points_per_decade": 5},
    "figure2": [{"experiment": "digits_bernoulli", "latent_dims": [2, 3]}],
    "figure4": [{"experiment": "digits_bernoulli", "grid": 3}],
    "figure5": [{"experiment": "digits_bernoulli", "latent_dims": [2], "grid": 3}],
}


# The same with Figure 3 and the study of estimators.
FULL = {
    **STUDY,
    "experiments": {
        **STUDY["experiments"],
        "mnist_1000": {
            "dataset": "mnist",
            "likelihood": "bernoulli",
            "hidden": 100,
            "n_train": 1000,
        },
        "mnist_50000": {"dataset": "mnist", "likelihood": "bernoulli", "hidden": 100},
    },
    "figure3": {"experiments": ["mnist_1000", "mnist_50000"], "samples": 6e7},
    "estimators": {"experiment": "mnist", "latent_dims": [2, 3, 5], "replicates": 4},
}
FULL_DIGITS = {
    **DIGITS,
    "experiments": {
        **DIGITS["experiments"],
        "digits_300": {**DIGITS["experiments"]["digits_bernoulli"], "n_train": 300},
    },
    "figure3": {"experiments": ["digits_300"], "latent_dim": 2, "samples": 3e5},
    "evidence": {"datapoints": 100},
    "estimators": {"experiment": "digits_bernoulli", "latent_dims": [2, 3]},
}

# What the appendix-D estimator adds in the synthetic evidence, and seconds for 1e6 training
# samples.
BIAS = {"train": 0.3, "test": 0.5}
SECONDS = {"aevb": 20.0, "wake_sleep": 30.0, "mcem": 60.0}


def synthetic_run(study, run, number):
    """A made-up run: the paper's test curve (or a straight line) plus an offset, and random
    decoder weights."""
    experiment = study.experiment(run.experiment)
    if figures.in_figure3(study, run.experiment):
        return synthetic_run3(study, run)
    paper = pd.read_csv(PAPER)
    chosen = paper[
        (paper.figure == 2)
        & (paper.dataset == experiment.dataset)
        & (paper.latent_dim == run.latent_dim)
    ]
    chosen = chosen[(chosen.algorithm == run.algorithm) & (chosen.split == "test")].sort_values(
        "samples"
    )
    test = (
        np.interp(np.log(GRID), np.log(chosen.samples), chosen.value)
        if len(chosen)
        else 10 * np.log(GRID) - 250
    )
    test = (
        test + OFFSETS[run.seed] + np.arange(len(GRID)) * 1e-3
    )  # strictly rising, also below the paper's first point
    curve = pd.DataFrame(
        {
            "samples": GRID,
            "train": test + 3,
            "test": test,
            "train_se": 0.03,
            "test_se": 0.04,
            "running": test - 20,
        }
    )
    curve = curve.assign(
        train_kl=12.5, test_kl=0.01 if run.algorithm == "wake_sleep" else 11.5, active_units=2.0
    )
    curve = curve.assign(seconds=GRID * 3.6e-4)[list(results.CURVE)]
    random = np.random.RandomState(number)
    outputs = PIXELS[experiment.dataset] * (2 if experiment.likelihood == "gaussian" else 1)
    shapes = {
        "hidden.weight": (run.latent_dim, 7),
        "hidden.bias": 7,
        "output.weight": (7, outputs),
        "output.bias": outputs,
    }
    attributes = synthetic_attributes(experiment, run, int(GRID[-1]))
    weights = {
        f"decoder.{name}": random.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return results.RunResult(attributes, curve, weights)


def synthetic_attributes(experiment, run, samples):
    return {
        **{
            "schema": results.SCHEMA,
            "experiment": run.experiment,
            "dataset": experiment.dataset,
            "likelihood": experiment.likelihood,
        },
        **{
            "algorithm": run.algorithm,
            "latent_dim": run.latent_dim,
            "hidden": experiment.hidden,
            "n_train": 1234,
            "n_test": 567,
        },
        **{
            "seed": run.seed,
            "step_size": 0.02,
            "status": "completed",
            "reason": "",
            "samples": samples,
            "config": "{}",
        },
        **{
            "data_sha256": "d" * 64,
            "code_sha256": "c" * 64,
            "git_commit": "abc123",
            "git_dirty": False,
            "threads": 1,
        },
        **{
            "versions": json.dumps({"torch": "9.8.7"}),
            "device": "cpu",
            "processor": "synthetic",
            "train_seconds": 360.0,
        },
        **{"evaluation_seconds": 36.0, "samples_per_second": 5000.0},
    }


def synthetic_run3(study, run):
    """A made-up run of Figure 3, evaluated at counts that its algorithm can reach; seed 1 takes
    a tenth more time."""
    experiment, budget = study.experiments[run.experiment], study.budget(run)
    unit = 15 * figures.training_points(experiment) if run.algorithm == "mcem" else 100
    wanted = np.unique(
        np.concatenate([budget * np.array([0.005, 1 / 60, 0.05]), np.linspace(0.1, 1, 10) * budget])
    )
    samples = np.unique(np.maximum(np.round(wanted / unit), 1).astype(int) * unit)
    seconds = samples * 1e-6 * SECONDS[run.algorithm] * (1 + 0.1 * run.seed)
    curve = pd.DataFrame({name: np.nan for name in results.CURVE}, index=range(len(samples)))
    curve = curve.assign(samples=samples, seconds=seconds, running=-250.0)
    if run.algorithm != "mcem":
        curve = curve.assign(
            train=-150.0,
            test=-151.0,
            train_se=0.03,
            test_se=0.04,
            train_kl=9.0,
            test_kl=8.0,
            active_units=3.0,
        )
    attributes = synthetic_attributes(experiment, run, int(samples[-1]))
    return results.RunResult({**attributes, "n_train": figures.training_points(experiment)}, curve)


def synthetic_evidence(study, run, result):
    """Made-up log p(x) of a run of Figure 3: the paper's curve (where it has none, a rising one)
    plus an offset."""
    samples, frames, paper = result.curve["samples"].to_numpy(float), [], pd.read_csv(PAPER)
    for split in ("train", "test"):
        chosen = paper[
            (paper.figure == 3)
            & (paper.n_train == result.n_train)
            & (paper.algorithm == run.algorithm)
        ]
        chosen = chosen[chosen.split == split].sort_values("samples")
        value = 20 * np.log10(samples) - 300
        if len(chosen):
            rise = np.minimum(0, np.log(samples / chosen.samples.iloc[0])) * 25
            value = np.interp(np.log(samples), np.log(chosen.samples), chosen.value) + rise
        value = value + OFFSETS[run.seed]
        frame = pd.DataFrame(
            {
                "samples": samples,
                "seconds": result.curve["seconds"],
                "split": split,
                "importance": value,
            }
        )
        frame = frame.assign(
            importance_se=0.02,
            hmc=value + BIAS[split],
            hmc_se=0.05,
            quadrature=np.nan,
            efficiency=0.4,
            khat_bad=0.01,
        )
        frame = frame.assign(
            quadrature_error=1e-4, divergences=2.0, acceptance=0.91, rhat=1.01, chain_ess=33.0
        )
        frame.loc[len(frame) - 1, "quadrature"] = value[-1] + (0.01 if split == "train" else -0.03)
        frames.append(frame)
    return results.Table(
        pd.concat(frames, ignore_index=True)[list(results.EVIDENCE)],
        {"config": "{}", "seconds": 180.0},
    )


def synthetic_estimators(study, run):
    """Made-up biases of a model: they fall with the number of samples and grow with N_z."""
    rows = []
    for data in ("test", "simulated"):
        sizes = {
            "hmc_kde": 4,
            "hmc_gaussian": 9,
            "importance": -0.5,
            "importance_hmc": -0.2,
            "ais": -1.0,
            "ais_backward": 1.0,
        }
        for estimator, size in sizes.items():
            for samples in (
                study.estimators.draws if estimator != "ais_backward" or data == "simulated" else ()
            ):
                scale = run.latent_dim**2 / samples**0.7
                place = {
                    "latent_dim": run.latent_dim,
                    "data": data,
                    "estimator": estimator,
                    "samples": samples,
                }
                graded = {
                    "bias": size * scale,
                    "bias_se": 0.05 * abs(size) * scale,
                    "spread": 0.6 * abs(size) * scale,
                    "seconds": 0.01,
                }
                truth = "quadrature" if run.latent_dim <= 3 else "ais, 10000 samples"
                rows.append(
                    {
                        **place,
                        **graded,
                        "reference": truth,
                        "reference_value": -130.0,
                        "reference_se": 0.01,
                    }
                )
    return results.Table(
        pd.DataFrame(rows)[list(results.ESTIMATORS)], {"config": "{}", "seconds": 90.0}
    )


def synthetic_encoded(study, run, number):
    """Made-up encoded test points: draws of the prior, with digits or frames."""
    what = "frame" if study.experiments[run.experiment].dataset == "frey" else "digit"
    z = np.random.RandomState(number).standard_normal((60, 2))
    frame = pd.DataFrame(
        {"z1": z[:, 0], "z2": z[:, 1], "label": np.arange(60.0) % (1000 if what == "frame" else 10)}
    )
    return results.Table(
        frame,
        {
            "config": json.dumps({"points": 60, "label": what}),
            "seconds": 1.0,
            "code_sha256": "e" * 64,
            "git_commit": "abc123",
            "git_dirty": False,
        },
    )


def diverge(run, value=-1e9):
    """The run as it would be had it diverged at its fourth evaluation with a bound of `value`."""
    run.curve = run.curve.iloc[:4].copy()
    run.curve.loc[3, ["train", "test"]] = value
    run.attributes.update(status="diverged", reason="the bound ran away", samples=int(GRID[3]))
    run.weights = {}
    return run


def build(folder, raw=None, change=None, baselines=None):
    """Write synthetic runs and pilots and gather them, with `baselines`; `change(name, run)` may
    replace a run."""
    study = config.load(STUDY if raw is None else raw)
    paths, pilot_paths, tables = {}, {}, {kind: {} for kind in results.TABLES}
    for number, run in enumerate(study.runs()):
        result = synthetic_run(study, run, number)
        result = change(run.name, result) if change else result
        paths[run.name] = folder / f"{number}.h5"
        results.write_run(paths[run.name], result)
        made = {}
        if figures.in_figure3(study, run.experiment):
            made["evidence"] = synthetic_evidence(study, run, result)
        if run in study.estimator_models():
            made["estimators"] = synthetic_estimators(study, run)
        if run in study.figure4_models():
            made["encoded"] = synthetic_encoded(study, run, number)
        if result.status == "diverged":  # as estimates.py has it: no rows
            made = {
                kind: results.Table(table.frame[:0], table.attributes)
                for kind, table in made.items()
            }
        for kind, table in made.items():
            tables[kind][run.name] = folder / f"{kind}{number}.h5"
            results.write_table(tables[kind][run.name], table)
        if run.curve not in pilot_paths:
            bounds = np.array([[-300.0, -215.25], [-290.0, -210.5], [-400.0, np.nan]])
            pilot = results.Pilot(
                run.experiment,
                run.algorithm,
                run.latent_dim,
                0,
                0.02,
                np.array([0.01, 0.02, 0.1]),
                GRID[:2],
                bounds,
                72.0,
            )
            pilot_paths[run.curve] = folder / f"pilot{number}.h5"
            results.write_pilot(pilot_paths[run.curve], pilot)
    keep = {run.name for run in study.figure_models()}
    results.gather(
        study.model_dump(mode="json"),
        paths,
        pilot_paths,
        tables,
        keep,
        folder / "gathered.h5",
        baselines,
    )
    return folder / "gathered.h5"


def one_diverged(name, run):
    return diverge(run) if name == "mnist/wake_sleep-nz3-seed1" else run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"), change=one_diverged)


@pytest.fixture(scope="module")
def gathered(path):
    return results.read_gathered(path)


@pytest.fixture(scope="module")
def drawing(gathered):
    return figures.figure2(gathered, pd.read_csv(PAPER))


def panel(figure, title):
    return next(axis for axis in figure.axes if axis.get_title() == title)


def lines(axis):
    return {
        line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")
    }


def picture(axis):
    return np.asarray(axis.get_images()[0].get_array())


def test_figure2_has_the_papers_arrangement(drawing):
    titles = [axis.get_title() for axis in drawing.axes]
    assert titles == ["MNIST, $N_z$ = 3", "MNIST, $N_z$ = 5", "Frey Face, $N_z$ = 2"]
    top, right, bottom = (axis.get_position() for axis in drawing.axes)
    assert top.y0 > bottom.y1 and right.x0 > top.x1 and abs(bottom.x0 - top.x0) < 1e-6
    assert all(axis.get_xscale() == "log" for axis in drawing.axes)
    assert drawing.axes[0].get_ylim() == drawing.axes[1].get_ylim()
    texts = [text.get_text() for text in drawing.texts] + [drawing.get_suptitle()]
    assert "# training samples evaluated" in texts
    assert any(
        "1e6 training samples" in text and "2 seeds" in text and "range" in text for text in texts
    )
    assert len(drawing.legends) == 1 and not any(axis.get_legend() for axis in drawing.axes)


@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_figure2_lines_are_means_over_seeds_in_the_right_style(drawing, gathered, algorithm, split):
    line = lines(panel(drawing, "MNIST, $N_z$ = 5"))[f"{algorithm} {split}"]
    runs = [gathered.runs[f"mnist/{algorithm}-nz5-seed{seed}"].curve for seed in (0, 1)]
    np.testing.assert_allclose(line.get_xdata(), GRID)
    np.testing.assert_allclose(line.get_ydata(), (runs[0][split] + runs[1][split]) / 2)
    assert line.get_linestyle() == ("-" if split == "train" else "--")
    red, green, _ = matplotlib.colors.to_rgb(line.get_color())
    assert (red > 2 * green) if algorithm == "aevb" else (green > 2 * red)


def test_colours_differ_in_lightness_and_markers_in_form():
    lightness = []
    for colour in figures.COLOURS.values():  # CIE L*, from 0 to 100
        linear = [
            (part + 0.055) ** 2.4 / 1.055**2.4 if part > 0.04 else part / 12.92
            for part in matplotlib.colors.to_rgb(colour)
        ]
        lightness.append(116 * np.dot(linear, [0.2126, 0.7152, 0.0722]) ** (1 / 3) - 16)
    assert np.diff(sorted(lightness)).min() > 15
    assert len(set(figures.MARKERS.values())) == len(figures.MARKERS)


def test_figure2_band_is_the_range_over_seeds(drawing, gathered):
    axis = panel(drawing, "MNIST, $N_z$ = 5")
    assert len(axis.collections) == 4  # two algorithms, two splits
    corners = axis.collections[1].get_paths()[0].vertices  # AEVB, test
    for seed in (0, 1):
        for x, y in (
            gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve[["samples", "test"]].to_numpy()
        ):
            assert np.isclose(corners, [x, y]).all(axis=1).any()


def test_the_band_is_one_sd_for_five_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "OFFSETS", {seed: seed**2 / 4 for seed in range(5)})
    drawn = figures.figure2(
        results.read_gathered(build(tmp_path, {**STUDY, "seeds": list(range(5))})),
        pd.read_csv(PAPER),
    )
    axis = panel(drawn, "MNIST, $N_z$ = 5")
    mean = lines(axis)["aevb test"].get_ydata()[-1]
    corners = axis.collections[1].get_paths()[0].vertices
    sd = np.std([seed**2 / 4 for seed in range(5)], ddof=1)
    assert np.isclose(corners[:, 1], mean + sd).any() and np.isclose(corners[:, 1], mean - sd).any()
    assert "± 1 sd over 5 seeds" in drawn.get_suptitle()


def test_the_papers_curves_lie_behind_thin_and_pale(drawing):
    paper = pd.read_csv(PAPER)
    for axis, dataset, latent_dim in zip(
        drawing.axes, ["mnist", "mnist", "frey"], [3, 5, 2], strict=True
    ):
        drawn = lines(axis)
        for algorithm in ("aevb", "wake_sleep"):
            for split in ("train", "test"):
                theirs, ours = drawn[f"paper {algorithm} {split}"], drawn[f"{algorithm} {split}"]
                rows = paper[
                    (paper.figure == 2)
                    & (paper.dataset == dataset)
                    & (paper.latent_dim == latent_dim)
                ]
                rows = rows[(rows.algorithm == algorithm) & (rows.split == split)]
                rows = rows.sort_values("samples")
                np.testing.assert_array_equal(
                    np.column_stack(theirs.get_data()), rows[["samples", "value"]]
                )
                assert (
                    theirs.get_zorder() < ours.get_zorder()
                    and theirs.get_linewidth() < ours.get_linewidth()
                )
                assert sum(matplotlib.colors.to_rgb(theirs.get_color())) > sum(
                    matplotlib.colors.to_rgb(ours.get_color())
                )


def test_the_papers_curves_are_left_out_where_they_do_not_apply(tmp_path):
    raw = {
        **STUDY,
        "experiments": {
            **STUDY["experiments"],
            "mnist": {**STUDY["experiments"]["mnist"], "binarise": True},
        },
    }
    drawn = figures.figure2(results.read_gathered(build(tmp_path, raw)), pd.read_csv(PAPER))
    assert not any(name.startswith("paper") for name in lines(drawn.axes[0]))
    assert any(name.startswith("paper") for name in lines(drawn.axes[2]))


def test_a_diverged_replica_is_marked_and_cannot_squash_the_others(drawing, gathered):
    axis = panel(drawing, "MNIST, $N_z$ = 3")
    low, high = axis.get_ylim()
    assert -260 < low < -150 and -150 < high < -100
    cross = lines(axis)["wake_sleep test diverged"]
    assert (
        cross.get_marker() == "x"
        and cross.get_xdata()[0] == GRID[3]
        and cross.get_ydata()[0] == low
    )
    assert any("wake-sleep:\n1 of 2 diverged" in text.get_text() for text in axis.texts)
    # the mean is that of the other replica alone
    np.testing.assert_allclose(
        lines(axis)["wake_sleep test"].get_ydata(),
        gathered.runs["mnist/wake_sleep-nz3-seed0"].curve["test"],
    )
    assert not any(
        "diverged" in text.get_text() for text in panel(drawing, "MNIST, $N_z$ = 5").texts
    )


def test_one_runaway_evaluation_does_not_flatten_a_row(tmp_path):
    def runaway(name, run):
        if name.startswith("frey/aevb"):
            run.curve.loc[5, ["train", "test"]] = 1e8
        return run

    drawn = figures.figure2(
        results.read_gathered(build(tmp_path, change=runaway)), pd.read_csv(PAPER)
    )
    assert drawn.axes[2].get_ylim()[1] < 5000


def test_figure2_shows_the_bound_that_ignores_z(drawing, tmp_path):
    baselines = {
        "mnist": {"train": -500.0, "test": -499.6},
        "frey": {"train": 680.0, "test": 670.0},
    }
    gathered = results.read_gathered(build(tmp_path, baselines=baselines))
    assert gathered.baselines == baselines
    drawn = figures.figure2(gathered, pd.read_csv(PAPER))
    found = lines(panel(drawn, "Frey Face, $N_z$ = 2"))
    for split in ("train", "test"):
        assert set(found[f"ignoring z {split}"].get_ydata()) == {baselines["frey"][split]}
        assert found[f"ignoring z {split}"].get_zorder() < found[f"aevb {split}"].get_zorder()
    for title in ("MNIST, $N_z$ = 3", "MNIST, $N_z$ = 5"):  # below the axis
        assert any(text.get_text() == "↓ ignoring z: −500" for text in panel(drawn, title).texts)
        assert not any(name.startswith("ignoring") for name in lines(panel(drawn, title)))
    assert "ignoring z" in [text.get_text() for text in drawn.legends[0].get_texts()]
    assert not any(
        "ignoring" in text.get_text() for axis in drawing.axes for text in axis.texts
    )  # results without baselines


def test_all_replicas_diverged(tmp_path):
    path = build(tmp_path, change=lambda name, run: diverge(run, np.nan))
    gathered = results.read_gathered(path)
    drawn = figures.figure2(gathered, pd.read_csv(PAPER))
    assert all("AEVB:\n2 of 2 diverged" in axis.texts[0].get_text() for axis in drawn.axes)
    for drawn in (figures.figure4(gathered), figures.figure5(gathered)):
        assert all("diverged" in axis.texts[0].get_text() for axis in drawn.axes)
    for name in config.load(STUDY).figures:
        figures.draw(name, path, PAPER, [tmp_path / "drawn.png"])


def mean_by_hand(weights, z, pixels):
    """The decoder's mean at one latent point, pixel by pixel from the definition."""
    hidden = [
        np.tanh(
            sum(z[k] * weights["decoder.hidden.weight"][k, h] for k in range(len(z)))
            + weights["decoder.hidden.bias"][h]
        )
        for h in range(7)
    ]
    linear = [
        sum(hidden[h] * weights["decoder.output.weight"][h, p] for h in range(7))
        + weights["decoder.output.bias"][p]
        for p in range(pixels)
    ]
    return 1 / (1 + np.exp(-np.array(linear, float)))


@pytest.mark.parametrize(
    ("title", "name", "grid", "shape"),
    [
        ("Frey Face, $N_z$ = 2", "frey/aevb-nz2-seed0", 3, (28, 20)),
        ("MNIST, $N_z$ = 2", "mnist/aevb-nz2-seed0", 4, (28, 28)),
    ],
)
def test_figure4_tiles_are_decoder_means_at_the_grid(gathered, title, name, grid, shape):
    drawn = figures.figure4(gathered)
    assert [axis.get_title() for axis in drawn.axes] == ["Frey Face, $N_z$ = 2", "MNIST, $N_z$ = 2"]
    image = picture(panel(drawn, title))
    height, width = shape
    assert image.shape == (grid * height, grid * width)
    weights = gathered.runs[name].weights
    for row, column in ((0, grid - 1), (grid - 1, 0), (1, 2)):
        # the first coordinate grows to the right, the second upwards
        z = norm.ppf([(column + 0.5) / grid, 1 - (row + 0.5) / grid])
        cell = image[row * height : (row + 1) * height, column * width : (column + 1) * width]
        np.testing.assert_allclose(
            cell, mean_by_hand(weights, z, height * width).reshape(shape), atol=1e-6
        )


def test_figure5_tiles_are_decoded_draws_of_the_prior(gathered):
    drawn = figures.figure5(gathered)
    assert [axis.get_title() for axis in drawn.axes] == ["MNIST, $N_z$ = 2", "MNIST, $N_z$ = 5"]
    for axis, latent_dim in zip(drawn.axes, (2, 5), strict=True):
        z = np.random.RandomState(0).standard_normal((9, latent_dim))[5]
        cell = picture(axis)[28:56, 56:84]  # second row, third column: the sixth draw
        expected = mean_by_hand(gathered.runs[f"mnist/aevb-nz{latent_dim}-seed0"].weights, z, 784)
        np.testing.assert_allclose(cell, expected.reshape(28, 28), atol=1e-6)
        assert picture(axis).std() > 0.05


def test_an_image_is_upright():
    image = np.zeros((1, 784))
    image[0, 3] = 1  # first row, fourth column
    assert figures.tile(image, 1, (28, 28))[0, 3] == 1


@pytest.fixture(scope="module")
def full_path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("full"), FULL)


@pytest.fixture(scope="module")
def full(full_path):
    return results.read_gathered(full_path)


@pytest.fixture(scope="module")
def third(full):
    return figures.figure3(full, pd.read_csv(PAPER))


def test_figure3_has_the_papers_arrangement(third):
    first, second, *timed = third.axes
    titles = [f"MNIST, $N_z$ = 3, $N_\\mathrm{{train}}$ = {n}" for n in (1000, 50000)]
    assert [first.get_title(), second.get_title()] == titles
    for axis in (first, second):
        assert (
            axis.get_xscale() == "linear"
            and axis.get_xlim() == (0, 1.02 * 6e7)
            and axis.get_xlabel() == "# training samples evaluated"
        )
    assert len(timed) == 2 and all(
        axis.get_xscale() == "log" and axis.get_xlabel() == "seconds of training" for axis in timed
    )
    assert first.get_ylabel() == timed[0].get_ylabel() == "log p(x), nats per datapoint"
    assert (
        len({axis.get_ylim() for axis in third.axes})
        == len({axis.get_xlim() for axis in timed})
        == 1
    )
    low, high = first.get_ylim()
    assert -185 < low < -160 and -110 < high < -95  # Monte Carlo EM starts far below
    head = third.get_suptitle()
    assert (
        "Budget: 6e7" in head
        and "range (min to max) over 2 seeds" in head
        and "one replica on synthetic, 1 thread" in head
    )


@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep", "mcem"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_figure3_lines_are_means_of_the_evidence(third, full, algorithm, split):
    for column, name in enumerate(("mnist_1000", "mnist_50000")):
        tables = [full.evidence[f"{name}/{algorithm}-nz3-seed{seed}"].frame for seed in (0, 1)]
        ours = [table[table.split == split].sort_values("samples") for table in tables]
        for row, x in enumerate(("samples", "seconds")):
            line = lines(third.axes[2 * row + column])[f"{algorithm} {split}"]
            np.testing.assert_allclose(
                line.get_xdata(), (ours[0][x].to_numpy() + ours[1][x].to_numpy()) / 2
            )
            np.testing.assert_allclose(
                line.get_ydata(),
                (ours[0].importance.to_numpy() + ours[1].importance.to_numpy()) / 2,
            )
            assert (
                line.get_linestyle() == ("-" if split == "train" else "--")
                and line.get_marker() == figures.MARKERS[algorithm]
            )


def test_the_paper_lies_behind_figure3_above_alone(third):
    paper = pd.read_csv(PAPER)
    for axis, n_train in zip(third.axes[:2], (1000, 50000), strict=True):
        for algorithm in figures.ALGORITHMS:
            for split in ("train", "test"):
                theirs, ours = (
                    lines(axis)[f"paper {algorithm} {split}"],
                    lines(axis)[f"{algorithm} {split}"],
                )
                rows = paper[
                    (paper.figure == 3)
                    & (paper.n_train == n_train)
                    & (paper.algorithm == algorithm)
                    & (paper.split == split)
                ]
                np.testing.assert_array_equal(
                    np.column_stack(theirs.get_data()),
                    rows.sort_values("samples")[["samples", "value"]],
                )
                assert (
                    theirs.get_zorder() < ours.get_zorder()
                    and theirs.get_linewidth() < ours.get_linewidth()
                )
    assert not any(name.startswith("paper") for axis in third.axes[2:] for name in lines(axis))


@pytest.mark.parametrize(
    ("name", "value"), [("binarise", True), ("n_train", 2000), ("dequantise", True)]
)
def test_other_data_than_the_papers_have_no_curve_of_it(name, value):
    raw = {
        **FULL,
        "experiments": {
            k: {**v, name: value} if k == "mnist_1000" else v
            for k, v in FULL["experiments"].items()
        },
    }
    study, paper = config.load(raw), pd.read_csv(PAPER)
    assert figures.paper_curve(paper, study, "mnist_1000", 3, "aevb", "test") is None
    assert len(figures.paper_curve(paper, study, "mnist_50000", 3, "aevb", "test")) == 81
    assert figures.paper_curve(paper, study, "mnist_50000", 5, "aevb", "test") is None
    fewer = config.load(
        {
            **STUDY,
            "experiments": {k: {**v, "n_train": 1000} for k, v in STUDY["experiments"].items()},
        }
    )
    assert figures.paper_curve(paper, fewer, "mnist", 3, "aevb", "test") is None


def lost_in_figure3(name, run):
    """Replicas lost: one of Figure 3, and a model of the study of estimators."""
    if name in ("mnist_50000/wake_sleep-nz3-seed1", "mnist/aevb-nz2-seed0"):
        run.attributes.update(
            status="diverged", reason="the bound ran away", samples=20_000_000, train_seconds=100.0
        )
        run.weights = {}
    return run


def test_a_diverged_replica_of_figure3_is_a_cross_at_the_edge(tmp_path):
    gathered = results.read_gathered(build(tmp_path, FULL, lost_in_figure3))
    drawn = figures.figure3(gathered, pd.read_csv(PAPER))
    above, timed = drawn.axes[1], drawn.axes[3]
    for axis, x in ((above, 2e7), (timed, 100.0)):
        cross = lines(axis)["wake_sleep test diverged"]
        assert (
            cross.get_marker() == "x"
            and cross.get_xdata()[0] == x
            and cross.get_ydata()[0] == axis.get_ylim()[0]
        )
        frame = gathered.evidence["mnist_50000/wake_sleep-nz3-seed0"].frame
        np.testing.assert_allclose(
            lines(axis)["wake_sleep test"].get_ydata(), frame[frame.split == "test"].importance
        )
    assert [text.get_text() for text in above.texts] == ["wake-sleep:\n1 of 2 diverged"]
    column = figures.estimators(gathered).axes[0]
    assert any("diverged" in text.get_text() for text in column.texts)


def test_figure3_with_all_replicas_diverged_or_without_estimates_is_drawn(tmp_path):
    def lose(name, run):
        run.attributes.update(status="diverged", reason="the bound ran away")
        return run

    (tmp_path / "lost").mkdir()
    gathered = results.read_gathered(build(tmp_path / "lost", FULL, lose))
    assert not gathered.evidence and not gathered.estimators
    assert len(figures.figure3(gathered, pd.read_csv(PAPER)).axes) == 4
    assert all("diverged" in axis.texts[0].get_text() for axis in figures.estimators(gathered).axes)
    gathered = results.read_gathered(build(tmp_path, FULL))
    for table in gathered.evidence.values():
        table.frame[["importance", "hmc"]] = np.nan
    assert len(figures.figure3(gathered, pd.read_csv(PAPER)).axes) == 4


def test_a_stand_in_has_a_figure3_without_the_papers_curves(tmp_path):
    gathered = results.read_gathered(build(tmp_path, FULL_DIGITS))
    drawn = figures.figure3(gathered, pd.read_csv(PAPER))
    assert drawn.axes[0].get_title() == "digits, $N_z$ = 2, $N_\\mathrm{train}$ = 300"
    assert not any(name.startswith("paper") for axis in drawn.axes for name in lines(axis))
    assert len(lines(drawn.axes[0])) == 6 and drawn.axes[0].get_xlim() == (
        0,
        1.02 * 301_500,
    )  # whole iterations
    assert "1 seed" in drawn.get_suptitle()


def test_the_distance_has_a_panel_for_each_of_the_papers(full):
    drawn = figures.distance(full, pd.read_csv(PAPER))
    titles = ["MNIST, $N_z$ = 3", "MNIST, $N_z$ = 5", "Frey Face, $N_z$ = 2"]
    titles += [f"MNIST, $N_z$ = 3\n$N_\\mathrm{{train}}$ = {n}" for n in (1000, 50000)]
    assert [axis.get_title() for axis in drawn.axes] == titles
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "AEVB",
        "wake-sleep",
        "MCEM",
        "train",
        "test",
    ]
    table = distance.differences(full, pd.read_csv(PAPER))
    for axis, (experiment, latent_dim) in zip(
        drawn.axes, [("mnist", 3), ("mnist", 5), ("frey", 2)], strict=False
    ):
        for algorithm in ("aevb", "wake_sleep"):
            line = lines(axis)[f"{algorithm} test moment"]
            rows = table[
                (table["experiment"] == experiment)
                & (table["latent_dim"] == latent_dim)
                & (table["algorithm"] == algorithm)
            ]
            np.testing.assert_allclose(
                np.column_stack(line.get_data()),
                rows[rows["split"] == "test"][["samples", "difference"]],
            )
            assert line.get_ydata()[-1] == pytest.approx(
                1.005
            )  # the paper's curve moved by 1 on average over seeds, and a little
        assert {
            f"{a} train {reading}"
            for a in ("aevb", "wake_sleep")
            for reading in ("moment", "average")
        } <= set(lines(axis))
        heights = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in axis.collections]
        assert len(heights) == 4 and min(heights) > 2 * np.sqrt(2) - 1e-6
    for axis in drawn.axes[3:]:
        assert len(lines(axis)) == 6 and axis.get_xscale() == "log"


def test_the_distance_of_a_stand_in_is_empty_panels(tmp_path):
    drawn = figures.distance(
        results.read_gathered(build(tmp_path, FULL_DIGITS)), pd.read_csv(PAPER)
    )
    assert len(drawn.axes) == 3 and all(
        "no such curve" in axis.texts[0].get_text() for axis in drawn.axes
    )


def test_estimators_are_drawn_against_their_reference(full):
    drawn = figures.estimators(full)
    grid = np.array(drawn.axes).reshape(3, 3)
    assert [axis.get_title() for axis in grid[0]] == ["$N_z$ = 2", "$N_z$ = 3", "$N_z$ = 5"]
    for column, latent_dim in enumerate((2, 3, 5)):
        table = full.estimators[f"mnist/aevb-nz{latent_dim}-seed0"].frame
        for row, (data, value) in enumerate(
            [("test", "bias"), ("simulated", "bias"), ("test", "spread")]
        ):
            axis, part = grid[row, column], table[table.data == data]
            assert axis.get_xscale() == "log" and any(
                list(line.get_xdata()) == [50, 50] for line in axis.get_lines()
            )
            drawn_lines = {
                name: line for name, line in lines(axis).items() if name in figures.ESTIMATORS
            }
            assert set(drawn_lines) == set(
                part.estimator
            )  # backward annealing on simulated points alone
            for name, line in drawn_lines.items():
                np.testing.assert_allclose(
                    np.column_stack(line.get_data()),
                    part[part.estimator == name][["samples", value]],
                )
        reference = "0: quadrature" if latent_dim < 5 else "0: ais, 10000 samples"
        assert all(axis.texts[0].get_text() == reference for axis in grid[:2, column])
    bar = grid[0, 0].collections[0].get_segments()[0]  # one standard error to each side
    first = full.estimators["mnist/aevb-nz2-seed0"].frame.iloc[0]
    np.testing.assert_allclose(bar[:, 1], [first.bias - first.bias_se, first.bias + first.bias_se])
    assert len(set(figures.ESTIMATORS)) == len(
        {(colour, marker) for _, colour, marker, _ in figures.ESTIMATORS.values()}
    )


def test_equal_results_give_equal_bytes(full_path, tmp_path):
    for name in config.load(FULL).figures:
        first, second = (
            [tmp_path / f"{turn}-{name}.{suffix}" for suffix in ("pdf", "svg", "png")]
            for turn in "ab"
        )
        figures.draw(name, full_path, PAPER, first)
        with matplotlib.rc_context(
            {"font.size": 20, "svg.hashsalt": "other", "axes.facecolor": "red"}
        ):
            figures.draw(name, full_path, PAPER, second)
        for a, b in zip(first, second, strict=True):
            assert a.read_bytes() == b.read_bytes(), a.name
            assert a.stat().st_size > 5000
        assert (
            first[0].read_bytes().startswith(b"%PDF")
            and b"CreationDate" not in first[0].read_bytes()
        )
        image = matplotlib.image.imread(first[2])
        assert image[..., :3].std() > 0.02
    before = matplotlib.rcParams["svg.hashsalt"]
    figures.draw("figure2", full_path, PAPER, [tmp_path / "again.svg"])
    assert matplotlib.rcParams["svg.hashsalt"] == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [
            f"{t}-{n}.{s}"
            for t in "ab"
            for n in config.load(FULL).figures
            for s in ("pdf", "svg", "png")
        ]
        + ["again.svg"]
    )


def test_figures_that_a_study_does_not_ask_for_are_not_its_own():
    assert config.load(STUDY).figures == ["figure2", "distance", "figure4", "figure5"]
    assert config.load(FULL).figures == [
        "figure2",
        "distance",
        "figure3",
        "figure4",
        "figure5",
        "estimators",
    ]


def test_other_results_give_another_picture(path, tmp_path):
    figures.draw("figure2", path, PAPER, [tmp_path / "a.png"])
    figures.draw("figure2", build(tmp_path), PAPER, [tmp_path / "b.png"])
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_a_missing_file_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        figures.draw("figure4", tmp_path / "absent.h5", PAPER, [tmp_path / "a.png"])
    assert not list(tmp_path.iterdir())


def test_drawing_loads_no_torch():
    subprocess.run(
        [sys.executable, "-c", "import sys, aevb.report; sys.exit('torch' in sys.modules)"],
        check=True,
    )
