"""What the learners' gradients share: the backward passes, written out by hand.

That is about twice as fast on a CPU as recording a graph of these small layers each step. Tests
hold them against autograd through densities.py in float64. Arrays are stacked over R replicas, or
have no axis of replicas: x (..., M, D), z (..., L*M, N_z), draw l of datapoint m at row l*M + m.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import lazy
from ..models import kernels, nets
from ..models.likelihoods import LIKELIHOODS

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.kernels import Parameters

torch = lazy("torch")


def decoder_gradient(
    p: Parameters, x: Tensor, z: Tensor, likelihood: str
) -> tuple[Tensor, Parameters, Tensor]:
    """Value and gradient of log p(x|z), the gradient as (1/L) of the sum over datapoints and draws.

    x (..., M, D), z (..., L*M, N_z). Returns three things: the mean of log p(x|z), (...), in nats;
    the gradient for the decoder's parameters; that at its tanh layer before the tanh, (..., L*M,
    H).
    """
    draws = z.shape[-2] // x.shape[-2]
    h = nets.hidden(z, p, "decoder")
    decoded = nets.output(h, p, "decoder")
    rows = decoded.unflatten(-2, (draws, -1))
    value = LIKELIHOODS[likelihood].fast_log_density(x.unsqueeze(-3), rows, gradient=True)
    if draws > 1:
        decoded.div_(draws)
    gradient, dh = net_gradient(p, "decoder", z, h, decoded)
    return value.mean((-2, -1)), gradient, dh


def net_gradient(
    p: Parameters, net: str, inputs: Tensor, h: Tensor, dout: Tensor
) -> tuple[Parameters, Tensor]:
    """Back-propagate `dout`, the gradient at the output of `net` ("encoder" or "decoder").

    Its tanh layer gave `h` (..., M, H) from `inputs` (..., M, in). Returns the gradient for the
    parameters of `net`, and that before the tanh, (..., M, H).
    """
    dh = kernels.tanh_backward(kernels.product(dout, p[f"{net}.output.weight"].mT), h)
    gradient = {
        f"{net}.output.weight": kernels.product(h.mT, dout),
        f"{net}.output.bias": dout.sum(-2, keepdim=True),
        f"{net}.hidden.weight": kernels.product(inputs.mT, dh),
        f"{net}.hidden.bias": dh.sum(-2, keepdim=True),
    }
    return gradient, dh


def draw_z(mean: Tensor, log_variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """z = mean + sd * noise (eq. 4 and 10): noise (..., L, M, N_z) -> z (..., L*M, N_z) and sd *
    noise (..., L, M, N_z)."""
    spread = torch.exp(0.5 * log_variance).unsqueeze(-3) * noise
    return (mean.unsqueeze(-3) + spread).flatten(-3, -2), spread
