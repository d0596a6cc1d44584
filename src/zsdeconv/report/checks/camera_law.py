"""Whether the camera behaves as the method assumes: independent noise in each pixel, with a variance that is linear in the light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.camera.calibrate import MAX_CLIPPED_FRACTION, Calibration
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.recognise import DECISIVE
from zsdeconv.camera.survey import MAX_NOISE_CORRELATION
from zsdeconv.camera.transfer_plot import draw_calibration
from zsdeconv.findings import Finding, Level, percent
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.report.statistics.fixed_pattern import MIN_FRAMES, MIN_SIDE_PX, Pattern, line_pattern, pixel_pattern

KEY = "camera"
TITLE = "Camera"
QUESTION = "Does the camera's noise behave as assumed?"
NUMBERS = ("law_misfit", "peak_electrons", "below_offset", "patterns", "calibration")

MAX_LAW_MISFIT = 0.1
"""Relative deviation of the variance from the line up to which the level is ok. Measured (benchmarks/findings.py): 0.06 at most where the
law is right; a display curve makes up to 0.2."""
MAX_LEVEL_ERROR = 0.1
"""Relative standard error of a level's variance up to which the level counts. Chosen: as large as `MAX_LAW_MISFIT`."""
MIN_LEVELS = 3
"""Levels that a deviation from a line needs. A line through two of them fits exactly."""
LAW_PARTS = 4
"""Equal parts of the range of brightness, each of which has to lie on the line. Chosen: most levels are dark, and outvote the others."""
MIN_LAW_SIGMAS = 4.0
"""Standard errors by which a part must deviate to count. Law: chance brings one part that far in one of 4000 right images."""
MAX_PATTERN_SD = 0.1
"""Size of a fixed pattern up to which the level is ok, in standard deviations of the noise. Chosen: it adds 1 % to the variance."""
MIN_PATTERN_SIGMAS = 4.5
"""Standard errors from which a pattern is significant. Chosen: the normal distribution exceeds them once in 300 000 images."""
MIN_DOUBT_SIGMAS = 2.0
"""Standard errors from which a pattern beyond the limit is doubted. Chosen: the normal distribution exceeds them once in 44 images."""
MAX_UNSEEN_SD = 0.2
"""Size of the smallest pattern that the image would show, up to which one that is not seen is none. Chosen: it adds 4 % to the variance."""
MAX_BELOW_FRACTION = 0.01
"""Fraction of pixels lower than `BELOW_SIGMAS` read noises under the offset, up to which the level is ok. Normal noise puts 0.001 there."""
LAW_NAMES = {"camera": "a camera", "emccd": "an electron multiplier", "counting": "a photon counter"}
"""Detectors in words, by their kind."""
BELOW_SIGMAS = 3
"""Read noises below the offset from which a pixel counts as too dark. Chosen: a normal distribution has 0.1 % there."""
PEAK_PERCENTILE = 99.9
"""Percentile that is taken as the brightest places. Chosen: hot pixels are left out."""
ELECTRON_RANGE = (1.0, 1e6)
"""Plausible photo-electrons in the brightest places: one at least, and no pixel of a camera holds a million."""
MAX_OFFSET_ERROR = 0.1
"""Standard error of the offset over the light of the brightest places up to which ratios of brightness count as known. Chosen: a tenth."""
MAX_OWN_OFFSET_SIGMAS = 3.0
"""Standard errors by which a given offset may be lower than that of the image itself. Chosen: the normal law exceeds them once in 700."""
MAX_OFFSET_DIFFERENCE = 0.02
"""The same difference, relative to the light of the brightest places, up to which it does not matter. Chosen: below it no ratio of
intensities changes visibly."""
LEAST_READ_NOISE_E, MOST_READ_NOISE_E = 0.25, 15.0
"""Read noise in electrons, below and above which no camera is. Law: the quietest ones have 0.27 to 0.3, slow CCDs 5 to 10 (data sheets)."""
BRIGHT_SMOOTHING_PX = 1.5
"""Scale (sigma) over which the light of the brightest places is averaged. Chosen: it lowers the noise of a pixel to a fifth."""
MAX_GAIN_ERROR = 0.3
"""Relative standard error of the gain up to which the level is ok. Chosen: well within the range of 0.5 to 1.5 gains that
training draws from (`pairs.beta1_factor`)."""
MAX_SATURATED_RATIO = 50
"""Multiple of `MAX_CLIPPED_FRACTION` from which saturation is a failure. Chosen: then bright structures are clipped as a whole."""


