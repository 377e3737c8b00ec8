"""The importance-weighted bound (Burda, Grosse and Salakhutdinov 2016) and two of its gradients.

    L_k = E log 1/k sum_i w_i,  w_i = p(x, z_i) / q(z_i|x),  z_i from q            (their eq. 8)

L_1 is the paper's bound, and L_1 <= L_k <= log p(x). With v_i = w_i / sum_j w_j the gradients are

    plain    sum_i v_i d log w_i                                                   (their eq. 13)
    doubly   for the parameters of q:  sum_i v_i^2 d log w_i / dz_i  dz_i / dphi,
             with q's parameters fixed inside log w_i (Tucker et al. 2019, eq. 8); else as plain

Both have the same mean. For k = 1 the second is that of Roeder, Wu and Duvenaud (2017).
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from ...models import densities
from .diagonal import Diagonal

GRADIENTS = ("plain", "doubly")


def bound(log_weights: Tensor) -> Tensor:
    """L_k of log_weights (k, N): one estimate per datapoint, (N,), in nats."""
    return torch.logsumexp(log_weights, 0) - log(len(log_weights))


def drawn(
    q: Diagonal, context: Tensor, noise: Tensor, log_joint, gradient: str = "plain"
) -> Tensor:
    """log w (k, N) of z from q with noise (k, N, N_z), so that autograd through `bound` gives the
    gradient that is asked for. `log_joint` maps z to log p(x, z), (k, N).

    Autograd's gradient of `bound` by z_i is v_i d log w_i / dz_i: the hook multiplies it with the
    second v_i on its way to q.
    """
    z, log_q = q(context, noise)
    if gradient == "doubly":
        fixed = (part.detach() for part in q.moments(context))
        log_q = densities.log_normal(z, *fixed)
    log_weights = log_joint(z) - log_q
    if gradient == "doubly" and z.requires_grad:
        shares = torch.softmax(log_weights.detach(), 0).unsqueeze(-1)
        z.register_hook(lambda slope: shares * slope)
    return log_weights
