"""The page of latent planes: what it holds, and in a browser, that what it decodes is what
Python decodes."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from synthetic import STUDY, build, diverge, with_encoder

from aevb import results
from aevb.report import pictures
from aevb.studies.figure4 import page as manifold
from aevb.studies.figure4 import shipped

READ = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d")
  copy.drawImage(canvas, 0, 0)
  return Array.from(copy.getImageData(0, 0, canvas.width, canvas.height).data)
}"""
CHOOSE = """(input => {{
  input.value = {1}
  input.dispatchEvent(new Event("input"))
}})(document.querySelector("#map-{0} .number"))"""
READY = "document.querySelectorAll('[data-z]').length == {}"


def render(gathered, output):
    manifold.render(results.read_gathered(gathered), output)
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"), change=with_encoder)


@pytest.fixture(scope="module")
def page(path):
    render(path, path.with_name("manifold.html"))
    return path.with_name("manifold.html")


def runs(path):
    gathered = results.read_gathered(path)
    return {name: gathered.runs[f"{name}/aevb-nz2-seed0"] for name in ("frey", "mnist")}


def encoded(path, name):
    return results.read_gathered(path).of("encoded")[f"{name}/aevb-nz2-seed0"]


def test_a_decoder_is_shipped_within_half_a_step_of_eight_bits(path):
    for run in runs(path).values():
        parts = shipped.decoder(run)
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
            shipped.decode(parts, z),
        )
        # the logits' error is at most the sum of H half steps, and a sigmoid's slope at most 1/4
        assert 0 < np.abs(full - small).max() < len(weight) * 0.5 * parts["step"].max() / 4


def test_an_encoder_is_shipped_within_half_a_step_of_eight_bits(path):
    run = runs(path)["mnist"]
    parts, images = shipped.encoder(run), encoded(path, "mnist").arrays["images"]
    weight = run.weights["encoder.hidden.weight"]
    assert parts["hidden.weight"].dtype == np.int8 and parts["output.weight"].shape == (9, 2)
    off = np.abs(parts["hidden.weight"] * parts["step"] - weight)
    assert (off <= 0.5001 * parts["step"]).all()
    # equation 9, the mean, from the whole weights
    w, x = run.weights, images / 255
    hidden = np.tanh(x @ w["encoder.hidden.weight"] + w["encoder.hidden.bias"])
    full = (hidden @ w["encoder.output.weight"] + w["encoder.output.bias"])[:, :2]
    moved = np.abs(shipped.encode(parts, x) - full)
    slopes = np.abs(w["encoder.output.weight"]).sum(0).max()  # of tanh at most 1
    assert 0 < moved.max() < slopes * 0.5 * parts["step"].max() * x.sum(1).max()


def test_a_drawing_is_framed_as_the_images_are_on_average():
    images = np.zeros((2, 6, 5), np.uint8)
    images[0, 1:4, 2] = 100  # 3 pixels high, middle at 2.5, 2.5
    images[1, 2, 0:5] = 200  # 5 pixels wide, middle at 2.5, 2.5
    images[1, 5, 4] = 10  # too dark to count for the box; moves the middle by 10 of 1010 parts
    found = shipped.framed(images.reshape(2, -1), (6, 5))
    assert found["side"] == 4 and found["white"] == round(200 / 255, 3)
    assert found["down"] == pytest.approx(2.5 + 3 * 10 / 1010 / 2, abs=1e-3)
    assert found["right"] == pytest.approx(2.5 + 2 * 10 / 1010 / 2, abs=1e-3)
    assert shipped.framed(np.zeros((3, 30), np.uint8), (6, 5)) == {}


def test_weights_of_zero_are_shipped_as_zero(path):
    run = runs(path)["mnist"]
    run.weights["decoder.output.weight"][:, 0] = 0
    parts = shipped.decoder(run)
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
        pictures.decode(run.weights, z, "bernoulli") - shipped.decode(shipped.decoder(run), z)
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


