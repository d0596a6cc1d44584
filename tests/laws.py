"""Laws that every operator of the physics obeys."""

import torch

from zsdeconv.physics.operators import Operator


def assert_adjoint(operator: Operator, x_shape: tuple[int, ...], y_shape: tuple[int, ...], seed: int = 0) -> None:
    """`<A x, y> == <x, A* y>` for random x and y, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(x_shape, generator=generator, dtype=torch.float64)
    y = torch.randn(y_shape, generator=generator, dtype=torch.float64)
    image = operator(x)
    assert image.shape == y.shape
    left, right = (image * y).sum(), (x * operator.adjoint(y)).sum()
    # Sums of about a thousand products of order one: 1e-10 leaves room for nothing but rounding.
    assert torch.isclose(left, right, rtol=1e-10, atol=1e-10)


def assert_linear(operator: Operator, x_shape: tuple[int, ...], seed: int = 0) -> None:
    """`A(2 x - 3 y) == 2 A x - 3 A y`."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(x_shape, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(operator(2 * x - 3 * y), 2 * operator(x) - 3 * operator(y), rtol=1e-10, atol=1e-10)


def assert_gradient_is_adjoint(operator: Operator, x_shape: tuple[int, ...], seed: int = 0) -> None:
    """The gradient of `<A x, y>` with respect to x is `A* y`: autograd and the explicit adjoint agree."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(x_shape, generator=generator, dtype=torch.float64, requires_grad=True)
    image = operator(x)
    y = torch.randn(image.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((image * y).sum(), x)
    torch.testing.assert_close(gradient, operator.adjoint(y), rtol=1e-10, atol=1e-10)
