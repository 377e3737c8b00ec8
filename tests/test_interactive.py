"""The figures to look into: the same curves as the drawn ones, in colours that can be seen; and in
a browser, values under a pointer or finger, and switches."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from synthetic import (
    FULL,
    FULL_DIGITS,
    GRID,
    PAPER,
    build,
    diverge,
    lines,
    one_diverged,
    panel,
    with_encoder,
)
from test_report import render

from aevb import results
from aevb.learners import LEARNERS, PALETTE, appearance
from aevb.report import live, panels
from aevb.report.panels import curves
from aevb.report.style import GROUNDS, contrast, legible, pale
from aevb.studies.figure2 import live as live2
from aevb.studies.figure2.figures import figure2
from aevb.studies.figure3 import live as live3
from aevb.studies.figure3.figures import figure3
from aevb.studies.figure4 import page as manifold

TEMPLATES = Path(__file__).parents[1] / "report"
CODE = TEMPLATES / "live.js"
READY = "window.Bokeh?.documents[0]?.is_idle"


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
    found = {c.name: c.frame for c in curves(gathered, paper, "mnist", 5, ["aevb"], "seconds")}
    mean, longer = found["AEVB, test"], found["AEVB, test, seeds trained further"]
    runs = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve for seed in (0, 1)]
    np.testing.assert_allclose(mean["value"], (runs[0]["test"][:4] + runs[1]["test"]) / 2)
    np.testing.assert_allclose(longer["value"], runs[0]["test"])
    np.testing.assert_allclose(longer["x"], runs[0]["seconds"])
    assert {"seed 0", "seed 1"} <= {*mean} and "seed 1" not in longer
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
    drawn = figure2(gathered, paper), figure3(gathered, paper)
    made = live2.figure2(gathered, paper).panels | live3.figure3(gathered, paper).panels
    places = [(0, "MNIST, $N_z$ = 3", "MNIST, N_z = 3")]
    places += [(0, "Frey Face, $N_z$ = 2", "Frey Face, N_z = 2")]
    third = "MNIST, $N_z$ = 3, $N_\\mathrm{train}$ = 1000"
    places += [(1, third, "MNIST, N_train = 1,000, against samples")]
    for figure, title, name in places:
        found = {
            curve.name: curve.data_source.data
            for curve in made[name].plot.renderers
            if getattr(curve.glyph, "y", "") == "value"
        }
        counted = 0
        for label, line in lines(panel(drawn[figure], title)).items():
            *start, algorithm, split = label.removesuffix(" diverged").split()
            key = f"{LEARNERS[algorithm].label}, {split}" + (
                ", the paper" if start else ", seed 1, diverged" if "diverged" in label else ""
            )
            x, y = line.get_data(orig=False)
            data = {axis: found[key][axis] for axis in ("x", "value")}
            if "diverged" in label:  # the cross, moved to the panel's edge
                assert data["x"][-1] == x[0] and data["value"][-1] < y[0]
                continue
            np.testing.assert_allclose([data["x"], data["value"]], [x, y])
            counted += 1
        assert counted == len([key for key in found if "diverged" not in key]) > 4


def test_lines_can_be_seen_on_both_grounds():
    """Contrast 3 is what WCAG 2.1 asks of a line (1.4.11)."""
    assert contrast("#000", "#fff") == pytest.approx(21) == contrast("#fff", "#000")
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # a published value
    page = re.findall(r"--paper: (#\w{6})", (TEMPLATES / "style.css").read_text())
    assert page[:2] == [*GROUNDS.values()]
    for name, ground in GROUNDS.items():
        for ours, theirs in live.colours()[name].values():
            assert contrast(ours, ground) >= 4.5
            assert 3 <= contrast(theirs, ground) < 3.2
    for colour in {appearance(key).colour for key in LEARNERS} | {look.colour for look in PALETTE}:
        assert 3 <= contrast(pale(colour), "white") < 3.2
        assert legible(colour, "#ffffff", 1) == colour.lower()


def test_the_table_behind_a_panel(gathered):
    paper = pd.read_csv(PAPER)
    table = panels.values(curves(gathered, paper, "mnist", 5, ["aevb"]), "samples")
    assert table.head == ["curve", "training samples", "ours, mean (range)", "the paper"]
    assert [row[:2] for row in table.rows[:4]] == [
        ["AEVB, train", samples] for samples in ("1e5", "2.51e5", "3.98e5", "1e6")
    ]
    ends = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve["test"].iloc[-1] for seed in (0, 1)]
    theirs = paper[(paper.figure == 2) & (paper.dataset == "mnist") & (paper.latent_dim == 5)]
    theirs = theirs[(theirs.algorithm == "aevb") & (theirs.split == "test")].sort_values("samples")
    value = np.interp(np.log(1e6), np.log(theirs.samples), theirs.value)
    said = f"{np.mean(ends):.2f} ({min(ends):.2f}\xa0to\xa0{max(ends):.2f})", f"{value:.2f}"
    assert table.rows[-1] == ["AEVB, test", "1e6", *(cell.replace("-", "−") for cell in said)]
    lost = panels.values(curves(gathered, paper, "mnist", 3, ["wake_sleep"]), "samples")
    assert lost.rows[-1][:2] == ["wake-sleep, test, seed 1, diverged", "3.98e5"]
    timed = curves(gathered, paper, "mnist_1000", 3, ["aevb", "mcem"], "seconds")
    timed = panels.values(timed, "seconds")
    assert timed.head == ["curve", "training samples", "seconds", "ours, mean (range)"]
    # seed 1 takes a tenth more than the 20 seconds for 1e6 samples
    assert ["AEVB, test", "6e7", "1.26e+03"] in [row[:3] for row in timed.rows]


def test_five_seeds_have_a_standard_deviation(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "OFFSETS", {seed: seed**2 / 4 for seed in range(5)})
    raw = {**synthetic.STUDY, "seeds": [*range(5)]}
    made = curves(
        results.read_gathered(build(tmp_path, raw)), pd.read_csv(PAPER), "mnist", 5, ["aevb"]
    )
    sd = np.std([seed**2 / 4 for seed in range(5)], ddof=1)
    np.testing.assert_allclose(made[-1].frame["high"] - made[-1].frame["value"], sd)
    assert panels.values(made, "samples").rows[-1][2].endswith(f" ± {sd:.2f}")


def test_bands_seeds_and_axes(gathered):
    paper = pd.read_csv(PAPER)
    plots = live2.figure2(gathered, paper).panels
    assert list(plots) == ["MNIST, N_z = 3", "MNIST, N_z = 5", "Frey Face, N_z = 2"]
    drawn = figure2(gathered, paper)
    for (plot, *_), title in zip(
        plots.values(),
        ["MNIST, $N_z$ = 3", "MNIST, $N_z$ = 5", "Frey Face, $N_z$ = 2"],
        strict=True,
    ):
        axis = panel(drawn, title)
        np.testing.assert_allclose((plot.x_range.start, plot.x_range.end), axis.get_xlim())
        np.testing.assert_allclose((plot.y_range.start, plot.y_range.end), axis.get_ylim())
    (curve,) = (
        c
        for c in curves(gathered, paper, "mnist", 5, ["aevb"], "samples")
        if c.name == "AEVB, test"
    )
    runs = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve["test"] for seed in (0, 1)]
    np.testing.assert_allclose(curve.frame["low"], np.minimum(*runs))
    np.testing.assert_allclose(curve.frame["high"], np.maximum(*runs))
    for seed in (0, 1):
        np.testing.assert_array_equal(curve.frame[f"seed {seed}"], runs[seed])
    timed = live3.figure3(gathered, paper).panels
    assert list(timed) == [
        "MNIST, N_train = 1,000, against samples",
        "MNIST, N_train = 50,000, against samples",
        "MNIST, N_train = 1,000, against seconds",
        "MNIST, N_train = 50,000, against seconds",
    ]
    axes = figure3(gathered, paper).axes
    for (plot, *_), axis in zip(timed.values(), axes, strict=True):
        np.testing.assert_allclose((plot.x_range.start, plot.x_range.end), axis.get_xlim())
        np.testing.assert_allclose((plot.y_range.start, plot.y_range.end), axis.get_ylim())


def test_a_study_without_a_curve_has_empty_panels(tmp_path):
    gathered = results.read_gathered(
        build(tmp_path, FULL_DIGITS, lambda name, run: diverge(run, np.nan))
    )
    for draw in (live2.figure2, live3.figure3):
        assert all(
            plot.y_range.start < plot.y_range.end
            and all(row[0].endswith("diverged") for row in table.rows)
            for plot, _, table in draw(gathered, pd.read_csv(PAPER)).panels.values()
        )


def test_equal_plots_give_equal_text(gathered):
    def text():
        return live.script(live2.figure2(gathered, pd.read_csv(PAPER)).panels, CODE)

    script, elements = text()
    assert (script, elements) == text()
    ids = [element.split('"')[1] for element in elements.values()]
    assert len(set(ids)) == 3 and all(f'"{name}"' in script for name in ids)


VIEW = (
    "Bokeh.index.get_by_id(document.querySelectorAll('#figure2 [data-root-id]')[1].dataset.rootId)"
)


def place(chromium, x, y):
    """Where the point (x, y) of the panel 'MNIST, N_z = 5' is in the window, which shows it."""
    panel = "document.querySelectorAll('#figure2 .panels > figure')[1]"
    left, top, _, _ = chromium.boxes(".bk-events", panel)[0]
    at = f"[v.frame.x_scale.compute({x}), v.frame.y_scale.compute({y})]"
    dx, dy = chromium.js(f"(v => {at})({VIEW})")
    return left + dx, top + dy


def said(chromium):
    """What the panel says of the point pointed at."""
    output = "document.querySelectorAll('#figure2 output')[1]"
    chromium.wait(f"!{output}.hidden")
    return chromium.js(f"{output}.textContent")


@pytest.mark.parametrize("touch", [False, True])
def test_the_point_nearest_along_y_says_its_values_and_seeds(chromium, page, gathered, touch):
    chromium.open(page, width=420 if touch else 1200, touch=touch, ready=READY)
    runs = [gathered.runs[f"mnist/aevb-nz5-seed{seed}"].curve["train"].iloc[3] for seed in (0, 1)]
    x, y = place(chromium, GRID[3], np.mean(runs))
    # above all curves, and between two evaluations
    if touch:
        chromium.drag((x - 4, y - 30))
    else:
        chromium.mouse("mouseMoved", x - 4, y - 30)
    values = f"{np.mean(runs):.2f} nats, seed 0: {runs[0]:.2f}, seed 1: {runs[1]:.2f}"
    assert said(chromium) == f"AEVB, train 3.98e5 samples: {values}".replace("-", "−")
    ring = f"{VIEW}.model.renderers.at(-1).data_source.data"
    ring = chromium.js(f"(({{x, y}}) => [...x, ...y])({ring})")
    np.testing.assert_allclose(ring, [GRID[3], np.mean(runs)])
    if not touch:
        chromium.mouse("mouseMoved", 1, 1)
        chromium.wait("document.querySelectorAll('#figure2 output')[1].hidden")


def test_plots_have_names_for_those_who_do_not_see_them(chromium, page):
    chromium.open(page, ready=READY)
    chromium("Accessibility.enable")
    nodes = chromium("Accessibility.getFullAXTree")["nodes"]
    chromium("Accessibility.disable")
    named = {}
    for node in nodes:
        if not node["ignored"]:
            named.setdefault(node["role"]["value"], []).append(node["name"]["value"])
    titles = ["MNIST, N_z = 3", "MNIST, N_z = 5", "Frey Face, N_z = 2"]
    names = [f"Figure 2. Bound against training samples: {title}" for title in titles]
    assert [name for name in named["figure"] if name in names] == names
    curves = [f"{name}: curves; their values are in the table below" for name in names]
    assert [name for name in named["image"] if name in curves] == curves
    assert named["button"].count("zoom in") == named["button"].count("zoom out") == 7


SHOWN = (
    "Bokeh.documents[0].roots().map(plot => plot.renderers"
    ".filter(curve => curve.visible).map(curve => curve.tags.join()))"
)


def test_the_legend_hides_and_shows_curves_in_all_panels(chromium, page):
    chromium.open(page, ready=READY)
    before = chromium.js(SHOWN)
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
    assert chromium.js(SHOWN) == [*kept, *before[3:]] and kept != before[:3] and all(kept)
    assert (
        chromium.js("document.querySelector('#figure2 button').getAttribute('aria-pressed')")
        == "false"
    )
    for number in (0, 4):
        left, top, width, height = boxes[number]
        chromium.click(left + width / 2, top + height / 2)
    assert chromium.js(SHOWN) == before


def press(chromium, label):
    """Switch the checkbox called `label` of Figure 2, with the keyboard."""
    found = "[...document.querySelectorAll('#figure2 label')].find"
    chromium.js(f"{found}(label => label.textContent.trim() == {label!r}).control.focus()")
    chromium.key(" ", text=" ")


def test_each_seed_takes_the_place_of_the_mean(chromium, page):
    chromium.open(page, ready=READY)
    before = chromium.js(SHOWN)
    press(chromium, "each seed, not their mean")
    seeds = chromium.js(SHOWN)
    assert before[1].count("aevb,test,mean") == 3 and before[1].count("aevb,test,seed") == 0
    assert seeds[1].count("aevb,test,mean") == 0 and seeds[1].count("aevb,test,seed") == 2
    assert seeds[3:] == before[3:] and "wake_sleep,train,diverged" in seeds[0]
    press(chromium, "each seed, not their mean")
    assert chromium.js(SHOWN) == before


def test_the_x_axis_is_logarithmic_or_linear(chromium, page, gathered):
    chromium.open(page, ready=READY)
    axis = live2.figure2(gathered, pd.read_csv(PAPER)).panels["MNIST, N_z = 5"].axis
    half = f"({VIEW}.frame.x_scale.invert(({VIEW}.frame.bbox.left + {VIEW}.frame.bbox.right) / 2))"
    ticks = f"{VIEW}.model.below[0].ticker.type"
    assert chromium.js(half) == pytest.approx(np.sqrt(axis.log[0] * axis.log[1]), rel=0.01)
    press(chromium, "logarithmic axis of training samples")
    assert chromium.js(half) == pytest.approx(axis.linear[1] / 2, rel=0.01)
    assert chromium.js(ticks) == "BasicTicker"
    third = "Bokeh.documents[0].roots().slice(3).map(plot => plot.x_scale.type)"
    assert chromium.js(third) == ["LinearScale"] * 2 + ["LogScale"] * 2  # Figure 3 has its own
    press(chromium, "logarithmic axis of training samples")
    assert chromium.js(half) == pytest.approx(np.sqrt(axis.log[0] * axis.log[1]), rel=0.01)
    assert chromium.js(ticks) == "LogTicker" and chromium.complaints() == []


def test_plots_follow_the_colour_scheme(chromium, page):
    colours = f"{VIEW}.model.renderers.map(curve => curve.glyph.line_color?.value ?? '')"
    chromium.scheme("light")
    chromium.open(page, ready=READY)
    for scheme in ("light", "dark", "light"):  # and a change of it
        chromium.scheme(scheme)
        wanted = live.colours()[scheme]
        chromium.wait(f"{colours}.includes({wanted['aevb'][0]!r})")
        found = {colour for colour in chromium.js(colours) if colour}
        assert found == {*wanted["aevb"], *wanted["wake_sleep"], wanted["cursor"][0]}


@pytest.mark.parametrize(("width", "touch"), [(1200, False), (420, True)])
def test_the_report_asks_nobody_and_fits(chromium, page, width, touch):
    chromium.open(page, width=width, touch=touch, ready=READY)
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


@pytest.fixture(scope="module")
def axe():
    """axe-core, which finds what of a page breaks the accessibility rules of WCAG."""
    why = "axe-core-python is not installed: see the extra test in pyproject.toml"
    package = pytest.importorskip("axe_core_python", reason=why)
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


# of the whole page: with parts left out, axe does not look into Bokeh's shadow roots
BROKEN = """(options => axe.run(document, options).then(
    ({violations}) => violations.flatMap(rule => rule.nodes.map(
        node => [rule.id, node.target.join(" "), node.failureSummary]))))"""


@pytest.mark.parametrize("name", ["report", "manifold"])
def test_anyone_can_use_the_pages(chromium, page, tmp_path, axe, name):
    """On a screen and on a phone, by day and by night, all that folds away folded out and a curve
    switched off."""
    file = page.with_name(f"{name}.html")
    if not file.exists():
        manifold.render(results.read_gathered(build(tmp_path, change=with_encoder)), file)
    chromium.scheme("light")
    chromium.open(file, width=1280, ready=READY)
    chromium.js("document.querySelectorAll('details').forEach(part => part.open = true)")
    chromium.js("document.querySelector('.legend button')?.click()")
    chromium("Runtime.evaluate", expression=axe)
    found = {}
    for width in (1280, 400):
        chromium.width(width)
        # what else there is does not depend on colours
        for scheme, rules in (("light", ""), ("dark", "runOnly: ['color-contrast'], ")):
            chromium.scheme(scheme)
            chromium.js("new Promise(requestAnimationFrame)")
            found[width, scheme] = chromium.js(f"{BROKEN}({{{rules}resultTypes: ['violations']}})")
    assert not any(found.values()), found
    assert chromium.complaints() == []
    assert [url for url in chromium.requests() if not url.startswith("data:")] == [file.as_uri()]


def test_without_scripts_the_drawn_figures_are_seen(chromium, page):
    chromium("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium("Page.navigate", url=page.as_uri())
        chromium.wait("document.querySelector('#figure2 img')?.offsetWidth > 300")
        assert chromium.js("document.querySelector('#figure2 .live').offsetWidth") == 0
    finally:
        chromium("Emulation.setScriptExecutionDisabled", value=False)
