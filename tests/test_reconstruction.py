"""Reconstruction terms: densities against SciPy, torch and quadrature, the gradient against
autograd, the loop against the engine, and what the study says."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.distributions import ContinuousBernoulli

from aevb import config, results
from aevb.config.sections import Training
from aevb.core.errors import UserError
from aevb.core.provenance import fingerprint
from aevb.core.run import Run, found
from aevb.engine.training import train as engine_train
from aevb.models import densities, nets
from aevb.models.quality.measures import frechet
from aevb.paper import claims as catalogue
from aevb.paper.verdicts import judge
from aevb.report import pages
from aevb.report.style import write
from aevb.studies import STUDIES
from aevb.studies.reconstruction import KIND, claims, figures, findings, loop, measure, numbers
from aevb.studies.reconstruction.samples import Quality, components
from aevb.studies.reconstruction.terms import TERMS, Term, bernoulli, mahalanobis
from aevb.studies.reconstruction.work import grid, some

STUDY = STUDIES[KIND]
RUN = Run("mine", "aevb", 3, 0)
LEVEL = 1 / 16
RAW = {
    "name": "terms",
    "samples": 2e4,
    "seeds": [0, 1],
    "device": "cpu",
    "experiments": {
        "mine": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}
    },
    "training": {"warmup_steps": 5, "step_sizes": [0.05]},
    "evaluation": {"first": 5000},
    "figure2": [{"experiment": "mine", "latent_dims": [2]}],
}
SMALL = {
    "models": [{"experiment": "mine", "latent_dim": 3, "samples": 2e3}],
    "datapoints": 100,
    "points": 3,
    "draws": 2,
    "step_size": 0.05,
    "images": 3,
}


def study(**changes):
    return config.load({**RAW, KIND: {**SMALL, **changes}})


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def decoded(term, pixels=6, rows=4):
    return normal(rows, term.outputs * pixels, seed=1)


# Terms -------------------------------------------------------------------------------------------


def reference(term, x, out):
    """log p(x|z) by SciPy, for terms with a density there."""
    mean = 1 / (1 + np.exp(-out[..., : x.shape[-1]]))
    if term.outputs == 2:
        variance = np.exp(out[..., x.shape[-1] :]) + (term.floor * LEVEL) ** 2
        return stats.norm.logpdf(x, mean, np.sqrt(variance)).sum(-1)
    if term.key == "laplace":
        return stats.laplace.logpdf(x, mean).sum(-1)
    return stats.norm.logpdf(x, mean, term.scale).sum(-1)


@pytest.mark.parametrize("key", [k for k in TERMS if hasattr(TERMS[k], "scale")] + ["laplace"])
def test_a_fixed_distance_is_a_density_of_scipy(key):
    term, x = TERMS[key], normal(4, 6).sigmoid()
    value = term.log_density(x, decoded(term), LEVEL)
    np.testing.assert_allclose(value, reference(term, x.numpy(), decoded(term).numpy()))


@pytest.mark.parametrize("key", ["learned", "floor", "dequantised"])
def test_a_learned_variance_is_a_density_of_scipy(key):
    term, x = TERMS[key], normal(4, 6).sigmoid()
    value = term.log_density(x, decoded(term), LEVEL)
    np.testing.assert_allclose(value, reference(term, x.numpy(), decoded(term).numpy()))
    expected = np.exp(decoded(term).numpy()[:, 6:]) + (term.floor * LEVEL) ** 2
    np.testing.assert_allclose(term.variance(decoded(term), LEVEL), expected)


def test_the_continuous_bernoulli_is_torchs_and_integrates_to_one():
    term = TERMS["continuous"]
    a = torch.tensor([-12.0, -3, -0.11, -0.09, -1e-3, 0, 0.05, 0.7, 12], dtype=torch.float64)
    x = torch.full_like(a, 0.3)
    theirs = ContinuousBernoulli(logits=a, lims=(0.4999, 0.5001))
    own = term.log_density(x[:, None], a[:, None], LEVEL)
    np.testing.assert_allclose(own, theirs.log_prob(x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(term.mean(a), theirs.mean, atol=1e-6)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = torch.from_numpy((nodes + 1) / 2)[:, None]
    for each in a:
        density = term.log_density(x, each.expand(len(x), 1), LEVEL).exp().numpy()
        assert weights @ density / 2 == pytest.approx(1, abs=1e-9)
        mean = weights @ (density * x[:, 0].numpy()) / 2
        assert term.mean(each).item() == pytest.approx(mean, abs=1e-8)
    plain = TERMS["bernoulli"].log_density(x, torch.zeros_like(x), LEVEL).exp().numpy()
    assert not TERMS["bernoulli"].normalised and weights @ plain / 2 == pytest.approx(0.5)


def test_its_gradient_has_no_hole_at_zero():
    a = torch.tensor([-0.2, -0.1, 0.0, 1e-9, 0.1, 5.0], dtype=torch.float64, requires_grad=True)
    bernoulli.log_normaliser(a).sum().backward()
    # d/da (x a - softplus + log C) = x - mean
    expected = a.detach().sigmoid() - bernoulli.continuous_mean(a.detach())
    np.testing.assert_allclose(a.grad, expected, atol=1e-7)


def test_a_mean_has_its_logit_back():
    a = torch.tensor([-1e5, -20, -0.05, 0, 3, 2e4], dtype=torch.float64)
    back = bernoulli.logit_of_mean(bernoulli.continuous_mean(a))
    np.testing.assert_allclose(back, a, rtol=1e-6, atol=1e-6)


def test_a_floor_bounds_the_likelihood_and_nothing_bounds_the_plain_one():
    x = torch.full((1, 5), 0.5, dtype=torch.float64)
    out = torch.cat([torch.zeros(1, 5), torch.full((1, 5), -200.0)], -1).double()
    floor, plain = (TERMS[key] for key in ("floor", "learned"))
    at = floor.log_density(x, out, LEVEL).item()
    assert at == pytest.approx(floor.ceiling(5, LEVEL))
    assert at == pytest.approx(5 * stats.norm.logpdf(0, 0, LEVEL))
    assert plain.log_density(x, out, LEVEL).item() > 400 > plain.ceiling(5, LEVEL)


def test_dequantised_images_bound_every_model():
    """The mean of a narrow peak's log density over the cell of a grey level."""
    term = TERMS["dequantised"]
    for log_variance in (-20.0, -8.0, -5.0):
        u = (torch.arange(1000, dtype=torch.float64)[:, None] + 0.5) / 1000
        x = 0.5 - LEVEL / 2 + u * LEVEL
        out = torch.tensor([[0.0, log_variance]], dtype=torch.float64).expand(1000, 2)
        assert term.log_density(x, out, LEVEL).mean() <= term.ceiling(1, LEVEL)


