"""The fast path: the few operations in which training spends its time. Plain counterparts, which
tests hold these against, are autograd through nets.py and objectives.py, and torch.optim.Adagrad.

Arrays are (..., rows, columns): with a leading axis of replicas, or without one, which costs less
on a CPU.

How much longer a step of AEVB takes without each trick alone, on MNIST with 500 hidden units and
N_z = 20 (2.6 ms) and with 100 and N_z = 3 (0.9 ms); medians of alternating rounds on one core, AMD
EPYC (Zen 5), torch 2.15:

    gradients by hand (learners.py), on which oneDNN's products depend     1.9     1.7
    oneDNN's float32 products (product)                                    1.7     1.3
    Adagrad in one pass over memory (adagrad)                              1.3     1.15
    tanh by a sigmoid, its derivative in one pass (tanh)                   1.06    1.02
    one logarithm for 32 pixels, one sigmoid (_bernoulli)                  1.02    1.08
    minibatches gathered as bytes (Rows)                                   1.00    1.01
"""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..core.provenance import processor

# oneDNN's float32 product, which torch.compile uses and eager torch does not. It has no backward
# pass and is no public name of torch: where it is missing, or a gradient is wanted, torch's own
# product takes its place; and on Intel's processors, for which MKL keeps its best kernels: a step
# of AEVB on MNIST takes 4.2 ms with MKL and 5.1 ms with oneDNN on a Xeon with AVX-512 (Zen 5: the
# table above).
_onednn_linear = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available()
    else None
)
if "Intel" in processor():
    _onednn_linear = None
# multiplications: oneDNN takes 12 us to begin, in which MKL has done a product of this size
SMALL = 500_000
_MINUS_ONE, _ZERO = torch.tensor(-1.0), torch.tensor(0.0)

