"""How far an image is from the truth: fidelity, resolution and photometry, in numbers that can be compared.

Fidelity (`psnr`, `ssim`) is measured after the best affine fit `a x + b` to the reference, as is usual for images whose
intensity unit is arbitrary; photometry (`flux_slope`, `flux_offset_frac`) is measured without any fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.notation import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from zsdeconv.physics.psf import Psf

FRC_THRESHOLD = 1 / 7
SSIM_WINDOW = 7


def affine_fit(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`a x + b` with the `a`, `b` that minimise `|| a x + b - reference ||^2`; a constant `x` gives the mean.

    >>> affine_fit(np.array([1.0, 2.0]), np.array([10.0, 30.0])).tolist()
    [10.0, 30.0]
    """
    slope, intercept = _regress(x, reference)
    return slope * x + intercept


def psnr(x: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio after the affine fit, dB; the peak is the range of `reference`.

    >>> psnr(np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0, 9.0]))
    inf
    """
    error = float(np.mean((affine_fit(x, reference) - reference) ** 2))
    span = float(np.ptp(reference))
    # Below rounding of the fit itself two images are the same.
    return float("inf") if error <= (1e-14 * span) ** 2 else float(10 * np.log10(span**2 / error))


def ssim(x: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004, 7 x 7 windows) after the affine fit, mean over planes of `... y x`."""
    from skimage.metrics import structural_similarity

    if min(reference.shape[-2:]) < SSIM_WINDOW:
        raise ImageError(f"image of {reference.shape[-2:]} pixels: ssim needs {SSIM_WINDOW} x {SSIM_WINDOW}; give larger images")
    fit, span = affine_fit(x, reference), float(np.ptp(reference))
    planes = zip(_planes(reference), _planes(fit), strict=True)
    return float(np.mean([structural_similarity(r, f, data_range=span, win_size=SSIM_WINDOW) for r, f in planes]))


