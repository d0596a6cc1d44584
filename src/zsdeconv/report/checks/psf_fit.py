"""The PSF doctor against data: does this PSF fit this image? From one noisy image alone, nobody knows the object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.findings import Finding
from zsdeconv.physics.operators import forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.report.page.psf_figures import draw_spectrum, draw_sweep
from zsdeconv.report.section import Picture, Section
from zsdeconv.report.statistics import cross_validation as heldout
from zsdeconv.report.statistics.mtf import Transfer
from zsdeconv.report.statistics.psf_variants import NARROWER, WIDER, variants
from zsdeconv.report.statistics.psf_width import WIDTHS, WidthFit, fit_width
from zsdeconv.report.statistics.spectrum import Spectra, measure_spectra

WIDTH_LIMITS = {2: (0.968, 1.135), 3: (0.968, 1.3)}
"""By rank: preferred widths between these are a right PSF's. What is labelled has a thickness: `USUAL_WIDTH`, in depth often more."""
USUAL_WIDTH = 1.04
SIGNIFICANT = 1.7
"""Standard errors by which a preferred width must differ from the usual one."""
SEARCHED = (0.55, 1.8)
"""Widths within which one is believed; the search itself goes a little farther."""
UNKNOWN_SIGMA = 0.2
"""A width that is known no better is not known."""
BEYOND = 1.1
"""The image's signal may be seen up to so many times the end of the OTF."""
BLOCK_SIGMAS = 2.5
LEAST_GAIN = 20.0
"""Another PSF counts as better if it explains more by so many standard errors (over blocks), and by so much (twice a log-likelihood)."""
NARROWER_SIGMAS = 3.5
"""A narrower one needs more: stopped early, Richardson-Lucy is fond of it."""
STRUCTURED = 0.8
"""Share of the residual's smooth power beyond which it is structure, with what the same test shows of a known object subtracted."""
SIDE_PX = {2: 256, 3: 128}
PLANES = 13
ITERATIONS = {2: heldout.ITERATIONS[-1], 3: 11}
PAIRS = {2: 2, 3: 1}
"""By rank: fine pixels, Richardson-Lucy iterations and pairs that are compared, of stacks as few as a minute's patience allows."""


Comparison = tuple[dict[str, float], dict[str, float], float | None]
"""Gain of each variant of the PSF over itself, the same in standard errors, and the share of structure in its residual."""


@dataclass(frozen=True, eq=False)
class PsfFit:
    """How well a PSF fits an image. Widths are in widths of the PSF given, laterally; None what the image cannot tell.

    `width`, `width_sigma`: preferred width and standard error; `sweep`: twice the log-likelihood of the spectrum lost at each of
    `widths`. `signal_end_per_um`, `otf_end_per_um`: where the image's spectrum sinks into the noise, where the OTF ends. `gains`: by how
    much (twice the log-likelihood of held-out noise) each variant of the PSF explains the image better, and `gain_sigmas` in standard
    errors. `structure`: share of structure in what remains after deconvolving and blurring again, more than of a known object.
    """

    width: float | None
    width_sigma: float | None
    widths: np.ndarray
    sweep: np.ndarray | None
    signal_end_per_um: float | None
    otf_end_per_um: float
    gains: Mapping[str, float]
    gain_sigmas: Mapping[str, float]
    structure: float | None
    findings: list[Finding]
    spectra: Spectra | None
    fit: WidthFit | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        names = ("width", "width_sigma", "signal_end_per_um", "otf_end_per_um", "structure")
        numbers: dict[str, Any] = {name: getattr(self, name) for name in names}
        numbers |= {"widths": self.widths.tolist(), "sweep": None if self.sweep is None else self.sweep.tolist()}
        numbers |= {"gains": dict(self.gains), "gain_sigmas": dict(self.gain_sigmas)}
        return numbers | {"findings": [finding.to_dict() for finding in self.findings]}


