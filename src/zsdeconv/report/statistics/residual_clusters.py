"""Where a residual is not noise: averages at several scales, compared with the highest peaks that noise reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SCALES_PX = (1.0, 2.0, 4.0, 8.0)
"""Widths (sigma) of the Gaussians that average a residual. Chosen: from a point to several widths of a well sampled PSF."""
FALSE_ALARM_PROBABILITY = 5e-4
"""Probability that pure noise exceeds the threshold of one scale anywhere in the image. Chosen: one false alarm in 500 reports."""


@dataclass(frozen=True)
class Blob:
    """A cluster of significant pixels: its peak (pixels of `y`), its size, and `score`, the averaged residual over that of noise (sd).

    A positive score is light that the restoration lacks, a negative one light in excess.
    """

    zyx_px: tuple[float, ...]
    pixels: int
    score: float
    scale_px: float


class ClusterSearch:
    """A search for clusters in standardised residuals `*zyx`, with thresholds from images of noise alone.

    >>> rng, search = np.random.default_rng(0), ClusterSearch()
    >>> for _ in range(20):
    ...     search.add_noise(rng.normal(size=(40, 50)))
    >>> z = rng.normal(size=(40, 50))
    >>> z[10:14, 20:24] += 4
    >>> [blob.score > 6 for blob in search.clusters(z)[1]]
    [True]
    """

    def __init__(self) -> None:
        self.powers: list[list[float]] = [[] for _ in SCALES_PX]
        self.peaks: list[list[float]] = [[] for _ in SCALES_PX]

    def add_noise(self, noise: np.ndarray) -> None:
        """One more image of noise alone; two are needed, twenty give good thresholds."""
        for powers, peaks, width in zip(self.powers, self.peaks, SCALES_PX, strict=True):
            mean = _averaged(noise, width)
            powers.append(float(np.mean(np.square(mean))))
            peaks.append(float(np.abs(mean).max()))

    @property
    def sizes(self) -> list[float]:
        """Standard deviation of averaged noise at each scale."""
        return [float(np.mean(powers)) ** 0.5 for powers in self.powers]

    @property
    def thresholds(self) -> list[float]:
        """Height, in standard deviations, that the highest peak of noise exceeds with the probability of a false alarm, at each scale."""
        probability = 1 - FALSE_ALARM_PROBABILITY
        return [_gumbel_quantile(np.array(peaks) / size, probability) for peaks, size in zip(self.peaks, self.sizes, strict=True)]

    def clusters(self, z: np.ndarray) -> tuple[np.ndarray, list[Blob]]:
        """Where `z` is too low (-1), noise (0) or too high (1), and the clusters, the most significant first.

        From fine to coarse scales: pixels of clusters are left out of the coarser averages, so a bright point is found at one scale only.
        """
        rest, score, scale = np.array(z), np.zeros(z.shape), np.zeros(z.shape)
        for width, size, threshold in zip(SCALES_PX, self.sizes, self.thresholds, strict=True):
            scores = _averaged(rest, width) / size
            significant = (np.abs(scores) > threshold) & (score == 0)
            score, scale = np.where(significant, scores, score), np.where(significant, width, scale)
            rest[significant] = 0
        blobs = [blob for part in (score > 0, score < 0) for blob in _blobs(part, score, scale)]
        return np.sign(score).astype(np.int8), sorted(blobs, key=lambda blob: -abs(blob.score))


def _averaged(z: np.ndarray, width: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    # Zeros beyond the border make an average there less noisy than elsewhere, so the border raises no false alarm.
    return gaussian_filter(z, width, mode="constant")


def _gumbel_quantile(peaks: np.ndarray, probability: float) -> float:
    """Quantile of the Gumbel distribution, the limit distribution of maxima, with mean and standard deviation of `peaks`."""
    beta = float(np.std(peaks, ddof=1)) * np.sqrt(6) / np.pi
    return float(np.mean(peaks) - np.euler_gamma * beta - beta * np.log(-np.log(probability)))


def _blobs(part: np.ndarray, score: np.ndarray, scale: np.ndarray) -> Iterable[Blob]:
    """The connected components of `part`."""
    from scipy.ndimage import label, maximum_position

    labels, count = label(part)  # pyright: ignore[reportGeneralTypeIssues]
    pixels = np.bincount(labels.ravel())
    for number, peak in enumerate(maximum_position(np.abs(score), labels, range(1, count + 1)), 1):
        yield Blob(tuple(map(float, peak)), int(pixels[number]), float(score[peak]), float(scale[peak]))
