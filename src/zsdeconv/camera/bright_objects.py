"""Objects far brighter than all else in an image: a bead, a crystal, a dead cell that took up the dye.

A network has one linear scale. Where one object is many times brighter than everything else, the rest lies in the lowest hundredths of that
scale, and the loss is that of the object alone. Such an object needs no network, for its noise is a small part of it: it is set aside with
its halo, the rest is restored as an image without it, and it comes back as it was recorded, and deconvolved by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_RATIO = 20.0
"""Brightness of such an object over the brightest thousandth of the rest. Chosen: below, noise and halo of the object are no larger than
the rest itself."""
CANDIDATE_RATIO = 50.0
"""Brightness over that of nine tenths of the image from which an object is looked at."""
BULK_QUANTILE, PEAK_QUANTILE = 0.9, 0.999
"""Quantiles of the bulk of an image and of its brightest places."""
TRIMMED_QUANTILE = 0.97
"""Quantile of the differences of neighbours up to which they are noise. Chosen: a bright object makes larger ones in fewer places."""
MIN_STRUCTURE_SD = 10.0
"""Brightness of the rest, in standard deviations of its noise, from which there is a rest to restore. Chosen: the brightest thousandth of
normal noise lies at 3.1, of one photon in a hundred pixels at 7."""
MEAN_PX = 3
"""Side of the squares over which brightness is averaged. Chosen: a single hot pixel is no object."""
MAX_HALO_PX = 64
"""Largest halo that is looked for. Chosen: beyond, the Airy pattern of an object a thousand times brighter is lost in noise."""
MAX_FRACTION = 0.2
"""Part of an image that may be set aside. Chosen: what fills more is no single object."""


def bright_objects(plane: np.ndarray) -> np.ndarray:
    """Where a plane (`y x`, no pixels without data) has objects far brighter than all else, with their halo.

    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:64, :96]
    >>> light = 20.0 * (np.hypot(y - 40, x - 60) < 9) + 2e4 * np.exp(-((y - 12) ** 2 + (x - 20) ** 2) / 4.5)
    >>> found = bright_objects(rng.poisson(light + 2))
    >>> bool(found[12, 20]), bool(found[40, 60])
    (True, False)
    """
    from scipy.ndimage import distance_transform_edt, label, maximum, uniform_filter

    nothing = np.zeros(plane.shape, bool)
    smooth = uniform_filter(plane.astype(np.float64) - float(np.median(plane)), MEAN_PX, mode="nearest")
    bulk = max(float(np.quantile(smooth, BULK_QUANTILE)), _noise_sd(plane, nothing, TRIMMED_QUANTILE) / MEAN_PX)
    core = smooth > CANDIDATE_RATIO * bulk
    while core.any():
        halo = _halo(smooth, np.asarray(distance_transform_edt(~core)))
        rest = smooth[~halo]
        if halo.mean() > MAX_FRACTION or not rest.size:
            return nothing
        level = float(np.quantile(rest, PEAK_QUANTILE))
        numbers = np.asarray(label(core)[0])  # type: ignore[index]  # it returns a pair where no output array is given
        peaks = np.atleast_1d(maximum(smooth, numbers, np.arange(1, numbers.max() + 1)))
        kept = core & np.isin(numbers, 1 + np.flatnonzero(peaks > MIN_RATIO * level))
        if (kept == core).all():
            return halo if level > MIN_STRUCTURE_SD * _noise_sd(plane, halo) / MEAN_PX else nothing
        core = kept
    return nothing


def _noise_sd(plane: np.ndarray, halo: np.ndarray, quantile: float = 1.0) -> float:
    """Standard deviation of the noise outside the halo, with what structure adds to the differences of neighbours.

    Only those up to a quantile count. Of whole numbers, which may be photons, it is one at least.
    """
    least = 1.0 if np.array_equal(plane, np.round(plane)) else 0.0
    differences = np.abs(np.diff(plane.astype(np.float64), axis=1))[~(halo[:, 1:] | halo[:, :-1])]
    differences = differences[differences <= np.quantile(differences, quantile)] if differences.size else differences
    return max(float(np.sqrt(np.mean(differences**2) / 2)), least) if differences.size else np.inf


def _halo(smooth: np.ndarray, distance_px: np.ndarray) -> np.ndarray:
    """The core of objects and what surrounds them, up to where it is no brighter than the brightest of the rest."""
    for radius in range(1, MAX_HALO_PX):
        inside = distance_px <= radius
        ring = inside & (distance_px > radius - 1)
        outside = ~inside
        if not ring.any() or not outside.any() or smooth[ring].mean() <= np.quantile(smooth[outside], PEAK_QUANTILE):
            return inside
    return distance_px <= MAX_HALO_PX


def told_of(masks: Sequence[np.ndarray | None]) -> str:
    """What was set aside, in words; empty where nothing was. The masks are those of the frames (`... y x`)."""
    from scipy.ndimage import label

    found = [mask for mask in masks if mask is not None and mask.any()]
    if not found:
        return ""
    count = max(int(np.max(label(mask.reshape(-1, *mask.shape[-2:]).any(0))[0])) for mask in found)  # type: ignore[index]
    share = 100 * float(np.mean([0.0 if mask is None else mask.mean() for mask in masks]))
    objects = "an object" if count == 1 else f"{count} objects"
    which = f"{objects} ({share:.2g} % of the image with the halo) more than {MIN_RATIO:g} times as bright as all else"
    return f"{which}: set aside, deconvolved by Richardson-Lucy, and given back without being denoised"
