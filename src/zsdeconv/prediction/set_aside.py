"""What comes back beside the network's answer: light that was set aside, NaN, and nothing where no data were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from zsdeconv.acquisition.base import Acquisition
from zsdeconv.camera.defects import Defects, given_back
from zsdeconv.image import Image
from zsdeconv.physics.deconvolve import richardson_lucy

ITERATIONS = 22
"""Accelerated Richardson-Lucy iterations for bright objects. Chosen: as many as for the objects of the training."""


def completed(
    images: Mapping[str, Image],
    acquisition: Acquisition,
    defects: Sequence[Defects],
    frames: Sequence[np.ndarray],
    seen: Sequence[np.ndarray],
) -> dict[str, Image]:
    """Restored images with what the network did not see.

    Bright objects (`camera.bright_objects`) are added: in the denoised image the light that was recorded, in the deconvolved one its
    maximum-likelihood estimate, which has the same sum; their standard error is unknown (NaN). Where pixels were NaN or infinite they are
    again, and areas without data have no light.

    Parameters
    ----------
    images
        By their kinds.
    acquisition
        Its forward operator is that of the images.
    defects
        What each frame had.
    frames
        As they were recorded, ADU.
    seen
        As the network saw them.

    Returns
    -------
    dict of Image
        By their kinds.
    """
    if not any(defects):
        return dict(images)
    aside = [_light(*each) for each in zip(frames, seen, defects, strict=True)]
    added = {
        "denoised": lambda light, image: image + light,
        "deconvolved": lambda light, image: image + deconvolved_aside(light, acquisition),
        "uncertainty": lambda light, image: np.where(_repeated(light > 0, image.shape), np.float32(np.nan), image),
    }

    def complete(kind: str, image: Image) -> Image:
        rank = len(acquisition.psf.spacing_um)
        parts = []
        for part, light, each in zip(image.data.reshape(-1, *image.data.shape[-rank:]), aside, defects, strict=True):
            whole = part if light is None or kind not in added else added[kind](light, part).astype(np.float32)
            parts.append(given_back(whole, each))
        return replace(image, data=np.stack(parts).reshape(image.data.shape))

    return {kind: complete(kind, image) for kind, image in images.items()}


def deconvolved_aside(light: np.ndarray, acquisition: Acquisition) -> np.ndarray:
    """The object on the fine grid that explains `light` (`*zyx`, ADU above the rest), not negative and with the same sum."""
    y = torch.from_numpy(np.ascontiguousarray(light, np.float32))[None, None]
    x = richardson_lucy(y, acquisition.forward_operator, [ITERATIONS])[0]
    reblurred = float(acquisition.forward_operator(x).sum())
    return (x[0, 0] * (float(y.sum()) / max(reblurred, 1e-30))).numpy()


def _light(frame: np.ndarray, seen: np.ndarray, defects: Defects) -> np.ndarray | None:
    """The light of a frame that was set aside; None where there is none."""
    if defects.bright is None or not defects.bright.any():
        return None
    more = np.nan_to_num(frame.astype(np.float32)) - seen.astype(np.float32)
    return np.where(defects.bright, more, np.float32(0))


def _repeated(mask: np.ndarray, fine: tuple[int, ...]) -> np.ndarray:
    for axis, size in enumerate(fine):
        mask = np.repeat(mask, size // mask.shape[axis], axis)
    return mask
