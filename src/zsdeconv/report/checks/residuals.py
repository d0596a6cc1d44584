"""The residual of a restoration, `z = (y - D H x) / sigma`: noise, structure, or less than noise.

`y` contains the noise that the network was trained on, so both deviations are faults: structure that is left makes the residual larger
than noise, fitted noise makes it smaller. A part of the noise is always fitted: the best linear filter (Wiener) leaves `N / (S + N)` of it,
with the powers of signal `S` and noise `N` at each frequency. To leave less is a fault. Noise of a reconstruction is coloured, so no
statistic is compared with a formula for white noise, but with the same statistic of noise alone (`zsdeconv.acquisition.noise_reference`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.acquisition.light import ClosedLight, LightBalance
from zsdeconv.errors import ImageError
from zsdeconv.findings import Finding, Level, times
from zsdeconv.physics import grid
from zsdeconv.report.page.style import ACCENT, DARK, LIGHT, WARNING, plain, show_plane
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.report.statistics.residual_clusters import Blob, ClusterSearch
from zsdeconv.report.statistics.residual_moments import BANDS, BandPower, NoiseStatistics, band_power, moments
from zsdeconv.report.statistics.rings import Rings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "residuals"
TITLE = "Residual"
QUESTION = "Does the restored image explain the data, no less and no more?"
NUMBERS = (
    "sd",
    "sd_spread",
    "sd_least",
    "level_sd",
    "neighbour_correlation",
    "neighbour_correlation_expected",
    "band_power",
    "band_power_least",
    "structure_share",
    "structure_places",
    "largest_score_sd",
    "largest_at_um",
)

ROUNDS = 24
"""Images of pure noise that a residual is compared with. Chosen: the thresholds of clusters need twenty."""
MIN_BAND_SIGMAS = 3.5
"""Standard deviations by which the power of a band must differ from that of noise. Chosen: of six bands one does in 360 reports."""
SD_LIMITS = (0.95, 1.08)
"""Residual over what the best linear filter leaves, and over noise, between which the level is ok. Chosen: an error of the gain of 7 %
makes 3.5 %."""
SD_FAILURES = (0.85, 1.3)
"""The same beyond which the level is fail. Chosen: three to four times the deviation that is allowed."""
POWER_LIMITS = (0.8, 1.15)
"""The same for the power in a band. Chosen: Richardson-Lucy with too many iterations leaves half of what the best filter leaves."""
MIN_KEPT_POWER = 0.88
"""Power of the residual in a band over that of the denoised image's residual, up to which noise that denoising had removed is in the
deconvolved image again. Measured (benchmarks/findings.py): 0.92 at least after a training, 0.84 at most after a thousand iterations of
Richardson-Lucy, which leaves no less than the best linear filter."""
MIN_LOST_CONTRAST = 0.05
"""Contrast of the structure in a band, relative to it, whose loss is told. Chosen: in bright images less stands out of the noise, and
changes nothing that is measured."""
MAX_STRUCTURE_SHARE = 0.02
"""Share of the image with structure left, beyond which the level is fail. Chosen: more than a few places are wrong then."""
OUTLINE_PX = 3
"""Distance at which structure is outlined in the figure. Chosen: the outline does not hide it."""
BORDER_FRACTION = 8
"""The border that is not judged is at most the image divided by this. Chosen: most of a small image stays."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """The residual of a restoration in units of the noise, and the same statistics of noise alone.

    `z` is `(y - D H x - level) / sigma` on the grid of `y` (pixels of `spacing_um`); all else belongs to its inner part, without the
    border. `level` is the constant part, in units of the noise (rms). `sd` is 1 within `sd_spread` where nothing but noise is left.
    `correlation` is that of neighbouring pixels; noise has `correlation_expected` within `correlation_spread`. `spectrum` is the power by
    spatial frequency. `structure` is -1, 0 or 1 where the restoration has too much light, the right amount, too little; it consists of
    `blobs`, the most significant first. `kept_power` is the power in the bands of the spectrum over that of the denoised image's residual
    (1 where that is not known).
    """

    z: np.ndarray
    spacing_um: tuple[float, ...]
    level: float
    sd: float
    sd_spread: float
    correlation: float
    correlation_expected: float
    correlation_spread: float
    spectrum: BandPower
    structure: np.ndarray
    blobs: list[Blob]
    kept_power: np.ndarray

    @property
    def structure_share(self) -> float:
        """Share of the pixels in which structure is left."""
        return float(np.mean(self.structure != 0))

    @property
    def emptiest_band(self) -> int:
        """The band with the least power relative to what the best linear filter leaves."""
        spectrum = self.spectrum
        return int(((spectrum.bands + MIN_BAND_SIGMAS * spectrum.spread) / spectrum.least).argmin())

    @property
    def most_power(self) -> np.ndarray:
        """Power in each band up to which the level is ok: `1 + (c / C)^2` where a contrast `c` of the structure's `C` is lost, in units of
        the noise.
        """
        least = np.maximum(self.spectrum.least, 1e-12)
        return np.maximum(POWER_LIMITS[1], 1 + MIN_LOST_CONTRAST**2 * (1 - least) / least)

    @property
    def fullest_band(self) -> int:
        """The band with the most power beyond that of noise and what may be lost."""
        return int(((self.spectrum.bands - MIN_BAND_SIGMAS * self.spectrum.spread) / self.most_power).argmax())


def measure(
    measurement: Measurement,
    explained: Tensor | np.ndarray,
    *,
    mean: Tensor | None = None,
    spacing_um: Sequence[float] = (),
    border_px: Sequence[int] = (),
    light: LightBalance = ClosedLight(),  # noqa: B008
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Residuals:
    """The residual of an image, and the same statistics of noise alone.

    The noise of a camera image is that of Eq. 3 for its `mean`, so the residual of a right restoration has the distribution of noise. A
    constant difference is an offset, not structure: it is reported as `level` and subtracted.

    The best estimate of the mean is the denoised image. A re-blurred one that is nearly 0 in dark places would make the noise of a single
    photon there arbitrarily small: of a multiplier, with a hundredth of a photon too little, ten standard deviations.

    Parameters
    ----------
    measurement : the image `y` and its noise
    explained : noise-free image that should explain `y` (`D H x`, in its unit and on its grid)
    mean : image of which the noise is, likewise; `explained` by default
    spacing_um : pixel size along each axis; 1 where it is left out
    border_px : width of the border along each axis in which nothing is judged
    light : decides which slowly varying differences are not judged
    seed : of the noise that is drawn
    rounds : images of noise that are drawn

    Raises
    ------
    ImageError
        When the grids differ or the noise is 0.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> clean = torch.full((48, 40), 30.0)
    >>> y = torch.poisson(clean, generator=torch.Generator().manual_seed(1))
    >>> result = measure(CameraMeasurement(y, Camera(0.0, 1.0, 0.0)), clean)
    >>> abs(result.sd - 1) < 4 * result.sd_spread, result.blobs
    (True, [])
    """
    y = measurement.y
    x = light.adjusted(y, _on_grid(explained, y))
    mean = x if mean is None else _on_grid(mean, y)
    reference = measurement.noise_reference(mean, seed)
    weight = reference.sigma**-2
    level = float(((y - x) * weight).sum() / weight.sum())
    z = ((y - x - level) / reference.sigma).cpu().numpy()
    border = tuple(border_px) or (0,) * z.ndim
    inner = tuple(slice(b, n - b) for b, n in zip(border, z.shape, strict=True))
    judged = z[inner]
    rings, search = Rings(judged.shape[-2:]), ClusterSearch()
    noise = [
        _of_noise(search, rings, light.detrended(draw)[inner], (draw * reference.sigma)[inner])
        for draw in reference.draws(rounds, seed + 1)
    ]
    structure, blobs = search.clusters(judged)
    sd, correlation = moments(judged)
    spectrum = band_power(rings, rings.power(judged), rings.power(y[inner].cpu().numpy()), noise)
    denoised = rings.banded(rings.power(((y - light.adjusted(y, mean) - level) / reference.sigma).cpu().numpy()[inner]), BANDS)
    kept = rings.banded(rings.power(judged), BANDS) / np.maximum(denoised, 1e-30)
    (expected_sd, expected), (sd_spread, spread) = np.mean([n.moments for n in noise], 0), np.std([n.moments for n in noise], 0, ddof=1)
    return Residuals(
        z=z,
        spacing_um=tuple(spacing_um) or (1.0,) * z.ndim,
        level=level / float(reference.sigma.square().mean().sqrt()),
        sd=float(sd / expected_sd),
        sd_spread=float(sd_spread / expected_sd),
        correlation=correlation,
        correlation_expected=float(expected),
        correlation_spread=float(spread),
        spectrum=spectrum,
        structure=np.pad(structure, [(b, b) for b in border]),
        blobs=[replace(blob, zyx_px=tuple(map(float.__add__, blob.zyx_px, map(float, border)))) for blob in blobs],
        kept_power=kept[: len(spectrum.bands)],
    )


def judged_border_px(shape: Sequence[int], support_px: Sequence[int], scale: int) -> tuple[int, ...]:
    """Width of the border of an image of `shape` in which a residual is not informative, in its pixels.

    It is half the support of the PSF (`support_px` of the forward model, on the grid that is `scale` times finer laterally): nearer to a
    border the model extrapolates much of the light, and a reconstruction lacks raw frames. It is an eighth of the image at most.

    >>> judged_border_px((9, 64, 300), (20, 32, 32), 2)
    (1, 7, 8)
    """
    factors = grid.lateral_factors(len(shape), scale)
    return tuple(min(support // (2 * f), (n - 1) // BORDER_FRACTION) for n, support, f in zip(shape, support_px, factors, strict=True))


def section(result: Residuals) -> Section:
    """Size, whiteness and structure of the residual with their limits, its map and its statistics.

    The lower limits are those of the best linear filter.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement
    >>> from zsdeconv.camera.detector import Camera
    >>> clean = torch.full((48, 40), 30.0)
    >>> y = torch.poisson(clean, generator=torch.Generator().manual_seed(1))
    >>> section(measure(CameraMeasurement(y, Camera(0.0, 1.0, 0.0)), clean)).level
    'ok'
    """
    spectrum, largest = result.spectrum, result.blobs[0] if result.blobs else None
    values = (
        result.sd,
        result.sd_spread,
        spectrum.sd_least,
        result.level,
        result.correlation,
        result.correlation_expected,
        [float(power) for power in spectrum.bands],
        [float(power) for power in spectrum.least],
        result.structure_share,
        len(result.blobs),
        None if largest is None else largest.score,
        None if largest is None else [px * um for px, um in zip(largest.zyx_px, result.spacing_um, strict=True)],
    )
    image = (
        "The residual: the data minus the restored image as the microscope would record it, in units of the noise. Structure beyond noise "
        "is outlined: orange where the restored image lacks light, blue where it has too much."
    )
    statistics = (
        "Left: the values of the residual (blue) and those of pure noise (grey). Right: its power by spatial frequency over that of noise; "
        "below the grey line more noise has been taken for structure than by the best linear filter."
    )
    figures = [
        CaptionedFigure(image, lambda figure: _draw_map(figure, result), (5.2, 4.4)),
        CaptionedFigure(statistics, lambda figure: _draw_statistics(figure, result), (6.4, 2.8)),
    ]
    findings = [_size_finding(result), *_whiteness_findings(result), _structure_finding(result)]
    return Section(KEY, TITLE, QUESTION, findings, dict(zip(NUMBERS, values, strict=True)), figures)


def _on_grid(explained: Tensor | np.ndarray, y: Tensor) -> Tensor:
    x = torch.as_tensor(explained, dtype=y.dtype, device=y.device)
    if x.shape != y.shape:
        raise ImageError(
            f"re-blurred image of {tuple(x.shape)} pixels, image of {tuple(y.shape)}: they must be equal; apply the forward model"
        )
    return x


def _of_noise(search: ClusterSearch, rings: Rings, standardised: Tensor, raw: Tensor) -> NoiseStatistics:
    """Statistics of one image of noise, treated as the residual is; it also sets the thresholds of `search`."""
    noise = standardised.cpu().numpy()
    search.add_noise(noise)
    return NoiseStatistics(moments(noise), rings.power(noise), rings.power(raw.cpu().numpy()))


def _size_finding(result: Residuals) -> Finding:
    sd, least = result.sd, result.spectrum.sd_least
    (low, high), (lowest, highest) = SD_LIMITS, SD_FAILURES
    level: Level = "fail" if not lowest * least < sd < highest else "ok" if low * least < sd < high else "warn"
    limit = low * least if sd < 1 else high
    text = f"The residual is {times(sd, '.2f')} as large as noise (limits {low * least:.2f} to {high:g})"
    if level == "ok":
        return Finding(level, "residual_sd", sd, limit, f"{text}.")
    if sd < 1:
        advice = "noise was taken for structure: train with fewer `steps`, or check the gain of the camera"
    else:
        advice = "structure is lost, or the noise is larger than the camera is said to have: check the PSF and the gain of the camera"
    return Finding(level, "residual_sd", sd, limit, f"{text}; {advice}.")


def _whiteness_findings(result: Residuals) -> list[Finding]:
    """One for the band with too little power, one for the band with too much, and one if neither deviates."""
    spectrum, low, high = result.spectrum, result.emptiest_band, result.fullest_band
    least, most = POWER_LIMITS[0] * spectrum.least[low], float(result.most_power[high])
    margin, findings = MIN_BAND_SIGMAS * spectrum.spread, []
    if spectrum.bands[low] < least and spectrum.bands[low] + margin[low] < spectrum.least[low]:
        advice = "noise was taken for structure: train with fewer `steps`, and do not interpret detail of this size"
        findings.append(_band_finding(result, low, least, advice))
    elif result.kept_power.min() < MIN_KEPT_POWER:
        findings.append(_returned_finding(result, int(result.kept_power.argmin())))
    if spectrum.bands[high] > most and spectrum.bands[high] - margin[high] > 1:
        advice = "structure of this size is lost: check the PSF, or train with more `steps`"
        findings.append(_band_finding(result, high, most, advice))
    return findings or [_band_finding(result, high, most, "")]


def _returned_finding(result: Residuals, band: int) -> Finding:
    """Noise that the denoised image had lost is in the deconvolved one again."""
    kept = float(result.kept_power[band])
    text = f"In detail {_size_words(band)}, the residual has {times(kept, '.2f')} the power of that of the denoised image"
    advice = "noise was taken for structure: train with fewer `steps`, and do not interpret detail of this size"
    return Finding("warn", "residual_whiteness", kept, MIN_KEPT_POWER, f"{text} (limit {MIN_KEPT_POWER:g}); {advice}.")


def _size_words(band: int) -> str:
    """Periods of a band of frequencies."""
    edge = 0.5 / BANDS
    finest = 1 / ((band + 1) * edge)
    return f"coarser than {finest:.3g} pixels" if band == 0 else f"of {finest:.3g} to {1 / (band * edge):.3g} pixels"


def _band_finding(result: Residuals, band: int, limit: float, advice: str) -> Finding:
    power = float(result.spectrum.bands[band])
    text = f"In detail {_size_words(band)}, the residual has {times(power, '.2f')} the power of noise (limit {limit:.2f})"
    return Finding("warn" if advice else "ok", "residual_whiteness", power, float(limit), f"{text}; {advice}." if advice else f"{text}.")


def _structure_finding(result: Residuals) -> Finding:
    share, name = result.structure_share, "structure_left"
    if not result.blobs:
        return Finding("ok", name, 0.0, MAX_STRUCTURE_SHARE, "The residual has no structure that noise does not explain.")
    largest = result.blobs[0]
    level: Level = "fail" if share > MAX_STRUCTURE_SHARE else "warn"
    fault = "lacks light" if largest.score > 0 else "has too much light"
    at = ", ".join(f"{px:.0f}" for px in largest.zyx_px)
    places = "1 place" if len(result.blobs) == 1 else f"{len(result.blobs)} places"
    text = (
        f"In {places}, {100 * share:.2g} % of the image (limit {100 * MAX_STRUCTURE_SHARE:g} %), the restored image differs from the "
        f"data by more than noise, most at pixel ({at}), where it {fault}; do not interpret the outlined places"
    )
    return Finding(level, name, share, MAX_STRUCTURE_SHARE, f"{text}." if level == "warn" else f"{text}, and check the PSF.")


def _draw_map(figure: Figure, result: Residuals) -> None:
    """The plane with most structure; the central one where there is none."""
    from scipy.ndimage import binary_dilation

    z, structure = (image.reshape(-1, *image.shape[-2:]) for image in (result.z, result.structure))
    marked = np.count_nonzero(structure, axis=(1, 2))
    plane = int(marked.argmax()) if marked.any() else len(z) // 2
    axes = figure.subplots()
    image = show_plane(axes, z[plane], result.spacing_um[-2:], cmap="RdBu_r", vmin=-4, vmax=4)
    for sign, colour in ((1, WARNING), (-1, ACCENT)):
        if (structure[plane] == sign).any():
            outline = binary_dilation(structure[plane] == sign, iterations=OUTLINE_PX)
            axes.contour(outline, [0.5], colors=[colour], linewidths=1.4)
    if len(z) > 1:
        axes.set_title(f"plane {plane + 1} of {len(z)}", fontsize=9, loc="left")
    figure.colorbar(image, ax=axes, shrink=0.8, label="difference / noise")


def _draw_statistics(figure: Figure, result: Residuals) -> None:
    histogram, power = figure.subplots(1, 2)
    edges, spectrum = np.linspace(-5, 5, 61), result.spectrum
    centres = (edges[1:] + edges[:-1]) / 2
    histogram.fill_between(centres, np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi), color=LIGHT, lw=0, label="noise")
    histogram.hist(result.z.ravel(), edges, density=True, histtype="step", color=ACCENT, lw=1.4, label="difference")
    histogram.set_xlabel("difference / noise")
    histogram.set_ylabel("density")
    histogram.legend(frameon=False, fontsize=8)
    power.axhline(1, color=DARK, lw=0.8)
    power.plot(spectrum.frequency_per_px, spectrum.power, color=ACCENT, lw=1, alpha=0.5)
    centres = (np.arange(len(spectrum.bands)) + 0.5) * 0.5 / BANDS
    power.plot(centres, spectrum.least, color=LIGHT, lw=1.6)
    power.errorbar(centres, spectrum.bands, MIN_BAND_SIGMAS * spectrum.spread, fmt="o", color=ACCENT, ms=4, lw=1.2)
    power.set_ylim(0, max(2.0, 1.1 * float(spectrum.bands.max())))
    power.set_xlabel("spatial frequency (cycles/pixel)")
    power.set_ylabel("power / power of noise")
    for axes in (histogram, power):
        plain(axes)
