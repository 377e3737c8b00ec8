"""Columns of the study's table, with what they mean."""

# One row per seed and evaluation; columns from `rmse` on are of the last one alone.
COLUMNS = {
    "seed": "of start, minibatches and noise",
    "samples": "training samples so far",
    "last": "1 at the end of training, else 0",
    "train": "mean of log p(x|z) - KL(q(z|x) || p(z)) on training images, nats per datapoint; the "
    "autoencoder has no KL divergence, and so no bound",
    "test": "the same on test images",
    "test_se": "Monte Carlo standard error of test, from the noise of z",
    "smallest": "least variance of a pixel over the training images, at the mean of q(z|x); not a "
    "number where none is learned",
    "low": "its 1 per cent quantile over images and pixels",
    "rmse": "root mean square over test images and pixels of x less the decoder's mean at the mean "
    "of q(z|x), grey values in [0, 1]",
    "noisy_rmse": "the same where the encoder sees the test image with noise added",
    "kl": "mean KL(q(z|x) || p(z)) on test images, nats",
    "sigma": "standard deviation of the common likelihood: root mean square over training images, "
    "pixels and z ~ q(z|x) of x less the decoder's mean",
    "common": "bound on test images under the common likelihood N(x; decoder's mean, sigma^2 I)",
    "same_logits": "Bernoulli alone: its bound on test images under the continuous Bernoulli at "
    "the same logits",
    "same_mean": "the same at the logits that have the Bernoulli's means",
    "above": "share of test images whose own bound is above its ceiling (Term.ceiling)",
    "frechet": "Frechet distance of decoder means at z ~ N(0, I) to test images, in the first "
    "principal components of the training pixels",
    "frechet_codes": "the same at z ~ the Gaussian fitted to the codes of the training images",
    "frechet_data": "the same of training images",
    "features": "as frechet, in the features of a classifier; not a number where there is none",
    "features_codes": "as frechet_codes",
    "features_data": "as frechet_data",
    "sharpness": "share of high spatial frequencies in the energy of samples of the prior",
    "sharpness_data": "the same of test images",
    "code_sd": "root mean square of the codes (mean of q(z|x)) of the training images",
}
