"""The figures from synthetic results: what is drawn where, and that equal results give equal
bytes."""

import re
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.figure import Figure
from scipy.stats import norm
from synthetic import (
    FULL,
    FULL_DIGITS,
    GRID,
    PAPER,
    STUDY,
    build,
    diverge,
    draw,
    lines,
    lost_in_figure3,
    one_diverged,
    panel,
)

from aevb import config, results
from aevb.core.errors import UserError
from aevb.learners import LEARNERS, appearance
from aevb.marginal import ESTIMATORS
from aevb.marginal import appearance as look
from aevb.paper import distance
from aevb.paper.curves import paper_curve
from aevb.pipeline import plan
from aevb.report import pictures
from aevb.report.style import mark_hidden
from aevb.results.curves import ignoring_z
from aevb.studies.estimators.figures import estimators
from aevb.studies.figure2.figures import figure2
from aevb.studies.figure3.figures import figure3
from aevb.studies.figure4.figures import figure4
from aevb.studies.figure5.figures import figure5
from aevb.studies.paper.figures import distance as drawn_distance


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"), change=one_diverged)


@pytest.fixture(scope="module")
def gathered(path):
    return results.read_gathered(path)


@pytest.fixture(scope="module")
def drawing(gathered):
    return figure2(gathered, pd.read_csv(PAPER))


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
    for colour in (appearance(key).colour for key in LEARNERS):  # CIE L*, from 0 to 100
        linear = [
            (part + 0.055) ** 2.4 / 1.055**2.4 if part > 0.04 else part / 12.92
            for part in matplotlib.colors.to_rgb(colour)
        ]
        lightness.append(116 * np.dot(linear, [0.2126, 0.7152, 0.0722]) ** (1 / 3) - 16)
    assert np.diff(sorted(lightness)).min() > 15
    assert len({appearance(key).marker for key in LEARNERS}) == len([*LEARNERS])


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
    monkeypatch.setattr(synthetic, "OFFSETS", {seed: seed**2 / 4 for seed in range(5)})
    drawn = figure2(
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
    drawn = figure2(results.read_gathered(build(tmp_path, raw)), pd.read_csv(PAPER))
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

    drawn = figure2(results.read_gathered(build(tmp_path, change=runaway)), pd.read_csv(PAPER))
    assert drawn.axes[2].get_ylim()[1] < 5000


def test_figure2_shows_the_bound_that_ignores_z(drawing, tmp_path):
    baselines = {
        "mnist": {"train": -500.0, "test": -499.6},
        "frey": {"train": 680.0, "test": 670.0},
    }
    gathered = results.read_gathered(build(tmp_path, baselines=baselines))
    assert {name: ignoring_z(gathered, name) for name in baselines} == baselines
    drawn = figure2(gathered, pd.read_csv(PAPER))
    found = lines(panel(drawn, "Frey Face, $N_z$ = 2"))
    for split in ("train", "test"):
        assert set(found[f"ignoring z {split}"].get_ydata()) == {baselines["frey"][split]}
        assert found[f"ignoring z {split}"].get_zorder() < found[f"aevb {split}"].get_zorder()
    for title in ("MNIST, $N_z$ = 3", "MNIST, $N_z$ = 5"):  # below the axis
        assert not any(name.startswith("ignoring") for name in lines(panel(drawn, title)))
    assert "ignoring z" in [text.get_text() for text in drawn.legends[0].get_texts()]
    assert not any(
        "ignoring" in text.get_text() for axis in drawing.axes for text in axis.texts
    )  # results without baselines


def test_all_replicas_diverged(tmp_path):
    path = build(tmp_path, change=lambda name, run: diverge(run, np.nan))
    gathered = results.read_gathered(path)
    drawn = figure2(gathered, pd.read_csv(PAPER))
    assert all("AEVB:\n2 of 2 diverged" in axis.texts[0].get_text() for axis in drawn.axes)
    for drawn in (figure4(gathered, pd.read_csv(PAPER)), figure5(gathered, pd.read_csv(PAPER))):
        assert all("diverged" in axis.texts[0].get_text() for axis in drawn.axes)
    for name in plan.figures(config.load(STUDY)):
        draw(name, path, [tmp_path / "drawn.png"])


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
    drawn = figure4(gathered, pd.read_csv(PAPER))
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
    drawn = figure5(gathered, pd.read_csv(PAPER))
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
    assert pictures.tile(image, 1, (28, 28))[0, 3] == 1


@pytest.fixture(scope="module")
def full_path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("full"), FULL)


@pytest.fixture(scope="module")
def full(full_path):
    return results.read_gathered(full_path)


