"""One place each: a data set, a likelihood, a learner, an estimator of log p(x), a claim and a
study come in one file outside the package, and nothing else is touched.

The files are tests/plugins/*.py; docs/extending.md shows them.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from aevb import config, results
from aevb.core import plugins
from aevb.core.errors import UserError
from aevb.core.fingerprint import _sources, fingerprint
from aevb.data import DATASETS
from aevb.learners import LEARNERS, appearance
from aevb.marginal import ESTIMATORS
from aevb.models.likelihoods import LIKELIHOODS
from aevb.paper import claims
from aevb.paper.facts import CURVES
from aevb.pipeline import cost, made, plan
from aevb.report import costs, live, pages, style
from aevb.results.csv import read
from aevb.studies import STUDIES, Study
from aevb.studies.figure2.live import figure2

ROOT = Path(__file__).parents[1]
TOYS = ROOT / "tests" / "plugins"
NAMES = ("stripes", "laplace", "weighted", "prior", "learning", "reconstruction")
RAW = {
    "name": "toys",
    "samples": 2e4,
    "seeds": [0, 1],
    "device": "cpu",
    "plugins": [f"plugins/{name}.py" for name in NAMES],
    "experiments": {
        "stripes": {"dataset": "stripes", "likelihood": "bernoulli", "hidden": 10, "scale": 255},
        "digits": {
            "dataset": "digits",
            "likelihood": "laplace",
            "hidden": 10,
            "scale": 16,
            "dequantise": True,
        },
    },
    "training": {"warmup_steps": 5, "step_sizes": [0.05], "pilot_samples": 2000},
    "evaluation": {"first": 5000},
    "weighted": {"beta": 2},
    "figure2": [
        {"experiment": name, "latent_dims": [2], "algorithms": ["aevb", "weighted"]}
        for name in ("stripes", "digits")
    ],
    "figure4": [{"experiment": "stripes", "grid": 3}],
    "figure5": [{"experiment": "digits", "latent_dims": [2], "grid": 3}],
    "estimators": {
        "experiment": "stripes",
        "latent_dims": [2],
        "datapoints": 4,
        "replicates": 2,
        "draws": [8],
    },
    "evidence": {"warmup": 5},
    "reconstruction": {"experiment": "stripes", "latent_dims": [1, 4]},
}
#: what is asked for when only one study of the project is
SMALL = {key: RAW[key] for key in ("name", "samples", "seeds", "training", "evaluation")} | {
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 10, "scale": 16}
    },
    "figure2": [{"experiment": "digits", "latent_dims": [2]}],
}


def toys(folder, names=NAMES):
    """Copy the plug-ins `names` into the folder plugins/ of `folder`, with their private arrays."""
    place = folder / "plugins"
    place.mkdir()
    for name in names:
        shutil.copy(TOYS / f"{name}.py", place)
    random = np.random.RandomState(0)
    width = 1 + np.arange(360) % 3
    grey = 200 * (np.arange(6) // width[:, None] % 2)[:, None, :] + random.randint(
        0, 56, (360, 6, 6)
    )
    grey = grey.astype(np.uint8)
    np.savez(place / "stripes.npz", train=grey[:300], test=grey[300:], width=width[300:])


@pytest.fixture
def clean(monkeypatch):
    """Catalogues, claims and loaded plug-ins as they are without those of a test."""
    for catalogue in (DATASETS, LIKELIHOODS, LEARNERS, ESTIMATORS, STUDIES):
        list(catalogue)  # it is complete
        monkeypatch.setattr(catalogue, "entries", dict(catalogue.entries))
    claims.catalogue()
    monkeypatch.setattr(claims, "CLAIMS", [*claims.CLAIMS])
    monkeypatch.setattr(plugins, "LOADED", {})
    _sources.cache_clear()  # it has read the files of other tests
    fingerprint.cache_clear()
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(plugins.PREFIX):
            del sys.modules[name]


@pytest.fixture
def loaded(clean, tmp_path, monkeypatch):
    """The configuration of the study with all six toys, in a folder that holds nothing else."""
    toys(tmp_path)
    monkeypatch.chdir(tmp_path)
    return config.load(RAW)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder in which the study has run to its end, in a process of its own."""
    folder = tmp_path_factory.mktemp("toys")
    toys(folder)
    (folder / "toys.yaml").write_text(yaml.safe_dump(RAW))
    done = aevb(folder, "run", "toys.yaml")
    assert done.returncode == 0, done.stderr
    return folder / "results" / "toys-2e4"