Parameters = dict[str, Tensor]


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a b + bias: (..., M, K), (..., K, N), (..., 1, N) -> (..., M, N)."""
    wants_gradient = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    small = (
        a.shape[-2] * b.numel() <= SMALL * (len(b) if b.dim() == 3 else 1) and a.shape[-1] <= 200
    )
    if (
        small
        or _onednn_linear is None
        or wants_gradient
        or a.device.type != "cpu"
        or a.dtype != torch.float32
    ):
        if a.dim() == 2:
            return torch.mm(a, b) if bias is None else torch.addmm(bias, a, b)
        return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)
    if a.dim() == 2:
        return _onednn_linear(a, b.T, None if bias is None else bias[0], "none", [], "")
    products = [product(a[r], b[r], None if bias is None else bias[r]) for r in range(len(a))]
    return products[0].unsqueeze(0) if len(products) == 1 else torch.stack(products)


def tanh(a: Tensor) -> Tensor:
    """tanh a = 2 sigmoid(2 a) - 1, five times faster than torch.tanh on a CPU, to 1e-7.
    Overwrites `a`."""
    if a.is_cuda:
        return a.tanh_()
    return torch.add(_MINUS_ONE, a.mul_(2).sigmoid_(), alpha=2)


def tanh_backward(dh: Tensor, h: Tensor) -> Tensor:
    """dh tanh', where h = tanh: tanh' = 1 - h^2, in one pass."""
    return torch.ops.aten.tanh_backward(dh, h)


def log_likelihood(
    x: Tensor, decoded: Tensor, likelihood: str, value: bool = True, gradient: bool = False
) -> Tensor | None:
    """objectives.log_likelihood, (..., D) -> (...), without a graph. With `gradient`, that with
    respect to `decoded` is written over it; else `decoded` is left as it is. Without `value`,
    None."""
    if likelihood == "gaussian":
        return _gaussian(x, decoded, value, gradient)
    return (_bernoulli_in_few_launches if decoded.is_cuda else _bernoulli)(
        x, decoded, value, gradient
    )


def _bernoulli(x: Tensor, a: Tensor, value: bool, gradient: bool) -> Tensor | None:
    """Eq. 11: x a - softplus(a), where softplus(a) = max(a, 0) - log sigmoid(|a|), and its
    derivative x - sigmoid(a).

    sigmoid(|a|) = max(s, 1 - s) lies in [1/2, 1]. Pixels are multiplied in pairs, five times over
    where their number can be halved so often, before the logarithm is taken: at least 2^-32, and
    one logarithm for 32 pixels. One sigmoid serves value and derivative.
    """
    total, s = None, torch.sigmoid(a)
    if value:
        buffer = torch.sub(1, s)
        larger = torch.maximum(s, buffer, out=buffer)
        for _ in range(5):
            half, odd = divmod(larger.shape[-1], 2)
            if odd:
                break
            larger = larger[..., :half] * larger[..., half:]
        total = larger.log().sum(-1)
        positive = torch.clamp_min(a, 0, out=buffer)
        total.sub_(positive.addcmul_(x, a, value=-1).sum(-1))
    if gradient:
        torch.sub(x, s, out=a)
    return total


def _bernoulli_in_few_launches(x: Tensor, a: Tensor, value: bool, gradient: bool) -> Tensor | None:
    """The same for a GPU, where a launch costs more than a logarithm."""
    total = softplus(a, threshold=50).addcmul_(x, a, value=-1).sum(-1).neg_() if value else None
    if gradient:
        torch.sub(x, a.sigmoid_(), out=a)
    return total


def _gaussian(x: Tensor, a: Tensor, value: bool, gradient: bool) -> Tensor | None:
    """Eq. 12 with mean m = sigmoid(logits) and log-variance v: value, and its derivatives (x -
    m) e^-v m (1 - m) with respect to the logits and ((x - m)^2 e^-v - 1) / 2 with respect to v."""
    logits, log_variance = a.chunk(2, dim=-1)
    mean = logits.sigmoid()
    residual = x - mean
    scaled = residual * torch.exp(-log_variance)
    squared = residual.mul_(scaled)
    total = (
        (log_variance + squared).sum(-1).add_(x.shape[-1] * log(2 * pi)).mul_(-0.5)
        if value
        else None
    )
    if gradient:
        torch.sub(squared, 1, out=log_variance).mul_(0.5)
        logits.copy_(torch.ops.aten.sigmoid_backward(scaled, mean))
    return total


def adagrad(
    theta: Parameters,
    gradient: Parameters,
    accumulator: Parameters,
    step_size: float | Tensor | None,
    decay: float,
    regularised,
) -> None:
    """One Adagrad step of ascent, in place, on named parameters.

    The prior N(0, I) adds (M/N) grad log p(theta) = -decay theta to the gradient of the parameters
    in `regularised`. `accumulator` starts at epsilon, which puts epsilon inside the square root;
    `step_size` is one number, or None to accumulate only (warm-up), or for stacked parameters (R,
    1, 1), or a tensor () on their device where fused_adagrad_takes says so.
    """
    first = next(iter(theta.values()))
    if first.dim() == 2 and first.device.type == "cpu" and first.dtype == torch.float32:
        return _fused_adagrad(theta, gradient, accumulator, step_size or 0.0, decay, regularised)
    if isinstance(step_size, Tensor) and step_size.dim() == 0:
        return _fused_adagrad(theta, gradient, accumulator, step_size, decay, regularised)
    for name, parameter in theta.items():
        g = gradient[name] - decay * parameter if name in regularised else gradient[name]
        accumulator[name].addcmul_(g, g)
        if step_size is not None:
            parameter.add_(step_size * g * torch.rsqrt(accumulator[name]))


def _fused_adagrad(theta, gradient, accumulator, rate, decay, regularised) -> None:
    """The same by the kernel of torch.optim.Adagrad(fused=True): one pass over memory instead of
    five, and one launch for all."""
    # The steps are counted for a decaying step size, which this is not: any number will do.
    steps = rate if isinstance(rate, Tensor) else _ZERO
    with_prior = [name for name in theta if name in regularised]
    for names, weight_decay in (
        (with_prior, decay),
        ([name for name in theta if name not in regularised], 0.0),
    ):
        if names:
            tensors = [
                [parameters[name] for name in names]
                for parameters in (theta, gradient, accumulator)
            ]
            torch._fused_adagrad_(
                *tensors,
                [steps] * len(names),
                lr=rate,
                lr_decay=0.0,
                weight_decay=weight_decay,
                eps=0.0,
                maximize=True,
            )


def fused_adagrad_takes(device: torch.device) -> bool:
    """Whether this torch has the fused kernel on `device` with the step size in a tensor, which
    a CUDA graph needs (not torch 2.6)."""
    if not hasattr(torch.ops.aten._fused_adagrad_, "tensor_lr"):
        return False
    return torch._C._dispatch_has_kernel_for_dispatch_key(
        "aten::_fused_adagrad_.tensor_lr", device.type.upper()
    )


class Rows:
    """The rows of x (N, D) for gathering minibatches. Grey values are kept as bytes, a quarter
    of the memory traffic, and scaled once gathered, to the same bits; where `x` is no multiple
    of 1/scale (dequantised) the floats themselves are."""

    def __init__(self, x: Tensor, scale: float):
        levels = (x * scale).round_().clamp_(0, 255).to(torch.uint8)
        self.scale = scale
        self.rows = levels if torch.equal(levels.to(x.dtype).div_(scale), x) else x

    def __getitem__(self, index: Tensor) -> Tensor:
        """index (..., M) -> (..., M, D)."""
        rows = torch.index_select(self.rows, 0, index.flatten()).unflatten(0, index.shape)
        return rows if rows.is_floating_point() else rows.to(torch.float32).div_(self.scale)
