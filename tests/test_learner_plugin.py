"""A learner in a file of its own, outside the package: nothing else changes for it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aevb import config
from aevb.core import plugins
from aevb.core.errors import UserError
from aevb.core.run import Run
from aevb.engine import training
from aevb.engine.pilot import pilot
from aevb.engine.settings import Settings
from aevb.learners import LEARNERS, PALETTE, appearance
from aevb.models import densities, nets
from aevb.models.likelihoods import LIKELIHOODS

LEARNER = (Path(__file__).parent / "plugins/weighted.py").read_text(encoding="utf-8")
RUN = Run("digits", "weighted", 3, 0)


@pytest.fixture
def learner(tmp_path):
    """The class, for one test."""
    file = tmp_path / "weighted.py"
    file.write_text(LEARNER)
    plugins.load([str(file)])
    yield LEARNERS["weighted"]
    del LEARNERS.entries["weighted"], plugins.LOADED[str(file)]
    del sys.modules["aevb_plugin_weighted"]


def test_a_learner_from_a_plug_in_trains_and_is_evaluated_by_its_own_bound(make, learner):
    base, data = make("bernoulli", 100_000)
    raw = {"experiment": base.experiment, "training": base.training, "evaluation": base.evaluation}
    raw = {name: section.model_dump() for name, section in raw.items()}
    settings = Settings.from_dict({**raw, "samples": 100_000, "weighted": {"beta": 0.5}})
    chosen = pilot(RUN, settings, data).step_size
    (result,) = training.train([RUN], [chosen], settings, data)
    assert result.status == "completed" and result.settings["weighted"] == {"beta": 0.5}
    assert result.curve["test"].iloc[-1] > result.curve["test"].iloc[0] + 5

    layout = nets.Layout(64, 20, 3, "bernoulli")
    p = {
        name: torch.from_numpy(value.reshape(layout.shapes[name]))[None]
        for name, value in result.weights.items()
    }
    mean, log_variance = nets.encode(data.test[None], p)
    noise = torch.randn(400, *mean.shape[1:], generator=torch.Generator().manual_seed(0))
    z = mean + torch.exp(log_variance / 2) * noise
    decoded = nets.decode(z.flatten(0, 1)[None], p).view(400, len(data.test), -1)
    log_p = LIKELIHOODS["bernoulli"].log_density(data.test, decoded).mean().item()
    kl = densities.kl_to_prior(mean, log_variance).mean().item()
    last = result.curve.iloc[-1]
    assert last["test_kl"] == pytest.approx(kl, rel=1e-4) and kl > 1
    assert last["test"] == pytest.approx(log_p - 0.5 * kl, abs=0.3)
    assert abs(last["test"] - (log_p - kl)) > 0.4  # eq. 7 would give this


def test_its_section_and_appearance_come_with_it(learner):
    raw = {
        "name": "mine",
        "samples": 1e5,
        "seeds": [0],
        "experiments": {
            "digits": {"dataset": "digits", "likelihood": "bernoulli", "hidden": 20, "scale": 16}
        },
        "figure2": [
            {"experiment": "digits", "latent_dims": [3], "algorithms": ["aevb", "weighted"]}
        ],
        "weighted": {"beta": 3},
    }
    assert config.load(raw).weighted.beta == 3.0
    with pytest.raises(UserError, match=r"unknown key 'weighted.bta'.*beta"):
        config.load({**raw, "weighted": {"bta": 3}})
    assert appearance("weighted").colour in [look.colour for look in PALETTE]
    looks = [appearance(key) for key in LEARNERS]
    for part in ("colour", "marker"):
        assert len({getattr(look, part) for look in looks}) == len(looks)


def test_without_the_plug_in_it_is_unknown_and_its_stored_options_are_ignored(make):
    base, _ = make("bernoulli", 4000)
    raw = {"experiment": base.experiment, "training": base.training, "evaluation": base.evaluation}
    raw = {name: section.model_dump() for name, section in raw.items()}
    settings = Settings.from_dict({**raw, "samples": 4000, "weighted": {"beta": 0.5}})
    assert settings == base and "weighted" not in settings.to_json("aevb")
    with pytest.raises(UserError, match="there is no learner 'weighted'"):
        LEARNERS["weighted"]


def test_settings_stored_before_options_had_a_place_mean_the_same(make):
    """They held those of Monte Carlo EM for every learner."""
    base, _ = make("bernoulli", 4000)
    old = Settings.from_dict({
        "experiment": base.experiment.model_dump(), "training": base.training.model_dump(),
        "evaluation": base.evaluation.model_dump(),
        "samples": 4000, "snapshots": 0, "device": "cpu",
        "threads": 1, "tf32": False, "mcem": LEARNERS["mcem"].Options().model_dump(),
    })  # fmt: skip
    for key in LEARNERS:
        assert old.to_json(key) == base.to_json(key)
    assert '"mcem": {"acceptance": 0.9' in base.to_json("mcem")
    assert "mcem" not in base.to_json("aevb")
    assert np.all(["iwae" not in base.to_json(key) for key in ("aevb", "mcem", "wake_sleep")])
