"""Conditional models: bounds and gradients against their plain forms, log p against quadrature,
neighbours against brute force, and what the study says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from aevb import config, data, results
from aevb.core.errors import UserError
from aevb.core.run import found
from aevb.models import densities, kernels, nets
from aevb.paper import claims as catalogue
from aevb.paper.verdicts import judge
from aevb.pipeline import plan
from aevb.report import pages
from aevb.report.style import write
from aevb.studies import STUDIES
from aevb.studies.conditional import (
    claims,
    evidence,
    figures,
    findings,
    model,
    numbers,
    quadrants,
    work,
)
from aevb.studies.conditional import labels as classes_of

DATA = Path(__file__).parent.parent / "data"
STUDY = STUDIES["conditional"]
RAW = {
    "name": "conditional",
    "samples": 2e4,
    "seeds": [0, 1],
    "device": "cpu",
    "experiments": {
        "mine": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 12, "scale": 16},
        "grey": {
            "dataset": "digits",
            "likelihood": "gaussian",
            "hidden": 8,
            "scale": 16,
            "dequantise": True,
        },
        "film": {"dataset": "frey", "likelihood": "bernoulli", "hidden": 8},
    },
    "training": {"step_sizes": [0.05]},
    "evaluation": {"first": 5000},
    "figure2": [{"experiment": "mine", "latent_dims": [2]}],
}
SMALL = {
    "experiment": "mine",
    "latent_dims": [2, 4],
    "observed": [1, 3],
    "completion_dim": 3,
    "samples": 4000,
    "step_size": 0.01,
    "draws": 20,
    "points": 40,
    "completed": 50,
    "styles": 3,
    "images": 4,
}


def study(**changes):
    return config.load({**RAW, "conditional": {**SMALL, **changes}})


def rng(seed=0):
    return np.random.default_rng(seed)


def some(latent_dim=2, condition=3, prior=True, points=6, target=5):
    """A random model in float64, targets, conditions and noise."""
    shape = model.Shape(target, condition, 7, latent_dim, prior)
    generator = rng(3)
    p = {k: torch.from_numpy(0.7 * generator.standard_normal(s)) for k, s in shape.shapes.items()}
    t, c = (torch.from_numpy(generator.random((points, n))) for n in (target, condition))
    return p, t.round(), c, torch.from_numpy(generator.standard_normal((points, latent_dim)))


# The model --------------------------------------------------------------------------------------


def test_the_kl_is_torchs_and_appendix_bs_to_the_standard_normal():
    a, b, c, d = torch.from_numpy(rng().standard_normal((4, 5, 3)))
    pair = (torch.distributions.Normal(m, torch.exp(0.5 * v)) for m, v in ((a, b), (c, d)))
    exact = torch.distributions.kl_divergence(*pair).sum(-1)
    torch.testing.assert_close(model.kl(a, b, (c, d)), exact)
    zero = torch.zeros_like(a)
    torch.testing.assert_close(model.kl(a, b, (zero, zero)), densities.kl_to_prior(a, b))


def plain(p, t, c, noise):
    """The bound by the project's plain densities and networks."""
    mean, log_variance = nets.encode(torch.cat([t, c], -1), p)
    z = mean + torch.exp(0.5 * log_variance) * noise
    a = nets.decode(torch.cat([z, c], -1), p)
    log_p = (t * a - torch.nn.functional.softplus(a)).sum(-1)
    if "prior.hidden.weight" in p:
        own = nets.output(nets.hidden(c, p, "prior"), p, "prior").chunk(2, dim=-1)
        pair = ((mean, log_variance), own)
        q, prior = (torch.distributions.Normal(m, torch.exp(0.5 * v)) for m, v in pair)
        return log_p - torch.distributions.kl_divergence(q, prior).sum(-1)
    return log_p - densities.kl_to_prior(mean, log_variance)


