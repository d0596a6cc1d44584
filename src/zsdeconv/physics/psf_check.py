"""The PSF doctor: findings about a PSF, and about a pixel size, each with a value, a limit and advice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from zsdeconv.errors import DataWarning
from zsdeconv.physics.resample import core_offset

if TYPE_CHECKING:
    from zsdeconv.physics.kernel import Psf
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.psf_file import MeasuredPsf

Level = Literal["ok", "warn", "fail"]

AIRY_FWHM = 0.5145
"""Full width at half maximum of the Airy pattern in units of wavelength / NA."""


@dataclass(frozen=True)
class Finding:
    """One observation: `level` "ok", "warn" or "fail", the `value` met, the `limit` beyond which it is not ok, and advice."""

    level: Level
    name: str
    value: float
    limit: float
    message: str


def check_psf(psf: Psf | MeasuredPsf, *, optics: Optics | None = None, spacing_um: tuple[float, ...] | None = None) -> list[Finding]:
    """What is right and wrong with a PSF, given the `optics` and the fine grid's `spacing_um` where known.

    A `MeasuredPsf` is judged as recorded (offset, background) and then as mended; what `mended` cures is at worst a
    warning. Raises `OpticsError` when a `MeasuredPsf` cannot be mended at all.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf import theoretical_psf
    >>> optics = Optics(1.4, 525)
    >>> {finding.level for finding in check_psf(theoretical_psf(optics, (0.03, 0.03)), optics=optics)}
    {'ok'}
    """
    from zsdeconv.physics.kernel import Psf

    mended = psf if isinstance(psf, Psf) else psf.mended()
    recorded = [_centring(core_offset(psf.values), 0.1)] if isinstance(psf, Psf) else _as_recorded(psf)
    findings = [*recorded, _sum(mended.values), _negative(mended.values), _border(mended.values), _symmetry(mended.values)]
    findings.append(_sampling(mended, optics, spacing_um))
    if optics is not None:
        findings.append(_width(mended, optics))
    return findings


def fwhm_um(psf: Psf) -> float:
    """Full width at half maximum in the focal plane (geometric mean over y and x), micrometres.

    Raises nothing; a PSF that never falls to half counts as wide as its array.
    """
    centre = tuple(n // 2 for n in psf.values.shape)
    widths = []
    for axis in (-2, -1):
        index: list[int | slice] = list(centre)
        index[axis] = slice(None)
        widths.append(_profile_fwhm(psf.values[tuple(index)]) * psf.spacing_um[axis])
    return float(np.sqrt(widths[0] * widths[1]))


def sampling_finding(optics: Optics, pixel_um: float, scale: int) -> Finding:
    """Whether raw pixels of `pixel_um`, divided by `scale`, suit the optics.

    The fine grid must carry every frequency that the lens transmits: pixel / scale <= wavelength / (4 NA). More than ten
    times finer than that, light is spread over so many pixels that the pixel size is more likely wrong.

    >>> from zsdeconv.physics.optics import Optics
    >>> sampling_finding(Optics(1.4, 525), 0.15, 1).level, sampling_finding(Optics(1.4, 525), 0.15, 2).level
    ('warn', 'ok')
    """
    fine, limit = pixel_um / scale, optics.nyquist_um
    name = "sampling"
    if fine > limit * (1 + 1e-6):
        finer = "give --scale 2" if scale == 1 and pixel_um <= 2 * limit else "record smaller pixels"
        limit_text = f"wavelength/(4 NA) = {limit:.3g} um"
        message = f"pixel {pixel_um:g} um / scale {scale} is coarser than {limit_text}; {finer}, or check --pixel-um and --na"
        return Finding("warn", name, fine, limit, message)
    if fine < limit / 10:
        advice = "bin the image, or check --pixel-um (in micrometres)" + ("; --scale 1 saves time" if scale > 1 else "")
        message = f"pixel {pixel_um:g} um / scale {scale} is more than 10 times finer than wavelength/(4 NA) = {limit:.3g} um; {advice}"
        return Finding("warn", name, fine, limit / 10, message)
    return Finding("ok", name, fine, limit, f"pixel {pixel_um:g} um / scale {scale}, wavelength/(4 NA) = {limit:.3g} um")


def check_sampling(optics: Optics, pixel_um: float, scale: int) -> None:
    """Warn (`DataWarning`) when `sampling_finding` is not ok."""
    finding = sampling_finding(optics, pixel_um, scale)
    if finding.level != "ok":
        warnings.warn(finding.message, DataWarning, stacklevel=2)


def _judged(name: str, value: float, limits: tuple[float, float], ok: str, advice: str) -> Finding:
    """A finding by size: above the first limit a warning, above the second a failure."""
    level: Level = "fail" if value > limits[1] else "warn" if value > limits[0] else "ok"
    return Finding(level, name, float(value), limits[0], ok if level == "ok" else f"{ok} (limit {limits[0]:g}); {advice}")


def _as_recorded(measured: MeasuredPsf) -> list[Finding]:
    light = (measured.values - measured.background).sum()
    share = measured.background * measured.values.size / light
    text = f"background {measured.background:.4g}, {100 * share:.1f} % of the PSF's light"
    background = _judged("background", abs(share), (0.01, np.inf), text, "it is subtracted")
    return [_centring(np.array(measured.offset_px), 0.5), background]


def _centring(offset_px: np.ndarray, limit: float) -> Finding:
    text = f"core {', '.join(f'{o:+.2f}' for o in offset_px)} pixels from the middle"
    return _judged("centring", float(np.abs(offset_px).max()), (limit, np.inf), text, "it is shifted back")


def _sum(values: np.ndarray) -> Finding:
    return _judged("sum", abs(values.sum() - 1), (1e-6, 1e-3), f"sum {values.sum():.6f}", "use Psf.from_array")


def _negative(values: np.ndarray) -> Finding:
    share = np.abs(values[values < 0]).sum() / values[values > 0].sum()
    text = f"negative values hold {100 * share:.2f} % of the light"
    return _judged("negative", share, (0.02, 0.2), text, "average more beads, or give --na and --wavelength-nm")


def _border(values: np.ndarray) -> Finding:
    """Light per sample on the border relative to the peak: what is cut off there."""
    inner = values[tuple(slice(1, -1) for _ in values.shape)]
    border = (values.sum() - inner.sum()) / max(values.size - inner.size, 1) / values.max()
    return _judged(
        "size", abs(border), (0.01, 0.2), f"border at {100 * border:.2f} % of the peak", "the PSF is cut off: give a larger field"
    )


def _symmetry(values: np.ndarray) -> Finding:
    turned = values[tuple(slice(None, None, -1) for _ in values.shape)]
    odd = np.abs(values - turned).sum() / (2 * np.abs(values).sum())
    text = f"{100 * odd:.1f} % differs from the PSF turned by 180 degrees"
    return _judged("symmetry", odd, (0.15, np.inf), text, "coma, a neighbour, or noise: look at it")


def _sampling(psf: Psf, optics: Optics | None, spacing_um: tuple[float, ...] | None) -> Finding:
    """Lateral pixel against what it has to carry: the optics where known, else the fine grid, else the PSF's own width."""
    pixel = max(psf.spacing_um[-2:])
    if optics is not None:
        limit, what = optics.nyquist_um, "wavelength/(4 NA)"
    elif spacing_um is not None:
        limit, what = 2 * min(spacing_um[-2:]), "twice the image's fine pixel"
    else:
        limit, what = fwhm_um(psf) / 2, "half its own width"
    relative = pixel / limit
    level: Level = "ok" if relative <= 1.001 else "warn" if relative <= 1.5 else "fail"
    advice = "" if level == "ok" else "; give a finer PSF, or correct --psf-pixel-um"
    return Finding(level, "sampling", pixel, limit, f"pixel {pixel:.4g} um, limit {what} = {limit:.3g} um{advice}")


def _width(psf: Psf, optics: Optics) -> Finding:
    expected, width = AIRY_FWHM * optics.wavelength_um / optics.na, fwhm_um(psf)
    ratio = width / expected
    level: Level = "ok" if 0.85 <= ratio <= 1.5 else "warn" if 0.6 <= ratio <= 3 else "fail"
    advice = (
        ""
        if level == "ok"
        else "; check --na, --wavelength-nm and --psf-pixel-um" + ("" if ratio < 1 else ", the bead's size and the focus")
    )
    return Finding(level, "fwhm", width, 1.5 * expected, f"width {width:.3g} um, theory {expected:.3g} um{advice}")


def _profile_fwhm(profile: np.ndarray) -> float:
    """Width at half of the middle value, in samples, by linear interpolation on either side."""
    middle = len(profile) // 2
    return sum(_half_distance(side / profile[middle]) for side in (profile[middle:], profile[middle::-1]))


def _half_distance(side: np.ndarray) -> float:
    """Where a falling profile, 1 at index 0, first crosses 0.5."""
    below = np.flatnonzero(side < 0.5)
    if not len(below):
        return len(side) - 0.5
    k = int(below[0])
    return k - (0.5 - side[k]) / (side[k - 1] - side[k])
