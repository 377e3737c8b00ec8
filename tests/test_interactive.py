"""The figures to look into: the same curves as the drawn ones, and in a browser, values under
the pointer and legends that switch."""

import numpy as np
import pandas as pd
import pytest
from synthetic import FULL, FULL_DIGITS, GRID, PAPER, build, diverge, lines, one_diverged, panel
from test_report import render

from aevb import results
from aevb.learners import LEARNERS
from aevb.report import live
from aevb.studies.figure2 import live as live2
from aevb.studies.figure2.figures import figure2
from aevb.studies.figure3 import live as live3
from aevb.studies.figure3.figures import figure3


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"), FULL, one_diverged)


def unequal(name, run):
    """Seed 1 of one curve ends earlier than the others."""
    if name == "mnist/aevb-nz5-seed1":
        run.curve = run.curve.iloc[:4]
        run.attributes["samples"] = int(GRID[3])
    return run


def test_seeds_of_different_budgets_count_as_far_as_they_go(tmp_path):
    gathered, paper = results.read_gathered(build(tmp_path, change=unequal)), pd.read_csv(PAPER)
    found = {c.name: c.frame for c in live.curves(gathered, paper, "mnist", 5, ["aevb"], "seconds")}
    mean, longer = found["AEVB, test"], found["AEVB, test, seeds trained further"]
    runs = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve for seed in (0, 1)]
    np.testing.assert_allclose(mean["value"], (runs[0]["test"][:4] + runs[1]["test"]) / 2)
    np.testing.assert_allclose(longer["value"], runs[0]["test"])
    np.testing.assert_allclose(longer["x"], runs[0]["seconds"])
    assert "seed 1" in mean["seeds"].iloc[3] and not longer["seeds"].str.contains("seed 1").any()
    drawn = lines(panel(figure2(gathered, paper), "MNIST, $N_z$ = 5"))
    np.testing.assert_allclose(mean["value"], drawn["aevb test"].get_ydata())
    np.testing.assert_allclose(longer["value"], drawn["aevb test longer"].get_ydata())


@pytest.fixture(scope="module")
def gathered(path):
    return results.read_gathered(path)


@pytest.fixture(scope="module")
def page(path):
    render(path.parent, path)
    return path.with_name("report.html")


def test_the_curves_are_those_of_the_drawn_figures(gathered):
    paper = pd.read_csv(PAPER)
    drawn = {2: figure2(gathered, paper), 3: figure3(gathered, paper)}
    places = [
        (2, "MNIST, $N_z$ = 3", "mnist", 3, "samples"),
        (2, "Frey Face, $N_z$ = 2", "frey", 2, "samples"),
    ]
    places += [(3, "MNIST, $N_z$ = 3, $N_\\mathrm{train}$ = 1000", "mnist_1000", 3, "samples")]
    for figure, title, experiment, latent_dim, x in places:
        algorithms = ["aevb", "wake_sleep"] + ["mcem"] * (figure == 3)
        found = {
            curve.name: curve
            for curve in live.curves(gathered, paper, experiment, latent_dim, algorithms, x)
        }
        counted = 0
        for name, line in lines(panel(drawn[figure], title)).items():
            *start, algorithm, split = name.removesuffix(" diverged").split()
            key = f"{LEARNERS[algorithm].label}, {split}" + (
                ", the paper" if start else ", seed 1, diverged" if "diverged" in name else ""
            )
            frame, values = found[key].frame, np.column_stack(line.get_data(orig=False))
            values = (
                values if len(values) > 1 else frame[["x", "value"]].to_numpy()[[-1]]
            )  # the cross, moved to the panel's edge
            np.testing.assert_allclose(
                frame[["x", "value"]].to_numpy()[-len(values) :], values, rtol=1e-6
            )
            counted += 1
        assert counted >= len(found) > 4


def test_bands_seeds_and_axes(gathered):
    paper = pd.read_csv(PAPER)
    plots = live2.figure2(gathered, paper).panels
    assert list(plots) == ["MNIST, N_z = 3", "MNIST, N_z = 5", "Frey Face, N_z = 2"]
    drawn = figure2(gathered, paper)
    for plot, title in zip(
        plots.values(),
        ["MNIST, $N_z$ = 3", "MNIST, $N_z$ = 5", "Frey Face, $N_z$ = 2"],
        strict=True,
    ):
        axis = panel(drawn, title)
        np.testing.assert_allclose((plot.x_range.start, plot.x_range.end), axis.get_xlim())
        np.testing.assert_allclose((plot.y_range.start, plot.y_range.end), axis.get_ylim())
    (curve,) = (
        c
        for c in live.curves(gathered, paper, "mnist", 5, ["aevb"], "samples")
        if c.name == "AEVB, test"
    )
    runs = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve["test"] for seed in (0, 1)]
    np.testing.assert_allclose(curve.frame["low"], np.minimum(*runs))
    np.testing.assert_allclose(curve.frame["high"], np.maximum(*runs))
    assert (
        curve.frame["seeds"].iloc[-1]
        == f"seed 0: {runs[0].iloc[-1]:.2f}, seed 1: {runs[1].iloc[-1]:.2f}"
    )
    timed = live3.figure3(gathered, paper).panels
    assert list(timed) == [
        "MNIST, N_train = 1,000, against samples",
        "MNIST, N_train = 50,000, against samples",
        "MNIST, N_train = 1,000, against seconds",
        "MNIST, N_train = 50,000, against seconds",
    ]
    axes = figure3(gathered, paper).axes
    for plot, axis in zip(timed.values(), axes, strict=True):
        np.testing.assert_allclose((plot.x_range.start, plot.x_range.end), axis.get_xlim())
        np.testing.assert_allclose((plot.y_range.start, plot.y_range.end), axis.get_ylim())


