"""A claim: training raises the bound."""

from aevb.paper.claims import claim
from aevb.paper.verdicts import Check
from aevb.results.curves import completed
from aevb.results.words import named


@claim(
    101,
    "training raises the bound",
    says="AEVB optimises a lower bound on the log likelihood (section 2.3).",
    statement="AEVB's test bound at the end is above that at its first evaluation.",
    rule="Difference of the two, in each panel of Figure 2. Above 0 everywhere.",
    needs="Figure 2",
)
def learning(gathered, paper):
    checks = []
    for row in gathered.study.figure2:
        for latent_dim in row.latent_dims if "aevb" in row.algorithms else ():
            curves = completed(gathered, row.experiment, "aevb", latent_dim)
            gains = [c["test"].iloc[-1] - c["test"].iloc[0] for c in curves.values()]
            checks.append(Check(named(row.experiment, latent_dim), gains))
    return checks, []
