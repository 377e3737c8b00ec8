"""Columns of the tables of variances, with what they mean."""

# One row per model, point of training, estimator and part: how much one-sample estimates (L = 1)
# vary with the noise of z. The gradients are those of the bound's mean over the datapoints, in nats
# per datapoint, without the prior on weights.
VARIANCE = {
    "latent_dim": "N_z of the model",
    "samples": "training samples that the model has seen; 0 at its start",
    "estimator": "A (eq. 6), B (eq. 7); for gradients also score (section 2.2: f(z) grad log "
    "q(z|x), f = log p(x, z) - log q(z|x)), score_baseline (f minus its mean over the other "
    "datapoints of the minibatch) and score_oracle (f minus its mean over other draws for the same "
    "datapoint)",
    "part": "encoder, decoder: the gradient for its parameters; bound: the bound itself, of a "
    "minibatch; bound_all: of the training set",
    "datapoints": "of which the mean is taken: M, or all. For one datapoint alone the variance is "
    "so many times larger",
    "variance": "trace of the covariance (sum over parameters of the variance) under the noise, "
    "datapoints fixed; mean over minibatches",
    "variance_se": "its standard error over minibatches",
    "ratio": "variance over that of estimator B, on the same minibatches and noise",
    "ratio_se": "its standard error over minibatches",
    "data_variance": "the same trace under the choice of the minibatch, for the expectation over "
    "the noise: alike for all estimators",
    "squared_norm": "squared norm of the expected gradient (bound: its square), alike for all. "
    "squared_norm / (variance + data_variance) is the signal-to-noise ratio of a step",
    "minibatches": "number of minibatches",
    "replicates": "draws of the noise for each",
}
