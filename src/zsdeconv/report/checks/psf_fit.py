"""Whether a PSF fits an image: the PSF check against data. The object is unknown, so only what does not depend on it is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.findings import Finding, percent
from zsdeconv.physics.operators import forward_model
from zsdeconv.physics.psf import Psf
from zsdeconv.physics.psf_check import settings_of_width
from zsdeconv.report.page.psf_figures import draw_spectrum, draw_sweep
from zsdeconv.report.section import CaptionedFigure, Section
from zsdeconv.report.statistics import cross_validation
from zsdeconv.report.statistics.mtf import Transfer
from zsdeconv.report.statistics.psf_variants import NARROW_FACTOR, WIDE_FACTOR, variants
from zsdeconv.report.statistics.psf_width import WIDTHS, WidthFit, fit_width
from zsdeconv.report.statistics.spectrum import Spectra, measure_spectra

KEY = "psf"
TITLE = "Point spread function"
QUESTION = "Is this the PSF of the image?"
NUMBERS = (
    "source",
    "width",
    "width_sigma",
    "signal_end_per_um",
    "otf_end_per_um",
    "structure",
    "widths",
    "sweep",
    "gains",
    "gain_sigmas",
)

WIDTH_LIMITS = {2: (0.968, 1.135), 3: (0.968, 1.3)}
"""By rank: preferred widths that a right PSF can have. Chosen with benchmarks/psf_trials.py: the label has a thickness, which adds to the
width, in depth more than in planes."""
USUAL_WIDTH = 1.04
"""Preferred width of a right PSF: a label of 30 nm adds a few per cent to it."""
MIN_WIDTH_SIGMAS = 1.7
"""Standard errors by which a preferred width must differ from `USUAL_WIDTH`. Chosen with benchmarks/psf_trials.py."""
WIDTH_RANGE = (0.55, 1.8)
"""Preferred widths that are plausible. Chosen: the search goes a little farther, so a result at its end is not taken for a width."""
MAX_WIDTH_SIGMA = 0.2
"""Standard error up to which a width counts as known. Chosen: larger than any deviation that matters."""
MAX_GOOD_SIGMA = 0.1
"""Standard error of a preferred width up to which a right one is good. Law: a PSF a quarter too wide (0.83) then differs by two of them
from `USUAL_WIDTH`. Measured (benchmarks/findings.py): with 0.17 and 0.19 such a PSF was not told from the right one."""
MAX_END_RATIO = 1.1
"""End of the signal over the end of the OTF, up to which the level is ok. Chosen: the end of a spectrum is known to a few rings."""
MIN_GAIN = 20.0
"""Gain (twice a log-likelihood) from which another PSF counts as better. Chosen: a likelihood ratio of e^10."""
MIN_GAIN_SIGMAS = 2.5
"""Standard errors over blocks from which another PSF counts as better. Chosen with benchmarks/psf_trials.py."""
MAX_COMA_SIGMAS = -1.0
"""Standard errors by which each PSF with coma must explain the image worse for the shape to be good. Measured (benchmarks/findings.py):
-1.5 and less with the right PSF in images that tell, 0.4 and more where the image has coma."""
MIN_NARROWER_SIGMAS = 3.5
"""The same for a narrower PSF. Chosen larger, because early-stopped Richardson-Lucy is biased towards narrower PSFs."""
MAX_STRUCTURE = 0.8
"""Structured power in the residual, over noise and beyond that of a known object, up to which the level is ok. Chosen with
benchmarks/psf_trials.py."""
SIDE_PX = {2: 256, 3: 128}
"""By rank: side of the compared part, fine pixels. Chosen: a check takes less than a minute on one processor."""
MAX_PLANES = 13
"""Planes of the compared part of a stack. Chosen: as for `SIDE_PX`."""
MAX_ITERATIONS = {2: cross_validation.ITERATIONS[-1], 3: 11}
"""By rank: Richardson-Lucy iterations. Chosen: as for `SIDE_PX`."""
PAIR_ROUNDS = {2: 2, 3: 1}
"""By rank: pairs of images that are compared. Chosen: as for `SIDE_PX`."""
VARIANCE_DRAWS = 4
"""Draws of noise from which the variance in a pair is measured. Chosen: it is smoothed over many pixels as well."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Variants of a PSF against the PSF itself: `gains` (twice the log-likelihood of held-out noise) of each, the same in standard errors.

    `structure` is the share of structure in the residual of the PSF beyond that of a known object (None for stacks), and `wrong_structure`
    the same in that of a narrower or a wider PSF, whichever has more.
    """

    gains: Mapping[str, float]
    sigmas: Mapping[str, float]
    structure: float | None
    wrong_structure: float = math.inf

    def better(self, name: str, min_sigmas: float = MIN_GAIN_SIGMAS) -> bool:
        """Whether a variant explains the image better than the PSF does."""
        return name in self.gains and self.gains[name] > MIN_GAIN and self.sigmas[name] > min_sigmas

    def best(self, name: str) -> bool:
        """Whether no other variant has a larger gain."""
        return self.gains[name] == max(self.gains.values())


NO_COMPARISON = Comparison({}, {}, None)


@dataclass(frozen=True, eq=False)
class PsfFit:
    """How well a PSF fits an image. Widths are lateral and relative to the PSF; None where the image does not determine a value.

    `width`, `width_sigma`: preferred width and standard error; `sweep`: twice the log-likelihood of the spectrum lost at each of `widths`.
    `signal_end_per_um`, `otf_end_per_um`: end of the image's spectrum above noise, end of the OTF. `comparison`: variants of the PSF.
    `findings` are about the fit, `psf_findings` about the PSF itself.
    """

    psf: Psf
    otf_end_per_um: float
    findings: list[Finding]
    signal_end_per_um: float | None = None
    comparison: Comparison = NO_COMPARISON
    spectra: Spectra | None = None
    fit: WidthFit | None = None
    psf_findings: Sequence[Finding] = ()

    @property
    def width(self) -> float | None:
        """Preferred width."""
        return None if self.fit is None else self.fit.width

    @property
    def width_sigma(self) -> float | None:
        """Standard error of the preferred width."""
        return None if self.fit is None else self.fit.sigma

    @property
    def widths(self) -> np.ndarray:
        """The widths that were tried."""
        return WIDTHS

    @property
    def sweep(self) -> np.ndarray | None:
        """Twice the log-likelihood lost at each of `widths`."""
        return None if self.fit is None else self.fit.curve

    @property
    def gains(self) -> Mapping[str, float]:
        """Gains of the variants."""
        return self.comparison.gains

    @property
    def structure(self) -> float | None:
        """Share of structure in the residual."""
        return self.comparison.structure

    def numbers(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        sweep = None if self.sweep is None else self.sweep.tolist()
        values = (self.psf.source, self.width, self.width_sigma, self.signal_end_per_um, self.otf_end_per_um, self.structure)
        values += (self.widths.tolist(), sweep, dict(self.gains), dict(self.comparison.sigmas))
        return dict(zip(NUMBERS, values, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Numbers and findings of the fit, ready for JSON."""
        return self.numbers() | {"findings": [finding.to_dict() for finding in self.findings]}


