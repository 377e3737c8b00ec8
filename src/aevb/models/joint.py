"""log p(x, z) as a function of z, with its gradient: what HMC walks on and what the estimators
of log p(x) weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import densities, kernels, nets
from .likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Joint:
    """log p(z) + temperature log p(x|z) of R models: log p(x, z) at temperature 1 (appendix D, E).

    `parameters` (R, ...) by name, x (R, N, D). Arguments z are (R, K*N, N_z), draw k of datapoint n
    at row k*N + n. `likelihood` is a key of LIKELIHOODS.
    """

    parameters: dict[str, Tensor]
    x: Tensor
    likelihood: str
    temperature: float = 1.0

    @property
    def latent_dim(self) -> int:
        """N_z."""
        return self.parameters["decoder.hidden.weight"].shape[1]

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x|z), (R, K*N)."""
        decoded = nets.decode(z, self.parameters)
        likelihood = LIKELIHOODS[self.likelihood]
        return likelihood.fast_log_density(self.x.unsqueeze(1), self._rows(decoded)).flatten(1, 2)

    def value(self, z: Tensor) -> Tensor:
        """The log density, (R, K*N), in nats."""
        return densities.log_prior(z) + self.temperature * self.log_likelihood(z)

    def gradient(self, z: Tensor) -> Tensor:
        """Its gradient with respect to z, (R, K*N, N_z)."""
        return self._backward(z, value=False)[1]

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Both at once, by one pass through the decoder."""
        log_likelihood, gradient = self._backward(z, value=True)
        return densities.log_prior(z) + self.temperature * log_likelihood.flatten(1, 2), gradient

    def _backward(self, z: Tensor, value: bool) -> tuple[Tensor | None, Tensor]:
        """log p(x|z), (R, K, N), if `value`, and the gradient, by hand, back through the
        decoder."""
        h = nets.hidden(z, self.parameters, "decoder")
        decoded = nets.output(h, self.parameters, "decoder")
        log_likelihood = LIKELIHOODS[self.likelihood].fast_log_density(
            self.x.unsqueeze(1), self._rows(decoded), value, gradient=True
        )
        dh = kernels.tanh_backward(
            kernels.product(decoded, self.parameters["decoder.output.weight"].mT), h
        )
        return log_likelihood, kernels.product(
            dh, self.parameters["decoder.hidden.weight"].mT
        ).mul_(self.temperature).sub_(z)

    def _rows(self, decoded: Tensor) -> Tensor:
        """(R, K*N, ...) -> (R, K, N, ...)."""
        return decoded.view(decoded.shape[0], -1, self.x.shape[1], decoded.shape[-1])
