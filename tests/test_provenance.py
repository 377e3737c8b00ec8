"""Where results come from: a fingerprint of the code that forgives words, and what follows from
it."""

import importlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from aevb.core import fingerprint as fingerprints
from aevb.core import provenance
from aevb.core.catalogue import Catalogue
from aevb.core.errors import UserError
from aevb.core.fingerprint import QUIET, Code, Sources, fingerprint
from aevb.core.run import Job
from aevb.engine.roots import TRAINING, roots
from aevb.learners import LEARNERS
from aevb.models import kernels
from aevb.models.likelihoods import LIKELIHOODS
from aevb.pipeline import made

SMALL = {
    "__init__": "",
    "core/__init__": "",
    "core/catalogue": "class Catalogue:\n    pass\n",
    "core/words": "def number(value):\n    return str(value)\n",
    "core/lazy": "def lazy(name):\n    return name\n",
    "config/__init__": """
from pydantic import BaseModel

POINTS = 1000

class Strict(BaseModel):
    pass

class Section(Strict):
    draws: int = 1
""",
    "models/__init__": "",
    "models/kernels": '''
"""Products."""

from math import log

import numpy as np
import torch

SCALE = 2.0
fast = None
if torch.backends.mkl.is_available():
    fast = torch.mm


def product(a, b, times: float = 1.0):
    """a b."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} is not {len(b)}")
    print("a product")
    return np.sum(a * b) * SCALE * times * log(2)


def unused(a):
    return -a
''',
    "models/densities": "def value(x):\n    return x + 1\n",
    "models/bounds": "def value(x):\n    return x + 2\n",
    "learners/__init__": """
from ..core.catalogue import Catalogue

LEARNERS = Catalogue("learner", "aevb.learners", "LEARNER")
""",
    "learners/base": "class Learner:\n    def start(self):\n        return 0\n",
    "learners/first": """
from ..models import kernels
from .base import Learner


class First(Learner):
    key, label = "first", "The first"
    colour = "red"
    stack = "aevb.stacks:Stack"

    def gradient(self, x):
        return kernels.product(x, x)


LEARNER = First()
""",
    "stacks": "class Stack:\n    def step(self):\n        return 1\n",
    "training": """
from . import models
from .config import POINTS, Section
from .core.words import number
from .learners import LEARNERS
from .models import bounds, densities


def train(name, x, options=Section()):
    learner = LEARNERS[name]
    return densities.value(learner.gradient(x[:POINTS])), number(x)


def judge(x):
    return bounds.value(densities.value(x))
""",
}
TRAIN, FIRST = ("aevb.training:train",), ("aevb.training:train", "aevb.learners.first:First")


@pytest.fixture
def small(tmp_path):
    """small(**edits) -> Sources of the small package after `edits`: file -> [(old, new), ...], new
    text, or None to remove it."""
    copies = iter(range(100))

    def build(edits=()):
        package = tmp_path / str(next(copies)) / "aevb"
        files = dict(SMALL)
        for name, edit in dict(edits).items():
            if isinstance(edit, list):
                for old, new in edit:
                    assert old in files[name], old
                    files[name] = files[name].replace(old, new)
            else:
                files[name] = edit
        for name, text in files.items():
            if text is not None:
                path = package / f"{name}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return Sources(package)

    return build


