"""What the study knows of a distribution q_phi(z): the paper's g, and what it is tested against.

Samples are torch tensors in float64. An entry's functions take phi by name: numbers, or tensors
(n,) with one value per sample, so that autograd gives one gradient per sample. Planning imports
this module, so torch and SciPy are imported at their first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

torch = lazy("torch")

#: the three approaches of section 2.4, in its order
FAMILIES = {
    "inverse_cdf": "Tractable inverse CDF",
    "location_scale": "Location-scale",
    "composition": "Composition",
}


class Parameter(NamedTuple):
    """A parameter of a distribution: its value, and the range in which the quadrature is exact."""

    value: float
    least: float
    most: float
    whole: bool = False

    def problem(self, value: float) -> str:
        """What is wrong with `value` in place of its own, '' if nothing."""
        number = "whole number" if self.whole else "number"
        if not self.least <= value <= self.most or (self.whole and value != int(value)):
            return f"give a {number} from {self.least:g} to {self.most:g}"
        return ""


class View(NamedTuple):
    """A number that a sample z gives, and its distribution."""

    of: Callable[..., Tensor]  # (z, **phi) -> (n,)
    law: Callable[..., Any]  # (**phi) -> frozen distribution of scipy.stats


def itself(z: Tensor, **phi) -> Tensor:
    """The view of a distribution on the real line."""
    return z


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution that section 2.4 names. phi are its `parameters`, by name."""

    title: str
    family: str  # of FAMILIES
    noise: Callable[..., np.ndarray]  # (generator, n, **phi) -> epsilon (n,) or (n, width)
    g: Callable[..., Tensor]  # (epsilon, **phi) -> z (n,), or (n, dimensions)
    shown: str  # g as the report prints it
    parameters: dict[str, Parameter]
    law: Callable[..., Any]  # (**phi) -> frozen distribution of scipy.stats, of view(z)
    log_density: Callable[..., Tensor]  # (z, **phi) -> log q_phi(z) (n,), for the score function
    view: Callable[..., Tensor] = itself  # (z, **phi) -> (n,): what f is a function of
    others: dict[str, View] = field(default_factory=dict)  # further tests of the samples
    torch: Callable[..., Any] | None = None  # (**phi) -> torch.distributions.Distribution
    fixed: tuple[str, ...] = ()  # parameters for which g gives no gradient
    moves: tuple[str, ...] = ()  # those that move the support: there the score function is biased
    infinite: bool = False  # whether the score function's variance is, for any f
    positive: bool = False  # whether view(z) > 0
    moments: Callable[..., float] = lambda **phi: inf  # E |z|^k is finite below this order k
    # (w, **phi) -> E cos(w z) in closed form, where the tails are too heavy for the quadrature
    cosine: Callable[..., float] | None = None

    def phi(self, changes: Mapping[str, float]) -> dict[str, float]:
        """The values of its parameters, with `changes` of them."""
        values = {name: part.value for name, part in self.parameters.items()} | dict(changes)
        return {k: int(v) if self.parameters[k].whole else float(v) for k, v in values.items()}

    @property
    def covered(self) -> list[str]:
        """The parameters for which g gives a gradient."""
        return [name for name in self.parameters if name not in self.fixed]


class Function(NamedTuple):
    """A test function f. It grows like z^power, and f'(z) z like z^slope."""

    of: Callable[[Tensor], Tensor]
    power: int = 0
    slope: int = 0
    positive: bool = False  # whether it takes z > 0 alone
    frequency: float = 0.0  # of a cosine


FUNCTIONS = {
    "z": Function(lambda z: z, power=1, slope=1),
    "z^2": Function(lambda z: z**2, power=2, slope=2),
    "log z": Function(lambda z: torch.log(z), positive=True),
    "tanh z": Function(lambda z: torch.tanh(z)),
    "cos z": Function(lambda z: torch.cos(z), slope=1, frequency=1.0),
    "cos 5z": Function(lambda z: torch.cos(5 * z), slope=1, frequency=5.0),
}


def functions(entry: Distribution, phi: Mapping[str, float]) -> dict[str, Function]:
    """The test functions for which f(z), and so the score function's estimate, has a variance."""
    order = entry.moments(**phi)
    return {
        name: function
        for name, function in FUNCTIONS.items()
        if (entry.positive or not function.positive) and 2 * function.power < order
    }


def unbounded(entry: Distribution, function: Function, phi: Mapping[str, float]) -> bool:
    """Whether the variance of the pathwise gradient is infinite.

    dz / dphi is like z for a scale, so the gradient is like f'(z) z. Its square has no expectation
    if z has too few moments, though f may be bounded: a Cauchy variate and a cosine.
    """
    return 2 * function.slope >= entry.moments(**phi)


def location(value: float = 0.5, most: float = 10) -> Parameter:
    return Parameter(value, -most, most)


def positive(value: float, least: float = 0.1, most: float = 5) -> Parameter:
    return Parameter(value, least, most)


def whole(value: int, least: int = 1, most: int = 20) -> Parameter:
    return Parameter(value, least, most, whole=True)


def uniform(generator: np.random.Generator, n: int, width: int = 0, **phi) -> np.ndarray:
    """U(0, 1), both ends left out: their logarithms are infinite."""
    return generator.integers(1, 2**53, (n, width) if width else n) / 2**53


def normal(generator: np.random.Generator, n: int, width: int = 0, **phi) -> np.ndarray:
    """N(0, 1)."""
    return generator.standard_normal((n, width) if width else n)