def aevb(folder, *arguments):
    """`python -m aevb` in `folder`."""
    command = [sys.executable, "-m", "aevb", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def gathered(study, loaded):
    """What the study gathered, drawn from by somebody who has the plug-ins."""
    return results.read_gathered(study / "gathered.h5")


@pytest.fixture(scope="module")
def page(study):
    """The words of the page."""
    text = (study / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text).replace("&#39;", "'")
    return " ".join(text.split()).replace("N z", "N_z")


@pytest.fixture
def paper(study, gathered):
    """The paper in Typst's language."""
    tables = {path.stem: read(path) for path in study.glob("*.csv") if path.stem != "curves"}
    figures = {path.stem: str(path) for path in (study / "figures").glob("*.pdf")}
    shown = {name: table for name, table in tables.items() if len(table)}
    return pages.source(gathered, pd.read_csv(CURVES), figures, shown)


def rows(path):
    """The rows of a CSV file."""
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


BINARY = {".pyc", ".h5"}


def test_no_file_of_the_project_names_a_toy():
    named = [f'"{name}"' for name in ("stripes", "weighted", "learning", "reconstruction")]
    files = [*ROOT.glob("src/**/*.*"), *ROOT.glob("workflow/**/*.*"), *ROOT.glob("report/*.j2")]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix not in BINARY}
    assert len(texts) > 100
    assert not [path for path, text in texts.items() if any(name in text for name in named)]


def test_all_six_are_in_the_plan(loaded):
    jobs = {job.rule: job for job in plan.jobs(loaded)}
    assert jobs["dataset_stripes"].code == ("aevb.data:prepare", "aevb_plugin_stripes")
    assert jobs["dataset_stripes"].inputs == {
        "private": [str(Path("plugins/stripes.npz").resolve())]
    }
    digits, stripes = jobs["train_digits_0"], jobs["train_stripes_0"]
    assert "aevb_plugin_laplace:Laplace" in digits.code and digits.settings["weighted"] == {
        "beta": 2
    }
    assert "aevb_plugin_weighted:Weighted" in {*digits.code} & {*stripes.code}
    assert "aevb_plugin_laplace:Laplace" not in stripes.code
    assert "aevb_plugin_prior:prior" in jobs["estimators_stripes_0"].code
    job = jobs["reconstruction_stripes_0"]
    assert [Path(path).parts[2] for path in job.outputs] == ["reconstruction"] * 4
    assert job.work == "aevb_plugin_reconstruction:work" and job.makes
    assert {run.latent_dim for run in job.runs} == {1, 4}
    assert jobs["gather"].inputs["reconstruction"] == job.outputs
    assert jobs["figure_reconstruction"].code == ("aevb_plugin_reconstruction:figure",)
    assert f"{loaded.folder}/reconstruction.csv" in jobs["claims"].outputs
    assert {"aevb_plugin_learning", "aevb_plugin_reconstruction"} <= {*jobs["claims"].code}
    for kind in ("report", "paper"):
        assert "aevb_plugin_reconstruction:part" in jobs[kind].code
        assert "== reconstruction" in jobs[kind].settings["texts"]["reconstruction"]


def test_snakemake_plans_the_same_jobs(loaded, tmp_path):
    (tmp_path / "toys.yaml").write_text(yaml.safe_dump(RAW))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "toys.yaml", "--cores", "1", "--dry-run"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    listed = done.stdout + done.stderr
    for job in plan.jobs(loaded):
        assert re.search(rf"^{job.rule} +1$", listed, re.MULTILINE), job.rule