def examine_psf(measurement: Measurement, acquisition: Acquisition, psf: Psf, *, seed: int = 0) -> PsfFit:
    """Whether `psf` (on the fine grid) is that of the image in `field`, which `acquisition` has made.

    Three witnesses, none of which knows the object. Its spectrum ends where the OTF does: the width that fits it best (module
    `width`). A deconvolution, blurred again, predicts an image with independent noise: variants of the PSF, symmetric ones, with coma,
    narrower or wider, must not do better (module `heldout`). What then remains must be noise, or no more than remains of a known
    object that is imaged and treated alike. Of stacks the widths are lateral.

    >>> from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
    >>> from zsdeconv.data.normalize import Affine
    >>> from zsdeconv.camera.detector import Camera
    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> psf = theoretical_psf(Optics(1.4, 525), (0.0325, 0.0325))
    >>> acquisition = DirectAcquisition(Affine(0.0, 1.0), Camera(0.0, 1.0, 4.0), psf, 2)
    >>> dark = CameraMeasurement(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), acquisition.camera)
    >>> fit = examine_psf(dark, acquisition, psf)
    >>> fit.width is None, fit.findings[0].name
    (True, 'signal')
    """
    generator = torch.Generator().manual_seed(seed)
    otf_end = Transfer(psf).end_per_um
    usable = bool(torch.isfinite(measurement.y).all())
    spectra = measure_spectra(measurement, acquisition.scale * psf.spacing_um[-1], otf_end, generator) if usable else None
    fit = None if spectra is None or spectra.coloured else fit_width(spectra, psf, acquisition.scale)
    fit = None if fit is None or fit.sigma > UNKNOWN_SIGMA else fit
    end = None if spectra is None else spectra.end_per_um(1.0 if fit is None else fit.noise_factor)
    if spectra is None or end is None or (fit is None and not spectra.coloured):
        return PsfFit(None, None, WIDTHS, None, end, otf_end, {}, {}, None, [_too_little(spectra)], spectra, None)
    nothing: Comparison = ({}, {}, None)
    gains, sigmas, structure = acquisition.light.absolute(lambda: _compared(measurement, acquisition, psf, otf_end, generator), nothing)
    width = _compared_width(gains, sigmas) if fit is None else _width(fit, psf.rank, gains, sigmas)
    findings = [width, _end(end, otf_end, spectra), _shape(gains, sigmas), _structure(structure)]
    numbers = (None, None, WIDTHS, None) if fit is None else (fit.width, fit.sigma, WIDTHS, fit.curve)
    return PsfFit(*numbers, end, otf_end, gains, sigmas, structure, findings, spectra, fit)


def psf_section(fit: PsfFit, psf: Psf, checks: list[Finding]) -> Section:
    """The PSF in the report: `checks` of the PSF itself (`check_psf`), the fit to the image, and pictures of the latter."""
    numbers = {name: value for name, value in fit.to_dict().items() if name != "findings"}
    found, spectra, pictures = fit.fit, fit.spectra, []
    if spectra is not None and found is not None:
        ends = (fit.otf_end_per_um, fit.signal_end_per_um)
        caption = "Power of the image by spatial frequency, what the PSF would make of it, and where each ends"
        pictures.append(Picture(caption, lambda figure: draw_spectrum(figure, spectra, found, *ends)))
        caption = "How much worse PSFs of other widths agree with the image"
        pictures.append(Picture(caption, lambda figure: draw_sweep(figure, found, WIDTH_LIMITS[psf.rank])))
    findings = [*fit.findings, *checks]
    return Section("psf", "Point spread function", "Is this the PSF of the image?", findings, {"source": psf.source} | numbers, pictures)


def _compared(measurement: Measurement, acquisition: Acquisition, psf: Psf, end_per_um: float, generator: torch.Generator) -> Comparison:
    """Gain of each variant of the PSF over itself, the same in standard errors, and the share of structure in its residual."""
    rank = psf.rank
    window = heldout.busiest(measurement.y.cpu().numpy(), SIDE_PX[rank] // acquisition.scale, PLANES)
    if any(part.stop - part.start < 4 * border for part, border in zip(window, heldout.BORDER_PX[-rank:], strict=True)):
        return {}, {}, None
    operators = {name: forward_model(p.values, rank, acquisition.scale) for name, p in variants(psf, end_per_um).items()}
    given = forward_model(psf.values, rank, acquisition.scale)
    draws = [measurement.noise(generator) for _ in range(4)]
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in operators}
    structure = []
    for _ in range(PAIRS[rank]):
        pair = heldout.make_pair(measurement, window, generator, draws)
        own = heldout.predict(pair, given, ITERATIONS[rank])
        for name, operator in operators.items():
            blocks[name].append(heldout.gain(own, heldout.predict(pair, operator, ITERATIONS[rank])))
        if rank == 2:  # planes beyond a part of a stack leave structure whatever the PSF
            again = heldout.imaged_again(pair, own, given, [measurement.noise(generator)[window] for _ in range(2)])
            structure.append(heldout.roughness(own) / heldout.roughness(heldout.predict(again, given)) - 1)
    means = {name: np.mean(found, axis=0) for name, found in blocks.items()}
    gains = {name: float(mean.sum()) for name, mean in means.items()}
    errors = {name: float(np.sqrt(mean.size) * mean.std()) for name, mean in means.items()}
    return gains, {name: gains[name] / max(errors[name], 1e-9) for name in gains}, float(np.mean(structure)) if structure else None


def _too_little(spectra: Spectra | None) -> Finding:
    """Why nothing can be said."""
    if spectra is None:
        return Finding("warn", "signal", 0.0, 1.0, "no noise, or fewer than 48 pixels along y or x: whether the PSF fits cannot be told")
    power, noise = spectra.without(-1)
    ratio = float(power[2:].sum() / noise[2:].sum())
    text = f"the power of the image is {ratio:.3g} times that of its noise, too little signal to tell whether the PSF fits"
    return Finding("warn", "signal", ratio, 1.0, f"{text}; check it on a brighter image")


