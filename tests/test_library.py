"""The library for a notebook, and docs/library.md, which is run as it stands."""

import contextlib
import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import aevb
from aevb import config, data, results
from aevb.data import DATASETS
from aevb.engine import evaluation, training
from aevb.engine.pilot import pilot
from aevb.engine.settings import Settings
from aevb.learners import LEARNERS
from aevb.library.model import Model
from aevb.models import nets
from aevb.studies import planning

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "docs" / "library.md"
DIGITS = data.split(load_digits().images / 16, 1500)[1]
QUICK = "digits_bernoulli/aevb-nz2-seed0"
FAST = {"samples": 40_000, "hidden": 20, "step_size": 0.02}


@pytest.fixture(scope="module", autouse=True)
def data_sets():
    """The catalogue as it was: `train` enters arrays as data sets of their own."""
    before = dict(DATASETS.items())
    yield
    DATASETS.entries = before


@pytest.fixture(scope="module")
def model():
    return aevb.train("digits", **FAST)


@pytest.fixture(scope="module")
def study():
    return aevb.load_study("quick")


def test_the_tour_runs_and_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    text, names = TOUR.read_text(), {}
    blocks = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.DOTALL)
    assert len(blocks) == text.count("```python") > 5
    for code, shown in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(code, "docs/library.md", "exec"), names)
        assert _lines(said.getvalue()) == _lines(shown), code


def test_the_example_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (example,) = (block for block in blocks if "import aevb" in block)
    assert len(example.splitlines()) <= 5
    exec(compile(example, "README.md", "exec"), {})
    assert "array" in capsys.readouterr().out


def _lines(text):
    return [line.rstrip() for line in text.splitlines()]


