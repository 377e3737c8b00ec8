"""VAE and GAN: gradients against autograd, the discriminator against its closed form, the VAE
against the engine, and what the study says."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.nn import functional

from aevb import config, results
from aevb.config.sections import Experiment
from aevb.core.errors import UserError
from aevb.core.run import Run, found
from aevb.engine.training import train as engine_train
from aevb.models import quality
from aevb.paper import claims as catalogue
from aevb.paper.verdicts import judge
from aevb.report import pages
from aevb.report.style import write
from aevb.studies import STUDIES
from aevb.studies.gan import adversarial, claims, figures, findings, numbers, work
from aevb.studies.gan.columns import METHODS

STUDY = STUDIES["gan"]
RAW = {
    "name": "gan",
    "samples": 2e4,
    "seeds": [0],
    "device": "cpu",
    "experiments": {
        "mine": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 8, "scale": 16},
        "faces": {"dataset": "frey", "likelihood": "gaussian", "hidden": 8},
    },
    "training": {"warmup_steps": 5, "step_sizes": [0.05]},
    "evaluation": {"first": 5000},
    "figure2": [{"experiment": "mine", "latent_dims": [2]}],
}
SMALL = {"experiment": "mine", "latent_dim": 3, "seeds": [0, 3], "samples": 4000, "points": 3}
SMALL |= {"images": 200, "side": 3}


def study(**changes):
    return config.load({**RAW, "gan": {**SMALL, **changes}})


def networks(d=7, units=5, nz=2):
    generator = np.random.default_rng(0)
    g = adversarial.start(generator, "decoder", (nz, units, d))
    return g, adversarial.start(generator, "encoder", (d, units, 1)), generator


# The network ------------------------------------------------------------------------------------


def test_gradients_are_those_of_the_losses():
    """Equation 1 and the non-saturating loss, written with log-sigmoids, by autograd."""
    g, d, generator = networks()
    real = torch.from_numpy(generator.random((4, 7), dtype=np.float32))
    z = torch.from_numpy(generator.standard_normal((4, 2), dtype=np.float32))
    for part in (*g.values(), *d.values()):
        part.requires_grad_()
    hidden = torch.tanh(z @ g["decoder.hidden.weight"] + g["decoder.hidden.bias"])
    made = (hidden @ g["decoder.output.weight"] + g["decoder.output.bias"]).sigmoid()

    def odds(x):
        h = functional.leaky_relu(x @ d["encoder.hidden.weight"] + d["encoder.hidden.bias"], 0.2)
        return h @ d["encoder.output.weight"] + d["encoder.output.bias"]

    torch.testing.assert_close(adversarial.generated(z, g), made)
    torch.testing.assert_close(adversarial.log_odds(made, d), odds(made))
    value = functional.logsigmoid(odds(real)).mean()
    value = value + functional.logsigmoid(-odds(made.detach())).mean()
    slopes = torch.autograd.grad(-value, list(d.values()))
    deceived = torch.autograd.grad(-functional.logsigmoid(odds(made)).mean(), list(g.values()))
    with torch.no_grad():
        own = adversarial.discriminator_gradient(real, made.detach(), d)
        other = adversarial.generator_gradient(z, hidden.clone(), made.detach(), g, d)
    for expected, (parameters, gradient) in ((slopes, (d, own)), (deceived, (g, other))):
        for name, part in zip(parameters, expected, strict=True):
            torch.testing.assert_close(gradient[name], part)


def test_the_discriminator_comes_to_its_optimum():
    """p_data / (p_data + p_G) (equation 2): for N(1, 1) and N(-1, 1) the log odds are 2 x, and V is
    that of the exact densities."""
    generator = np.random.default_rng(1)
    d = adversarial.start(generator, "encoder", (1, 16, 1))
    step = adversarial.Adam(d, 1e-2, 0.5)
    noise = torch.from_numpy(generator.standard_normal((400, 2, 300, 1), dtype=np.float32))
    with torch.no_grad():
        for real, made in noise:
            step(adversarial.discriminator_gradient(real + 1, made - 1, d))
        x = torch.linspace(-2, 2, 9).unsqueeze(1)
        torch.testing.assert_close(adversarial.log_odds(x, d), 2 * x, atol=0.5, rtol=0)
        real, made = noise[:, 0].flatten(0, 1) + 1, noise[:, 1].flatten(0, 1) - 1
        value = [
            float((functional.logsigmoid(f(real)) + functional.logsigmoid(-f(made))).mean())
            for f in (lambda x: adversarial.log_odds(x, d), lambda x: 2 * x)
        ]
    assert value[0] == pytest.approx(value[1], abs=5e-3)


def test_adam_is_algorithm_1_of_its_paper():
    p = {"w": torch.ones(1, 2)}
    step = adversarial.Adam(p, 0.1, 0.5)
    w, m, v = np.ones((1, 2)), 0, 0
    for t, g in enumerate(([[0.3, -2.0]], [[-1.0, 0.5]]), 1):
        with torch.no_grad():
            step({"w": torch.tensor(g)})
        m, v = 0.5 * m + 0.5 * np.array(g), 0.999 * v + 0.001 * np.array(g) ** 2
        w = w - 0.1 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(p["w"].detach().numpy(), w, rtol=1e-5)


def test_it_learns_a_simple_distribution_and_repeats_its_bits():
    """Two images, each half of the data: the generator makes both, and little else."""
    x = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]).repeat(50, 1)
    how = (x, 255, 16, 100, 1e-2, 0.5)
    ends = []
    for seed in (0, 0, 1):
        *_, g = adversarial.train(Run("two", "aevb", 2, seed), *how, 300)
        ends.append({name: part.detach().clone() for name, part in g.items()})
    assert all(torch.equal(part, ends[1][name]) for name, part in ends[0].items())
    assert not torch.equal(ends[0]["decoder.output.weight"], ends[2]["decoder.output.weight"])
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 2), dtype=np.float32))
    made = adversarial.generated(z, ends[0])
    near = torch.cdist(made, x[:2]).min(1)
    assert (near.values < 0.5).double().mean() > 0.8
    assert 0.2 < near.indices.double().mean() < 0.8


# The study --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(digits_file):
    """Its tables, measured."""
    loaded, tables = study(), {}
    for job in STUDY.jobs(loaded):
        path = digits_file.parent / "gan" / f"{job.name}.h5"
        job = job._replace(outputs=[str(path)], inputs={"data": [str(digits_file)]})
        found(job.work)([job])
        tables[job.name] = results.read_table(path, STUDY.columns["gan"])
    return results.Gathered(loaded.model_dump(), {}, {}, {"gan": tables})


@pytest.fixture(scope="module")
def tables(gathered):
    return {name: found(place)(gathered, None) for name, place in STUDY.numbers(None).items()}


def test_tables_hold_what_their_columns_say(gathered):
    for name, table in gathered.of("gan").items():
        frame = table.frame
        assert set(frame) == set(STUDY.columns["gan"])
        assert list(frame["method"].unique()) == list(METHODS) and len(frame) == 1 + 3 * 3
        assert (frame["frechet"] > 0).all()
        assert frame["frechet"].idxmin() == 0  # training images are nearest to test images
        np.testing.assert_allclose(table.arrays["shares"].sum(1), 1)
        trained = frame[frame["method"] == "gan"]
        assert (np.diff(trained["seconds"]) > 0).all() and trained["samples"].iloc[-1] == 4000
        assert ("shown" in table.arrays) == (name == "seed0")
    shown = gathered.of("gan")["seed0"].arrays["shown"].reshape(4, 9, 64)
    assert shown.dtype == np.uint8 and set(np.unique(shown[2])) <= {0, 255}  # draws are bits
    assert len(np.unique(shown[1])) > 100  # means are not
    one, other = (table.frame["frechet"] for table in gathered.of("gan").values())
    assert one[0] == other[0]  # the same test images for both
    assert not np.isclose(one[1:], other[1:]).any()


def test_the_reference_is_drawn_at_random_once_for_all():
    test = torch.from_numpy(np.random.default_rng(0).random((297, 64), dtype=np.float32))
    one, other = (work.Judge(test, name, "digits", 200) for name in ("mine", "mine+variant"))
    assert torch.equal(one.test, other.test) and one.high == other.high
    assert one.test.shape == (200, 64) and not torch.equal(one.test, test[:200])
    assert len(torch.unique(one.test, dim=0)) == 200
    assert (torch.cdist(one.test, test).min(1).values < 1e-2).all()


def test_the_vae_is_the_engines_aevb_to_the_bit(make):
    settings, loaded = make(samples=4000, warmup_steps=5)
    run = Run("mine", "aevb", 3, 0)
    [trained] = engine_train([run], [0.05], settings, loaded)
    experiment = settings.experiment
    options = study(step_size=0.05).gan.model_dump()
    pair = work.Pair(
        {"gan": options, "training": settings.training.model_dump(), "name": "mine", "seed": 0},
        Experiment(**experiment.model_dump()),
        loaded,
    )
    *_, weights = pair.vae()
    for name, value in trained.weights.items():
        np.testing.assert_array_equal(weights[name].numpy().reshape(value.shape), value)
    # means and draws come from the same z, and draws have these means
    (_, means), (_, draws) = pair.sampled("VAE", weights)
    assert float((means - draws).mean()) == pytest.approx(0, abs=0.02)


def test_numbers_are_those_of_the_tables(gathered, tables):
    last = {
        name: table.frame.groupby("method").tail(1).set_index("method")
        for name, table in gathered.of("gan").items()
    }
    row = tables["gan"].set_index("method").loc["gan"]
    own = [frame.loc["gan"] for frame in last.values()]
    assert row["frechet"] == pytest.approx(np.mean([each["frechet"] for each in own]))
    assert row["detail"] == pytest.approx(np.mean([x["high"] / x["test_high"] for x in own]))
    spread = [row[name] for name in ("spread", "spread_low", "spread_high")]
    values = np.log([each["frechet"] for each in own])
    assert spread[0] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert tables["gan"]["spread"].isna().tolist() == [True, False, False, False]
    data = tables["gan"].iloc[0]
    assert data["method"] == "data" and data["entropy"] > 2
    assert data.filter(regex="_(low|high)$").isna().all()
    moved = tables["gan_differences"].set_index(["vae", "quantity"])["value"]
    ratios = [np.log(f.loc["vae_draw", "frechet"] / f.loc["gan", "frechet"]) for f in last.values()]
    quantity = "Frechet distance, VAE over GAN, equal samples"
    assert moved["vae_draw", quantity] == pytest.approx(np.exp(np.mean(ratios)))


def made(vae, gan, draws=(1.0, 60.0, 2.2), spread=(0.0, 0.0), seeds=5):
    """Gathered results of `seeds` seeds whose models end with (detail, distance, entropy) `vae` and
    `gan`; `spread`: what entropy adds per seed, of VAE and GAN. The GAN takes twice the time."""
    tables = {}
    for seed in range(seeds):
        rows = [{"method": "data", "samples": 0, "seconds": 0.0, "detail": 1.0, "frechet": 2.0}]
        off = (seed - 2) ** 3 / 8
        for method, end, seconds, more in (
            ("vae_mean", vae, 10.0, spread[0]),
            ("vae_draw", draws, 10.0, spread[0]),
            ("gan", gan, 20.0, spread[1]),
        ):
            for share, times in ((0.25, 4), (0.5, 2), (1.0, 1)):
                rows.append({"method": method, "samples": 1000 * share, "detail": end[0]})
                rows[-1] |= {"seconds": seconds * share, "entropy": end[2] + more * off}
                # what differs by seed makes an interval
                rows[-1] |= {"frechet": end[1] * times * (1 + 0.01 * seed * (method == "gan"))}
        frame = pd.DataFrame(rows).assign(test_high=0.1, covered=10.0, doubt=0.1)
        frame["entropy"] = frame["entropy"].fillna(2.3)
        tables[f"seed{seed}"] = results.Table(frame.assign(high=0.1 * frame["detail"]), {})
    return results.Gathered({}, {}, {}, {"gan": tables})


def test_the_interval_of_a_spread_covers():
    """In 95 of 100 sets of five, the true standard deviation of the logarithm lies inside."""
    values = np.exp(0.3 * np.random.default_rng(0).standard_normal((400, 5)))
    ends = np.array([numbers.spread_of(pd.Series(row)) for row in values])
    inside = (ends[:, 1] < 0.3) & (ends[:, 2] > 0.3)
    assert inside.mean() == pytest.approx(0.95, abs=0.03)


def test_at_equal_seconds_the_slower_one_is_taken_on_its_way():
    """Distances halve as training doubles: at the half of its time the GAN's is twice its last."""
    of = made((0.1, 90, 2.2), (1.0, 30, 2.0))
    samples, seconds = (numbers.log_ratios(of, "vae_mean", where) for where in numbers.WHERE)
    np.testing.assert_allclose(np.exp(samples[0]), 3)
    np.testing.assert_allclose(samples - seconds, np.log(2))
    frame = numbers.by_seed(of)[0]
    assert np.exp(numbers.at_seconds(frame, "gan", 20 / 2**0.5)) == pytest.approx(30 * 2**0.5)