KERNELS, ENGINE, LEARNER = "models/kernels", "training", "learners/first"
WORDS = {
    "a comment": {KERNELS: [("    return np", "    # by numpy\n    return np")]},
    "a docstring": {KERNELS: [('"""a b."""', '"""The product."""')]},
    "a docstring of the module": {KERNELS: [('"""Products."""', "")]},
    "a docstring that is gone": {KERNELS: [('    """a b."""\n', "")]},
    "a formatted line": {
        KERNELS: [("np.sum(a * b) *", "(\n        np.sum(\n            a*b,\n        )) *")]
    },
    "an annotation": {KERNELS: [("(a, b, times: float", "(a: list, b: list, times: int")]},
    "a message": {KERNELS: [('f"{len(a)} is not {len(b)}"', '"not of one length"')]},
    "a line printed": {KERNELS: [('"a product"', '"the product", len(a)')]},
    "an alias": {KERNELS: [("import numpy as np", "import numpy"), ("np.", "numpy.")]},
    "a name of a library": {
        KERNELS: [("import numpy as np", "from numpy import sum"), ("np.sum", "sum")]
    },
    "a lazy import": {
        KERNELS: [("import torch", 'from ..core.lazy import lazy\n\ntorch = lazy("torch")')]
    },
    "another import": {
        LEARNER: [("import kernels", "import kernels as k"), ("kernels.product", "k.product")]
    },
    "an import by name": {
        LEARNER: [("models import kernels", "models.kernels import product"), ("kernels.", "")]
    },
    "an import inside": {
        LEARNER: [
            ("from ..models import kernels\n", ""),
            ("        return k", "        from ..models import kernels\n\n        return k"),
        ]
    },
    "a re-export": {
        "models/__init__": "from .kernels import product",
        LEARNER: [
            ("from ..models import kernels", "from .. import models"),
            ("kernels.", "models."),
        ],
    },
    "a renamed module": {
        KERNELS: None,
        "models/products": SMALL[KERNELS],
        LEARNER: [("import kernels", "import products"), ("kernels.", "products.")],
    },
    "a moved module": {
        KERNELS: None,
        "fast": SMALL[KERNELS],
        LEARNER: [("from ..models import kernels", "from .. import fast"), ("kernels.", "fast.")],
    },
    "a moved definition": {
        KERNELS: [("SCALE = 2.0\n", "from .densities import SCALE\n")],
        "models/densities": SMALL["models/densities"] + "\n\nSCALE = 2.0\n",
    },
    "a definition that is not used": {KERNELS: [("return -a", "return +a")]},
    "a label": {LEARNER: [('"The first"', '"First of all"')]},
    "a key of the configuration": {
        "config/__init__": [("draws: int = 1", "draws: int = 1\n    more: int = 2")]
    },
    "what only talks": {"core/words": [("str(value)", "repr(value)")]},
    "a new learner": {
        "learners/second": "from .base import Learner\n\nclass Second(Learner):\n    pass\n\n"
        "LEARNER = Second()\n"
    },
    "a colour": {LEARNER: [('colour = "red"', 'colour = "blue"')]},
    "a moved engine": {
        "stacks": None,
        "engines": SMALL["stacks"],
        LEARNER: [("aevb.stacks", "aevb.engines")],
    },
    "a catalogue of its own kind": {
        "learners/__init__": [("aevb.learners", "aevb.rules")],
    },
    "a renamed package of learners": {
        "learners/__init__": None,
        "learners/base": None,
        LEARNER: None,
        "rules/__init__": SMALL["learners/__init__"].replace("aevb.learners", "aevb.rules"),
        "rules/base": SMALL["learners/base"],
        "rules/first": SMALL[LEARNER],
        ENGINE: [("from .learners", "from .rules")],
    },
}  # fmt: skip
OPERATIONS = {
    "an operator": {KERNELS: [("a * b", "a + b")]},
    "a constant": {KERNELS: [("SCALE = 2.0", "SCALE = 2.5")]},
    "a default": {KERNELS: [("float = 1.0", "float = 2.0")]},
    "an order": {KERNELS: [("SCALE * times", "times * SCALE")]},
    "a condition": {KERNELS: [("!= len(b)", "> len(b)")]},
    "a kind of error": {KERNELS: [("raise ValueError", "raise TypeError")]},
    "a function of a library": {KERNELS: [("from math import log", "from numpy import log")]},
    "a library": {KERNELS: [("import numpy as np", "import torch as np")]},
    "an effect of importing": {KERNELS: [("SCALE = 2.0", "torch.set_num_threads(1)\nSCALE = 2.0")]},
    "a change of a library": {KERNELS: [("SCALE = 2.0", "torch.backends.x = 1\nSCALE = 2.0")]},
    "what a nested function calls": {KERNELS: [
        (
            "def unused(a):\n    return -a\n",
            "def unused(a):\n    return -a\n\n\ndef other(a):\n    return a\n",
        ),
        (
            "    return np.sum(a * b)",
            "    def inner():\n        global unused\n        unused = other\n\n"
            "    inner()\n    return np.sum(unused(a) * b)",
        ),
    ]},
    "what a text names": {"stacks": [("return 1", "return 2")]},
    "a key": {LEARNER: [('"first"', '"second"')]},
    "a base class": {"learners/base": [("return 0", "return 1")]},
    "a local name that hides a function": {
        ENGINE: [("    learner =", "    densities = bounds\n    learner =")]
    },
    "which of two of one name": {
        ENGINE: [("densities.value(learner", "bounds.value(learner")],
    },
    "a constant of the configuration": {"config/__init__": [("POINTS = 1000", "POINTS = 100")]},
}  # fmt: skip