def measure(measurement: Measurement, acquisition: Acquisition, psf: Psf, *, psf_findings: Sequence[Finding] = (), seed: int = 0) -> PsfFit:
    """Whether a PSF is that of an image.

    Three tests, none of which needs the object. The spectrum of the image ends where the OTF does: the width that fits it best (module
    `psf_width`). A deconvolution, re-blurred, predicts an image with independent noise: variants of the PSF, symmetric ones, with coma,
    narrower or wider, must not predict it better (module `cross_validation`). The residual must be noise, or no more structured than the
    residual of a known object that is imaged and treated alike. In stacks the widths are lateral.

    Parameters
    ----------
    measurement : image, made by `acquisition`
    acquisition : forward model and its scale
    psf : PSF on the fine grid
    psf_findings : findings about the PSF itself, for the report
    seed : of the noise that is drawn

    >>> from zsdeconv.acquisition.direct import CameraMeasurement, DirectAcquisition
    >>> from zsdeconv.data.normalize import Affine
    >>> from zsdeconv.camera.detector import Camera
    >>> from zsdeconv.physics.optics import Optics
    >>> from zsdeconv.physics.psf_theory import theoretical_psf
    >>> psf = theoretical_psf(Optics(1.4, 525), (0.0325, 0.0325))
    >>> acquisition = DirectAcquisition(Affine(0.0, 1.0), Camera(0.0, 1.0, 4.0), psf, 2)
    >>> dark = CameraMeasurement(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), acquisition.camera)
    >>> fit = measure(dark, acquisition, psf)
    >>> fit.width is None, fit.findings[0].name, fit.findings[0].level
    (True, 'signal', 'not_checked')
    """
    otf_end = Transfer(psf).end_per_um
    why = "in this kind of recording some light comes from outside of what is modelled, so the PSF was not compared with the image"
    otherwise = PsfFit(psf, otf_end, [Finding.not_checked("width", why)])
    fit = acquisition.light.absolute(lambda: _fitted(measurement, acquisition, psf, otf_end, seed), otherwise)
    return replace(fit, psf_findings=tuple(psf_findings))


