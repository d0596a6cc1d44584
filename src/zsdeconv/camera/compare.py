"""Whether one detector recorded two images: its law of noise is compared with the noise at each brightness, by standard errors.

Offset and read noise are known badly from one image, but not the line of variance over signal that they make together: a sample in haze,
a dimmer field and another sample all lie on the line of their camera. Another offset, gain or scale of counts is off it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsdeconv.camera.calibrate import MAX_GAIN_ERROR_RATIO, Calibration
from zsdeconv.camera.detector import Camera
from zsdeconv.camera.frames import calibrate_frames, chosen_planes
from zsdeconv.camera.survey import is_correlated, survey_frames
from zsdeconv.errors import ImageError
from zsdeconv.findings import rounded, times

LAW_ERROR = 0.15
"""Relative error of a variance that images of one camera have beyond chance. Measured: structure that leaks into the variance makes 5 to
10 % in simulated images, and up to 15 % between fields of real microscopes."""
MIN_SIGMAS = 3.0
"""Standard errors from which two laws differ. Measured: at most 1.6 between fields, frames and planes of 17 real
recordings; with the error above, a variance that differs by less than 57 % never does."""
GROUPS = 3
"""Groups of brightness levels that are compared. Law: offset and read noise show in the dark, the gain in the bright places."""
MIN_SIDE_PX = 48
"""Smallest side of an image that is compared. Chosen: a thousand pixels in each group of levels."""
UNKNOWN_SIGMA = 1e6
"""Standard error from which a number counts as unknown. Chosen: beyond the counts of any camera."""
TINY = 1e-30
"""Smallest variance, ADU^2. Chosen: no unit of counts makes real noise as small."""


@dataclass(frozen=True)
class KnownCamera:
    """What is known of the detector of a training: its law, the standard errors of offset and gain (ADU), and its `misfits`.

    A misfit is a pair: the signal of a group of brightness levels, ADU as recorded, and the logarithm of their variance over the law's.
    """

    law: Camera
    offset_sigma: float = 0.0
    gain_sigma: float = 0.0
    misfits: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, calibration: Calibration) -> KnownCamera:
        """What a calibration knows."""
        law, found = calibration.camera, calibration
        misfits = _misfits(law, found.signal, found.variance, found.variance_sigma, 0.0)
        return cls(law, found.offset_sigma, float(found.gain_sigma), tuple((signal, misfit) for signal, misfit, _ in misfits))

    @property
    def words(self) -> str:
        """Offset and gain with their standard errors.

        >>> KnownCamera(Camera(100.0, 0.5, 1.0), 0.8, 0.02).words
        'offset 100 +- 0.8 ADU, gain 0.5 +- 0.02 ADU per electron'
        """
        errors = [f" +- {rounded(sigma)}" if 0 < sigma < UNKNOWN_SIGMA else "" for sigma in (self.offset_sigma, self.gain_sigma)]
        return f"offset {self.law.offset:.4g}{errors[0]} ADU, gain {self.law.gain:.3g}{errors[1]} ADU per electron"

    @property
    def electrons_known(self) -> bool:
        """Whether the gain is known well enough to say in electrons what was recorded."""
        return self.law.gain > 0 and self.gain_sigma <= MAX_GAIN_ERROR_RATIO * self.law.gain


@dataclass(frozen=True)
class LawTest:
    """Variance of an image over that of a law, at the group of levels where they differ most, in standard errors `sigmas` of its logarithm.

    `signal` is the mean of that group, ADU as recorded.
    """

    ratio: float
    signal: float
    sigmas: float

    @property
    def differs(self) -> bool:
        """Whether another detector recorded the image."""
        return self.sigmas > MIN_SIGMAS

    @property
    def words(self) -> str:
        """What was found.

        >>> LawTest(4.04, 120.0, 9.0).words, LawTest(1e12, 120.0, 9.0).words
        ('at 120 ADU its noise has 4 times the variance', 'at 120 ADU its noise has more than 1000 times the variance')
        """
        return f"at {self.signal:.4g} ADU its noise has {times(self.ratio)} the variance"


SAME = LawTest(1.0, 0.0, 0.0)
"""Of noise that cannot be compared."""


def compare(known: KnownCamera, frames: Sequence[np.ndarray]) -> LawTest:
    """The noise of frames (`... y x`, ADU) against that of a known camera; correlated noise and small images are not compared.

    Raises `ImageError` for constant frames.

    >>> light = np.linspace(0, 200, 128)[:, None] * np.ones(128)
    >>> frame = np.random.default_rng(0).poisson(light) * 2.0 + 100
    >>> [compare(KnownCamera(Camera(offset, 2.0, 0.3)), [frame]).differs for offset in (100.0, 0.0)]
    [False, True]
    """
    law, planes = known.law, chosen_planes(frames)
    if min(planes.shape[-2:]) < MIN_SIDE_PX:
        return SAME
    survey = survey_frames(planes, None, floor=law.kind != "counting")
    if is_correlated(*survey.correlation[:2]):
        return SAME
    levels, least = survey.levels.moved(survey.shift), max(survey.step**2 / 12, law.read_variance * 1e-3)
    return law_test(known, levels.signal, levels.variance, levels.variance_sigma, least)


def law_test(known: KnownCamera, signal: np.ndarray, variance: np.ndarray, variance_sigma: np.ndarray, least: float) -> LawTest:
    """The variance (ADU^2, with standard errors) at brightness levels of a `signal` (ADU as recorded) against that of a known camera.

    `least` is the smallest variance there can be.
    """
    law, tests = known.law, []
    signals, misfits = zip(*known.misfits, strict=True) if known.misfits else ((0.0,), (0.0,))
    for group, misfit, sigma in _misfits(law, signal, variance, variance_sigma, least):
        above = max(group - law.offset, 0.0) * law.beta1
        of_gain = known.gain_sigma / max(law.gain, 1e-30) * above / max(above + law.read_variance, 1e-30)
        own = float(np.interp(group, signals, misfits))  # what the law is wrong by on its own image
        tests.append(LawTest(_exp(misfit), group, abs(misfit) / float(np.sqrt(sigma**2 + of_gain**2 + own**2 + LAW_ERROR**2))))
    return max(tests, key=lambda test: test.sigmas)


def _misfits(law: Camera, signal: np.ndarray, variance: np.ndarray, variance_sigma: np.ndarray, least: float) -> list[tuple[float, ...]]:
    """Mean signal, median logarithm of variance over the law's, and its standard error, of each group of brightness levels.

    The median is that of levels, so that a few levels with structure do not decide. `least` is the smallest variance there can be.
    """
    expected = np.maximum(law.beta1 * (signal - law.offset).clip(0) + law.read_variance, max(least, TINY))
    logs = np.log(np.maximum(variance, max(least, TINY)) / expected)
    relative = variance_sigma / np.maximum(variance, TINY)
    groups = np.minimum(GROUPS * np.arange(len(logs)) // len(logs), GROUPS - 1)
    result = []
    for number in np.unique(groups):
        own = groups == number
        # the median of Gaussian values has pi / 2 times the variance of their mean
        sigma = float(np.sqrt(np.pi / 2 / np.sum(1 / np.maximum(relative[own], 1e-3) ** 2)))
        result.append((float(signal[own].mean()), float(np.median(logs[own])), sigma))
    return result


def _exp(logarithm: float) -> float:
    return float(np.exp(np.clip(logarithm, -80, 80)))


def refuse_two_cameras(groups: Sequence[Sequence[np.ndarray]], names: Sequence[str], detector: str = "auto") -> None:
    """Refuse images of two detectors, each a group of frames (`... y x`, ADU), in one training.

    Each image is compared with the law of the first one whose gain is known.

    Raises
    ------
    ImageError
        With both laws, where the noise of an image differs.

    >>> light, rng = np.linspace(0, 200, 128)[:, None] * np.ones(128), np.random.default_rng(0)
    >>> first, second = (rng.poisson(light) * gain + 100.0 for gain in (0.5, 2.0))
    >>> refuse_two_cameras([[first], [first[::-1]]], ["a", "b"])
    >>> refuse_two_cameras([[first], [second]], ["a", "b"])
    Traceback (most recent call last):
    zsdeconv.errors.ImageError: two cameras: a has offset ...
    """
    if len(groups) < 2:
        return
    laws = ((n, KnownCamera.of(calibrate_frames(frames, detector=detector, memory=False))) for n, frames in enumerate(groups))
    first, known = next(((n, law) for n, law in laws if law.electrons_known), (0, None))
    if known is None:
        return
    for other in (n for n in range(len(groups)) if n != first):
        test = compare(known, groups[other])
        if test.differs:
            own = KnownCamera.of(calibrate_frames(groups[other], detector=detector, memory=False))
            text = f"{names[first]} has {known.words}; {names[other]} has {own.words}, and {test.words} of the first camera's"
            raise ImageError(f"two cameras: {text}: one model has one camera; train on the images of each camera separately")