@pytest.mark.parametrize(
    ("function", "vae", "gan", "word"),
    [
        ("blurred", (0.2, 90, 2.2), (0.9, 30, 2.0), "holds"),
        ("blurred", (1.1, 90, 2.2), (1.2, 30, 2.0), "mixed"),
        ("blurred", (1.2, 90, 2.2), (0.9, 30, 2.0), "does not hold"),
        ("nearer", (0.2, 90, 2.2), (0.9, 20, 2.0), "holds"),
        ("nearer", (0.2, 90, 2.2), (0.9, 40, 2.0), "mixed"),
        ("nearer", (0.2, 90, 2.2), (0.9, 100, 2.0), "does not hold"),
    ],
)
def test_claims_52_and_54_follow_their_rules(function, vae, gan, word):
    checks, remarks = getattr(claims, function)(made(vae, gan), None)
    assert len(checks) == {"blurred": 2, "nearer": 4}[function]
    assert judge(checks, remarks)[0].startswith(word)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_of_a_ratio_of_spreads_covers(correlation):
    """In 95 of 100 pairs of three seeds the true log ratio lies inside; in more if they correlate.
    Its ends are those of the F test of SciPy's distribution."""
    a, b = np.random.default_rng(0).standard_normal((2, 2000, 3))
    a = correlation * b + (1 - correlation**2) ** 0.5 * a
    found = np.array([numbers.compared(3 * x, y) for x, y in zip(a, b, strict=True)])
    inside = (np.abs(found[:, 0] - np.log(3)) < found[:, 1]).mean()
    assert inside == pytest.approx(0.95, abs=0.015) if correlation == 0 else inside > 0.95
    ratio = 9 * a[0].var(ddof=1) / b[0].var(ddof=1)
    ends = np.log([ratio / stats.f.ppf(q, 2, 2) for q in (0.975, 0.025)]) / 2
    log, half = found[0]
    assert (log - half, log + half) == pytest.approx(tuple(ends))


