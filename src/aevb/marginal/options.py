"""How log p(x) is estimated: the section `evidence` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ..core.sections import MOST, Count, Share, Size, Strict, whole


class Evidence(Strict):
    """How log p(x) is estimated for Figure 3 (section 5, appendix D)."""

    datapoints: Count = Field(
        1000,
        description="how many datapoints of the training and of the test set are evaluated, the "
        "first of each; no more than either has",
    )
    draws: Annotated[int, BeforeValidator(whole), Field(ge=8, le=MOST)] = Field(
        50, description="HMC samples per datapoint (appendix D)"
    )
    leapfrog: Size = Field(4, description="leapfrog steps of a transition")
    acceptance: Share = Field(
        0.9, description="acceptance rate the step size is tuned towards in warm-up"
    )
    warmup: Count = Field(50, description="transitions before the first sample is kept")
    importance_draws: Annotated[int, BeforeValidator(whole), Field(ge=25, le=MOST)] = Field(
        100,
        description="importance samples per datapoint, from a proposal fitted to HMC samples and "
        "modes",
    )
    chains_per_decade: Size | None = Field(
        None,
        description="evaluations per factor of ten in samples, counted back from the last, at "
        "which Figure 3 runs HMC chains; unless given, at every one",
    )
    checked: Count | None = Field(
        None,
        description="datapoints, the first, on which quadrature checks Figure 3's last evaluation; "
        "all unless given",
    )
    memory_mb: Count = Field(
        500, description="memory for temporary arrays of the estimators; less makes smaller chunks"
    )
