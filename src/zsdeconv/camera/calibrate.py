"""Camera offset, gain and read noise from the image itself, or from dark and flat frames, with uncertainties."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.camera.detector import Camera
from zsdeconv.camera.highpass import CUTOFF_RANGE
from zsdeconv.camera.levels import Levels, Line, fit_line
from zsdeconv.camera.offset import combine, darkest_level, skewness_offset
from zsdeconv.camera.photon_transfer import as_frames, dark_constants, flat_levels
from zsdeconv.camera.survey import CORRELATION_LIMIT, Survey, is_correlated, survey_frames
from zsdeconv.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SATURATION_LIMIT = 1e-3


@dataclass(frozen=True)
class Calibration:
    """A camera measured: constants, standard errors, and the points of the photon-transfer line (ADU, ADU^2).

    `signal`, `variance`, `variance_sigma` (one entry per brightness level, signal as recorded, offset included);
    `saturated_fraction` and `floor_fraction` of pixels clipped at the top and at the bottom of the range;
    `noise_correlation` between neighbouring pixels (0 for an untouched camera image, the method needs |.| < 0.08);
    `cutoff_per_px`: frequency (cycles per pixel) above which the image was taken to be pure noise;
    `messages`: what the user should know, one line each.
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

    @property
    def correlated(self) -> bool:
        """Whether the noise is spatially correlated, so that re-corruption (Eq. 2) would fail."""
        return is_correlated(self.noise_correlation, self.noise_correlation_sigma)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        camera = {"offset_adu": self.camera.offset, "gain_adu_per_e": self.camera.gain, "read_noise_adu": self.camera.read_noise}
        arrays = {name: getattr(self, name).tolist() for name in ("signal", "variance", "variance_sigma")}
        names = ("offset_sigma", "gain_sigma", "read_noise_sigma", "saturated_fraction", "floor_fraction", "noise_correlation")
        names += ("noise_correlation_sigma", "cutoff_per_px")
        return camera | {name: float(getattr(self, name)) for name in names} | arrays | {"messages": list(self.messages)}


def calibrate(
    frames: np.ndarray,
    *,
    dark: np.ndarray | None = None,
    flat: np.ndarray | None = None,
    offset: float | None = None,
    cutoff_per_px: float | None = None,
) -> Calibration:
    """Offset `b`, gain `beta1` and read variance `beta2` of the camera that took `frames` (t y x or y x, ADU).

    From the image alone: noise variance against mean beyond the optics' cutoff gives `beta1` and one combination of `b` and
    `beta2`; the darkest places and the noise's skewness give `b` (modules `highpass`, `levels`, `offset`). `dark` and
    `flat` (t y x) replace what they measure better; a given `offset` is kept exactly. `cutoff_per_px` (cycles per pixel,
    2 NA pixel / wavelength) is a help, not a need. Everything scales with the data: `calibrate(a y + c)` is `a gain`,
    `a offset + c`. All frames share one camera, nothing is assumed about what moved between them.

    Raises `ImageError` for frames that cannot be used, `ConfigError` for an impossible offset or cutoff.

    >>> rng = np.random.default_rng(0)
    >>> light = np.linspace(0, 200, 128)[:, None] * np.ones(128)
    >>> found = calibrate(rng.poisson(light) * 2.0 + rng.normal(100, 3, light.shape))
    >>> bool(abs(found.camera.gain - 2) < 0.2)
    True
    """
    stack = as_frames(frames, "the image")
    if offset is not None and not np.isfinite(offset):
        raise ConfigError(f"offset {offset} is not a number of ADU; give --background as a number, or auto")
    if cutoff_per_px is not None and not (np.isfinite(cutoff_per_px) and cutoff_per_px > 0):
        raise ConfigError(f"cutoff {cutoff_per_px} cycles per pixel must be positive; check --na, --wavelength-nm and --pixel-um")
    survey = survey_frames(stack, cutoff_per_px)
    messages = _clip_messages(survey) + _correlation_messages(survey)
    known = None if dark is None else dark_constants(dark)
    if known and offset is not None:
        known = (float(offset), 0.0, *known[2:])
    line, levels = _transfer_line(survey, flat, known)
    if known:
        b, b_sigma, read, read_sigma = known
    else:
        b, b_sigma = _find_offset(survey, line) if offset is None else (float(offset), 0.0)
        line, read, read_sigma = _read_variance(survey, levels, line, (b, b_sigma), messages)
    gain, gain_sigma, read = _positive_gain(survey, levels, line, (b, read), messages)
    rho, rho_sigma, _ = survey.correlation
    return Calibration(
        Camera(b, float(gain), float(read)), b_sigma, float(gain_sigma), float(np.sqrt(read + read_sigma) - np.sqrt(read)),
        levels.signal, levels.variance, levels.variance_sigma, survey.fractions[1], survey.fractions[0],
        rho, rho_sigma, survey.cutoff, tuple(messages),
    )  # fmt: skip


