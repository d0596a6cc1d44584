"""The PSF check: findings about a PSF and about a pixel size, each with a value, a limit and advice."""

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

NEGATIVE_FINDING = "negative"
"""Name of the finding on negative values, which are genuine in the PSF of a SIM reconstruction."""
MAX_NEGATIVE_LIGHT = 0.04
"""Negative over positive light up to which the level is ok. Measured (benchmarks/findings.py): averaged beads with noise of a thousandth of
their peak have 0.007 to 0.023, 0.057 and more where 2 % of the peak were taken off as background.
"""
OVERSAMPLING_LIMIT = 10
"""Factor by which a pixel may be finer than the Nyquist limit. Chosen: finer pixels are usually a pixel size in the wrong unit."""

MAX_END_LIGHT = 0.55
"""Light of the outermost planes over that of the brightest. Chosen: PSFs of theory over all planes in use end at 0.27 to 0.48 (wide-field,
NA 0.3 to 1.49), with the middle half of their planes at 0.75 and more."""


def check_psf(psf: Psf | MeasuredPsf, *, optics: Optics | None = None, spacing_um: tuple[float, ...] | None = None) -> list[Finding]:
    """Findings about a PSF, given the `optics` and the `spacing_um` of the fine grid where they are known.

    Offset and background of a `MeasuredPsf` are judged as recorded, everything else on `to_psf()`; defects that `to_psf`
    corrects are at most warnings. Raises `OpticsError` when a `MeasuredPsf` cannot be corrected.

    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> optics = Optics(1.4, 525)
    >>> {finding.level for finding in check_psf(theoretical_psf(optics, (0.03, 0.03)), optics=optics)}
    {'ok'}
    """
    from zsdeconv.physics.psf import Psf

    corrected = psf if isinstance(psf, Psf) else psf.to_psf()
    recorded = [_centring(core_offset(psf.values), 0.1)] if isinstance(psf, Psf) else _as_recorded(psf, corrected)
    findings = [*recorded, _sum(corrected.values), _negative(corrected.values), _border(corrected.values), _symmetry(corrected.values)]
    findings.append(_sampling(corrected, optics, spacing_um))
    if corrected.rank == 3:
        findings += [_axial_sampling(corrected, optics, spacing_um), _axial_focus(corrected), _axial_extent(corrected)]
    if optics is not None:
        expected = expected_fwhm_um(optics)
        findings.append(_width("fwhm", "wide", corrected, (fwhm_um(corrected), expected[1])))
        if corrected.rank == 3:
            findings.append(_width("fwhm in z", "long", corrected, (fwhms_um(corrected)[0], expected[0])))
    return findings


def fwhm_um(psf: Psf) -> float:
    """Full width at half maximum in the focal plane (geometric mean over y and x), micrometres.

    A PSF that nowhere falls below half its maximum counts as wide as its array.
    """
    *_, y, x = fwhms_um(psf)
    return float(np.sqrt(y * x))


