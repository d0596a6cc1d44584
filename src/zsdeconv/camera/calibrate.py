"""Camera offset, gain and read noise from the image itself, or from dark and flat frames, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zsdeconv.camera.averages import average_message
from zsdeconv.camera.detector import Camera, Counter, Multiplier
from zsdeconv.camera.given_offset import contradiction
from zsdeconv.camera.highpass import CUTOFF_RANGE_PER_PX
from zsdeconv.camera.levels import Levels, TransferLine, fit_line
from zsdeconv.camera.offset import combine, dark_of, darkest_level, skewness_of
from zsdeconv.camera.photon_transfer import as_frames, dark_constants, flat_levels
from zsdeconv.camera.recognise import NOTHING_KNOWN, Recognition, count_unit, is_counting, recognise
from zsdeconv.camera.survey import MAX_NOISE_CORRELATION, Survey, is_correlated, survey_frames
from zsdeconv.errors import ConfigError
from zsdeconv.findings import rounded
from zsdeconv.image import ImageLike

MAX_CLIPPED_FRACTION = 1e-3
"""Fraction of clipped pixels above which a message warns of it. Chosen: fewer are hot pixels or single bright spots."""
MAX_GAIN_ERROR_RATIO = 0.3
"""Relative standard error of the gain above which a message warns of it. Chosen: below the range of gains in re-corruption, 0.5."""
MIN_GAIN_SIGMAS = 3
"""Gain, in standard errors, below which the prior of a positive gain is used. Chosen: the usual 3 sigma."""
MISFIT = 2.0
"""Factor on the standard errors of a fitted histogram. Measured: dark pixels are not quite negative binomial, offsets are off by twice as
much as counting alone would make them."""


@dataclass(frozen=True)
class Calibration:
    """A measured camera: its constants with standard errors, and the points of the photon-transfer line (ADU, ADU^2).

    `signal`, `variance` and `variance_sigma` have one entry per brightness level, the signal as recorded with the offset.
    `saturated_fraction` and `floor_fraction` are the fractions of pixels clipped at the top and at the bottom of the range,
    `noise_correlation` is that between neighbouring pixels (near 0 for raw camera data; the method requires |.| < 0.08),
    `cutoff_per_px` the frequency (cycles per pixel) above which the image is pure noise. `messages` are warnings, one line each,
    `fit_messages` those of them that say how badly the image knows the constants. `detector_source` says how the kind of the detector came
    to be known, `found` what the shape of the noise says of it (None for counts), `contradiction` what speaks against a given offset, and
    `own_offset` the offset that the image itself tells where one was given, with its standard error (ADU).
    """

    camera: Camera
    offset_sigma: float
    gain_sigma: float
    read_noise_sigma: float
    signal: np.ndarray
    variance: np.ndarray
    variance_sigma: np.ndarray
    saturated_fraction: float
    floor_fraction: float
    noise_correlation: float
    noise_correlation_sigma: float
    cutoff_per_px: float
    messages: tuple[str, ...]
    detector_source: str = "given"
    fit_messages: tuple[str, ...] = ()
    found: Recognition | None = None
    contradiction: str = ""
    own_offset: tuple[float, float] | None = None

    @property
    def correlated(self) -> bool:
        """Whether the noise is spatially correlated, in which case re-corruption (Eq. 2) needs its covariance."""
        return is_correlated(self.noise_correlation, self.noise_correlation_sigma)

    @property
    def unaccounted(self) -> bool:
        """Whether the noise is correlated in a way that could not be measured, so that re-corruption fails."""
        return self.correlated and not self.camera.correlation

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists, ready for JSON."""
        camera = {"detector": self.camera.kind, "detector_source": self.detector_source, "excess": self.camera.excess}
        memory, lines = self.camera.correlation, self.camera.lines
        camera["noise_memory"] = {"kernel": [list(row) for row in memory.kernel], "along_x": memory.along_x, "along_y": memory.along_y}
        camera["line_offsets_adu"] = {"rows": lines.rows, "columns": lines.columns}
        camera |= {"offset_adu": self.camera.offset, "gain_adu_per_e": self.camera.gain, "read_noise_adu": self.camera.read_noise}
        if self.found is not None:
            shape = {"kind": self.found.kind, "skewness_ratio": self.found.ratio, "skewness_ratio_sigma": self.found.ratio_sigma}
            camera["noise_shape"] = shape | {"log_likelihood_ratio": self.found.evidence}
        arrays = {name: getattr(self, name).tolist() for name in ("signal", "variance", "variance_sigma")}
        names = ("offset_sigma", "gain_sigma", "read_noise_sigma", "saturated_fraction", "floor_fraction", "noise_correlation")
        names += ("noise_correlation_sigma", "cutoff_per_px")
        return camera | {name: float(getattr(self, name)) for name in names} | arrays | {"messages": list(self.messages)}


