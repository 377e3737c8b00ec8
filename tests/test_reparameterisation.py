"""The families of section 2.4: g, densities and truth against SciPy, gradients and variances
against closed forms, and what the report makes of them."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, special, stats
from synthetic import PAPER, STUDY, build

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.paper import claims
from aevb.paper.verdicts import state
from aevb.pipeline import plan
from aevb.report import pages
from aevb.studies import STUDIES
from aevb.studies.planning import minutes
from aevb.studies.reparameterisation import expectation, figures, numbers, work
from aevb.studies.reparameterisation.catalogue import DISTRIBUTIONS
from aevb.studies.reparameterisation.claims import implicit, unbiased, varies_less
from aevb.studies.reparameterisation.entry import FAMILIES, FUNCTIONS, functions, unbounded

KEYS = list(DISTRIBUTIONS)
ON_A_LINE = [key for key in KEYS if key not in ("elliptical_gaussian", "elliptical_t", "dirichlet")]
#: section 2.4, word for word but for case
NAMED = {
    "inverse_cdf": "exponential cauchy logistic rayleigh pareto weibull reciprocal gompertz gumbel "
    "erlang",
    "location_scale": "laplace elliptical student_t logistic uniform triangular gaussian",
    "composition": "log_normal gamma dirichlet beta chi_squared f",
}
SECTION = {"samples": 1000, "seeds": [3, 4]}


def drawn(key, n=500, seed=0):
    """epsilon, z and phi of a distribution."""
    phi = DISTRIBUTIONS[key].phi({})
    epsilon = work.noise(key, phi, n, seed)
    return epsilon, DISTRIBUTIONS[key].g(epsilon, **phi), phi


# The catalogue against SciPy ------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_distribution_that_the_paper_names_is_there(family):
    mine = [key for key, entry in DISTRIBUTIONS.items() if entry.family == family]
    for name in NAMED[family].split():
        assert any(key.startswith(name) for key in mine), name


@pytest.mark.parametrize("key", [k for k in KEYS if DISTRIBUTIONS[k].family == "inverse_cdf"])
def test_g_of_the_first_family_is_the_quantile_function(key):
    entry = DISTRIBUTIONS[key]
    phi, u = entry.phi({}), np.array([1e-9, 0.01, 0.3, 0.5, 0.8, 0.999])
    np.testing.assert_allclose(
        entry.g(torch.from_numpy(u), **phi).numpy(), entry.law(**phi).ppf(u), rtol=1e-6
    )


def density(key, phi):
    """SciPy's log density of z, with phi by name."""
    if key == "dirichlet":
        return lambda z: stats.dirichlet(list(phi.values())).logpdf(z.T)
    if key.startswith("elliptical"):
        scale = np.array([[phi["l11"], 0], [phi["l21"], phi["l22"]]])
        place = [phi["mu1"], phi["mu2"]], scale @ scale.T
        if key == "elliptical_gaussian":
            return stats.multivariate_normal(*place).logpdf
        return stats.multivariate_t(*place, df=phi["df"]).logpdf
    return DISTRIBUTIONS[key].law(**phi).logpdf


