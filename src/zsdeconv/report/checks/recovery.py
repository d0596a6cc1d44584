"""Recovery of test objects: whether points that were added to the data are restored as two, in their place and with their brightness.

A pair of points is added to the image as the microscope would have recorded it, with its own noise, at dark places. The network, which
was not trained on it, restores the image with and without it. A network that invents structures, or suppresses unknown ones as noise,
fails, and so does one that merges two points which the lens alone separates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.findings import Finding, Level, percent
from zsdeconv.physics import grid
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.report.interfaces import ModelLike
from zsdeconv.report.section import CaptionedFigure, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zsdeconv.prediction.tiled import FramePrediction

KEY = "recovery"
TITLE = "Test objects"
QUESTION = "Are test objects that were added to the data restored as they are?"
NUMBERS = (
    "light_that_came_back",
    "light_of_each",
    "moved_fine_px",
    "moves_yx_fine_px",
    "points_apart_fine_px",
    "dip_of_each",
    "pairs_resolved",
)

MAX_PLACES = 5
"""Pairs of points in an image. Chosen: the noise of single ones averages out, and dark places of small fields are few."""
SEPARATION_FWHM = 1.4
"""Distance of the two points, in widths (FWHM) of the PSF. Chosen: a little more than the lens alone needs to separate them (1.2 widths),
and far more than a restored image claims to (`training.target_fwhm_fraction`)."""
MIN_DIP = 0.265
"""Dip between the two points, relative to the fainter one, from which a pair counts as resolved. Law: that of the Rayleigh criterion, which
a perfect circular lens reaches at 0.61 wavelength / NA (Born and Wolf, Principles of Optics, section 8.6.2)."""
RESOLVED_SHARE = 0.5
"""Share of the pairs that must be resolved. Chosen: the noise of single pairs is random, a network that merges points merges most."""
BRIGHTNESS_QUANTILE = 0.99
"""Quantile of the denoised image that is the peak brightness of a pair. Chosen: as bright as the structures of the image."""
SUPPORT_FWHM = 1.5
"""Distance around the pair within which light is counted, in widths of the PSF. Chosen: it holds nearly all light of the pair."""
MAX_SHIFT_PX = 0.5
"""Shift up to which the level is ok, fine pixels. Chosen: below it a position is right to the pixel."""
MAX_LIGHT_ERROR = 0.25
"""Relative error of the light up to which the level is ok. Chosen: the noise of the pairs makes up to a tenth."""
MIN_LIGHT_SIGMAS = 2.0
"""Standard errors by which the light must exceed that limit. Chosen: the normal law exceeds them on one side once in 44."""
MIN_SHIFT_SIGMAS = 3.0
"""Standard errors of a mean shift from which it is one. Law: of five places without any, one mean in 110 is as long (F-distribution)."""
MAX_SHIFT_SIGMA_PX = 0.6
"""Standard error up to which a place counts as known, fine pixels. Law: a shift by a raw pixel, two fine ones, is more than
`MIN_SHIFT_SIGMAS` then. Measured (benchmarks/findings.py): 0.2 to 0.85 in images of 128 x 128 pixels at 15 and 60 photons."""
MAX_LIGHT_SIGMA = 0.15
"""The same of the relative error of the light. Chosen: half the light is then told from all of it."""
MIN_PLACES = 3
"""Places of which a standard error is known. Chosen: two values do not know their spread."""
QUANTILE_PX = 2**22
"""Pixels from which the brightness is taken, evenly spaced in larger images. Chosen: a quantile of more is no more exact."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """Restored pairs of points: for each place (fine pixels, `*zyx`) the fraction of the light, the shift of its centre (y, x), and the
    dip between the points, relative to the fainter one.

    `separation_px` is the distance of the points; this and all lengths are in fine pixels. `before`, `added` and `after` are windows
    around the first place (fine grid, y x, in the network's unit): restored without the pair, the pair itself, and restored with it.
    Without any place the windows are empty.
    """

    places: list[tuple[int, ...]]
    light_fractions: list[float]
    shifts_px: list[tuple[float, float]]
    dips: list[float]
    separation_px: int
    separation_nm: float
    before: np.ndarray
    added: np.ndarray
    after: np.ndarray

    @property
    def light_fraction(self) -> float | None:
        """Restored light over added light, the mean over all places."""
        return float(np.mean(self.light_fractions)) if self.light_fractions else None

    @property
    def shift_px(self) -> float | None:
        """Length of the mean shift over all places; the noise of single ones cancels."""
        return float(np.linalg.norm(np.mean(self.shifts_px, axis=0))) if self.shifts_px else None

    @property
    def resolved(self) -> int | None:
        """Number of pairs whose points can be told apart."""
        return sum(dip >= MIN_DIP for dip in self.dips) if self.dips else None

    @property
    def light_error(self) -> float:
        """Standard error of `light_fraction`, from the spread over the places; infinite where there are too few."""
        return _error_of_mean(np.array(self.light_fractions)[:, None]) if len(self.places) >= MIN_PLACES else math.inf

    @property
    def shift_error_px(self) -> float:
        """Standard error of the mean shift along y and x together; infinite where there are too few places."""
        return _error_of_mean(np.array(self.shifts_px)) if len(self.places) >= MIN_PLACES else math.inf


def _error_of_mean(values: np.ndarray) -> float:
    """Length of the standard errors of the mean over the first axis (`place component`)."""
    return float(np.sqrt((values.var(0, ddof=1) / len(values)).sum()))


@torch.no_grad()
def measure(model: ModelLike, measurement: Measurement, before: FramePrediction, *, passes: int, seed: int = 0) -> Recovery:
    """Add pairs of points to an image, restore it, and compare.

    Both restorations see the same noise of the image, so that they differ by the pairs and the noise of their own light. There is no
    place for a pair where the image is too small, or too dark to define the brightness of a pair.

    Parameters
    ----------
    model : the trained model
    measurement : image, made by the acquisition of the model
    before : prediction of the model for the measurement
    passes : passes of `before`
    seed : of the noise of the added light
    """
    acquisition = model.acquisition
    factors = grid.lateral_factors(model.modality.rank, acquisition.scale)
    fwhm_px = [um / step for um, step in zip(fwhms_um(acquisition.psf), acquisition.psf.spacing_um, strict=True)]
    pair = _Pair(max(2, round(SEPARATION_FWHM * fwhm_px[-1])), [math.ceil(SUPPORT_FWHM * n) for n in fwhm_px])
    separation_nm = 1e3 * pair.separation_px * acquisition.psf.spacing_um[-1]
    places = _dark_places(before.denoised, factors, pair.support_px, before.deconvolved.shape)
    x = torch.zeros_like(before.deconvolved)
    for place in places:
        pair.add_to(x, place, 1.0)
    image = acquisition.forward_operator(x[None, None])[0, 0]
    sampled = before.denoised[..., :: max(1, before.denoised.numel() // QUANTILE_PX)].flatten()[: 4 * QUANTILE_PX]
    peak = float(torch.quantile(sampled, BRIGHTNESS_QUANTILE))
    if not places or peak <= 0 or float(image.max()) <= 0:
        empty = np.zeros((0, 0))
        return Recovery([], [], [], [], pair.separation_px, separation_nm, empty, empty, empty)
    light = peak / float(image.max())
    generator = torch.Generator(measurement.y.device).manual_seed(seed)
    with_pairs = measurement.with_light(acquisition.simulate_added(light * x[None, None], generator)[0, 0])
    after = model.predict_measurement(with_pairs, passes=passes)
    difference = (after.deconvolved - before.deconvolved).cpu().double().numpy()
    measured = [pair.measured(difference, place, light) for place in places]
    window = tuple(slice(first, stop) for first, stop in pair.window(places[0]))
    shown = (_central_plane(part[window].cpu().numpy()) for part in (before.deconvolved, light * x, after.deconvolved))
    dips = [pair.dip(difference, place) for place in places]
    fractions, shifts = [fraction for fraction, _ in measured], [shift for _, shift in measured]
    return Recovery(places, fractions, shifts, dips, pair.separation_px, separation_nm, *shown)


def section(result: Recovery) -> Section:
    """Light, place and separation of the restored pairs with their limits, and images of one of them.

    >>> empty = np.zeros((0, 0))
    >>> section(Recovery([], [], [], [], 4, 130.0, empty, empty, empty)).level
    'not_checked'
    """
    fraction, shift, places = result.light_fraction, result.shift_px, result.places
    values = (
        None if fraction is None else round(fraction, 4),
        [round(single, 4) for single in result.light_fractions] if places else None,
        None if shift is None else round(shift, 4),
        [[round(float(step), 4) for step in single] for single in result.shifts_px] if places else None,
        result.separation_px if places else None,
        [round(dip, 4) for dip in result.dips] if places else None,
        result.resolved,
    )
    caption = (
        f"A pair of points, {result.separation_nm:.0f} nm apart, at a dark place of the image: the image restored without it, the pair "
        "itself, the image restored with it."
    )
    figures = [CaptionedFigure(caption, lambda figure: _draw(figure, result), (6.4, 2.4))] if places else []
    return Section(KEY, TITLE, QUESTION, _findings(result), dict(zip(NUMBERS, values, strict=True)), figures)


@dataclass(frozen=True)
class _Pair:
    """Two points `separation_px` from each other along x, and the distance around them within which their light is counted."""

    separation_px: int
    support_px: Sequence[int]

    def add_to(self, x: Tensor, place: Sequence[int], light: float) -> None:
        *rest, column = place
        for at in (column - self.separation_px // 2, column - self.separation_px // 2 + self.separation_px):
            x[(*rest, at)] += light / 2

    def centre(self, place: Sequence[int]) -> np.ndarray:
        return np.array([*place[:-1], place[-1] - self.separation_px // 2 + self.separation_px / 2])

    def window(self, place: Sequence[int]) -> list[tuple[int, int]]:
        support = [*self.support_px[:-1], self.support_px[-1] + self.separation_px]
        return [(max(0, at - n), at + n + 1) for at, n in zip(place, support, strict=True)]

    def measured(self, difference: np.ndarray, place: Sequence[int], light: float) -> tuple[float, tuple[float, float]]:
        """Fraction of the light in the window, and the distance (y, x) of its centre of mass from the centre of the pair."""
        window = self.window(place)
        part = difference[tuple(slice(first, stop) for first, stop in window)]
        weight = np.clip(part, 0, None)
        weight = weight.reshape(-1, *weight.shape[-2:]).sum(0)
        rows, columns = (first + np.arange(n) for (first, _), n in zip(window[-2:], weight.shape, strict=True))
        total, (y, x) = max(float(weight.sum()), 1e-30), self.centre(place)[-2:]
        shift = (float(weight.sum(1) @ rows) / total - y, float(weight.sum(0) @ columns) / total - x)
        return float(part.sum()) / light, shift

    def dip(self, difference: np.ndarray, place: Sequence[int]) -> float:
        """Depth of the valley between the two points in a profile through both, over the fainter of their peaks; 0 where one is missing.

        The profile is summed over two thirds of the width of the PSF across it. Each peak is looked for within a quarter of the distance
        around the place of its point.
        """
        across = [slice(max(0, at - n // 3), at + n // 3 + 1) for at, n in zip(place[:-1], self.support_px[:-1], strict=True)]
        profile = difference[tuple(across)].reshape(-1, difference.shape[-1]).sum(0)
        left, near = place[-1] - self.separation_px // 2, self.separation_px // 4
        peaks = [max(0, at - near) + int(profile[max(0, at - near) : at + near + 1].argmax()) for at in (left, left + self.separation_px)]
        fainter = float(min(profile[at] for at in peaks))
        return 1 - max(float(profile[peaks[0] : peaks[1] + 1].min()), 0.0) / fainter if fainter > 0 else 0.0


def _dark_places(denoised: Tensor, factors: Sequence[int], support_px: Sequence[int], fine: Sequence[int]) -> list[tuple[int, ...]]:
    """Fine pixels, far from each other and from the border, whose surroundings have the lowest maximum.

    Parameters
    ----------
    denoised : image on the raw grid
    factors : fine pixels per raw pixel along each axis
    support_px : distance around a pair within which its light is counted, fine pixels
    fine : shape of the fine grid
    """
    from scipy.ndimage import maximum_filter

    raw = [max(1, math.ceil(2 * support / factor)) for support, factor in zip(support_px, factors, strict=True)]
    image = denoised.cpu().numpy()
    if any(n <= 2 * r + 1 for n, r in zip(image.shape[-2:], raw[-2:], strict=True)):
        return []
    context = [min(r, (n - 1) // 2) for r, n in zip(raw, image.shape, strict=True)]
    maximum = maximum_filter(image, [2 * r + 1 for r in context])
    inner = tuple(slice(r, n - r) for r, n in zip(context, image.shape, strict=True))
    free = np.full(image.shape, np.inf)
    free[inner] = maximum[inner]
    places: list[tuple[int, ...]] = []
    while len(places) < MAX_PLACES and np.isfinite(free.min()):
        at = np.unravel_index(int(free.argmin()), free.shape)
        places.append(tuple(min(int(a) * f + f // 2, n - 1) for a, f, n in zip(at, factors, fine, strict=True)))
        free[tuple(slice(max(0, int(a) - 2 * r), int(a) + 2 * r + 1) for a, r in zip(at, context, strict=True))] = np.inf
    return places


def _findings(result: Recovery) -> list[Finding]:
    limits = {
        "separation of test objects": MIN_DIP,
        "brightness of test objects": 1 + MAX_LIGHT_ERROR,
        "place of test objects": MAX_SHIFT_PX,
    }
    fraction, shift, resolved = result.light_fraction, result.shift_px, result.resolved
    if fraction is None or shift is None or resolved is None:
        why = "The image is too small or too dark for test objects; restore a larger field."
        return [Finding.not_checked(name, why, limit=limit) for name, limit in limits.items()]
    return [_separation(result, resolved), _light(result, fraction), _place(result, shift)]


def _light(result: Recovery, fraction: float) -> Finding:
    wrong = abs(fraction - 1) > MAX_LIGHT_ERROR + MIN_LIGHT_SIGMAS * result.light_error
    text = f"{len(result.places)} pairs of points came back with {percent(fraction)} of their light"
    text += "" if math.isinf(result.light_error) else f", known to ± {percent(result.light_error)}"
    text += f" (limit 100 ± {100 * MAX_LIGHT_ERROR:.0f} %)"
    advice, known = "measure faint isolated objects in the denoised image", result.light_error <= MAX_LIGHT_SIGMA
    return _told("brightness of test objects", (fraction, 1 + MAX_LIGHT_ERROR), text, advice, wrong=wrong, known=known)


def _place(result: Recovery, shift: float) -> Finding:
    shifted = shift > max(MAX_SHIFT_PX, MIN_SHIFT_SIGMAS * result.shift_error_px)
    error = "" if math.isinf(result.shift_error_px) else f" ± {result.shift_error_px:.2f}"
    text = f"Pairs of points came back {shift:.2f}{error} fine pixels from their place on average (limit {MAX_SHIFT_PX:g})"
    advice, known = "check that the PSF is centred with `zsdeconv psf check`", result.shift_error_px <= MAX_SHIFT_SIGMA_PX
    return _told("place of test objects", (shift, MAX_SHIFT_PX), text, advice, wrong=shifted, known=known)


def _separation(result: Recovery, resolved: int) -> Finding:
    """Whether two points come back as two. A restored image claims to resolve their distance, so a merged pair is no success."""
    count, dip = len(result.dips), float(np.median(result.dips))
    level: Level = "ok" if resolved > RESOLVED_SHARE * count else "warn"
    what = "resolved" if level == "ok" else "merged"
    number = resolved if level == "ok" else count - resolved
    text = (
        f"{number} of {count} pairs of points {result.separation_nm:.0f} nm apart are {what}: between the two points it is "
        f"{percent(dip, 1)} darker than at the fainter one (at least {percent(MIN_DIP, 1)} by the Rayleigh criterion)"
    )
    advice = "" if level == "ok" else "; do not count or separate objects as close as this: record more light, or train with more `steps`"
    return Finding(level, "separation of test objects", dip, MIN_DIP, f"{text}{advice}.")


def _told(name: str, value_limit: tuple[float, float], text: str, advice: str, *, wrong: bool, known: bool) -> Finding:
    """A warning with advice where it is `wrong`, not checked where an error that is not `known` would hide it, and good otherwise."""
    value, limit = value_limit
    if wrong:
        return Finding("warn", name, value, limit, f"{text}; {advice}.")
    if not known:
        return Finding.not_checked(name, f"{text}; the noise of so few objects hides an error: restore a larger field.", value, limit)
    return Finding("ok", name, value, limit, f"{text}.")


def _draw(figure: Figure, result: Recovery) -> None:
    peak = max(float(result.after.max()), 1e-30)
    panels = {
        "without": (result.before, peak),
        "added": (result.added, max(float(result.added.max()), 1e-30)),
        "with": (result.after, peak),
    }
    for axes, (title, (image, high)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=high)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()


def _central_plane(window: np.ndarray) -> np.ndarray:
    return window[len(window) // 2] if window.ndim == 3 else window
