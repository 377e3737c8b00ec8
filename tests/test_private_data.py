"""A data set of private arrays, in a plug-in of a few lines: it works everywhere without another
change."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from synthetic import PAPER
from test_report import Page, words

from aevb import config, data, results
from aevb.core import plugins
from aevb.core.errors import UserError
from aevb.data import download
from aevb.engine import training
from aevb.pipeline import cost, local, plan
from aevb.report import general
from aevb.report.conventions import departures
from aevb.results.words import label
from aevb.studies.planning import budgets

PLUGIN = """import numpy as np
from aevb.data import DATASETS, Dataset, File

def read(files):
    return [np.load(file) for file in files]

def labels(files):
    return np.arange(60) % 3

DATASETS.register(Dataset(key="toy_faces", title="Toy Faces", shape=(4, 5), n_train=300, n_test=60,
                          files=(File("train.npy"), File("test.npy")), read=read, labels=labels))
"""
FILES = 'files=(File("train.npy"), File("test.npy")), '
RANDOM = np.random.RandomState(0)
TRAIN, TEST = (RANDOM.randint(0, 256, (n, 4, 5)).astype(np.uint8) for n in (300, 60))


def study(**changes):
    return {
        "name": "toy",
        "samples": 1000,
        "seeds": [0],
        "device": "cpu",
        "experiments": {
            "toy_faces": {"dataset": "toy_faces", "likelihood": "bernoulli", "hidden": 5, **changes}
        },
        "training": {"pilot_samples": 500, "step_sizes": [0.02], "warmup_steps": 1},
        "evaluation": {"first": 500},
        "figure2": [{"experiment": "toy_faces", "latent_dims": [2]}],
        "figure4": [{"experiment": "toy_faces", "grid": 2}],
        "figure5": [{"experiment": "toy_faces", "latent_dims": [2], "grid": 2}],
    }


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """plug_in(text): the plug-in file of a toy data set with its arrays beside it, loaded."""
    data.DATASETS["mnist"]  # the catalogue is complete
    monkeypatch.setattr(data.DATASETS, "entries", dict(data.DATASETS.entries))
    monkeypatch.setattr(plugins, "LOADED", {})
    folder = tmp_path / "private"
    folder.mkdir()
    np.save(folder / "train.npy", TRAIN)
    np.save(folder / "test.npy", TEST)

    def load(text=PLUGIN):
        (folder / "toy.py").write_text(text)
        plugins.load([str(folder / "toy.py")])
        return folder / "toy.py"

    yield load
    sys.modules.pop("aevb_plugin_toy", None)


@pytest.fixture
def prepared(plug_in, tmp_path):
    """prepared(text): the prepared file of the data set of a plug-in."""

    def prepare(text=PLUGIN):
        plug_in(text)
        data.prepare("toy_faces", tmp_path / "data", tmp_path / "data/toy_faces.h5")
        return tmp_path / "data/toy_faces.h5"

    return prepare


def without_files(text):
    """The plug-in, with a reader that finds its arrays itself."""
    assert FILES in text
    opened = '[np.load(__file__.replace("toy.py", f"{part}.npy")) for part in ("train", "test")]'
    return text.replace("[np.load(file) for file in files]", opened).replace(FILES, "")


def test_the_plug_in_is_short():
    assert len(PLUGIN.splitlines()) <= 15


@pytest.mark.parametrize("text", [PLUGIN, without_files(PLUGIN)])
def test_private_arrays_are_prepared_and_loaded(text, prepared, tmp_path):
    path = prepared(text)
    assert download.fetch("toy_faces", tmp_path / "data", tmp_path / "no mirror") == []
    loaded = data.load(path, config.load(study(n_train=200)).experiments["toy_faces"])
    np.testing.assert_array_equal(loaded.train, TRAIN.reshape(300, 20)[:200] / np.float32(256))
    np.testing.assert_array_equal(loaded.test, TEST.reshape(60, 20) / np.float32(256))
    with h5py.File(path) as file:
        assert file.attrs["source"] == "Toy Faces" and file.attrs["sha256"] == loaded.sha256
    assert list(data.labels("toy_faces", tmp_path / "data")) == [0, 1, 2] * 20


def test_a_change_of_code_or_files_is_seen(plug_in):
    path = plug_in()
    known, mnist = data.DATASETS["toy_faces"], data.DATASETS["mnist"]
    assert (known.code, known.module) == (path, "aevb_plugin_toy")
    assert known.private == [path.with_name("train.npy"), path.with_name("test.npy")]
    assert (mnist.code.name, mnist.module, mnist.private) == ("mnist.py", "aevb.data.mnist", [])


def test_a_configuration_is_checked_against_it(plug_in):
    with pytest.raises(
        UserError, match=r"'experiments.toy_faces.dataset' is 'toy_faces': there is"
    ):
        config.load(study())
    plug_in()
    assert config.load(study()).datasets == ["toy_faces"]
    # no distance to the paper
    assert list(plan.figures(config.load(study()))) == ["figure2", "figure4", "figure5"]
    for changes, sentence in (
        ({"scale": 16}, "scale must be 255 or 256: the values of toy_faces run from 0 to 255"),
        ({"n_train": 301}, "n_train is more than the 300 there are"),
        ({"dataset": "toyfaces"}, "there is no data set 'toyfaces'; did you mean 'toy_faces'?"),
    ):
        with pytest.raises(UserError) as error:
            config.load(study(**changes))
        assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("toy_faces", "Toy Faces"),
        ("toy_faces_1000", "Toy Faces 1000"),
        ("toy_faces_mnist+l5-m20", "Toy Faces MNIST, l5-m20"),
        ("toy", "toy"),
        ("my_frey", "my Frey Face"),
        ("mnist_1000", "MNIST 1000"),
        ("digits_bernoulli", "digits bernoulli"),
    ],
)
def test_its_title(name, title, plug_in):
    plug_in()
    assert label(name) == title


@pytest.mark.parametrize("labels", ["classes", "a film", "none"])
def test_a_study_of_it_from_the_arrays_to_the_pages(labels, plug_in, monkeypatch, tmp_path):
    text = {
        "classes": PLUGIN,
        "a film": PLUGIN.replace(
            "labels=labels", 'labels=labels, label="frame", along="a short film"'
        ),
        "none": PLUGIN.replace(", labels=labels", ""),
    }[labels]
    plug_in(text)
    monkeypatch.chdir(tmp_path)
    toy = config.load(study())
    local.run([job for job in plan.jobs(toy) if job.kind != "paper"])
    gathered = results.read_gathered(f"{toy.folder}/gathered.h5")
    [encoded] = gathered.of("encoded").values()
    assert encoded.frame["label"].isna().all() == (labels == "none") and len(encoded.frame) == 60
    page = words(Page(Path(f"{toy.folder}/report.html").read_text(encoding="utf-8")).text)
    assert "Toy Faces" in page and "toy_faces," not in page and "stand-in" not in page
    html = Path(f"{toy.folder}/manifold.html").read_text(encoding="utf-8")
    assert "Toy Faces" in html and "60 test points" in html
    said = {
        "test points by class; press one": labels == "classes",
        "test points by frame of a short film": labels == "a film",
    }
    assert {text: text in html for text in said} == said
    found = general.part(gathered, pd.read_csv(PAPER), {}).facts
    assert found["others"] and not found["stand_ins"]
    assert departures(toy, "toy_faces") == [
        "warmup_steps = 1 (default 100)",
        "step_sizes = [0.02] (default [0.01, 0.02, 0.1])",
        "pilot_samples = 500 (default 100000)",
    ]


def test_its_cost_is_estimated(plug_in):
    plug_in()
    toy = config.load(study())
    run = next(iter(budgets(toy)))
    evaluations = len(training.grid(500, 1000, 10, 1))
    assert cost.run_seconds(toy, run, 1e-3, 1000) == pytest.approx(
        1e-3 * (1000 + evaluations * (300 + 60) * cost.EVALUATION_COST)
    )
    assert 0 < cost.seconds_per_sample(toy, run) < 1


MISTAKES = {
    "no array": (
        lambda text: text.replace("train.npy", "absent.npy"),
        r"private/absent.npy does not exist; put it there or mend .*private/toy.py$",
    ),
    "another checksum": (
        lambda text: text.replace('File("test.npy")', 'File("test.npy", sha256="0" * 64)'),
        r"private/test.npy is damaged: .*; restore it or mend .*toy.py$",
    ),
    "number": (
        lambda text: text.replace("n_train=300", "n_train=301"),
        r"the training images of the data set 'toy_faces' are an array \(300, 4, 5\) instead of "
        r"\(301, 4, 5\); mend .*toy.py$",
    ),
    "shape": (
        lambda text: text.replace("(4, 5)", "(5, 4)"),
        r"are an array \(300, 4, 5\) instead of \(300, 5, 4\)",
    ),
    "levels": (
        lambda text: text.replace("n_test=60", "n_test=60, levels=200"),
        r"the training images .* are not whole numbers from 0 to 199; mend .*toy.py$",
    ),
    "fractions": (
        lambda text: text.replace("np.load(file)", "np.load(file) / 255"),
        "the training images .* are not whole numbers from 0 to 255; mend",
    ),
    "no number": (
        lambda text: text.replace("np.load(file)", "np.load(file) * np.nan"),
        "the training images .* are not whole numbers from 0 to 255; mend",
    ),
    "negative": (
        lambda text: text.replace("np.load(file)", "np.load(file) - 1.0"),
        "the training images .* are not whole numbers from 0 to 255; mend",
    ),
    "one array": (
        lambda text: text.replace("for file in files", "for file in files[:1]"),
        r"`read` of the data set 'toy_faces' does not return two arrays, .*; mend .*toy.py$",
    ),
    "error": (
        lambda text: text.replace("np.load(file)", "1 / 0"),
        r"the data set 'toy_faces' cannot be read \(ZeroDivisionError: .*\); mend .*toy.py$",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_in_the_arrays_are_one_sentence(case, prepared, tmp_path):
    change, sentence = MISTAKES[case]
    with pytest.raises(UserError, match=sentence) as error:
        prepared(change(PLUGIN))
    assert "\n" not in str(error.value) and not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"toy_faces"', '"Toy Faces"', "'Toy Faces' needs a key of small letters"),
        ('"toy_faces"', '"mnist"', "there is another data set 'mnist'; rename one of them"),
        ("shape=(4, 5), ", "", r"toy.py cannot be imported \(TypeError: .*'shape'\); mend it"),
        ("n_test=60", "n_test=0", "n_test as whole numbers from 1"),
        ("n_test=60", "n_test=60, levels=257", "levels from 2 to 256"),
        ("read=read", "read=7", "needs a function `read`"),
        ("read=read", 'read=read, urls=("http://host/",)', "needs a size and a sha256"),
    ],
)
def test_mistakes_in_the_plug_in_are_one_sentence(old, new, sentence, plug_in):
    assert old in PLUGIN
    with pytest.raises(UserError, match=sentence) as error:
        plug_in(PLUGIN.replace(old, new))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "found"),
    [("np.arange(61)", r"int64 \(61,\)"), ("np.full(60, np.nan)", r"float64 \(60,\)")],
)
def test_wrong_labels_are_one_sentence(values, found, plug_in, tmp_path):
    plug_in(PLUGIN.replace("np.arange(60)", values))
    with pytest.raises(UserError, match=rf"`labels` .* returns {found} instead of 60 finite"):
        data.labels("toy_faces", tmp_path)


@pytest.mark.parametrize("values", ["np.arange(9)", "np.full(300, 0.5)"])
def test_wrong_labels_of_training_images_are_one_sentence(values, plug_in, tmp_path):
    assert data.training_labels("frey", tmp_path) is None
    added = f"labels=labels, training_labels=lambda files: {values}"
    plug_in(PLUGIN.replace("labels=labels", added))
    with pytest.raises(UserError, match=r"`training_labels` .* instead of 300 whole numbers"):
        data.training_labels("toy_faces", tmp_path)


def test_whole_numbers_of_any_type_are_taken(prepared):
    for form in ("np.int64", "float"):
        text = PLUGIN.replace("np.load(file)", f"np.load(file).astype({form}).reshape(-1, 20)")
        sys.modules.pop("aevb_plugin_toy", None)
        plugins.LOADED.clear()
        data.DATASETS.entries.pop("toy_faces", None)
        with h5py.File(prepared(text)) as file:
            assert file["train"].dtype == np.uint8
            np.testing.assert_array_equal(file["train"][:], TRAIN.reshape(300, 20))