def test_points_without_images_are_shown_without(chromium, path, tmp_path, edited):
    """As results of before there were images have them."""
    older = tmp_path / "gathered.h5"
    older.write_bytes(path.read_bytes())
    with edited(older) as file:
        for name in ("mnist", "frey"):
            del file[f"tables/encoded/{name}/aevb-nz2-seed0/images"]
    html = render(older, tmp_path / "manifold.html")
    assert html.count("They hold no test images.") == 2 and 'class="pad"' not in html
    chromium.open(tmp_path / "manifold.html", ready=READY.format(2))
    chromium.js(CHOOSE.format("mnist", 7))
    assert "test point 7, digit 6" in said(chromium, "mnist")
    z = encoded(path, "mnist").frame[["z1", "z2"]].iloc[6]
    shown = shipped.decode(shipped.decoder(runs(path)["mnist"]), z.to_numpy()[None])[0]
    assert np.abs(picture(chromium, "mnist", "again") - 255 * shown).max() <= 0.51
    assert chromium.complaints() == []


def current(chromium, name, other=None):
    """The z of a map, once it is not `other`."""
    z = f"document.querySelector('#map-{name}').dataset.z"
    if other is not None:
        chromium.wait(f"{z} != '{','.join(map(str, other))}'")
    return [float(part) for part in chromium.js(z).split(",")]


def picture(chromium, name, which="picture"):
    """A picture beside a map, (D,), 0 to 255."""
    pixels = np.array(
        chromium.js(f"({READ})(document.querySelector('#map-{name} .{which}'))")
    ).reshape(-1, 4)
    assert (pixels[:, :3] == pixels[:, :1]).all() and (pixels[:, 3] == 255).all()
    return pixels[:, 0].astype(float)


def said(chromium, name):
    return chromium.js(f"document.querySelector('#map-{name} output').textContent")


def check(chromium, run, name, z):
    """The picture is Python's: of the shipped weights to half a grey level (and float32), of the
    full ones as precise as these."""
    shown, z = picture(chromium, name), np.array([z])
    small, full = (
        shipped.decode(shipped.decoder(run), z)[0],
        pictures.decode(run.weights, z, run.likelihood)[0],
    )
    assert np.abs(shown - 255 * small).max() <= 0.501
    assert np.abs(shown - 255 * full).max() <= 0.501 + 255 * np.abs(small - full).max()
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


def test_a_test_point_near_the_pointer_is_shown_with_its_image(chromium, page, path):
    chromium.open(page, ready=READY.format(2))
    for name, what in (("mnist", "digit 3"), ("frey", "frame 13 of the film")):
        table, run = encoded(path, name), runs(path)[name]
        [(left, top, width, height)] = chromium.boxes(f"#map-{name} .map")
        z = table.frame[["z1", "z2"]].iloc[13].to_numpy()
        # where the point is on the screen: from two places whose z is known
        places = np.array([[0.4, 0.3], [0.6, 0.5]])
        known, before = [], [0.0, 0.0]
        for across, down in places:
            chromium.mouse("mouseMoved", left + across * width, top + down * height)
            known.append(before := current(chromium, name, before))
        slope = (places[1] - places[0]) / np.subtract(*known[::-1])
        across, down = places[0] + slope * (z - known[0])
        chromium.mouse("mouseMoved", left + across * width, top + down * height)
        near = current(chromium, name, before)
        assert np.hypot(*(near - z)) < 0.05
        nearest = np.hypot(*(table.frame[["z1", "z2"]].to_numpy() - near).T).argmin()
        assert nearest == 13 and f"test point 14, {what}" in said(chromium, name)
        shown = picture(chromium, name, "image")
        np.testing.assert_array_equal(shown, table.arrays["images"][13])
        made = shipped.decode(shipped.decoder(run), z[None])[0]
        assert np.abs(picture(chromium, name, "again") - 255 * made).max() <= 0.51
        check(chromium, run, name, near)
        # far from all points there is none
        chromium.mouse("mouseMoved", left + 0.97 * width, top + 0.03 * height)
        current(chromium, name, near)
        assert "test point" not in said(chromium, name)
        cleared = f"({READ})(document.querySelector('#map-{name} .image'))"
        assert not any(chromium.js(cleared))
    assert chromium.complaints() == []


