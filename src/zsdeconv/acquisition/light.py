"""Whether a forward model accounts for all light in the data, and what may be compared with them in absolute numbers.

In depth, structured illumination spreads the light of a plane over all others. Far from it a reconstruction has broad shallow troughs
that no PSF of finite size holds, and the sample goes on beyond the ends of the stack: there `D H x` and the data differ by a slowly varying
background.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from zsdeconv.notation import Batch
from zsdeconv.physics.deconvolve import missing_background
from zsdeconv.physics.operators import Operator

BROAD_PX = 12.0
"""Standard deviation, pixels, of the Gaussian that defines what varies slowly. Chosen: several widths of a well sampled PSF."""

Value = TypeVar("Value")


class LightBalance(ABC):
    """What the balance of light in a kind of recording allows to be compared."""

    @abstractmethod
    def absolute(self, compute: Callable[[], Value], otherwise: Value) -> Value:
        """`compute()` where absolute intensities can be compared, `otherwise` where they cannot."""

    @abstractmethod
    def background(self, denoised: Batch, model: Operator, smooth: Callable[[], Operator]) -> list[Tensor]:
        """The slowly varying light that the denoised image lacks to be an image through `model`, as a list of none or one."""

    @abstractmethod
    def explained(self, denoised: Tensor, reblurred: Tensor) -> Tensor:
        """The image that should explain the data: the re-blurred deconvolved one, or else the denoised one."""

    @abstractmethod
    def detrended(self, image: Tensor) -> Tensor:
        """An image without what varies so slowly that it is not judged."""

    @abstractmethod
    def adjusted(self, y: Tensor, x: Tensor) -> Tensor:
        """The explanation `x` of the data `y`, with the slowly varying difference that is not judged added to it."""

    @abstractmethod
    def error_reference(self, y: Tensor, denoised: Tensor, noise_sd: float) -> tuple[Tensor, float]:
        """The image that an error map is computed against, and the standard deviation of the noise in it."""


class ClosedLight(LightBalance):
    """All light in the data comes from the object through the forward model.

    >>> ClosedLight().absolute(lambda: 1.0, 0.0)
    1.0
    """

    def absolute(self, compute: Callable[[], Value], otherwise: Value) -> Value:
        return compute()

    def background(self, denoised: Batch, model: Operator, smooth: Callable[[], Operator]) -> list[Tensor]:
        return []

    def explained(self, denoised: Tensor, reblurred: Tensor) -> Tensor:
        return reblurred

    def detrended(self, image: Tensor) -> Tensor:
        return image

    def adjusted(self, y: Tensor, x: Tensor) -> Tensor:
        return x

    def error_reference(self, y: Tensor, denoised: Tensor, noise_sd: float) -> tuple[Tensor, float]:
        return y, noise_sd


class OpenLight(LightBalance):
    """The data hold, or lack, slowly varying light that the forward model does not account for.

    >>> OpenLight().absolute(lambda: 1.0, 0.0)
    0.0
    """

    def absolute(self, compute: Callable[[], Value], otherwise: Value) -> Value:
        return otherwise

    def background(self, denoised: Batch, model: Operator, smooth: Callable[[], Operator]) -> list[Tensor]:
        return [missing_background(denoised, model, smooth())]

    def explained(self, denoised: Tensor, reblurred: Tensor) -> Tensor:
        return denoised

    def detrended(self, image: Tensor) -> Tensor:
        return image - smoothed(image, BROAD_PX)

    def adjusted(self, y: Tensor, x: Tensor) -> Tensor:
        return x + smoothed(y - x, BROAD_PX)

    def error_reference(self, y: Tensor, denoised: Tensor, noise_sd: float) -> tuple[Tensor, float]:
        return denoised, 0.0


def smoothed(image: Tensor, sigma_px: float) -> Tensor:
    """Gaussian mean of an image `*zyx`, mirrored at its borders."""
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(image.cpu().numpy(), sigma_px, mode="reflect")).to(image.device)
