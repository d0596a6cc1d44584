"""Whether the camera behaves as the method assumes: noise of its own in each pixel, whose variance grows on a line with the light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zsdeconv.camera.calibrate import MAX_CLIPPED_FRACTION, Calibration, draw_calibration
from zsdeconv.camera.survey import MAX_NOISE_CORRELATION
from zsdeconv.findings import Finding, Level
from zsdeconv.report.section import Picture, Section
from zsdeconv.report.statistics.fixed_pattern import Pattern, line_pattern, pixel_pattern

LAW_LIMIT = 0.2
"""Median departure of the levels from the line, as a share of it. Structure that leaks into the noise makes 0.05 of good images."""
KNOWN_LEVEL = 0.1
"""Levels whose variance is known to this share count."""
PATTERN_LIMIT, PATTERN_SIGMAS = 0.1, 4.5
"""Size of a fixed pattern in standard deviations of the noise, and how far it must stand out of chance."""
BELOW_LIMIT = 0.01
"""Share of pixels that may lie more than three read noises below the offset; noise puts 0.001 there."""
PEAK = 99.9
BRIGHTEST_E = 1e6
"""No camera's pixel holds so many electrons."""
GAIN_ERROR = 0.3


@dataclass(frozen=True, eq=False)
class CameraCheck:
    """The camera as measured (`calibration`) and how it departs from what is assumed of it.

    `law_misfit`: median share by which the levels depart from the line, None where too few are known; `peak_electrons`: at the 99.9th
    percentile of the image; `below_offset`: share of pixels that lie below the offset by more than three read noises; `patterns`: size of
    the fixed patterns of "rows", "columns" and "pixels" in standard deviations of the noise of the median pixel, None where unknown.
    """

    calibration: Calibration
    law_misfit: float | None
    peak_electrons: float
    below_offset: float
    patterns: dict[str, float | None]
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        names = ("law_misfit", "peak_electrons", "below_offset")
        numbers = {name: getattr(self, name) for name in names} | {"patterns": dict(self.patterns)}
        return numbers | {"calibration": self.calibration.to_dict(), "findings": [finding.to_dict() for finding in self.findings]}