@pytest.mark.parametrize("key", KEYS)
def test_log_densities_are_scipys(key):
    _, z, phi = drawn(key)
    mine = DISTRIBUTIONS[key].log_density(z, **work.repeated(phi, len(z))).detach().numpy()
    np.testing.assert_allclose(mine, density(key, phi)(z.numpy()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("key", KEYS)
def test_samples_pass_the_test_and_others_fail_it(key, monkeypatch):
    phi = DISTRIBUTIONS[key].phi({})
    rows = list(work.test(key, phi, 5000, [0, 1]))
    assert {row["samples"] for row in rows} == {10_000}
    assert len(rows) == 1 + len(DISTRIBUTIONS[key].others)
    assert min(row["p_value"] for row in rows) > 0.05 / 30
    views = work.views
    monkeypatch.setattr(
        work, "views", lambda *what: ((name, 1.3 * values) for name, values in views(*what))
    )
    assert max(row["p_value"] for row in work.test(key, phi, 5000, [0, 1])) < 1e-6


# The truth ------------------------------------------------------------------------------------


def closed_forms():
    """(distribution, f, parameter, d E f(z) / d parameter) at the values of the catalogue."""
    m, s = DISTRIBUTIONS["gaussian"].phi({}).values()
    for w, name in ((1, "cos z"), (5, "cos 5z")):
        damped = np.exp(-((w * s) ** 2) / 2)
        yield "gaussian", name, "loc", -w * np.sin(w * m) * damped
        yield "gaussian", name, "scale", -(w**2) * s * np.cos(w * m) * damped
    yield "gaussian", "z^2", "loc", 2 * m
    yield "gaussian", "z^2", "scale", 2 * s
    rate = DISTRIBUTIONS["exponential"].phi({})["rate"]
    yield "exponential", "cos 5z", "rate", 2 * rate * 25 / (rate**2 + 25) ** 2
    k, rate = DISTRIBUTIONS["gamma"].phi({}).values()
    yield "gamma", "log z", "shape", special.polygamma(1, k)
    yield "gamma", "z^2", "rate", -2 * k * (k + 1) / rate**3
    a, b = DISTRIBUTIONS["beta"].phi({}).values()
    yield "beta", "z", "a", b / (a + b) ** 2
    yield "f", "z", "df2", -2 / (DISTRIBUTIONS["f"].phi({})["df2"] - 2) ** 2
    low, shape = DISTRIBUTIONS["pareto"].phi({}).values()
    yield "pareto", "z^2", "shape", -2 * low**2 / (shape - 2) ** 2
    a1, a2, a3 = DISTRIBUTIONS["dirichlet"].phi({}).values()
    yield "dirichlet", "z", "a2", -a1 / (a1 + a2 + a3) ** 2
    plane = DISTRIBUTIONS["elliptical_t"].phi({})  # variance of a t: df / (df - 2)
    spread = plane["df"] / (plane["df"] - 2)
    yield "elliptical_t", "z^2", "l21", 2 * (plane["l11"] + plane["l21"]) * spread


@pytest.mark.parametrize(("key", "name", "parameter", "value"), list(closed_forms()))
def test_the_quadrature_gives_closed_forms(key, name, parameter, value):
    entry = DISTRIBUTIONS[key]
    mine = expectation.gradient(entry, FUNCTIONS[name], entry.phi({}))[parameter]
    assert mine == pytest.approx(value, abs=expectation.ACCURACY)


@pytest.mark.parametrize("key", ["weibull", "gompertz", "student_t", "log_normal"])
def test_expectations_are_those_of_an_adaptive_quadrature_over_the_density(key):
    entry = DISTRIBUTIONS[key]
    phi = entry.phi({})
    law = entry.law(**phi)
    for name, function in functions(entry, phi).items():

        def integrand(z, function=function):
            return function.of(torch.tensor(z)).item() * law.pdf(z)

        ends = law.ppf(1e-10), law.isf(1e-10)
        value, _ = integrate.quad(integrand, *ends, limit=2000, points=[law.median()])
        assert expectation.expected(entry, function, phi) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("frequency", [1, 5])
def test_the_cosine_of_a_cauchy_variate_is_its_fourier_integral(frequency):
    entry = DISTRIBUTIONS["cauchy"]
    loc, scale = (phi := entry.phi({})).values()
    name = "cos z" if frequency == 1 else "cos 5z"
    half, _ = integrate.quad(stats.cauchy(0, scale).pdf, 0, np.inf, weight="cos", wvar=frequency)
    mine = expectation.expected(entry, FUNCTIONS[name], phi)
    assert mine == pytest.approx(2 * half * np.cos(frequency * loc), abs=1e-7)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("end", ["least", "most"])
def test_the_truth_is_exact_to_the_ends_of_the_range(key, end):
    entry = DISTRIBUTIONS[key]
    phi = {name: getattr(part, end) for name, part in entry.parameters.items()}
    for name in ("cos 5z", "tanh z"):
        fine, coarse = (
            expectation.gradient(entry, FUNCTIONS[name], phi, panels) for panels in (1000, 600)
        )
        for parameter, value in fine.items():
            room = expectation.ACCURACY * max(1, abs(value))
            assert coarse[parameter] == pytest.approx(value, abs=room)


# Gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_gradients_through_g_are_differences_at_fixed_noise(key):
    entry = DISTRIBUTIONS[key]
    epsilon, _, phi = drawn(key)
    z, leaves = work.by_g(entry, epsilon, phi)
    assert list(leaves) == [name for name in entry.parameters if name not in entry.fixed]
    mine = work.through(entry, FUNCTIONS["tanh z"], z, phi, leaves)
    for name in leaves:
        high, low = (
            torch.tanh(entry.view(entry.g(epsilon, **{**phi, name: phi[name] + h}), **phi))
            for h in (1e-6, -1e-6)
        )
        torch.testing.assert_close(mine[name], (high - low) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("key", [k for k in KEYS if not DISTRIBUTIONS[k].moves])
def test_scores_are_differences_of_scipys_log_density(key):
    entry = DISTRIBUTIONS[key]
    _, z, phi = drawn(key)
    if key == "triangular":  # whose density ends in a corner
        z = z[(z - phi["loc"]).abs() < 0.99 * phi["scale"]]
    for name, mine in work.scores(entry, z, phi).items():
        high, low = (density(key, {**phi, name: phi[name] + h})(z.numpy()) for h in (1e-6, -1e-6))
        np.testing.assert_allclose(mine.numpy(), (high - low) / 2e-6, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_estimates_are_unbiased_where_theory_says_so(key):
    entry = DISTRIBUTIONS[key]
    phi = entry.phi({})
    frame = pd.DataFrame(work.measure(key, phi, 10_000, list(range(5))))
    endless = [n for n, f in functions(entry, phi).items() if unbounded(entry, f, phi)]
    pathwise = frame["estimator"].isin(["pathwise", "torch"])
    assert set(frame[frame["estimator"] == "torch"]["parameter"]) == (
        set(entry.parameters) if entry.torch else set()
    )
    wrong = frame["parameter"].isin(entry.moves) | entry.infinite
    frame = frame[np.where(pathwise, ~frame["function"].isin(endless), ~wrong)]
    for _, rows in frame.groupby(["function", "parameter", "estimator"]):
        error = np.sqrt(rows["variance"].sum() / 10_000) / len(rows)
        exact = rows["exact"].iloc[0]
        room = 4.5 * error + expectation.ACCURACY * max(1, abs(exact))
        assert rows["mean"].mean() == pytest.approx(exact, abs=room)


def test_the_score_function_is_biased_where_the_support_moves():
    frame = pd.DataFrame(work.measure("uniform", {"loc": 0.5, "scale": 0.8}, 1000, [0, 1]))
    rows = frame[(frame["function"] == "z") & (frame["parameter"] == "loc")]
    rows = rows.set_index("estimator")
    assert set(rows.loc["score", "mean"]) == {0.0}  # the density does not depend on loc inside
    np.testing.assert_allclose(rows.loc["pathwise", "mean"], 1)
    np.testing.assert_allclose(rows["exact"], 1, atol=1e-6)


def test_variances_are_those_of_closed_forms():
    m, s = (phi := DISTRIBUTIONS["gaussian"].phi({})).values()
    frame = pd.DataFrame(work.measure("gaussian", phi, 100_000, [0]))
    rows = frame.set_index(["function", "parameter", "estimator"])["variance"]
    expected = {
        ("z", "loc", "pathwise"): 0,
        ("z", "scale", "pathwise"): 1,
        ("z^2", "loc", "pathwise"): 4 * s**2,
        ("z", "loc", "score"): 2 + (m / s) ** 2,
        ("z", "loc", "score_baseline"): 2,
    }
    for place, value in expected.items():
        assert rows[place] == pytest.approx(value, rel=0.03), place


def test_a_cosine_of_a_cauchy_variate_has_no_pathwise_variance():
    """f'(z) dz/dscale is like epsilon sin z, whose square has no expectation: of ten times as many
    samples the sample variance is far larger."""
    phi = DISTRIBUTIONS["cauchy"].phi({})
    assert unbounded(DISTRIBUTIONS["cauchy"], FUNCTIONS["cos z"], phi)
    assert not unbounded(DISTRIBUTIONS["cauchy"], FUNCTIONS["tanh z"], phi)
    medians = []
    for n in (1000, 100_000):
        frame = pd.DataFrame(work.measure("cauchy", phi, n, list(range(5))))
        rows = frame[(frame["function"] == "cos z") & (frame["parameter"] == "scale")]
        medians.append(rows.groupby("estimator")["variance"].median())
    assert medians[1]["pathwise"] > 10 * medians[0]["pathwise"]
    assert medians[1]["score"] == pytest.approx(medians[0]["score"], rel=0.2)


def test_one_seed_decides_everything():
    phi = DISTRIBUTIONS["gamma"].phi({})
    before = torch.random.get_rng_state()
    first, second = (pd.DataFrame(work.measure("gamma", phi, 1000, [5, 6])) for _ in range(2))
    assert first.equals(second) and torch.equal(torch.random.get_rng_state(), before)
    means = first.groupby("seed")["mean"].apply(list)
    assert means[5] != means[6]


# The configuration ----------------------------------------------------------------------------

REFUSED = {
    "an unknown distribution": (
        {"distributions": ["gama"]},
        "names the distribution 'gama', which is not in its catalogue; did you mean 'gamma'",
    ),
    "too few samples": (
        {"samples": 10},
        "samples' is 10: it must be greater than or equal to 1000",
    ),
    "one seed": ({"seeds": [0]}, "it must have 2 entries or more"),
    "a seed twice": ({"seeds": [0, 0]}, "seeds lists a seed twice"),
    "no distribution": ({"distributions": []}, "it must not be empty"),
    "a scale of 0": (
        {"parameters": {"cauchy": {"scale": 0}}},
        r"parameters.cauchy.scale is 0; give a number from 0.1 to 5",
    ),
    "no number": (
        {"parameters": {"cauchy": {"loc": float("nan")}}},
        r"parameters.cauchy.loc is nan; give a number from -10 to 10",
    ),
    "half an exponential": (
        {"parameters": {"gamma": {"shape": 2.5}}},
        r"parameters.gamma.shape is 2.5; give a whole number from 1 to 20",
    ),
    "an unknown parameter": (
        {"parameters": {"gamma": {"shap": 2}}},
        r"unknown key 'reparameterisation.parameters.gamma.shap'; did you mean 'shape'",
    ),
    "parameters of an unknown distribution": (
        {"parameters": {"gauss": {"loc": 2}}},
        "names the distribution 'gauss'.*did you mean",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_sentence_before_any_job(case):
    section, sentence = REFUSED[case]
    with pytest.raises(UserError, match=sentence) as error:
        config.load({**STUDY, "reparameterisation": section})
    assert "\n" not in str(error.value)


def test_planning_needs_neither_torch_nor_scipys_distributions():
    program = (
        "import sys; from aevb import config; from aevb.pipeline import plan\n"
        f"plan.jobs(config.load({ {**STUDY, 'reparameterisation': {}}!r}))\n"
        "assert not {'torch', 'scipy.stats', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_distribution_is_measured_once_and_settings_decide():
    study = config.load(
        {**STUDY, "reparameterisation": {**SECTION, "parameters": {"gamma": {"shape": 2}}}}
    )
    jobs = [job for job in plan.jobs(study) if job.kind in STUDIES["reparameterisation"].columns]
    assert len(jobs) == 5 and all(job.seconds > 0 and minutes(study, job) < 30 for job in jobs)
    asked = [k for j in jobs if j.kind == "reparameterisation" for k in j.settings["distributions"]]
    assert asked == KEYS
    composition = next(job for job in jobs if job.name == "composition").settings
    assert composition["distributions"]["gamma"] == {"shape": 2, "rate": 1.5}
    assert (composition["samples"], composition["seeds"]) == (1000, [3, 4])


# What is made of the tables -------------------------------------------------------------------

CHOSEN = ["exponential", "cauchy", "erlang", "elliptical_t", "uniform", "triangular", "gamma", "f"]


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    """A study of synthetic runs, with real tables of some distributions."""
    folder = tmp_path_factory.mktemp("reparameterised")
    raw = {**STUDY, "reparameterisation": {**SECTION, "distributions": CHOSEN}}
    raw |= {"results": str(folder / "results")}
    made = results.read_gathered(build(folder, raw))
    for job in plan.study_jobs(made.study):
        if job.kind.startswith("reparameterisation"):
            found(job.work)([job])
            columns = STUDIES["reparameterisation"].columns[job.kind]
            table = results.read_table(job.outputs[0], columns)
            assert list(table.frame) == list(columns)  # each is described
            made.tables.setdefault(job.kind, {})[job.name] = table
    return made


def changed(gathered, change):
    """`gathered` with other tables of gradients: change(frame) of each."""
    tables = {
        name: results.Table(change(table.frame.copy()), table.attributes)
        for name, table in gathered.of("reparameterisation").items()
    }
    return results.Gathered(
        gathered.config,
        gathered.runs,
        gathered.pilots,
        gathered.tables | {"reparameterisation": tables},
    )


def test_ratios_are_sums_over_the_parameters_that_both_have(gathered):
    table = numbers.ratios(gathered, None).set_index(
        ["distribution", "function", "estimator", "against"]
    )
    frame = gathered.of("reparameterisation")["composition"].frame
    rows = frame[(frame["distribution"] == "gamma") & (frame["function"] == "cos z")]
    wide = rows.pivot(index="seed", columns=["estimator", "parameter"], values="variance")
    by_hand = {
        "pathwise": wide["pathwise"]["rate"] / wide["score"]["rate"],
        "torch": wide["torch"].sum(axis=1) / wide["score"].sum(axis=1),
    }
    for estimator, ratio in by_hand.items():
        row = table.loc["gamma", "cos z", estimator, "score"]
        assert (
            row["ratio"] == pytest.approx(ratio.mean()) and row["low"] < row["ratio"] < row["high"]
        )
    assert table.loc["gamma", "cos z", "pathwise", "score"]["parameters"] == "rate"
    assert table.loc["gamma", "cos z", "torch", "score"]["parameters"] == "shape rate"
    assert table.loc["exponential", "log z", "pathwise", "score"]["ratio"] == 0  # all are equal
    against = table.loc["uniform"].reset_index()["against"]
    assert set(against) == {"pathwise"}  # the score function is biased for both parameters


def test_gradients_are_over_all_seeds(gathered):
    table = numbers.gradients(gathered, None)
    frame = gathered.of("reparameterisation")["inverse_cdf"].frame
    by = {"distribution": "exponential", "function": "z", "estimator": "pathwise"}
    mine = frame[(frame[list(by)] == list(by.values())).all(axis=1)]
    row = table[(table[list(by)] == list(by.values())).all(axis=1)].iloc[0]
    assert row["mean"] == pytest.approx(mine["mean"].mean()) and row["samples"] == 2000
    assert row["se"] == pytest.approx((mine["variance"].mean() / 2000) ** 0.5)
    assert row["off"] == pytest.approx((row["mean"] - row["exact"]) / row["se"], rel=1e-3)
    assert row["bias"] == pytest.approx(
        (row["mean"] - row["exact"]) / row["variance"] ** 0.5, rel=1e-3
    )
    notes = table.groupby(["distribution", "estimator", "function"])["note"].first()
    assert notes["cauchy", "pathwise", "cos z"] == "infinite variance"
    assert notes["uniform", "score", "z"] == "biased: the support moves"
    assert notes["triangular", "score", "z"] == "infinite variance"
    assert notes["triangular", "pathwise", "z"] == notes["cauchy", "pathwise", "tanh z"] == ""


def test_the_catalogue_says_for_what_g_has_no_gradient(gathered):
    table = numbers.catalogue(gathered, None).set_index("distribution")
    assert table.loc["gamma", ["gradient", "none", "torch"]].tolist() == [
        "rate",
        "shape",
        "shape and rate",
    ]
    assert table.loc["F", "gradient"] == "none" and table.loc["F", "estimates"] == 0
    assert table.loc["uniform", "score"] == "biased for loc and scale: the support moves"
    assert not table["rejected"].any() and (table["off"].dropna() < 4.5).all()


def test_a_bias_fails_the_claims_that_there_is_none(gathered):
    def off(frame):
        """The estimates of exponential and gamma shape wrong by a tenth of their deviation."""
        wrong = (frame["distribution"] == "exponential") | (
            (frame["distribution"] == "gamma") & (frame["parameter"] == "shape")
        )
        frame["mean"] = frame["exact"] + np.where(wrong, 0.5, 0) * frame["variance"] ** 0.5
        return frame

    wrong = changed(gathered, off)
    checks, remarks = unbiased(wrong, None)
    states = {check.name.split(",")[0]: state(check) for check in checks}
    assert states.pop("exponential") == "disagrees"
    assert "disagrees" not in states.values() and len(states) == 6
    assert any("no gradient for F" in remark for remark in remarks)
    assert any("infinite for Cauchy with f = cos z and cos 5z" in remark for remark in remarks)
    assert any("16 distributions of the catalogue left out" in remark for remark in remarks)
    checks, remarks = implicit(wrong, None)
    states = {check.name.rpartition(", f =")[0]: state(check) for check in checks}
    assert states.pop("gamma, shape") == "disagrees"
    assert set(states) == {"Erlang, shape", "F, df1", "F, df2"}
    assert "disagrees" not in states.values()
    assert remarks == ["torch has no sampler of elliptical: Student's t (df)"]


def test_exact_estimates_of_enough_samples_hold_the_claims(gathered):
    right = changed(gathered, lambda frame: frame.assign(mean=frame["exact"], samples=1e5))
    for function, number in ((unbiased, 7), (implicit, 4)):
        checks, _ = function(right, None)
        assert len(checks) == number and {state(check) for check in checks} == {"agrees"}


def test_which_varies_less_is_judged_where_both_have_a_variance(gathered):
    checks, remarks = varies_less(gathered, None)
    names = [check.name for check in checks]
    assert "Cauchy, f = tanh z" in names and "Cauchy, f = cos z" not in names
    assert not any(name.startswith(("triangular", "uniform", "F,")) for name in names)
    states = {check.name: state(check) for check in checks}
    assert states["exponential, f = log z"] == states["elliptical: Student's t, f = z"] == "agrees"
    assert states["gamma, f = cos 5z"] in ("disagrees", "leans against")
    assert any("with f = cos 5z it is above in 4 of 4" in remark for remark in remarks)
    swapped = changed(
        gathered,
        lambda frame: frame.assign(
            estimator=frame["estimator"].replace({"score": "pathwise", "pathwise": "score"})
        ),
    )
    checks, _ = varies_less(swapped, None)
    assert {state(c) for c in checks if c.name == "Erlang, f = z"} <= {"disagrees", "leans against"}


def test_without_the_study_nothing_is_tested(tmp_path):
    bare = results.read_gathered(build(tmp_path))
    table = claims.verdicts(bare, pd.read_csv(PAPER)).set_index("claim")
    mine = [name for name in table.index if name.split(".")[0] in ("29", "30", "31")]
    assert not mine  # no claim of the paper: it shows where it is tested alone


def test_figures_show_every_distribution(gathered):
    drawing = figures.variances(gathered, None)
    assert [axis.get_title(loc="left") for axis in drawing.axes] == list(FAMILIES.values())
    labels = [text.get_text() for axis in drawing.axes for text in axis.get_yticklabels()]
    assert labels == [DISTRIBUTIONS[key].title for key in KEYS if key in CHOSEN]
    first = drawing.axes[0]
    assert first.get_xscale() == "log"
    table = numbers.ratios(gathered, None)
    row = table[(table["distribution"] == "exponential") & (table["function"] == "z")].iloc[0]
    spans = [line.get_xdata() for line in first.get_lines() if len(line.get_xdata()) == 2]
    assert any(np.allclose(span, [row["low"], row["high"]]) for span in spans)
    edges = [line.get_marker() for line in first.get_lines() if line.get_marker() in "<>"]
    assert sorted(edges) == ["<", "<", ">", ">"]  # log z of two scales; two cosines of the Cauchy
    said = [text.get_text() for text in drawing.axes[1].texts]
    assert said == ["the score function is biased: the support moves"]


def test_the_figure_of_g_shows_draws_that_g_made(gathered):
    drawing = figures.transport(gathered, None)
    titles = [axis.get_title() for axis in drawing.axes if axis.get_title()]
    assert titles == [f"{e.title}: z = {e.shown}" for e in map(DISTRIBUTIONS.get, CHOSEN[:2])]
    curve = max(drawing.axes[0].get_lines(), key=lambda line: len(line.get_xdata()))
    epsilon, z = curve.get_data()
    np.testing.assert_allclose(z, -np.log1p(-epsilon) / 1.5)


def test_the_report_tells_of_it(gathered):
    tables = {
        name: found(place)(gathered, pd.read_csv(PAPER))
        for name, place in STUDIES["reparameterisation"].numbers(gathered.study).items()
    }
    text = pages.source(gathered, pd.read_csv(PAPER), {}, tables)
    assert "8 distributions here" in text and "none is rejected" in text
    assert "none at all for F" in text and "16 of 16" not in text
    assert "biased for loc and scale" in text and "0 in the limit" in text
