"""What the checks need of a trained model and of a restoration: they depend on nothing else of either."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from zsdeconv.acquisition.base import Acquisition, Measurement
from zsdeconv.config import Config
from zsdeconv.image import Image
from zsdeconv.modality import Modality
from zsdeconv.prediction.photometry import IntensityCorrection
from zsdeconv.prediction.tiled import FramePrediction


class ModelLike(Protocol):
    """A trained model; `zsdeconv.Model` is one."""

    @property
    def network(self) -> nn.Module: ...
    @property
    def modality(self) -> Modality: ...
    @property
    def config(self) -> Config: ...
    @property
    def intensity_correction(self) -> IntensityCorrection: ...
    @property
    def history(self) -> list[dict[str, Any]]: ...
    @property
    def acquisition(self) -> Acquisition: ...
    @property
    def offset_sigma(self) -> float:
        """Standard error of the camera offset, ADU."""
        ...

    def predict_measurement(self, measurement: Measurement, *, passes: int) -> FramePrediction:
        """Restore a measurement of `acquisition`, in the network's unit."""
        ...


class ResultLike(Protocol):
    """A restored image; `zsdeconv.Restored` is one."""

    @property
    def deconvolved(self) -> Image: ...
    @property
    def uncertainty(self) -> Image | None: ...
