"""Figures 2, 4 and 5 from synthetic results: what is drawn where, and that equal results give equal bytes."""

import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from aevb import config, figures, results
from aevb.errors import UserError

PAPER = Path(__file__).parents[1] / "report" / "paper_curves.csv"
PIXELS = {"mnist": 784, "frey": 560, "digits": 64}
GRID = np.array([100_000, 158_500, 251_200, 398_100, 631_000, 1_000_000])

# Offsets of the synthetic test bounds from the paper's curve, by seed: the mean of seeds 0 and 1 is +1.
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
    "figure2": [{"experiment": "mnist", "latent_dims": [3, 5]}, {"experiment": "frey", "latent_dims": [2]}],
    "figure4": [{"experiment": "frey", "grid": 3}, {"experiment": "mnist", "grid": 4}],
    "figure5": [{"experiment": "mnist", "latent_dims": [2, 5], "grid": 3}],
}

DIGITS = {
    "name": "quick",
    "samples": 1e6,
    "seeds": [0],
    "experiments": {"digits_bernoulli": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 10, "scale": 16}},
    "evaluation": {"points_per_decade": 5},
    "figure2": [{"experiment": "digits_bernoulli", "latent_dims": [2, 3]}],
    "figure4": [{"experiment": "digits_bernoulli", "grid": 3}],
    "figure5": [{"experiment": "digits_bernoulli", "latent_dims": [2], "grid": 3}],
}


