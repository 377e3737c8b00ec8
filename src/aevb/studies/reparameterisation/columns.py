"""Columns of the tables of reparameterisations, with what they mean."""

# One row per distribution, f, parameter, estimator and seed: one-sample estimates of the gradient
# d E f(z) / d phi, of as many samples by each estimator.
GRADIENTS = {
    "distribution": "its key in the study's catalogue",
    "function": "f; of elliptical distributions it takes z1 + z2, of the Dirichlet z1",
    "parameter": "one of phi, with respect to which the gradient is",
    "estimator": "pathwise (the paper's g), score (f grad log q), score_baseline ((f - E f) grad "
    "log q, with the true E f), torch (rsample of torch.distributions)",
    "seed": "of the noise; pathwise and score estimates are of the same samples",
    "samples": "how many one-sample estimates",
    "exact": "the gradient by quadrature over SciPy's quantiles",
    "mean": "mean of the estimates",
    "variance": "their variance, of one sample; 0 where all are equal but for rounding",
}
# One row per distribution and view of its samples: a Kolmogorov-Smirnov test against SciPy's CDF.
TESTS = {
    "distribution": "its key in the study's catalogue",
    "view": "what is tested: main, which f takes (z; z1 + z2 of elliptical distributions, z1 of "
    "the Dirichlet); further a component, a ratio, or the radius epsilon' epsilon",
    "samples": "of all seeds together",
    "statistic": "largest distance between the empirical CDF and SciPy's",
    "p_value": "of the test, before the correction for the number of tests",
}
# One row per draw of the first seed, for the distributions of the figure that shows g.
TRANSPORT = {
    "distribution": "its key in the study's catalogue",
    "noise_1": "epsilon, its first component",
    "noise_2": "its second component, not a number on the real line",
    "sample_1": "z = g(epsilon, phi), its first component",
    "sample_2": "its second component, not a number on the real line",
}
