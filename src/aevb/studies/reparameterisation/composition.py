"""Section 2.4, approach 3: composition. g is a transformation of simpler variables.

A sum of exponential variates has a whole number of terms. So g takes a shape, or degrees of
freedom, as a whole number, and gives no gradient with respect to it. e is epsilon.
"""

from __future__ import annotations

from math import exp, log, pi

from ...core.lazy import lazy
from .entry import Distribution, View, location, normal, positive, uniform, whole
from .inverse_cdf import gamma_log_density

torch = lazy("torch")
distributions = lazy("torch.distributions")
stats = lazy("scipy.stats")


def sum_of_exponentials(e):
    """A gamma variate of rate 1, and shape as many columns as `e` ~ U(0, 1) has: (n,)."""
    return -torch.log1p(-e).sum(-1)


def _gammas(e, *shapes):
    """A gamma variate of rate 1 of each shape, from the columns of `e`: (n, shapes)."""
    return torch.stack([sum_of_exponentials(part) for part in e.split(shapes, -1)], -1)


def normalised(e, *shapes):
    """Gamma variates over their sum: (n, shapes)."""
    variates = _gammas(e, *shapes)
    return variates / variates.sum(-1, keepdim=True)


def _ratio_of_chi_squared(e, df1, df2):
    first, second = (part.square().mean(-1) for part in e.split([df1, df2], -1))
    return first / second


def _dirichlet_log_density(z, a1, a2, a3):
    a = torch.stack([a1, a2, a3], -1)
    return ((a - 1) * z.log()).sum(-1) + torch.lgamma(a.sum(-1)) - torch.lgamma(a).sum(-1)


def _beta_log_density(z, a, b):
    constant = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    return (a - 1) * z.log() + (b - 1) * torch.log1p(-z) + constant


def _chi_squared_log_density(z, df):
    return gamma_log_density(z, df / 2, torch.full_like(z, 0.5))


def _f_log_density(z, df1, df2):
    constant = torch.lgamma((df1 + df2) / 2) - torch.lgamma(df1 / 2) - torch.lgamma(df2 / 2)
    power = df1 / 2 * torch.log(df1 / df2) + (df1 / 2 - 1) * z.log()
    return constant + power - (df1 + df2) / 2 * torch.log1p(df1 / df2 * z)


def _entry(**about) -> Distribution:
    return Distribution(family="composition", positive=True, **about)


COMPOSITION = {
    "log_normal": _entry(
        title="log-normal",
        noise=normal,
        parameters={"loc": location(0.0, 1), "scale": positive(0.4, 0.1, 0.8)},
        g=lambda e, loc, scale: torch.exp(loc + scale * e),
        shown="exp(loc + scale ε)",
        law=lambda loc, scale: stats.lognorm(scale, scale=exp(loc)),
        log_density=lambda z, loc, scale: (
            -(((z.log() - loc) / scale) ** 2) / 2 - z.log() - scale.log() - log(2 * pi) / 2
        ),
        torch=lambda loc, scale: distributions.LogNormal(loc, scale),
    ),
    "gamma": _entry(
        title="gamma",
        noise=lambda generator, n, shape, rate: uniform(generator, n, shape),
        parameters={"shape": whole(3), "rate": positive(1.5, 0.5)},
        g=lambda e, shape, rate: sum_of_exponentials(e) / rate,
        shown="Σᵢ −log(1 − εᵢ) / rate, i = 1 … shape",
        law=lambda shape, rate: stats.gamma(shape, scale=1 / rate),
        log_density=gamma_log_density,
        torch=lambda shape, rate: distributions.Gamma(shape, rate),
        fixed=("shape",),
    ),
    "dirichlet": _entry(
        title="Dirichlet",
        noise=lambda generator, n, a1, a2, a3: uniform(generator, n, a1 + a2 + a3),
        parameters={"a1": whole(1), "a2": whole(2), "a3": whole(3)},
        g=lambda e, a1, a2, a3: normalised(e, a1, a2, a3),
        shown="gammaᵢ(ε) / Σⱼ gammaⱼ(ε)",
        view=lambda z, **phi: z[:, 0],
        law=lambda a1, a2, a3: stats.beta(a1, a2 + a3),
        others={
            "z2": View(lambda z, **phi: z[:, 1], lambda a1, a2, a3: stats.beta(a2, a1 + a3)),
            "z2 / (z2 + z3)": View(
                lambda z, **phi: z[:, 1] / (z[:, 1] + z[:, 2]),
                lambda a1, a2, a3: stats.beta(a2, a3),
            ),
        },
        log_density=_dirichlet_log_density,
        torch=lambda a1, a2, a3: distributions.Dirichlet(torch.stack([a1, a2, a3], -1)),
        fixed=("a1", "a2", "a3"),
    ),
    "beta": _entry(
        title="beta",
        noise=lambda generator, n, a, b: uniform(generator, n, a + b),
        parameters={"a": whole(2), "b": whole(3)},
        g=lambda e, a, b: normalised(e, a, b)[:, 0],
        shown="gamma₁(ε) / (gamma₁(ε) + gamma₂(ε))",
        law=lambda a, b: stats.beta(a, b),
        log_density=_beta_log_density,
        torch=lambda a, b: distributions.Beta(a, b),
        fixed=("a", "b"),
    ),
    "chi_squared": _entry(
        title="chi-squared",
        noise=lambda generator, n, df: normal(generator, n, df),
        parameters={"df": whole(3)},
        g=lambda e, df: e.square().sum(-1),
        shown="Σᵢ εᵢ², i = 1 … df",
        law=lambda df: stats.chi2(df),
        log_density=_chi_squared_log_density,
        torch=lambda df: distributions.Chi2(df),
        fixed=("df",),
    ),
    "f": _entry(
        title="F",
        noise=lambda generator, n, df1, df2: normal(generator, n, df1 + df2),
        parameters={"df1": whole(6), "df2": whole(20, 10, 40)},
        g=_ratio_of_chi_squared,
        shown="(χ²₁(ε) / df1) / (χ²₂(ε) / df2)",
        law=lambda df1, df2: stats.f(df1, df2),
        log_density=_f_log_density,
        torch=lambda df1, df2: distributions.FisherSnedecor(df1, df2),
        fixed=("df1", "df2"),
        moments=lambda df1, df2: df2 / 2,
    ),
}
