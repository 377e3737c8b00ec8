"""Columns of the study's table, its arrays, and the ways to complete an image."""

#: rows of the array `errors`: how the unseen is guessed -> its name for people
METHODS = {
    "posterior": "posterior mean, by HMC",
    "draw": "one posterior sample",
    "gibbs": "encoder, iterated",
    "encoder": "encoder, holes filled",
    "nearest": "nearest training image",
    "linear": "linear prediction",
    "mean": "mean training image",
    "whole": "encoder, all seen",
}

#: rows of the array `log_p`: densities of what is not seen -> names for people
DENSITIES = {
    "model": "model",
    "linear": "linear prediction",
    "pixels": "pixels on their own",
}

# One row per task. The arrays beside it:
#   errors (tasks, METHODS, images), float32: squared errors, means over the pixels not seen, of
#   noise over all pixels; not a number where a method has no such task.
#   log_p (tasks, DENSITIES, images), float32: log p(not seen | seen), nats per image; not a number
#   of noise and blocks.
#   In the table of the first seed, of the tasks that the figure shows, uint8:
#   masks (tasks, D): 1 where a pixel is seen; pictures (tasks, images, SHOWN, D), in 8 bits.
COMPLETION = {
    "kind": "pixels, top, grid, blocks or noise",
    "level": "the share seen, the k of a grid or of blocks, the probability of a flip or the sd of "
    "noise",
    "seen": "number of pixels seen, or of means of blocks",
    "mc": "Monte Carlo variance of the posterior mean per pixel not seen, from the differences of "
    "the chains; mean over images",
    "log_mc": "Monte Carlo standard error of the model's log p(not seen | seen), nats, of the mean "
    "over images; not a number of noise and blocks",
    "rhat": "median over images of R-hat, the worst over the coordinates of z and log p(x, z)",
    "rhat_95": "its 95 % quantile over images",
    "mixed": "share of images with such an R-hat below 1.1",
    "ess": "median over images of the effective sample size, the worst of the same",
    "acceptance": "mean acceptance probability",
    "divergences": "share of transitions that diverged",
}

#: what the pictures are of, row by row
SHOWN = ("image", "seen", "posterior", "draw", "other", "encoder", "nearest")
