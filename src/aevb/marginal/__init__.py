"""log p(x): Hamiltonian Monte Carlo and the estimators that stand on it."""