@dataclass(frozen=True, eq=False)
class CameraCheck:
    """The camera as measured (`calibration`) and its deviations from the assumptions.

    `law_misfit`: relative deviation of the variance from the line, None where too few levels are known; `peak_electrons`:
    photo-electrons at the 99.9th percentile of the image; `below_offset`: fraction of pixels lower than three read noises under the
    offset; `patterns`: size of the fixed patterns of "rows", "columns" and "pixels" in standard deviations of the noise of the median
    pixel, None where unknown.
    """

    calibration: Calibration
    law_misfit: float | None
    peak_electrons: float
    below_offset: float
    patterns: dict[str, float | None]
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = (self.law_misfit, self.peak_electrons, self.below_offset, dict(self.patterns), self.calibration.to_dict())
        return dict(zip(NUMBERS, values, strict=True))


def measure(frames: Sequence[np.ndarray] | np.ndarray, calibration: Calibration) -> CameraCheck:
    """Findings about the camera that took `frames` (each `... y x`, ADU; one, or those of a movie), as `calibration` describes it.

    Correlated noise, fixed patterns and clipped pixels violate the assumptions of the training pairs; a wrong offset or gain biases them.
    Patterns are measured in the frames of the most common size; those of single pixels need four frames.

    >>> from zsdeconv.camera.calibrate import calibrate
    >>> light = np.linspace(0, 200, 128)[:, None] * np.ones(160)
    >>> frame = np.random.default_rng(0).poisson(light) + np.random.default_rng(1).normal(100, 3, light.shape)
    >>> sorted({finding.level for finding in measure([frame], calibrate(frame)).findings})
    ['not_checked', 'ok']
    """
    planes = _planes(frames)
    camera = calibration.camera
    sample = np.concatenate([plane[::2, ::2].ravel() for plane in planes[:: max(1, len(planes) // 16)]]).astype(np.float64)
    above = sample - camera.offset
    peak, sigma = float(np.percentile(above, PEAK_PERCENTILE)), _usual_noise(above, camera)
    measured = {
        "rows": line_pattern(planes, 0),
        "columns": line_pattern(planes, 1),
        "pixels": pixel_pattern(planes, calibration.cutoff_per_px),
    }
    patterns = {name: None if pattern is None else pattern.size / max(sigma, 1e-30) for name, pattern in measured.items()}
    misfit = _law_misfit(calibration)
    electrons = peak / camera.gain if camera.gain > 0 else float("inf")
    below = float((above < -BELOW_SIGMAS * max(camera.read_noise, 1e-30)).mean())
    findings = [
        _law(misfit, calibration),
        _detector(calibration),
        _correlation(calibration),
        *(_pattern(name, patterns[name], pattern, sigma) for name, pattern in measured.items()),
    ]
    findings += [_saturation(calibration), _floor(calibration), _offset(below, peak, calibration)]
    findings += [_gain(electrons, calibration), _read_noise(_bright_light(planes) - camera.offset, calibration)]
    return CameraCheck(calibration, misfit, electrons, below, patterns, findings)


def section(result: CameraCheck) -> Section:
    """The findings, and the noise law drawn over the data."""
    caption = "Variance of the noise at each brightness, with standard errors, and the line that the network was trained with."
    picture = CaptionedFigure(caption, lambda figure: draw_calibration(result.calibration, figure), (6.4, 4.0))
    return Section(KEY, TITLE, QUESTION, result.findings, result.to_dict(), [picture])


def _usual_noise(above: np.ndarray, camera: Camera) -> float:
    """Standard deviation of the noise (ADU) of the median pixel; of the mean light where that pixel has neither light nor read noise, as
    in most counts of single photons.
    """
    of_median, of_mean = (float(camera.beta1 * max(float(light), 0.0) + camera.read_variance) for light in (np.median(above), above.mean()))
    return float(np.sqrt(of_median or of_mean))


def _planes(frames: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """All planes (y x) of the most common size."""
    arrays = [frames] if isinstance(frames, np.ndarray) else frames
    planes = [plane for frame in arrays for plane in frame.reshape(-1, *frame.shape[-2:])]
    shapes = [plane.shape for plane in planes]
    common = max(set(shapes), key=shapes.count)
    return [plane for plane in planes if plane.shape == common]


def _bright_light(planes: Sequence[np.ndarray]) -> float:
    """Brightness of the brightest places (ADU), apart from the noise of their pixels."""
    from scipy.ndimage import gaussian_filter

    chosen = planes[:: max(1, len(planes) // 16)]
    return max(float(np.percentile(gaussian_filter(plane.astype(np.float64), BRIGHT_SMOOTHING_PX), PEAK_PERCENTILE)) for plane in chosen)


def _law_misfit(calibration: Calibration) -> float | None:
    """The median deviation of the levels from the line, or that of the part of the range of brightness that certainly deviates most."""
    known = calibration.variance_sigma < MAX_LEVEL_ERROR * calibration.variance
    if known.sum() < MIN_LEVELS:
        return None
    camera, signal = calibration.camera, calibration.signal[known]
    expected = np.maximum(camera.variance(signal - camera.offset), 1e-30)
    ratio, sigma = calibration.variance[known] / expected, calibration.variance_sigma[known] / expected
    part = np.digitize(signal, np.linspace(signal.min(), signal.max(), LAW_PARTS + 1)[1:-1])
    misfits = [float(np.median(np.abs(ratio - 1)))]
    for weight in (np.where(part == n, sigma**-2, 0.0) for n in np.unique(part)):
        off = abs(float(weight @ ratio) / weight.sum() - 1)
        if off > MIN_LAW_SIGMAS * weight.sum() ** -0.5:
            misfits.append(off)
    return max(misfits)


def _law(misfit: float | None, calibration: Calibration) -> Finding:
    name = "noise law"
    if misfit is None:
        why = f"the noise is known at fewer than {MIN_LEVELS} levels of brightness; give an image with bright and dark places"
        return Finding.not_checked(name, why, limit=MAX_LAW_MISFIT)
    text = f"the variance of the noise grows in proportion to the light, but for {percent(misfit)} (limit {100 * MAX_LAW_MISFIT:.0f} %)"
    gain, sigma = calibration.camera.gain, calibration.gain_sigma
    if misfit <= MAX_LAW_MISFIT and sigma > MAX_GAIN_ERROR * gain:
        why = f"but how fast is known to {percent(sigma / gain)} only (limit {100 * MAX_GAIN_ERROR:.0f} %)"
        return Finding.not_checked(name, f"{text}, {why}: give an image with bright and dark places", sigma / gain, MAX_GAIN_ERROR)
    if misfit <= MAX_LAW_MISFIT:
        return Finding("ok", name, misfit, MAX_LAW_MISFIT, text)
    advice = "the image was processed (gamma, compression, averaging) or the detector is not linear: use raw data"
    return Finding("warn", name, misfit, MAX_LAW_MISFIT, f"{text}; {advice}")


def _detector(calibration: Calibration) -> Finding:
    """Whether the shape of the noise is that of the detector whose law was used."""
    name, used, found = "detector", calibration.camera, calibration.found
    if found is None:
        told = next((message for message in calibration.messages if "photon counter" in message), None)
        if told is None:
            return Finding("ok", name, math.nan, math.nan, f"variance and mean of the noise are those of {LAW_NAMES[used.kind]}")
        return Finding("fail", name, math.nan, math.nan, told)
    if not found.kind:
        why = "the noise of this image does not tell a camera from an electron multiplier"
        return Finding.not_checked(
            name, f"{why}; it was taken for {LAW_NAMES[used.kind]}, give `detector` if it is another", limit=DECISIVE
        )
    text = f"the noise has the shape of {LAW_NAMES[found.kind]}: {found.words}"
    if found.kind == used.kind:
        return Finding("ok", name, abs(found.evidence), DECISIVE, text)
    return Finding(
        "fail", name, abs(found.evidence), DECISIVE, f"{text}; the law of {LAW_NAMES[used.kind]} was used, so give the right `detector`"
    )


def _correlation(calibration: Calibration) -> Finding:
    rho, name = calibration.noise_correlation, "correlated noise"
    found = f"the noise of neighbouring pixels is correlated by {rho:+.3f}"
    text = f"{found} (limit {MAX_NOISE_CORRELATION:g})"
    if not calibration.correlated:
        return Finding("ok", name, rho, MAX_NOISE_CORRELATION, text)
    if not calibration.unaccounted:
        known = f"{found}, more than {MAX_NOISE_CORRELATION:g}: the network was trained with noise of this correlation"
        return Finding("ok", name, rho, MAX_NOISE_CORRELATION, known)
    advice = "the network takes shared noise for detail, as in resampled, smoothed or compressed data: use the raw data of the camera"
    return Finding("fail", name, rho, MAX_NOISE_CORRELATION, f"{text}; {advice}")


def _pattern(kind: str, size: float | None, pattern: Pattern | None, noise_adu: float) -> Finding:
    name = f"pattern of {kind}"
    if size is None or pattern is None:
        needed = f"{MIN_SIDE_PX} x {MIN_SIDE_PX} pixels"
        if kind == "pixels":
            needed = f"{MIN_FRAMES} frames of {needed}, and pixels finer than the detail that the lens passes,"
        return Finding.not_checked(name, f"a fixed pattern of {kind} was not measured: {needed} are needed", limit=MAX_PATTERN_SD)
    text = f"{kind} that deviate in the same way over the whole field do so by {percent(size)} of the noise"
    limit = f"(limit {100 * MAX_PATTERN_SD:.0f} %)"
    if size <= MAX_PATTERN_SD or pattern.sigmas <= MIN_PATTERN_SIGMAS:
        chance = "" if size <= MAX_PATTERN_SD else f", no more than by chance ({pattern.sigmas:.1f} standard errors)"
        unseen = pattern.smallest(MIN_PATTERN_SIGMAS) / max(noise_adu, 1e-30)
        if unseen > MAX_UNSEEN_SD or (size > MAX_PATTERN_SD and pattern.sigmas > MIN_DOUBT_SIGMAS):
            why = f"a pattern of up to {percent(unseen)} would not be seen in an image of this size; give a larger image"
            return Finding.not_checked(name, f"{text}{chance}: {why}", unseen, MAX_UNSEEN_SD)
        return Finding("ok", name, size, MAX_PATTERN_SD, f"{text}{chance} {limit}")
    text = f"{text}, {pattern.sigmas:.1f} standard errors {limit}"
    advice = "it is restored like an object: subtract the mean of dark frames, or use the correction of the camera"
    return Finding("warn", name, size, MAX_PATTERN_SD, f"{text}; {advice}")


def _saturation(calibration: Calibration) -> Finding:
    fraction = calibration.saturated_fraction
    level: Level = (
        "ok" if fraction <= MAX_CLIPPED_FRACTION else "warn" if fraction <= MAX_SATURATED_RATIO * MAX_CLIPPED_FRACTION else "fail"
    )
    return _clipped("saturation", level, fraction, "top", "they cannot be restored: lower the exposure")


def _floor(calibration: Calibration) -> Finding:
    fraction = calibration.floor_fraction
    if calibration.camera.kind == "counting":
        return Finding.not_checked("floor", "a photon counter counts from 0 on, so pixels at 0 are right", limit=MAX_CLIPPED_FRACTION)
    advice = "their noise lacks its darker half: use raw data with an offset"
    return _clipped("floor", "ok" if fraction <= MAX_CLIPPED_FRACTION else "warn", fraction, "bottom", advice)


def _clipped(name: str, level: Level, fraction: float, end: str, advice: str) -> Finding:
    text = f"{100 * fraction:.2g} % of the pixels are clipped at the {end} of the range (limit {100 * MAX_CLIPPED_FRACTION:g} %)"
    return Finding(level, name, fraction, MAX_CLIPPED_FRACTION, text if level == "ok" else f"{text}; {advice}")


def _offset(below: float, peak: float, calibration: Calibration) -> Finding:
    text = (
        f"{100 * below:.2g} % of the pixels lie more than {BELOW_SIGMAS} read noises below the offset of "
        f"{calibration.camera.offset:.5g} ADU (limit {100 * MAX_BELOW_FRACTION:g} %)"
    )
    if calibration.contradiction:
        return Finding("fail", "offset", below, MAX_BELOW_FRACTION, calibration.contradiction)
    sigma, light = calibration.offset_sigma, max(peak, 1e-30)
    if sigma > MAX_OFFSET_ERROR * light:
        known = f"the offset of {calibration.camera.offset:.4g} ADU is known to +- {sigma:.2g} ADU only"
        text = f"{known}, the brightest places are {light:.3g} ADU above it (limit of its error {percent(MAX_OFFSET_ERROR)})"
        advice = "all brightness may be off by as much: give the offset with `background`"
        return Finding("warn", "offset", sigma / light, MAX_OFFSET_ERROR, f"{text}; {advice}")
    if below <= MAX_BELOW_FRACTION:
        return _given_offset(light, calibration) or Finding("ok", "offset", below, MAX_BELOW_FRACTION, text)
    return Finding("warn", "offset", below, MAX_BELOW_FRACTION, f"{text}; the offset is too high: give the right one with `background`")


def _given_offset(light: float, calibration: Calibration) -> Finding | None:
    """Where a given offset is lower than the image tells: haze has the same effect, so it cannot be judged. None where it is not."""
    if calibration.offset_sigma > 0 or calibration.own_offset is None:
        return None
    (own, sigma), given = calibration.own_offset, calibration.camera.offset
    sigmas = (own - given) / max(sigma, 1e-30)
    if sigmas <= MAX_OWN_OFFSET_SIGMAS or own - given <= MAX_OFFSET_DIFFERENCE * light:
        return None
    text = f"no place is as dark as the given offset of {given:.5g} ADU, by the image it is {own:.5g} +- {max(sigma, 0.01):.2g} ADU"
    why = "light lies everywhere, or the offset is too low; record dark frames (zsdeconv calibrate)"
    return Finding.not_checked("offset", f"{text}: {why}", sigmas, MAX_OWN_OFFSET_SIGMAS)


def _gain(electrons: float, calibration: Calibration) -> Finding:
    gain, sigma, (low, high) = calibration.camera.gain, calibration.gain_sigma, ELECTRON_RANGE
    text = f"the gain is {gain:.3g} +- {sigma:.2g} ADU per electron, the brightest places have {electrons:.3g} electrons"
    advice = "measure the camera with dark and flat frames, `zsdeconv calibrate`"
    if not low <= electrons <= high:
        limits = f"(limits {low:g} to {high:g})"
        return Finding("warn", "gain", electrons, high, f"{text} {limits}; the data were rescaled, or there is no light: {advice}")
    if sigma > MAX_GAIN_ERROR * gain:
        limit = f"(limit of its error {100 * MAX_GAIN_ERROR:.0f} %)"
        return Finding("warn", "gain", sigma / gain, MAX_GAIN_ERROR, f"{text} {limit}; {advice}")
    return Finding("ok", "gain", electrons, high, text)


def _read_noise(peak: float, calibration: Calibration) -> Finding:
    read, name = calibration.camera.read_noise, "read noise"
    if calibration.camera.kind == "counting":
        return Finding.not_checked(name, "a photon counter has no read noise")
    text = f"the read noise is {read:.3g} ADU, the brightest places are {peak:.4g} ADU above the offset"
    if read > max(peak, 0.0):
        return Finding("warn", name, read, peak, f"{text}: more noise than signal; lengthen the exposure, or check `background`")
    least = LEAST_READ_NOISE_E * calibration.camera.gain
    if read < least and calibration.camera.kind == "camera":
        text = f"{text}: less than that of any camera ({least:.2g} ADU, {LEAST_READ_NOISE_E:g} electrons)"
        advice = "measure offset and read noise with dark frames, `zsdeconv calibrate`"
        if read + 2 * calibration.read_noise_sigma < least:
            return Finding("warn", name, read, least, f"{text}; the offset is too low, or the image was processed: {advice}")
        return Finding.not_checked(name, f"{text}, within its error of {calibration.read_noise_sigma:.2g} ADU; {advice}", read, least)
    most = MOST_READ_NOISE_E * calibration.camera.gain
    if read - 2 * calibration.read_noise_sigma > most and calibration.camera.kind == "camera":
        why = "haze was taken for read noise, or the image was processed (display curve, rescaled): give `background`, use raw data"
        return Finding(
            "warn", name, read, most, f"{text}: more than that of any camera ({most:.3g} ADU, {MOST_READ_NOISE_E:g} electrons); {why}"
        )
    return Finding("ok", name, read, peak, text)