def frc_curve(x: np.ndarray, reference: np.ndarray, yx_spacing_um: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Fourier ring correlation of images `... y x`: spatial frequency (1/um) and correlation of each ring.

    FRC(k) = Re sum F G* / sqrt(sum |F|^2 sum |G|^2) over the ring, pooled over planes (Saxton & Baumeister 1982), after a Hann window.
    Rings are as wide as the frequency step of the shorter side and end at the Nyquist frequency of the coarser pixel.
    """
    shape = reference.shape[-2:]
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))
    f, g = (np.fft.fft2((p - p.mean((-2, -1), keepdims=True)) * window) for p in (_planes(x), _planes(reference)))
    ky, kx = (np.fft.fftfreq(n, um) for n, um in zip(shape, yx_spacing_um, strict=True))
    step = 1 / min(n * um for n, um in zip(shape, yx_spacing_um, strict=True))
    count = int(0.5 / max(yx_spacing_um) / step) + 1
    ring = np.rint(np.hypot(ky[:, None], kx[None, :]) / step).astype(int).ravel()

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(ring, values.sum(0).ravel(), minlength=count)[:count]

    power = np.sqrt(total(np.abs(f) ** 2) * total(np.abs(g) ** 2))
    curve = np.divide(total((f * g.conj()).real), power, out=np.zeros(count), where=power > 0)
    return np.arange(count) * step, curve


def frc_crossing_um(x: np.ndarray, reference: np.ndarray, yx_spacing_um: tuple[float, float]) -> float:
    """Spatial period (um) at which the Fourier ring correlation, averaged over three rings, first falls under 1/7.

    The smallest period that the pixels hold when it never does; the crossing is interpolated between rings.
    """
    frequency, curve = frc_curve(x, reference, yx_spacing_um)
    smooth = np.convolve(np.pad(curve, 1, mode="edge"), np.ones(3) / 3, "valid")
    # The two innermost rings hold a handful of values each, and the mean that was taken away.
    below = np.flatnonzero(smooth[2:] < FRC_THRESHOLD) + 2
    if not below.size:
        return float(1 / frequency[-1])
    last = int(below[0])
    high, low = smooth[last - 1], smooth[last]
    part = (high - FRC_THRESHOLD) / (high - low) if high > FRC_THRESHOLD else 1.0
    return float(1 / (frequency[last - 1] + part * (frequency[last] - frequency[last - 1])))


def flux(x: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Slope of `x` regressed on `reference`, and intercept as a fraction of its 99.8th percentile: (1, 0) when photometric."""
    slope, intercept = _regress(reference, x)
    top = float(np.percentile(reference, 99.8)) or float(np.ptp(reference))
    return slope, intercept / top


def bin2(x: np.ndarray) -> np.ndarray:
    """Means over 2 x 2 pixels of `... y x` with even sides.

    >>> bin2(np.arange(8.0).reshape(2, 4)).tolist()
    [[2.5, 4.5]]
    """
    *lead, ny, nx = x.shape
    return x.reshape(*lead, ny // 2, 2, nx // 2, 2).mean((-3, -1))


def evaluate(
    prediction: Image | np.ndarray, truth: Image | np.ndarray, *, psf: Psf | None = None, resolution_um: float | None = None
) -> dict[str, Any]:
    """Scores of `prediction` against `truth`.

    - `psnr` (dB), `ssim`: fidelity after the affine fit
    - `soft_psnr`, `soft_ssim`: the same against the truth blurred to a FWHM of `resolution_um` (only when given)
    - `frc_nm`: period where the Fourier ring correlation falls under 1/7; None without a pixel size
    - `flux_slope`, `flux_offset_frac`: regression on the truth without any fit; see `psf`
    - `negative_fraction`: fraction of pixels under zero
    - `binned`: True when the prediction was binned 2 x 2, having twice the pixels of `truth` along Y and X
    - `flux_of`: what was regressed on what, in words

    `psf` makes the photometry that of a deconvolved image: the prediction is blurred by it, then (if its grid is twice
    finer) binned and compared with `truth` as a camera would have seen it; on equal grids both are blurred.

    A PSF of a stack blurs the stacks along Z, Y and X, one of a plane each plane.

    Raises `ImageError` for other shapes, values that are not finite or a constant truth, `OpticsError` for the PSF of a stack
    where there is none.

    >>> x = np.random.default_rng(0).random((32, 32))
    >>> round(evaluate(2 * x, x)["flux_slope"], 6)
    2.0
    """
    fine, reference, spacing_um, fine_um, depth = _common(prediction, truth)
    binned = fine.shape != reference.shape
    x = bin2(fine) if binned else fine
    scores: dict[str, Any] = {"psnr": psnr(x, reference), "ssim": ssim(x, reference)}
    if resolution_um is not None:
        soft = _softened(reference, resolution_um, spacing_um)
        scores |= {"soft_psnr": psnr(x, soft), "soft_ssim": ssim(x, soft)}
    scores["frc_nm"] = None if spacing_um is None else 1e3 * frc_crossing_um(x, reference, spacing_um)
    blurred, seen, words = _for_photometry(fine, reference, binned, psf, fine_um, depth)
    scores["flux_slope"], scores["flux_offset_frac"] = flux(blurred, seen)
    return scores | {"negative_fraction": float(np.mean(x < 0)), "binned": binned, "flux_of": words}


def _regress(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least-squares slope and intercept of `y` on `x`; slope 0 for a constant `x`."""
    dx, dy = x - x.mean(), y - y.mean()
    power = float(np.vdot(dx, dx))
    slope = float(np.vdot(dx, dy)) / power if power > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _planes(x: np.ndarray) -> np.ndarray:
    """Images `... y x` as `n y x`."""
    return x.reshape(-1, *x.shape[-2:])


Spacing = tuple[float, float]


def _common(
    prediction: Image | np.ndarray, truth: Image | np.ndarray
) -> tuple[np.ndarray, np.ndarray, Spacing | None, Spacing | None, int]:
    """Both images as float64 `n y x`, with the pixel sizes (y, x) of the truth and of the prediction in um, and planes per stack."""
    first, second = (_as_image(image).transposed("TCZYX") for image in (prediction, truth))
    x, reference = (np.asarray(image.data, np.float64) for image in (first, second))
    ratio = 2 if x.shape[-1] == 2 * reference.shape[-1] else 1
    if x.shape != (*reference.shape[:-2], *(ratio * n for n in reference.shape[-2:])):
        met = f"prediction {_words(first)}, truth {_words(second)}"
        raise ImageError(f"{met}: the grids must be equal, or the prediction's twice finer along Y and X; evaluate against another file")
    for name, values in (("prediction", x), ("truth", reference)):
        if bad := int(np.size(values) - np.count_nonzero(np.isfinite(values))):
            raise ImageError(f"{name}: {bad} of {values.size} pixels are NaN or infinite, none may be; restore or export it again")
    if np.ptp(reference) == 0:
        raise ImageError(f"truth: every pixel is {reference.flat[0]:g}, a constant image has no scale to compare with; give another file")
    fine_um, spacing_um = _yx_um(first), _yx_um(second)
    if spacing_um is None and fine_um is not None:
        spacing_um = (fine_um[0] * ratio, fine_um[1] * ratio)
    if fine_um is None and spacing_um is not None:
        fine_um = (spacing_um[0] / ratio, spacing_um[1] / ratio)
    return _planes(x), _planes(reference), spacing_um, fine_um, reference.shape[-3]


def _as_image(image: Image | np.ndarray) -> Image:
    """Arrays are taken as (t) (c) (z) y x."""
    return image if isinstance(image, Image) else Image(np.asarray(image), "TCZYX"[-np.ndim(image) :])


def _words(image: Image) -> str:
    return " x ".join(f"{n} {a}" for a, n in image.sizes.items() if n > 1 or a in "YX")


def _yx_um(image: Image) -> Spacing | None:
    y_um, x_um = (image.spacing_um.get(a) for a in "YX")
    return None if y_um is None or x_um is None else (y_um, x_um)


def _softened(reference: np.ndarray, resolution_um: float, spacing_um: Spacing | None) -> np.ndarray:
    """The truth blurred to a Gaussian of FWHM `resolution_um`."""
    from scipy.ndimage import gaussian_filter

    if spacing_um is None:
        raise ImageError(f"resolution {resolution_um} um: the images have no pixel size to measure it with; give --pixel-um")
    return gaussian_filter(reference, [0, *(resolution_um / FWHM_PER_SIGMA / um for um in spacing_um)])


def _for_photometry(
    fine: np.ndarray, reference: np.ndarray, binned: bool, psf: Psf | None, fine_um: Spacing | None, depth: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """The two images to regress, and what they are."""
    if psf is None:
        return (bin2(fine), reference, "prediction binned 2 x 2, on truth") if binned else (fine, reference, "prediction, on truth")
    if depth == 1:
        psf.require_rank(2)
    kernel = _sampled(psf, fine_um)
    fine, reference = (x.reshape(-1, *(depth,) * (kernel.ndim - 2), *x.shape[-2:]) for x in (fine, reference))
    margin = [min(k // 2, n // 4) for k, n in zip(kernel.shape, fine.shape[1:], strict=True)]
    # What lies outside the field is unknown, so a rim of half a PSF is not compared; an even rim keeps the binning in step.
    rim = [m + m % 2 for m in margin]
    blurred = _convolve(fine, kernel)
    if binned:
        half = [*rim[:-2], *(m // 2 for m in rim[-2:])]
        return _inner(bin2(blurred), half), _inner(reference, half), "prediction blurred by the PSF and binned 2 x 2, on truth"
    return _inner(blurred, rim), _inner(_convolve(reference, kernel), rim), "prediction on truth, both blurred by the PSF"


def _sampled(psf: Psf, yx_um: Spacing | None) -> np.ndarray:
    """The PSF at the pixel size of an image, where that is known."""
    if yx_um is None or np.allclose(yx_um, psf.spacing_um[-2:], rtol=1e-3):
        return psf.values
    return psf.resampled((*psf.spacing_um[:-2], *yx_um)).values


def _convolve(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.signal import fftconvolve

    return fftconvolve(images, kernel[None], mode="same", axes=tuple(range(1, images.ndim)))


def _inner(images: np.ndarray, rim: list[int]) -> np.ndarray:
    """Without `rim` pixels at each border."""
    return images[(slice(None), *(slice(m, n - m) for m, n in zip(rim, images.shape[1:], strict=True)))]