def section(result: PsfFit) -> Section:
    """The fit to the image, the findings about the PSF itself, and figures of the fit."""
    fit, spectra, figures = result.fit, result.spectra, []
    if spectra is not None and fit is not None:
        ends = (result.otf_end_per_um, result.signal_end_per_um)
        caption = (
            "How strong the image is at each detail size (its power by spatial frequency), and what is expected with this PSF; finer "
            "detail is farther right."
        )
        figures.append(CaptionedFigure(caption, lambda figure: draw_spectrum(figure, spectra, fit, *ends)))
        caption = "How much worse PSFs of other widths explain the image: the lowest point is the preferred width."
        figures.append(CaptionedFigure(caption, lambda figure: draw_sweep(figure, fit, WIDTH_LIMITS[result.psf.rank])))
    return Section(KEY, TITLE, QUESTION, [*result.findings, *result.psf_findings], result.numbers(), figures, result.findings)


def _fitted(measurement: Measurement, acquisition: Acquisition, psf: Psf, otf_end: float, seed: int) -> PsfFit:
    generator = torch.Generator().manual_seed(seed)
    finite = bool(torch.isfinite(measurement.y).all())
    spectra = measure_spectra(measurement, acquisition.scale * psf.spacing_um[-1], otf_end, generator) if finite else None
    fit = None if spectra is None or spectra.coloured else fit_width(spectra, psf, acquisition.scale)
    fit = None if fit is None or fit.sigma > MAX_WIDTH_SIGMA else fit
    end = None if spectra is None else spectra.end_per_um(1.0 if fit is None else fit.noise_factor)
    if spectra is None or end is None or (fit is None and not spectra.coloured):
        return PsfFit(psf, otf_end, [_too_little_signal(spectra)], end, spectra=spectra)
    comparison = _compared(measurement, acquisition, psf, otf_end, generator)
    width = _compared_width(comparison) if fit is None else _width(fit, psf, comparison)
    findings = [width, _end(end, otf_end, spectra), _shape(comparison), _structure(comparison)]
    return PsfFit(psf, otf_end, findings, end, comparison, spectra, fit)


def _compared(measurement: Measurement, acquisition: Acquisition, psf: Psf, end_per_um: float, generator: torch.Generator) -> Comparison:
    """The variants of the PSF against the PSF itself, in the busiest part of the image; none where the image is too small."""
    rank = psf.rank
    window = cross_validation.busiest(measurement.y.cpu().numpy(), SIDE_PX[rank] // acquisition.scale, MAX_PLANES)
    borders = cross_validation.BORDER_PX[-rank:]
    if any(part.stop - part.start < 4 * border for part, border in zip(window, borders, strict=True)):
        return NO_COMPARISON
    operators = {name: forward_model(p.values, rank, acquisition.scale) for name, p in variants(psf, end_per_um).items()}
    given = forward_model(psf.values, rank, acquisition.scale)
    draws = [measurement.noise(generator) for _ in range(VARIANCE_DRAWS)]
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in operators}
    structure, wrong = [], []
    for _ in range(PAIR_ROUNDS[rank]):
        pair = cross_validation.make_pair(measurement, window, generator, draws)
        own = cross_validation.predict(pair, given, MAX_ITERATIONS[rank])
        others = {name: cross_validation.predict(pair, operator, MAX_ITERATIONS[rank]) for name, operator in operators.items()}
        for name, other in others.items():
            blocks[name].append(cross_validation.gain(own, other))
        if rank == 2:  # light of planes outside the compared part of a stack leaves structure with any PSF
            again = cross_validation.imaged_again(pair, own, given, [measurement.noise(generator)[window] for _ in range(2)])
            expected = cross_validation.roughness(cross_validation.predict(again, given))
            structure.append(cross_validation.roughness(own) / expected - 1)
            wrong.append(max(cross_validation.roughness(others[name]) for name in ("narrower", "wider")) / expected - 1)
    means = {name: np.mean(rounds, axis=0) for name, rounds in blocks.items()}
    gains = {name: float(mean.sum()) for name, mean in means.items()}
    errors = {name: float(np.sqrt(mean.size) * mean.std()) for name, mean in means.items()}
    sigmas = {name: gains[name] / max(errors[name], 1e-9) for name in gains}
    if not structure:
        return Comparison(gains, sigmas, None)
    return Comparison(gains, sigmas, float(np.mean(structure)), float(np.mean(wrong)))


