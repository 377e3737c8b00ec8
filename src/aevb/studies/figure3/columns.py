"""Columns of the tables of log p(x), with what they mean."""

# One row per evaluation and split of a run: means over the first datapoints of the split, nats per
# datapoint.
EVIDENCE = {
    "samples": "as in the curve",
    "seconds": "as in the curve",
    "split": "train or test",
    "importance": "log p(x) by importance sampling: the best estimate here, and what Figure 3 "
    "shows",
    "importance_se": "Monte Carlo standard error of importance",
    "hmc": "log p(x) by the paper's estimator (appendix D, kernel density); like all that needs "
    "chains, not a number where none ran (evidence.chains_per_decade)",
    "hmc_se": "Monte Carlo standard error of hmc, blind to its bias",
    "quadrature": "log p(x) by quadrature, at the last evaluation; elsewhere not a number. With "
    "evidence.checked, importance plus what quadrature adds to it on the datapoints checked",
    "quadrature_error": "largest disagreement of its two lattices over datapoints",
    "efficiency": "median over datapoints of effective importance samples, as a share of those "
    "drawn",
    "khat_bad": "share of datapoints whose Pareto k-hat exceeds 0.7",
    "divergences": "HMC transitions whose energy error exceeded 1,000 nats, warm-up left out",
    "acceptance": "mean acceptance of the HMC transitions",
    "rhat": "95 % quantile of split R-hat over datapoints and coordinates",
    "chain_ess": "median effective sample size of a chain",
}
