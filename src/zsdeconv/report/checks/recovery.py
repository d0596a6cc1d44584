"""Objects that were put into the data come back: where they were put, and as bright.

A pair of points is added to the image as the microscope would have recorded it, with its own noise, at places that hold little
light. The network, which has never seen it, restores the image with and without it. A network that invents what it expects, or
takes for noise what it does not, fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zsdeconv.acquisition.base import Measurement
from zsdeconv.findings import Finding
from zsdeconv.physics import grid
from zsdeconv.physics.psf_check import fwhms_um
from zsdeconv.report.interfaces import ModelLike
from zsdeconv.report.section import Picture, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zsdeconv.prediction.tiled import FramePrediction

PLACES = 5
APART = 1.4
"""Distance of the two points, in widths (FWHM) of the PSF: an image of the lens hardly parts them."""
TOP = 0.99
"""The pair is in the image as bright as this share of its pixels are at most."""
AROUND = 1.5
"""How far around the pair light is counted as its own, in widths of the PSF."""
POSITION_LIMIT_PX = 0.5
BRIGHTNESS_LIMIT = 0.25


@dataclass(frozen=True, eq=False)
class Recovery:
    """What came back of pairs of points: for each place (fine pixels, `*zyx`) the share of its light, and by how much (y, x, fine pixels)
    its centre moved.

    `apart_px` is the distance of the points; `before`, `put` and `after` are windows around the first place (fine grid, y x, in
    the network's unit): restored without it, what was put, and restored with it.
    """

    places: list[tuple[int, ...]]
    shares: list[float]
    moves_px: list[tuple[float, float]]
    apart_px: int
    before: np.ndarray
    put: np.ndarray
    after: np.ndarray

    @property
    def share(self) -> float:
        """Light that came back, as a share of what was put, all places together."""
        return float(np.mean(self.shares))

    @property
    def moved_px(self) -> float:
        """How far pairs came back from where they were put, on the mean over all places: the noise of single ones cancels."""
        return float(np.linalg.norm(np.mean(self.moves_px, axis=0)))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return {
            "light_that_came_back": round(self.share, 4),
            "light_of_each": [round(share, 4) for share in self.shares],
            "moved_fine_px": round(self.moved_px, 4),
            "moves_yx_fine_px": [[round(float(step), 4) for step in move] for move in self.moves_px],
            "points_apart_fine_px": self.apart_px,
        }


@torch.no_grad()
def examine_recovery(model: ModelLike, measurement: Measurement, before: FramePrediction, *, passes: int, seed: int = 0) -> Recovery | None:
    """Put pairs of points into an image that `model.acquisition` has made a field of, restore it with them, and compare.

    `before` is what `model.predict_measurement` makes of it without them in as many `passes`. Both times these see the same noise, so that
    what differs is the pairs and the noise of their own light. None where the image is too small to hold one, or too dark to say how
    bright one should be.
    """
    factors = grid.lateral_factors(model.modality.rank, model.acquisition.scale)
    fwhm_px = [um / step for um, step in zip(fwhms_um(model.acquisition.psf), model.acquisition.psf.spacing_um, strict=True)]
    pair = _Pair(max(2, round(APART * fwhm_px[-1])), [math.ceil(AROUND * n) for n in fwhm_px])
    places = _quiet_places(before.denoised, factors, pair.support_px, before.deconvolved.shape)
    x = torch.zeros_like(before.deconvolved)
    for place in places:
        pair.put(x, place, 1.0)
    alone = model.acquisition.forward_operator(x[None, None])[0, 0]
    top = float(torch.quantile(before.denoised[..., :: max(1, before.denoised.numel() // 2**22)].flatten()[: 2**24], TOP))
    if not places or top <= 0 or float(alone.max()) <= 0:
        return None
    light = top / float(alone.max())
    generator = torch.Generator(measurement.y.device).manual_seed(seed)
    spiked = measurement.with_light(model.acquisition.simulate_added(light * x[None, None], generator)[0, 0])
    after = model.predict_measurement(spiked, passes=passes)
    found = (after.deconvolved - before.deconvolved).cpu().double().numpy()
    measured = [pair.measured(found, place, light) for place in places]
    window = tuple(slice(first, stop) for first, stop in pair.window(places[0]))
    shown = (_flat(image[window].cpu().numpy()) for image in (before.deconvolved, light * x, after.deconvolved))
    return Recovery(places, [share for share, _ in measured], [move for _, move in measured], pair.apart_px, *shown)


@dataclass(frozen=True)
class _Pair:
    """Two points `apart_px` from each other along x, and how far around them their light is counted."""

    apart_px: int
    support_px: Sequence[int]

    def put(self, x: Tensor, place: Sequence[int], light: float) -> None:
        *rest, column = place
        for at in (column - self.apart_px // 2, column - self.apart_px // 2 + self.apart_px):
            x[(*rest, at)] += light / 2

    def middle(self, place: Sequence[int]) -> np.ndarray:
        return np.array([*place[:-1], place[-1] - self.apart_px // 2 + self.apart_px / 2])

    def window(self, place: Sequence[int]) -> list[tuple[int, int]]:
        wide = [*self.support_px[:-1], self.support_px[-1] + self.apart_px]
        return [(max(0, at - reach), at + reach + 1) for at, reach in zip(place, wide, strict=True)]

    def measured(self, found: np.ndarray, place: Sequence[int], light: float) -> tuple[float, tuple[float, float]]:
        """Share of the light that is in the window, and how far its centre of mass (y, x) is from the middle of the pair."""
        window = self.window(place)
        part = found[tuple(slice(first, stop) for first, stop in window)]
        weight = np.clip(part, 0, None)
        weight = weight.reshape(-1, *weight.shape[-2:]).sum(0)
        rows, columns = (first + np.arange(n) for (first, _), n in zip(window[-2:], weight.shape, strict=True))
        total, (y, x) = max(float(weight.sum()), 1e-30), self.middle(place)[-2:]
        move = (float(weight.sum(1) @ rows) / total - y, float(weight.sum(0) @ columns) / total - x)
        return float(part.sum()) / light, move


def _quiet_places(denoised: Tensor, factors: Sequence[int], support_px: Sequence[int], fine: Sequence[int]) -> list[tuple[int, ...]]:
    """Fine pixels, far from each other and from the border, around which the image is darkest at its brightest."""
    from scipy.ndimage import maximum_filter

    raw = [max(1, math.ceil(2 * reach / factor)) for reach, factor in zip(support_px, factors, strict=True)]
    image = denoised.cpu().numpy()
    if any(n <= 2 * r + 1 for n, r in zip(image.shape[-2:], raw[-2:], strict=True)):
        return []
    around = [min(r, (n - 1) // 2) for r, n in zip(raw, image.shape, strict=True)]
    brightest = maximum_filter(image, [2 * r + 1 for r in around])
    inner = tuple(slice(r, n - r) for r, n in zip(around, image.shape, strict=True))
    free = np.full(image.shape, np.inf)
    free[inner] = brightest[inner]
    places: list[tuple[int, ...]] = []
    while len(places) < PLACES and np.isfinite(free.min()):
        at = np.unravel_index(int(free.argmin()), free.shape)
        places.append(tuple(min(int(a) * f + f // 2, n - 1) for a, f, n in zip(at, factors, fine, strict=True)))
        free[tuple(slice(max(0, int(a) - 2 * r), int(a) + 2 * r + 1) for a, r in zip(at, around, strict=True))] = np.inf
    return places


def recovery_section(found: Recovery | None) -> Section:
    """What came back of the pairs, for the report.

    >>> recovery_section(None).level
    'warn'
    """
    title, question = "Test objects", "Does an object that we put into your data come back where it was put, and as bright?"
    if found is None:
        why = "the image is too small, or too dark, to put test objects into it; restore a larger field to have this check"
        return Section("recovery", title, question, [Finding("warn", "test objects", 0.0, 1.0, why)])
    caption = (
        f"A pair of points, {found.apart_px} fine pixels apart, put into a dark place of the image before it was restored: "
        "restored without it, what was put, restored with it."
    )
    return Section(
        "recovery", title, question, _findings(found), found.to_dict(), [Picture(caption, lambda f: _draw(f, found), (6.4, 2.4))]
    )


def _findings(found: Recovery) -> list[Finding]:
    off = abs(found.share - 1)
    came = (
        f"{100 * found.share:.0f} % of the light of {len(found.places)} test objects came back (limit {100 * BRIGHTNESS_LIMIT:.0f} % off)"
    )
    if off > BRIGHTNESS_LIMIT:
        came += ": measure faint objects that stand alone in the denoised image, not in the deconvolved one"
    moved = f"Test objects moved by {found.moved_px:.2f} fine pixels on the mean (limit {POSITION_LIMIT_PX:g})"
    if found.moved_px > POSITION_LIMIT_PX:
        moved += ": check that the PSF is centred (`zsdeconv psf check`)"
    return [
        Finding("ok" if off <= BRIGHTNESS_LIMIT else "warn", "brightness of test objects", found.share, 1 + BRIGHTNESS_LIMIT, came),
        Finding("ok" if found.moved_px <= POSITION_LIMIT_PX else "warn", "place of test objects", found.moved_px, POSITION_LIMIT_PX, moved),
    ]


def _draw(figure: Figure, found: Recovery) -> None:
    brightest = max(float(found.after.max()), 1e-30)
    titles = {"without": found.before, "put": found.put, "with": found.after}
    for axes, (title, image) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=max(float(image.max()), 1e-30) if title == "put" else brightest)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()


def _flat(window: np.ndarray) -> np.ndarray:
    """The middle plane of a window."""
    return window[len(window) // 2] if window.ndim == 3 else window
