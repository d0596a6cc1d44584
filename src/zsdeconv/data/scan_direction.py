"""What the planes of a stack say of its scan: how far, and which way, objects move along y from plane to plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsdeconv.image import StageScan

MIN_SIGMAS = 4.0
"""Standard deviations of chance correlations from which one is believed. Chosen: of 10 000 normal values none is as large."""
MAX_SHARE = 0.6
"""Correlation at the shift of the scan, over that at another shift, up to which the other is believed. Chosen: objects that are longer
than the shift correlate at both; simulated ones of four kinds have 0.36 at most where the scan is another one."""
CHANCES = 8
"""Shifts along x by which a plane is moved to see what other objects correlate by. Chosen: a standard deviation of 24 values is known to
15 %."""
MAX_PAIRS = 32
"""Pairs of planes that are compared, evenly spaced. Chosen: more are no more certain, and of large stacks take time."""
MIN_SHIFT_PX = 1.0
"""Shift of a scan that can be seen. Chosen: a shift by less than a pixel is less than the width of a PSF."""
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
    if not stacks or abs(shift_px) < MIN_SHIFT_PX:
        return ""
    correlations = np.sum([_correlations(stack, shift_px) for stack in stacks], 0)
    here, there, still = correlations[0]
    other = max(there, still)
    if other < MIN_SIGMAS * np.sqrt(np.square(correlations[1:]).mean()) or here > MAX_SHARE * other:
        return ""
    if there > still:
        return f"objects move the other way from plane to plane (towards the {'first' if scan.reverse else 'last'} row)"
    return "objects stay in their rows from plane to plane, as in a stack that is deskewed already or was scanned along the detection axis"


def _correlations(stack: np.ndarray, shift_px: float) -> np.ndarray:
    """`C` at the shift, its opposite and 0; in the rows below the same with the next plane moved along x, where it shows other objects."""
    rows, columns = stack.shape[1:]
    frequency = np.fft.rfftfreq(2 * rows)
    window, high = np.hanning(rows + 2)[1:-1, None], (frequency >= LOWEST_PER_PX)[:, None]
    phases = np.exp(2j * np.pi * np.multiply.outer([shift_px, -shift_px, 0.0], frequency))
    moves = [0, *(columns * n // (CHANCES + 1) for n in range(1, CHANCES + 1))]
    total = np.zeros((len(moves), 3))
    for k in np.unique(np.linspace(0, len(stack) - 2, MAX_PAIRS).astype(int)):
        pair = np.where(np.isfinite(stack[k : k + 2]), stack[k : k + 2], 0.0).astype(np.float64)
        here, after = np.fft.rfft((pair - pair.mean(1, keepdims=True)) * window, 2 * rows, axis=1)
        total += [(phases @ (here * np.roll(after, move, 1).conj() * high).sum(1)).real for move in moves]
    return total