@pytest.mark.parametrize("edit", WORDS.values(), ids=WORDS)
def test_words_and_places_change_no_fingerprint(small, edit):
    roots = FIRST
    if "rules/first" in edit:
        roots = ("aevb.training:train", "aevb.rules.first:First")
    assert small(edit).code(roots).sha256 == small().code(FIRST).sha256


@pytest.mark.parametrize("edit", OPERATIONS.values(), ids=OPERATIONS)
def test_a_changed_operation_changes_the_fingerprint(small, edit):
    assert small(edit).code(FIRST).sha256 != small().code(FIRST).sha256


def test_only_what_the_roots_execute_counts(small):
    before, after = small(), small({KERNELS: [("a * b", "a + b")]})
    assert before.code(TRAIN) == after.code(TRAIN)  # the learner is found by its name
    assert set(before.code(TRAIN).modules) == {"training", "config", "learners", "models/densities"}
    assert before.code(("aevb.models.kernels",)) != after.code(("aevb.models.kernels",))
    swapped = small(
        {ENGINE: [("bounds.value(densities.value(x))", "densities.value(bounds.value(x))")]}
    )
    judge = ("aevb.training:judge",)  # both are reached before and after  # fmt: skip
    assert swapped.code(judge).sha256 != before.code(judge).sha256


def test_a_configuration_class_is_compared_by_its_values_not_by_its_code(small):
    assert "config" not in small({ENGINE: [("x[:POINTS]", "x")]}).code(TRAIN).modules


def test_a_plug_in_outside_the_package_can_be_a_root(small, tmp_path, monkeypatch):
    file = tmp_path / "mine.py"
    text = (
        "from aevb.models import kernels\n\nclass Mine:\n    def gradient(self, x):\n"
        "        return kernels.product(x, x)\n"
    )
    monkeypatch.setitem(
        fingerprints.sys.modules, "aevb_plugin_mine", SimpleNamespace(__file__=str(file))
    )
    found = []
    for source, edits in (
        (text, {}),
        ("# mine\n" + text, {}),
        (text.replace("(x, x)", "(x, -x)"), {}),
        (text, {KERNELS: [("a * b", "a + b")]}),
    ):
        file.write_text(source)
        found.append(small(edits).code(("aevb_plugin_mine:Mine",)))
    assert set(found[0].modules) == {"aevb_plugin_mine", "models/kernels"}
    assert found[0] == found[1] and len({code.sha256 for code in found}) == 3


def test_a_root_that_does_not_exist_is_named(small):
    with pytest.raises(UserError, match=r"no module aevb\.nothing"):
        small().code(("aevb.nothing:train",))
    with pytest.raises(UserError, match=r"no nothing in aevb\.training"):
        small().code(("aevb.training:nothing",))


#: what decides a run of each learner with each likelihood, and a map of test points
ROOTS = {
    (algorithm, likelihood): roots(*TRAINING, algorithm=algorithm, likelihood=likelihood)
    for algorithm in LEARNERS
    for likelihood in LIKELIHOODS
}
ROOTS["encoded"] = ("aevb.studies.figure4.encoding:encode",)