def test_the_cost_is_announced(loaded, capsys):
    cost.announce(loaded, 1, plan.jobs(loaded))
    said = capsys.readouterr().err
    assert "To train: 12 models (digits, stripes; AEVB, weighted KL) of 2e4 samples each" in said
    [job] = [job for job in plan.jobs(loaded) if job.kind == "reconstruction"]
    assert job.seconds > 0
    cost.announce(loaded, 1, [job])
    assert "Estimated time on 1 core(s)" in capsys.readouterr().err


def test_the_data_set(study, gathered, page, paper):
    assert {run.dataset for run in gathered.runs.values()} == {"stripes", "digits"}
    with h5py.File(study.parents[1] / "data" / "stripes.h5") as file:
        assert file["train"].shape == (300, 36) and file.attrs["source"] == "Stripes"
    assert {"stripes", "digits"} == {row["dataset"] for row in rows(study / "curves.csv")}
    for text in (page, paper):
        assert "Stripes" in text and "nats per datapoint" in text
    assert "grey values / 255" in page
    html = (study / "manifold.html").read_text(encoding="utf-8")
    assert "Stripes" in html and "60 test points" in html and "test points by width" in html
    table = gathered.of("encoded")["stripes/aevb-nz2-seed0"].frame
    assert set(table["label"]) == {1, 2, 3}


def test_the_likelihood(gathered, page, paper):
    mine = [run for run in gathered.runs.values() if run.likelihood == "laplace"]
    assert {run.experiment for run in mine} == {"digits"} and len(mine) == 4
    for run in mine:
        assert run.curve["test"].iloc[-1] > run.curve["test"].iloc[0]
        assert run.settings["experiment"]["likelihood"] == "laplace"
    table = gathered.of("baselines")["digits"].frame
    assert np.isfinite(table["value"]).all()
    assert "Laplace decoder, 10 hidden units" in page and "Laplace decoder" in paper


def test_the_learner(study, gathered, page, paper):
    mine = [run for run in gathered.runs.values() if run.algorithm == "weighted"]
    assert len(mine) == 4 and all(run.settings["weighted"] == {"beta": 2.0} for run in mine)
    for run in mine:
        assert run.status == "completed"
    # Its own bound: with twice the KL it is below that of AEVB
    for experiment in ("stripes", "digits"):
        theirs = gathered.runs[f"{experiment}/aevb-nz2-seed0"].curve["test"].iloc[-1]
        assert gathered.runs[f"{experiment}/weighted-nz2-seed0"].curve["test"].iloc[-1] < theirs
    assert "weighted" in {row["algorithm"] for row in rows(study / "curves.csv")}
    look, others = appearance("weighted"), {appearance(k) for k in LEARNERS if k != "weighted"}
    assert not any(look.colour == o.colour or look.marker == o.marker for o in others)
    words = f"weighted KL {look.word} with {style.MARKERS[look.marker]}"
    assert words in page and words in paper
    assert "weighted KL" in (study / "report.html").read_text(encoding="utf-8").split("data-tag")[2]
    drawn = {
        tag
        for panel in _live(gathered).panels.values()
        for curve in panel.plot.renderers
        for tag in curve.tags
    }
    assert {"aevb", "weighted"} <= drawn


def _live(gathered):
    return figure2(gathered, pd.read_csv(CURVES))


def test_a_learner_with_any_marker_is_drawn(gathered, monkeypatch):
    monkeypatch.setattr(LEARNERS["weighted"], "marker", "1")
    monkeypatch.setattr(LEARNERS["weighted"], "colour", "#123456")
    assert style.in_words(["weighted"]) == "weighted KL its colour with its marker"
    assert len(_live(gathered).panels) == 2
    assert "1" not in live.SHAPES


def test_the_estimator(gathered, page, paper):
    table = gathered.of("estimators")["stripes/aevb-nz2-seed0"].frame
    mine = table[table["estimator"] == "prior"]
    assert sorted(mine["data"]) == ["simulated", "test"] and np.isfinite(mine["bias"]).all()
    assert "samples of the prior" in page and "samples of the prior" in paper