def examine_camera(frames: Sequence[np.ndarray] | np.ndarray, calibration: Calibration) -> CameraCheck:
    """Findings about the camera that took `frames` (each `... y x`, ADU; one, or those of a movie), as `calibration` describes it.

    Correlated noise, fixed patterns and clipped pixels break the pairs that a network learns from; a wrong offset or gain bends them.
    Patterns are sought in the frames of the most common size; those of single pixels need four or more.

    >>> from zsdeconv.camera.calibrate import calibrate
    >>> light = np.linspace(0, 200, 128)[:, None] * np.ones(160)
    >>> frame = np.random.default_rng(0).poisson(light) + np.random.default_rng(1).normal(100, 3, light.shape)
    >>> {finding.level for finding in examine_camera([frame], calibrate(frame)).findings}
    {'ok'}
    """
    planes = _planes(frames)
    camera = calibration.camera
    sample = np.concatenate([plane[::2, ::2].ravel() for plane in planes[:: max(1, len(planes) // 16)]]).astype(np.float64)
    above = sample - camera.offset
    peak, middle = float(np.percentile(above, PEAK)), float(np.median(above))
    sigma = float(np.sqrt(camera.gain * max(middle, 0.0) + camera.read_variance))
    found = {
        "rows": line_pattern(planes, 0),
        "columns": line_pattern(planes, 1),
        "pixels": pixel_pattern(planes, calibration.cutoff_per_px),
    }
    patterns = {name: None if p is None else p.size / max(sigma, 1e-30) for name, p in found.items()}
    misfit = _law_misfit(calibration)
    electrons = peak / camera.gain if camera.gain > 0 else float("inf")
    below = float((above < -3 * max(camera.read_noise, 1e-30)).mean())
    findings = [_law(misfit), _correlation(calibration), *(_pattern(name, patterns[name], p) for name, p in found.items())]
    findings += [_clipped(calibration, "top"), _clipped(calibration, "bottom"), _offset(below, calibration)]
    findings += [_gain(electrons, calibration), _read_noise(peak, calibration)]
    return CameraCheck(calibration, misfit, electrons, below, patterns, findings)


def camera_section(check: CameraCheck) -> Section:
    """The camera in the report: the findings, and the noise law drawn over the data."""
    numbers = {name: value for name, value in check.to_dict().items() if name != "findings"}
    caption = "Variance of the noise at each brightness, with standard errors, and the line that the method assumes"
    picture = Picture(caption, lambda figure: draw_calibration(check.calibration, figure), (6.4, 4.0))
    return Section("camera", "Camera", "Does the camera's noise behave as assumed?", check.findings, numbers, [picture])


def _planes(frames: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """All planes (y x) of the size that most of them have."""
    arrays = [frames] if isinstance(frames, np.ndarray) else frames
    planes = [plane for frame in arrays for plane in frame.reshape(-1, *frame.shape[-2:])]
    shapes = [plane.shape for plane in planes]
    common = max(set(shapes), key=shapes.count)
    return [plane for plane in planes if plane.shape == common]


def _law_misfit(calibration: Calibration) -> float | None:
    known = calibration.variance_sigma < KNOWN_LEVEL * calibration.variance
    if known.sum() < 3:
        return None
    camera = calibration.camera
    expected = np.maximum(camera.variance(calibration.signal - camera.offset), 1e-30)
    return float(np.median(np.abs(calibration.variance / expected - 1)[known]))


def _law(misfit: float | None) -> Finding:
    if misfit is None:
        return Finding(
            "warn",
            "noise law",
            0.0,
            LAW_LIMIT,
            "brightness varies too little to see how noise grows with it; give --dark and --flat frames",
        )
    text = f"the noise departs by {100 * misfit:.0f} % from a line over the brightness"
    if misfit <= LAW_LIMIT:
        return Finding("ok", "noise law", misfit, LAW_LIMIT, text)
    advice = "the image has been processed (gamma, compression, averaging), or the detector is not linear: use raw data"
    return Finding("warn", "noise law", misfit, LAW_LIMIT, f"{text} (limit {100 * LAW_LIMIT:.0f} %); {advice}")


def _correlation(calibration: Calibration) -> Finding:
    rho = calibration.noise_correlation
    text = f"noise of neighbouring pixels is correlated by {rho:+.3f}"
    if not calibration.correlated:
        return Finding("ok", "correlated noise", rho, MAX_NOISE_CORRELATION, text)
    advice = "resampled, smoothed or compressed data, on which re-corruption fails; use the camera's raw data, or every 2nd pixel"
    return Finding("fail", "correlated noise", rho, MAX_NOISE_CORRELATION, f"{text} (limit {MAX_NOISE_CORRELATION:g}); {advice}")


def _pattern(name: str, size: float | None, pattern: Pattern | None) -> Finding:
    if size is None or pattern is None:
        what = "four frames of 64 pixels, with frequencies free of the object" if name == "pixels" else "64 x 64 pixels"
        return Finding("ok", f"pattern of {name}", 0.0, PATTERN_LIMIT, f"not to be told: {what} are needed")
    text = f"a fixed pattern of {name} has {100 * size:.0f} % of the noise's standard deviation, {pattern.sigmas:.1f} standard errors"
    if size <= PATTERN_LIMIT or pattern.sigmas <= PATTERN_SIGMAS:
        return Finding("ok", f"pattern of {name}", size, PATTERN_LIMIT, text)
    advice = "it is restored as if it were the object: subtract the mean of dark frames, or use the camera's own correction"
    return Finding("warn", f"pattern of {name}", size, PATTERN_LIMIT, f"{text} (limit {100 * PATTERN_LIMIT:.0f} %); {advice}")


def _clipped(calibration: Calibration, end: str) -> Finding:
    top = end == "top"
    share = calibration.saturated_fraction if top else calibration.floor_fraction
    name = "saturation" if top else "floor"
    text = f"{100 * share:.2g} % of the pixels are clipped at the {end} of the range"
    level: Level = "ok" if share <= MAX_CLIPPED_FRACTION else "warn" if share <= 50 * MAX_CLIPPED_FRACTION or not top else "fail"
    if level == "ok":
        return Finding(level, name, share, MAX_CLIPPED_FRACTION, text)
    advice = "they cannot be restored; lower the exposure" if top else "noise without its lower half; use raw data with an offset"
    return Finding(level, name, share, MAX_CLIPPED_FRACTION, f"{text} (limit {100 * MAX_CLIPPED_FRACTION:g} %); {advice}")


def _offset(below: float, calibration: Calibration) -> Finding:
    camera = calibration.camera
    text = f"{100 * below:.2g} % of the pixels lie below the offset of {camera.offset:.5g} ADU by more than three read noises"
    if below <= BELOW_LIMIT:
        return Finding("ok", "offset", below, BELOW_LIMIT, text)
    return Finding(
        "warn", "offset", below, BELOW_LIMIT, f"{text} (limit {100 * BELOW_LIMIT:g} %); it is too high: give --background, or dark frames"
    )


def _gain(electrons: float, calibration: Calibration) -> Finding:
    gain, sigma = calibration.camera.gain, calibration.gain_sigma
    text = f"{gain:.3g} +- {sigma:.2g} ADU per electron, the brightest places hold {electrons:.3g} electrons"
    if not 1 <= electrons <= BRIGHTEST_E:
        advice = f"1 to {BRIGHTEST_E:g} can be true: rescaled or processed data, or no light; calibrate with --dark and --flat"
        return Finding("warn", "gain", electrons, BRIGHTEST_E, f"{text}; {advice}")
    if sigma > GAIN_ERROR * gain:
        return Finding("warn", "gain", sigma / gain, GAIN_ERROR, f"{text}: known too badly (limit 30 %); calibrate with --dark and --flat")
    return Finding("ok", "gain", electrons, BRIGHTEST_E, text)


def _read_noise(peak: float, calibration: Calibration) -> Finding:
    read = calibration.camera.read_noise
    text = f"read noise {read:.3g} ADU, the brightest places are {peak:.4g} ADU above the offset"
    if read > max(peak, 0.0):
        return Finding("warn", "read noise", read, peak, f"{text}: more noise than signal; lengthen the exposure, or check --background")
    if read <= 0:
        return Finding("warn", "read noise", read, 0.0, f"{text}: no camera is without; calibrate with --dark")
    return Finding("ok", "read noise", read, peak, text)