@pytest.fixture(scope="module")
def third(full):
    return figure3(full, pd.read_csv(PAPER))


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
        tables = [
            full.of("evidence")[f"{name}/{algorithm}-nz3-seed{seed}"].frame for seed in (0, 1)
        ]
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
                and line.get_marker() == appearance(algorithm).marker
            )


def test_the_paper_lies_behind_figure3_above_alone(third):
    paper = pd.read_csv(PAPER)
    for axis, n_train in zip(third.axes[:2], (1000, 50000), strict=True):
        for algorithm in ("aevb", "wake_sleep", "mcem"):
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
    assert paper_curve(paper, study, "mnist_1000", 3, "aevb", "test") is None
    assert len(paper_curve(paper, study, "mnist_50000", 3, "aevb", "test")) == 81
    assert paper_curve(paper, study, "mnist_50000", 5, "aevb", "test") is None
    fewer = config.load(
        {
            **STUDY,
            "experiments": {k: {**v, "n_train": 1000} for k, v in STUDY["experiments"].items()},
        }
    )
    assert paper_curve(paper, fewer, "mnist", 3, "aevb", "test") is None


def test_a_diverged_replica_of_figure3_is_a_cross_at_the_edge(tmp_path):
    gathered = results.read_gathered(build(tmp_path, FULL, lost_in_figure3))
    drawn = figure3(gathered, pd.read_csv(PAPER))
    above, timed = drawn.axes[1], drawn.axes[3]
    for axis, x in ((above, 2e7), (timed, 100.0)):
        cross = lines(axis)["wake_sleep test diverged"]
        assert (
            cross.get_marker() == "x"
            and cross.get_xdata()[0] == x
            and cross.get_ydata()[0] == axis.get_ylim()[0]
        )
        frame = gathered.of("evidence")["mnist_50000/wake_sleep-nz3-seed0"].frame
        np.testing.assert_allclose(
            lines(axis)["wake_sleep test"].get_ydata(), frame[frame.split == "test"].importance
        )
    assert [text.get_text() for text in above.texts] == ["wake-sleep:\n1 of 2 diverged"]
    column = estimators(gathered, pd.read_csv(PAPER)).axes[0]
    assert any("diverged" in text.get_text() for text in column.texts)


def test_figure3_with_all_replicas_diverged_or_without_estimates_is_drawn(tmp_path):
    def lose(name, run):
        run.attributes.update(status="diverged", reason="the bound ran away")
        return run

    (tmp_path / "lost").mkdir()
    gathered = results.read_gathered(build(tmp_path / "lost", FULL, lose))
    assert not gathered.of("evidence") and not gathered.of("estimators")
    assert len(figure3(gathered, pd.read_csv(PAPER)).axes) == 4
    assert all(
        "diverged" in axis.texts[0].get_text()
        for axis in estimators(gathered, pd.read_csv(PAPER)).axes
    )
    gathered = results.read_gathered(build(tmp_path, FULL))
    for table in gathered.of("evidence").values():
        table.frame[["importance", "hmc"]] = np.nan
    assert len(figure3(gathered, pd.read_csv(PAPER)).axes) == 4


def test_a_stand_in_has_a_figure3_without_the_papers_curves(tmp_path):
    gathered = results.read_gathered(build(tmp_path, FULL_DIGITS))
    drawn = figure3(gathered, pd.read_csv(PAPER))
    assert drawn.axes[0].get_title() == "digits, $N_z$ = 2, $N_\\mathrm{train}$ = 300"
    assert not any(name.startswith("paper") for axis in drawn.axes for name in lines(axis))
    assert len(lines(drawn.axes[0])) == 6 and drawn.axes[0].get_xlim() == (
        0,
        1.02 * 301_500,
    )  # whole iterations
    assert "1 seed" in drawn.get_suptitle()


def test_the_distance_has_a_panel_for_each_of_the_papers(full):
    drawn = drawn_distance(full, pd.read_csv(PAPER))
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
        assert {"aevb train average", "wake_sleep train average"} <= set(lines(axis))
        assert not any(name.endswith("train moment") for name in lines(axis))
        heights = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in axis.collections]
        assert len(heights) == 4 and min(heights) > 2 * np.sqrt(2) - 1e-6
    for axis in drawn.axes[3:]:
        assert len(lines(axis)) == 6 and axis.get_xscale() == "log"


