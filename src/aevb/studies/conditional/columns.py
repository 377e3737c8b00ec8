"""Columns and arrays of the study's tables, with what they mean. Values are nats per image."""

# One row per seed, with the label and without. Tables are named after N_z.
LABEL = {
    "seed": "of start, minibatches and noise",
    "label": "1: encoder and decoder get the label; 0: neither does",
    "samples": "training samples",
    "bound": "bound on all test images, log p(x|y) >= or log p(x) >= (eq. 7, given y)",
    "bound_se": "its Monte Carlo standard error",
    "kl": "mean KL(q(z|x, y) || p(z)) of it",
    "points": "test images, evenly spread, on which the following are measured",
    "given": "log p(x|y) of the true label by importance sampling; without a label log p(x)",
    "log_p": "log p(x) = log sum over y of p(y) p(x|y); the same without a label",
    "log_p_se": "its Monte Carlo standard error",
    "added": "without a label: log_p less its mean from each tenth of the draws; not a number with",
    "gain": "log_p less that of the model without a label, mean over these images",
    "gain_se": "its standard error over test images",
    "accuracy": "share of images whose label has the highest p(y|x); not a number without",
    "linear": "share of all test images whose class a linear discriminant tells from the mean of q",
    "near": "the same for the 10 nearest neighbours of these means",
    "chance": "share of the most frequent class",
}
# Array `grid`, first seed: (11 * styles, D) uint8. A row of test images, then their z decoded with
# each class, a row each.

# One row per seed and measure. Tables are named after the number of observed quadrants.
QUADRANTS = {
    "seed": "of start, minibatches and noise; not a number for neighbours, which have none",
    "method": "neighbour, neighbours (their mean), baseline (a deterministic network), cvae",
    "measure": "exact; cvae: bound, importance (draws of q(z|x)) or prior (draws of p(z|x_obs))",
    "points": "test images that value is a mean of: all, or some evenly spread",
    "value": "log p(missing | observed), or what measure says of it",
    "points_se": "standard error over test images",
    "mc_se": "Monte Carlo standard error",
    "less": "value less the best of neighbours, image by image; not a number on other images",
    "less_se": "its standard error over test images",
    "neighbours": "how many neighbours were chosen on held-out training images",
    "epsilon": "by which their probabilities are clipped, chosen likewise",
}
# Array `pictures`, first seed: (7 * images, D) uint8. Rows of figures.ROWS.
