"""Likelihoods p(x|z) of a datapoint's D pixels, one file each: all that the project knows of one.

Elsewhere a likelihood is named by its key and looked up where it is used: `LIKELIHOODS[key]`. A
plug-in registers another one; it needs no other file:

    class Laplace(Likelihood):
        key, title, outputs, continuous, decimals, tolerance = "laplace", "Laplace", 2, True, 1, 150

        def log_density(self, x, decoded): ...
        def noise(self, generator, shape): ...
        def sample(self, decoded, noise): ...
        def ignoring_z(self, train, x): ...

    LIKELIHOODS.register(Laplace())

Planning and drawing import these modules, so torch is imported at its first use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf, log
from typing import TYPE_CHECKING, ClassVar

from ...core.catalogue import Catalogue, lacking
from ...core.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

torch = lazy("torch")
special = lazy("scipy.special")


class Likelihood(ABC):
    """p(x|z) under independent pixels, given the decoder's output at z.

    The output (..., outputs * D) begins with D logits: their sigmoid is the mean of x (appendix C.1
    and C.2), in [0, 1]. The other parameters of each pixel follow, D numbers of a kind. Values are
    in nats, per datapoint.
    """

    key: ClassVar[str]  #: the name in configurations and result files
    title: ClassVar[str]  #: the name in captions: "Bernoulli" makes "Bernoulli decoder"
    outputs: ClassVar[int]  #: numbers that the decoder gives for each pixel
    #: whether p(x|z) is a density on real numbers; else binarised images make sense
    continuous: ClassVar[bool]
    decimals: ClassVar[int]  #: of bounds in tables and texts
    #: nats by which `check` lets bounds made on another machine differ
    tolerance: ClassVar[float]

    def width(self, pixels: int) -> int:
        """Length of the decoder's output for D = `pixels`."""
        return self.outputs * pixels

    @abstractmethod
    def log_density(self, x: Tensor, decoded: Tensor) -> Tensor:
        """log p(x|z), written plainly for autograd: x (..., D), decoded (..., outputs * D) ->
        (...)."""

    def fast_log_density(
        self, x: Tensor, decoded: Tensor, value: bool = True, gradient: bool = False
    ) -> Tensor | None:
        """log p(x|z) without a graph, as training takes it: shapes as for `log_density`.

        With `gradient`, the gradient with respect to `decoded` is written over it; else `decoded`
        stays. Without `value`, None. This one differentiates `log_density`; write it by hand where
        the time matters.
        """
        if not gradient:
            return self.log_density(x, decoded).detach() if value else None
        with torch.enable_grad():
            leaf = decoded.detach().requires_grad_()
            total = self.log_density(x, leaf)
            (slope,) = torch.autograd.grad(total.sum(), leaf)
        decoded.copy_(slope)
        return total.detach() if value else None

    def shared_log_density(self, x: Tensor, decoded: Tensor) -> Tensor:
        """log p(x_n|z_g) of every pair, (N, G): x (N, D), decoded (G, outputs * D).

        This one goes z by z; write it as a matrix product where the density allows one.
        """
        return torch.stack([self.log_density(x, row) for row in decoded], 1)

    @abstractmethod
    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """The noise, float32, from which `sample` makes x of `shape` (..., D).

        A gpu.DeviceGenerator may take the place of `generator`: it has `random` and
        `standard_normal`, and gives tensors.
        """

    @abstractmethod
    def sample(self, decoded: Tensor, noise: Tensor) -> Tensor:
        """x ~ p(x|z) from `noise`, (..., D). Overwrites `decoded` (..., outputs * D)."""

    def mean(self, decoded: np.ndarray) -> np.ndarray:
        """Mean of x given the decoder's output (..., outputs * D), for drawing: (..., D)."""
        return special.expit(decoded[..., : decoded.shape[-1] // self.outputs])

    @abstractmethod
    def ignoring_z(self, train: np.ndarray, x: np.ndarray) -> float:
        """The best bound of a model that ignores z: the mean of log p(x) over x (N, D).

        One distribution for each pixel is fitted to `train` (N_train, D). Such a model has no KL
        divergence to pay, so this is its bound (eq. 7) too. Figure 2 is read against it.
        """

    def max_log_density(self, pixels: int, scale: float) -> float:
        """Upper limit of a meaningful bound on grey values divided by `scale`: D ln(scale).

        A grey level stands for a cell of width 1/scale in each of the D pixels, of volume scale^-D
        in all. A density p gives the cell C of an image the probability P(C) <= 1. The mean of p
        over the cell is P(C) scale^D. As the logarithm is concave, the mean of ln p over the cell
        is at most

            ln P(C) + D ln(scale) <= D ln(scale).

        For dequantised values, spread evenly over their cells, no model's expectation exceeds this.
        At the bare grey values a density may exceed it without end, by ever narrower peaks. A bound
        beyond it says that this happened. Where p(x|z) is no density there is no limit: infinity.
        """
        return pixels * log(scale) if self.continuous else inf


def _wrong(likelihood: Likelihood) -> str:
    """What a likelihood lacks, '' if nothing."""
    if not isinstance(likelihood, Likelihood):
        return "is no Likelihood; register an object of a class that is derived from it"
    return lacking(likelihood, "title", "outputs", "continuous", "decimals", "tolerance")


LIKELIHOODS: Catalogue[Likelihood] = Catalogue(
    "likelihood", "aevb.models.likelihoods", "LIKELIHOOD", _wrong
)
