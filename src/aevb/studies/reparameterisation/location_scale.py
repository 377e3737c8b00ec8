"""Section 2.4, approach 2: location-scale. epsilon has location 0 and scale 1; g is affine in it.

In two dimensions the scale is a Cholesky factor L: z = mu + L epsilon. e is epsilon.
"""

from __future__ import annotations

from math import log, pi, sqrt

from ...core.lazy import lazy
from .entry import Distribution, View, location, normal, positive
from .inverse_cdf import logistic_log_density

torch = lazy("torch")
distributions = lazy("torch.distributions")
stats = lazy("scipy.stats")

LOC_SCALE = {"loc": location(), "scale": positive(0.8)}
FREEDOM = positive(9.0, 5, 30)
PLANE = {
    "mu1": location(0.3),
    "mu2": location(-0.2),
    "l11": positive(0.7, 0.1, 2),
    "l21": location(0.3, 2),
    "l22": positive(0.5, 0.1, 2),
}


def _affine(e, loc, scale, **phi):
    return loc + scale * e


def affine_plane(e, mu1, mu2, l11, l21, l22, **phi):
    """mu + L epsilon, row by row."""
    return torch.stack([mu1 + l11 * e[:, 0], mu2 + l21 * e[:, 0] + l22 * e[:, 1]], -1)


def _back(z, mu1, mu2, l11, l21, l22):
    """epsilon of a sample: L^-1 (z - mu), (n, 2)."""
    first = (z[:, 0] - mu1) / l11
    return torch.stack([first, (z[:, 1] - mu2 - l21 * first) / l22], -1)


def _squared(z, df=None, **plane):
    """epsilon' epsilon of a sample, (n,)."""
    return _back(z, **plane).square().sum(-1)


def _sum(z, **phi):
    return z.sum(-1)


def _sum_scale(l11, l21, l22) -> float:
    """Scale of z1 + z2: the norm of (1, 1) L."""
    return sqrt((l11 + l21) ** 2 + l22**2)


def _student_log_density(z, loc, scale, df):
    s = (z - loc) / scale
    constant = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - torch.log(pi * df) / 2
    return constant - scale.log() - (df + 1) / 2 * torch.log1p(s**2 / df)


def _plane_gaussian_log_density(z, **plane):
    return -_squared(z, **plane) / 2 - torch.log(2 * pi * plane["l11"] * plane["l22"])


def _plane_student_log_density(z, df, **plane):
    # Gamma(df / 2 + 1) / (Gamma(df / 2) df pi) = 1 / (2 pi)
    return -(df + 2) / 2 * torch.log1p(_squared(z, **plane) / df) - torch.log(
        2 * pi * plane["l11"] * plane["l22"]
    )


def _student_plane_noise(generator, n, df, **phi):
    """A standard t in two dimensions: a normal over the root of one chi-squared / df."""
    return normal(generator, n, 2) / (generator.chisquare(df, (n, 1)) / df) ** 0.5


def _entry(**about) -> Distribution:
    shared = {"parameters": LOC_SCALE, "g": _affine, "shown": "loc + scale ε"}
    return Distribution(family="location_scale", **(shared | about))


def _matrix(l11, l21, l22):
    return torch.stack([l11, torch.zeros_like(l11), l21, l22], -1).unflatten(-1, (2, 2))


LOCATION_SCALE = {
    "laplace": _entry(
        title="Laplace",
        noise=lambda generator, n, **phi: generator.laplace(size=n),
        law=lambda loc, scale: stats.laplace(loc, scale),
        log_density=lambda z, loc, scale: -(z - loc).abs() / scale - torch.log(2 * scale),
        torch=lambda loc, scale: distributions.Laplace(loc, scale),
    ),
    "elliptical_gaussian": _entry(
        title="elliptical: Gaussian",
        noise=lambda generator, n, **phi: normal(generator, n, 2),
        g=affine_plane,
        shown="μ + L ε",
        parameters=PLANE,
        view=_sum,
        law=lambda mu1, mu2, **scale: stats.norm(mu1 + mu2, _sum_scale(**scale)),
        others={
            "z1": View(lambda z, **phi: z[:, 0], lambda mu1, l11, **rest: stats.norm(mu1, l11)),
            "radius": View(_squared, lambda **phi: stats.chi2(2)),
        },
        log_density=_plane_gaussian_log_density,
        torch=lambda mu1, mu2, **scale: distributions.MultivariateNormal(
            torch.stack([mu1, mu2], -1), scale_tril=_matrix(**scale)
        ),
    ),
    "elliptical_t": _entry(
        title="elliptical: Student's t",
        noise=_student_plane_noise,
        g=affine_plane,
        shown="μ + L ε",
        parameters={**PLANE, "df": FREEDOM},
        view=_sum,
        law=lambda mu1, mu2, df, **scale: stats.t(df, mu1 + mu2, _sum_scale(**scale)),
        others={
            "z1": View(
                lambda z, **phi: z[:, 0], lambda mu1, l11, df, **rest: stats.t(df, mu1, l11)
            ),
            "radius": View(
                lambda z, **phi: _squared(z, **phi) / 2, lambda df, **rest: stats.f(2, df)
            ),
        },
        log_density=_plane_student_log_density,
        fixed=("df",),
        moments=lambda df, **phi: df,
    ),
    "student_t": _entry(
        title="Student's t",
        noise=lambda generator, n, df, **phi: generator.standard_t(df, n),
        parameters={**LOC_SCALE, "df": FREEDOM},
        law=lambda loc, scale, df: stats.t(df, loc, scale),
        log_density=_student_log_density,
        torch=lambda loc, scale, df: distributions.StudentT(df, loc, scale),
        fixed=("df",),
        moments=lambda df, **phi: df,
    ),
    "logistic_affine": _entry(
        title="logistic (affine)",
        noise=lambda generator, n, **phi: generator.logistic(size=n),
        law=lambda loc, scale: stats.logistic(loc, scale),
        log_density=logistic_log_density,
    ),
    "uniform": _entry(
        title="uniform",
        noise=lambda generator, n, **phi: generator.uniform(-1, 1, n),
        law=lambda loc, scale: stats.uniform(loc - scale, 2 * scale),
        log_density=lambda z, loc, scale: -torch.log(2 * scale) + 0 * z,
        torch=lambda loc, scale: distributions.Uniform(loc - scale, loc + scale),
        moves=("loc", "scale"),
    ),
    "triangular": _entry(
        title="triangular",
        noise=lambda generator, n, **phi: generator.triangular(-1, 0, 1, n),
        law=lambda loc, scale: stats.triang(0.5, loc - scale, 2 * scale),
        log_density=lambda z, loc, scale: torch.log1p(-(z - loc).abs() / scale) - scale.log(),
        # (dq/dphi)^2 / q is like 1 / distance from the ends of the support
        infinite=True,
    ),
    "gaussian": _entry(
        title="Gaussian",
        noise=normal,
        law=lambda loc, scale: stats.norm(loc, scale),
        log_density=lambda z, loc, scale: (
            -(((z - loc) / scale) ** 2) / 2 - scale.log() - log(2 * pi) / 2
        ),
        torch=lambda loc, scale: distributions.Normal(loc, scale),
    ),
}
