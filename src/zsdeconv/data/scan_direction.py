"""What the planes of a stack say of its scan: how far, and which way, objects move along y from plane to plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.image import StageScan

MIN_SIGMAS = 6.0
"""Standard deviations by which a correlation must stand out to be believed. Chosen: of a hundred shifts none is so large by chance."""
MAX_SHARE = 0.5
"""Correlation at the shift of the scan, over that at another shift, up to which the other is believed. Chosen: objects that are longer
than the shift correlate at both."""
LOWEST_PER_PX = 1 / 24
"""Lowest frequency along y that counts, cycles per pixel. Chosen: the profile of a light sheet, which does not move, is lower."""


def direction_doubt(stacks: Sequence[np.ndarray], scan: StageScan, pixel_um: float) -> str:
    """Why stacks `z y x` cannot be of a scan, in words; empty where they can, or say nothing.

    The correlation of neighbouring planes, `C(d) = sum a_k(y + d) a_(k+1)(y)`, has its peak where objects move to: at `+shift_px` for
    the scan, at `-shift_px` for one in the opposite direction, and at 0 where the stack was deskewed, or the stage moved along the
    detection axis.

    >>> rng = np.random.default_rng(0)
    >>> scene = rng.normal(size=(60, 40))
    >>> stack = np.stack([scene[3 * k : 3 * k + 40] for k in range(6)])
    >>> scan = StageScan(45.0, 3 * 2**0.5)
    >>> direction_doubt([stack], scan, 1.0), direction_doubt([stack[::-1]], scan, 1.0)[:40]
    ('', 'objects move the other way from plane to')
    """
    shift_px = scan.shift_um / pixel_um
    stacks = [stack for stack in stacks if len(stack) > 1 and stack.shape[1] > 2 * abs(shift_px)]
    if not stacks or abs(shift_px) < 1:
        return ""
    correlations = [_correlation(stack, shift_px) for stack in stacks]
    (here, there, still), sigma = np.sum([each for each, _ in correlations], 0), np.sqrt(np.sum([s**2 for _, s in correlations]))
    other = max(there, still)
    if other < MIN_SIGMAS * sigma or here > MAX_SHARE * other:
        return ""
    if there > still:
        return f"objects move the other way from plane to plane (towards the {'first' if scan.reverse else 'last'} row)"
    return "objects stay in their rows from plane to plane, as in a stack that is deskewed already or was scanned along the detection axis"


def _correlation(stack: np.ndarray, shift_px: float) -> tuple[np.ndarray, float]:
    """`C` at the shift, its opposite and 0, and its standard deviation over all shifts."""
    rows = stack.shape[1]
    planes = np.where(np.isfinite(stack), stack, 0.0).astype(np.float64)
    planes = (planes - planes.mean(1, keepdims=True)) * np.hanning(rows + 2)[None, 1:-1, None]
    spectra = np.fft.rfft(planes, 2 * rows, axis=1)
    frequency = np.fft.rfftfreq(2 * rows)
    cross = (spectra[:-1] * spectra[1:].conj()).sum((0, 2)) * (frequency >= LOWEST_PER_PX)
    found = [float((cross * np.exp(2j * np.pi * frequency * d)).real.sum()) for d in (shift_px, -shift_px, 0.0)]
    everywhere = np.fft.irfft(cross, 2 * rows) * rows  # one half of the spectrum, as above
    return np.array(found), float(1.4826 * np.median(np.abs(everywhere)))