def test_a_study_without_a_curve_has_empty_panels(tmp_path):
    gathered = results.read_gathered(
        build(tmp_path, FULL_DIGITS, lambda name, run: diverge(run, np.nan))
    )
    for draw in (live2.figure2, live3.figure3):
        assert all(
            plot.y_range.start < plot.y_range.end
            for plot in draw(gathered, pd.read_csv(PAPER)).panels.values()
        )


def test_equal_plots_give_equal_text(gathered):
    def text():
        return live.embed(live2.figure2(gathered, pd.read_csv(PAPER)).panels)

    script, elements = text()
    assert (script, elements) == text()
    ids = [element.split('"')[1] for element in elements.values()]
    assert len(set(ids)) == 3 and all(f'"{name}"' in script for name in ids)


VIEW = (
    "Bokeh.index.get_by_id(document.querySelectorAll('#figure2 [data-root-id]')[1].dataset.rootId)"
)


def test_pointing_shows_values_and_seeds(chromium, page, gathered):
    chromium.open(page, ready=f"window.Bokeh && {VIEW}?.has_finished()")
    left, top, _, _ = chromium.boxes(
        ".bk-events", "document.querySelectorAll('#figure2 .panels > div')[1]"
    )[0]
    runs = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve["train"].iloc[3] for seed in (0, 1)]
    at = f"[v.frame.x_scale.compute({GRID[3]}), v.frame.y_scale.compute({np.mean(runs)})]"
    x, y = chromium.js(f"(v => {at})({VIEW})")
    chromium.mouse("mouseMoved", left + x, top + y)
    text = chromium.text(".bk-Tooltip")
    assert (
        "AEVB, train" in text
        and "3.98e5 samples: " in text
        and f"seed 0: {runs[0]:.2f}, seed 1: {runs[1]:.2f}" in text
    )
    assert f"{np.mean(runs):.2f} nats".replace("-", "−") in text.replace("-", "−")


def test_the_legend_hides_and_shows_curves_in_all_panels(chromium, page):
    chromium.open(page, ready=f"window.Bokeh && {VIEW}?.has_finished()")
    shown = (
        "Bokeh.documents[0].roots().map(plot => plot.renderers"
        ".filter(curve => curve.visible).map(curve => curve.tags.join()))"
    )
    before = chromium.js(shown)
    assert len(before) == 7
    names = chromium.js(
        "[...document.querySelectorAll('#figure2 button')].map(button => button.textContent.trim())"
    )
    assert names == ["AEVB", "wake-sleep", "train", "test", "the paper"]
    boxes = chromium.boxes("button", "document.querySelector('#figure2')")
    for number in (0, 4):
        left, top, width, height = boxes[number]
        chromium.click(left + width / 2, top + height / 2)
    kept = [
        [tags for tags in panel if "aevb" not in tags and "paper" not in tags]
        for panel in before[:3]
    ]
    assert chromium.js(shown) == [*kept, *before[3:]] and kept != before[:3] and all(kept)
    assert (
        chromium.js("document.querySelector('#figure2 button').getAttribute('aria-pressed')")
        == "false"
    )
    for number in (0, 4):
        left, top, width, height = boxes[number]
        chromium.click(left + width / 2, top + height / 2)
    assert chromium.js(shown) == before


@pytest.mark.parametrize(("width", "touch"), [(1200, False), (420, True)])
def test_the_report_asks_nobody_and_fits(chromium, page, width, touch):
    chromium.open(page, width=width, touch=touch, ready=f"window.Bokeh && {VIEW}?.has_finished()")
    assert chromium.complaints() == []
    assert [url for url in chromium.requests() if not url.startswith("data:")] == [page.as_uri()]
    assert chromium.js("document.documentElement.scrollWidth") <= width
    drawn, hidden = (
        "getComputedStyle(document.querySelector('#figure2 .live')).display",
        "document.querySelector('#figure2 img').offsetWidth",
    )
    assert chromium.js(drawn) == "block" and chromium.js(hidden) == 0
    chromium("Emulation.setEmulatedMedia", media="print")
    assert chromium.js(drawn) == "none" and chromium.js(hidden) > 300
    chromium("Emulation.setEmulatedMedia", media="")


def test_without_scripts_the_drawn_figures_are_seen(chromium, page):
    chromium("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium("Page.navigate", url=page.as_uri())
        chromium.wait("document.querySelector('#figure2 img')?.offsetWidth > 300")
        assert chromium.js("document.querySelector('#figure2 .live').offsetWidth") == 0
    finally:
        chromium("Emulation.setScriptExecutionDisabled", value=False)