def test_a_term_of_a_plug_in_is_an_entry_and_makes_no_other_stale(monkeypatch):
    alone = config.load({**RAW, "job_seconds": 0, KIND: SMALL})  # a job for each term
    before = {job.name: (job.settings, fingerprint(job.code)) for job in STUDY.jobs(alone)}
    monkeypatch.setattr(TERMS, "entries", dict(TERMS.items()))
    TERMS.register(mahalanobis.Mahalanobis(key="mine", title="two grey levels", floor=2.0))
    jobs = {job.name: (job.settings, fingerprint(job.code)) for job in STUDY.jobs(alone)}
    assert len(STUDY.jobs(study())) == 1  # which they share where they are short
    assert set(jobs) - set(before) == {"mine_mine"}
    assert {name: jobs[name] for name in before} == before
    with pytest.raises(UserError, match="is no Term"):
        TERMS.register(type("Other", (), {"key": "other"})())


# Training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", list(TERMS))
def test_the_gradient_is_autograds(key):
    term = TERMS[key]
    layout = nets.Layout(6, 5, 2, term.shaped_as)
    p = layout.view(0.5 * normal(layout.n_parameters, seed=2))
    x, seen, noise = normal(4, 6).sigmoid(), normal(4, 6, seed=3), normal(4, 2, seed=4)
    leaves = {name: part.clone().requires_grad_() for name, part in p.items()}
    mean, log_variance = nets.encode(seen, leaves)
    z = mean + torch.exp(0.5 * log_variance) * noise if term.variational else mean
    value = term.log_density(x, nets.decode(z, leaves), LEVEL).sum()
    if term.variational:
        value = value - densities.kl_to_prior(mean, log_variance).sum()
    value.backward()
    with torch.no_grad():
        own = loop.gradient(term, p, x, seen, noise, LEVEL)
    for name, part in leaves.items():
        torch.testing.assert_close(own[name], part.grad, rtol=1e-6, atol=1e-8)


