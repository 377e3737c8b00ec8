"""Where training starts, and what of the parameters it changes: the readings of section 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..models.nets import Layout

if TYPE_CHECKING:
    from ..config.sections import Training


def factors(layout: Layout, training: Training) -> dict[str, Tensor]:
    """What `kernels.adagrad` takes: name -> f, (1, out); the networks use f times the parameter
    that is trained. Empty where all are trained as they are.

    The encoder's output is the mean, then the log-variance b + f W h with f =
    `training.log_variance_factor`.
    """
    if training.log_variance_factor == 1:
        return {}
    f = torch.ones(1, 2 * layout.latent_dim)
    f[:, layout.latent_dim :] = training.log_variance_factor
    return {"encoder.output.weight": f}


def initial(layout: Layout, training: Training, generator: np.random.Generator) -> Tensor:
    """The parameters (P,) at the start: N(0, initial_sd^2), but for what the readings put at 0."""
    theta = generator.standard_normal(layout.n_parameters, dtype=np.float32)
    theta = torch.from_numpy(theta * np.float32(training.initial_sd))
    p = layout.view(theta)
    for name, f in factors(layout, training).items():
        p[name].mul_(f)
    if training.log_variance_start == "zero":
        for name in ("encoder.output.weight", "encoder.output.bias"):
            p[name][:, layout.latent_dim :] = 0
    if training.decoder_log_variance_bias == "zero":
        p["decoder.output.bias"][:, layout.pixels :] = 0
    return theta
