"""Columns of the tables of full variational Bayes, with what they mean."""

CASE = {
    "seed": "of data, start and noise",
    "design": "orthogonal or correlated: how the known codes are; latent: one pixel, codes unknown",
    "form": "analytic (eq. 24) or sampled (eq. 21 and 22)",
}

# One row per point of training on a linear model with known codes. Nats for all of X.
REGRESSION = CASE | {
    "samples": "training samples so far",
    "bound": "bound (eq. 14) of q(theta) in closed form",
    "kl": "KL(q(theta) || p(theta|X)) in closed form",
    "evidence": "log p(X) in closed form",
    "best_kl": "the same KL of the diagonal q with the highest bound",
}

# One row per case, at the diagonal q with the highest bound. Nats for all of X.
ESTIMATES = CASE | {
    "estimate": "mean of the estimates of the bound, one theta and one minibatch each",
    "se": "its Monte Carlo standard error",
    "estimates": "how many",
    "bound": "bound in closed form",
    "kl": "KL(q(theta) || p(theta|X)); latent: and E of the KL divergences of z (eq. 13 and 15)",
    "evidence": "log p(X): in closed form; latent: by quadrature",
}

# One row per point of training of a network. Nats per datapoint, but for kl.
NETWORKS = {
    "seed": "of training images, start and noise",
    "method": "map (AEVB with the prior N(0, I)) or full_vb (appendix F)",
    "theta": "where the bounds are measured: point (MAP), mean of q(theta), or sampled from it",
    "samples": "training samples so far",
    "train": "bound (eq. 7) on the training images; sampled: mean over theta ~ q(theta)",
    "test": "bound on the test images",
    "train_se": "Monte Carlo standard error of train: of z, and of theta where it is sampled",
    "test_se": "Monte Carlo standard error of test",
    "kl": "KL(q(theta) || p(theta)), nats in all; point: not a number",
    "whole": "bound on log p(X) / N (eq. 14): sampled train - kl / N; else not a number",
    "at_prior": "share of the parameters under q(theta) whose own KL is below 0.01 nats",
    "test_kl": "mean KL(q(z|x) || p(z)) on the test images",
    "active_units": "latent units whose posterior mean varies over the training images",
}