def synthetic_run(study, run, number):
    """A made-up run: the paper's test curve (or a straight line) plus an offset, and random decoder weights."""
    experiment = study.experiments[run.experiment]
    paper = pd.read_csv(PAPER)
    chosen = paper[(paper.figure == 2) & (paper.dataset == experiment.dataset) & (paper.latent_dim == run.latent_dim)]
    chosen = chosen[(chosen.algorithm == run.algorithm) & (chosen.split == "test")].sort_values("samples")
    test = np.interp(np.log(GRID), np.log(chosen.samples), chosen.value) if len(chosen) else 10 * np.log(GRID) - 250
    test = test + OFFSETS[run.seed] + np.arange(len(GRID)) * 1e-3  # strictly rising, also below the paper's first point
    curve = pd.DataFrame(
        {"samples": GRID, "train": test + 3, "test": test, "train_se": 0.03, "test_se": 0.04, "running": test - 20, "seconds": GRID / 5000}
    )
    curve = curve.assign(train_kl=12.5, test_kl=0.01 if run.algorithm == "wake_sleep" else 11.5, active_units=2.0)
    random = np.random.RandomState(number)
    outputs = PIXELS[experiment.dataset] * (2 if experiment.likelihood == "gaussian" else 1)
    shapes = {"hidden.weight": (run.latent_dim, 7), "hidden.bias": 7, "output.weight": (7, outputs), "output.bias": outputs}
    attributes = {
        **{"schema": results.SCHEMA, "experiment": run.experiment, "dataset": experiment.dataset, "likelihood": experiment.likelihood},
        **{"algorithm": run.algorithm, "latent_dim": run.latent_dim, "hidden": experiment.hidden, "n_train": 1234, "n_test": 567},
        **{"seed": run.seed, "step_size": 0.02, "status": "completed", "reason": "", "samples": int(GRID[-1]), "config": "{}"},
        **{"data_sha256": "d" * 64, "code_sha256": "c" * 64, "git_commit": "abc123", "git_dirty": False, "threads": 1},
        **{"versions": json.dumps({"torch": "9.8.7"}), "device": "cpu", "processor": "synthetic", "train_seconds": 360.0},
        **{"evaluation_seconds": 36.0, "samples_per_second": 5000.0},
    }
    weights = {f"decoder.{name}": random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return results.RunResult(attributes, curve[list(results.CURVE)], weights)


def diverge(run, value=-1e9):
    """The run as it would be had it diverged at its fourth evaluation with a bound of `value`."""
    run.curve = run.curve.iloc[:4].copy()
    run.curve.loc[3, ["train", "test"]] = value
    run.attributes.update(status="diverged", reason="the bound ran away", samples=int(GRID[3]))
    run.weights = {}
    return run


def build(folder, raw=None, change=None):
    """Write synthetic runs and pilots and gather them; `change(name, run)` may replace a run."""
    study = config.load(STUDY if raw is None else raw)
    paths, pilot_paths = {}, {}
    for number, run in enumerate(study.runs()):
        result = synthetic_run(study, run, number)
        result = change(run.name, result) if change else result
        paths[run.name] = folder / f"{number}.h5"
        results.write_run(paths[run.name], result)
        if run.curve not in pilot_paths:
            bounds = np.array([[-300.0, -215.25], [-290.0, -210.5], [-400.0, np.nan]])
            pilot = results.Pilot(
                run.experiment, run.algorithm, run.latent_dim, 0, 0.02, np.array([0.01, 0.02, 0.1]), GRID[:2], bounds, 72.0
            )
            pilot_paths[run.curve] = folder / f"pilot{number}.h5"
            results.write_pilot(pilot_paths[run.curve], pilot)
    keep = {run.name for run in study.figure_models()}
    results.gather(study.model_dump(mode="json"), paths, pilot_paths, {}, keep, folder / "gathered.h5")
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
    return {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}


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
    assert any("1e6 training samples" in text and "2 seeds" in text and "range" in text for text in texts)
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
    luminance = [np.dot(matplotlib.colors.to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in figures.COLOURS.values()]
    assert abs(luminance[0] - luminance[1]) > 0.2
    assert len(set(figures.MARKERS.values())) == len(figures.MARKERS)


def test_figure2_band_is_the_range_over_seeds(drawing, gathered):
    axis = panel(drawing, "MNIST, $N_z$ = 5")
    assert len(axis.collections) == 4  # two algorithms, two splits
    corners = axis.collections[1].get_paths()[0].vertices  # AEVB, test
    for seed in (0, 1):
        for x, y in gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve[["samples", "test"]].to_numpy():
            assert np.isclose(corners, [x, y]).all(axis=1).any()


def test_the_band_is_one_sd_for_five_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "OFFSETS", {seed: seed**2 / 4 for seed in range(5)})
    drawn = figures.figure2(results.read_gathered(build(tmp_path, {**STUDY, "seeds": list(range(5))})), pd.read_csv(PAPER))
    axis = panel(drawn, "MNIST, $N_z$ = 5")
    mean = lines(axis)["aevb test"].get_ydata()[-1]
    corners = axis.collections[1].get_paths()[0].vertices
    sd = np.std([seed**2 / 4 for seed in range(5)], ddof=1)
    assert np.isclose(corners[:, 1], mean + sd).any() and np.isclose(corners[:, 1], mean - sd).any()
    assert "± 1 sd over 5 seeds" in drawn.get_suptitle()


def test_the_papers_curves_lie_behind_thin_and_pale(drawing):
    paper = pd.read_csv(PAPER)
    for axis, dataset, latent_dim in zip(drawing.axes, ["mnist", "mnist", "frey"], [3, 5, 2], strict=True):
        drawn = lines(axis)
        for algorithm in ("aevb", "wake_sleep"):
            for split in ("train", "test"):
                theirs, ours = drawn[f"paper {algorithm} {split}"], drawn[f"{algorithm} {split}"]
                rows = paper[(paper.figure == 2) & (paper.dataset == dataset) & (paper.latent_dim == latent_dim)]
                rows = rows[(rows.algorithm == algorithm) & (rows.split == split)]
                rows = rows.sort_values("samples")
                np.testing.assert_array_equal(np.column_stack(theirs.get_data()), rows[["samples", "value"]])
                assert theirs.get_zorder() < ours.get_zorder() and theirs.get_linewidth() < ours.get_linewidth()
                assert sum(matplotlib.colors.to_rgb(theirs.get_color())) > sum(matplotlib.colors.to_rgb(ours.get_color()))


def test_the_papers_curves_are_left_out_where_they_do_not_apply(tmp_path):
    raw = {**STUDY, "experiments": {**STUDY["experiments"], "mnist": {**STUDY["experiments"]["mnist"], "binarise": True}}}
    drawn = figures.figure2(results.read_gathered(build(tmp_path, raw)), pd.read_csv(PAPER))
    assert not any(name.startswith("paper") for name in lines(drawn.axes[0]))
    assert any(name.startswith("paper") for name in lines(drawn.axes[2]))


def test_a_diverged_replica_is_marked_and_cannot_squash_the_others(drawing, gathered):
    axis = panel(drawing, "MNIST, $N_z$ = 3")
    low, high = axis.get_ylim()
    assert -260 < low < -150 and -150 < high < -100
    cross = lines(axis)["wake_sleep test diverged"]
    assert cross.get_marker() == "x" and cross.get_xdata()[0] == GRID[3] and cross.get_ydata()[0] == low
    assert any("wake-sleep:\n1 of 2 diverged" in text.get_text() for text in axis.texts)
    # the mean is that of the other replica alone
    np.testing.assert_allclose(lines(axis)["wake_sleep test"].get_ydata(), gathered.runs["mnist/wake_sleep-nz3-seed0"].curve["test"])
    assert not any("diverged" in text.get_text() for text in panel(drawing, "MNIST, $N_z$ = 5").texts)


def test_one_runaway_evaluation_does_not_flatten_a_row(tmp_path):
    def runaway(name, run):
        if name.startswith("frey/aevb"):
            run.curve.loc[5, ["train", "test"]] = 1e8
        return run

    drawn = figures.figure2(results.read_gathered(build(tmp_path, change=runaway)), pd.read_csv(PAPER))
    assert drawn.axes[2].get_ylim()[1] < 5000


def test_all_replicas_diverged(tmp_path):
    path = build(tmp_path, change=lambda name, run: diverge(run, np.nan))
    gathered = results.read_gathered(path)
    drawn = figures.figure2(gathered, pd.read_csv(PAPER))
    assert all("AEVB:\n2 of 2 diverged" in axis.texts[0].get_text() for axis in drawn.axes)
    for drawn in (figures.figure4(gathered), figures.figure5(gathered)):
        assert all("diverged" in axis.texts[0].get_text() for axis in drawn.axes)
    for number in (2, 4, 5):
        figures.draw(number, path, PAPER, [tmp_path / "drawn.png"])


def mean_by_hand(weights, z, pixels):
    """The decoder's mean at one latent point, pixel by pixel from the definition."""
    hidden = [
        np.tanh(sum(z[k] * weights["decoder.hidden.weight"][k, h] for k in range(len(z))) + weights["decoder.hidden.bias"][h])
        for h in range(7)
    ]
    linear = [
        sum(hidden[h] * weights["decoder.output.weight"][h, p] for h in range(7)) + weights["decoder.output.bias"][p] for p in range(pixels)
    ]
    return 1 / (1 + np.exp(-np.array(linear, float)))


@pytest.mark.parametrize(
    ("title", "name", "grid", "shape"),
    [("Frey Face, $N_z$ = 2", "frey/aevb-nz2-seed0", 3, (28, 20)), ("MNIST, $N_z$ = 2", "mnist/aevb-nz2-seed0", 4, (28, 28))],
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
        np.testing.assert_allclose(cell, mean_by_hand(weights, z, height * width).reshape(shape), atol=1e-6)


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


def test_equal_results_give_equal_bytes(path, tmp_path):
    for number in (2, 4, 5):
        first, second = ([tmp_path / f"{turn}{number}.{suffix}" for suffix in ("pdf", "svg", "png")] for turn in "ab")
        figures.draw(number, path, PAPER, first)
        with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "other", "axes.facecolor": "red"}):
            figures.draw(number, path, PAPER, second)
        for a, b in zip(first, second, strict=True):
            assert a.read_bytes() == b.read_bytes(), a.name
            assert a.stat().st_size > 5000
        assert first[0].read_bytes().startswith(b"%PDF") and b"CreationDate" not in first[0].read_bytes()
        image = matplotlib.image.imread(first[2])
        assert image[..., :3].std() > 0.02
    before = matplotlib.rcParams["svg.hashsalt"]
    figures.draw(2, path, PAPER, [tmp_path / "again.svg"])
    assert matplotlib.rcParams["svg.hashsalt"] == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [f"{t}{n}.{s}" for t in "ab" for n in (2, 4, 5) for s in ("pdf", "svg", "png")] + ["again.svg"]
    )


def test_other_results_give_another_picture(path, tmp_path):
    figures.draw(2, path, PAPER, [tmp_path / "a.png"])
    figures.draw(2, build(tmp_path), PAPER, [tmp_path / "b.png"])
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_a_missing_file_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        figures.draw(4, tmp_path / "absent.h5", PAPER, [tmp_path / "a.png"])
    assert not list(tmp_path.iterdir())


def test_drawing_loads_no_torch():
    subprocess.run([sys.executable, "-c", "import sys, aevb.report; sys.exit('torch' in sys.modules)"], check=True)
