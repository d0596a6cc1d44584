"""Eq. 4 to 9 against loops, known polynomials and the stored values of the published code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zsdeconv.training import losses


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def published_operator(psf: np.ndarray, margin: int) -> Callable[[Tensor], Tensor]:
    """Cross-correlation with zeros outside, 2 x 2 mean, crop: what the published code does, one PSF pixel at a time."""

    def apply(x: Tensor) -> Tensor:
        ry, rx = psf.shape[0] // 2, psf.shape[1] // 2
        padded = torch.nn.functional.pad(x, (rx, rx, ry, ry))
        height, width = x.shape[2:]
        blurred = torch.zeros_like(x)
        for i in range(psf.shape[0]):
            for j in range(psf.shape[1]):
                blurred += float(psf[i, j]) * padded[..., i : i + height, j : j + width]
        raw = (blurred[..., ::2, ::2] + blurred[..., 1::2, ::2] + blurred[..., ::2, 1::2] + blurred[..., 1::2, 1::2]) / 4
        return raw[..., margin:-margin, margin:-margin]

    return apply


@pytest.mark.parametrize(("mse", "error"), [(0, "l1"), (1, "l2")])
@pytest.mark.parametrize("weight", [0.0, 0.02])
def test_published_deconvolution_losses_are_reproduced(shared: Path, mse: int, error: losses.Norm, weight: float) -> None:
    stored = np.load(shared / "reference" / "losses.npz")
    target, prediction = (torch.from_numpy(stored[key]).double().movedim(-1, 1) for key in ("t2d", "p2d"))
    operator = published_operator(stored["psf2d"], margin=8)
    # the published 2-D code weighs half of each mean squared second difference
    loss = losses.deconvolution_loss(prediction, target, operator, lambda_hessian=weight / 2, norm=error)
    # stored by a float32 program
    assert float(loss) == pytest.approx(float(stored[f"dec2d_mse{mse}_hess{weight}"]), abs=1e-6)


def volumes(stored: dict[str, np.ndarray], *keys: str) -> list[Tensor]:
    """Stored `b y x z c` as `b c z y x`, in float64."""
    return [torch.from_numpy(stored[key]).double().permute(0, 4, 3, 1, 2) for key in keys]


def published_operator_3d(psf_zyx: np.ndarray) -> Callable[[Tensor], Tensor]:
    """As `published_operator`, for stacks and with margins of 2 slices and 4 raw pixels."""

    def apply(x: Tensor) -> Tensor:
        radius = [n // 2 for n in psf_zyx.shape]
        padded = torch.nn.functional.pad(x, [r for r in reversed(radius) for _ in range(2)])
        blurred = torch.zeros_like(x)
        for k, i, j in np.ndindex(psf_zyx.shape):
            blurred += float(psf_zyx[k, i, j]) * padded[..., k : k + x.shape[2], i : i + x.shape[3], j : j + x.shape[4]]
        raw = (blurred[..., ::2, ::2] + blurred[..., 1::2, ::2] + blurred[..., ::2, 1::2] + blurred[..., 1::2, 1::2]) / 4
        return raw[..., 2:-2, 4:-4, 4:-4]

    return apply


@pytest.mark.parametrize(("mse", "error"), [(0, "l1"), (1, "l2")])
def test_published_losses_of_stacks_are_reproduced(shared: Path, mse: int, error: losses.Norm) -> None:
    """Eq. 8 and 9, each with and without the gap-amending term and the Hessian."""
    stored = np.load(shared / "reference" / "losses.npz")
    denoised, target, gap, fine = volumes(stored, "den3d", "t3d", "gap3d", "p3d")
    amended = losses.SliceGap(gap)
    l_den = losses.denoising_loss(denoised, target, gap=amended, norm=error)
    assert float(l_den) == pytest.approx(float(stored[f"den3d_gar_mse{mse}"]), abs=1e-6)  # stored by a float32 program
    operator = published_operator_3d(stored["psf3d_xyz"].transpose(2, 0, 1))
    for name, used in (("gar", amended), ("plain", None)):
        for weight in (0.0, 0.1):
            l_dec = losses.deconvolution_loss(
                fine, target, operator, lambda_hessian=weight, gap=used, inside=lambda x: x[..., 2:-2, 8:-8, 8:-8], norm=error
            )
            assert float(l_dec) == pytest.approx(float(stored[f"dec3d_{name}_mse{mse}_hess{weight}"]), abs=1e-6)


def test_the_published_hessian_of_stacks_leaves_out_the_margins(shared: Path) -> None:
    """Otherwise `inside` above would be of no account."""
    stored = np.load(shared / "reference" / "losses.npz")
    (fine,) = volumes(stored, "p3d")
    published = (stored["dec3d_plain_mse1_hess0.1"] - stored["dec3d_plain_mse1_hess0.0"]) / 0.1
    assert abs(float(losses.hessian(fine)) - float(published)) > 0.01


def test_no_gradient_passes_through_the_gap() -> None:
    prediction, image = (random(1, 1, 3, 4, 5, seed=seed).requires_grad_() for seed in (0, 2))
    target = random(1, 1, 3, 4, 5, seed=1)
    losses.denoising_loss(prediction, target, gap=losses.SliceGap(image, gamma=0.4)).backward()
    assert image.grad is None
    expected = 2 * ((prediction - target) + 0.4 * (prediction - target - image)) / prediction.numel()
    torch.testing.assert_close(prediction.grad, expected.detach())


def test_convolution_gives_other_values_than_the_published_correlation(shared: Path) -> None:
    """The stored PSF is asymmetric enough to tell the two apart; only the default errs on the side of physics."""
    stored = np.load(shared / "reference" / "losses.npz")
    target, prediction = (torch.from_numpy(stored[key]).double().movedim(-1, 1) for key in ("t2d", "p2d"))
    operator = published_operator(stored["psf2d"][::-1, ::-1], margin=8)
    loss = losses.deconvolution_loss(prediction, target, operator, lambda_hessian=0.0)
    assert abs(float(loss) - float(stored["dec2d_mse1_hess0.0"])) > 1e-4


def test_squared_error_is_the_default() -> None:
    prediction, target = random(2, 1, 5, 7), random(2, 1, 5, 7, seed=1)
    assert float(losses.denoising_loss(prediction, target)) == pytest.approx(np.mean((prediction - target).numpy() ** 2))
    absolute = losses.denoising_loss(prediction, target, norm="l1")
    assert float(absolute) == pytest.approx(np.mean(np.abs((prediction - target).numpy())))


def test_images_on_different_grids_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"prediction \(1, 1, 4, 4\), target \(1, 1, 4, 1\)"):
        losses.fidelity(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 1))  # would broadcast without a word


def _hessian_by_loops(x: np.ndarray) -> float:
    """Second differences of one image, pixel by pixel."""
    total = 0.0
    for a in range(x.ndim):
        for b in range(x.ndim):
            ea, eb = np.eye(x.ndim, dtype=int)[[a, b]]
            squares = []
            for p in np.ndindex(*(np.array(x.shape) - ea - eb).clip(0)):
                q = np.array(p)
                squares.append((x[tuple(q + ea + eb)] - x[tuple(q + ea)] - x[tuple(q + eb)] + x[p]) ** 2)
            total += float(np.mean(squares)) if squares else 0.0
    return total


@pytest.mark.parametrize("shape", [(5, 8), (3, 4, 6), (2, 5, 4), (1, 6, 5)])
def test_hessian_equals_the_loops(shape: tuple[int, ...]) -> None:
    x = random(1, 1, *shape)
    assert float(losses.hessian(x)) == pytest.approx(_hessian_by_loops(x[0, 0].numpy()), rel=1e-12)  # float64 rounding


def test_hessian_of_polynomials() -> None:
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (4, 5, 7)), indexing="ij")
    # second differences of a quadratic are constants: 2a for a u^2, c for c u v; squared, mixed ones twice
    quadratic = 1.5 * x**2 - 0.5 * y**2 + 0.25 * z**2 + 3 * x * y - 2 * x * z + y * z + 7 * x - 4
    expected = 3.0**2 + 1.0**2 + 0.5**2 + 2 * (3.0**2 + 2.0**2 + 1.0**2)
    assert float(losses.hessian(quadratic[None, None])) == pytest.approx(expected)
    assert float(losses.hessian((2 * x - y + 3 * z + 1)[None, None])) == pytest.approx(0)


def test_hessian_does_not_depend_on_the_number_of_images() -> None:
    x = random(1, 1, 6, 9)
    assert float(losses.hessian(x.expand(4, 2, 6, 9))) == pytest.approx(float(losses.hessian(x)))


def test_terms_combine_as_in_eq_4_and_6() -> None:
    fine, y_tilde = random(2, 1, 6, 8), random(2, 1, 3, 4, seed=1)

    def bin_2x2(x: Tensor) -> Tensor:
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    loss = losses.deconvolution_loss(fine, y_tilde, bin_2x2, lambda_hessian=0.3)
    expected = float(((bin_2x2(fine) - y_tilde) ** 2).mean()) + 0.3 * float(losses.hessian(fine))
    assert float(loss) == pytest.approx(expected)
    assert float(losses.two_stage_loss(torch.tensor(2.0), torch.tensor(10.0), mu=0.25)) == pytest.approx(8.0)


def test_gradient_of_the_whole_loss() -> None:
    fine = random(1, 1, 4, 6).requires_grad_()
    target = random(1, 1, 2, 3, seed=1)

    def loss(x: Tensor) -> Tensor:
        return losses.deconvolution_loss(x, target, lambda v: v[..., ::2, ::2], lambda_hessian=0.1)

    assert torch.autograd.gradcheck(loss, (fine,))
