"""The fast path: the few operations in which training spends its time.

Tests hold them against plain counterparts: autograd through nets.py and densities.py, and
torch.optim.Adagrad.

Arrays are (..., rows, columns): with a leading axis of replicas, or without one, which costs less
on a CPU.

The table says how many times longer a step of AEVB takes without each trick alone. Left: MNIST with
500 hidden units and N_z = 20, 2.6 ms. Right: with 100 and N_z = 3, 0.9 ms. Medians of alternating
rounds on one core, AMD EPYC (Zen 5), torch 2.15:

    gradients by hand (learners/), on which oneDNN's products depend       1.9     1.7
    oneDNN's float32 products (product)                                    1.7     1.3
    Adagrad in one pass over memory (adagrad)                              1.3     1.15
    tanh by a sigmoid, its derivative in one pass (tanh)                   1.06    1.02
    one logarithm for 32 pixels, one sigmoid (likelihoods/bernoulli.py)    1.02    1.08
    minibatches gathered as bytes (Rows)                                   1.00    1.01
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..core.lazy import lazy
from ..core.provenance import processor

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")

# multiplications: oneDNN takes 12 us to begin, in which MKL has done a product of this size
SMALL = 500_000

Parameters = dict[str, "Tensor"]


@cache
def _onednn_linear():
    """oneDNN's float32 product, which torch.compile uses and eager torch does not; or None.

    It has no backward pass and is no public name of torch. Where it is missing, or a gradient is
    wanted, torch's own product takes its place. So it does on Intel's processors, for which MKL
    keeps its best kernels. On a Xeon with AVX-512 a step of AEVB on MNIST takes 4.2 ms with MKL and
    5.1 ms with oneDNN; for Zen 5 see the table above.
    """
    if "Intel" in processor() or not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


@cache
def _constant(value: float) -> Tensor:
    """A number as a tensor () on the CPU, which kernels on any device take as an argument."""
    return torch.tensor(value, device="cpu")


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a b + bias: (..., M, K), (..., K, N), (..., 1, N) -> (..., M, N)."""
    wants_gradient = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    small = (
        a.shape[-2] * b.numel() <= SMALL * (len(b) if b.dim() == 3 else 1) and a.shape[-1] <= 200
    )
    if (
        small
        or (onednn_linear := _onednn_linear()) is None
        or wants_gradient
        or a.device.type != "cpu"
        or a.dtype != torch.float32
    ):
        if a.dim() == 2:
            return torch.mm(a, b) if bias is None else torch.addmm(bias, a, b)
        return torch.bmm(a, b) if bias is None else torch.baddbmm(bias, a, b)
    if a.dim() == 2:
        return onednn_linear(a, b.T, None if bias is None else bias[0], "none", [], "")
    products = [product(a[r], b[r], None if bias is None else bias[r]) for r in range(len(a))]
    return products[0].unsqueeze(0) if len(products) == 1 else torch.stack(products)


def tanh(a: Tensor) -> Tensor:
    """tanh a = 2 sigmoid(2 a) - 1, five times faster than torch.tanh on a CPU, to 1e-7.
    Overwrites `a`."""
    if a.is_cuda:
        return a.tanh_()
    return torch.add(_constant(-1.0), a.mul_(2).sigmoid_(), alpha=2)


def tanh_backward(dh: Tensor, h: Tensor) -> Tensor:
    """dh tanh', where h = tanh: tanh' = 1 - h^2, in one pass."""
    return torch.ops.aten.tanh_backward(dh, h)


def adagrad(
    theta: Parameters,
    gradient: Parameters,
    accumulator: Parameters,
    step_size: float | Tensor | None,
    decay: float,
    regularised,
    factors: Parameters | None = None,
) -> None:
    """One Adagrad step of ascent, in place, on named parameters.

    The prior N(0, I) adds (M/N) grad log p(theta) = -decay theta to the gradient of the parameters
    in `regularised`. `accumulator` starts at epsilon, which puts epsilon inside the square root.
    `step_size` is one number, or None to accumulate only (warm-up). For stacked parameters it may
    be (R, 1, 1), and a tensor () on their device where fused_adagrad_takes says so.

    `factors` names parameters theta = f w of which w is trained, and has the prior and the
    accumulator; f is (1, out). The step of theta is f times that of w, as d/dw = f d/dtheta.
    """
    if factors:
        scaled = {name: theta[name] for name in factors if name in theta}
        _plain_adagrad(scaled, gradient, accumulator, step_size, decay, regularised, factors)
        theta = {name: parameter for name, parameter in theta.items() if name not in factors}
    first = next(iter(theta.values()))
    if first.dim() == 2 and first.device.type == "cpu" and first.dtype == torch.float32:
        return _fused_adagrad(theta, gradient, accumulator, step_size or 0.0, decay, regularised)
    if isinstance(step_size, torch.Tensor) and step_size.dim() == 0:
        return _fused_adagrad(theta, gradient, accumulator, step_size, decay, regularised)
    _plain_adagrad(theta, gradient, accumulator, step_size, decay, regularised, {})


def _plain_adagrad(theta, gradient, accumulator, step_size, decay, regularised, factors) -> None:
    """The same as the rule is written."""
    for name, parameter in theta.items():
        f, g = factors.get(name), gradient[name]
        if f is not None:
            g = f * g
        if name in regularised:
            g = g - decay * (parameter if f is None else parameter / f)
        accumulator[name].addcmul_(g, g)
        if step_size is not None:
            step = step_size * g * torch.rsqrt(accumulator[name])
            parameter.add_(step if f is None else f * step)


def _fused_adagrad(theta, gradient, accumulator, rate, decay, regularised) -> None:
    """The same by the kernel of torch.optim.Adagrad(fused=True): one pass over memory instead of
    five, and one launch for all."""
    # The steps are counted for a decaying step size, which this is not: any number will do.
    steps = rate if isinstance(rate, torch.Tensor) else _constant(0.0)
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
    """The rows of x (N, D) for gathering minibatches.

    Grey values are kept as bytes, a quarter of the memory traffic, and scaled once gathered, to the
    same bits. Where `x` is no multiple of 1/scale (dequantised) the floats themselves are kept.
    """

    def __init__(self, x: Tensor, scale: float):
        levels = (x * scale).round_().clamp_(0, 255).to(torch.uint8)
        self.scale = scale
        self.rows = levels if torch.equal(levels.to(x.dtype).div_(scale), x) else x

    def __getitem__(self, index: Tensor) -> Tensor:
        """index (..., M) -> (..., M, D)."""
        rows = torch.index_select(self.rows, 0, index.flatten()).unflatten(0, index.shape)
        return rows if rows.is_floating_point() else rows.to(torch.float32).div_(self.scale)