def test_a_drawing_is_encoded_and_decoded(chromium, page, path):
    chromium.open(page, ready=READY.format(2))
    assert chromium.js("document.querySelectorAll('.pad').length") == 1  # none for faces
    run, frame = (
        runs(path)["mnist"],
        shipped.framed(encoded(path, "mnist").arrays["images"], (28, 28)),
    )
    [(left, top, width, height)] = chromium.boxes("#map-mnist .pad")
    strokes = [(0.2, 0.3), (0.2, 0.7), (0.4, 0.7)]
    for kind, (x, y) in zip(("mousePressed", "mouseMoved", "mouseMoved"), strokes, strict=True):
        button = {"button": "left", "clickCount": int(kind == "mousePressed")}
        chromium.mouse(kind, left + x * width, top + y * height, buttons=1, **button)
    chromium.mouse("mouseReleased", left + x * width, top + y * height, button="left")
    z = current(chromium, "mnist", [0, 0])
    assert "your drawing" in said(chromium, "mnist")
    # a corner, fitted: as large and at the middle where the test images are on average
    x = picture(chromium, "mnist", "image")
    ink = x.reshape(28, 28)
    assert ink.max() == pytest.approx(255 * frame["white"], abs=1)
    down, right = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    sides = [np.ptp(places) + 1 for places in (down, right)]
    assert frame["side"] == 14 and max(sides) == pytest.approx(14, abs=1)
    middle = [ink.sum(1 - axis) @ (np.arange(28) + 0.5) / ink.sum() for axis in (0, 1)]
    np.testing.assert_allclose(middle, [frame["down"], frame["right"]], atol=0.3)
    assert ink[:, right[0] + 1].sum() > 3 * ink[:, right[-1] - 1].sum()  # its upright is left
    np.testing.assert_allclose(z, shipped.encode(shipped.encoder(run), x / 255), atol=0.02)
    check(chromium, run, "mnist", z)
    star = "Bokeh.documents[0].roots()[1].renderers.at(-2).data_source.data.x.length"
    assert chromium.js(star) == 1
    chromium.js("document.querySelector('#map-mnist .clear').click()")
    assert chromium.js(star) == 0 and "your drawing" not in said(chromium, "mnist")
    assert chromium.complaints() == []


def test_digits_stand_at_the_middle_of_their_points(chromium, page, path):
    chromium.open(page, ready=READY.format(2))
    words = "Bokeh.documents[0].roots()[{}].renderers.find(r => r.glyph.type == 'Text').data_source"
    assert (
        chromium.js(f"{words.format(0)}.data.text.length") == 0
    )  # frames of a film are no classes
    shown = chromium.js(
        f"(d => [...d.text].map((t, k) => [t, d.x[k], d.y[k]]))({words.format(1)}.data)"
    )
    middles = encoded(path, "mnist").frame.groupby("label").median()
    assert [text for text, *_ in shown] == [f"{digit:g}" for digit in middles.index]
    places = np.array([place for _, *place in shown])
    # moved by no more than letters need
    assert np.abs(places - middles.to_numpy()).max() < 0.8
    gaps = [np.hypot(*(one - other)) for one, other in itertools.combinations(places, 2)]
    assert min(gaps) > 0.1
    chromium.js("Bokeh.documents[0].roots()[1].renderers[4].visible = false")
    assert chromium.js(f"{words.format(1)}.data.text.includes('3')") is False


