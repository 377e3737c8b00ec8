"""Columns of the study's tables, with what they mean."""

#: key of a method -> its name for people
METHODS = {
    "data": "data",
    "vae_mean": "VAE, means",
    "vae_draw": "VAE, draws",
    "gan": "GAN",
}
SAMPLED = ("vae_mean", "vae_draw", "gan")

# One row per method and evaluation, of one seed. All but seconds is of as many samples as
# gan.images says, against as many test images, drawn at random and the same for every seed. The
# array `shares` (rows, 10) has the share of each class, the array `shown` (methods * side^2, D) of
# the first seed some images of each method at the end, in 8 bits.
GAN = {
    "method": "data (training images); vae_mean: means of p(x|z) at z ~ p(z); vae_draw: x ~ p(x|z) "
    "there; gan: G(z)",
    "samples": "training samples so far",
    "seconds": "seconds of one core that training has taken, evaluations left out",
    "high": "share of spectral energy above half the Nyquist frequency",
    "test_high": "the same of the test images",
    "frechet": "Frechet distance to the test images in the features of a small classifier of this "
    "project (not the Inception network)",
    "covered": "classes to which the classifier gives at least 1 % of the samples",
    "entropy": "entropy of the shares of classes, nats; at most log 10 = 2.30",
    "doubt": "mean entropy of p(class|x) of the classifier, nats",
}