def test_importing_it_takes_no_time_and_no_torch():
    code = (
        "import sys, time; start = time.perf_counter(); import aevb; "
        "spent = time.perf_counter() - start;"
        "assert not {'torch', 'numpy', 'pandas', 'h5py'} & set(sys.modules), 'slow'; print(spent);"
        "assert {'train', 'load_model', 'load_study'} <= set(dir(aevb))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 0.3
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        aevb.tarin  # noqa: B018


@pytest.mark.parametrize("step_size", [None, 0.05])
def test_train_gives_the_bits_of_the_pipeline(digits_file, step_size):
    steps = [0.02, 0.05]
    study = config.load(
        {
            "name": "same",
            "samples": 3e4,
            "seeds": [3],
            "experiments": {
                "one": {
                    "dataset": "digits",
                    "likelihood": "gaussian",
                    "hidden": 20,
                    "scale": 16,
                    "dequantise": True,
                }
            },
            "training": {"pilot_samples": 2e4, "step_sizes": steps},
            "evaluation": {"first": 1e4},
            "figure2": [{"experiment": "one", "latent_dims": [2], "algorithms": ["wake_sleep"]}],
        }
    )
    (run,) = planning.budgets(study)
    asked = Settings.from_dict(planning.settings(study, [run], study.samples))
    loaded = data.load(digits_file, asked.experiment)
    short = Settings.from_dict(planning.pilot_settings(study, [run]))
    chosen = step_size or pilot(run, short, loaded).step_size
    (wanted,) = training.train([run], [chosen], asked, loaded)
    found = aevb.train(
        "digits",
        learner="wake_sleep",
        likelihood="gaussian",
        hidden=20,
        samples=3e4,
        seed=3,
        dequantise=True,
        experiment="one",
        step_size=step_size,
        training={"pilot_samples": 2e4, "step_sizes": steps},
        evaluation={"first": 1e4},
    ).result
    assert found.run == wanted.run and found.step_size == wanted.step_size == chosen
    for name in ("data_sha256", "code_sha256", "samples"):
        assert getattr(found, name) == getattr(wanted, name)
    assert all(np.array_equal(found.weights[k], v) for k, v in wanted.weights.items())
    kept = [name for name in results.CURVE if name != "seconds"]
    assert len(wanted.curve) > 3 and found.curve[kept].equals(wanted.curve[kept])


def test_grey_levels_given_as_an_array_are_those_of_the_data_set(model):
    train, test = data.split(load_digits().images, 1500)
    same = aevb.train(train, test=test, scale=16, experiment="digits", **FAST).result
    assert all(np.array_equal(same.weights[k], v) for k, v in model.result.weights.items())
    scaled = aevb.train(train / 16, test=test / 16, experiment="digits", **FAST)
    assert all(np.array_equal(scaled.result.weights[k], v) for k, v in same.weights.items())
    assert scaled.convention == "values in [0, 1]" and scaled.shape == (8, 8)


def test_torch_is_left_as_it_was():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(2)
        aevb.train("digits", **FAST)
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled() == before[1]
    finally:
        torch.set_num_threads(before[0])


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_precision_set_before_changes_no_bit_and_stays(precision):
    try:
        torch.set_float32_matmul_precision(precision)
        same = aevb.train("digits", **FAST).result
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")
    plain = aevb.train("digits", **FAST).result
    assert all(np.array_equal(same.weights[k], v) for k, v in plain.weights.items())


def test_encode_and_decode_are_those_of_the_nets(model):
    parameters = {k: torch.from_numpy(v) for k, v in model.result.weights.items()}
    x = torch.from_numpy(DIGITS.reshape(-1, 64)).float()
    mean, log_variance = nets.encode(x, {k: v.view(-1, v.shape[-1]) for k, v in parameters.items()})
    for given in (DIGITS, DIGITS.reshape(-1, 64), x.numpy()):
        found = model.encode(given)
        assert isinstance(found[0], np.ndarray)
        np.testing.assert_allclose(found[0], mean, atol=1e-5)
        np.testing.assert_allclose(found[1], log_variance, atol=1e-5)
    one = model.encode(DIGITS[0])
    assert one[0].shape == (2,) and np.allclose(one[0], mean[0], atol=1e-5)
    tensors = model.encode(x)
    assert isinstance(tensors[0], torch.Tensor) and torch.allclose(tensors[0], mean, atol=1e-5)
    logits = nets.decode(mean, {k: v.view(-1, v.shape[-1]) for k, v in parameters.items()})
    images = model.decode(found[0])
    assert images.shape == (297, 8, 8) and model.decode(one[0]).shape == (8, 8)
    np.testing.assert_allclose(images.reshape(-1, 64), torch.sigmoid(logits), atol=1e-5)
    assert isinstance(model.decode(mean), torch.Tensor)


def test_samples_are_means_or_draws_of_pixels_around_them(model):
    means, drawn = model.sample(400, seed=1), model.sample(400, seed=1, pixels=True)
    assert means.shape == drawn.shape == (400, 8, 8)
    assert ((means >= 0) & (means <= 1)).all() and set(np.unique(drawn)) == {0.0, 1.0}
    error = np.sqrt((means * (1 - means)).sum(0)) / 400
    assert (abs(drawn.mean(0) - means.mean(0)) < 5 * error + 1e-4).all()
    assert np.array_equal(means, model.sample(400, seed=1))
    assert not np.array_equal(means, model.sample(400, seed=2))


@pytest.mark.parametrize("estimator", ["A", "B"])
def test_the_bound_is_the_engines(model, estimator):
    found = model.bound(DIGITS, draws=50, estimator=estimator)
    result = model.result
    flat = torch.cat([torch.from_numpy(v).flatten() for v in _ordered(result)])[None]
    layout = nets.Layout(64, result.hidden, 2, "bernoulli")
    asked = Settings.from_dict(result.settings)
    learner = LEARNERS["aevb"]("bernoulli", asked.training)
    x = torch.from_numpy(DIGITS.reshape(-1, 64)).float()
    wanted = evaluation.bound(learner, flat, layout, x, np.random.default_rng(9), 0.005, 1000)
    value, error = found.mean()
    assert 0 < error < 0.1
    assert abs(value - wanted.value) < 5 * np.hypot(error, wanted.standard_error)
    assert found.diagnostics["kl"].mean() == pytest.approx(wanted.kl, rel=1e-4)
    again = model.bound(torch.from_numpy(DIGITS), draws=50, estimator=estimator)
    assert isinstance(again.value, torch.Tensor)
    np.testing.assert_allclose(again.value, found.value, atol=1e-9)
    # the spread over seeds is the standard error
    several = [model.bound(DIGITS[:40], 20, seed, estimator) for seed in range(60)]
    variance = np.var([one.value for one in several], 0, ddof=1)
    stated = np.mean([one.standard_error**2 for one in several], 0)
    assert 0.85 < (variance / stated).mean() < 1.15


def _ordered(result):
    return (result.weights[name] for name in nets.WEIGHTS + nets.BIASES)


def test_log_p_is_near_quadrature_and_above_the_bound(model):
    x = DIGITS[:30]
    exact = model.log_p(x, "quadrature")
    for estimator in ("importance_hmc", "importance", "ais"):
        value, error = model.log_p(x, estimator, draws=200).mean()
        assert abs(value - exact.value.mean()) < 5 * error + 0.02, estimator
    paper = model.log_p(x, "hmc_kde", draws=50)
    assert abs(paper.mean()[0] - exact.mean()[0]) < 5 * paper.mean()[1] + 0.3
    assert "bandwidth" in paper.diagnostics  # of the kernel density
    bound = model.bound(x)
    assert (bound.value < exact.value + 5 * bound.standard_error).all()
    again = model.log_p(torch.from_numpy(x), draws=20, seed=4)
    assert isinstance(again.value, torch.Tensor) and again.value.shape == (30,)
    assert np.array_equal(again.value, model.log_p(x, draws=20, seed=4).value)
    assert model.log_p(x[0], "quadrature").value == pytest.approx(exact.value[0], abs=1e-4)


def test_the_committed_models_are_whole(study):
    for name in study.models:
        model, x = study.model(name), DIGITS[:10]
        assert model.has_encoder and model.encode(x)[0].shape == (10, model.latent_dim)


def test_a_decoder_alone_gives_log_p_and_says_how_to_get_the_encoder():
    study = aevb.load_study("figure3")
    model = study.model("mnist/aevb-nz2-seed0")
    x = model.sample(5)
    assert not model.has_encoder and x.shape == (5, 28, 28)
    value, error = model.log_p(x, draws=50).mean()
    assert abs(value - model.log_p(x, "quadrature").mean()[0]) < 5 * error + 0.05
    path = f"{study.config.folder}/runs/mnist/aevb-nz2-seed0.h5"
    command = f"./run --cores all --configfile config/figure3.yaml -- {path}"
    asks = (model.encode, model.bound, lambda x: model.log_p(x, "importance"))
    for ask in asks:
        with pytest.raises(aevb.UserError, match=re.escape(command)):
            ask(x)
    with pytest.raises(aevb.UserError, match=re.escape(f"nz3-seed0 are kept; `{command[:20]}")):
        study.model("mnist/aevb-nz3-seed0")


def test_a_learner_without_an_encoder_and_one_with_a_density():
    mcem = aevb.train("digits", learner="mcem", hidden=10, samples=1e5, n_train=50, step_size=0.02)
    assert np.isfinite(mcem.log_p(DIGITS[:3], draws=20).value).all()
    with pytest.raises(aevb.UserError, match="has no encoder, as Monte Carlo EM trains none"):
        mcem.encode(DIGITS)
    gaussian = aevb.train("digits", likelihood="gaussian", dequantise=True, **FAST)
    drawn = gaussian.sample(20, pixels=True)
    assert (drawn < 0).any() and np.isfinite(gaussian.log_p(drawn, "importance").value).all()
    assert "noise of one grey level" in gaussian.convention
    with pytest.raises(aevb.UserError, match="run from 0 to 16"):
        gaussian.encode(load_digits().images)


def test_files_give_the_same_model(model, tmp_path, study):
    path = tmp_path / "runs" / f"{model.name}.h5"
    model.save(path)
    for again in (aevb.load_model(path), aevb.load_model(path, model.name)):
        assert np.array_equal(again.encode(DIGITS)[0], model.encode(DIGITS)[0])
        assert again.provenance["config"]["samples"] == 40_000
    with pytest.raises(aevb.UserError, match="holds digits/aevb-nz2-seed0, not 'x'"):
        aevb.load_model(path, "x")
    with pytest.raises(aevb.UserError, match=r"holds no gathered\.h5"):
        aevb.load_study(tmp_path)
    loaded = aevb.load_model(study.path, QUICK)
    assert np.array_equal(loaded.sample(3), study.model(QUICK).sample(3))
    with pytest.raises(aevb.UserError, match="holds 4 models; name one"):
        aevb.load_model("quick")
    # a run file beside the gathered file comes first, and has the encoder
    (tmp_path / "gathered.h5").write_bytes(study.path.read_bytes())
    whole = replace(
        model.result, attributes={**model.result.attributes, "experiment": "digits_bernoulli"}
    )
    results.write_run(tmp_path / "runs" / f"{QUICK}.h5", whole)
    assert aevb.load_study(tmp_path).model(QUICK).has_encoder


def test_a_study_gives_its_tables(study):
    assert study.config.name == "quick" and len(study.runs) == 34
    written = (study.path.parent / "curves.csv").read_text().splitlines()
    assert len(study.curves()) == len(written) - 1
    evidence = study.table("evidence")
    assert set(evidence["of"]) == set(study.gathered.of("evidence"))
    with pytest.raises(aevb.UserError, match=r"claims\.csv does not exist"):
        study.claims()
    claims = aevb.load_study(ROOT / "results" / "reference").claims()
    assert {"claim", "verdict"} <= set(claims) and len(claims)


def test_mistakes_end_in_one_sentence(model, study, tmp_path):
    levels, nan = load_digits().images, DIGITS.copy()
    nan[0, 0, 0] = np.nan
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    mistakes = {
        r"shape \(297, 4, 8\); give \(N, 64\) or \(N, 8, 8\)": lambda: model.encode(DIGITS[:, :4]),
        "x is no array of numbers": lambda: model.encode("digits"),
        "not finite": lambda: model.bound(nan),
        "run from 0 to 16, but this model takes grey values 0 to 16, divided by 16": lambda: (
            model.encode(levels)
        ),
        r"z has shape \(3,\)": lambda: model.decode([0, 0, 0]),
        "n is 0": lambda: model.sample(0),
        "n is 2.5; it must be a whole number": lambda: model.sample(2.5),
        "seed is -1": lambda: model.sample(3, seed=-1),
        "seed is 'a'": lambda: model.log_p(DIGITS, seed="a"),
        "draws is 'x'": lambda: model.log_p(DIGITS, draws="x"),
        "3 is no path": lambda: aevb.load_study(3),
        "there is no file nope.h5": lambda: aevb.load_model("nope.h5"),
        "draws is 1": lambda: model.bound(DIGITS, draws=1),
        "must be 'A'": lambda: model.bound(DIGITS, estimator="C"),
        "did you mean 'quadrature'": lambda: model.log_p(DIGITS, "quadratur"),
        "there is no estimator of log p.x. 'ais_backward'": lambda: model.log_p(
            DIGITS, "ais_backward"
        ),
        "N_z up to 3, and this model has 5": lambda: study.model(
            "digits_bernoulli/aevb-nz5-seed0"
        ).log_p(DIGITS, "quadrature"),
        "did you mean 'quick'": lambda: aevb.load_study("quik"),
        f"did you mean '{QUICK}'": lambda: study.model("digits_bernoulli/aevb-nz2-seed"),
        "did you mean 'evidence'": lambda: study.table("evidnce"),
        "is damaged": lambda: aevb.load_model(tmp_path / "bad.h5"),
        "did you mean 'digits'": lambda: aevb.train("digts"),
        "did you mean 'aevb'": lambda: aevb.train("digits", learner="avb"),
        "did you mean 'bernoulli'": lambda: aevb.train("digits", likelihood="bernouli"),
        "no argument 'trainin'; did you mean 'training'": lambda: aevb.train("digits", trainin={}),
        "latent_dims.0' is 0": lambda: aevb.train("digits", latent_dim=0),
        "step_sizes.0' is -1": lambda: aevb.train("digits", step_size=-1),
        "within the warm-up": lambda: aevb.train("digits", samples=1e4),
        "test images of its own": lambda: aevb.train("digits", test=DIGITS),
        "run to 16 alone; give `scale`": lambda: aevb.train(levels),
        "whole numbers up to 8": lambda: aevb.train(levels, scale=8),
        "values below 0": lambda: aevb.train(levels - 1, scale=16),
        "the values of `images` lie in": lambda: aevb.train(DIGITS, dequantise=True),
        "too few to draw test images": lambda: aevb.train(DIGITS[:5]),
        "test has images of shape": lambda: aevb.train(DIGITS, test=DIGITS.reshape(-1, 64)),
        "must be the key of a data set, or numbers": lambda: aevb.train(3),
        "diverged.*dequantise=True": lambda: aevb.train(
            "digits", likelihood="gaussian", step_size=0.1
        ),
    }
    for sentence, mistake in mistakes.items():
        with pytest.raises(aevb.UserError, match=sentence) as raised:
            mistake()
        assert "\n" not in str(raised.value)


def test_a_run_that_diverged_has_no_model(model):
    attributes = {**model.result.attributes, "status": "diverged", "reason": "it rose"}
    with pytest.raises(aevb.UserError, match=r"diverged \(it rose\)"):
        Model(results.RunResult(attributes, model.curve))
