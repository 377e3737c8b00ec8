"""Columns of the tables of mixtures, with what they mean."""

DATA = {"data": "drawn_0, drawn_1, ...: drawn from the model; faithful: Old Faithful"}

# One row per datapoint.
POINTS = DATA | {
    "x_1": "first coordinate; Old Faithful: duration of the eruption, scaled",
    "x_2": "second coordinate; Old Faithful: time to the next eruption, scaled",
}

# One row per start, algorithm and some of its sweeps, which stands for those since the row before.
TRACES = DATA | {
    "start": "number of the start, the same for both algorithms",
    "algorithm": "cavi, or em (a point for q(mu))",
    "sweep": "sweeps over both factors so far",
    "bound": "bound after it, nats; em: log p(x, mu) is its limit",
    "rise_c": "the least that the update of q(c) added to the bound; first sweep: not a number",
    "rise_mu": "the least that the update of q(mu), or of mu, added",
    "gap": "em: largest log p(x, mu) minus the bound after the update of q(c); cavi: not a number",
}

# One row per start, algorithm and component, at the end.
OPTIMA = DATA | {
    "start": "number of the start",
    "algorithm": "cavi or em",
    "component": "number of the component",
    "mean_1": "first coordinate of its mean",
    "mean_2": "second coordinate",
    "variance": "variance of q(mu_k), in each coordinate; em: 0",
    "size": "expected number of its datapoints",
    "bound": "bound at the end, nats",
}

# One row per sweep of coordinate ascent from the start that ends highest, one dimension.
EVIDENCE = DATA | {
    "sweep": "sweeps so far",
    "bound": "bound, nats",
    "divergence": "KL(q || posterior) over all assignments, computed without the bound, nats",
    "log_p": "log p(x) over all assignments, nats",
}

# One row per way to know the posterior.
VARIANCE = DATA | {
    "method": "enumeration (exact_points) or Gibbs (chain_points)",
    "points": "n",
    "posterior": "variance of the components' means in the posterior, sorted in each draw, summed",
    "posterior_se": "its Monte Carlo standard error",
    "mean_field": "the same under q at the best of the starts",
    "mean_field_se": "its Monte Carlo standard error",
    "unsorted": "variance of the posterior under all labellings, summed over components; Gibbs: "
    "not a number",
    "r_hat": "largest potential scale reduction of the sorted means; enumeration: not a number",
}

# One row per point of stochastic VI or of coordinate ascent at which the bound was computed.
SVI = DATA | {
    "algorithm": "svi or cavi, from the same start",
    "passes": "datapoints seen so far, over n",
    "bound": "bound at the best q(c), nats per datapoint",
}

COLUMNS = {
    "mixture_points": POINTS,
    "mixture_traces": TRACES,
    "mixture_optima": OPTIMA,
    "mixture_evidence": EVIDENCE,
    "mixture_variance": VARIANCE,
    "mixture_svi": SVI,
}
