"""Columns of the study's tables, with what they mean. Values are in nats."""

# One row per model, q(z|x) on its decoder, and test point.
POSTERIORS = {
    "seed": "of start, minibatches and noise",
    "latent_dim": "N_z",
    "family": "of the model's q(z|x): diagonal, planar or autoregressive",
    "k": "samples of the bound L_k that trained it",
    "gradient": "plain, or doubly (reparameterised)",
    "q": "encoder: the model's own; else the family that was fitted to the test points one by one "
    "on the model's decoder",
    "point": "number of the test point",
    "bound": "L_1, the paper's bound, of this q",
    "bound_se": "its Monte Carlo standard error",
    "log_p": "log p(x) of the model by importance sampling from this q; on average too low",
    "log_p_se": "its standard error by the delta method",
    "k_hat": "Pareto k-hat of the weights: below 0.7 that error can be trusted",
    "tenth": "log p(x) again from a tenth of the draws: what the last tenfold added",
    "late": "what the last quarter of the fit's steps added to the bound; 0 where there were none",
    "exact": "log p(x) by quadrature, N_z up to 3; else not a number",
}

# One row per seed, k and gradient, on the model with a diagonal q that L_1 trained.
GRADIENTS = {
    "seed": "of the model",
    "latent_dim": "N_z",
    "k": "samples of the bound L_k whose gradient this is",
    "gradient": "plain, or doubly (reparameterised)",
    "signal": "squared length of the mean gradient of the encoder, without the bias of its noise",
    "noise": "trace of the covariance of one gradient",
    "replicates": "gradients on the same minibatch",
}

# One row per k, on binarised images.
YARDSTICK = {
    "k": "samples of the bound L_k that trained the model",
    "epochs": "training samples divided by training images",
    "log_p": "log p(x) by importance sampling, mean over test points",
    "log_p_se": "its Monte Carlo standard error",
    "points_se": "its standard error over test points",
    "k_hat_bad": "share of test points whose k-hat exceeds 0.7",
    "tenth": "the same mean from a tenth of the draws",
    "points": "test points",
    "training_seconds": "seconds of training, on the machine that made it",
}

# Arrays of tables with N_z = 2, first seed: log densities on a grid, and its corners.
GRID = ("exact", "diagonal", "planar", "autoregressive")
