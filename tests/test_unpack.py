"""Stored results: whether they are what a study asks for, and a study that continues from them."""

import json
import re
from pathlib import Path

import pytest

from aevb import config, results
from aevb.config.sections import Training
from aevb.core import provenance
from aevb.core.errors import UserError
from aevb.engine.settings import Settings
from aevb.marginal.options import Evidence
from aevb.pipeline import local, made, unpack
from aevb.studies.estimators import EstimatorStudy
from aevb.studies.planning import budgets, codes, drawn, run_path


@pytest.fixture
def records(tmp_path_factory, monkeypatch):
    """The file of recorded equivalences, empty."""
    path = tmp_path_factory.mktemp("records") / "equivalent.json"
    monkeypatch.setattr(provenance, "EQUIVALENT", path)
    path.write_text("[]")
    provenance._equivalent.cache_clear()
    yield path
    provenance._equivalent.cache_clear()


SETTINGS = {
    "experiment": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20},
    "training": {},
    "evaluation": {},
    "samples": 1000,
}


def test_settings_are_compared_by_meaning(monkeypatch):
    def same(stored, wanted, learner="aevb"):
        return made.same_settings(json.dumps(stored), made.own(wanted, learner))

    def table(stored, wanted):
        return made.same_table("variance", json.dumps(stored), wanted)

    old = json.loads(Settings.from_dict(SETTINGS).to_json("aevb"))
    assert same(old, SETTINGS) and not same(old, {**SETTINGS, "samples": 2000})
    assert not same(old, {**SETTINGS, "training": {"draws": 2}})
    chain = {**SETTINGS, "mcem": {"leapfrog": 5}}
    assert same(old, chain) and not same(old, chain, "mcem")
    assert same(chain, {**SETTINGS, "mcem": {"leapfrog": 5, "updates": 5}}, "mcem")
    assert same(chain, SETTINGS)  # older results hold the options of all learners
    assert not same({}, SETTINGS) and not same({**old, "training": {"gone": 1}}, SETTINGS)
    assert not made.same_settings("no JSON", SETTINGS)

    class Momentum(Training):
        momentum: float = 0.0

    monkeypatch.setitem(made.SECTIONS, "training", Momentum)
    new = {**old, "training": Momentum(**old["training"]).model_dump()}
    assert "momentum" in new["training"] and "momentum" not in old["training"]
    assert same(old, new) and not same(old, {**SETTINGS, "training": {"momentum": 0.9}})
    study = {"points": [0], "minibatches": 2, "replicates": 2}
    before, after = {**study, "training": {**old, "mcem": {}}}, {**study, "training": new}
    assert table(before, after) and not table(before, {**after, "replicates": 3})
    faster = {**new, "training": {**new["training"], "momentum": 0.9}}
    assert not table(before, {**after, "training": faster})


def test_settings_of_estimates_are_compared_by_meaning():
    def same(kind, stored, wanted):
        return made.same_table(kind, json.dumps(stored), wanted)

    assert same("evidence", {}, {"evidence": Evidence().model_dump(), "where": "cpu"})
    assert not same("evidence", {"draws": 51}, {"evidence": {}})
    study = {"experiment": "mnist", "latent_dims": [2]}
    full = EstimatorStudy(**study).model_dump()
    stored = {"estimators": study, "evidence": {}}
    assert same("estimators", stored, {"estimators": full, "evidence": {"draws": 50}})
    other = {"estimators": {**full, "replicates": 6}, "evidence": {}}
    assert not same("estimators", stored, other)


def test_settings_of_other_tables_are_compared_where_both_have_a_value():
    assert made.same_table("encoded", '{"points": 2000}', {"experiment": {}})
    assert made.same_table("new", '{"a": 1, "b": 2}', {"a": 1})
    assert not made.same_table("new", '{"a": 1, "b": 2}', {"a": 2})


ROOT = Path(__file__).parent.parent
QUICK = ROOT / "results/reference/quick/gathered.h5"


@pytest.fixture
def study(tmp_path):
    return config.load(local.read(str(ROOT / "config/quick.yaml")) | {"results": str(tmp_path)})


def test_committed_results_stay_readable():
    paths = sorted((ROOT / "results/reference").rglob("gathered.h5"))
    assert len(paths) == 11
    for path in paths:
        gathered = results.read_gathered(path)
        assert gathered.runs or gathered.tables
        assert all(len(run.code_sha256) == 64 for run in gathered.runs.values())


def on_record(study, gathered, kinds):
    """Put on record that the code of today makes the bits of `gathered`."""
    for (kind, name), roots in codes(study).items():
        stored = {"runs": gathered.runs, "pilots": gathered.pilots, **gathered.tables}
        if kind in kinds and name in stored.get(kind, {}):
            result = stored[kind][name]
            old = vars(result) if kind == "pilots" else result.attributes
            new = provenance.fingerprint(roots).sha256
            provenance.record(old["code_sha256"], new, "none: a test")


def now(study, kind, name):
    """The attributes of a result that the code of today made."""
    return {"code_sha256": provenance.fingerprint(codes(study)[kind, name]).sha256}