def calibrate(
    frames: ImageLike,
    *,
    dark: ImageLike | None = None,
    flat: ImageLike | None = None,
    offset: float | None = None,
    cutoff_per_px: float | None = None,
    detector: str = "auto",
    memory: bool = True,
) -> Calibration:
    """Offset `b`, gain and read variance `beta2` of a detector (Eq. 3), and which kind of detector it is.

    Without dark and flat frames, noise variance against mean beyond the cutoff of the optics gives `beta1` and one
    combination of `b` and `beta2`; the darkest level and the skewness of the noise give `b` (modules `highpass`, `levels`,
    `offset`). The result is equivariant: `calibrate(a y + c)` has the gain `a gain` and the offset `a offset + c`. The sample may
    change between frames.

    Parameters
    ----------
    frames
        Images of one camera, ADU: an `Image`, the path of a file, or an array t y x or y x.
    dark, flat
        Dark frames, and flat frames of uniform light (t y x); they replace what they determine better.
    offset
        Known offset (ADU), which is then kept exactly.
    cutoff_per_px
        Cutoff of the optics in cycles per pixel, 2 NA pixel / wavelength; detected in the spectrum by default.
    detector
        Kind of the detector: camera, emccd or counting; by default told from the shape of the noise (module `recognise`).
    memory
        Whether offsets of lines and the correlation of the noise are measured, for images whose pairs account for them.

    Raises
    ------
    ImageError
        For frames that cannot be used.
    ConfigError
        For an impossible offset or cutoff, and for pixels that are no numbers of photons where counting is given.

    References
    ----------
    Photon transfer: Janesick, Photon Transfer, SPIE Press (2007).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> light = np.linspace(0, 200, 128)[:, None] * np.ones(128)
    >>> calibration = calibrate(rng.poisson(light) * 2.0 + rng.normal(100, 3, light.shape))
    >>> bool(abs(calibration.camera.gain - 2) < 0.2)
    True
    """
    stack = as_frames(frames, "the image")
    dark = None if dark is None else as_frames(dark, "the dark image", 2)
    flat = None if flat is None else as_frames(flat, "the flat image", 2)
    if offset is not None and not np.isfinite(offset):
        raise ConfigError(f"offset {offset} ADU, it must be a finite number; give background as a number, or auto")
    if cutoff_per_px is not None and not (np.isfinite(cutoff_per_px) and cutoff_per_px > 0):
        raise ConfigError(f"cutoff {cutoff_per_px} cycles per pixel, it must be positive; check na, wavelength_nm and pixel_um")
    counted = _counting(stack, cutoff_per_px, offset, detector, memory) if dark is None and flat is None else None
    if counted is not None:
        return counted
    survey = survey_frames(stack, cutoff_per_px, memory=memory)
    messages = _clip_messages(survey) + _correlation_messages(survey) + _line_messages(survey)
    known = None if dark is None else dark_constants(dark)
    if known and offset is not None:
        known = (float(offset), 0.0, *known[2:])
    line, levels = _transfer_line(survey, flat, known)
    white = not is_correlated(*survey.correlation[:2])
    recognition = recognise(survey.frames, survey.levels, line.moved(-survey.shift), survey.kernel) if white else NOTHING_KNOWN
    multiplied, source = _is_multiplied(recognition, detector, messages)
    law = _multiplier(recognition, line) if multiplied else Camera(0.0, 1.0, 0.0)
    of_data = len(messages)
    own = None if known or offset is None else _own_offset(survey, line, recognition if multiplied else None)
    against = "" if own is None or offset is None else contradiction(offset, line, _least_variance(survey), own, _light(survey))
    messages += [against] if against else []
    if known:
        b, b_sigma, read, read_sigma = known
    elif multiplied:
        b, b_sigma, read, read_sigma = _dark_constants_of(recognition, survey, offset)
        line = fit_line(levels, survey.kernel.spread, (b, read), kurtosis=law.kurtosis)
    else:
        b, b_sigma = _find_offset(survey, line) if offset is None else (float(offset), 0.0)
        told = [] if against else messages
        line, read, read_sigma = _read_variance(survey, levels, line, (b, b_sigma), told)
    beta1, beta1_sigma, read = _positive_gain(survey, levels, line, (b, read), messages)
    camera = replace(law, offset=b, gain=beta1 / law.excess, read_variance=float(read))
    messages += average_message(survey.step, float(np.ptp(levels.signal)), camera.gain, beta1_sigma / law.excess)
    sigmas = (b_sigma, beta1_sigma / law.excess, float(np.sqrt(read + read_sigma) - np.sqrt(read)))
    result = _result(survey, camera, sigmas, levels, messages)
    fit_messages = result.messages[of_data:]
    return replace(result, detector_source=source, found=recognition, fit_messages=fit_messages, contradiction=against, own_offset=own)