def test_a_spread_of_equal_values_is_no_infinity():
    equal, other = [0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0]
    assert numbers.compared(equal, equal)[0] == 0
    assert numbers.compared(other, equal)[0] == -numbers.compared(equal, other)[0] > 10
    assert np.isnan(numbers.compared(other[:2], other[:2])).all()
    assert np.isnan(numbers.spread_of(np.exp(equal))).all()


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("entropies", "spread", "word"),
    [
        ((2.2, 1.5), (0.01, 0.1), "holds"),
        ((1.5, 2.2), (0.1, 0.01), "does not hold"),
        ((2.2, 1.5), (0.1, 0.1), "undecided"),
        ((2.2, 1.5), (0.1, 0.01), "mixed"),
    ],
)
def test_claim_53_follows_its_rule(entropies, spread, word, seeds):
    vae, gan = ((0.5, 50, entropy) for entropy in entropies)
    checks, remarks = claims.loses_classes(made(vae, gan, spread=spread, seeds=seeds), None)
    assert not remarks and judge(checks, remarks)[0].startswith(word)
    assert checks[1].values == pytest.approx([np.log(spread[1] / spread[0])])
    row = catalogue._row(next(c for c in catalogue.catalogue() if c.number == 53), checks[1])
    assert row["seeds"] == seeds and row["interval"] == f"law of the effect over {seeds} seeds"
    half = np.log(stats.f.ppf(0.975, seeds - 1, seeds - 1)) / 2
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half)