def test_the_address_keeps_the_view(chromium, page, path, tmp_path):
    chromium.open(page, ready=READY.format(2))
    entries = chromium.js("history.length")
    chromium.js("document.querySelector('#map-mnist .map').focus()")
    for key in ("ArrowRight", "ArrowUp", "+", "+"):
        chromium.key(key, 8 * key.startswith("Arrow"))
    z = current(chromium, "mnist")
    np.testing.assert_allclose(z, [0.5, 0.5], atol=1e-9)
    chromium.wait("location.hash.includes('zoom=2.25')")
    assert chromium.js("history.length") == entries
    address = chromium.js("location.hash")
    view = "(r => [r.start, r.end])(Bokeh.documents[0].roots()[1].x_range)"
    start, end = chromium.js(view)
    assert start < 0.5 < end
    chromium.js("""document.querySelector("#map-mnist [data-zoom='-']").click()""")
    wider = chromium.js(view)
    assert wider[1] - wider[0] == pytest.approx(1.5 * (end - start))
    chromium.js("""document.querySelector("#map-mnist [data-zoom='+']").click()""")
    np.testing.assert_allclose(chromium.js(view), [start, end], atol=1e-9)
    # a new tab with this address
    again = tmp_path / "again.html"
    again.write_bytes(page.read_bytes())
    chromium("Page.navigate", url=again.as_uri() + address)
    chromium.wait(f"document.readyState == 'complete' && {READY.format(2)}")
    np.testing.assert_allclose(current(chromium, "mnist"), z, atol=1e-3)
    np.testing.assert_allclose(chromium.js(view), [start, end], atol=0.02)
    [(_, top, _, _)] = [
        chromium.js(
            "(b => [0, b.top, 0, 0])(document.querySelector('#map-mnist').getBoundingClientRect())"
        )
    ]
    assert abs(top) < 900
    chromium.js("location.hash = '#map-frey&point=5&zoom=1e9&z=nonsense'")
    chromium.wait("document.querySelector('#map-frey').dataset.point == '5'")
    expected = encoded(path, "frey").frame[["z1", "z2"]].iloc[4]
    np.testing.assert_allclose(current(chromium, "frey"), expected, atol=1e-6)
    chromium.js("document.querySelector('#map-mnist .map').focus()")
    chromium.key("0")
    chromium.wait("location.hash.startsWith('#map-mnist') && location.hash.includes('zoom=1&')")
    assert chromium.complaints() == []


def test_a_slider_shows_the_plane_as_it_unfolds(chromium, tmp_path):
    panel = {"experiment": "mnist", "grid": 4, "along": [3e4, 1e5]}
    raw = {key: value for key, value in STUDY.items() if not key.startswith("figure")}

    def change(name, run):
        run.attributes["samples"] = {"3e4": 30_000, "1e5": 100_000}.get(name[12:15], 1_000_000)
        return with_encoder(name, run)

    path = build(tmp_path, {**raw, "seeds": [0], "figure4": [panel]}, change)
    render(path, tmp_path / "manifold.html")
    chromium.open(tmp_path / "manifold.html", ready=READY.format(1))
    said, slider = "document.querySelector('.then').textContent", "document.querySelector('.step')"
    assert chromium.js(said).startswith("1e6 training samples, test bound")
    kept = results.read_gathered(path).of("unfolding")
    for step, table in enumerate(kept.values()):
        chromium.js(f"{slider}.value = {step}; {slider}.dispatchEvent(new Event('input'))")
        assert chromium.js(said).startswith(("3e4", "1e5")[step])
        assert chromium.js(f"{slider}.getAttribute('aria-valuetext')") == chromium.js(said)
        pixels = chromium.js(f"({READ})(document.querySelector('.plane-then'))")
        width = chromium.js("document.querySelector('.plane-then').width")
        greys = np.array(pixels).reshape(-1, width, 4)
        scale = width // (12 * 28)
        # the picture in the upper left corner, which no point hides
        corner = greys[: 28 * scale : scale, : 28 * scale : scale, 0]
        expected = 255 * 0.7 + 0.3 * table.arrays["tiles"][0].reshape(28, 28)
        assert np.abs(corner - expected).max() <= 1
        # the last point lies upon all else
        z = table.frame[["z1", "z2"]].iloc[-1].to_numpy() / max(
            3, table.frame[["z1", "z2"]].abs().to_numpy().max() * 1.05
        )
        right, down = (width * (1 + z[0]) / 2, len(greys) * (1 - z[1]) / 2)
        colour = manifold.COLOURS[int(table.frame["label"].iloc[-1])]
        assert "#{:02x}{:02x}{:02x}".format(*greys[int(down), int(right), :3]) == colour
    chromium.js("document.querySelector('.play').click()")
    chromium.wait(f"{slider}.value == 2 && document.querySelector('.play').textContent == 'Play'")
    assert chromium.complaints() == []
