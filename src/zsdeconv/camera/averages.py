"""Averages of frames that are given as a single frame: their noise is smaller than that of the electrons that a camera counts.

The law of the noise stays linear, and a restoration is right; but the gain comes out too small by the number of frames, and with it every
number of electrons.
"""

from __future__ import annotations

MIN_GAIN_PER_STEP = 0.05
"""Gain, ADU per electron, over the distance of grey values, ADU, below which no camera is read out. Law: 12 bits for 80 000 electrons, the
fullest pixels that are made."""
MAX_FRAMES = 1000
"""Frames of an average that its grey values tell. Chosen: more make steps that float32 hardly resolves."""
LATTICE_ERROR = 1e-4
"""Relative error of a step that is one over a number of frames. Chosen: rounding of float32; a rescaled image has any step."""
MIN_STEPS = 3
"""Range of the brightness, ADU, from which a step below 1 tells of an average. Chosen: images scaled to 1 have such steps as well."""


def average_message(step: float, light: float, gain: float, gain_sigma: float) -> list[str]:
    """A warning where a frame is an average; none otherwise.

    Parameters
    ----------
    step : distance of grey values, ADU; 0 for continuous data
    light : range of the brightness, ADU
    gain, gain_sigma : gain and its standard error, ADU per electron

    >>> average_message(1.0, 60.0, 0.46, 0.02), average_message(0.0, 60.0, 0.03, 0.001)
    ([], [])
    >>> average_message(0.25, 60.0, 0.115, 0.01)[0].partition(":")[0]
    'grey values are multiples of 1/4, as the average of 4 frames has them'
    >>> average_message(1.0, 60.0, 0.03, 0.001)[0].partition(":")[0]
    'the noise is too small for single frames, gain 0.03 +- 0.001 ADU per electron with grey values 1 ADU apart (limit 0.05 of them)'
    """
    advice = "the gain comes out too small by the number of averaged frames, and electrons too many; give the single frames as a movie"
    frames = round(1 / step) if step > 0 else 0
    if 2 <= frames <= MAX_FRAMES and light > MIN_STEPS and abs(step * frames - 1) < LATTICE_ERROR:
        return [f"grey values are multiples of 1/{frames}, as the average of {frames} frames has them: {advice}"]
    if step > 0 and 0 < gain + 3 * gain_sigma < MIN_GAIN_PER_STEP * step:
        found = f"gain {gain:.2g} +- {gain_sigma:.2g} ADU per electron with grey values {step:g} ADU apart"
        return [f"the noise is too small for single frames, {found} (limit {MIN_GAIN_PER_STEP:g} of them): {advice}"]
    return []
