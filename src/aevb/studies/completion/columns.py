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

# One row per task. The arrays beside it:
#   errors (tasks, METHODS, images), float32: squared errors, means over the pixels not seen, of
#   noise over all pixels; not a number where a method has no such task.
#   In the table of the first seed, of the tasks that the figure shows, uint8:
#   masks (tasks, D): 1 where a pixel is seen; pictures (tasks, images, SHOWN, D), in 8 bits.
COMPLETION = {
    "kind": "pixels, top, grid or noise",
    "level": "the share seen, the k of a grid, the probability of a flip or the sd of noise",
    "seen": "number of pixels seen",
    "mc": "Monte Carlo variance of the posterior mean per pixel not seen, from the differences of "
    "the chains; mean over images",
    "rhat": "median over images of R-hat, the worst over the coordinates of z and log p(x, z)",
    "rhat_95": "its 95 % quantile over images",
    "mixed": "share of images with such an R-hat below 1.1",
    "ess": "median over images of the effective sample size, the worst of the same",
    "acceptance": "mean acceptance probability",
    "divergences": "share of transitions that diverged",
}

#: what the pictures are of, row by row
SHOWN = ("image", "seen", "posterior", "draw", "other", "encoder", "nearest")
