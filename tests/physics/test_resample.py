"""The middle of a PSF."""

import numpy as np
import pytest

from zsdeconv.physics.resample import core_offset


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
