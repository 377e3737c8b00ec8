"""Super-resolution: log p(mean of each block of pixels | z), and what it tells of the pixels.

Given z the pixels of a block are independent, so that their mean has a distribution in closed form:
of Gaussian pixels a Gaussian; of n binary pixels, of which c are white, the Poisson binomial

    p(c|z) = e_c(w) / prod (1 + w_d),    w_d = m_d / (1 - m_d)

with e_c, the sum over all ways to choose c of n pixels of the product of their w (Chen and Liu
1997, Statistica Sinica 7:875-892, section 2).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...models import densities
from ...models.likelihoods import LIKELIHOODS
from .observed import View

NARROW = 64  # pixels of a block, up to which 2^-n is no small float32


def blocks_of(shape: tuple[int, int], k: int) -> View:
    """The means of the blocks of k x k pixels of images of `shape`, whose sides k divides."""
    rows, columns = shape
    at = np.arange(rows * columns).reshape(rows // k, k, columns // k, k)
    return View(at.swapaxes(1, 2).reshape(-1, k * k))


def spread(y: Tensor, view: View) -> Tensor:
    """Images (N, D) whose pixels all have the mean of their block, y (N, B)."""
    x = y.new_empty(len(y), view.index.size)
    x[:, view.index] = y.unsqueeze(-1).expand(-1, -1, view.index.shape[1])
    return x


def log_density(view: View, likelihood: str, y: Tensor, decoded: Tensor) -> Tensor:
    """log p(y|z) of block means y (..., B): decoded (..., outputs * D) -> (...).

    Gaussian: mean of n means, variance sum of variances / n^2. Bernoulli: see above.
    """
    n = view.index.shape[1]
    if likelihood == "bernoulli":
        a = decoded[..., view.index]
        value = log_symmetric(a, (y * n).round().long())
        return (value - functional.softplus(a, threshold=50).sum(-1)).sum(-1)
    logits, log_variance = decoded.chunk(2, dim=-1)
    variance = view(log_variance.exp()) / n
    return densities.log_normal(y, view(logits.sigmoid()), variance.log())


def log_symmetric(a: Tensor, c: Tensor) -> Tensor:
    """log e_c(exp a) of a (..., n), c (...): differentiable, its gradient is p(white | c) of each
    pixel.

    a is shifted by s, between its c-th and next largest element. Then e_c is c s, plus log
    normalisers, plus the log probability that c of n coins are white whose c likeliest are above
    1/2 and the others below: at least 2^-n, so that nothing underflows.
    """
    n = a.shape[-1]
    c = c.expand(a.shape[:-1])
    total = torch.where(c == n, a.sum(-1), 0.0).flatten()
    some = ((c > 0) & (c < n)).flatten().nonzero()[:, 0]
    b, count = a.reshape(-1, n).index_select(0, some), c.reshape(-1, 1)[some]
    if n > NARROW:
        b = b.double()
    order = b.detach().sort(-1, descending=True).values
    s = (order.gather(-1, count - 1) + order.gather(-1, count)) / 2
    white = torch.sigmoid(b - s).T
    chance = white.new_ones(1, len(b))  # of 0, 1, ... white pixels, of those so far
    for p in white:
        none = functional.pad(chance * (1 - p), (0, 0, 0, 1))
        chance = none + functional.pad(chance * p, (0, 0, 1, 0))
    value = chance.gather(0, count.T)[0].log() + (count * s)[:, 0]
    value = value + functional.softplus(b - s).sum(-1)
    return total.index_copy(0, some, value.to(a.dtype)).view(a.shape[:-1])


def sharpened(view: View, likelihood: str, decoded: np.ndarray, y: np.ndarray) -> np.ndarray:
    """E[x | z, y] (..., D), of the decoder's output at z (..., outputs * D) and y (..., B).

    Gaussian: m_d + n v_d / sum v (y - mean of m), by conditioning on the mean (Bishop 2006, eq.
    2.81). Bernoulli: p(white | c), the gradient of log e_c.
    """
    n, index = view.index.shape[1], view.index
    found = LIKELIHOODS[likelihood].mean(decoded)
    if likelihood == "bernoulli":
        with torch.enable_grad():
            a = torch.from_numpy(decoded[..., index]).requires_grad_()
            counts = torch.from_numpy(np.rint(n * y)).long()
            (white,) = torch.autograd.grad(log_symmetric(a, counts).sum(), a)
        found[..., index] = white.numpy()
        return found
    variance = np.exp(np.split(decoded, 2, -1)[1])
    share = variance[..., index] / variance[..., index].sum(-1, keepdims=True)
    found[..., index] += n * share * (y - view(found))[..., None]
    return found
