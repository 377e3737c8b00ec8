"""Columns of the study's tables, with what they mean."""

EM = {
    "seed": "which decides data and start",
    "iteration": "of EM, from 1",
    "half": "E: after q became the posterior; M: after the model was fitted to q",
    "log_p": "mean of log p(x) over the data, from the marginal density, nats",
    "bound": "the variational bound of q and the model, from its Gaussian integrals, nats",
    "kl": "KL(q(z|x) || p(z|x)) in closed form, mean over the data, nats",
    "residual": "log_p - bound - kl, which rounding alone keeps from 0",
}
LEARNERS = {
    "seed": "which decides data, start and noise",
    "algorithm": "closed: the maximum likelihood, W with orthogonal columns; rotated: the same "
    "with latent variables rotated at random; em: exact EM; aevb, wake_sleep, mcem: trained",
    "samples": "training samples seen; em: datapoints x iterations; mcem: datapoints x (leapfrog "
    "steps + updates); 0 where nothing is trained",
    "best": "mean of log p(x) over the training data at the closed form, nats",
    "shortfall": "best minus the exact log p(x) of this model, nats",
    "gap": "exact log p(x) minus the exact bound, with the learner's own encoder, nats; not a "
    "number without one",
    "diagonal_gap": "the same with the best encoder of diagonal covariance, nats",
    "uncertainty": "P / (2 n): what n datapoints cannot tell of log p(x), with P parameters, nats",
}
ESTIMATORS = {
    "latent_dim": "N_z",
    "estimator": "hmc_kde, hmc_gaussian (appendix D), importance (from the best encoder of "
    "diagonal covariance), importance_hmc (from a t fitted to the chain), ais, ais_backward, or "
    "one of a plug-in",
    "samples": "samples per datapoint; for annealed importance sampling: temperatures",
    "bias": "mean over datapoints and replicates of estimate minus exact log p(x), nats",
    "bias_se": "its standard error over replicates",
    "spread": "standard deviation of one datapoint's estimate over replicates, root mean square "
    "over datapoints",
    "exact": "mean over datapoints of the exact log p(x), nats",
    "second_moment": "importance alone: E[w^2] / E[w]^2 of its weights in closed form; infinite "
    "where they have no variance",
}
COLLAPSE = {
    "seed": "which decides data, start and noise",
    "variance": "sigma^2, which is fixed",
    "theory": "directions of N_z whose posterior mean varies by more than 0.01 at maximum "
    "likelihood: 1 - sigma^2 / eigenvalue",
    "em": "the same of exact EM",
    "aevb": "the same of AEVB's encoder",
    "em_shortfall": "log p(x) of the best model with that sigma^2 minus that of EM, nats per "
    "datapoint",
    "aevb_shortfall": "the same for AEVB",
}
