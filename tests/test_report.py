"""The report from synthetic results: the numbers in it, the sentences they choose, and what the page may contain."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from test_figures import DIGITS, GRID, OFFSETS, PAPER, STUDY, build, diverge, one_diverged

from aevb import config, figures, report, results

TEMPLATE = PAPER.parent / "report.html.j2"


class Page(HTMLParser):
    """Tables by class (rows of cell texts), attributes and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.links, self.tags, self.text, self.cell = {}, [], [], "", None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.links += [attrs[name] for name in ("src", "href", "action", "data", "poster", "srcset") if name in attrs]
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["class"] + attrs.get("data-experiment", ""), [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell.strip())
            self.cell = None

    def handle_data(self, data):
        self.text += data
        if self.cell is not None:
            self.cell += data

    def records(self, name):
        head, *body = self.tables[name]
        return [dict(zip(head, row, strict=False)) for row in body]


def value(text):
    return np.nan if text == "–" else float(text.replace("−", "-"))


def words(text):
    return re.sub(r"\s+", " ", text)


def render(folder, gathered, numbers=(2, 4, 5)):
    paths = {}
    for number in numbers:
        paths[number] = folder / f"figure{number}.svg"
        figures.draw(number, gathered, PAPER, [paths[number]])
    report.render(gathered, PAPER, paths, TEMPLATE, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"), change=one_diverged)


@pytest.fixture(scope="module")
def html(path, tmp_path_factory):
    return render(tmp_path_factory.mktemp("page"), path)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def paper_at(dataset, latent_dim, algorithm, split, samples):
    """The paper's bound between its two neighbouring points, on a log axis, by hand."""
    paper = pd.read_csv(PAPER)
    rows = paper[(paper.figure == 2) & (paper.dataset == dataset) & (paper.latent_dim == latent_dim)]
    rows = rows[(rows.algorithm == algorithm) & (rows.split == split)]
    rows = rows.sort_values("samples")
    before, after = rows[rows.samples <= samples].iloc[-1], rows[rows.samples > samples].iloc[0]
    weight = (np.log(samples) - np.log(before.samples)) / (np.log(after.samples) - np.log(before.samples))
    return before.value + weight * (after.value - before.value)


def ours_at(curve, column, samples):
    """A run's value between its two neighbouring evaluations, on a log axis, by hand."""
    if samples in curve.index:
        return curve.loc[samples, column]
    before, after = curve[curve.index < samples].iloc[-1], curve[curve.index > samples].iloc[0]
    weight = np.log(samples / before.name) / np.log(after.name / before.name)
    return before[column] + weight * (after[column] - before[column])


@pytest.mark.parametrize(("experiment", "decimals"), [("mnist", 2), ("frey", 1)])
def test_bounds_stand_beside_the_papers_at_the_same_count(page, path, experiment, decimals):
    gathered = results.read_gathered(path)
    table = report.comparison(gathered, pd.read_csv(PAPER))
    table = table[table.experiment == experiment]
    rows = page.records(f"bounds{experiment}")
    assert len(rows) == len(table) == {"mnist": 2, "frey": 1}[experiment] * 2 * 2 * 2
    half = 0.5 * 10**-decimals + 1e-9
    for row, line in zip(rows, table.itertuples(), strict=True):
        assert (row["samples"], int(row["Nz"]), row["split"]) == (report.count(line.samples), line.latent_dim, line.split)
        runs = [gathered.runs[f"{experiment}/{line.algorithm}-nz{line.latent_dim}-seed{seed}"] for seed in (0, 1)]
        curves = [run.curve.set_index("samples") for run in runs if run.status == "completed"]
        bounds = [ours_at(curve, line.split, line.samples) for curve in curves]
        theirs = paper_at(experiment, line.latent_dim, line.algorithm, line.split, line.samples)
        assert abs(value(row["this study"]) - np.mean(bounds)) <= half
        assert row["paper"].endswith("*") == line.interpolated and abs(value(row["paper"].rstrip("*")) - theirs) <= half
        assert abs(value(row["difference"]) - (np.mean(bounds) - theirs)) <= half
        assert int(row["seeds"]) == len(bounds)
        assert row["± sd"] == "–" if len(bounds) == 1 else abs(value(row["± sd"]) - np.std(bounds, ddof=1)) <= half
        # Student's t with one degree of freedom
        noise = np.nan if len(bounds) == 1 else {"mnist": 0.1, "frey": 1.0}[experiment] + 12.7062 * np.sqrt(1.5) * np.std(bounds, ddof=1)
        assert np.isnan(noise) == (row["± noise"] == "–") and not abs(value(row["± noise"]) - noise) > half + 1e-4
        error = (0.03 if line.split == "train" else 0.04) / np.sqrt(len(bounds))
        assert abs(value(row["MC error"]) - error) <= 0.0005 + 1e-9
        if line.split == "test":
            assert row["averaged"] == "–"
        else:
            assert abs(value(row["averaged"]) - np.mean([averaged(curve, line.samples) for curve in curves])) <= 0.01 + half


def test_the_count_compared_at_is_a_point_of_the_papers_curve_where_there_is_one(path):
    table = report.comparison(results.read_gathered(path), pd.read_csv(PAPER))
    points = set(pd.read_csv(PAPER).samples.astype(float))
    assert set(table.target) == {3e5, 1e6}
    for row in table.itertuples():
        assert (row.samples in points) != row.interpolated
        assert not row.interpolated or row.samples in GRID
    frey = table[(table.experiment == "frey") & (table.algorithm == "aevb") & (table.target == 3e5)]
    assert (frey.samples > 4.8e5).all() and not frey.interpolated.any()  # the paper's first point
    last = table[(table.experiment == "mnist") & (table.latent_dim == 3) & (table.algorithm == "aevb") & (table.target == 1e6)]
    assert set(last.samples) == {1e6} and last.interpolated.all()  # its nearest point, 1.01e6, is beyond our last evaluation


def averaged(curve, samples, window=240_000):
    """The mean of the running average over the window, summed sample by sample."""
    seen = np.arange(samples - window, samples) + 1
    return curve["running"].to_numpy()[np.searchsorted(GRID, seen)].mean()


def test_the_summary_is_computed(page, path):
    table = report.comparison(results.read_gathered(path), pd.read_csv(PAPER))
    last = table[(table.experiment == "mnist") & (table.split == "test") & (table.target == 1e6)]
    median = last.difference.abs().median()
    text = words(page.text)
    assert f"on MNIST, near 1e6 samples, by a median of {median:.2f} nats over 4 curves" in text
    assert "1 of 13 runs diverged" in text  # twelve of Figure 2, and MNIST with N_z = 2 for Figures 4 and 5
    for part in ("2 seeds (0, 1)", "5,000 training samples a second", "1 thread a job", "grey values / 256, not binarised"):
        assert part in text
    runs, pilots = results.read_gathered(path).runs, results.read_gathered(path).pilots
    hours = (len(runs) * 396 + len(pilots) * 72) / 3600
    assert f"{hours:.2f} hours of computing in all" in text


def test_other_tables_hold_their_numbers(page):
    pilots = page.records("pilots")
    assert {"0.01": "−215.25", "0.02": "−210.50", "0.1": "diverged", "chosen": "0.02"}.items() <= pilots[0].items()
    assert ("td", {"class": "n chosen"}) in page.tags
    ends = {(row["data"], row["Nz"], row["algorithm"]): row for row in page.records("ends")}
    assert ends["MNIST", "5", "AEVB"]["KL, test"] == "11.500" and ends["MNIST", "5", "AEVB"]["train − test"] == "+3.00"
    assert ends["MNIST", "5", "AEVB"]["E log p, test"] == report.number(value(ends["MNIST", "5", "AEVB"]["test"]) + 11.5)
    assert ends["Frey Face", "2", "wake-sleep"]["KL, test"] == "0.010"
    (lost,) = page.records("diverged")
    assert lost["why"] == "the bound ran away" and lost["seed"] == "1" and lost["samples"] == "3.98e5"
    cost = page.records("cost")[0]
    assert cost["training, h"] == "0.200" and cost["samples/s"] == "5,000" and cost["min per 1e6"] == "3.33"
    settings = dict(page.tables["settings"][1:])
    assert settings["training.estimator"] == "B" and settings["seeds"] == "0, 1" and "data" not in settings
    provenance = words(" ".join(cell for row in page.tables["provenance"] for cell in row))
    assert "abc123" in provenance and "torch 9.8.7" in provenance and "mnist: " + "d" * 64 in provenance


def test_what_was_not_run_is_listed(page):
    text = words(page.text)
    assert "Figure 3 of the paper (Monte Carlo EM, estimated marginal likelihood) is not part of this study." in text
    assert "MNIST, AEVB: Nz = 10, 20 and 200" in text and "Frey Face, wake-sleep: Nz = 5, 10 and 20" in text
    assert "1 % of the 1e8" in text and "Nz = 10 and 20" in text


def explained(folder, latent_dim=5, experiment="mnist", raw=None, change=None):
    folder.mkdir(exist_ok=True)
    gathered, paper = results.read_gathered(build(folder, raw, change)), pd.read_csv(PAPER)
    table = report.comparison(gathered, paper)
    part = table[(table.experiment == experiment) & (table.latent_dim == latent_dim)]
    return " ".join(report.explanations(part, gathered, paper))


def shifted(by):
    def change(name, run):
        run.curve[["train", "test", "running"]] += by - OFFSETS[run.seed]  # the same for every seed: no spread
        return run

    return change


def test_explanations_follow_the_results(tmp_path):
    # 0.1 + 12.706 * sqrt(2) * sqrt(1.5) for offsets 0 and 2
    assert "AEVB, test at 1e6: 1.00 nats above the paper, within the noise (± 22.11)" in explained(tmp_path / "noise")
    far = explained(tmp_path / "far", change=shifted(-9.0))
    assert "AEVB, test at 1e6: 9.00 nats below the paper, beyond the noise (± 0.10)" in far and "earlier" in far
    assert "AEVB: the pilot separated its two best step sizes, 0.02 and 0.01, by 4.75 nats at 1.58e5 samples." in far
    assert "later" in explained(tmp_path / "near", change=shifted(2.0))
    one = explained(tmp_path / "one", raw={**STUDY, "seeds": [0]}, change=shifted(2.0))
    assert "one seed gives no measure of the noise" in one and "beyond the noise" not in one


def test_the_train_curves_reading_is_decided_by_distance():
    row = pd.Series({"samples": 1e6, "paper": -150.0, "averaged": -151.0, "difference": 20.0})
    text = report._explain_train(row, 2, 0.1)
    assert "looks like a running average" in text and "1.00 nats from our averaged bound, 20.00 from our bound at that moment" in text
    moment = pd.Series({**row, "averaged": -180.0, "difference": 1.0})
    assert "looks like the bound at that moment" in report._explain_train(moment, 2, 0.1)
    assert "neither reading" in report._explain_train(pd.Series({**row, "averaged": -168.0}), 2, 0.1)
    assert "cannot be told apart" in report._explain_train(pd.Series({**row, "averaged": -130.0}), 2, 0.1)


@pytest.mark.parametrize(
    ("name", "samples", "study", "redraw"),
    [
        ("quick", 5e5, "--configfile config/quick.yaml --config samples=5e5", " redraw=true --forceall"),
        ("paper", 1e6, "--configfile config/paper.yaml --config samples=1e6", " redraw=true --forceall"),
        ("reference", 1e6, "--configfile config/reference.yaml", " --config redraw=true --forceall"),
        ("mine", 1e6, "--configfile FILE --config samples=1e6", " redraw=true --forceall"),
    ],
)
def test_the_commands_are_complete(name, samples, study, redraw):
    commands = report._commands(config.load({**STUDY, "name": name, "samples": samples}))
    assert commands["study"] == f"./run --cores all {study}" and commands["redraw"] == commands["study"] + redraw


def test_ignored_latents_divergence_and_settings_are_named(tmp_path):
    def change(name, run):
        return diverge(run) if name == "frey/aevb-nz2-seed1" else run

    raw = {
        **STUDY,
        "experiments": {**STUDY["experiments"], "frey": {"dataset": "frey", "likelihood": "gaussian", "hidden": 100, "scale": 255}},
    }
    text = explained(tmp_path, 2, "frey", raw, change)
    assert "Wake-sleep ignores z here" in text and "AEVB ignores z" not in text
    assert "AEVB: 1 of 2 replicas diverged" in text
    assert "hidden = 100 (the paper: 200)" in text and "scale = 255.0 (default 256.0)" in text


def test_equal_results_give_an_equal_page_and_others_another(html, path, tmp_path):
    (tmp_path / "a").mkdir()
    assert render(tmp_path / "a", path) == html
    (tmp_path / "b").mkdir()
    other = render(tmp_path / "b", build(tmp_path / "b"))
    assert other != html and "None of the" in other


def test_the_page_refers_to_nothing_outside_itself(html, page):
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert len([link for link in page.links if link.startswith("data:image/svg+xml;base64,")]) == 3
    for link in page.links:
        assert link.startswith("data:") or link[1:] in ids, link
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\(|https?:", html)
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")


def test_hostile_strings_are_text(tmp_path):
    evil = "<script>alert(1)</script>\"'>&"

    def change(name, run):
        run.attributes.update(versions=json.dumps({"torch": evil}), processor=evil)
        return diverge(run) if name == "mnist/aevb-nz2-seed0" else run

    def reason(name, run):
        run = change(name, run)
        run.attributes["reason"] = evil if run.status == "diverged" else ""
        return run

    html = render(tmp_path, build(tmp_path, change=reason))
    assert "<script" not in html and "&lt;script&gt;" in html
    page = Page(html)
    assert page.records("diverged")[0]["why"] == evil
    assert "MNIST, Nz = 2: diverged" in words(page.text)


def test_a_stand_in_says_so_and_compares_nothing(tmp_path, page):
    digits = Page(render(tmp_path, build(tmp_path, DIGITS)))
    text = words(digits.text)
    assert text.count("stand-in") == 1 and "stand-in" not in words(page.text)
    assert text.index("stand-in") < text.index("Summary")
    assert "Xeon" not in text and "Xeon" in words(page.text)
    head, *rows = digits.tables["boundsdigits_bernoulli"]
    assert "paper" not in head and len(rows) == 2 * 2 * 2 * 2
    assert "differ from the paper" not in text


def test_an_early_budget_falls_back_to_the_last_evaluation(tmp_path):
    def short_runs(name, run):
        run.curve = run.curve.iloc[:2]
        return run

    gathered = results.read_gathered(build(tmp_path, {**STUDY, "samples": 1.585e5}, short_runs))
    table = report.comparison(gathered, pd.read_csv(PAPER))
    assert set(table.samples) == {158_500} and table.paper.isna().all()
    assert "differ from the paper" not in words(Page(render(tmp_path, tmp_path / "gathered.h5")).text)


def test_a_study_that_diverged_altogether_has_a_report(tmp_path):
    page = Page(render(tmp_path, build(tmp_path, change=lambda name, run: diverge(run))))
    assert "no replica ran to an evaluation without diverging" in words(page.text)
    assert len(page.records("diverged")) == 13


def test_numbers_are_written_for_people():
    assert report.number(-1.234) == "−1.23" and report.number(0.5, 1, sign=True) == "+0.5" and report.number(np.nan) == "–"
    assert report.number(-0.001) == "0.00" and report.number(-0.001, sign=True) == "0.00"
    assert report.count(316_200) == "3.16e5" and report.count(1e6) == "1e6"
    assert report.joined(["a", "b", "c"]) == "a, b and c" and report.plural(1, "seed") == "1 seed"