def trained(term, data, steps=20, run=RUN, training=None):
    training = training or Training(warmup_steps=5)
    layout = nets.Layout(64, 20, 3, term.shaped_as)
    *_, p = loop.train(run, term, data.train, 16, layout, training, 0.05, steps)
    return p


def test_with_the_papers_bernoulli_it_is_the_engines_aevb(make):
    settings, data = make(samples=2000, warmup_steps=5)
    [engine] = engine_train([RUN], [0.05], settings, data)
    p = trained(TERMS["bernoulli"], data, training=settings.training)
    for name, value in engine.weights.items():
        np.testing.assert_allclose(p[name].reshape(value.shape), value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("key", ["dequantised", "denoising", "autoencoder"])
def test_training_repeats_its_bits_and_depends_on_the_seed(key, make):
    _, data = make()
    one, same = (trained(TERMS[key], data) for _ in range(2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    other = trained(TERMS[key], data, run=RUN._replace(seed=1))
    assert not torch.equal(one["decoder.output.bias"], other["decoder.output.bias"])


def test_noise_is_what_it_says():
    x, generator = torch.zeros(200, 500), np.random.default_rng(0)
    assert loop.corrupted(x, generator, 0.3).std() == pytest.approx(0.3, rel=0.01)
    u = loop.dequantised(x, generator, 16)
    assert u.min() >= 0 and u.max() < 1 / 16 and u.var() == pytest.approx(1 / 16**2 / 12, rel=0.02)


# Measuring ---------------------------------------------------------------------------------------


def linear_model(key):
    """A model that ignores its input: q(z|x) = N(0, 1/4), decoder's output at the biases."""
    term = TERMS[key]
    layout = nets.Layout(2, 3, 1, term.shaped_as)
    p = layout.view(torch.zeros(layout.n_parameters))
    p["encoder.output.bias"][0, 1] = math.log(0.25)
    return measure.Model(term, p, 16)


def test_bounds_and_errors_are_those_of_a_model_known_by_hand():
    x = torch.tensor([[0.25, 0.75], [0.5, 1.0]])
    with torch.no_grad():
        model = linear_model("euclidean_01")
        found = measure.sampled(model, x, 3, np.random.default_rng(0))
        errors = measure.errors(model, x, np.random.default_rng(0))
    kl = 0.5 * (0.25 - 1 - math.log(0.25))
    np.testing.assert_allclose(found.kl, kl, rtol=1e-6)
    squares = [0.125, 0.25]
    np.testing.assert_allclose(found.squares, [squares] * 3, rtol=1e-6)
    value, error = found.bound(found.own)
    expected = stats.norm.logpdf(x, 0.5, 0.1).sum(1).mean() - kl
    assert value == pytest.approx(expected, rel=1e-6) and error == pytest.approx(0, abs=1e-6)
    common = found.common(0.7, 2)[0]
    np.testing.assert_allclose(common, stats.norm.logpdf(x, 0.5, 0.7).sum(1), rtol=1e-6)
    assert errors["rmse"] == pytest.approx((sum(squares) / 4) ** 0.5)
    assert np.isnan(measure.learned_variances(model, x)["smallest"])
    with torch.no_grad():
        learned = measure.learned_variances(linear_model("floor"), x)
    assert learned["smallest"] == pytest.approx(1 + LEVEL**2) == learned["low"]


def test_what_dequantisation_adds_on_average_is_taken_back():
    x = torch.tensor([[0.25, 0.75], [0.5, 1.0]])
    with torch.no_grad():
        model = linear_model("dequantised")
        model.parameters["encoder.hidden.weight"][:] = 1.0
        model.parameters["encoder.output.weight"][0] = 1.0
        found = measure.sampled(model, x, 2, np.random.default_rng(0))
        codes = model.codes(x)
        plain = measure.Model(TERMS["floor"], model.parameters, 16).codes(x + LEVEL / 2)
        errors = measure.errors(model, x, np.random.default_rng(0))
    torch.testing.assert_close(codes, plain)
    squares = ((x.numpy() - (0.5 - LEVEL / 2)) ** 2).sum(1)
    np.testing.assert_allclose(found.squares, [squares] * 2, rtol=1e-6)
    assert errors["rmse"] == pytest.approx((squares.sum() / 4) ** 0.5)


def test_images_measured_are_drawn_and_the_reference_is_of_as_many_as_there_are_samples():
    images = torch.arange(1000.0)[:, None]
    drawn = some(images, "digits", 100)
    assert torch.equal(drawn, some(images, "digits", 100)) and len(drawn.unique()) == 100
    assert drawn.max() > 500 and len(some(images[:50], "digits", 100)) == 50
    train, test = normal(300, 64).sigmoid().float(), normal(100, 64, seed=1).sigmoid().float()
    quality, axes = Quality("digits", train, test, 16), components(train.numpy())
    expected = frechet(axes(train[:100].numpy()), axes(test.numpy()))
    assert quality.data["frechet_data"] == pytest.approx(expected)


def test_a_data_set_may_have_terms_of_its_own():
    terms = ["continuous", "learned"]
    loaded = study(models=[{**SMALL["models"][0], "terms": terms}])
    [job] = STUDY.jobs(loaded)
    assert [about["key"] for about in job.settings["terms"]] == terms
    assert job.settings["first"] == "continuous"


def test_the_bernoulli_is_read_in_both_ways():
    """At logits of 0 both are the uniform density, of logarithm 0."""
    x = torch.tensor([[0.25, 0.75]])
    with torch.no_grad():
        model = linear_model("bernoulli")
        found = measure.sampled(model, x, 2, np.random.default_rng(0), crossed=True)
        np.testing.assert_allclose(found.same_logits, 0, atol=1e-9)
        np.testing.assert_allclose(found.same_mean, 0, atol=1e-9)
        model.parameters["decoder.output.bias"][:] = 1.5
        found = measure.sampled(model, x, 2, np.random.default_rng(0), crossed=True)
    [logit] = bernoulli.logit_of_mean(torch.tensor([1.5]).sigmoid())
    for values, a in ((found.same_logits, 1.5), (found.same_mean, logit.item())):
        theirs = ContinuousBernoulli(logits=torch.tensor(a)).log_prob(x).sum()
        np.testing.assert_allclose(values, theirs, rtol=1e-5)


def test_components_are_those_of_the_singular_values():
    x = np.random.default_rng(0).standard_normal((60, 5)) * [3, 1, 0.5, 0.2, 0.1]
    scores = components(x, 2)(x)
    *_, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(scores), np.abs((x - x.mean(0)) @ axes[:2].T), atol=1e-9)
    assert frechet(scores, scores) == pytest.approx(0, abs=1e-9)


def test_evaluations_are_at_half_and_at_the_end():
    assert grid(60_000, 3, 100) == [60, 190, 300, 600]
    assert grid(100, 3, 100) == [1]


# The study ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(digits_file):
    """Its tables, measured."""
    loaded, tables = study(), {}
    for job in STUDY.jobs(loaded):
        paths = [digits_file.parent / KIND / Path(output).name for output in job.outputs]
        job = job._replace(outputs=[*map(str, paths)], inputs={"data": [str(digits_file)]})
        found(job.work)([job])
        for path in paths:
            tables[path.stem] = results.read_table(path, STUDY.columns[KIND])
    return results.Gathered(loaded.model_dump(), {}, {}, {KIND: tables})


@pytest.fixture(scope="module")
def tables(gathered):
    return {name: found(place)(gathered, None) for name, place in STUDY.numbers(None).items()}


def test_tables_hold_what_their_columns_say(gathered):
    assert len(gathered.of(KIND)) == len(list(TERMS))
    for key, term in TERMS.items():
        table = gathered.of(KIND)[f"mine_{key}"]
        assert set(table.frame) == set(STUDY.columns[KIND])
        last = table.frame[table.frame["last"] == 1]
        assert list(last["seed"]) == [0, 1] and set(last["samples"]) == {2_000}
        assert (last["smallest"].notna() == (term.outputs == 2)).all()
        assert (last["same_mean"].notna() == (not term.normalised)).all()
        assert (last["kl"] > 0).all() == term.variational
        assert table.arrays["generated"].shape == (3, 64)
        assert ("originals" in table.arrays) == (key == "learned")
    floor = gathered.of(KIND)["mine_floor"].frame
    assert (floor["smallest"] >= LEVEL**2 * 0.999).all()


def test_numbers_are_those_of_the_tables(gathered, tables):
    last = {key: case.last for key, case in numbers.by_experiment(gathered)["mine"].items()}
    row = tables["reconstruction_terms"].set_index("term").loc["laplace"]
    assert row["rmse"] == pytest.approx(last["laplace"]["rmse"].mean())
    assert row["rmse_low"] < row["rmse"] < row["rmse_high"]
    [crossed] = tables["reconstruction_bernoulli"].itertuples()
    apart = last["continuous"]["test"] - last["bernoulli"]["same_mean"]
    assert crossed.lost_mean == pytest.approx(apart.mean())
    ends = tables["reconstruction_variances"].set_index(["term", "samples"])
    smallest = last["learned"]["smallest"]
    assert ends.loc[("learned", 2_000), "smallest"] == pytest.approx(stats.gmean(smallest))


def made(**effects):
    """Gathered results that say `effects`: term -> columns at the end, and `half`."""
    tables = {}
    for key, columns in effects.items():
        rows = []
        for seed in range(3):
            shift = 1 + 0.01 * seed
            base = dict.fromkeys(STUDY.columns[KIND], np.nan) | {"seed": seed, "above": 0.0}
            half = {"samples": 500, "last": 0.0, "smallest": columns.get("half", 1.0)}
            rows.append(base | half)
            ends = {name: value * shift for name, value in columns.items() if name != "half"}
            rows.append(base | {"samples": 1000, "last": 1.0} | ends)
        tables[f"mine_{key}"] = results.Table(pd.DataFrame(rows), {})
    return results.Gathered({**study().model_dump(), "seeds": [0, 1, 2]}, {}, {}, {KIND: tables})


@pytest.mark.parametrize(
    ("own", "logits", "mean", "word"),
    [(90, 50, 60, "holds"), (90, 50, 95, "does not hold"), (90, 95, 50, "does not hold")],
)
def test_claim_37_takes_the_better_reading(own, logits, mean, word):
    shown = made(continuous={"test": own}, bernoulli={"same_logits": logits, "same_mean": mean})
    [check], remarks = claims.pervasive(shown, None)
    assert judge([check], remarks)[0].startswith(word) and remarks == [claims.SATURATED]
    assert check.values[0] == pytest.approx(own - max(logits, mean))


@pytest.mark.parametrize(
    ("rmse", "distance", "word"),
    [(0.1, 9, "holds"), (0.3, 9, "mixed"), (0.3, 1, "does not hold")],
)
def test_claim_38_is_about_both(rmse, distance, word):
    vae = {"rmse": 0.2, "frechet": 3}
    own = {"rmse": rmse, "frechet": distance}
    checks, remarks = claims.regularised(made(autoencoder=own, bernoulli=vae), None)
    assert judge(checks, remarks)[0].startswith(word)
    assert [check.name.partition(",")[0] for check in checks] == [
        "RMSE",
        "samples in principal components",
    ]
    assert np.exp(checks[1].values[0]) == pytest.approx(distance / 3)


@pytest.mark.parametrize(
    ("half", "end", "other", "word"),
    [(1e-3, 1e-6, 1e-4, "holds"), (1e-6, 1e-6, 1e-4, "mixed"), (1e-7, 1e-4, 1e-5, "does not hold")],
)
def test_claim_39_needs_a_fall_that_others_have_not(half, end, other, word):
    learned = {"smallest": end, "half": half * 0.9}
    shown = made(learned=learned, floor={"smallest": other}, dequantised={"smallest": other})
    checks, remarks = claims.unbounded(shown, None)
    assert judge(checks, remarks)[0].startswith(word) and len(checks) == 3


def test_claims_without_the_study_are_not_tested():
    nothing = results.Gathered({}, {}, {})
    for test in (claims.pervasive, claims.regularised, claims.unbounded):
        assert test(nothing, None) == ([], [])
    own = [entry for entry in catalogue.catalogue() if entry.number in (37, 38, 39)]
    assert len(own) == 3 and not any(entry.paper for entry in own)


def test_figures_and_words(gathered, tables, tmp_path):
    for draw in (figures.images, figures.tradeoff, figures.variances):
        write(draw(gathered, None), [tmp_path / f"{draw.__name__}.png"])
        assert (tmp_path / f"{draw.__name__}.png").stat().st_size > 10_000
    part = findings.part(gathered, None, tables)
    said = pages.texts(STUDY.text(), part.facts)
    headings = re.findall(r"^== (\S+)$", STUDY.text().read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(headings)) == len(headings)
    wanted = {"reconstruction-question", "reconstruction-variance", *STUDY.figures(None)}
    assert wanted | {f"cap-{name}" for name in part.tables} <= set(said)
    listed = next(what for kind, what in part.sections[0].blocks if kind == "list")
    assert len(listed) == 3 and listed[0].startswith("mine: the smallest error is that of “")


def test_a_seed_of_several_that_diverged_is_said():
    ends = dict.fromkeys(numbers.ENDS + numbers.MEANS, 0.5)
    shown = made(learned=ends, autoencoder=ends | {"common": 9.0})
    frame = shown.of(KIND)["mine_learned"].frame
    lost = (frame["seed"] == 0) & (frame["last"] == 1)
    shown.of(KIND)["mine_learned"] = results.Table(frame[~lost], {})
    table = numbers.terms(shown, None)
    assert list(table["seeds"]) == [2, 3]
    own = {name: found(place)(shown, None) for name, place in STUDY.numbers(None).items()}
    part = findings.part(shown, None, own)
    listed = next(what for kind, what in part.sections[0].blocks if kind == "list")
    assert "under the common likelihood that of “Mahalanobis, learned Σ”" in listed[0]
    assert part.facts["reconstruction_shown"] == (
        "seed 0, but seed 1 of “Mahalanobis, learned Σ” on mine"
    )
    assert any("seed of 3 diverged of “Mahalanobis" in text for text in listed)
    assert claims.unbounded(shown, None)[1][-1:] == [
        "seeds that diverged: 1 of 3 of Mahalanobis, learned Σ on mine"
    ]


def test_bars_are_cut_below_alone():
    values = {"y": 1.0, "y_low": -2.0, "y_high": 5.0}
    np.testing.assert_allclose(figures._bars(values, "y"), [[0.9], [4.0]])
    assert figures._bars(values | {"y_low": np.nan}, "y") is None


def test_a_seed_that_diverges_ends_its_curve_and_is_said(digits_file, tmp_path, capsys):
    loaded = study(
        step_size=1e30, terms=["learned"], models=[SMALL["models"][0] | {"samples": 4e3}]
    )
    [job] = STUDY.jobs(loaded)
    job = job._replace(outputs=[str(tmp_path / "o.h5")], inputs={"data": [str(digits_file)]})
    found(job.work)([job])
    assert "diverged before" in capsys.readouterr().err
    table = results.read_table(tmp_path / "o.h5", STUDY.columns[KIND])
    assert not (table.frame["last"] == 1).any() and not table.arrays
    shown = results.Gathered(loaded.model_dump(), {}, {}, {KIND: {"mine_learned": table}})
    for draw in (figures.images, figures.tradeoff, figures.variances):
        write(draw(shown, None), [tmp_path / "empty.png"])
    own = {name: found(place)(shown, None) for name, place in STUDY.numbers(None).items()}
    assert own["reconstruction_terms"].empty
    assert not findings.part(shown, None, own).sections


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"terms": ["huber"]}, "there is no reconstruction term 'huber'"),
        ({"models": [{"experiment": "yours", "latent_dim": 2, "samples": 2e4}]}, "yours"),
        ({"models": SMALL["models"] * 2}, "lists an entry twice"),
        ({"models": [{**SMALL["models"][0], "samples": 500}]}, "give at least 1,200"),
        ({"draws": 1}, "draws"),
    ],
)
def test_bad_input_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        study(**changes)
    assert "\n" not in str(error.value)


def test_it_needs_grey_values():
    own = {"mine": {**RAW["experiments"]["mine"], "binarise": True}}
    with pytest.raises(UserError, match="is binarised or dequantised; name an experiment"):
        config.load({**RAW, "experiments": own, KIND: SMALL})


def test_a_term_is_abstract():
    with pytest.raises(TypeError):
        Term(key="x", title="x")