@pytest.mark.parametrize(("prior", "condition"), [(True, 3), (False, 3), (False, 0)])
def test_bound_and_gradient_are_those_of_the_plain_form(prior, condition):
    """Without a condition it is equation 7 of the paper."""
    p, t, c, noise = some(prior=prior, condition=condition)
    values = []
    for form in (plain, lambda *own: model.bound(*own)[0]):
        leaves = {k: part.clone().requires_grad_() for k, part in p.items()}
        value = form(leaves, t, c, noise)
        value.sum().backward()
        values.append((value.detach(), {k: leaf.grad for k, leaf in leaves.items()}))
    (first, slopes), (second, own) = values
    torch.testing.assert_close(first, second)
    for name, slope in slopes.items():
        torch.testing.assert_close(own[name], slope)
        assert slope.abs().max() > 0


def test_without_latents_the_bound_is_log_p_of_a_network_of_c():
    p, t, c, noise = some(latent_dim=0, prior=False)
    assert {name.split(".")[0] for name in p} == {"decoder"}
    mean = nets.decode(c, p).sigmoid()
    value, kl = model.bound(p, t, c, noise)
    np.testing.assert_allclose(value, stats.bernoulli.logpmf(t, mean).sum(1))
    assert not kl.any()


def test_training_raises_the_bound_and_repeats_its_bits():
    generator, shape = rng(1), model.Shape(8, 2, 6, 2, True)
    c = torch.eye(2)[torch.from_numpy(generator.integers(0, 2, 200))]
    t = (c.repeat(1, 4) * 0.8 + 0.1).bernoulli(generator=torch.Generator().manual_seed(0))
    heard = []

    def noise(purpose, block):
        return rng([len(purpose), block])

    def end(steps):
        how = (shape, 0.02, 50, steps, lambda *done: heard.append(done))
        return model.train(noise, kernels.Rows(t, 1), c, *how)

    one, same, other = end(150), end(150), end(1)
    assert heard[149] == (150, 150)
    assert all(torch.equal(part, same[name]) for name, part in one.items())
    eps = torch.from_numpy(rng().standard_normal((200, 2), dtype=np.float32))
    before, after = (model.bound(p, t, c, eps)[0].mean() for p in (other, one))
    assert after > before + 0.5


# log p(t|c) -------------------------------------------------------------------------------------


