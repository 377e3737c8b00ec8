"""What decides a result beside its run and its data, and torch set up for results that repeat."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field

import torch

from ..config.sections import Evaluation, Experiment, Training, stored
from ..core.errors import UserError
from ..core.provenance import processor
from ..core.sections import Strict
from ..learners import LEARNERS


@dataclass(frozen=True)
class Settings:
    """What decides a result beside run and data: the part of the configuration that a job gets."""

    experiment: Experiment
    training: Training
    evaluation: Evaluation
    samples: int
    #: learner -> its options; those of learners that are not here are the default
    options: dict[str, Strict] = field(default_factory=dict)
    #: Figure 3: evaluations spread evenly over the budget, at which the parameters are kept
    snapshots: int = 0
    device: str = "cpu"  # "auto" is resolved by `device`
    threads: int = 1
    tf32: bool = False
    bfloat16: bool = False

    @classmethod
    def from_dict(cls, raw: dict) -> Settings:
        """From plain values, as studies.planning.settings makes them or `to_json` stored them.

        A learner's options are under its key; those of learners that are unknown here are ignored.
        """
        parts = {"experiment": Experiment, "training": Training, "evaluation": Evaluation}
        values, options = {}, {}
        raw = {**raw, "training": stored(raw.get("training", {}))}
        for name, value in raw.items():
            if name in cls.__dataclass_fields__:
                values[name] = parts[name](**value) if name in parts else value
            elif name in LEARNERS and LEARNERS[name].Options:
                options[name] = LEARNERS[name].Options(**value)
        return cls(**values, options=options)

    def options_of(self, learner: str) -> Strict | None:
        """The options of `learner`; None if it has none."""
        default = LEARNERS[learner].Options
        return self.options.get(learner, default() if default else None)

    def to_json(self, learner: str) -> str:
        """What decides a run of `learner`: all values, and of the options its own alone."""
        values = {name: value for name, value in vars(self).items() if name != "options"}
        if (options := self.options_of(learner)) is not None:
            values[learner] = options
        return json.dumps(
            {k: v.model_dump() if hasattr(v, "model_dump") else v for k, v in values.items()},
            sort_keys=True,
        )


def device(name: str, threads: int, tf32: bool) -> torch.device:
    """Set up torch for deterministic results and return the device for 'auto', 'cpu' or 'cuda'.

    Raises UserError if CUDA is asked for and absent.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device: cuda was asked for, but torch finds no CUDA device; use --config device=cpu, "
            "or device=auto"
        )
    chosen = "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
    # cuBLAS is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # Training uses none that have no deterministic form. Estimates of log p(x) do on a GPU, under a
    # torch whose cumsum has none: there torch warns and goes on.
    torch.use_deterministic_algorithms(True, warn_only=chosen == "cuda")
    # Every entry of a buffer is written before it is read.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cuda.matmul.allow_tf32 = tf32
    return torch.device(chosen)


@contextlib.contextmanager
def full_precision():
    """Keep matrix products in float32 even if settings.tf32 lets training steps round to TF32.

    Measurements need it, and the energies of HMC.
    """
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


@contextlib.contextmanager
def rounded(bfloat16: bool):
    """Let matrix products on a CPU round to bfloat16, if asked to: for training steps alone.

    Raises UserError if this CPU, or this torch, does not have such products.
    """
    if not bfloat16:
        yield
        return
    if not has_bfloat16():
        raise UserError(
            f"bfloat16: {processor()} with torch {torch.__version__} has no such products; leave "
            "it out"
        )
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AVX512_BF16 or AMX) and this torch lets it."""
    known = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    products = getattr(torch.backends.mkldnn, "matmul", None)  # not before torch 2.9
    return known and torch.backends.mkldnn.is_available() and hasattr(products, "fp32_precision")
