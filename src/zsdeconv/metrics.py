"""Scores of an image against the truth: fidelity, resolution and photometry.

Fidelity (`psnr`, `ssim`) is measured after the best affine fit `a x + b` to the reference, as is usual for images whose
intensity unit is arbitrary; photometry (`flux_slope`, `flux_offset_frac`) is measured without a fit.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image import Image, ImageLike, labels_of
from zsdeconv.io import read
from zsdeconv.notation import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from zsdeconv.physics.psf import Psf

FRC_THRESHOLD = 1 / 7
"""Fourier ring correlation at the resolution. Law: the 1/7 criterion (Nieuwenhuizen et al., Nat. Methods 10, 557, 2013)."""
SSIM_WINDOW_PX = 7
"""Side of the windows of the structural similarity. Chosen: the default of scikit-image."""
FLUX_PERCENTILE = 99.8
"""Percentile of the reference that is the unit of the flux offset. Chosen: the bright structures, without single hot pixels."""


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
    """Structural similarity (7 x 7 windows) after the affine fit, mean over the planes of `... y x`.

    Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Process. 13, 600 (2004).
    """
    from skimage.metrics import structural_similarity

    if min(reference.shape[-2:]) < SSIM_WINDOW_PX:
        raise ImageError(f"image of {reference.shape[-2:]} pixels: ssim needs {SSIM_WINDOW_PX} x {SSIM_WINDOW_PX}; give larger images")
    fit, span = affine_fit(x, reference), float(np.ptp(reference))
    planes = zip(_planes(reference), _planes(fit), strict=True)
    return float(np.mean([structural_similarity(r, f, data_range=span, win_size=SSIM_WINDOW_PX) for r, f in planes]))


def frc_curve(x: np.ndarray, reference: np.ndarray, yx_spacing_um: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Fourier ring correlation of images `... y x`: spatial frequency (1/um) and correlation of each ring.

    FRC(k) = Re sum F G* / sqrt(sum |F|^2 sum |G|^2) over the ring, pooled over planes, after a Hann window (Saxton and Baumeister,
    J. Microsc. 127, 127, 1982). Rings are as wide as the frequency step of the shorter side and end at the Nyquist frequency of
    the larger pixel.
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
    """Spatial period (um) at which the Fourier ring correlation, averaged over three rings, first falls below 1/7.

    The crossing is interpolated between rings; without a crossing the result is the smallest period that the pixels sample.
    """
    frequency, curve = frc_curve(x, reference, yx_spacing_um)
    smooth = np.convolve(np.pad(curve, 1, mode="edge"), np.ones(3) / 3, "valid")
    # the two innermost rings hold few values, and lack the mean, which was subtracted
    below = np.flatnonzero(smooth[2:] < FRC_THRESHOLD) + 2
    if not below.size:
        return float(1 / frequency[-1])
    last = int(below[0])
    high, low = smooth[last - 1], smooth[last]
    part = (high - FRC_THRESHOLD) / (high - low) if high > FRC_THRESHOLD else 1.0
    return float(1 / (frequency[last - 1] + part * (frequency[last] - frequency[last - 1])))


def flux(x: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Slope of the regression of `x` on `reference`, and intercept relative to its 99.8th percentile: (1, 0) when photometric."""
    slope, intercept = _regress(reference, x)
    top = float(np.percentile(reference, FLUX_PERCENTILE)) or float(np.ptp(reference))
    return slope, intercept / top