def exact(p, t, c):
    """log p(t|c) at N_z = 1 by Gauss-Hermite quadrature, (N,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    mean, log_variance = model.prior(p, c, t[:, :1])
    total = []
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        z = mean + torch.exp(0.5 * log_variance) * node
        a = model.decode(p, z, c)
        log_p = (t * a - torch.nn.functional.softplus(a)).sum(-1)
        total.append(log_p.numpy() + np.log(weight))
    return np.logaddexp.reduce(total)


@pytest.mark.parametrize("prior", [True, False])
def test_importance_sampling_is_quadrature_and_the_bound_below(prior):
    p, t, c, _ = some(latent_dim=1, prior=prior, points=30)
    truth = exact(p, t, c)
    proposals = [model.recognition(p, t, c)]
    proposals.append(model.prior(p, c, proposals[0][0]))
    wide = proposals[0][0], proposals[0][1].clamp(min=1.0)  # a proposal with tails
    for proposal in (wide, proposals[1]):
        value = evidence.log_marginal(p, t, c, proposal, rng(4), 3000)
        assert (np.abs(value.value - truth) < 5 * value.error + 1e-9).all()
        assert value.error.max() < 0.3
        off = (value.value - truth).mean()
        assert abs(off) < 4 * value.error_of_mean()
    bound, kl = evidence.bounds(p, t, c, 1, rng(5))
    assert bound.mean() < truth.mean() - 0.05 and kl > 0
    assert bound.mean() + 4 * bound.error_of_mean() < truth.mean()


def test_the_label_is_summed_out_by_its_identity():
    generator = rng(6)
    log_p, prior = generator.normal(-50, 2, (8, 3)), np.array([0.5, 0.3, 0.2])
    value, posterior = evidence.summed_out(log_p, np.full((8, 3), 0.01), prior)
    np.testing.assert_allclose(np.exp(value.value + 50), np.exp(log_p + 50) @ prior)
    np.testing.assert_allclose(posterior.sum(1), 1)
    np.testing.assert_allclose(
        log_p - value.value[:, None], np.log(posterior) - np.log(prior)
    )  # log p(x|y) - log p(x) = log p(y|x) - log p(y)
    moved = log_p + 0.01 * generator.standard_normal((4000, 8, 3))
    spread = np.log(np.exp(moved + 50) @ prior).std(0)
    np.testing.assert_allclose(value.error, spread, rtol=0.1)


# Quadrants and labels ---------------------------------------------------------------------------


def test_quadrants_are_where_the_reproductions_have_them():
    lower_left = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    left, but_lower_right = np.zeros((2, 4, 4), int)
    left[:, :2] = 1
    but_lower_right[:, :2] = but_lower_right[:2] = 1
    for observed, expected in enumerate((lower_left, left, but_lower_right), 1):
        seen = quadrants.mask((4, 4), observed)
        np.testing.assert_array_equal(seen.reshape(4, 4), np.array(expected, bool))
    x = torch.arange(32.0).view(2, 16)
    own = quadrants.parts(x, seen)
    assert own.missing.tolist() == [[10, 11, 14, 15], [26, 27, 30, 31]]
    assert torch.cat(own, 1).sort(1).values.equal(x)


def test_neighbours_are_those_of_brute_force():
    generator = rng(7)
    among = quadrants.Parts(*(torch.from_numpy(generator.random((300, n))) for n in (9, 4)))
    observed = torch.from_numpy(generator.random((20, 9)))
    index = quadrants.nearest(among, observed, 5)
    theirs = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(among.observed.numpy())
    np.testing.assert_array_equal(index, theirs.kneighbors(observed.numpy())[1])
    mean = quadrants.averaged(among, index)
    np.testing.assert_allclose(mean, among.missing[index].mean(1), rtol=1e-6)
    x = mean.round()
    value = quadrants.log_density(x, mean, 0.3)
    p = mean.double().clamp(0.3, 0.7)
    np.testing.assert_allclose(value, stats.bernoulli.logpmf(x, p).sum(1))


def test_the_choice_of_neighbours_is_the_best_on_held_out_images():
    """Labels decide what is missing, with noise: many neighbours beat one."""
    generator = rng(8)
    label = torch.from_numpy(generator.integers(0, 2, 400)).float()
    noise = torch.from_numpy(generator.normal(0, 0.01, (400, 1))).float()
    missing = torch.from_numpy(generator.random((400, 6)) < 0.2).float()
    missing = (missing - label[:, None]).abs()  # the label, wrong in a fifth of pixels
    single, several = quadrants.choose(quadrants.Parts(label[:, None] + noise, missing))
    assert single == (1, 0.2) and several.neighbours >= 20


def test_labels_of_training_images_are_theirs(digits_file):
    train, test = classes_of.classes("digits", digits_file)
    part = data.load(digits_file, config.Experiment(**RAW["experiments"]["mine"]))
    assert (len(train), len(test)) == (len(part.train), len(part.test))
    index = quadrants.nearest(quadrants.Parts(part.train, part.train), part.test, 1)[:, 0]
    assert np.mean(train[index] == test) > 0.9


@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs the downloaded data sets in data/")
def test_labels_of_the_papers_training_images():
    train, _ = classes_of.classes("mnist", DATA / "mnist.h5")
    assert len(train) == 50_000 and list(train[:10]) == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_missing_labels_are_a_sentence(tmp_path):
    with pytest.raises(
        UserError, match=r"train-labels\S+ is missing or damaged; delete .*mnist.h5"
    ):
        classes_of.classes("mnist", tmp_path / "mnist.h5")


def test_labels_that_are_no_digits_are_a_sentence(monkeypatch):
    monkeypatch.setattr(data.DATASETS["digits"], "training_labels", lambda files: np.arange(1500))
    with pytest.raises(UserError, match="of the data set 'digits' are not the classes 0 to 9"):
        classes_of.classes("digits", "digits.h5")


# The study --------------------------------------------------------------------------------------


def made(loaded, job, folder, digits_file):
    path = folder / job.kind / f"{job.name}.h5"
    found(job.work)([job._replace(outputs=[str(path)], inputs={"data": [str(digits_file)]})])
    return results.read_table(path, STUDY.columns[job.kind])


@pytest.fixture(scope="module")
def gathered(digits_file):
    """Its tables, measured."""
    loaded, tables = study(), {}
    for job in STUDY.jobs(loaded):
        table = made(loaded, job, digits_file.parent / "conditional", digits_file)
        tables.setdefault(job.kind, {})[job.name] = table
    return results.Gathered(loaded.model_dump(), {}, {}, tables)


@pytest.fixture(scope="module")
def tables(gathered):
    return {name: found(place)(gathered, None) for name, place in STUDY.numbers(None).items()}


@pytest.mark.parametrize("count", [200, 297, 3])
def test_some_test_images_are_spread_over_all(count):
    found = work.spread(count, 297).numpy()
    assert len(found) == count and found[0] == 0 and found[-1] >= 297 - 297 / count - 1
    assert set(np.diff(found)) <= {297 // count, 297 // count + 1}


def test_rivals_of_a_seed_see_the_same_minibatches(digits_file, monkeypatch):
    job = next(job for job in STUDY.jobs(study()) if job.name == "q1")
    setting = work.Setting.of(job._replace(inputs={"data": [str(digits_file)]}))
    seen = []

    def train(noise, t, c, shape, *how):
        seen.append((shape.latent_dim, noise("minibatch", 0).integers(0, 1000, 50)))
        return model.initial(shape, noise("initial", 0))

    monkeypatch.setattr(model, "train", train)
    t = c = setting.data.train[:20]

    def heard():
        pass

    heard.part = None
    for latent_dim in (0, SMALL["completion_dim"]):
        setting.trained(t, c, latent_dim, True, 0, heard)
    (none, first), (some, second) = seen
    assert (none, some) == (0, 3)
    np.testing.assert_array_equal(first, second)


def test_the_model_without_a_label_gets_as_many_draws(digits_file, monkeypatch):
    """Equal shares of the draws make what all of them make at once."""
    job = next(job for job in STUDY.jobs(study()) if job.name == "nz2")
    setting = work.Setting.of(job._replace(inputs={"data": [str(digits_file)]}))
    train, test = classes_of.classes("digits", digits_file)
    both, asked = work.Both(setting, train, test, 2), []
    shares = rng(9).normal(-30, 2, (10, 40))

    def log_marginal(p, x, c, proposal, noise, draws):
        asked.append(draws)
        return evidence.Values(shares[(len(asked) - 1) % 10], np.full(len(x), 0.1))

    monkeypatch.setattr(work, "log_marginal", log_marginal)
    for given in (False, True):
        width = 10 if given else 0
        p = model.initial(model.Shape(64, width, 5, 2), rng())
        found, own = (both.over_classes if given else both.without)(p, rng())
        assert asked == [20] * 10
        asked.clear()
        if not given:
            whole = np.log(np.exp(shares).mean(0))
            np.testing.assert_allclose(found.value, whole)
            assert own["added"] == pytest.approx(whole.mean() - shares.mean()) and own["added"] > 0


def test_tables_hold_what_their_columns_say(gathered):
    for kind, columns in STUDY.columns.items():
        for table in gathered.of(kind).values():
            assert set(table.frame) == set(columns) and len(table.frame)
    table = gathered.of("conditional_label")["nz4"]
    assert table.arrays["grid"].shape == (11 * 3, 64)
    without, given = numbers.pairs(table.frame)
    assert without[["accuracy", "gain"]].isna().all(axis=None)
    assert (without["added"] > 0).all() and given["added"].isna().all()
    assert (without["given"] == without["log_p"]).all()
    np.testing.assert_allclose(given["gain"], given["log_p"] - without["log_p"])
    assert (given["given"] > given["log_p"]).all() and (given["accuracy"] > 0.3).all()
    entropy = np.log(10)  # at most, within a model
    assert ((given["given"] - given["log_p"]) < entropy + 0.1).all()
    for name in ("bound", "log_p"):
        assert (table.frame[f"{name}_se"] > 0).all()
    assert (without["given"] > without["bound"] - 1).all()


def test_completions_hold_what_their_columns_say(gathered):
    table = gathered.of("conditional_quadrants")["q3"]
    pictures = table.arrays["pictures"].reshape(7, 4, 64)
    seen = quadrants.mask((8, 8), 3)
    assert len(pictures) == len(figures.ROWS)
    assert (pictures[:, :, seen] == pictures[-1][:, seen]).all()
    assert len(np.unique(pictures[0][:, ~seen])) == 1  # grey
    assert (pictures[3] != pictures[4]).any()
    frame = table.frame
    cvae = {m: numbers.per_seed(frame, "cvae", m) for m in ("bound", "importance", "prior")}
    assert len(cvae["bound"]) == 2 and (cvae["importance"]["points"] == 50).all()
    noise = 4 * np.hypot(cvae["importance"]["mc_se"], cvae["bound"]["mc_se"])
    assert (cvae["importance"]["value"] > cvae["bound"]["value"] - noise).all()
    slack = 4 * (cvae["importance"]["mc_se"] + cvae["prior"]["mc_se"]) + 0.05
    assert ((cvae["importance"]["value"] - cvae["prior"]["value"]).abs() < slack).all()
    every = numbers.per_seed(frame, "baseline", "exact", 297)
    assert len(every) == 2 and every["less"].isna().all()
    several = numbers.per_seed(frame, "neighbours", "exact")
    assert several["less"].iloc[0] == 0 and several["neighbours"].iloc[0] > 1
    more = numbers.per_seed(frame, "baseline", "exact")
    np.testing.assert_allclose(more["less"], more["value"] - several["value"].iloc[0])


def test_the_same_bits_twice(gathered, digits_file, tmp_path):
    for job in STUDY.jobs(gathered.study):
        if job.name in ("nz2", "q1"):
            again = made(gathered.study, job, tmp_path, digits_file)
            first = gathered.of(job.kind)[job.name]
            pd.testing.assert_frame_equal(again.frame, first.frame, check_exact=True)
            for name, array in first.arrays.items():
                np.testing.assert_array_equal(again.arrays[name], array)


def test_numbers_are_those_of_the_tables(gathered, tables):
    label = tables["conditional"]
    without, given = numbers.pairs(gathered.of("conditional_label")["nz2"].frame)
    row = label[(label["latent_dim"] == 2) & (label["label"] == 1)].iloc[0]
    gain = given["bound"] - without["bound"]
    low, high = stats.t.interval(0.95, 1, gain.mean(), stats.sem(gain))
    own = [row["gain_bound"], row["gain_bound_low"], row["gain_bound_high"]]
    assert own == pytest.approx([gain.mean(), low, high])
    for name in ("accuracy", "kl"):
        low, high = stats.t.interval(0.95, 1, given[name].mean(), stats.sem(given[name]))
        assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx([low, high])
    assert row["added"] == pytest.approx(without["added"].mean())
    completed = tables["conditional_quadrants"]
    frame = gathered.of("conditional_quadrants")["q3"].frame
    ahead = numbers.per_seed(frame, "cvae", "importance")["value"]
    ahead = ahead - numbers.per_seed(frame, "baseline", "exact")["value"]
    row = completed[(completed["observed"] == 3) & (completed["measure"] == "importance")].iloc[0]
    low, high = stats.t.interval(0.95, 1, ahead.mean(), stats.sem(ahead))
    own = [row["ahead"], row["ahead_low"], row["ahead_high"]]
    assert own == pytest.approx([ahead.mean(), low, high])
    assert completed["published"].isna().all()  # these are no images of MNIST
    assert sorted(completed["points"].unique()) == [50, 297]


def test_published_numbers_stand_beside_all_of_mnist(gathered):
    raw = {**gathered.config, "experiments": {**gathered.config["experiments"]}}
    raw["experiments"]["mine"] = {"dataset": "mnist", "likelihood": "bernoulli", "hidden": 12}
    frame = gathered.of("conditional_quadrants")["q3"].frame
    frame = frame.assign(points=frame["points"].replace(297, 10_000))
    moved = {"conditional_quadrants": {"q3": results.Table(frame, {})}}
    table = numbers.quadrants(results.Gathered(raw, {}, {}, moved), None)
    beside = table[table["published"].notna()].set_index(["method", "measure"])["published"]
    assert dict(beside) == {("baseline", "exact"): 25.4, ("cvae", "bound"): 24.2}


def label_table(bound, gain, linear, near, added=0.1):
    """Tables of three seeds: with the label `bound` higher, `gain` with y summed out, shares of
    classes told (without, with), and what the last draws added."""
    rows = []
    for seed in range(3):
        for given in (0, 1):
            row = {"seed": seed, "label": given, "bound": -100 + given * (bound + 0.1 * seed)}
            row |= {"given": -95.0, "log_p": -97.0, "gain": gain + 0.1 * seed, "chance": 0.1}
            row["added"] = np.nan if given else added
            rows.append(row | {"linear": linear[given] + 0.001 * seed, "near": near[given]})
    table = results.Table(pd.DataFrame(rows), {})
    return results.Gathered({}, {}, {}, {"conditional_label": {"nz2": table}})


@pytest.mark.parametrize(
    ("bound", "gain", "added", "word", "remark"),
    [
        (5, 3, 0.1, "holds", 0),
        (2.1, 3, 0.1, "holds", 1),  # below log 10, above the 2 nats that the label tells here
        (5, 3, 6.0, "mixed", 0),  # draws account for the gain
        (5, -3, 0.1, "mixed", 0),
        (-5, -3, 0.1, "does not hold", 1),
    ],
)
def test_claim_42_follows_its_rule(bound, gain, added, word, remark):
    checks, remarks = claims.raises(label_table(bound, gain, (0, 0), (0, 0), added), None)
    assert judge(checks, remarks)[0].startswith(word) and len(remarks) == remark


@pytest.mark.parametrize(
    ("linear", "near", "word", "remark"),
    [
        ((0.9, 0.2), (0.9, 0.2), "holds", 0),
        ((0.9, 0.2), (0.9, 0.8), "holds with", 1),
        ((0.9, 0.6), (0.9, 0.2), "mixed", 0),
        ((0.12, 0.1), (0.9, 0.2), "mixed", 0),  # there is nothing to halve
        ((0.12, 0.12), (0.9, 0.2), "does not hold", 0),
    ],
)
def test_claim_44_follows_its_rule(linear, near, word, remark):
    checks, remarks = claims.style_alone(label_table(5, 3, linear, near), None)
    assert judge(checks, remarks)[0].startswith(word) and len(remarks) == remark


@pytest.mark.parametrize(
    ("cvae", "network", "single", "word"),
    [(5, 2, -3, "holds"), (5, 7, -3, "mixed"), (5, 2, 6, "mixed"), (-5, 2, -3, "does not hold")],
)
def test_claim_43_follows_its_rule(cvae, network, single, word):
    rows = [("neighbour", "exact", np.nan, single), ("neighbours", "exact", np.nan, 0.0)]
    for seed in range(3):
        rows.append(("cvae", "importance", seed, cvae + 0.1 * seed))
        rows.append(("baseline", "exact", seed, network + 0.1 * seed**2))
    frame = pd.DataFrame(rows, columns=["method", "measure", "seed", "less"]).assign(points=50)
    table = {"conditional_quadrants": {"q1": results.Table(frame, {})}}
    checks, remarks = claims.completes(results.Gathered({}, {}, {}, table), None)
    assert judge(checks, remarks)[0].startswith(word)


def test_claims_without_the_study_are_not_tested():
    nothing = results.Gathered({}, {}, {})
    for claim in (claims.raises, claims.completes, claims.style_alone):
        assert claim(nothing, None) == ([], [])
    own = [entry for entry in catalogue.catalogue() if entry.number in (42, 43, 44)]
    assert len(own) == 3 and not any(entry.paper for entry in own)


def test_figures_and_words(gathered, tables, tmp_path):
    for draw in (figures.label, figures.styles, figures.quadrants):
        write(draw(gathered, None), [tmp_path / f"{draw.__name__}.png"])
        assert (tmp_path / f"{draw.__name__}.png").stat().st_size > 10_000
    part = findings.part(gathered, None, tables)
    said = pages.texts(STUDY.text(), part.facts)
    headings = re.findall(r"^== (\S+)$", STUDY.text().read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(headings)) == len(headings)  # a later one would take an earlier one's place
    assert {"conditional-question", *STUDY.figures(None)} <= set(said)
    assert {f"cap-{name}" for name in part.tables} <= set(said)
    assert "Pyro" not in said["conditional-completion"]  # of other images
    lists = [what for kind, what in part.sections[0].blocks if kind == "list"]
    assert [len(sentences) for sentences in lists] == [2, 2]
    assert lists[0][0].startswith("N_z = 2: the label raises the test bound by ")
    assert re.search(r"first on \d+ \[−?\d+, \d+\] %", lists[0][0])
    assert part.facts["conditional_better"].count("[") == 2
    assert lists[1][1].startswith("3 quadrants observed: −log p of what is missing is ")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"experiment": "film"}, "which 'frey' has not; take an experiment on digits or mnist"),
        ({"experiment": "grey"}, "whose likelihood is gaussian; take one with a bernoulli"),
        ({"points": 298}, "conditional.points is more than the 297 images it can have"),
        ({"images": 51}, "conditional.images is more than the 50 images"),
        ({"observed": [4]}, "conditional.observed"),
        ({"draws": 1}, "conditional.draws"),
        ({"experiment": "yours"}, "yours"),
    ],
)
def test_bad_input_is_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        study(**changes)
    assert "\n" not in str(error.value)


def test_divergence_is_one_sentence(digits_file, tmp_path):
    loaded = study(step_size=1e30, samples=1000)
    with pytest.raises(UserError, match=r"seed 0, diverged; give a smaller conditional\.step_size"):
        made(loaded, STUDY.jobs(loaded)[0], tmp_path, digits_file)
    assert not list(tmp_path.rglob("*.h5"))


def test_what_a_table_does_not_use_makes_it_no_staler():
    one, other = (STUDY.jobs(study(**more)) for more in ({}, {"completed": 60, "styles": 4}))
    same = [a.settings == b.settings for a, b in zip(one, other, strict=True)]
    assert same == [False, False, False, False]
    other = STUDY.jobs(study(completed=60))
    assert [a.settings == b.settings for a, b in zip(one, other, strict=True)] == [True] * 2 + [
        False
    ] * 2
    planned = [job.name for job in plan.jobs(study()) if job.kind.startswith("conditional")]
    assert planned == ["nz2", "nz4", "q1", "q3"]
