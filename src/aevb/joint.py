"""log p(x, z) as a function of z, with its gradient: what HMC walks on and what the estimators of log p(x) weigh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import nets, objectives


@dataclass(frozen=True)
class Joint:
    """log p(z) + temperature log p(x|z) of R models (appendix D and E; temperature 1 is log p(x, z)).

    `parameters` (R, ...) by name, x (R, N, D). Arguments z are (R, K*N, N_z), draw k of datapoint n at row k*N + n.
    """

    parameters: dict[str, Tensor]
    x: Tensor
    likelihood: str
    temperature: float = 1.0

    @property
    def latent_dim(self) -> int:
        return self.parameters["decoder.hidden.weight"].shape[1]

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x|z), (R, K*N)."""
        decoded = nets.decode(z, self.parameters)
        return objectives.log_likelihood(self.x.unsqueeze(1), self._rows(decoded), self.likelihood).flatten(1, 2)

    def value(self, z: Tensor) -> Tensor:
        return objectives.log_prior(z) + self.temperature * self.log_likelihood(z)

    def gradient(self, z: Tensor) -> Tensor:
        h = nets.hidden(z, self.parameters, "decoder")
        return self._gradient(z, h, nets.output(h, self.parameters, "decoder"))

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        h = nets.hidden(z, self.parameters, "decoder")
        decoded = nets.output(h, self.parameters, "decoder")
        rows = self._rows(decoded)
        likelihood = objectives.log_likelihood(self.x.unsqueeze(1), rows, self.likelihood).flatten(1, 2)
        return objectives.log_prior(z) + self.temperature * likelihood, self._gradient(z, h, decoded)

    def _rows(self, decoded: Tensor) -> Tensor:
        """(R, K*N, ...) -> (R, K, N, ...)."""
        return decoded.view(decoded.shape[0], -1, self.x.shape[1], decoded.shape[-1])

    def _gradient(self, z: Tensor, h: Tensor, decoded: Tensor) -> Tensor:
        """d/dz by hand, back through the decoder; overwrites `decoded`."""
        a, x = self._rows(decoded), self.x.unsqueeze(1)
        if self.likelihood == "bernoulli":  # d/da of x a - softplus(a), eq. 11
            torch.sub(x, a.sigmoid_(), out=a)
        else:  # eq. 12
            logits, log_variance = a.chunk(2, dim=-1)
            mean = logits.sigmoid()
            scaled = (x - mean) * torch.exp(-log_variance)
            log_variance.copy_(0.5 * (scaled * (x - mean) - 1))
            logits.copy_(scaled * mean * (1 - mean))
        dh = nets.product(decoded, self.parameters["decoder.output.weight"].transpose(1, 2))
        dh.addcmul_(dh, h.square(), value=-1)  # tanh' = 1 - tanh^2
        dz = nets.product(dh, self.parameters["decoder.hidden.weight"].transpose(1, 2))
        return dz.mul_(self.temperature).sub_(z)
