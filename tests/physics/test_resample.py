"""The middle of a PSF."""

import numpy as np
import pytest

from zsdeconv.physics.resample import core_offset, recentred


def test_the_middle_of_a_stack_is_that_of_its_line_spread_function() -> None:
    """Light that moves aside above and below the focus: a line is seen where the projection is, not where the focal plane is."""
    z, y, x = np.meshgrid(np.arange(-9, 10.0), np.arange(-14, 15.0), np.arange(-16, 17.0), indexing="ij")
    bent = np.exp(-((z / 4) ** 2) / 2 - ((y / 2.5) ** 2) / 2 - (((x - 0.08 * z**2) / 3) ** 2) / 2)
    offset = core_offset(bent)
    assert offset[:2] == pytest.approx([0, 0], abs=1e-9)
    line = np.exp(-((np.arange(-9, 10) / 4) ** 2) / 2)
    mean = (line * 0.08 * np.arange(-9, 10) ** 2).sum() / line.sum()  # of the light; the core leaves part of the tail out
    assert 0.5 * mean < offset[2] < mean
    far = bent + np.roll(bent, (14, 15), (1, 2))  # another bead, farther away than its light reaches
    assert core_offset(far)[2] == pytest.approx(offset[2], abs=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_bent_and_undersampled_stacks_can_be_centred(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in 2 * rng.integers(2, 8, 3) + 1)
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    sigma, tilt, bend = rng.uniform(0.5, 3, 3), rng.uniform(-0.6, 0.6, 2), rng.uniform(-0.1, 0.1)
    place = (z, y - tilt[0] * z, x - tilt[1] * z - bend * z**2)
    values = np.exp(-sum((at / s) ** 2 for at, s in zip(place, sigma, strict=True)) / 2) + 0.02 * rng.random(shape)
    centred, _ = recentred(values, (1.0, 1.0, 1.0))
    assert np.abs(core_offset(centred)).max() < 0.1  # what a PSF may be off by; 0.07 was the most of 300