def _transfer_line(survey: Survey, flat: np.ndarray | None, known: tuple[float, float, float, float] | None) -> tuple[Line, Levels]:
    """Line of variance against recorded signal: of the flat frames if there are any, through the dark's point if known."""
    through = (known[0], known[2]) if known else None
    levels = survey.levels.moved(survey.shift)
    if flat is None:
        return fit_line(levels, survey.kernel.spread, through), levels
    bright = flat_levels(flat)
    line = fit_line(bright, 1.0, through)
    return (line, bright) if known else (line.through_middle_of(levels), levels)


def _find_offset(survey: Survey, line: Line) -> tuple[float, float]:
    """Offset (ADU) and standard error from the darkest level and the skewness; the variance there exceeds that of rounding."""
    local = line.moved(-survey.shift)
    darkest = darkest_level(survey.frames, local)
    pure = survey.cutoff < CUTOFF_RANGE[1] and not _correlation_messages(survey)
    skewness = skewness_offset(survey.levels, local, survey.kernel) if pure else (0.0, np.inf)
    lowest = -np.inf
    if local.slope > 0:
        lowest = (_least_variance(survey) - local.intercept - 2 * local.sigma_at(darkest[0])) / local.slope
    offset, sigma = combine(darkest, skewness, lowest)
    return offset + survey.shift, sigma


def _read_variance(
    survey: Survey, levels: Levels, line: Line, offset: tuple[float, float], messages: list[str]
) -> tuple[Line, float, float]:
    """Line, `beta2` = variance at the offset, and its standard error; a line that falls below rounding noise is refitted."""
    read, least = line.at(offset[0]), _least_variance(survey)
    sigma = float(np.hypot(line.sigma_at(offset[0]), line.slope * offset[1]))
    if read >= least:
        return line, read, sigma
    messages.append(
        f"the variance at the offset comes out as {read:.3g} ADU^2, under the {least:.3g} that rounding alone makes: taken as {least:.3g}; "
        "for the true read noise give dark frames with --dark"
    )
    return fit_line(levels, survey.kernel.spread, (offset[0], least)), least, sigma


def _least_variance(survey: Survey) -> float:
    """Variance (ADU^2) that no image undercuts: rounding to grey values makes `step^2 / 12`."""
    return max(survey.step**2 / 12, 1e-4 * float(np.median(survey.levels.variance)))