def _width(fit: WidthFit, rank: int, gains: Mapping[str, float], sigmas: Mapping[str, float]) -> Finding:
    low, high = WIDTH_LIMITS[rank]
    if not SEARCHED[0] < fit.width < SEARCHED[1]:
        text = f"no PSF of {SEARCHED[0]:g} to {SEARCHED[1]:g} times this width has the spectrum of the image"
        advice = "check --na, --wavelength-nm, --pixel-um and the kind of microscope, and whether the noise is the camera's own"
        return Finding("warn", "width", fit.width, SEARCHED[0] if fit.width < 1 else SEARCHED[1], f"{text}; {advice}")
    found = f"the image prefers a PSF {fit.width:.2f} +- {fit.sigma:.2f} times as wide"
    differs = abs(fit.width - USUAL_WIDTH) > SIGNIFICANT * fit.sigma and not low <= fit.width <= high
    narrower = _better("narrower", gains, sigmas, NARROWER_SIGMAS) and gains["narrower"] == max(gains.values())
    if not differs and not narrower:
        return Finding("ok", "width", fit.width, high, f"{found} (a right one: {low:g} to {high:g})")
    if differs and fit.width > 1:
        advice = "it is too narrow, or the image out of focus, or nothing in it thin: measure beads, or check --na and --wavelength-nm"
        return Finding("warn", "width", fit.width, high, f"{found} (limit {high:g}); {advice}")
    advice = "it is too wide, which invents structure: measure beads, or check --na, --wavelength-nm, --pixel-um and --psf-pixel-um"
    if differs:
        return Finding("warn", "width", fit.width, low, f"{found} (limit {low:g}); {advice}")
    return Finding("warn", "width", fit.width, low, f"{found}, and one 8 % narrower explains it better; {advice}")


def _compared_width(gains: Mapping[str, float], sigmas: Mapping[str, float]) -> Finding:
    """Where the noise is not white, by the variants alone."""
    if not gains:
        return Finding("ok", "width", 1.0, WIDER, "not to be told here: the noise is not white, and light of other planes counts too")
    for name, factor, fault in (("narrower", NARROWER, "too wide"), ("wider", WIDER, "too narrow")):
        if _better(name, gains, sigmas) and gains[name] == max(gains.values()):
            text = (
                f"a PSF {factor:g} times as wide explains the image better, by {sigmas[name]:.1f} standard errors (limit {BLOCK_SIGMAS:g})"
            )
            advice = f"this one is {fault}: check the optics and the pattern, or the OTF"
            return Finding("warn", "width", factor, 1.0, f"{text}; {advice}")
    text = f"none {NARROWER:g} or {WIDER:g} times as wide explains the image better; its noise is not white, a width cannot be fitted"
    return Finding("ok", "width", 1.0, WIDER, text)


def _end(end: float, otf_end: float, spectra: Spectra) -> Finding:
    limit = BEYOND * otf_end + 1 / (spectra.tile_px * spectra.pixel_um)
    text = f"detail is seen up to {end:.3g} per um, the OTF ends at {otf_end:.3g}"
    if end <= limit:
        return Finding("ok", "spectrum", end, limit, text)
    advice = "such detail cannot have passed it: the PSF is too wide, the pixel size wrong, or the image was sharpened"
    return Finding("warn", "spectrum", end, limit, f"{text} (limit {limit:.3g}); {advice}")


def _shape(gains: Mapping[str, float], sigmas: Mapping[str, float]) -> Finding:
    """Of the variants of another symmetry, the one that explains the image best."""
    others = [name for name in gains if name not in ("narrower", "wider")]
    if not others:
        return Finding(
            "ok",
            "shape",
            0.0,
            BLOCK_SIGMAS,
            "shapes of the PSF cannot be compared: the image is too small, or light of other planes counts too",
        )
    best = max(others, key=lambda name: gains[name])
    if not any(_better(name, gains, sigmas) for name in others):
        return Finding("ok", "shape", sigmas[best], BLOCK_SIGMAS, "no symmetric PSF and none with more coma explains the image better")
    best = max((name for name in others if _better(name, gains, sigmas)), key=lambda name: gains[name])
    what = "a symmetric PSF" if best == "symmetric" else f"a PSF with more coma along {best[-1]}"
    text = f"{what} explains the image better, by {sigmas[best]:.1f} standard errors (limit {BLOCK_SIGMAS:g})"
    advice = "its asymmetry is not the image's: average more beads, in the same place of the field, or use theory"
    return Finding("warn", "shape", sigmas[best], BLOCK_SIGMAS, f"{text}; {advice}")


def _structure(structure: float | None) -> Finding:
    if structure is None:
        return Finding(
            "ok", "residual", 0.0, STRUCTURED, "residuals are judged in planes of at least 32 pixels; this is a stack, or smaller"
        )
    text = f"blurred again, the deconvolution leaves {100 * structure:+.0f} % structure beyond that of a known object"
    if structure <= STRUCTURED:
        return Finding("ok", "residual", structure, STRUCTURED, text)
    return Finding(
        "warn", "residual", structure, STRUCTURED, f"{text} (limit {100 * STRUCTURED:.0f} %); the PSF does not explain the image"
    )


def _better(name: str, gains: Mapping[str, float], sigmas: Mapping[str, float], limit: float = BLOCK_SIGMAS) -> bool:
    return name in gains and gains[name] > LEAST_GAIN and sigmas[name] > limit