def _too_little_signal(spectra: Spectra | None) -> Finding:
    if spectra is None:
        why = "it has no noise, values that are not finite, or fewer than 48 pixels along y or x; give a larger raw image"
        return Finding.not_checked("signal", f"the PSF was not compared with the image: {why}", limit=1.0)
    power, noise = spectra.without(-1)
    ratio = float(power[2:].sum() / noise[2:].sum())
    # An image can be bright and have no detail: haze and large blobs say nothing about a PSF that is smaller than they are.
    text = "the image has too little fine detail above its noise to tell whether the PSF is its own"
    return Finding.not_checked("signal", f"{text}; an image with points or thin lines, or a brighter one, can tell it", ratio, 1.0)


def _width(fit: WidthFit, psf: Psf, comparison: Comparison) -> Finding:
    (low, high), check = WIDTH_LIMITS[psf.rank], settings_of_width(psf)
    if not WIDTH_RANGE[0] < fit.width < WIDTH_RANGE[1]:
        text = f"no PSF of {WIDTH_RANGE[0]:g} to {WIDTH_RANGE[1]:g} times this width fits the detail of the image"
        advice = f"{check}, and that the image is raw camera data"
        return Finding("warn", "width", fit.width, WIDTH_RANGE[0] if fit.width < 1 else WIDTH_RANGE[1], f"{text}; {advice}")
    text = f"the image prefers a PSF {fit.width:.2f} +- {fit.sigma:.2f} times as wide as this one"
    differs = abs(fit.width - USUAL_WIDTH) > MIN_WIDTH_SIGMAS * fit.sigma and not low <= fit.width <= high
    narrower = comparison.better("narrower", MIN_NARROWER_SIGMAS) and comparison.best("narrower")
    if not differs and not narrower:
        if fit.sigma > MAX_GOOD_SIGMA or not low <= fit.width <= high:
            why = f"the error (limit {MAX_GOOD_SIGMA:g}) is too large to tell a right PSF from a wrong one; give a brighter or larger image"
            return Finding.not_checked("width", f"{text}: {why}", fit.sigma, MAX_GOOD_SIGMA)
        return Finding("ok", "width", fit.width, high, f"{text} (limits {low:g} to {high:g})")
    if differs and fit.width > 1:
        advice = f"the PSF may be too narrow, the image out of focus, or the object thick: measure beads, or {check}"
        return Finding("warn", "width", fit.width, high, f"{text} (limit {high:g}); {advice}")
    advice = f"the PSF may be too wide, which would create artefacts: measure beads, or {check}"
    if differs:
        return Finding("warn", "width", fit.width, low, f"{text} (limit {low:g}); {advice}")
    better = f"a PSF {NARROW_FACTOR:g} times as wide explains it better, by {comparison.sigmas['narrower']:.1f} standard errors"
    return Finding("warn", "width", fit.width, low, f"{text}, and {better} (limit {MIN_NARROWER_SIGMAS:g}); {advice}")