def fwhms_um(psf: Psf) -> tuple[float, ...]:
    """Full width at half maximum along each axis through the central sample, micrometres; see `fwhm_um`.

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
    """Theoretical full widths at half maximum along z and in the focal plane of the microscope, micrometres.

    >>> from zsdeconv.physics.optics import Optics
    >>> [round(w, 3) for w in expected_fwhm_um(Optics(1.2, 525, 1.333))]  # 0.5145 wavelength / NA in the plane
    [0.637, 0.225]
    """
    from zsdeconv.physics.psf_3d import AXIAL_RADIUS_PERIODS, focus_of, radial_intensity

    focus_um, z_max = focus_of(optics), AXIAL_RADIUS_PERIODS / optics.axial_cutoff_per_um
    z, r = np.linspace(-z_max, z_max, 801), np.linspace(0, optics.wavelength_um / optics.na, 401)
    along = radial_intensity(optics, z, np.zeros(1), focus_um)[:, 0]
    across = radial_intensity(optics, np.zeros(1), r, focus_um)[0]
    return float(_profile_fwhm(along) * (z[1] - z[0])), float(2 * _half_distance(across / across[0]) * r[1])


def sampling_finding(optics: Optics, pixel_um: float, scale: int) -> Finding:
    """Whether raw pixels of `pixel_um`, divided by `scale`, suit the optics.

    The fine grid must sample every frequency that the objective transmits: pixel / scale <= wavelength / (4 NA). Pixels more
    than ten times finer than that suggest a pixel size in the wrong unit.

    >>> from zsdeconv.physics.optics import Optics
    >>> sampling_finding(Optics(1.4, 525), 0.15, 1).level, sampling_finding(Optics(1.4, 525), 0.15, 2).level
    ('warn', 'ok')
    """
    fine, limit = pixel_um / scale, optics.nyquist_um
    name = "sampling"
    if fine > limit * (1 + 1e-6):
        finer = "give scale 2" if scale == 1 and pixel_um <= 2 * limit else "record smaller pixels"
        limit_text = f"wavelength/(4 NA) = {limit:.3g} um"
        message = f"pixel {pixel_um:g} um / scale {scale} is coarser than {limit_text}; {finer}, or check pixel_um and na"
        return Finding("warn", name, fine, limit, message)
    if fine < limit / OVERSAMPLING_LIMIT:
        advice = "bin the image, or check pixel_um (in micrometres)" + ("; give scale 1 to save time" if scale > 1 else "")
        excess = f"more than {OVERSAMPLING_LIMIT} times finer than wavelength/(4 NA) = {limit:.3g} um"
        return Finding("warn", name, fine, limit / OVERSAMPLING_LIMIT, f"pixel {pixel_um:g} um / scale {scale} is {excess}; {advice}")
    return Finding("ok", name, fine, limit, f"pixel {pixel_um:g} um / scale {scale}, wavelength/(4 NA) = {limit:.3g} um")


def check_sampling(optics: Optics, pixel_um: float, scale: int) -> None:
    """Warn (`DataWarning`) when `sampling_finding` is not ok."""
    finding = sampling_finding(optics, pixel_um, scale)
    if finding.level != "ok":
        warnings.warn(finding.message, DataWarning, stacklevel=2)


def is_theory(psf: Psf) -> bool:
    """Whether a PSF was computed from the optics, and advice is about these and the recording."""
    return psf.source.startswith("theory")


def settings_of_width(psf: Psf) -> str:
    """The settings that make a PSF too wide or too narrow, for advice: of a PSF from theory, of a reconstruction, or of one from a file.

    >>> from zsdeconv.physics.psf import Psf
    >>> settings_of_width(Psf(np.ones((1, 1)), (0.03, 0.03), "theory (NA 1.4)"))
    'check `na`, `wavelength_nm` and `pixel_um`'
    >>> settings_of_width(Psf(np.ones((1, 1)), (0.03, 0.03), "beads.tif"))
    'check `psf_pixel_um` and `pixel_um`'
    """
    if is_theory(psf):
        return "check `na`, `wavelength_nm` and `pixel_um`"
    if psf.source.startswith("SIM reconstruction"):
        return "check `na` and `wavelength_nm`, or the measured `otf`, `pixel_um`, and the pattern"
    return "check `psf_pixel_um` and `pixel_um`"


def _judged(name: str, value: float, limits: tuple[float, float], ok: str, advice: str) -> Finding:
    """A finding about `value`: a warning above the first of `limits`, a failure above the second; `ok` is the text, `advice` is added."""
    level: Level = "fail" if value > limits[1] else "warn" if value > limits[0] else "ok"
    return Finding(level, name, float(value), limits[0], ok if level == "ok" else f"{ok} (limit {limits[0]:g}); {advice}")


def _as_recorded(measured: MeasuredPsf, corrected: Psf) -> list[Finding]:
    light = (measured.values.max() - measured.background) / corrected.values.max()
    fraction = measured.background * corrected.values.size / light
    text = f"the PSF file has a background of {measured.background:.4g}, {100 * fraction:.1f} % of its light"
    background = _judged("background", abs(fraction), (0.01, np.inf), text, "it is subtracted")
    return [_centring(np.array(measured.offset_px), 0.5), background]


def _centring(offset_px: np.ndarray, limit: float) -> Finding:
    text = f"the core of the PSF lies {', '.join(f'{o:+.2f}' for o in offset_px)} pixels from its centre"
    return _judged("centring", float(np.abs(offset_px).max()), (limit, np.inf), text, "it is shifted back")


def _sum(values: np.ndarray) -> Finding:
    return _judged(
        "sum",
        abs(values.sum() - 1),
        (1e-6, 1e-3),
        f"the PSF sums to {values.sum():.6f}",
        "give it through `Psf.from_array`, which makes its sum 1",
    )


def _negative(values: np.ndarray) -> Finding:
    fraction = np.abs(values[values < 0]).sum() / values[values > 0].sum()
    text = f"negative values of the PSF hold {100 * fraction:.2f} % of its light"
    return _judged(
        NEGATIVE_FINDING,
        fraction,
        (MAX_NEGATIVE_LIGHT, 0.2),
        text,
        "average more beads, or leave out `psf` and give `na` and `wavelength_nm`",
    )


def _border(values: np.ndarray) -> Finding:
    """Mean value on the border relative to the peak, which shows how much the border cuts off."""
    inner = values[tuple(slice(1, -1) for _ in values.shape)]
    border = (values.sum() - inner.sum()) / max(values.size - inner.size, 1) / values.max()
    return _judged(
        "size",
        abs(border),
        (0.01, 0.2),
        f"at its border, the PSF has {100 * border:.2f} % of its peak",
        "it is cut off: give a PSF of a larger field",
    )


def _symmetry(values: np.ndarray) -> Finding:
    """Light that a half turn about the optical axis moves. Above and below the focus a PSF may differ: spherical aberration."""
    turned = values[..., ::-1, ::-1]
    odd = np.abs(values - turned).sum() / (2 * np.abs(values).sum())
    text = f"{100 * odd:.1f} % of the light of the PSF is not symmetric about its {'centre' if values.ndim == 2 else 'optical axis'}"
    return _judged("symmetry", odd, (0.15, np.inf), text, "coma of the lens, a neighbouring bead or noise: look at the PSF")


def _sampling(psf: Psf, optics: Optics | None, spacing_um: tuple[float, ...] | None) -> Finding:
    """Lateral pixel against the limit set by the optics where known, else by the fine grid, else by the width of the PSF."""
    pixel = max(psf.spacing_um[-2:])
    if optics is not None:
        limit, what = optics.nyquist_um, "wavelength/(4 NA)"
    elif spacing_um is not None:
        limit, what = 2 * min(spacing_um[-2:]), "twice the fine pixel of the image"
    else:
        limit, what = fwhm_um(psf) / 2, "half its own width"
    relative = pixel / limit
    level: Level = "ok" if relative <= 1.001 else "warn" if relative <= 1.5 else "fail"
    mend = "record smaller pixels, or check `pixel_um` and `na`" if is_theory(psf) else "give a finer PSF, or correct `psf_pixel_um`"
    advice = "" if level == "ok" else f"; {mend}"
    return Finding(level, "sampling", pixel, limit, f"the PSF has a value every {pixel:.4g} um (limit {limit:.3g} um, {what}){advice}")


def _axial_sampling(psf: Psf, optics: Optics | None, spacing_um: tuple[float, ...] | None) -> Finding:
    """Step in z against its limit, which is chosen as in `_sampling`."""
    if optics is not None:
        limit, what = optics.axial_nyquist_um, "wavelength/(2 n - 2 sqrt(n^2 - NA^2))"
    elif spacing_um is not None and len(spacing_um) == 3:
        limit, what = 2 * spacing_um[0], "twice the step of the image"
    else:
        limit, what = fwhms_um(psf)[0] / 2, "half its own length"
    relative = psf.spacing_um[0] / limit
    level: Level = "ok" if relative <= 1.001 else "warn" if relative <= 3 else "fail"
    mend = "give a PSF with a smaller step in z, or correct `psf_z_um`"
    if is_theory(psf):
        mend = "record planes with a smaller step, or check `z_um`"
    advice = "" if level == "ok" else f"; {mend}"
    return Finding(
        level,
        "sampling in z",
        psf.spacing_um[0],
        float(limit),
        f"the PSF has a plane every {psf.spacing_um[0]:.4g} um (limit {limit:.3g} um, {what}){advice}",
    )


def _axial_focus(psf: Psf) -> Finding:
    """Distance of the brightest plane from the central one, which restoration treats as the focus."""
    peaks = psf.values.max((1, 2))
    distance = abs(int(peaks.argmax()) - len(peaks) // 2) * psf.spacing_um[0]
    limit = max(fwhms_um(psf)[0] / 4, 1.01 * psf.spacing_um[0])
    text = f"the brightest plane of the PSF lies {distance:.3g} um from its central one"
    return _judged("focus", distance, (limit, np.inf), text, "restored stacks are shifted in z by this much: centre the PSF on its focus")


def _axial_extent(psf: Psf) -> Finding:
    """Light of the outermost planes relative to the brightest one, which shows how much is cut off in depth."""
    light = psf.values.sum((1, 2))
    ends = max(abs(light[0]), abs(light[-1])) / light.max()
    text = f"the outermost of the {len(light)} planes of the PSF hold {100 * ends:.1f} % of the light of its brightest one"
    advice = "give more planes (all planes of a wide-field PSF hold light)"
    if is_theory(psf):
        advice = "a wide-field PSF goes on beyond: light from far above and below stays in the result as haze"
    return _judged("depth", ends, (MAX_END_LIGHT, np.inf), text, advice)


def _width(name: str, extent: str, psf: Psf, found_and_expected_um: tuple[float, float]) -> Finding:
    """The width of a PSF, or its length, against that of theory."""
    width, expected = found_and_expected_um
    ratio = width / expected
    level: Level = "ok" if 0.85 <= ratio <= 1.5 else "warn" if 0.6 <= ratio <= 3 else "fail"
    advice = "" if level == "ok" else f"; {settings_of_width(psf)}"
    if advice and ratio > 1 and not is_theory(psf):
        advice += ", the size of the bead and the focus"
    return Finding(
        level, name, width, 1.5 * expected, f"the PSF is {width:.3g} um {extent} at half its height, {expected:.3g} um in theory{advice}"
    )


def _profile_fwhm(profile: np.ndarray) -> float:
    """Full width at half of the central value, in samples, by linear interpolation on either side."""
    center = len(profile) // 2
    return sum(_half_distance(side / profile[center]) for side in (profile[center:], profile[center::-1]))


def _half_distance(side: np.ndarray) -> float:
    """Position at which a falling profile, 1 at index 0, first crosses 0.5."""
    below = np.flatnonzero(side < 0.5)
    if not len(below):
        return len(side) - 0.5
    k = int(below[0])
    return k - (0.5 - side[k]) / (side[k - 1] - side[k])
