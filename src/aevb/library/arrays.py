"""Arrays of a person: NumPy's or torch's go in, and results come back as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.lazy import lazy
from ..marginal.common import Estimate, at_least

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class Rows(NamedTuple):
    """An argument as rows, and what its results look like."""

    rows: Tensor  # (N, columns), float32
    single: bool  # whether it was one row, without an axis of rows
    numpy: bool  # whether it was no tensor

    def back(self, found: Tensor) -> Any:
        """`found` (N, ...) as the argument was: without the first axis if it was a single row."""
        found = found[0] if self.single else found
        return found.cpu().numpy() if self.numpy else found

    def estimate(self, found: Estimate) -> Estimate:
        """An estimate of NumPy arrays (N,) in the same way."""

        def as_given(values: np.ndarray) -> Any:
            return self.back(torch.as_tensor(np.asarray(values)).to(self.rows.device))

        diagnostics = {name: as_given(values) for name, values in found.diagnostics.items()}
        return Estimate(as_given(found.value), as_given(found.standard_error), diagnostics)


def whole(name: str, given, least: int = 0) -> int:
    """The argument `name`. Raises UserError unless it is a whole number of at least `least`."""
    if isinstance(given, float | np.floating) and float(given).is_integer():
        given = int(given)  # 1e5
    if isinstance(given, bool) or not isinstance(given, int | np.integer):
        raise UserError(f"{name} is {given!r}; it must be a whole number")
    at_least(name, given, least)
    return int(given)


def seeded(seed) -> np.random.Generator:
    """The generator of the argument `seed`. Raises UserError unless it is a whole number."""
    return np.random.default_rng(whole("seed", seed))


def taken(name: str, given, columns: int, shape: tuple[int, ...], meaning: str) -> Rows:
    """The argument `name`: (N, columns), (columns,), or with `shape` for columns.

    Raises UserError that says its `meaning` if it has another shape or is not of finite numbers.
    """
    numpy = not isinstance(given, torch.Tensor)
    try:
        array = torch.from_numpy(np.array(given, np.float32)) if numpy else given.detach().float()
    except (TypeError, ValueError):
        raise UserError(f"{name} is no array of numbers; give {meaning}") from None
    sizes = tuple(array.shape)
    if sizes in ((columns,), shape):
        rows, single = array.reshape(1, columns), True
    elif sizes[1:] in ((columns,), shape) and sizes[0]:
        rows, single = array.reshape(-1, columns), False
    else:
        raise UserError(f"{name} has shape {sizes}; give {meaning}")
    if not torch.isfinite(rows).all():
        raise UserError(f"{name} holds values that are not finite; mend the array")
    return Rows(rows, single, numpy)