def _positive_gain(
    survey: Survey, levels: Levels, line: Line, point: tuple[float, float], messages: list[str]
) -> tuple[float, float, float]:
    """Gain above 0, its standard error, and the read variance that keeps the line's height at the mean signal.

    Where brightness hardly varies the slope is undetermined; a half-normal prior as wide as the noise itself then decides
    (a gain larger than the noise would mean that less than one electron made it).
    """
    from scipy.special import log_ndtr

    gain, sigma = line.slope, float(np.sqrt(line.covariance[0, 0]))
    if sigma > 0.3 * abs(gain) or gain <= 0:
        messages.append(
            f"gain {gain:.3g} +- {sigma:.2g} ADU per electron: brightness varies too little to measure it; give --dark and --flat frames"
        )
    if gain > 3 * sigma:
        return gain, sigma, point[1]
    middle = float(np.average(levels.signal, weights=levels.count))
    height = max(line.at(middle), _least_variance(survey))
    shrink = height / (height + sigma**2)
    mean, width = gain * shrink, sigma * float(np.sqrt(shrink))
    ratio = mean / max(width, 1e-300)
    # mean of a normal distribution cut off at zero
    hazard = float(np.exp(-0.5 * ratio**2 - log_ndtr(ratio))) / np.sqrt(2 * np.pi)
    gain = mean + width * hazard
    return (
        gain,
        float(width * np.sqrt(max(1 - hazard * (hazard + ratio), 1e-3))),
        max(height - gain * max(middle - point[0], 0.0), _least_variance(survey)),
    )


def _clip_messages(survey: Survey) -> list[str]:
    bottom, top = survey.fractions
    found = []
    if top > SATURATION_LIMIT:
        found.append(
            f"saturated: {100 * top:.2g} % of the pixels sit at the top value {_limit(survey, 1):.6g} (limit 0.1 %) "
            "and cannot be restored; lower the exposure"
        )
    if bottom > SATURATION_LIMIT:
        found.append(
            f"clipped: {100 * bottom:.2g} % of the pixels sit at the lowest value {_limit(survey, 0):.6g} (limit 0.1 %), "
            "so offset and read noise are guesses; use raw data, or give --background and --dark"
        )
    return found


def _limit(survey: Survey, end: int) -> float:
    """Value (ADU) at which the frames are clipped, without the rounding of float32 that the shift leaves in a zero."""
    limit = survey.clip[end] + survey.shift
    return limit if abs(limit) > 1e-6 * abs(survey.shift) else 0.0


def _correlation_messages(survey: Survey) -> list[str]:
    rho, sigma, _ = survey.correlation
    if not is_correlated(rho, sigma):
        return []
    return [
        f"noise of neighbouring pixels is correlated by {rho:.2f} (limit {CORRELATION_LIMIT}): resampled, smoothed or compressed "
        "data, on which re-corruption fails; use the camera's raw data, or every 2nd pixel in each direction"
    ]


def plot_calibration(calibration: Calibration, path: str | os.PathLike[str]) -> None:
    """Picture of the photon-transfer line: variance (ADU^2) of each brightness level against its mean (ADU), with the fit.

    The format follows the extension of `path` (png, pdf, svg). Raises what the file system raises.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    draw_calibration(calibration, figure)
    figure.savefig(path, dpi=150)


def draw_calibration(calibration: Calibration, figure: Figure) -> None:
    """The picture of `plot_calibration`, drawn into a figure."""
    camera = calibration.camera
    axes = figure.add_subplot()
    axes.errorbar(
        calibration.signal,
        calibration.variance,
        calibration.variance_sigma,
        fmt="o",
        ms=4,
        lw=1,
        color="#2463a8",
        label="brightness levels of the image",
    )
    ends = np.array([camera.offset, max(float(calibration.signal.max()), camera.offset + 1e-9)])
    label = f"variance = {camera.gain:.3g} (signal - {camera.offset:.5g}) + {camera.read_variance:.3g}"
    axes.plot(ends, camera.variance(ends - camera.offset), color="#c8641e", label=label)
    axes.axvline(camera.offset, color="0.4", lw=1, ls="--", label=f"offset {camera.offset:.5g} $\\pm$ {calibration.offset_sigma:.2g} ADU")
    read = f"read noise {camera.read_noise:.3g} $\\pm$ {calibration.read_noise_sigma:.2g} ADU"
    axes.set_title(f"gain {camera.gain:.3g} $\\pm$ {calibration.gain_sigma:.2g} ADU per electron, {read}", fontsize=10)
    axes.set_xlabel("mean signal as recorded (ADU)")
    axes.set_ylabel("noise variance (ADU$^2$)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
