"""The operations of the fast path against their plain counterparts."""

import pytest
import torch

from aevb.models import kernels

DTYPES = {
    torch.float32: {"rtol": 2e-6, "atol": 1e-4},
    torch.float64: {"rtol": 1e-12, "atol": 1e-10},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("replicas", [(), (1,), (3,)])
@pytest.mark.parametrize("biased", [True, False])
def test_product(dtype, replicas, biased):
    a, b, bias = (
        torch.randn(*replicas, *shape, dtype=dtype) for shape in ((50, 30), (30, 20), (1, 20))
    )
    expected = a.double() @ b.double() + (bias.double() if biased else 0)
    for left, right in ((a, b), (a.mT.contiguous().mT, b.mT.contiguous().mT)):  # in either layout
        got = kernels.product(left, right, bias if biased else None)
        torch.testing.assert_close(got.double(), expected, **DTYPES[dtype])


def test_product_passes_gradients_on():
    a, b = torch.randn(4, 3, requires_grad=True), torch.randn(3, 2)
    kernels.product(a, b).sum().backward()
    torch.testing.assert_close(a.grad, b.sum(1).expand(4, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_and_its_derivative(dtype):
    a = torch.linspace(-20, 20, 1001, dtype=torch.float64)
    h = kernels.tanh(a.to(dtype, copy=True))
    torch.testing.assert_close(
        h.double(), a.tanh(), rtol=0, atol=3e-7 if dtype == torch.float32 else 1e-14
    )
    torch.testing.assert_close(kernels.tanh_backward(torch.full_like(h, 2), h), 2 * (1 - h * h))


@pytest.mark.parametrize("scale", [255.0, 256.0, 16.0])
def test_rows_of_bytes_are_the_same_bits(scale):
    levels = torch.randint(0, 17 if scale == 16 else 256, (40, 6)).to(torch.uint8)
    x = levels.float().div_(scale)
    rows, index = kernels.Rows(x, scale), torch.randint(0, 40, (3, 10))
    assert rows.rows.dtype == torch.uint8
    assert torch.equal(rows[index], x[index])
    dequantised = x + torch.rand(40, 6) / scale
    assert kernels.Rows(dequantised, scale).rows is dequantised
    assert torch.equal(kernels.Rows(dequantised, scale)[index[0]], dequantised[index[0]])


@pytest.mark.parametrize("prior", ["weights", "all", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stacked", [True, False])  # one replica in float32 takes the fused kernel
def test_adagrad_is_torchs_with_epsilon_inside_the_root(prior, dtype, stacked):
    generator = torch.Generator().manual_seed(0)
    decay, epsilon, steps = 0.05, 1e-8, [0.02, 0.1]
    regularised = {"weights": ["w"], "all": ["w", "b"], "none": []}[prior]
    theta = {
        "w": torch.randn(2, 4, 3, generator=generator).to(dtype),
        "b": torch.randn(2, 1, 3, generator=generator).to(dtype),
    }
    reference = {
        name: [torch.nn.Parameter(row.double()) for row in value] for name, value in theta.items()
    }
    # an initial accumulator of epsilon and eps=0 are what epsilon inside the square root means
    optimizers = [
        torch.optim.Adagrad(
            [reference["w"][r], reference["b"][r]],
            lr=lr,
            eps=0.0,
            initial_accumulator_value=epsilon,
            maximize=True,
        )
        for r, lr in enumerate(steps)
    ]
    accumulator = {name: torch.full_like(value, epsilon) for name, value in theta.items()}
    for _ in range(5):
        gradient = {
            name: torch.randn(value.shape, generator=generator).to(dtype)
            for name, value in theta.items()
        }
        for name, rows in reference.items():
            for r, row in enumerate(rows):
                row.grad = gradient[name][r].double() - (
                    decay * row.detach() if name in regularised else 0
                )
        for optimizer in optimizers:
            optimizer.step()
        if stacked:
            kernels.adagrad(
                theta, gradient, accumulator, torch.tensor(steps).view(2, 1, 1), decay, regularised
            )
        for r, step_size in enumerate([] if stacked else steps):
            alone = (
                {name: value[r] for name, value in parts.items()}
                for parts in (theta, gradient, accumulator)
            )
            kernels.adagrad(*alone, step_size, decay, regularised)
    for name, rows in reference.items():
        torch.testing.assert_close(
            theta[name].double(), torch.stack(list(rows)).detach(), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_warm_up_accumulates_without_moving(dtype):
    theta, accumulator = (
        {"w": torch.ones(1, 4, dtype=dtype)},
        {"w": torch.full((1, 4), 1e-8, dtype=dtype)},
    )
    kernels.adagrad(theta, {"w": torch.full((1, 4), 2.0, dtype=dtype)}, accumulator, None, 0.5, [])
    assert torch.equal(theta["w"], torch.ones(1, 4, dtype=dtype))
    torch.testing.assert_close(accumulator["w"], torch.full((1, 4), 4 + 1e-8, dtype=dtype))
