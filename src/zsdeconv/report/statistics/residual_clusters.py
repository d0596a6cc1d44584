"""Where a residual is not noise: averages at several scales, against the highest peaks that noise reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SCALES_PX = (1.0, 2.0, 4.0, 8.0)
"""Widths (sigma) of the Gaussians by which a residual is averaged."""
FALSE_ALARM = 5e-4
"""Probability that pure noise exceeds the threshold of one scale anywhere in the image."""


@dataclass(frozen=True)
class Blob:
    """A place where structure is left: its peak (pixels of `y`), size, and `score`, the averaged residual in sd of averaged noise.

    A positive score is light that the restoration lacks, a negative one light that it has too much of.
    """

    zyx_px: tuple[float, ...]
    pixels: int
    score: float
    scale_px: float


class Search:
    """A search for structure in standardised residuals `*zyx`, which learns from images of noise alone how high its peaks are.

    >>> rng, search = np.random.default_rng(0), Search()
    >>> for _ in range(20):
    ...     search.learn(rng.normal(size=(40, 50)))
    >>> z = rng.normal(size=(40, 50))
    >>> z[10:14, 20:24] += 4
    >>> [(round(x) for x in blob.zyx_px) and blob.score > 6 for blob in search.structure(z)[1]]
    [True]
    """

    def __init__(self) -> None:
        self.powers: list[list[float]] = [[] for _ in SCALES_PX]
        self.peaks: list[list[float]] = [[] for _ in SCALES_PX]

    def learn(self, pure: np.ndarray) -> None:
        """One more image of noise alone; two are needed, and twenty make good thresholds."""
        for powers, peaks, width in zip(self.powers, self.peaks, SCALES_PX, strict=True):
            mean = _averaged(pure, width)
            powers.append(float(np.mean(np.square(mean))))
            peaks.append(float(np.abs(mean).max()))

    @property
    def sizes(self) -> list[float]:
        """Standard deviation of averaged noise at each scale."""
        return [float(np.mean(powers)) ** 0.5 for powers in self.powers]

    @property
    def thresholds(self) -> list[float]:
        """What the highest peak of noise exceeds with the probability `FALSE_ALARM`, at each scale, in standard deviations."""
        return [_gumbel_quantile(np.array(peaks) / size, 1 - FALSE_ALARM) for peaks, size in zip(self.peaks, self.sizes, strict=True)]

    def structure(self, z: np.ndarray) -> tuple[np.ndarray, list[Blob]]:
        """Where `z` is too low (-1), noise (0) or too high (1), and the blobs of it, the most significant first.

        From fine to coarse: what has been found is left out of the averages that follow, or a bright point would be found at all scales.
        """
        rest, score, scale = np.array(z), np.zeros(z.shape), np.zeros(z.shape)
        for width, size, threshold in zip(SCALES_PX, self.sizes, self.thresholds, strict=True):
            scores = _averaged(rest, width) / size
            found = (np.abs(scores) > threshold) & (score == 0)
            score, scale = np.where(found, scores, score), np.where(found, width, scale)
            rest[found] = 0
        blobs = [blob for part in (score > 0, score < 0) for blob in _blobs(part, score, scale)]
        return np.sign(score).astype(np.int8), sorted(blobs, key=lambda blob: -abs(blob.score))


def _averaged(z: np.ndarray, width: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    # With nothing beyond the border an average there is less noisy than elsewhere, and raises no alarm.
    return gaussian_filter(z, width, mode="constant")


def _gumbel_quantile(peaks: np.ndarray, probability: float) -> float:
    """Quantile of the Gumbel distribution, that of maxima of many, with mean and standard deviation of `peaks`."""
    beta = float(np.std(peaks, ddof=1)) * np.sqrt(6) / np.pi
    return float(np.mean(peaks) - np.euler_gamma * beta - beta * np.log(-np.log(probability)))


def _blobs(part: np.ndarray, score: np.ndarray, scale: np.ndarray) -> Iterable[Blob]:
    """The connected places of `part`."""
    from scipy.ndimage import label, maximum_position

    labels, count = label(part)  # pyright: ignore[reportGeneralTypeIssues]
    pixels = np.bincount(labels.ravel())
    for number, peak in enumerate(maximum_position(np.abs(score), labels, range(1, count + 1)), 1):
        yield Blob(tuple(map(float, peak)), int(pixels[number]), float(score[peak]), float(scale[peak]))
