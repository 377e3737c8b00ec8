"""Readings of what the paper leaves out: the engine's steps under each against autograd."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aevb import config, results
from aevb.core.run import Run
from aevb.core.streams import stream
from aevb.engine.settings import Settings
from aevb.engine.stack import Stack
from aevb.learners.wake_sleep import Options
from aevb.models import densities, nets
from aevb.models.likelihoods import LIKELIHOODS
from aevb.pipeline import made

STEPS, BATCH, STEP_SIZE = 20, 100, 0.02
CODE = {"log_variance_start": "zero", "log_variance_factor": 0.1}
PRINTED = {"log_variance_start": "random", "log_variance_factor": 1.0}
ROOT = Path(__file__).parent.parent
EXPERIMENT = {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16.0}
TRAINING = [
    PRINTED,
    {"log_variance_start": "zero", "log_variance_factor": 1.0},
    {"log_variance_start": "random", "log_variance_factor": 0.1},
    CODE,
    {**CODE, "prior": "but_decoder_hidden"},
    {**CODE, "prior": "all"},
    {**CODE, "decoder_log_variance_bias": "zero"},
    {"warmup_steps": 8},
]


def start_of(layout, training, run):
    """Raw parameters by name as the readings say, in float64: log-variance = b + f W h."""
    flat = stream("initial", *run).standard_normal(layout.n_parameters, dtype=np.float32)
    p = layout.view(torch.from_numpy(flat * np.float32(training.initial_sd)).double())
    p = {name: value.clone() for name, value in p.items()}
    if training.log_variance_start == "zero":
        p["encoder.output.weight"][:, layout.latent_dim :] = 0
        p["encoder.output.bias"][:, layout.latent_dim :] = 0
    if training.decoder_log_variance_bias == "zero":
        p["decoder.output.bias"][:, layout.pixels :] = 0
    return p


def used(raw, training, latent_dim):
    """The parameters that the networks use."""
    f = torch.ones(2 * latent_dim, dtype=torch.float64)
    f[latent_dim:] = training.log_variance_factor
    return {**raw, "encoder.output.weight": raw["encoder.output.weight"] * f}


class Plain:
    """Adagrad (epsilon inside the root) on raw parameters, by autograd."""

    def __init__(self, raw, training, n_train):
        self.raw, self.training, self.decay = raw, training, BATCH / n_train
        self.sums = {name: torch.full_like(value, training.epsilon) for name, value in raw.items()}
        self.regularised = {
            "weights": lambda name: name.endswith("weight"),
            "but_decoder_hidden": lambda name: (
                name.endswith("weight") and name != "decoder.hidden.weight"
            ),
            "all": lambda name: True,
        }[training.prior]

    def ascend(self, objective, net, step):
        """One step on the parameters of `net`, or of both; `objective` of raw parameters."""
        leaves = {name: value.detach().requires_grad_() for name, value in self.raw.items()}
        mine = {name: leaf for name, leaf in leaves.items() if name.startswith(net)}
        log_prior = sum(
            -0.5 * (leaf**2).sum() for name, leaf in mine.items() if self.regularised(name)
        )
        total = objective(leaves) + self.decay * log_prior
        for name, slope in zip(mine, torch.autograd.grad(total, list(mine.values())), strict=True):
            self.sums[name] += slope**2
            if step >= self.training.warmup_steps:
                self.raw[name] = self.raw[name] + STEP_SIZE * slope / self.sums[name].sqrt()


def draws(run, learner, layout, n):
    """Minibatch indices and the learner's noise of the first block, from the run's own streams."""
    name = ("digits", run.latent_dim, run.seed)
    index = stream("minibatch", *name).integers(0, n, (STEPS, BATCH))
    generator = stream("learner", *name, algorithm=run.algorithm)
    return index, [
        torch.from_numpy(array).double() for array in learner.noise(generator, STEPS, BATCH, layout)
    ]


def aevb_step(plain, x, noise, likelihood, latent_dim, step):
    def objective(raw):
        p = used(raw, plain.training, latent_dim)
        mean, log_variance = nets.encode(x, p)
        z = mean + torch.exp(0.5 * log_variance) * noise[0][0]
        decoded = nets.decode(z, p)
        return densities.bound(x, z, decoded, mean, log_variance, likelihood, "B").sum()

    plain.ascend(objective, "", step)


def wake_sleep_step(plain, x, noise, likelihood, latent_dim, step, options):
    def detached():
        p = used(plain.raw, plain.training, latent_dim)
        return {name: value.detach().clone() for name, value in p.items()}

    def fantasy():
        made = LIKELIHOODS[likelihood].sample(nets.decode(noise[1][0], detached()), noise[2])
        clip = options.clip_fantasies and likelihood == "gaussian"
        return made.clamp(0, 1) if clip else made

    mean, log_variance = nets.encode(x, detached())
    z = mean + torch.exp(0.5 * log_variance) * noise[0][0]

    def wake(raw):
        return LIKELIHOODS[likelihood].log_density(x, nets.decode(z, raw)).sum()

    def sleep(raw):
        mean, log_variance = nets.encode(dreamed, used(raw, plain.training, latent_dim))
        return densities.log_normal(noise[1][0], mean, log_variance).sum()

    if options.sleep == "same":
        dreamed = fantasy()
    plain.ascend(wake, "decoder", step)
    if options.sleep == "after":
        dreamed = fantasy()
    plain.ascend(sleep, "encoder", step)


def compare(make, algorithm, likelihood, changes, options=None, **of_stack):
    run = Run("digits", algorithm, 3, 0)
    settings, data = make(likelihood, **{"warmup_steps": 7, "initial_sd": 0.1, **changes})
    if options is not None:
        settings = dataclasses.replace(settings, options={algorithm: options})
    stack = Stack([run], [STEP_SIZE], settings, data)
    for name, value in of_stack.items():
        setattr(stack, name, value)
    layout = stack.layout
    name = ("digits", run.latent_dim, run.seed)
    plain = Plain(start_of(layout, settings.training, name), settings.training, len(data.train))
    index, noise = draws(run, stack.learner, layout, len(data.train))
    for step in range(STEPS):
        x, mine = data.train[index[step]].double(), [array[step] for array in noise]
        if algorithm == "aevb":
            aevb_step(plain, x, mine, likelihood, 3, step)
        else:
            wake_sleep_step(plain, x, mine, likelihood, 3, step, stack.learner.options)
    stack.train_block(10**6)
    ours = layout.view(stack.theta)
    theirs = used(plain.raw, settings.training, 3)
    moved = layout.view(Stack([run], [STEP_SIZE], settings, data).theta)
    for key, value in ours.items():
        torch.testing.assert_close(
            value[0].double(),
            theirs[key].detach(),
            rtol=2e-3,
            atol=3e-4,
            msg=lambda m, key=key: f"{key}: {m}",
        )
        assert not torch.equal(value, moved[key]), key


@pytest.mark.parametrize("changes", TRAINING, ids=str)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
def test_a_block_under_each_reading_is_what_autograd_gives(make, algorithm, likelihood, changes):
    compare(make, algorithm, likelihood, changes)


@pytest.mark.parametrize("sleep", ["same", "after"])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_block_of_wake_sleep_under_its_own_readings(make, likelihood, clip, sleep):
    compare(make, "wake_sleep", likelihood, CODE, Options(sleep=sleep, clip_fantasies=clip))


@pytest.mark.parametrize("options", [{}, {"sleep": "after"}, {"clip_fantasies": True}], ids=str)
def test_the_path_of_a_gpu_takes_the_same_steps(make, options, monkeypatch):
    """Branches, which train on a GPU, run without one on a CPU."""
    from aevb.engine import gpu

    run = Run("digits", "wake_sleep", 3, 0)
    settings, data = make("gaussian", warmup_steps=7, **CODE)
    settings = dataclasses.replace(settings, options={"wake_sleep": Options(**options)})
    alone = Stack([run], [STEP_SIZE], settings, data)
    stack = Stack([run], [STEP_SIZE], settings, data)
    stack.branches = gpu.Branches()
    for each in (alone, stack):
        each.train_block(10**6)
    torch.testing.assert_close(stack.theta, alone.theta, rtol=1e-3, atol=1e-4)


def test_the_start_differs_only_where_a_reading_says(make):
    run = Run("digits", "aevb", 3, 0)

    def theta(**changes):
        settings, data = make("gaussian", **changes)
        stack = Stack([run], [STEP_SIZE], settings, data)
        return {name: value[0] for name, value in stack.layout.view(stack.theta).items()}

    plain, zero = theta(**PRINTED), theta(**CODE)
    tenth = theta(**{**PRINTED, "log_variance_factor": 0.1})
    for name, value in plain.items():
        head = name.startswith("encoder.output")
        assert torch.equal(value[:, :3], zero[name][:, :3]) or not head
        assert torch.equal(value, zero[name]) == (not head)
    assert not zero["encoder.output.weight"][:, 3:].any()
    assert not zero["encoder.output.bias"][:, 3:].any()
    weight = plain["encoder.output.weight"][:, 3:]
    torch.testing.assert_close(tenth["encoder.output.weight"][:, 3:], 0.1 * weight)
    assert torch.equal(tenth["encoder.output.bias"], plain["encoder.output.bias"])
    bias = theta(**PRINTED, decoder_log_variance_bias="zero")["decoder.output.bias"]
    assert not bias[:, 64:].any() and torch.equal(
        bias[:, :64], plain["decoder.output.bias"][:, :64]
    )


def test_results_from_before_a_key_are_of_the_reading_it_then_stood_for():
    """The committed results have no log_variance_start: they are as the paper prints."""
    old = {"experiment": EXPERIMENT, "training": {"batch_size": 50}, "samples": 1000}
    for changes, same in ((PRINTED, True), ({}, False), (CODE, False)):
        training = config.Training(batch_size=50, **changes).model_dump()
        wanted = {**old, "training": training}
        assert made.same_settings(json.dumps(old), wanted) == same
        assert made.same_settings(json.dumps(wanted), wanted)
    assert Settings.from_dict({**old, "evaluation": {}}).training.log_variance_factor == 1
    known = results.read_gathered(ROOT / "results/reference/figure3/gathered.h5").study.training
    assert (known.log_variance_start, known.log_variance_factor) == ("random", 1.0)
    assert config.Training().model_dump().items() >= CODE.items()


def test_a_reading_of_a_learner_and_a_batch_size_of_an_experiment_reach_the_runs():
    raw = {
        "name": "mine",
        "samples": 1e6,
        "seeds": [0, 1],
        "experiments": {"frey": {"dataset": "frey", "likelihood": "gaussian", "hidden": 200}},
        "batch_sizes": {"frey": 500},
        "fingerprints": {
            "curves": [{"experiment": "frey", "latent_dims": [2]}],
            "readings": {"after": {"wake_sleep": {"sleep": "after"}}, "m100": {"batch_size": 100}},
        },
    }
    study = config.load(raw)
    assert study.training_of("frey").batch_size == 500
    assert study.training_of("frey+after").batch_size == 500
    assert study.training_of("frey+m100").batch_size == 100
    assert study.options_of("wake_sleep", "frey+after").sleep == "after"
    assert study.options_of("wake_sleep", "frey").sleep == "same"
    assert study.options_of("wake_sleep").sleep == "same"


@pytest.mark.parametrize("wrong", [{"factors": {}}, {"regularised": ()}], ids=str)
def test_the_comparison_tells_a_wrong_step(make, wrong):
    with pytest.raises(AssertionError):
        compare(make, "aevb", "bernoulli", {**CODE, "initial_sd": 1.0}, **wrong)
