"""The reconstruction terms: what a decoder's output is compared with an image by.

A term is log p(x|z) of D pixels x in [0, 1], in nats per datapoint, and what else sets its model
apart: what is added to the image, and whether there is a posterior at all. To add one is to add an
entry: to the tuple TERM of a file of this folder, or of a new one, or by TERMS.register in a
plug-in. Planning, training, tables and figures find it here. No result depends on other entries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from math import log
from typing import TYPE_CHECKING, Any

from ....core.catalogue import Catalogue, lacking
from ....core.lazy import lazy

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")

NOISE_SD = 0.3  # of the noise on images from which the models are asked to reconstruct


@dataclass(frozen=True, kw_only=True)
class Term(ABC):
    """A reconstruction term with its model.

    Shapes: x (..., D); the decoder's output (..., outputs * D) begins with D logits of the mean.
    """

    key: str
    title: str  # for people, in tables and figures
    order: int = 1000  # its place among terms
    outputs: int = 1  # numbers that the decoder gives for each pixel: 1 or 2
    normalised: bool = True  # whether e^log_density integrates to 1 over x
    variational: bool = True  # False: z is the encoder's mean, and there is no KL divergence
    noise: float = 0.0  # standard deviation of what is added to the encoder's input
    dequantise: bool = False  # x + u level for fresh u ~ U(0, 1), in training and in evaluation
    sd: float | None = None  # of a fixed Gaussian: the way to the autoencoder, which has 0

    @property
    def about(self) -> dict[str, Any]:
        """What decides its results beside its code, as plain values."""
        return {name: value for name, value in asdict(self).items() if name not in WORDS}

    @property
    def shaped_as(self) -> str:
        """A likelihood of the paper whose decoder has as many outputs (nets.Layout)."""
        return {1: "bernoulli", 2: "gaussian"}[self.outputs]

    @abstractmethod
    def log_density(self, x: Tensor, decoded: Tensor, level: float) -> Tensor:
        """log p(x|z), (...), as autograd takes it; `level` is one grey level, 1 / scale."""

    def mean(self, decoded: Tensor) -> Tensor:
        """The mean of x, (..., D)."""
        return decoded[..., : decoded.shape[-1] // self.outputs].sigmoid()

    def variance(self, decoded: Tensor, level: float) -> Tensor | None:
        """The learned variance of every pixel, (..., D), float64; None where none is learned."""
        return None

    def ceiling(self, pixels: int, level: float) -> float:
        """What the mean of log p(x|z) over images cannot exceed, if it means anything: D ln(1 /
        level), which is proved for dequantised images (Likelihood.max_log_density)."""
        return pixels * log(1 / level)


#: fields that decide nothing
WORDS = ("title", "order")


def _wrong(term: Term) -> str:
    """What a term lacks, '' if nothing."""
    if not isinstance(term, Term):
        return "is no Term; register an object of a class that is derived from it"
    return lacking(term, "title") or ("needs 1 or 2 outputs" if term.outputs not in (1, 2) else "")


TERMS: Catalogue[Term] = Catalogue(
    "reconstruction term", "aevb.studies.reconstruction.terms", "TERM", _wrong
)
