"""A given camera offset against the noise: whether an image can have it."""

from __future__ import annotations

from zsdeconv.camera.levels import TransferLine
from zsdeconv.findings import rounded

MIN_SIGMAS = 5.0
"""Standard errors from which a given offset contradicts the noise. Chosen: the user knows the camera, so the noise must be sure."""
MIN_SHARE = 0.02
"""Error of the offset, as a fraction of the range of the brightness levels, from which it is told. Chosen: it changes no intensity visibly
below."""


def contradiction(given: float, line: TransferLine, least_variance: float, own: tuple[float, float], light: float) -> str:
    """Why an image cannot have the `given` offset (ADU), in words; empty where it can.

    Parameters
    ----------
    given : offset, ADU
    line : photon-transfer line of the signal as recorded
    least_variance : variance that rounding leaves at least, ADU^2
    own : the offset that the image itself tells, and its standard error, ADU
    light : range of its brightness, ADU

    >>> import numpy as np
    >>> line = TransferLine(0.5, -49.0, np.diag([1e-4, 1.0]))
    >>> contradiction(99.0, line, 0.08, (100.0, 0.8), 60.0)
    ''
    >>> contradiction(0.0, line, 0.08, (100.0, 0.8), 60.0).partition(":")[0]
    'background 0 ADU contradicts the noise, by which the offset is 100 +- 0.8 ADU'
    """
    read, sigma = line.at(given), line.sigma_at(given)
    text = f"background {given:g} ADU contradicts the noise, by which the offset is {own[0]:.4g} +- {rounded(max(own[1], 0.01))} ADU"
    advice = "leave out background, or check that no constant was added to the file or taken from it"
    far = abs(given - own[0]) > MIN_SHARE * light
    if far and least_variance - read > MIN_SIGMAS * sigma:
        return f"{text}: the variance without light would be {read:.3g} +- {rounded(sigma)} ADU^2, which is negative; {advice}"
    if far and given - own[0] > MIN_SIGMAS * own[1]:
        return f"{text}: places of the image are darker than without light; {advice}"
    return ""
