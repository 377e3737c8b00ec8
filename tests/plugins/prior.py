"""An estimator, plain Monte Carlo: log p(x) ~ log mean_k p(x|z_k), z_k ~ p(z)."""

from aevb.marginal import ESTIMATORS, Estimator
from aevb.marginal.common import (
    Estimate,
    as_numpy,
    log_mean_exp,
    shared_log_likelihood,
    standard_normal,
)


def prior(task):
    z = standard_normal(task.generator, (task.draws, task.joint.latent_dim), task.joint.x)
    value, weights = log_mean_exp(as_numpy(shared_log_likelihood(task.joint, z, task.memory_mb)))
    return Estimate(value, weights.std(1, ddof=1) / task.draws**0.5, {})


ESTIMATORS.register(Estimator("prior", "samples of the prior", prior))
