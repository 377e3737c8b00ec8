"""Columns of the study's tables, with what they mean. All values are in nats."""

QUARTERS = (0, 25, 50, 75)  # per cent of the ascent, where tables say what is left

# One row per datapoint.
GAPS = {
    "data": "test: of the test set; simulated: drawn from the model, for the width of log p(x)",
    "point": "number of the datapoint",
    "log_p": "log p(x): by quadrature, or by annealing from the best Gaussian, a lower bound",
    "log_p_se": "its Monte Carlo standard error; 0 for quadrature",
    "annealed": "the annealed lower bound; beside quadrature it shows how good that is",
    "upper": "simulated: an upper bound of log p(x), by annealing backward from the true z",
    "upper_se": "its standard error by the delta method, too small: the chains share their start",
    "method": "quadrature or annealed",
    "encoder": "bound (eq. 7) of the encoder's Gaussian",
    "encoder_se": "its Monte Carlo standard error",
    "best": "bound of the best diagonal Gaussian, with noise that the ascent has not seen",
    "best_se": "its Monte Carlo standard error",
    "amortisation_se": "Monte Carlo standard error of best - encoder, which share their noise",
    "climbed": "bound of the best Gaussian with the noise of the ascent, on average too high",
    "other": "climbed minus the same from the other of the two starts: 0 where both end alike",
} | {
    f"left_{part}": "bound of the ascent from the encoder's Gaussian at its end minus that after "
    f"{part} per cent of its steps"
    for part in QUARTERS
}

# One row per node of a grid over the latent plane, of the first test points; N_z = 2.
POSTERIOR = {
    "point": "number of the test point",
    "z_1": "first coordinate of the node",
    "z_2": "second coordinate",
    "exact": "log p(z|x), with log p(x) by quadrature",
    "encoder": "log density of the encoder's Gaussian",
    "best": "log density of the best diagonal Gaussian",
}