def test_a_lost_class_does_not_qualify_claim_53():
    of = made((0.5, 50, 2.2), (0.5, 50, 1.5), spread=(0.01, 0.1))
    for table in of.of("gan").values():
        table.frame.loc[table.frame["method"] == "gan", "covered"] = 7.0
    checks, remarks = claims.loses_classes(of, None)
    assert judge(checks, remarks) == ("holds", "")
    assert checks[0].name == "entropy; GAN: 7.0 of 10 classes covered"


def test_claim_53_takes_three_seeds():
    assert claims.loses_classes(made((0.5, 50, 2.2), (0.5, 50, 1.5), seeds=2), None) == ([], [])


def test_claims_without_the_study_are_not_tested():
    nothing = results.Gathered({}, {}, {})
    for function in (claims.blurred, claims.loses_classes, claims.nearer):
        assert function(nothing, None) == ([], [])
    own = [entry for entry in catalogue.catalogue() if entry.number in (52, 53, 54)]
    assert len(own) == 3 and not any(entry.paper for entry in own)


def test_figures_and_words(gathered, tables, tmp_path):
    for draw in (figures.samples, figures.curves):
        write(draw(gathered, None), [tmp_path / f"{draw.__name__}.png"])
        assert (tmp_path / f"{draw.__name__}.png").stat().st_size > 10_000
    part = findings.part(gathered, None, tables)
    said = pages.texts(STUDY.text(), part.facts)
    assert {"gan-question", "gan-measures", *STUDY.figures(None)} <= set(said)
    assert {f"cap-{name}" for name in part.tables} <= set(said)
    assert "left as they are" in said["gan-question"]
    assert "undefined" not in " ".join(said.values())
    lectures = part.tables["gan_lectures"]
    assert [row[0] for row in lectures.rows] == ["principle", "strength", "weakness"]
    distance = tables["gan"].set_index("method").loc["gan", "frechet"]
    assert f"GAN {distance:.1f} [" in lectures.rows[1][3].replace("−", "-")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"experiment": "faces"}, "no classifier for 'frey'; take mnist or digits"),
        ({"images": 300}, "gan.images is 300, and 'mine' has 297 images"),
        ({"side": 20}, "gan.side asks for more samples than gan.images"),
        ({"samples": 500}, "the VAE's warm-up leaves nothing to train; give at least 600"),
        ({"beta_1": 1}, "gan.beta_1"),
        ({"experiment": "yours"}, "yours"),
    ],
)
def test_bad_input_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        study(**changes)
    assert "\n" not in str(error.value)


def test_divergence_is_one_sentence(digits_file, tmp_path):
    job = STUDY.jobs(study(step_size=1e38, samples=1000))[0]
    job = job._replace(outputs=[str(tmp_path / "out.h5")], inputs={"data": [str(digits_file)]})
    with pytest.raises(UserError, match=r"the VAE of seed 0 .* give a smaller gan\.step_size"):
        found(job.work)([job])
    assert not (tmp_path / "out.h5").exists()


def test_another_classifier_makes_its_tables_stale(monkeypatch):
    one = STUDY.jobs(study())[0].settings
    monkeypatch.setattr("aevb.studies.gan.weights_sha256", lambda dataset: "other")
    assert STUDY.jobs(study())[0].settings != one
    assert one["classifier"] == quality.weights_sha256("digits")
