"""The PSF doctor: findings about a PSF, and about a pixel size, each with a value, a limit and advice."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from zsdeconv.errors import DataWarning
from zsdeconv.findings import Finding, Level
from zsdeconv.physics.resample import core_offset

if TYPE_CHECKING:
    from zsdeconv.physics.optics import Optics
    from zsdeconv.physics.psf import Psf
    from zsdeconv.physics.psf_file import MeasuredPsf

NEGATIVE = "negative"
"""Name of the finding on negative values, which are real in the PSF of a reconstruction."""


def check_psf(psf: Psf | MeasuredPsf, *, optics: Optics | None = None, spacing_um: tuple[float, ...] | None = None) -> list[Finding]:
    """What is right and wrong with a PSF, given the `optics` and the fine grid's `spacing_um` where known.

    A `MeasuredPsf` is judged as recorded (offset, background) and then as mended; what `mended` cures is at worst a
    warning. Raises `OpticsError` when a `MeasuredPsf` cannot be mended at all.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> optics = Optics(1.4, 525)
    >>> {finding.level for finding in check_psf(theoretical_psf(optics, (0.03, 0.03)), optics=optics)}
    {'ok'}
    """
    from zsdeconv.physics.psf import Psf

    mended = psf if isinstance(psf, Psf) else psf.mended()
    recorded = [_centring(core_offset(psf.values), 0.1)] if isinstance(psf, Psf) else _as_recorded(psf, mended)
    findings = [*recorded, _sum(mended.values), _negative(mended.values), _border(mended.values), _symmetry(mended.values)]
    findings.append(_sampling(mended, optics, spacing_um))
    if mended.rank == 3:
        findings += [_axial_sampling(mended, optics, spacing_um), _axial_focus(mended), _axial_extent(mended)]
    if optics is not None:
        expected = expected_fwhm_um(optics)
        findings.append(_width("fwhm", fwhm_um(mended), expected[1]))
        if mended.rank == 3:
            findings.append(_width("fwhm in z", fwhms_um(mended)[0], expected[0]))
    return findings


def fwhm_um(psf: Psf) -> float:
    """Full width at half maximum in the focal plane (geometric mean over y and x), micrometres.

    Raises nothing; a PSF that never falls to half counts as wide as its array.
    """
    *_, y, x = fwhms_um(psf)
    return float(np.sqrt(y * x))


def fwhms_um(psf: Psf) -> tuple[float, ...]:
    """Full width at half maximum along each axis through the middle sample, micrometres. As `fwhm_um`.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> [round(w, 2) for w in fwhms_um(theoretical_psf(Optics(1.2, 525, 1.333), (0.05, 0.02, 0.02)))]
    [0.64, 0.23, 0.23]
    """
    widths = []
    for axis in range(psf.rank):
        index: list[int | slice] = [n // 2 for n in psf.values.shape]
        index[axis] = slice(None)
        widths.append(float(_profile_fwhm(psf.values[tuple(index)]) * psf.spacing_um[axis]))
    return tuple(widths)


def expected_fwhm_um(optics: Optics) -> tuple[float, float]:
    """Full widths at half maximum along z and in the focal plane that theory gives for the microscope, micrometres.

    >>> from zsdeconv.physics.optics import Optics
    >>> [round(w, 3) for w in expected_fwhm_um(Optics(1.2, 525, 1.333))]  # 0.5145 wavelength / NA in the plane
    [0.637, 0.225]
    """
    from zsdeconv.physics.psf_3d import AXIAL_REACH, focus_of, radial_intensity

    focus_um, reach = focus_of(optics), AXIAL_REACH / optics.axial_cutoff_per_um
    z, r = np.linspace(-reach, reach, 801), np.linspace(0, optics.wavelength_um / optics.na, 401)
    along = radial_intensity(optics, z, np.zeros(1), focus_um)[:, 0]
    across = radial_intensity(optics, np.zeros(1), r, focus_um)[0]
    return float(_profile_fwhm(along) * (z[1] - z[0])), float(2 * _half_distance(across / across[0]) * r[1])


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


def _as_recorded(measured: MeasuredPsf, mended: Psf) -> list[Finding]:
    light = (measured.values.max() - measured.background) / mended.values.max()
    share = measured.background * mended.values.size / light
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
    return _judged(NEGATIVE, share, (0.02, 0.2), text, "average more beads, or give --na and --wavelength-nm")


def _border(values: np.ndarray) -> Finding:
    """Light per sample on the border relative to the peak: what is cut off there."""
    inner = values[tuple(slice(1, -1) for _ in values.shape)]
    border = (values.sum() - inner.sum()) / max(values.size - inner.size, 1) / values.max()
    return _judged(
        "size", abs(border), (0.01, 0.2), f"border at {100 * border:.2f} % of the peak", "the PSF is cut off: give a larger field"
    )


def _symmetry(values: np.ndarray) -> Finding:
    apply_symmetry = values[tuple(slice(None, None, -1) for _ in values.shape)]
    odd = np.abs(values - apply_symmetry).sum() / (2 * np.abs(values).sum())
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


def _axial_sampling(psf: Psf, optics: Optics | None, spacing_um: tuple[float, ...] | None) -> Finding:
    """Step in z against what it has to carry, in the order of `_sampling`."""
    if optics is not None:
        limit, what = optics.axial_nyquist_um, "wavelength/(2 n - 2 sqrt(n^2 - NA^2))"
    elif spacing_um is not None and len(spacing_um) == 3:
        limit, what = 2 * spacing_um[0], "twice the image's step"
    else:
        limit, what = fwhms_um(psf)[0] / 2, "half its own length"
    relative = psf.spacing_um[0] / limit
    level: Level = "ok" if relative <= 1.001 else "warn" if relative <= 3 else "fail"
    advice = "" if level == "ok" else "; give a PSF of closer planes, or correct --psf-z-um"
    return Finding(
        level, "sampling in z", psf.spacing_um[0], float(limit), f"step {psf.spacing_um[0]:.4g} um, limit {what} = {limit:.3g} um{advice}"
    )


def _axial_focus(psf: Psf) -> Finding:
    """Distance of the brightest plane from the middle one, which a restored stack takes for the focus."""
    peaks = psf.values.max((1, 2))
    away = abs(int(peaks.argmax()) - len(peaks) // 2) * psf.spacing_um[0]
    limit = max(fwhms_um(psf)[0] / 4, 1.01 * psf.spacing_um[0])
    text = f"the brightest plane lies {away:.3g} um from the middle one"
    return _judged("focus", away, (limit, np.inf), text, "what is restored lies as much too high or too low: centre the stack on its focus")


def _axial_extent(psf: Psf) -> Finding:
    """Light of the outermost planes relative to the brightest one: what is cut off in depth."""
    light = psf.values.sum((1, 2))
    ends = max(abs(light[0]), abs(light[-1])) / light.max()
    text = f"the outermost of {len(light)} planes hold {100 * ends:.1f} % of the brightest one's light"
    return _judged("depth", ends, (0.3, np.inf), text, "give more planes (of a wide-field microscope they never grow dark)")


def _width(name: str, width: float, expected: float) -> Finding:
    ratio = width / expected
    level: Level = "ok" if 0.85 <= ratio <= 1.5 else "warn" if 0.6 <= ratio <= 3 else "fail"
    advice = (
        ""
        if level == "ok"
        else "; check --na, --wavelength-nm and --psf-pixel-um" + ("" if ratio < 1 else ", the bead's size and the focus")
    )
    return Finding(level, name, width, 1.5 * expected, f"width {width:.3g} um, theory {expected:.3g} um{advice}")


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