def bin2(x: np.ndarray) -> np.ndarray:
    """Means over 2 x 2 pixels of `... y x` with even sides.

    >>> bin2(np.arange(8.0).reshape(2, 4)).tolist()
    [[2.5, 4.5]]
    """
    *lead, ny, nx = x.shape
    return x.reshape(*lead, ny // 2, 2, nx // 2, 2).mean((-3, -1))


def evaluate(prediction: ImageLike, truth: ImageLike, *, psf: Psf | None = None, resolution_um: float | None = None) -> dict[str, Any]:
    """Scores of `prediction` against `truth`.

    Parameters
    ----------
    prediction
        A restored image, its path or an array, on the grid of `truth`, or with twice the pixels along Y and X.
    truth
        The object, or the noise-free image for photometry with `psf`.
    psf
        PSF for the photometry of a deconvolved image: the prediction is blurred by it, binned if its grid is twice finer, and compared with
        `truth` as a camera image; on equal grids both are blurred. A PSF of rank 3 blurs stacks, one of rank 2 each plane.
    resolution_um
        FWHM to which the truth is blurred for `soft_psnr` and `soft_ssim`.

    Returns
    -------
    dict
        - `psnr` (dB), `ssim`: fidelity after the affine fit
        - `soft_psnr`, `soft_ssim`: the same against the blurred truth, only with `resolution_um`
        - `frc_nm`: period at which the Fourier ring correlation falls below 1/7; None without a pixel size
        - `flux_slope`, `flux_offset_frac`: regression on the truth without a fit
        - `negative_fraction`: fraction of negative pixels
        - `binned`: whether the prediction was binned 2 x 2
        - `flux_of`: the images of the regression, in words

    Raises
    ------
    ImageError
        For other shapes, values that are not finite, or a constant truth.
    OpticsError
        For a PSF of rank 3 and images without depth.

    Examples
    --------
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
    blurred, target, words = _for_photometry(fine, reference, binned, psf, fine_um, depth)
    scores["flux_slope"], scores["flux_offset_frac"] = flux(blurred, target)
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
"""Pixel size along y and x, um."""


def _common(prediction: ImageLike, truth: ImageLike) -> tuple[np.ndarray, np.ndarray, Spacing | None, Spacing | None, int]:
    """Both images as float64 `n y x`, with the pixel sizes (y, x) of the truth and of the prediction in um, and planes per stack."""
    first, second = (_as_image(image).transposed("TCZYX") for image in (prediction, truth))
    x, reference = (np.asarray(image.data, np.float64) for image in (first, second))
    ratio = 2 if x.shape[-1] == 2 * reference.shape[-1] else 1
    if x.shape != (*reference.shape[:-2], *(ratio * n for n in reference.shape[-2:])):
        sizes = f"prediction {_words(first)}, truth {_words(second)}"
        raise ImageError(f"{sizes}: the grids must be equal, or the prediction's twice finer along Y and X; evaluate against another file")
    for name, values, image in (("prediction", x, first), ("truth", reference, second)):
        if bad := int(np.size(values) - np.count_nonzero(np.isfinite(values))):
            corners = "compare skewed images, or rows that all planes have seen" if image.metadata.get("deskewed") else ""
            advice = corners or "restore or export it again"
            raise ImageError(f"{name}: {bad} of {values.size} pixels are NaN or infinite, none may be; {advice}")
    if np.ptp(reference) == 0:
        raise ImageError(f"truth: every pixel is {reference.flat[0]:g}, a constant image has no scale to compare with; give another file")
    fine_um, spacing_um = _yx_um(first), _yx_um(second)
    if spacing_um is None and fine_um is not None:
        spacing_um = (fine_um[0] * ratio, fine_um[1] * ratio)
    if fine_um is None and spacing_um is not None:
        fine_um = (spacing_um[0] / ratio, spacing_um[1] / ratio)
    return _planes(x), _planes(reference), spacing_um, fine_um, reference.shape[-3]


def _as_image(image: ImageLike) -> Image:
    """`image` itself, that in a file, or an array with names of its dimensions or the axes (t) (c) (z) y x as an image."""
    if isinstance(image, Image):
        return image
    if isinstance(image, str | os.PathLike):
        return read(image)
    return Image(image, None if labels_of(image) else "TCZYX"[-np.ndim(image) :])


def _words(image: Image) -> str:
    return " x ".join(f"{n} {a}" for a, n in image.sizes.items() if n > 1 or a in "YX")


def _yx_um(image: Image) -> Spacing | None:
    y_um, x_um = (image.spacing_um.get(a) for a in "YX")
    return None if y_um is None or x_um is None else (y_um, x_um)


def _softened(reference: np.ndarray, resolution_um: float, spacing_um: Spacing | None) -> np.ndarray:
    """The truth blurred to a Gaussian of FWHM `resolution_um`."""
    from scipy.ndimage import gaussian_filter

    if spacing_um is None:
        raise ImageError(f"resolution {resolution_um} um: the images have no pixel size to compare it with; give pixel_um")
    return gaussian_filter(reference, [0, *(resolution_um / FWHM_PER_SIGMA / um for um in spacing_um)])


def _for_photometry(
    fine: np.ndarray, reference: np.ndarray, binned: bool, psf: Psf | None, fine_um: Spacing | None, depth: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """The two images of the regression, and their description.

    `fine` is the prediction, `reference` the truth (both n y x), `binned` whether the former is twice finer, `fine_um` its pixel
    size, `depth` the number of planes of a stack.
    """
    if psf is None:
        return (bin2(fine), reference, "prediction binned 2 x 2, on truth") if binned else (fine, reference, "prediction, on truth")
    if depth == 1:
        psf.require_rank(2)
    kernel = _sampled(psf, fine_um)
    fine, reference = (x.reshape(-1, *(depth,) * (kernel.ndim - 2), *x.shape[-2:]) for x in (fine, reference))
    margin = [min(k // 2, n // 4) for k, n in zip(kernel.shape, fine.shape[1:], strict=True)]
    # the object outside the field is unknown, so a border of half a PSF is left out; an even one keeps the 2 x 2 blocks in place
    border = [m + m % 2 for m in margin]
    blurred = _convolve(fine, kernel)
    if binned:
        half = [*border[:-2], *(m // 2 for m in border[-2:])]
        return _inner(bin2(blurred), half), _inner(reference, half), "prediction blurred by the PSF and binned 2 x 2, on truth"
    return _inner(blurred, border), _inner(_convolve(reference, kernel), border), "prediction on truth, both blurred by the PSF"


def _sampled(psf: Psf, yx_um: Spacing | None) -> np.ndarray:
    """The PSF at the pixel size of an image, unchanged where that is unknown."""
    if yx_um is None or np.allclose(yx_um, psf.spacing_um[-2:], rtol=1e-3):
        return psf.values
    return psf.resampled((*psf.spacing_um[:-2], *yx_um)).values


def _convolve(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.signal import fftconvolve

    return fftconvolve(images, kernel[None], mode="same", axes=tuple(range(1, images.ndim)))


def _inner(images: np.ndarray, border: list[int]) -> np.ndarray:
    """`images` without `border` pixels on each side of each axis."""
    return images[(slice(None), *(slice(m, n - m) for m, n in zip(border, images.shape[1:], strict=True)))]