def test_the_claim(study, page, paper):
    claim = next(row for row in rows(study / "claims.csv") if row["claim"].startswith("101."))
    assert claim["claim"] == "101. training raises the bound" and claim["checks"] == "2"
    assert claim["verdict"].startswith("holds") and float(claim["effect"]) > 0
    assert {"Stripes, N_z = 2", "digits, N_z = 2"} == {
        row["check"] for row in rows(study / "checks.csv") if row["claim"] == claim["claim"]
    }
    for text in (page, paper):
        assert "101. Training raises the bound" in text


def test_the_study(study, gathered, page, paper):
    table = rows(study / "reconstruction.csv")
    assert [(row["latent_dim"], row["seed"]) for row in table] == [
        ("1", "0"),
        ("1", "1"),
        ("4", "0"),
        ("4", "1"),
    ]
    stored = gathered.of("reconstruction")["stripes/aevb-nz4-seed1"]
    assert stored.frame["error"].item() == pytest.approx(float(table[-1]["error"]), rel=1e-5)
    assert 0 < stored.frame["error"].item() < 0.5
    assert json.loads(stored.attributes["config"])["experiment"]["dataset"] == "stripes"
    assert stored.attributes["seconds"] > 0 and "reconstruction" in page
    for suffix in ("svg", "pdf", "png"):
        assert (study / "figures" / f"reconstruction.{suffix}").stat().st_size > 1000
    curves = [row for row in rows(study / "curves.csv") if row["figure"] == "reconstruction"]
    assert {row["latent_dim"] for row in curves} == {"1", "4"}
    least = min(float(row["error"]) for row in table)
    for text in (page, paper):
        assert "Error of reconstructions" in text and "Images of Stripes, reconstructed" in text
        assert f"The least error is {least:.3f}." in text and "Error: root mean square over" in text
        assert "12. More latent variables reconstruct better" in text
    verdict = next(row for row in rows(study / "claims.csv") if row["claim"].startswith("12."))
    assert verdict["figure"] == "reconstruction" and verdict["checks"] == "1"
    assert 'id="reconstruction"' in (study / "report.html").read_text(encoding="utf-8")


def test_its_hours_and_its_code_are_in_the_report(page, gathered, monkeypatch):
    per_curve, total = costs.cost(gathered)
    mine = sum(row["reconstruction"] for row in per_curve)
    assert mine == pytest.approx(total["reconstruction"]) and mine > 0
    monkeypatch.setattr(costs, "SHOWN", 0)  # these are milliseconds
    kinds = costs.kinds_of(total, gathered)
    assert "2.00 of reconstructions" in costs.hours_said({**total, "reconstruction": 2.0}, kinds)
    assert "results were made by code that is still the same" in page
    for table in gathered.of("reconstruction").values():
        assert "aevb_plugin_reconstruction" in table.attributes["code_modules"]


def test_what_is_there_stays(study, loaded, monkeypatch):
    monkeypatch.chdir(study.parents[1])
    jobs = plan.jobs(loaded)
    mine = [job for job in jobs if job.kind in ("train", "estimators", "reconstruction")]
    # the plug-ins are equal files in another folder
    assert len(mine) == 4 and not any(map(made.due, mine))
    changed = loaded.model_copy(update={"weighted": LEARNERS["weighted"].Options(beta=3)})
    [digits] = [job for job in plan.train_jobs(changed) if job.name == "digits_0"]
    assert {run.algorithm for run in made.due(digits).runs} == {"weighted"}