def _result(survey: Survey, camera: Camera, sigmas: tuple[float, float, float], levels: Levels, messages: Sequence[str]) -> Calibration:
    """With the standard errors of offset, gain and read noise."""
    rho, rho_sigma, _ = survey.correlation
    camera = replace(camera, correlation=survey.memory, lines=survey.lines)
    return Calibration(
        camera, sigmas[0], sigmas[1], sigmas[2],
        levels.signal, levels.variance, levels.variance_sigma, survey.fractions[1], survey.fractions[0],
        rho, rho_sigma, survey.cutoff, tuple(messages),
    )  # fmt: skip


def _counting(stack: np.ndarray, cutoff_per_px: float | None, offset: float | None, detector: str, memory: bool) -> Calibration | None:
    """The calibration of a photon counter, if the frames are numbers of photons; their unit is the distance of grey values."""
    if detector not in ("auto", "counting"):
        return None
    unit = count_unit(stack)
    if unit is None and detector == "counting":
        raise ConfigError(
            "detector counting: the pixels are not whole numbers from 0 on, as photons are; give detector auto, or the raw counts"
        )
    if unit is None:
        return None
    survey = survey_frames(stack, cutoff_per_px, floor=False, memory=memory)
    levels = survey.levels.moved(survey.shift)
    counts, words = is_counting(fit_line(levels, survey.kernel.spread), unit)
    if detector == "auto" and not (counts and not is_correlated(*survey.correlation[:2])):  # filtered counts are no whole numbers
        return None
    messages = _correlation_messages(survey)
    if not counts:
        messages.append(f"told to be a photon counter, but {words}; leave out detector, or check that the values were not rescaled")
    if detector == "auto" and offset not in (None, 0):
        messages.append(f"background {offset:g} ADU of a photon counter, whose counts start at 0; leave it out, or give detector camera")
    camera = Counter(0.0 if offset is None else float(offset), float(unit))
    source = "given" if detector == "counting" else f"counts from 0 on, {words}"
    survey = replace(survey, fractions=(0.0, survey.fractions[1]))
    return replace(_result(survey, camera, (0.0, 0.0, 0.0), levels, messages), detector_source=source)


def _is_multiplied(recognition: Recognition, detector: str, messages: list[str]) -> tuple[bool, str]:
    """Whether the detector multiplies electrons, and how that is known; what contradicts a given kind is added to `messages`."""
    kind = recognition.kind
    if detector == "auto":
        found = f"from the noise: {recognition.words}" if kind else f"could not be told from the noise ({recognition.words})"
        return kind == "emccd", found
    if kind and kind != detector:
        told = f"detector {detector} was given, but the noise is that of {kind}"
        messages.append(f"{told}: {recognition.words}; leave it out, or check the file")
    if detector == "emccd" and not recognition.fits:
        why = "its gain cannot be measured, as brightness varies too little or an electron is less than a grey value"
        raise ConfigError(f"detector emccd: {why}; give detector auto, or a larger field")
    return detector == "emccd", "given"


