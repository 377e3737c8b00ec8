"""Section 2.4, approach 1: a tractable inverse CDF. epsilon ~ U(0, 1), and g = F^-1.

Each g is the quantile function; densities are those of Johnson, Kotz & Balakrishnan, Continuous
Univariate Distributions (1994/95). e is epsilon.
"""

from __future__ import annotations

from math import cos, exp, pi

from ...core.lazy import lazy
from .entry import Distribution, location, positive, uniform, whole

torch = lazy("torch")
distributions = lazy("torch.distributions")
special = lazy("scipy.special")
stats = lazy("scipy.stats")


def logistic_log_density(z, loc, scale):
    s = (z - loc) / scale
    return -s - 2 * torch.nn.functional.softplus(-s) - torch.log(scale)


def gamma_log_density(z, shape, rate):
    return shape * rate.log() + (shape - 1) * z.log() - rate * z - torch.lgamma(shape)


def gamma_quantile(e, shape):
    """F^-1 of a gamma variate of rate 1: no closed form for a general shape."""
    return torch.from_numpy(special.gammaincinv(shape, e.numpy()))


def _gumbel_log_density(z, loc, scale):
    s = (z - loc) / scale
    return -s - torch.exp(-s) - scale.log()


def _entry(**about) -> Distribution:
    return Distribution(family="inverse_cdf", noise=uniform, **about)


INVERSE_CDF = {
    "exponential": _entry(
        title="exponential",
        parameters={"rate": positive(1.5)},
        g=lambda e, rate: -torch.log1p(-e) / rate,
        shown="−log(1 − ε) / rate",
        law=lambda rate: stats.expon(scale=1 / rate),
        log_density=lambda z, rate: rate.log() - rate * z,
        torch=lambda rate: distributions.Exponential(rate),
        positive=True,
    ),
    "cauchy": _entry(
        title="Cauchy",
        parameters={"loc": location(), "scale": positive(0.7)},
        g=lambda e, loc, scale: loc + scale * torch.tan(pi * (e - 0.5)),
        shown="loc + scale tan(π(ε − 1/2))",
        law=lambda loc, scale: stats.cauchy(loc, scale),
        log_density=lambda z, loc, scale: (
            -torch.log(pi * scale) - torch.log1p(((z - loc) / scale) ** 2)
        ),
        torch=lambda loc, scale: distributions.Cauchy(loc, scale),
        moments=lambda **phi: 1.0,
        cosine=lambda w, loc, scale: cos(w * loc) * exp(-w * scale),
    ),
    "logistic": _entry(
        title="logistic",
        parameters={"loc": location(), "scale": positive(0.7)},
        g=lambda e, loc, scale: loc + scale * torch.logit(e),
        shown="loc + scale log(ε / (1 − ε))",
        law=lambda loc, scale: stats.logistic(loc, scale),
        log_density=logistic_log_density,
    ),
    "rayleigh": _entry(
        title="Rayleigh",
        parameters={"scale": positive(1.0)},
        g=lambda e, scale: scale * torch.sqrt(-2 * torch.log1p(-e)),
        shown="scale √(−2 log(1 − ε))",
        law=lambda scale: stats.rayleigh(scale=scale),
        log_density=lambda z, scale: z.log() - 2 * scale.log() - (z / scale) ** 2 / 2,
        positive=True,
    ),
    "pareto": _entry(
        title="Pareto",
        parameters={"low": positive(1.0), "shape": positive(10.0, 5, 20)},
        g=lambda e, low, shape: low * (1 - e) ** (-1 / shape),
        shown="low (1 − ε)^(−1/shape)",
        law=lambda low, shape: stats.pareto(shape, scale=low),
        log_density=lambda z, low, shape: shape.log() + shape * low.log() - (shape + 1) * z.log(),
        torch=lambda low, shape: distributions.Pareto(low, shape),
        moves=("low",),
        positive=True,
        moments=lambda low, shape: shape,
    ),
    "weibull": _entry(
        title="Weibull",
        parameters={"scale": positive(1.0), "shape": positive(1.5, 0.8)},
        g=lambda e, scale, shape: scale * (-torch.log1p(-e)) ** (1 / shape),
        shown="scale (−log(1 − ε))^(1/shape)",
        law=lambda scale, shape: stats.weibull_min(shape, scale=scale),
        log_density=lambda z, scale, shape: (
            torch.log(shape / scale) + (shape - 1) * torch.log(z / scale) - (z / scale) ** shape
        ),
        torch=lambda scale, shape: distributions.Weibull(scale, shape),
        positive=True,
    ),
    "reciprocal": _entry(
        title="reciprocal",
        parameters={"low": positive(0.5), "ratio": positive(6.0, 1.5, 10)},
        g=lambda e, low, ratio: low * ratio**e,
        shown="low · ratio^ε",
        law=lambda low, ratio: stats.loguniform(low, low * ratio),
        log_density=lambda z, low, ratio: -z.log() - ratio.log().log(),
        moves=("low", "ratio"),
        positive=True,
    ),
    "gompertz": _entry(
        title="Gompertz",
        parameters={"shape": positive(0.7), "rate": positive(1.0)},
        g=lambda e, shape, rate: torch.log1p(-torch.log1p(-e) / shape) / rate,
        shown="log(1 − log(1 − ε) / shape) / rate",
        law=lambda shape, rate: stats.gompertz(shape, scale=1 / rate),
        log_density=lambda z, shape, rate: (
            torch.log(shape * rate) + rate * z - shape * torch.expm1(rate * z)
        ),
        positive=True,
    ),
    "gumbel": _entry(
        title="Gumbel",
        parameters={"loc": location(), "scale": positive(0.8)},
        g=lambda e, loc, scale: loc - scale * torch.log(-torch.log(e)),
        shown="loc − scale log(−log ε)",
        law=lambda loc, scale: stats.gumbel_r(loc, scale),
        log_density=_gumbel_log_density,
        torch=lambda loc, scale: distributions.Gumbel(loc, scale),
    ),
    "erlang": _entry(
        title="Erlang",
        parameters={"shape": whole(3), "rate": positive(1.5, 0.5)},
        g=lambda e, shape, rate: gamma_quantile(e, shape) / rate,
        shown="F⁻¹(ε; shape) / rate, F⁻¹ by numerical inversion",
        law=lambda shape, rate: stats.gamma(shape, scale=1 / rate),
        log_density=gamma_log_density,
        torch=lambda shape, rate: distributions.Gamma(shape, rate),
        fixed=("shape",),
        positive=True,
    ),
}
