"""What the denoised image still has of the noise, and what texture the network adds where there is nothing to see.

A network that was told a wrong law of the noise keeps noise: it finds the same isolated bright pixels in both images of a pair. No lens
makes those, so the re-blurred deconvolved image `D H x` lacks them. What the denoised image has beyond it is compared, pixel by pixel, with
what the data have beyond it, and the same is done with a simulated recording of `D H x`, whose noise follows the law exactly. What both
have is the price of any filter; what only the data have is noise that the law does not describe.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.findings import Finding, Level
from zsdeconv.report.interfaces import ModelLike
from zsdeconv.report.page.style import show_plane
from zsdeconv.report.section import CaptionedFigure, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "noise_left"
TITLE = "Noise left"
QUESTION = "Is the denoised image free of noise and of added texture?"
NUMBERS = (
    "skewness",
    "skewness_expected",
    "noise_kept",
    "noise_kept_expected",
    "noise_kept_share",
    "noise_kept_share_expected",
    "axis_power",
    "axis_power_expected",
)

EXAMINED_PX = 2**16
"""Pixels in the middle of the image that are restored again. Chosen: a correlation is known to 0.004 then."""
PASSES = 2
"""Passes of both restorations. Chosen: the statistic is compared between two that have equally many."""
BLOCKS = 8
"""Blocks along y and x from which standard errors are taken. Chosen: 64 of them give a standard error to 9 %."""
MAX_KEPT_SHARE = 0.005
"""Part of the noise of a pixel that is kept in it, beyond that of a simulated recording, up to which the level is ok. Measured: 0.0024 in
an image of an electron multiplier after a whole training under the right law, where nobody sees it, and 0.025 of it under a camera's; 0.014
where a filter lets those pixels pass that stand out by five standard deviations."""
MAX_KEPT_RATIO = 1.75
"""The same over that of the simulated recording, which any filter keeps; the limit is their sum. Measured (benchmarks/findings.py): 1.2 to
1.75 in four good restorations, as the data have some detail of bright structures that the deconvolved image has not."""
TAIL_SD = 3.0
"""Standard deviations from which noise is in the tails. Chosen: some tens of pixels are in each of a small image."""
MAX_HIDDEN_SHARE = 0.03
"""Noise kept that may hide below the limit. Measured (benchmarks/findings.py): with 0.05 of it remembered, 3 of 20 images were good, all
of them images of 10 photons whose limit was as high."""
MAX_ASYMMETRY = 0.03
"""Difference of the parts of the noise that are kept of its bright and its dark tail, beyond that of a simulated recording, from which
bright dots are kept; larger where more is kept of all noise. Measured: 0.01 and 0.02 where a network knew the noise of 96 x 96 pixels by
heart, of which it kept 0.08 and 0.02; good restorations have 0.06, and their simulated recordings 0.05."""
MAX_REMEMBERED = 0.1
"""Part of the noise of a pixel that is kept in it, bright or dark, up to which the level is a warning. Chosen: a tenth is seen at once."""
MAX_SKEWNESS = 0.25
"""Difference of the skewness of the residual from that of the law, relative to the larger of it and 1, up to which the level is ok. Law:
half of what a camera and an electron multiplier of one variance differ by."""
SHAPE_DRAWS = 16
"""Images of noise drawn from the law for its skewness. Chosen: their spread is known to 18 %."""
MIN_SHAPE_PX = 1000
"""Pixels that the shape of the noise is judged from. Chosen: their skewness is known to 0.1 where it is small."""
MIN_SIGMAS = 4.0
"""Standard errors by which a statistic must differ to count. Chosen: the normal distribution exceeds them once in 16 000 images."""
PATCH_PX = 32
"""Side of the patches whose spectra are compared. Chosen: 16 frequencies along each axis."""
MIN_PATCHES = 6
"""Dark patches that the texture needs. Chosen: the mean spectrum of fewer varies by half."""
DARK_SHARE = 0.25
"""Share of the patches, the darkest ones, in which texture is looked for. Chosen: most images have nothing to see in as many."""
SECTOR_DEG = 15.0
"""Half width of the sectors about the axes and the diagonals. Chosen: a third of the plane each."""
MAX_AXIS_POWER = 4.0
"""Power along the axes over that along the diagonals up to which the level is ok. Measured: 0.7 to 2 in good restorations, 11 to 24 where
a network had learned for too short a time and shows a tartan."""


WEAVE_FRACTION, WEAVE_PERIOD_PX = 0.05, 8
"""Amplitude of a weave that must be seen, relative to bright places (the 99th percentile), and its period. Chosen: as strong as noise that
is seen at once; measured (benchmarks/findings.py), structure in the darkest patches hid it in 7 of 12 images."""


@dataclass(frozen=True, eq=False)
class NoiseLeft:
    """Statistics of the data, and those that a recording under the law would give.

    `skewness` of the residual where the shape of the noise is known (None where it is in too few pixels), that of noise drawn from the law
    with its standard deviation over the draws, and `excess`, the variance of the residual over that of noise, as structure left in it,
    which has no skewness of its own, lowers that of the whole by `excess^1.5`; `kept`: correlation of the denoised image with the data,
    both minus `D H x` and minus the median over 3 x 3 pixels of what remains, and the slope of their regression, as expected with its
    standard error, and `kept_tails` its slopes over the bright and the dark tail of the noise alone, minus those of the recording;
    `axis_power`: power along the axes over that along the diagonals in the darkest patches of the denoised image, and the
    same of the data without their noise (0 where they have none; None where there are too few patches); `weave_power` is the power along
    the axes of a weave of `WEAVE_FRACTION` over that along the diagonals: where it is low, structure would hide it. `detail` is the central
    plane of the denoised image minus its median, with pixels of `yx_spacing_um`.
    """

    skewness: float | None
    skewness_expected: tuple[float, float]
    excess: float
    kept: tuple[float, float]
    kept_expected: tuple[float, float, float]
    kept_tails: tuple[float, float]
    axis_power: float | None
    axis_power_expected: float | None
    detail: np.ndarray
    yx_spacing_um: tuple[float, float]
    weave_power: float = math.inf


def measure(model: ModelLike, measurement: Measurement, denoised: np.ndarray, seed: int) -> NoiseLeft:
    """The statistics of a measurement, of which `denoised` is the restoration (`*zyx`, the network's unit).

    The middle of it is restored again, and so is a recording simulated from that restoration, by the law that the training used.
    """
    part, acquisition, dark = measurement.center_crop(EXAMINED_PX), model.acquisition, model.intensity_correction.dark_level

    def restored(y: Tensor) -> tuple[Tensor, Tensor, tuple[float, ...]]:
        """The denoised image, `D H x`, and the noise kept."""
        prediction = model.predict_measurement(part.with_light(y - part.y), passes=PASSES)
        reblurred = acquisition.forward_operator(prediction.deconvolved[None, None])[0, 0]
        own, noise = (_detail((image - reblurred).cpu().numpy()) for image in (prediction.denoised, y))
        return prediction.denoised, reblurred, (_correlation(own, noise), *_blockwise(_slope, own, noise), *_tails(own, noise))

    *images, kept = restored(part.y)
    mean = (acquisition.light.explained(*images) + dark).clip(min=0)
    reference = part.noise_reference(mean, seed)
    draws = list(reference.draws(SHAPE_DRAWS, seed + 1))
    *kept_expected, bright, dim = restored(mean + reference.sigma * draws[0])[2]
    known = reference.shape_known
    z, *drawn = (noise[known].cpu().numpy() for noise in ((part.y - mean) / reference.sigma, *draws))
    enough = len(z) >= MIN_SHAPE_PX
    expected = [_skewness(noise) for noise in drawn] if enough else [0.0]
    plane = denoised.reshape(-1, *denoised.shape[-2:])
    noise = (measurement.y.cpu().numpy() - denoised).reshape(plane.shape)
    powers = _axis_powers(plane, noise)
    return NoiseLeft(
        _skewness(z) if enough else None,
        (float(np.mean(expected)), float(np.std(expected))),
        float(np.var(z) / np.mean([np.var(noise) for noise in drawn])) if enough else 1.0,
        (kept[0], kept[1]),
        (kept_expected[0], kept_expected[1], kept_expected[2]),
        (kept[3] - bright, kept[4] - dim),
        *powers,
        detail=_detail(plane[len(plane) // 2]),
        yx_spacing_um=(acquisition.scale * acquisition.psf.spacing_um[-2], acquisition.scale * acquisition.psf.spacing_um[-1]),
        weave_power=_weave_power(plane),
    )


def section(result: NoiseLeft) -> Section:
    """Shape of the noise, noise kept, and texture, with their limits, and the fine detail of the denoised image."""
    shape = (None, None) if result.skewness is None else (result.skewness, result.skewness_expected[0])
    kept = (number for pair in zip(result.kept, result.kept_expected, strict=False) for number in pair)
    values = (*shape, *kept, result.axis_power, result.axis_power_expected)
    caption = (
        "The finest detail of the denoised image (it minus its median over 3 x 3 pixels): isolated bright pixels are noise, a weave along "
        "rows and columns is made by the network."
    )
    figures = [CaptionedFigure(caption, lambda figure: _draw(figure, result), (5.2, 4.4))]
    findings = [_shape(result), _kept(result), _texture(result)]
    return Section(KEY, TITLE, QUESTION, findings, dict(zip(NUMBERS, values, strict=True)), figures)


def _shape(result: NoiseLeft) -> Finding:
    name, skewness, (expected, sigma) = "shape of the noise", result.skewness, result.skewness_expected
    if skewness is None:
        return Finding.not_checked(
            name, f"the image is too dark to judge the shape of its noise: {MIN_SHAPE_PX} pixels with a quarter of an electron are needed"
        )
    off = max(MAX_SKEWNESS * max(abs(expected), 1.0), MIN_SIGMAS * sigma)
    text = f"the noise has a skewness of {skewness:.2f}, that of this kind of detector is {expected:.2f} +- {sigma:.2g}"
    if min(expected, expected / max(result.excess, 1.0) ** 1.5) - off <= skewness <= expected + off:
        return Finding("ok", name, skewness, expected + off, text)
    advice = (
        "it is another detector, a processed file, or structure that the result lost (see the residual): leave out `detector` if it was"
    )
    advice += " given, use the file of the camera, or try `pairs=blind`, which needs no law of the noise"
    return Finding("fail", name, skewness, expected + off, f"{text} (limit of the difference {off:.2g}); {advice}")


def _kept(result: NoiseLeft) -> Finding:
    (_, share), (_, share_expected, sigma) = result.kept, result.kept_expected
    limit = MAX_KEPT_RATIO * max(share_expected, 0.0) + max(MAX_KEPT_SHARE, MIN_SIGMAS * sigma)
    text = f"the denoised image keeps {100 * share:.2g} % of the noise of each pixel in that pixel, where no lens puts it"
    text = f"{text}; of a simulated recording it keeps {100 * share_expected:.2g} % (limit {100 * limit:.2g} %)"
    hidden = limit - max(share_expected, 0.0)
    if share <= limit and hidden > MAX_HIDDEN_SHARE:
        why = f"{100 * hidden:.2g} % more would not be seen (limit {100 * MAX_HIDDEN_SHARE:g} %); give a larger or brighter image"
        return Finding.not_checked("noise kept", f"{text}: {why}", share, limit)
    if share <= limit:
        return Finding("ok", "noise kept", share, limit, text)
    bright, dark = result.kept_tails
    if bright - dark > max(MAX_ASYMMETRY, share):
        return Finding(
            "fail",
            "noise kept",
            share,
            limit,
            f"{text}; bright dots in the result are noise; check the kind of the detector, and whether the file was processed",
        )
    text = f"{text}, of bright and dark noise alike, as a network does that knows a small image by heart"
    level: Level = "fail" if share > MAX_REMEMBERED else "warn"
    return Finding(level, "noise kept", share, limit, f"{text}; restore a larger field, or more frames of one")


def _texture(result: NoiseLeft) -> Finding:
    name, power, expected = "added texture", result.axis_power, result.axis_power_expected
    if power is None or expected is None:
        return Finding.not_checked(
            name, f"added texture was not looked for: {MIN_PATCHES} dark squares of {PATCH_PX} x {PATCH_PX} pixels are needed"
        )
    text = f"dark places of the denoised image have {power:.1f} times as much texture along rows and columns as along diagonals"
    text = f"{text} (limit {MAX_AXIS_POWER:g})"
    if power <= MAX_AXIS_POWER and result.weave_power <= MAX_AXIS_POWER:
        why = f"structure there would hide a weave of {100 * WEAVE_FRACTION:.0f} % of bright places ({result.weave_power:.1f} times)"
        return Finding.not_checked(name, f"{text}; {why}: look at the figure", power, MAX_AXIS_POWER)
    if power <= MAX_AXIS_POWER:
        return Finding("ok", name, power, MAX_AXIS_POWER, text)
    if expected > power / 2:
        return Finding("ok", name, power, MAX_AXIS_POWER, f"{text}, and the data have {expected:.1f} times: lines of the sample")
    return Finding("warn", name, power, MAX_AXIS_POWER, f"{text}, which the data have not: a weave of the network; train with more `steps`")


def _detail(image: np.ndarray) -> np.ndarray:
    """An image `*zyx` minus its median over 3 x 3 pixels of each plane."""
    from scipy.ndimage import median_filter

    return image - median_filter(image, (*[1] * (image.ndim - 2), 3, 3), mode="reflect")


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / max(np.sqrt((a * a).mean() * (b * b).mean()), 1e-30))


def _slope(a: np.ndarray, b: np.ndarray) -> float:
    """Of the regression of `a` on `b`."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / max((b * b).mean(), 1e-30))


def _tails(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Slopes of the regression of `a` on `b` through their means, over the highest and the lowest values of `b` alone."""
    a, b = a - a.mean(), b - b.mean()
    sd = float(b.std())
    tails = [b > TAIL_SD * sd, b < -TAIL_SD * sd]
    high, low = (float((a * b)[tail].sum() / (b * b)[tail].sum()) if tail.any() else 0.0 for tail in tails)
    return high, low


def _skewness(z: np.ndarray) -> float:
    z = z - z.mean()
    return float((z**3).mean() / max((z * z).mean() ** 1.5, 1e-30))


def _blockwise(statistic: Callable[..., float], *images: np.ndarray) -> tuple[float, float]:
    """A statistic of images `*zyx`, and its standard error from the spread over blocks along y and x."""
    images = tuple(image.astype(np.float64) for image in images)
    edges = [np.linspace(0, n, BLOCKS + 1).astype(int) for n in images[0].shape[-2:]]
    windows = [(..., slice(*ys), slice(*xs)) for ys in _between(edges[0]) for xs in _between(edges[1])]
    single = [statistic(*(image[window] for image in images)) for window in windows]
    return statistic(*images), float(np.std(single, ddof=1)) / BLOCKS


def _between(edges: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _axis_powers(planes: np.ndarray, noise: np.ndarray) -> tuple[float | None, float | None]:
    """Power along the axes over that along the diagonals in dark patches of planes, and of the data minus their noise.

    The power of the data without noise is the cross-spectrum of the data with the planes: what was taken from the data is noise to them.
    """
    dark = _dark_patches(planes)
    if len(dark) < MIN_PATCHES:
        return None, None
    of_plane, of_data = (_spectra(_patches(images)[dark]) for images in (planes, planes + noise))
    axes, diagonals = _sectors()

    def ratio(power: np.ndarray) -> float:
        along, across = power[axes].mean(), power[diagonals].mean()
        return float(along / across) if across > 0 < along else 0.0

    return ratio((np.abs(of_plane) ** 2).mean(0)), ratio(np.real(of_plane.conj() * of_data).mean(0))


def _patches(images: np.ndarray) -> np.ndarray:
    """Squares of `PATCH_PX` of planes (`z y x`)."""
    rows, columns = (n // PATCH_PX for n in images.shape[-2:])
    cut = images[:, : rows * PATCH_PX, : columns * PATCH_PX].reshape(len(images), rows, PATCH_PX, columns, PATCH_PX)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, PATCH_PX, PATCH_PX)


def _dark_patches(planes: np.ndarray) -> np.ndarray:
    """Numbers of the darkest patches."""
    means = _patches(planes).mean((1, 2))
    return np.argsort(means)[: int(DARK_SHARE * len(means))]


def _spectra(patches: np.ndarray) -> np.ndarray:
    window = np.outer(np.hanning(PATCH_PX), np.hanning(PATCH_PX))
    return np.fft.fft2((patches - patches.mean((1, 2), keepdims=True)) * window)


def _weave_power(planes: np.ndarray) -> float:
    """Power along the axes of a weave of `WEAVE_FRACTION` over that of the darkest patches of planes along the diagonals."""
    dark = _dark_patches(planes)
    if not len(dark):
        return math.inf
    wave = WEAVE_FRACTION * float(np.quantile(planes, 0.99)) * np.sin(2 * np.pi * np.arange(PATCH_PX) / WEAVE_PERIOD_PX)
    (weave,), own = (np.abs(_spectra(patches)) ** 2 for patches in ((wave[:, None] + wave)[None], _patches(planes)[dark]))
    axes, diagonals = _sectors()
    return float(weave[axes].mean() / max(float(own.mean(0)[diagonals].mean()), 1e-30))


def _sectors() -> tuple[np.ndarray, np.ndarray]:
    """The frequencies of a patch near the axes, and those near the diagonals; the lowest ones, which the window mixes, are in neither."""
    f = np.fft.fftfreq(PATCH_PX)
    radius, angle = np.hypot(*np.meshgrid(f, f)), np.degrees(np.arctan2(*np.meshgrid(f, f))) % 90
    judged = (radius > 3 / PATCH_PX) & (radius <= 0.5)
    near_axis, near_diagonal = np.minimum(angle, 90 - angle) < SECTOR_DEG, np.abs(angle - 45) < SECTOR_DEG
    return judged & near_axis, judged & near_diagonal


def _draw(figure: Figure, result: NoiseLeft) -> None:
    spread = 4 * float(np.std(result.detail)) or 1.0
    show_plane(figure.subplots(), result.detail, result.yx_spacing_um, cmap="gray", vmin=-spread, vmax=spread)
