"""The page of latent planes: what it holds, and in a browser, that what it decodes is what
Python decodes."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from synthetic import build, diverge

from aevb import results
from aevb.report import pictures
from aevb.studies.figure4 import page as manifold

READ = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d")
  copy.drawImage(canvas, 0, 0)
  return Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data)
}"""
READY = "document.querySelectorAll('[data-z]').length == {}"


def render(gathered, output):
    manifold.render(results.read_gathered(gathered), output)
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def page(path):
    render(path, path.with_name("manifold.html"))
    return path.with_name("manifold.html")


def runs(path):
    gathered = results.read_gathered(path)
    return {name: gathered.runs[f"{name}/aevb-nz2-seed0"] for name in ("frey", "mnist")}


def test_a_decoder_is_shipped_within_half_a_step_of_eight_bits(path):
    for run in runs(path).values():
        parts = manifold.shipped(run)
        weight = run.weights["decoder.output.weight"][:, : parts["step"].size]
        assert (
            parts["output.weight"].dtype == np.int8
            and np.abs(parts["output.weight"]).max(0).min() == 127
        )
        assert (
            np.abs(parts["output.weight"] * parts["step"] - weight) <= 0.5001 * parts["step"]
        ).all()
        z = pictures.manifold_latents(5)
        full, small = (
            pictures.decode(run.weights, z, run.likelihood),
            manifold.decode_shipped(parts, z),
        )
        # the logits' error is at most the sum of H half steps, and a sigmoid's slope at most 1/4
        assert 0 < np.abs(full - small).max() < len(weight) * 0.5 * parts["step"].max() / 4


def test_weights_of_zero_are_shipped_as_zero(path):
    run = runs(path)["mnist"]
    run.weights["decoder.output.weight"][:, 0] = 0
    parts = manifold.shipped(run)
    assert not parts["output.weight"][:, 0].any() and np.isfinite(parts["step"]).all()


