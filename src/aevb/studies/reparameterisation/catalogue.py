"""Every distribution that section 2.4 of the paper names, in its order."""

from __future__ import annotations

from .composition import COMPOSITION
from .inverse_cdf import INVERSE_CDF
from .location_scale import LOCATION_SCALE

DISTRIBUTIONS = {**INVERSE_CDF, **LOCATION_SCALE, **COMPOSITION}