def test_a_redraw_needs_the_plug_ins_and_says_so(study, clean, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        results.read_gathered(study / "gathered.h5")
    assert str(error.value) == (
        "the plug-in plugins/stripes.py does not exist; put it there (seen from the working "
        "directory) or mend `plugins`; these results need the plug-ins that made them"
    )
    toys(tmp_path)
    (tmp_path / "plugins").rename(tmp_path / "elsewhere")
    plugins.load([str(tmp_path / "elsewhere")])
    gathered = results.read_gathered(study / "gathered.h5")
    assert list(gathered.of("reconstruction")["stripes/aevb-nz1-seed0"].frame) == [
        "latent_dim",
        "error",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_comes_alone(name, clean, tmp_path):
    toys(tmp_path, [name])
    raw = {**SMALL, "plugins": [str(tmp_path / "plugins" / f"{name}.py")]}
    before = {job.rule: job.code for job in plan.jobs(config.load(SMALL))}
    study = config.load(raw)
    after = {job.rule: job.code for job in plan.jobs(study)}
    assert list(after) == list(before)  # it changes nothing that does not ask for it
    same = [rule for rule in before if rule not in ("claims", "report", "paper")]
    assert all(before[rule] == after[rule] for rule in same)


# Mistakes -------------------------------------------------------------------------------------


STUDY = """
from aevb.core.run import Job
from aevb.core.sections import Strict
from aevb.studies import STUDIES, Figure, Study


class Options(Strict):
    pass


class Mine(Study):
    key, section = "mine", Options
    columns = {"mine": {"x": "a number"}}
    texts = "== mine\\nA caption."

    def jobs(self, config):
        return [Job("mine", "all", f"{__name__}:work", ["results/mine/all.h5"])]

    def figures(self, config):
        return {"mine": Figure("Mine", f"{__name__}:draw")}

    def numbers(self, config):
        return {"mine": f"{__name__}:table"}

    def part(self):
        return f"{__name__}:part"


def work(jobs): pass
def draw(gathered, paper): pass
def table(gathered, paper, others=()): pass
def part(gathered, paper, numbers): pass


STUDIES.register(Mine())
"""
REFUSED = {
    "raises": (
        STUDY + "1 / 0\n",
        r"plug-in \S+/mine.py cannot be imported \(ZeroDivisionError: division by zero\); mend it",
    ),
    "ends Python": (STUDY + "raise SystemExit(3)\n", r"cannot be imported \(SystemExit: 3\)"),
    "no Python": ("def (", r"cannot be imported \(SyntaxError: invalid syntax"),
    "imports what is not there": (
        "import nothing_of_the_kind\n",
        r"cannot be imported \(ModuleNotFoundError: No module named 'nothing_of_the_kind'\)",
    ),
    "no key": (
        STUDY.replace("key, section = ", "_, section = "),
        "in the plug-in .*mine.py: a study needs a `key` of small letters, digits, - and _",
    ),
    "a key that is no name": (
        STUDY.replace('"mine", Options', '"my-study", Options'),
        "the study 'my-study' needs a key that is a name in Python",
    ),
    "a class": (STUDY.replace("Mine())", "Mine)"), "the study 'mine' is no Study; register an obj"),
    "a key that is taken": (
        STUDY.replace('"mine", Options', '"figure2", Options'),
        "mine.py: there is another study 'figure2'; rename one of them",
    ),
    "a key of the configuration": (
        STUDY.replace('"mine", Options', '"samples", Options'),
        "the configuration has another key 'samples'; rename the study 'samples'",
    ),
    "a method that fails": (
        STUDY.replace("return [Job(", "return [Jobs("),
        r"plug-in \S+mine.py fails in line 17 \(NameError: name 'Jobs' is not defined.*\); mend",
    ),
    "a check that fails": (
        STUDY.replace("    def jobs", "    def check(self, config): 1 / 0\n\n    def jobs"),
        r"mine.py fails in line 16 \(ZeroDivisionError: division by zero\); mend it",
    ),
    "work that is not there": (
        STUDY.replace("def work", "def works"),
        "the job mine_all needs aevb_plugin_mine:work, which is not there; mend its name",
    ),
    "work in another module": (
        STUDY.replace('f"{__name__}:work"', '"mine:work"'),
        "the job mine_all needs aevb.mine:work, which is not there; mend its name",
    ),
    "a figure that is not there": (
        STUDY.replace("def draw", "def paint"),
        "figure mine needs aevb_plugin_mine:draw, which is not there",
    ),
    "a table that is not there": (
        STUDY.replace("def table", "def tables"),
        "table mine needs aevb_plugin_mine:table, which is not there",
    ),
    "a part that is not there": (
        STUDY.replace("def part(g", "def parts(g"),
        "study mine needs aevb_plugin_mine:part, which is not there",
    ),
    "no caption": (
        STUDY.replace("== mine", "== ours"),
        "the figure mine has no caption; add a section '== mine' to the texts of the study 'mine'",
    ),
    "columns nobody described": (
        STUDY.replace('columns = {"mine"', 'columns = {"ours"'),
        "has jobs of the kind 'mine', which its `columns` do not describe; add them",
    ),
    "a file of another study": (
        STUDY.replace('return {"mine": Figure', 'return {"figure2": Figure').replace(
            "== mine", "== figure2"
        ),
        "another study makes 'figure2'; rename that of 'mine'",
    ),
    "two jobs of a name": (
        STUDY.replace('["results/mine/all.h5"])]', '["results/mine/all.h5"])] * 2'),
        "two jobs are called mine_all; rename one of them",
    ),
    "a learner without a bound": (
        "from aevb.learners import LEARNERS\nfrom aevb.learners.autograd import AutogradLearner\n"
        "class Mine(AutogradLearner):\n    key, label, title = 'mine', 'M', 'M'\n"
        "LEARNERS.register(Mine)\n",
        "the learner 'mine' has no `bound`",
    ),
    "a learner that is an object": (
        "from aevb.learners import LEARNERS\nfrom aevb.learners.aevb import AEVB\n"
        "class Mine(AEVB):\n    key = 'mine'\n"
        "LEARNERS.register(Mine('bernoulli', None))\n",
        "the learner 'mine' is no class that is derived from Learner; register the class",
    ),
    "a likelihood without decimals": (
        "from aevb.models.likelihoods import LIKELIHOODS\n"
        "from aevb.models.likelihoods.bernoulli import Bernoulli\n"
        "class Mine(type(LIKELIHOODS['bernoulli']).__mro__[1]):\n    key = 'mine'\n"
        "    log_density = noise = sample = ignoring_z = None\n"
        "LIKELIHOODS.register(Mine())\n",
        "the likelihood 'mine' has no `title`",
    ),
    "a claim of a number that is taken": (
        "from aevb.paper.claims import catalogue, claim\n"
        "catalogue()\n"
        "claim(3, 'mine', says='', statement='', rule='', needs='')(len)\n",
        "mine.py: there are two claims 3; give one of them another number",
    ),
    "an estimator of a key that is taken": (
        "from aevb.marginal import ESTIMATORS, Estimator\n"
        "ESTIMATORS.register(Estimator('ais', 'mine', None))\n",
        r"mine.py: there is another estimator of log p\(x\) 'ais'; rename one of them",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_sentence_before_any_job(case, clean, tmp_path):
    text, sentence = REFUSED[case]
    (tmp_path / "mine.py").write_text(text)
    raw = {**SMALL, "plugins": [str(tmp_path / "mine.py")]}
    raw |= {"mine": {}} if 'key, section = "mine"' in text else {}
    with pytest.raises(UserError, match=sentence) as error:
        plan.jobs(config.load(raw))
    assert "\n" not in str(error.value)


def test_the_study_of_these_mistakes_has_none_of_its_own(clean, tmp_path):
    (tmp_path / "mine.py").write_text(STUDY)
    raw = {**SMALL, "plugins": [str(tmp_path / "mine.py")], "mine": {}}
    planned = {job.rule for job in plan.jobs(config.load(raw))}
    assert {"mine_all", "figure_mine"} <= planned


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            "absent.py",
            r"the plug-in \S+absent.py does not exist; put it there .* or mend `plugins`",
        ),
        ("empty", r"the plug-in folder \S+empty holds no .py file; mend `plugins`"),
        ("mine.md", r"the plug-in \S+mine.md is no .py file; mend `plugins`"),
        ("one.two.py", r"the plug-in \S+one.two.py has a dot too many in its name; rename it"),
    ],
)
def test_a_place_without_a_plug_in_is_one_sentence(place, sentence, clean, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("one.two.py", "mine.md"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=sentence):
        config.load({**SMALL, "plugins": [str(tmp_path / place)]})


def test_the_command_and_snakemake_say_the_sentence_alone(tmp_path):
    raw = {**SMALL, "plugins": ["mine.py"], "mine": {}}
    (tmp_path / "mine.py").write_text(REFUSED["work that is not there"][0])
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    sentence = "the job mine_all needs aevb_plugin_mine:work, which is not there; mend its name"
    done = aevb(tmp_path, "run", "mine.yaml")
    assert done.returncode == 1 and done.stderr == f"error: {sentence}\n"
    taken, _ = REFUSED["a claim of a number that is taken"]
    (tmp_path / "mine.py").write_text(taken.replace("catalogue()\n", ""))  # before all others
    (tmp_path / "claim.yaml").write_text(yaml.safe_dump({**SMALL, "plugins": ["mine.py"]}))
    done = aevb(tmp_path, "run", "claim.yaml")
    assert done.returncode == 1 and "there are two claims 3; give one of them" in done.stderr
    (tmp_path / "mine.py").write_text(REFUSED["work that is not there"][0])
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "mine.yaml", "--cores", "1", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and sentence in said and "Traceback" not in said
    assert not (tmp_path / "results").exists() and not (tmp_path / "data").exists()


def test_a_table_without_a_caption_is_one_sentence(gathered, monkeypatch):
    study = STUDIES["reconstruction"]
    monkeypatch.setattr(
        study, "texts", study.texts.replace("cap-reconstruction", "cap-other"), False
    )

    table = pd.DataFrame({"experiment": ["stripes"], "latent_dim": [1], "error": [0.2]})
    with pytest.raises(
        UserError, match="the text cap-reconstruction is missing; add '== cap-recons"
    ):
        pages.source(gathered, pd.read_csv(CURVES), {}, {"reconstruction": table})


def test_an_installed_package_is_a_plug_in(clean, tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(STUDY.replace("{__name__}", "aevb_plugin_theirs"))
    monkeypatch.syspath_prepend(tmp_path)

    class Point:
        name, value, module = "theirs", "their_package", "their_package"

        def load(self):
            return __import__(self.module)

    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [Point()])
    planned = {job.rule: job for job in plan.jobs(config.load({**SMALL, "mine": {}}))}
    assert planned["mine_all"].work == "aevb_plugin_theirs:work"
    (tmp_path / "their_package.py").write_text("1 / 0")
    del sys.modules["their_package"], plugins.LOADED["their_package"]
    with pytest.raises(UserError, match="the installed plug-in theirs cannot be imported"):
        config.load(SMALL)
    sys.modules.pop("their_package", None)


def test_text_of_a_study_may_be_a_file(clean, tmp_path):
    (tmp_path / "mine.j2").write_text("== mine\nOf {{ what }}.\n")
    assert pages.texts(tmp_path / "mine.j2", {"what": "a file"}) == {"mine": "Of a file."}
    assert pages.texts("== mine\nOf {{ what }}.\n== b\nc", {"what": "x"}) == {
        "mine": "Of x.",
        "b": "c",
    }
    assert Study().text() == ""


# The recipes ----------------------------------------------------------------------------------

RECIPES = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(enumerate(BLOCK.findall(RECIPES.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("number", BLOCKS)
def test_each_code_block_of_the_recipes_runs(number, clean, tmp_path):
    (tmp_path / "recipe.py").write_text(BLOCKS[number])
    before = sum(map(len, map(list, (DATASETS, LIKELIHOODS, LEARNERS, ESTIMATORS, STUDIES))))
    before += len(claims.CLAIMS)
    plugins.load([str(tmp_path / "recipe.py")])
    after = sum(map(len, map(list, (DATASETS, LIKELIHOODS, LEARNERS, ESTIMATORS, STUDIES))))
    assert after + len(claims.CLAIMS) == before + 1


def test_the_recipes_are_the_toys():
    """Each block consists of lines of a toy, so that what the study above shows holds for it."""
    toys = {
        line.strip() for name in NAMES for line in (TOYS / f"{name}.py").read_text().splitlines()
    }
    assert len(BLOCKS) == 6
    for block in BLOCKS.values():
        new = [line for line in block.splitlines() if line.strip() not in toys]
        assert not new
