"""The paper's q(z|x): a Gaussian with a diagonal covariance (eq. 9, appendix C.2)."""

from __future__ import annotations

from torch import Tensor, nn

from ...models import densities


class Diagonal(nn.Module):
    """N(mean, diag sd^2), both linear in a context: the encoder's hidden units."""

    def __init__(self, latent_dim: int, width: int):
        """`width` is the size of the context."""
        super().__init__()
        self.base = nn.Linear(width, 2 * latent_dim)

    def moments(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (N, N_z), of context (N, C)."""
        return self.base(context).chunk(2, dim=-1)

    def forward(self, context: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = mean + sd noise (eq. 10) and log q(z|x): noise (K, N, N_z) -> (K, N, N_z), (K, N)."""
        mean, log_variance = self.moments(context)
        z = mean + (0.5 * log_variance).exp() * noise
        return z, densities.log_prior(noise) - 0.5 * log_variance.sum(-1)

    def log_density(self, context: Tensor, z: Tensor) -> Tensor:
        """log q(z|x) of any z (K, N, N_z): (K, N)."""
        return densities.log_normal(z, *self.moments(context))