@pytest.fixture
def real(tmp_path):
    """real(edits) -> {key of ROOTS: Code} of a copy of this package after `edits`: file -> (old,
    new), or the text of a new file; `moved`: file -> new place."""
    copies = iter(range(100))

    def build(edits=(), moved=()):
        package = tmp_path / str(next(copies)) / "aevb"
        shutil.copytree(fingerprints.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        for name, edit in dict(edits).items():
            path = package / name
            text = edit
            if isinstance(edit, tuple):
                old, new = edit
                assert old in path.read_text(), old
                text = path.read_text().replace(old, new)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for old, new in dict(moved).items():
            (package / old).rename(package / new)
        sources = Sources(package)
        return {what: sources.code(roots) for what, roots in ROOTS.items()}

    return build


@pytest.fixture(scope="module")
def today():
    return {what: fingerprint(roots) for what, roots in ROOTS.items()}


def changed(before, after):
    return {what for what in before if before[what].sha256 != after[what].sha256}


KERNELS_FILE = "models/kernels.py"


@pytest.mark.parametrize(
    "edits",
    [
        {KERNELS_FILE: ("def product(", "# A comment.\ndef product(")},
        {KERNELS_FILE: ('"""a b + bias:', '"""The product:')},
        {KERNELS_FILE: ("(a: Tensor, b: Tensor, bias", "(\n    a,\n    b,\n    bias")},
        {"learners/aevb.py": ('"Auto-Encoding VB"', '"Auto-encoding"')},
        {"learners/new.py": "from . import OnlineLearner as LEARNER\n"},
        {"data/new.py": "DATASET = 1\n"},
        {"models/likelihoods/new.py": "from . import Likelihood\n\nLIKELIHOOD = Likelihood\n"},
        {"studies/new/__init__.py": "from ...engine import training\n\nSTUDY = training\n"},
    ],
    ids=["comment", "docstring", "format", "title", "learner", "data set", "likelihood", "study"],
)
def test_this_package_forgives_words_and_additions(today, real, edits):
    assert not changed(today, real(edits))


def test_this_package_forgives_a_renamed_module(today, real):
    edits = {}
    for path in fingerprints.PACKAGE.rglob("*.py"):
        text = path.read_text()
        new = re.sub(r"^(from .* import .*)\bkernels\b", r"\1quick as kernels", text, flags=re.M)
        new = new.replace("models.kernels", "models.quick")
        if new != text:
            edits[str(path.relative_to(fingerprints.PACKAGE))] = new
    assert len(edits) > 4
    found = real(edits, {KERNELS_FILE: "models/quick.py"})
    assert not changed(today, found)
    assert all("models/quick" in code.modules for code in found.values())


def test_an_operation_of_this_package_changes_what_executes_it(today, real):
    product = real({KERNELS_FILE: ("torch.mm(a, b) if bias", "torch.mm(b, a) if bias")})
    assert changed(today, product) == set(ROOTS)
    before, after = today["aevb", "bernoulli"], product["aevb", "bernoulli"]
    stored = {"code_sha256": before.sha256, "code_modules": json.dumps(before.modules)}
    assert provenance.differs(stored, after) == ["models/kernels"]
    points = real({"learners/mcem.py": ("pilot_points = 1000", "pilot_points = 999")})
    assert changed(today, points) == {what for what in ROOTS if what[0] == "mcem"}
    gradient = real({"learners/aevb.py": ("dz = dz - z / self", "dz = dz + z / self")})
    assert changed(today, gradient) == {what for what in ROOTS if what[0] == "aevb"}


def test_the_code_of_this_package_is_found_fast():
    started = time.perf_counter()
    sources = Sources()
    for roots_of in ROOTS.values():
        sources.code(roots_of)
    assert time.perf_counter() - started < 2  # 0.15 s on an idle core; Snakemake waits for it


def test_an_edit_during_a_job_does_not_count_as_its_code(tmp_path, monkeypatch, request):
    request.addfinalizer(fingerprint.cache_clear)
    package = tmp_path / "aevb"
    shutil.copytree(fingerprints.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    kernels_file, sources = package / KERNELS_FILE, Sources(package)
    monkeypatch.setattr(fingerprints, "_sources", lambda: sources)
    job = Job("train", "a", "", [], code=(*ROOTS["aevb", "bernoulli"], *ROOTS["mcem", "bernoulli"]))
    fingerprint.cache_clear()
    assert "aevb.engine.training" in made.read_code([job, job._replace(kind="figure", code=("a",))])
    text = kernels_file.read_text()
    kernels_file.write_text(text.replace("torch.mm(a, b) if bias", "torch.mm(b, a) if bias"))
    after, now = fingerprint(ROOTS["aevb", "bernoulli"]), Sources(package)
    fingerprint.cache_clear()
    assert after == fingerprint(ROOTS["aevb", "bernoulli"])
    assert after != now.code(ROOTS["aevb", "bernoulli"])


@pytest.mark.parametrize("call", ["np.round(a, decimals=%d)", "(a - b).round(decimals=%d)"])
def test_a_keyword_of_a_library_decides_whatever_its_name(small, call):
    made = [
        small({KERNELS: [("np.sum(a * b)", call % decimals)]}).code(FIRST) for decimals in (2, 3)
    ]
    assert made[0].sha256 != made[1].sha256


def test_gathering_and_drawing_enter_what_reads_curves(today):
    gathering = fingerprint(("aevb.results.gather:gather", "aevb.results.gather:curves_table"))
    assert {"results/curves", "results/gather"} <= set(gathering.modules)
    drawing = fingerprint(("aevb.studies.figure2.figures:figure2",))
    assert {"results/curves", "results/words"} <= set(drawing.modules)
    assert not any("results" in name for code in today.values() for name in code.modules)


def test_a_catalogue_that_cannot_be_imported_is_not_an_empty_one(monkeypatch):
    def fails(name):
        raise ModuleNotFoundError(name)

    catalogue = Catalogue("learner", "aevb.learners", "LEARNER")
    with monkeypatch.context() as broken:
        broken.setattr(importlib, "import_module", fails)
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError):
                list(catalogue)
    assert "aevb" in catalogue


def test_every_module_that_is_not_entered_exists():
    for name in QUIET:
        path = fingerprints.PACKAGE / name
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_a_root_is_found_from_the_object():
    assert provenance.root(kernels.product) == "aevb.models.kernels:product"
    assert provenance.root(kernels.Rows) == "aevb.models.kernels:Rows"
    assert provenance.root(Path()) == f"{type(Path()).__module__}:{type(Path()).__qualname__}"


@pytest.fixture
def records(tmp_path, monkeypatch):
    """The file of recorded equivalences, empty."""
    monkeypatch.setattr(provenance, "EQUIVALENT", tmp_path / "equivalent.json")
    provenance.EQUIVALENT.write_text("[]")
    provenance._equivalent.cache_clear()
    yield provenance.EQUIVALENT
    provenance._equivalent.cache_clear()


def test_code_that_made_the_same_bits_is_on_record(records):
    code, other = Code("new", {"a": "1"}), Code("newer", {"a": "2"})
    assert provenance.same("new", code) and not provenance.same("old", code)
    assert provenance.canonical(code) == "new"
    provenance.record("old", "new", "34 of 34 curves")
    provenance.record("old", "newer", "34 of 34 curves")
    provenance.record("new", "newer", "2 of 2 curves")
    assert provenance.same("old", code) and provenance.same("old", other)
    assert not provenance.same("newer", code)  # in one direction alone
    assert provenance.canonical(code) == provenance.canonical(other) == "old"
    assert provenance.differs({"code_sha256": "old"}, code) == []
    assert json.loads(records.read_text())[0] == {
        "old": "old",
        "new": ["new", "newer"],
        "evidence": "34 of 34 curves",
    }


def test_what_differs_is_named_by_module(records):
    code = Code("now", {"learners/aevb": "1", "models/kernels": "2"})

    def differs(**modules):
        stored = {"code_sha256": "then", "code_modules": json.dumps(modules)}
        return provenance.differs(stored, code)

    assert differs(**{"learners/aevb": "0", "models/kernels": "2"}) == ["learners/aevb"]
    assert differs(**{"learners/aevb": "1", "fast": "2", "gone": "3"}) == ["gone"]
    assert differs(**code.modules) == ["which definition a name refers to"]
    assert provenance.differs({"code_sha256": "then"}, code) == ["of a time before fingerprints"]
    assert provenance.differs({"code_sha256": "now"}, code) == []


def test_a_result_says_which_code_made_it(today):
    code = today["aevb", "bernoulli"]
    stored = provenance.attributes(torch.device("cpu"), code)
    assert stored["code_sha256"] == code.sha256 and len(code.sha256) == 64
    assert json.loads(stored["code_modules"]) == code.modules and "models/kernels" in code.modules


def test_the_commit_is_that_of_this_project_alone(tmp_path, monkeypatch):
    def commit(folder):
        subprocess.run(["git", "init", "-q", folder], check=True)
        (folder / "file").write_text("1")
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", folder, "add", "file"], check=True)
        subprocess.run(["git", "-C", folder, *who, "commit", "-qm", "one"], check=True)

    package = tmp_path / "other/project/src/aevb"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance, "PACKAGE", package)
    commit(tmp_path / "other")
    assert provenance.git.__wrapped__() == ("unknown", False)
    commit(tmp_path / "other/project")
    name, dirty = provenance.git.__wrapped__()
    assert len(name) == 40 and not dirty
