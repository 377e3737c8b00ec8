"""Columns of the tables of graded estimators, with what they mean."""

# One row per model, data, estimator and number of samples: how far estimates are from the
# reference, nats per datapoint.
COLUMNS = {
    "latent_dim": "N_z of the model",
    "data": "test: the first test points; simulated: points that the model generated",
    "estimator": "hmc_kde, hmc_gaussian (appendix D), importance (from the encoder), "
    "importance_hmc (from a t fitted to the chain), ais (annealed, forward), ais_backward "
    "(simulated data only), or one of a plug-in",
    "samples": "samples per datapoint; for annealed importance sampling: temperatures",
    "bias": "mean over datapoints and replicates of estimate minus reference",
    "bias_se": "its standard error: from the spread over replicates (backward: over datapoints), "
    "and the reference's own",
    "spread": "standard deviation of one datapoint's estimate over replicates, root mean square "
    "over datapoints",
    "seconds": "seconds per datapoint and estimate",
    "reference": "quadrature (the truth), or the tightest lower bound: importance or ais, with its "
    "number of samples",
    "reference_value": "mean over datapoints of the reference",
    "reference_se": "its Monte Carlo standard error",
}