def _compared_width(comparison: Comparison) -> Finding:
    """The width where the noise is not white, from the variants alone."""
    if not comparison.gains:
        why = "neighbouring pixels share noise, and the image is small; give at least 32 pixels along y and x, and 12 planes of a stack"
        return Finding.not_checked("width", f"the width of the PSF was not compared: {why}", limit=WIDE_FACTOR)
    for name, factor, fault in (("narrower", NARROW_FACTOR, "too wide"), ("wider", WIDE_FACTOR, "too narrow")):
        if comparison.better(name) and comparison.best(name):
            sigmas = f"{comparison.sigmas[name]:.1f} standard errors (limit {MIN_GAIN_SIGMAS:g})"
            text = f"a PSF {factor:g} times as wide explains the image better, by {sigmas}"
            return Finding("warn", "width", factor, 1.0, f"{text}; this one is {fault}: check the optics and the pattern, or the OTF")
    text = (
        f"no PSF {NARROW_FACTOR:g} or {WIDE_FACTOR:g} times as wide explains the image better (nearer widths cannot be told where "
        "neighbouring pixels share noise)"
    )
    return Finding("ok", "width", 1.0, WIDE_FACTOR, text)


def _end(end: float, otf_end: float, spectra: Spectra) -> Finding:
    limit = MAX_END_RATIO * otf_end + 1 / (spectra.tile_px * spectra.pixel_um)
    finest, finest_allowed, passed = (1e3 / per_um for per_um in (end, limit, otf_end))
    text = f"the image has detail down to {finest:.0f} nm (limit {finest_allowed:.0f} nm), this PSF passes detail down to {passed:.0f} nm"
    if end <= limit:
        return Finding("ok", "spectrum", end, limit, text)
    advice = "finer detail does not pass this PSF: it is too wide, the pixel size is wrong, or the image was sharpened"
    return Finding("warn", "spectrum", end, limit, f"{text}; {advice}")


def _shape(comparison: Comparison) -> Finding:
    """Of the variants with another symmetry, the one that explains the image best."""
    gains, sigmas = comparison.gains, comparison.sigmas
    others = [name for name in gains if name not in ("narrower", "wider")]
    if not others:
        why = "at least 32 pixels along y and x, and 12 planes of a stack, are needed; give a larger image"
        return Finding.not_checked("shape", f"other shapes of the PSF were not tried: {why}", limit=MIN_GAIN_SIGMAS)
    better = [name for name in others if comparison.better(name)]
    best = max(better or others, key=lambda name: gains[name])
    if not better:
        nearest = max((name for name in others if name != "symmetric"), key=lambda name: sigmas[name], default=best)
        if nearest != "symmetric" and sigmas[nearest] > MAX_COMA_SIGMAS:
            text = f"a PSF with coma along {nearest[-1]} explains the image as well, within {abs(sigmas[nearest]):.1f} standard errors"
            why = f"it must do so worse by {-MAX_COMA_SIGMAS:g}: this image does not tell; give a brighter or larger one"
            return Finding.not_checked("shape", f"{text}, and {why}", sigmas[nearest], MAX_COMA_SIGMAS)
        return Finding("ok", "shape", sigmas[best], MIN_GAIN_SIGMAS, "no symmetric PSF, and none with more coma, explains the image better")
    kind = "a symmetric PSF" if best == "symmetric" else f"a PSF with more coma along {best[-1]}"
    text = f"{kind} explains the image better, by {sigmas[best]:.1f} standard errors (limit {MIN_GAIN_SIGMAS:g})"
    advice = "the PSF has another asymmetry than the image: average more beads in the same part of the field, or use a theoretical PSF"
    return Finding("warn", "shape", sigmas[best], MIN_GAIN_SIGMAS, f"{text}; {advice}")


def _structure(comparison: Comparison) -> Finding:
    structure = comparison.structure
    if structure is None:
        why = "what this PSF leaves unexplained is judged in planes of at least 32 pixels along y and x; this image is a stack, or smaller"
        return Finding.not_checked("residual", why, limit=MAX_STRUCTURE)
    text = (
        f"a deconvolution with this PSF leaves {percent(structure, sign=True)} of structure in the residual, compared with a simulated "
        f"object (limit +{100 * MAX_STRUCTURE:.0f} %)"
    )
    if structure <= MAX_STRUCTURE:
        if comparison.wrong_structure <= MAX_STRUCTURE:
            why = f"a PSF {NARROW_FACTOR:g} or {WIDE_FACTOR:g} times as wide leaves no more than {percent(comparison.wrong_structure)} here"
            return Finding.not_checked("residual", f"{text}, but {why}: this image does not tell", structure, MAX_STRUCTURE)
        return Finding("ok", "residual", structure, MAX_STRUCTURE, text)
    return Finding("warn", "residual", structure, MAX_STRUCTURE, f"{text}; the PSF does not explain the image: measure beads")
