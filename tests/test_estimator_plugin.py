"""An estimator of log p(x) that a file outside the package adds: graded, drawn and named."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import same_color

from aevb import config, results
from aevb.core import plugins
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine import training
from aevb.marginal import ESTIMATORS, Estimator, appearance
from aevb.marginal.common import Estimate
from aevb.marginal.options import Evidence
from aevb.studies.estimators import STUDY as GRADING
from aevb.studies.estimators import EstimatorStudy, figures, findings
from aevb.studies.estimators.work import study as grade

PLUGIN = (Path(__file__).parent / "plugins/prior.py").read_text(encoding="utf-8")
RUN = Run("digits", "aevb", 2, 0)
STUDY = {
    "name": "tiny",
    "samples": 2e4,
    "seeds": [0],
    "training": {"warmup_steps": 10},
    "experiments": {
        "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}
    },
    "figure2": [{"experiment": "digits", "latent_dims": [2]}],
    "figure4": [{"experiment": "digits", "grid": 3}],
    "figure5": [{"experiment": "digits", "latent_dims": [2], "grid": 3}],
    "estimators": {"experiment": "digits", "latent_dims": [2], "draws": [8, 40]},
}


@pytest.fixture
def clean():
    """A catalogue as it is without the plug-ins of a test."""
    before = dict(ESTIMATORS.items())
    yield
    ESTIMATORS.entries = before
    for name in plugins.LOADED.values():
        sys.modules.pop(name, None)
    plugins.LOADED.clear()


@pytest.fixture(scope="module")
def graded(make, tmp_path_factory):
    """graded(): the table of the estimator study on a small model."""
    settings, data = make("bernoulli", 12_000)
    (result,) = training.train([RUN], [0.02], dataclasses.replace(settings, snapshots=3), data)
    path = tmp_path_factory.mktemp("runs") / "run.h5"
    results.write_run(path, result)
    options = EstimatorStudy(
        experiment="digits", latent_dims=[2], datapoints=30, replicates=3, draws=[8, 40]
    )
    sampling = Evidence(warmup=20)
    return lambda: grade(path, data, options, sampling, "cpu", 1)


def test_one_file_adds_an_estimator_to_the_study_its_table_and_its_figure(graded, tmp_path, clean):
    before = graded().frame
    (tmp_path / "prior.py").write_text(PLUGIN)
    plugins.load([tmp_path / "prior.py"])
    table = graded()
    mine = table.frame["estimator"] == "prior"
    # Its noise is its own: no other number changes, but for the timings
    others = table.frame[~mine].reset_index(drop=True)
    assert others.drop(columns="seconds").equals(before.drop(columns="seconds"))
    rows = table.frame[mine]
    assert list(zip(rows["data"], rows["samples"], strict=True)) == [
        ("test", 8),
        ("test", 40),
        ("simulated", 8),
        ("simulated", 40),
    ]
    bias, error = (rows[name].to_numpy().reshape(2, 2) for name in ("bias", "bias_se"))
    assert (bias < 4 * error).all()  # a bound on average, tighter with more samples
    assert (np.abs(bias[:, 1]) < np.abs(bias[:, 0])).all()

    path = tmp_path / "table.h5"
    results.write_table(path, table)
    study = config.load(STUDY).model_dump()
    stored = results.read_table(path, GRADING.columns["estimators"])
    gathered = results.Gathered(study, {}, {}, {"estimators": {RUN.name: stored}})
    written = findings._grades(findings.at_draws(gathered))
    assert written[-1]["estimator"] == "samples of the prior"
    drawn = figures.estimators(gathered, None)
    lines = {line.get_label(): line for line in drawn.axes[0].get_lines()}
    np.testing.assert_array_equal(lines["prior"].get_ydata(), bias[0])
    legend = drawn.legends[0]
    names = [text.get_text() for text in legend.get_texts()]
    entry = dict(zip(names, legend.get_lines(), strict=True))
    assert len(entry) == 7
    look = entry.pop("samples of the prior")
    for shown in (look, lines["prior"]):
        assert same_color(shown.get_color(), "#E69F00") and shown.get_marker() == "X"
    assert not any(
        same_color(line.get_color(), look.get_color()) or line.get_marker() == look.get_marker()
        for line in entry.values()
    )


def test_entries_without_looks_get_different_ones(clean):
    for number in range(10):
        ESTIMATORS.register(Estimator(f"e{number}", f"number {number}", None))
    ESTIMATORS.register(Estimator("mine", "with a colour", None, colour="#123456"))
    chosen = {key: appearance(key) for key in ESTIMATORS}
    assert len(set(chosen.values())) == len(chosen) == 17 and chosen["mine"][0] == "#123456"
    assert chosen["hmc_kde"] == ("#000000", "o")


def test_an_estimator_nobody_has_and_values_of_a_wrong_shape_are_named(graded, clean):
    table = graded()
    table.frame["estimator"] = table.frame["estimator"].replace("ais", "aid")
    gathered = results.Gathered(
        config.load(STUDY).model_dump(), {}, {}, {"estimators": {RUN.name: table}}
    )
    with pytest.raises(UserError, match=r"no estimator of log p\(x\) 'aid'; did you mean 'ais'"):
        figures.estimators(gathered, None)
    ESTIMATORS.register(
        Estimator("flat", "one number", lambda task: Estimate(np.float64(-100), 0, {}))
    )
    with pytest.raises(UserError, match=r"'flat' gives values of shape \(\) for 30 datapoints"):
        graded()


def test_a_key_of_the_project_is_refused(clean):
    with pytest.raises(UserError, match=r"another estimator of log p\(x\) 'ais'; rename"):
        ESTIMATORS.register(Estimator("ais", "mine", None))


def test_the_project_s_estimators_keep_the_order_of_their_noise():
    assert list(ESTIMATORS)[:6] == [
        "hmc_kde",
        "hmc_gaussian",
        "importance",
        "importance_hmc",
        "ais",
        "ais_backward",
    ]


def test_labels_and_colours_need_neither_torch_nor_arviz():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from aevb.marginal import ESTIMATORS; "
            "print([e.colour for e in ESTIMATORS.values()]); "
            "print({'torch', 'arviz_stats'} & set(sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "#000000" in said[0] and said[1] == "set()"
