"""Columns of the study's tables, with what they mean."""

# One row per seed of one setting, at the end of training; nats per image.
MODELS = {
    "seed": "of start, minibatches and noise",
    "error": "reconstruction error: mean of -log p(x|z) at z ~ q(z|x), less what a decoder that "
    "gives the grey values themselves would have",
    "error_se": "its Monte Carlo standard error",
    "kl": "mean KL(q(z|x) || p(z)) over all images, in closed form",
    "information": "I(x; z)",
    "information_se": "its Monte Carlo standard error",
    "marginal": "KL(q(z) || p(z)), from samples of its own",
    "marginal_se": "its Monte Carlo standard error",
    "own": "sum over latent variables of KL(q(z_j) || p(z_j)), by quadrature",
    "density_ratio": "what the discriminator takes the total correlation for; beta-VAE: not a "
    "number",
    "mig": "mutual information gap, mean over factors, 0 to 1",
    "vote": "metric of FactorVAE, 0 to 1",
    "vote_se": "its binomial standard error over votes",
    "live": "latent variables that take part in the votes",
}

# Arrays: `shares` (S, N_z, K), I(z_j; v_k) over the entropy of v_k for each seed, latent
# variables in the order of their mean KL divergence, the largest first; `traversal`, grey values 0
# to 255 of one image of the first seed, a row per latent variable in the same order, a column per
# value.