def test_equal_results_give_equal_bytes_in_any_process(path, page, tmp_path):
    code = (
        "import sys; from aevb import results; from aevb.studies.figure4 import page; "
        "from bokeh.plotting import figure; figure(); "
        "page.render(results.read_gathered(sys.argv[1]), sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "again.html")]
    subprocess.run(command, check=True)
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_the_page_says_how_precise_it_is(path, page):
    text, run = page.read_text(encoding="utf-8"), runs(path)["mnist"]
    z = pictures.manifold_latents(4)
    off = np.abs(
        pictures.decode(run.weights, z, "bernoulli")
        - manifold.decode_shipped(manifold.shipped(run), z)
    )
    assert f"at most {off.max():.4f} and on average {off.mean():.5f}" in text


def test_without_points_or_model_the_page_says_so(edited, tmp_path):
    def change(name, run):
        return diverge(run) if name == "frey/aevb-nz2-seed0" else run

    path = build(tmp_path, change=change)
    with edited(path) as file:
        del file["tables/encoded"]
    html = render(path, tmp_path / "manifold.html")
    assert "Frey Face: this model diverged" in html and "hold no encoded test points" in html
    assert len(re.findall('<section id="map-', html)) == 1


def current(chromium, name, other=None):
    """The z of a map, once it is not `other`."""
    z = f"document.querySelector('#map-{name}').dataset.z"
    if other is not None:
        chromium.wait(f"{z} != '{','.join(map(str, other))}'")
    return [float(part) for part in chromium.js(z).split(",")]


def picture(chromium, name):
    """The picture beside a map, (D,), 0 to 255."""
    pixels = np.array(
        chromium.js(f"({READ})(document.querySelector('#map-{name} canvas'))")
    ).reshape(-1, 4)
    assert (pixels[:, :3] == pixels[:, :1]).all() and (pixels[:, 3] == 255).all()
    return pixels[:, 0].astype(float)


def check(chromium, run, name, z):
    """The picture is Python's: of the shipped weights to half a grey level (and float32), of the
    full ones as precise as these."""
    shown, z = picture(chromium, name), np.array([z])
    shipped, full = (
        manifold.decode_shipped(manifold.shipped(run), z)[0],
        pictures.decode(run.weights, z, run.likelihood)[0],
    )
    assert np.abs(shown - 255 * shipped).max() <= 0.501
    assert np.abs(shown - 255 * full).max() <= 0.501 + 255 * np.abs(shipped - full).max()
    return shown


def test_pointing_decodes_as_python_does(chromium, page, path):
    chromium.open(page, ready=READY.format(2))
    for name, run in runs(path).items():
        first = check(chromium, run, name, current(chromium, name))
        [(left, top, width, height)] = chromium.boxes(f"#map-{name} .map")
        seen, z = [first], [0.0, 0.0]
        for across, down in ((0.3, 0.3), (0.8, 0.6)):
            chromium.mouse("mouseMoved", left + across * width, top + down * height)
            z = current(chromium, name, z)
            seen.append(check(chromium, run, name, z))
            assert (z[0] < 0) == (across < 0.5) and (z[1] > 0) == (down < 0.4)
        assert all(np.abs(one - other).max() > 5 for one, other in itertools.pairwise(seen))
        assert chromium.js(f"document.querySelector('#map-{name} output').textContent").startswith(
            f"z = ({z[0]:.2f}".replace("-", "−")
        )
    assert chromium.complaints() == []
    assert {url.split(":")[0] for url in chromium.requests()} == {
        "file",
        "data",
    } and chromium.requests()[0] == page.as_uri()
    assert len([url for url in chromium.requests() if url.startswith("file:")]) == 1


def test_keys_move_z(chromium, page, path):
    chromium.open(page, ready=READY.format(2))
    chromium.js("document.querySelector('#map-mnist .map').focus()")
    for key, shift, z in (
        ("ArrowRight", 0, [0.1, 0]),
        ("ArrowUp", 8, [0.1, 0.5]),
        ("ArrowLeft", 8, [-0.4, 0.5]),
        ("ArrowDown", 0, [-0.4, 0.4]),
    ):
        chromium.key(key, shift)
        np.testing.assert_allclose(current(chromium, "mnist"), z, atol=1e-12)
    check(chromium, runs(path)["mnist"], "mnist", z)
    for _ in range(9):
        chromium.key("ArrowUp", 8)
    edge = chromium.js("Math.max(...Bokeh.documents[0].roots().map(plot => plot.y_range.end))")
    assert 3 <= current(chromium, "mnist")[1] <= edge  # no further than the map


def test_a_finger_moves_z_on_a_phone(chromium, page, path):
    chromium.open(page, width=420, touch=True, ready=READY.format(2))
    assert chromium.js("document.documentElement.scrollWidth") <= 420
    [(left, top, width, height)] = chromium.boxes("#map-mnist .map")
    assert width > 350
    scroll = chromium.js("scrollY")
    chromium.drag((left + 0.4 * width, top + 0.3 * height))
    first = current(chromium, "mnist", [0, 0])
    chromium.drag(*((left + 0.4 * width, top + part * height) for part in (0.3, 0.4, 0.6)))
    z = current(chromium, "mnist", first)
    assert z[1] < first[1] and abs(z[0] - first[0]) < 0.01 and chromium.js("scrollY") == scroll
    check(chromium, runs(path)["mnist"], "mnist", z)
    assert chromium.complaints() == []


def test_the_legend_hides_and_shows_a_digit(chromium, page):
    chromium.open(page, ready=READY.format(2))
    shown = "Bokeh.documents[0].roots()[1].renderers.slice(1, 11).map(points => points.visible)"
    items = chromium.boxes(".bk-item", "document.querySelector('#map-mnist')")
    assert len(items) == 10 and chromium.js(shown) == [True] * 10
    left, top, width, height = items[3]
    for visible in (False, True):
        chromium.click(left + width / 2, top + height / 2)
        chromium.wait(f"{shown}[3] == {str(visible).lower()}")
        assert chromium.js(shown).count(True) == 9 + visible
