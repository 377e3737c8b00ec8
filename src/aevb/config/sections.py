"""The sections of the configuration that belong to no study and to no learner.

Every reading of the paper that is open to doubt is a field; its default is the reading that the
project runs unless told otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ..core.sections import (
    Count,
    Name,
    Positive,
    ShortName,
    Size,
    Strict,
    Whole,
)
from ..data import DATASETS
from ..models.likelihoods import LIKELIHOODS


class Experiment(Strict):
    """A data set with the model that is fitted to it."""

    dataset: Annotated[str, AfterValidator(Name(DATASETS))] = Field(
        description="a data set: a file of src/aevb/data, or of a plug-in"
    )
    likelihood: Annotated[str, AfterValidator(Name(LIKELIHOODS))] = Field(
        description="of the decoder: a file of src/aevb/models/likelihoods, or of a plug-in"
    )
    hidden: Size = Field(description="hidden units of encoder and of decoder")
    scale: Positive = Field(
        256.0,
        description="grey values are divided by this: 256 (the author's files) or 255; of other "
        "than 256 levels, their number or one less",
    )
    n_train: Count | None = Field(
        None, description="use only this many training images, the first; all unless given"
    )
    binarise: bool = Field(
        False, description="threshold the scaled values at 0.5; the paper did not"
    )
    dequantise: bool = Field(
        False,
        description="add fixed uniform noise of one grey level before scaling; the paper did not",
    )


class Training(Strict):
    """Optimisation (paper, section 5 and algorithm 1)."""

    batch_size: Count = Field(100, description="minibatch size M, drawn uniformly with replacement")
    draws: Count = Field(1, description="L, samples of z per datapoint and step")
    estimator: Literal["A", "B"] = Field(
        "B", description="bound estimator of AEVB: A (eq. 6) or B (eq. 7, analytic KL)"
    )
    initial_sd: Positive = Field(
        0.01,
        description="sd of the initial parameters; 0.1 is the paper's N(0, 0.01) read as a "
        "variance",
    )
    log_variance_start: Literal["random", "zero"] = Field(
        "zero",
        description="start of the encoder's log-variance, weights and biases: zero (the author's "
        "code), or as all parameters, as the paper prints",
    )
    log_variance_factor: Positive = Field(
        0.1,
        description="the encoder's log-variance is b + this times W h: 0.1 (the author's code), or "
        "1, as the paper prints. Start, step and prior apply to W, not to the product",
    )
    decoder_log_variance_bias: Literal["random", "zero"] = Field(
        "random",
        description="start of the biases of a decoder's log-variance (Gaussian likelihood): as all "
        "parameters, or zero (the author's code)",
    )
    warmup_steps: Whole = Field(
        100,
        description="first steps that only accumulate squared gradients (the author's code, whose "
        "100 may be read as 101); 0 for none",
    )
    epsilon: Positive = Field(1e-8, description="Adagrad's epsilon, inside the square root")
    prior: Literal["weights", "but_decoder_hidden", "all", "none"] = Field(
        "weights",
        description="N(0, I) prior of the MAP estimate: on weight matrices only, on these but the "
        "decoder's first (the author's code), on biases too, or none",
    )
    step_sizes: list[Positive] = Field(
        [0.01, 0.02, 0.1], min_length=1, description="Adagrad step sizes the pilot chooses from"
    )
    pilot_samples: Count = Field(
        100_000,
        description="training samples of the pilot per step size; at most the budget",
    )


#: what keys of `training` stood for in results that were made before there were such keys
BEFORE = {"log_variance_start": "random", "log_variance_factor": 1.0}


def stored(training: dict[str, Any]) -> dict[str, Any]:
    """The section `training` as a result holds it, with BEFORE where it holds nothing."""
    return {**BEFORE, **training}


class Evaluation(Strict):
    """When and how precisely the bound is measured."""

    first: Count = Field(100_000, description="training samples at the first evaluation")
    points_per_decade: Size = Field(
        10, description="evaluations per factor of ten in training samples"
    )
    standard_error: Positive = Field(
        0.05, description="Monte Carlo standard error aimed at, nats per datapoint"
    )
    max_draws: Count = Field(
        100, description="most samples of z per datapoint spent on reaching it"
    )


class Extended(Strict):
    """Seeds trained further, to a larger budget: their curves of Figure 2, and the models of
    Figures 4 and 5 that have these seeds."""

    samples: Count = Field(description="more than those of the study")
    seeds: list[Whole] = Field(min_length=1, description="some of the study's")
    experiments: list[ShortName] | None = Field(
        None, min_length=1, description="those trained further; nothing: all of the figures"
    )