def test_what_the_axis_hides_is_named_in_its_corners():
    panel = Figure().subplots()
    panel.plot([1, 2, 3, 4], [0, 99, 1, 0], label="aevb test", color="red")
    panel.plot([1, 2, 3, 4], [0, 5, -77, 0], label="wake_sleep test", color="green")
    panel.plot([1, 2, 3, 4], [0, 500, 0, 0], label="paper aevb test", color="blue")
    panel.set(xlim=(1, 4), ylim=(-1, 6))
    mark_hidden(panel, skip=0.0)
    shown = [(text.get_text(), text.get_color()) for text in panel.texts]
    assert shown == [("↑ 99", "red"), ("↓ −77", "green")]
    for text in [*panel.texts]:
        text.remove()
    mark_hidden(panel, skip=0.5)  # the first half of the axis does not count
    assert [text.get_text() for text in panel.texts] == ["↓ −77"]
    panel.set(ylim=(200, 300))
    for text in [*panel.texts]:
        text.remove()
    mark_hidden(panel, skip=0.0)
    assert [text.get_text() for text in panel.texts] == ["↓ −77"]  # all of it below: once
    panel.set(ylim=(-80, 100))
    for text in [*panel.texts]:
        text.remove()
    mark_hidden(panel, skip=0.0)
    assert not panel.texts


def test_the_distance_of_a_stand_in_is_empty_panels(tmp_path):
    drawn = drawn_distance(results.read_gathered(build(tmp_path, FULL_DIGITS)), pd.read_csv(PAPER))
    assert len(drawn.axes) == 3 and all(
        "no such curve" in axis.texts[0].get_text() for axis in drawn.axes
    )


def test_estimators_are_drawn_against_their_reference(full):
    drawn = estimators(full, pd.read_csv(PAPER))
    grid = np.array(drawn.axes).reshape(3, 3)
    assert [axis.get_title() for axis in grid[0]] == ["$N_z$ = 2", "$N_z$ = 3", "$N_z$ = 5"]
    for column, latent_dim in enumerate((2, 3, 5)):
        table = full.of("estimators")[f"mnist/aevb-nz{latent_dim}-seed0"].frame
        for row, (data, value) in enumerate(
            [("test", "bias"), ("simulated", "bias"), ("test", "spread")]
        ):
            axis, part = grid[row, column], table[table.data == data]
            assert axis.get_xscale() == "log" and any(
                list(line.get_xdata()) == [50, 50] for line in axis.get_lines()
            )
            drawn_lines = {name: line for name, line in lines(axis).items() if name in ESTIMATORS}
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
    first = full.of("estimators")["mnist/aevb-nz2-seed0"].frame.iloc[0]
    np.testing.assert_allclose(bar[:, 1], [first.bias - first.bias_se, first.bias + first.bias_se])
    assert len(set(map(look, ESTIMATORS))) == len(list(ESTIMATORS))


@pytest.mark.slow
def test_equal_results_give_equal_bytes(full_path, tmp_path):
    for name in plan.figures(config.load(FULL)):
        first, second = (
            [tmp_path / f"{turn}-{name}.{suffix}" for suffix in ("pdf", "svg", "png")]
            for turn in "ab"
        )
        draw(name, full_path, first)
        with matplotlib.rc_context(
            {"font.size": 20, "svg.hashsalt": "other", "axes.facecolor": "red"}
        ):
            draw(name, full_path, second)
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
    draw("figure2", full_path, [tmp_path / "again.svg"])
    assert matplotlib.rcParams["svg.hashsalt"] == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [
            f"{t}-{n}.{s}"
            for t in "ab"
            for n in plan.figures(config.load(FULL))
            for s in ("pdf", "svg", "png")
        ]
        + ["again.svg"]
    )


def test_pictures_give_coordinates_to_a_hundredth_of_a_point(path, tmp_path):
    draw("figure2", path, [tmp_path / "a.svg"])
    text = (tmp_path / "a.svg").read_text("utf-8")
    numbers = " ".join(re.findall(r' (?:d|x|y)="([^"]*)"', text))
    assert re.search(r"\.\d\d", numbers) and not re.search(r"\.\d{3}", numbers)
    assert re.search(r'transform="[^"]*\.\d{3}', text)  # scales keep theirs


def test_figures_that_a_study_does_not_ask_for_are_not_its_own():
    assert list(plan.figures(config.load(STUDY))) == ["distance", "figure2", "figure4", "figure5"]
    assert list(plan.figures(config.load(FULL))) == [
        "distance",
        "figure2",
        "figure4",
        "figure5",
        "estimators",
        "figure3",
    ]


def test_other_results_give_another_picture(path, tmp_path):
    draw("figure2", path, [tmp_path / "a.png"])
    draw("figure2", build(tmp_path), [tmp_path / "b.png"])
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_a_missing_file_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        draw("figure4", tmp_path / "absent.h5", [tmp_path / "a.png"])
    assert not list(tmp_path.iterdir())


def test_drawing_loads_no_torch():
    subprocess.run(
        [sys.executable, "-c", "import sys, aevb.report; sys.exit('torch' in sys.modules)"],
        check=True,
    )