def _multiplier(recognition: Recognition, line: TransferLine) -> Multiplier:
    shape = getattr(recognition.fits["emccd"].law, "shape", 1)
    return Multiplier(0.0, line.slope / (1 + 1 / shape), 0.0, shape)


def _dark_constants_of(recognition: Recognition, survey: Survey, offset: float | None) -> tuple[float, float, float, float]:
    """Offset, its standard error, read variance and its standard error of a multiplier, from its darkest pixels."""
    fit = recognition.fits["emccd"]
    read = max(fit.law.read_variance, survey.step**2 / 12)
    read_sigma = 2 * fit.law.read_noise * MISFIT * fit.read_noise_sigma
    if offset is not None:
        return float(offset), 0.0, read, read_sigma
    return fit.law.offset + survey.shift, MISFIT * fit.offset_sigma, read, read_sigma


def _transfer_line(survey: Survey, flat: np.ndarray | None, known: tuple[float, float, float, float] | None) -> tuple[TransferLine, Levels]:
    """Photon-transfer line (signal as recorded) and its levels, from the flat frames if given, through the `known` point of dark frames."""
    through = (known[0], known[2]) if known else None
    levels = survey.levels.moved(survey.shift)
    if flat is None:
        return fit_line(levels, survey.kernel.spread, through), levels
    bright = flat_levels(flat)
    line = fit_line(bright, 1.0, through)
    return (line, bright) if known else (line.through_mean_of(levels), levels)


def _find_offset(survey: Survey, line: TransferLine) -> tuple[float, float]:
    """Offset (ADU) and its standard error from darkest level and skewness, at least where the variance is that of rounding."""
    local = line.moved(-survey.shift)
    darkest = darkest_level(survey.frames, local.scaled(survey.memory.pixels))  # of means over many pixels
    pure = survey.cutoff < CUTOFF_RANGE_PER_PX[1] and not is_correlated(*survey.correlation[:2])
    skewness = skewness_of(survey.levels, local, survey.kernel) if pure else None
    floor = -survey.shift if min(float(frame.min()) for frame in survey.frames) >= -survey.shift else -np.inf  # offsets are not negative
    offset, sigma = combine(darkest, skewness, dark_of(local, darkest[0], _least_variance(survey)), floor)
    return offset + survey.shift, sigma


def _own_offset(survey: Survey, line: TransferLine, multiplier: Recognition | None) -> tuple[float, float]:
    """The offset that the image itself tells, and its standard error (ADU)."""
    return _find_offset(survey, line) if multiplier is None else _dark_constants_of(multiplier, survey, None)[:2]


def _light(survey: Survey) -> float:
    """Range of the brightness levels, ADU."""
    return float(np.ptp(survey.levels.signal))


def _read_variance(
    survey: Survey, levels: Levels, line: TransferLine, offset: tuple[float, float], messages: list[str]
) -> tuple[TransferLine, float, float]:
    """Photon-transfer line, read variance `beta2` and its standard error.

    `beta2` is the variance of `line` at `offset`, a pair of value and standard error. Where that lies below the variance of rounding, the
    line is refitted to `levels` through the latter, and a warning is added to `messages`.
    """
    read, least = line.at(offset[0]), _least_variance(survey)
    sigma = float(np.hypot(line.sigma_at(offset[0]), line.slope * offset[1]))
    if read >= least:
        return line, read, sigma
    messages.append(
        f"the variance at the offset comes out as {read:.3g} ADU^2, below the variance {least:.3g} of rounding, which is used "
        "instead; the true read noise is that of dark frames (zsdeconv calibrate)"
    )
    return fit_line(levels, survey.kernel.spread, (offset[0], least)), least, sigma