KINDS = ("runs", "pilots", "evidence", "estimators", "encoded", "variance")


def test_results_on_record_as_the_same_bits_are_unpacked(records, study):
    on_record(study, results.read_gathered(QUICK), KINDS)
    found = unpack.unpack(study, QUICK)
    assert (found.there, found.wanted) == (34, 34)
    assert not found.left_out


def test_why_runs_are_left_out_is_said(records, study, monkeypatch, capsys):
    gathered = results.read_gathered(QUICK)
    monkeypatch.setattr(results, "read_gathered", lambda path: gathered)
    names, models = list(gathered.runs), drawn(study)
    for curve, pilot in gathered.pilots.items():
        pilot.code_sha256 = now(study, "pilots", curve)["code_sha256"]
    for name, run in gathered.runs.items():
        modules = provenance.fingerprint(codes(study)["runs", name]).modules
        modules = json.dumps({**modules, "models/kernels": "0"})
        run.attributes |= {"code_sha256": "then", "code_modules": modules}
    other = gathered.runs[names[-1]].attributes
    other["config"] = json.dumps(json.loads(other["config"]) | {"samples": 1})
    del gathered.runs[names[-2]]
    left_out = unpack.unpack(study, QUICK).left_out
    assert {reason: n for reason, n in left_out.items() if ": code" not in reason} == {
        "code differs: models/kernels": 32,
        "settings differ": 1,
        "not in the gathered file": 1,
    }

    for name, run in gathered.runs.items():
        run.attributes |= now(study, "runs", name)
    for kind in KINDS[2:]:
        for name, table in gathered.tables[kind].items():
            table.attributes |= now(study, kind, name)
    gathered.runs[models[-1].name].weights = {}
    first = next(run for run in budgets(study) if run.algorithm == "wake_sleep")
    del gathered.pilots[first.curve]
    table = gathered.tables["encoded"][models[0].name]
    table.attributes |= {"code_sha256": "then", "code_modules": json.dumps({"data": "0"})}
    monkeypatch.setattr(local, "run", lambda jobs: None)
    monkeypatch.setattr(config, "load", lambda raw: study)
    unpack.main([str(ROOT / "config/quick.yaml"), str(QUICK)])
    said = capsys.readouterr().err
    replicas = [run for run in budgets(study) if run.curve == first.curve]
    assert f"left out: no pilot: {len(replicas)}\n" in said
    assert "left out: weights are not kept: 1\n" in said
    assert "left out: settings differ: 1\n" in said
    assert "left out: weights are not kept, and encoded must be made anew (code differs: " in said
    assert re.search(r"\d+ of 34 runs of .* are there", said)


def test_what_lies_there_of_other_code_is_replaced(records, study):
    on_record(study, results.read_gathered(QUICK), KINDS)
    assert unpack.unpack(study, QUICK).there == 34
    run = next(iter(budgets(study)))
    path, wanted = run_path(study, run), made.Wanted(study)
    result = results.read_run(path)
    assert not wanted.problem("runs", run.name, result.attributes)
    result.attributes["code_sha256"] = "other"
    results.write_run(path, result)
    assert wanted.problem("runs", run.name, made.attributes(path)).startswith("code differs: ")
    assert unpack.unpack(study, QUICK).there == 34
    assert not wanted.problem("runs", run.name, made.attributes(path))
    assert made.attributes(path + ".not") is None


def test_what_lies_there_of_other_settings_is_removed(records, study, capsys):
    on_record(study, results.read_gathered(QUICK), KINDS)
    unpack.unpack(study, QUICK)
    run = next(run for run in budgets(study) if run in drawn(study))
    path = Path(run_path(study, run))
    result = results.read_run(path)
    result.attributes["config"] = json.dumps(result.settings | {"samples": 1})
    results.write_run(path, result)
    (path.parent / "empty.h5").touch()
    gathered = results.read_gathered(QUICK)
    gathered.runs = {name: made for name, made in gathered.runs.items() if name != run.name}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "read_gathered", lambda path: gathered)
        with pytest.raises(UserError, match="made with other settings, the first"):
            unpack.unpack(study, QUICK)
        assert path.exists()
        assert unpack.unpack(study, QUICK, replace=True).there == 33
    said = f"removed, made with other settings: {path}"
    assert not path.exists() and said in capsys.readouterr().err


def test_what_is_not_of_this_study_is_not_gathered(records, study, tmp_path, capsys):
    on_record(study, results.read_gathered(QUICK), ("runs", "pilots"))
    unpack.unpack(study, QUICK)
    run = next(run for run in budgets(study) if Path(run_path(study, run)).exists())
    path, target = run_path(study, run), tmp_path / "other.h5"
    results.gather({}, {run.name: path}, {}, {}, set(), target, made.fits(study))
    assert target.exists()
    target.unlink()
    result = results.read_run(path)
    result.attributes["code_sha256"] = "other"
    results.write_run(path, result)
    with pytest.raises(
        UserError, match=r"1 results are not what this study makes, .*\(code differs"
    ):
        results.gather({}, {run.name: path}, {}, {}, set(), target, made.fits(study))
    assert f"{path}: code differs" in capsys.readouterr().err and not target.exists()
