"""The paper's claims with their verdicts, and how far each curve is from the paper's."""

from __future__ import annotations

from ...paper.claims import details as checks
from ...paper.claims import verdicts as claims
from ...paper.distance import distances

__all__ = ["checks", "claims", "distances"]