def _least_variance(survey: Survey) -> float:
    """Smallest possible variance (ADU^2), that of rounding to grey values, `step^2 / 12`."""
    return max(survey.step**2 / 12, 1e-4 * float(np.median(survey.levels.variance)))


def _positive_gain(
    survey: Survey, levels: Levels, line: TransferLine, point: tuple[float, float], messages: list[str]
) -> tuple[float, float, float]:
    """Positive gain, its standard error, and the read variance that keeps the height of `line` at the mean signal of `levels`.

    Where the brightness hardly varies the slope is undetermined. Then a half-normal prior as wide as the noise is used, because
    a gain above the standard deviation of the noise would mean less than one electron per pixel. `point` is the pair of offset
    and read variance; a warning is added to `messages`.
    """
    from scipy.special import log_ndtr

    gain, sigma = float(line.slope), float(np.sqrt(line.covariance[0, 0]))
    if sigma > MAX_GAIN_ERROR_RATIO * abs(gain) or gain <= 0:
        messages.append(
            f"gain {gain:.3g} +- {rounded(sigma)} ADU per electron: brightness varies too little to measure it; measure the "
            "camera with dark and flat frames (zsdeconv calibrate)"
        )
    if gain > MIN_GAIN_SIGMAS * sigma:
        return gain, sigma, point[1]
    mean_signal = float(np.average(levels.signal, weights=levels.count))
    height = max(line.at(mean_signal), _least_variance(survey))
    shrink = height / (height + sigma**2)
    mean, width = gain * shrink, sigma * float(np.sqrt(shrink))
    ratio = mean / max(width, 1e-300)
    # mean of a normal distribution truncated at zero
    hazard = float(np.exp(-0.5 * ratio**2 - log_ndtr(ratio))) / np.sqrt(2 * np.pi)
    gain = float(mean + width * hazard)
    return (
        gain,
        float(width * np.sqrt(max(1 - hazard * (hazard + ratio), 1e-3))),
        max(height - gain * max(mean_signal - point[0], 0.0), _least_variance(survey)),
    )


def _clip_messages(survey: Survey) -> list[str]:
    bottom, top = survey.fractions
    messages = []
    if top > MAX_CLIPPED_FRACTION:
        messages.append(
            f"saturated: {100 * top:.3g} % of the pixels have the top value {_limit(survey, 1):.6g} (limit 0.1 %) "
            "and cannot be restored; lower the exposure"
        )
    if bottom > MAX_CLIPPED_FRACTION:
        messages.append(
            f"clipped: {100 * bottom:.3g} % of the pixels have the lowest value {_limit(survey, 0):.6g} (limit 0.1 %), "
            "so offset and read noise are uncertain; use raw data, or give background and dark"
        )
    return messages


def _limit(survey: Survey, end: int) -> float:
    """Value (ADU) at which the frames are clipped; zero without the rounding error that the shift in float32 leaves."""
    limit = survey.clip[end] + survey.shift
    return limit if abs(limit) > max(1e-6 * abs(survey.shift), float(np.finfo(np.float32).tiny)) else 0.0


def _correlation_messages(survey: Survey) -> list[str]:
    rho, sigma, _ = survey.correlation
    if not is_correlated(rho, sigma):
        return []
    memory = survey.memory
    if memory:
        found = f"noise of neighbouring pixels is correlated by {memory.along_x:.2f} along x and {memory.along_y:.2f} along y"
        return [f"{found}, +- {memory.sigma:.2f}: pairs are made with noise of this correlation; raw data, if there are any, need none"]
    return [
        f"noise of neighbouring pixels is correlated by {rho:.2f} (limit {MAX_NOISE_CORRELATION}): resampled, smoothed or compressed "
        "data, for which re-corruption fails; use the camera's raw data, or every 2nd pixel in each direction"
    ]


def _line_messages(survey: Survey) -> list[str]:
    lines = survey.lines
    sizes = {"rows": lines.rows, "columns": lines.columns}
    found = [f"{name} have offsets of {rounded(size)} ADU (rms)" for name, size in sizes.items() if size]
    return [f"{' and '.join(found)}: they are estimated and removed"] if found else []
