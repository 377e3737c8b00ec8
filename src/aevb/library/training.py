"""Train a small model from a notebook, by the pipeline's own engine."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import data
from ..config import Config, load
from ..core.errors import UserError
from ..core.words import nearest
from ..data import DATASETS, Data, Dataset, download
from ..engine import training
from ..engine.checkpoints import Interrupted
from ..engine.pilot import pilot
from ..engine.settings import Settings
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS
from ..results import RunResult
from ..studies.planning import budgets, pilot_settings, settings
from .model import Model

PAPER_SCALE = 256.0  # what grey values are divided by in the author's files
#: further arguments of `train`, beside the section of the learner
SECTIONS = ("training", "evaluation", "device", "threads", "tf32", "bfloat16", "mirror")
TEST_SHARE = 10  # one image in so many is a test image, unless test images are given


class _Source(NamedTuple):
    """Where images come from."""

    dataset: Dataset
    scale: float
    #: training and test images (N, D) that are in [0, 1] already, and their SHA-256
    scaled: tuple[np.ndarray, np.ndarray, str] | None = None


def train(
    images,
    *,
    learner: str = "aevb",
    likelihood: str = "bernoulli",
    latent_dim: int = 2,
    hidden: int = 100,
    samples: float = 1e5,
    step_size: float | None = None,
    seed: int = 0,
    test=None,
    scale: float | None = None,
    dequantise: bool = False,
    n_train: int | None = None,
    experiment: str | None = None,
    folder: str | Path = "data",
    **sections: dict[str, Any],
) -> Model:
    """Train a model (algorithm 1) as the pipeline does: the same settings give the same bits.

    `images` is an array (N, D) or (N, rows, columns), or the key of a data set. Its files are in
    `folder`, or downloaded into it. Values that all lie in [0, 1] are taken as they are. Others
    are grey levels, whole numbers, to be divided by `scale`: 256 as in the author's files, or what
    the data set allows. `test` are test images like `images`; else one image in ten is drawn.

    `learner` and `likelihood` are keys of their catalogues. Encoder and decoder have `hidden` units
    each. `samples` is the budget, training images seen. Without Adagrad's `step_size`, a pilot
    chooses it. `dequantise` adds fixed uniform noise of one grey level: Gaussian models of images
    with constant pixels need it. `n_train` takes the first so many training images.

    `seed` and `experiment`, by default the name of the data set, decide the random numbers.
    `sections` are those of a configuration (config/README.md): training={"batch_size": 50}.

    Raises UserError if a setting is wrong, the images do not fit, or training diverges, and
    KeyboardInterrupt when it is interrupted.
    """
    _check(learner=learner, likelihood=likelihood, experiment=experiment)
    if scale is not None and not (
        isinstance(scale, int | float | np.number) and 0 < scale < np.inf
    ):
        raise UserError(f"scale is {scale!r}; it must be a number above 0")
    if not isinstance(folder, str | Path):
        raise UserError(f"folder is {folder!r}; it must be a path")
    source = _source(images, test, scale)
    if dequantise and source.scaled is not None:
        raise UserError("dequantise is for grey levels, and the values of `images` lie in [0, 1]")
    name = experiment or (images if isinstance(images, str) else "images")
    described = {"dataset": source.dataset.key, "scale": source.scale, "n_train": n_train}
    described |= {"likelihood": likelihood, "hidden": hidden, "dequantise": dequantise}
    raw = {"name": "library", "samples": samples, "seeds": [seed], "experiments": {name: described}}
    raw |= _asked(name, learner, latent_dim) | _others(learner, step_size, sections)
    config = load(raw)
    result = _trained(config, _loaded(source, config, name, Path(folder)), step_size is None)
    return Model(result, convention="values in [0, 1]" if source.scaled is not None else "")


def _check(**named) -> None:
    """Raise UserError unless what is `named` is text, and signals can be received."""
    if threading.current_thread() is not threading.main_thread():
        raise UserError("aevb.train listens to Ctrl-C; call it from the main thread of a program")
    for name, value in named.items():
        if not isinstance(value, str | None):
            raise UserError(f"{name} is {value!r}; it must be text")


def _trained(config: Config, loaded: Data, choose: bool) -> RunResult:
    """The one run of a configuration; with `choose`, a pilot chooses its step size."""
    ((run, samples),) = budgets(config).items()
    with _torch_as_it_was():
        try:
            asked = Settings.from_dict(settings(config, [run], samples))
            (step_size, *_) = asked.training.step_sizes
            if choose:
                short = Settings.from_dict(pilot_settings(config, [run]))
                step_size = pilot(run, short, loaded).step_size
            (result,) = training.train([run], [step_size], asked, loaded)
        except Interrupted:
            raise KeyboardInterrupt from None
    if result.status == "diverged":
        sharp = LIKELIHOODS[result.likelihood].continuous and not asked.experiment.dequantise
        raise UserError(
            f"training diverged: {result.reason}; give a smaller step_size"
            + (", or dequantise=True where pixels are constant" if sharp else "")
        )
    return result


def _asked(experiment: str, learner: str, latent_dim: int) -> dict[str, Any]:
    """The section of a configuration that asks for one model."""
    if LEARNERS[learner].online:
        curves = {"experiment": experiment, "latent_dims": [latent_dim], "algorithms": [learner]}
        return {"figure2": [curves]}
    curves = {"experiments": [experiment], "latent_dim": latent_dim, "algorithms": [learner]}
    return {"figure3": curves, "evidence": {"datapoints": 1}}  # which is not estimated here


def _others(learner: str, step_size: float | None, sections: dict[str, Any]) -> dict[str, Any]:
    """The further sections, with a step size that needs no pilot. Raises UserError."""
    valid = [*SECTIONS, learner]
    for key in sections:
        if key not in valid:
            raise UserError(f"train has no argument '{key}'{nearest(key, valid)}")
    own = sections.get("training", {})
    if step_size is None or not isinstance(own, dict):
        return sections
    return {**sections, "training": {**own, "step_sizes": [step_size]}}


def _source(images, test, scale: float | None) -> _Source:
    if not isinstance(images, str):
        return _of_arrays(images, test, scale)
    if test is not None:
        raise UserError(f"the data set '{images}' has test images of its own; leave out `test`")
    known = DATASETS[images]
    usual = PAPER_SCALE if PAPER_SCALE in known.scales else known.scales[0]
    return _Source(known, usual if scale is None else scale)


def _of_arrays(images, test, scale: float | None) -> _Source:
    """A data set made of arrays, which the catalogue then knows by its SHA-256."""
    rows = _array("images", images)
    shape = rows.shape[1:] if rows.ndim == 3 else (1, rows.shape[1])
    if test is None:
        if len(rows) < TEST_SHARE:
            raise UserError(f"{len(rows)} images are too few to draw test images from; give `test`")
        parts = data.split(rows, len(rows) - len(rows) // TEST_SHARE)
    else:
        parts = rows, _array("test", test)
    if parts[1].shape[1:] != rows.shape[1:]:
        raise UserError(
            f"test has images of shape {parts[1].shape[1:]} and images of {rows.shape[1:]}; give "
            "the same"
        )
    train, test = (part.reshape(len(part), -1) for part in parts)
    largest, given, scaled = max(train.max(), test.max()), scale, None
    scale = PAPER_SCALE if scale is None else scale
    levels = 256 if scale >= 255 else int(scale) + 1  # the values run to `scale`, or to 255
    if largest > 1 and (largest >= levels or any((part % 1).any() for part in (train, test))):
        raise UserError(
            f"the values of `images` run from 0 to {largest:g}; give values in [0, 1], or whole "
            f"numbers up to {levels - 1} (`scale` says what to divide them by)"
        )
    if given is None and 1 < largest < PAPER_SCALE / 2:
        raise UserError(
            f"the grey levels of `images` run to {largest:g} alone; give `scale`, what they are to "
            f"be divided by: {largest:g}, or {PAPER_SCALE:g} if they are so dark"
        )
    digest = hashlib.sha256(np.ascontiguousarray(train, np.float32))
    digest.update(np.ascontiguousarray(test, np.float32))
    key = f"images-{digest.hexdigest()[:12]}-{scale:g}".replace(".", "_")
    if largest <= 1:
        scaled = train.astype(np.float32), test.astype(np.float32), digest.hexdigest()

    def read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        return train, test

    known = DATASETS.get(key) or DATASETS.register(
        Dataset(
            key=key,
            shape=tuple(map(int, shape)),
            levels=levels,
            n_train=len(train),
            n_test=len(test),
            scales=(scale,),
            source="an array",
            read=read,
        )
    )
    return _Source(known, scale, scaled)


def _array(name: str, given) -> np.ndarray:
    """Images, (N, D) or (N, rows, columns), of finite numbers from 0. Raises UserError."""
    try:
        array = np.asarray(given, dtype=None if hasattr(given, "dtype") else float)
        wrong = array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or 0 in array.shape
    except (TypeError, ValueError):
        wrong = True
    if wrong:
        raise UserError(
            f"{name} must be the key of a data set, or numbers (N, D) or (N, rows, columns)"
            if name == "images"
            else f"{name} must be an array (N, D) or (N, rows, columns) of numbers"
        )
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if not np.isfinite(array).all() or array.min() < 0:
        raise UserError(f"{name} holds values below 0 or not finite; mend the array")
    return array


def _loaded(source: _Source, config: Config, experiment: str, folder: Path) -> Data:
    """The images, ready for training."""
    known, asked = source.dataset, config.experiments[experiment]
    if source.scaled is not None:
        train, test, sha256 = source.scaled
        train = torch.from_numpy(train[: asked.n_train])
        return Data(known.key, train, torch.from_numpy(test), source.scale, sha256)
    if not known.urls:  # images at hand: no file stays
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / f"{known.key}.h5"
            data.prepare(known.key, place, path)
            return data.load(path, asked)
    path = folder / f"{known.key}.h5"
    if not path.exists():
        download.fetch(known.key, folder, config.mirror)
        data.prepare(known.key, folder, path)
    return data.load(path, asked)


@contextlib.contextmanager
def _torch_as_it_was():
    """Undo what engine.settings.device sets: a notebook has more to do with torch. What it has set
    for the precision of products does not count here."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill
        torch.set_float32_matmul_precision(precision)
