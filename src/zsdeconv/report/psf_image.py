"""The PSF check for an image and a PSF without a model: the camera is measured on the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from zsdeconv.camera.calibrate import calibrate
from zsdeconv.camera.defects import known_frames
from zsdeconv.camera.odd_frames import find_odd_frames
from zsdeconv.camera.sensor_parts import equalised
from zsdeconv.data.normalize import Affine
from zsdeconv.errors import ImageError
from zsdeconv.image import Image, StageScan
from zsdeconv.image.scan import STACK_AXES
from zsdeconv.io.checks import check_restorable
from zsdeconv.io.wrapped import unwrapped
from zsdeconv.modality import choose
from zsdeconv.physics.psf import Psf, fit_to_image
from zsdeconv.report.checks.psf_fit import PsfFit, measure


def examine_image(
    image: Image, psf: Psf, *, scale: int = 2, offset: float | None = None, seed: int = 0, scan: StageScan | None = None
) -> PsfFit:
    """Whether a PSF is that of an image, of which the first frame (or stack) with data is used.

    Parameters
    ----------
    image : camera image with pixel sizes
    psf : PSF on any grid; of a PSF in depth a plane uses the focus
    scale : the PSF is resampled to a grid that is finer than the image by this factor
    offset : offset of the camera, ADU; measured where it is left out
    seed : of the noise that is drawn
    scan : of a skewed stack; the PSF is that in the directions of the camera

    Raises
    ------
    ImageError
        For images without pixel size, with several channels, or with raw frames of structured illumination, whose PSF is that of the
        reconstruction.
    OpticsError
        For a PSF that does not fit the grid of the image.

    >>> from zsdeconv.simulation.widefield import Scene, simulate_2d
    >>> scene = simulate_2d(Scene(structure="puncta", size=96, photons=200, seed=3))
    >>> bool(abs(examine_image(scene.noisy, scene.psf).width - 1) < 0.1)
    True
    """
    modality = choose("auto", image)
    image = modality.ordered(equalised(unwrapped(image)))
    if scan is not None and "Z" in modality.spatial_axes:
        image = replace(image, spacing_um={**image.spacing_um, "Z": scan.depth_um})
    check_restorable(image)
    missing = [axis for axis in modality.spatial_axes if axis not in image.spacing_um]
    if missing:
        name = "z_um" if missing[0] == "Z" else "pixel_um"
        raise ImageError(f"pixel size along {missing[0]} is missing in the file, the PSF depends on it; give {name} (um in the sample)")
    frames = known_frames(modality.frames_of(image))
    frame = frames[find_odd_frames(frames).ordinary[0]]
    factors = modality.factors(scale)
    fine_um = tuple(image.spacing_um[axis] / f for axis, f in zip(modality.spatial_axes, factors, strict=True))
    psf = (psf.central_slice() if modality.rank == 2 else psf).require_rank(modality.rank).resampled(fine_um)
    if scan is not None and psf.rank == len(STACK_AXES):
        psf = psf.sheared(scan.shift_um / fine_um[-2])
    psf = fit_to_image(psf, tuple(n * f for n, f in zip(frame.shape[-modality.rank :], factors, strict=True)))
    camera = calibrate(frame.reshape(-1, *frame.shape[-2:]), offset=offset).camera
    acquisition = modality.acquisition.with_psf(psf, Affine.fitted([np.asarray(frame)], camera.offset), camera, scale)
    return measure(acquisition.measure(frame, torch.device("cpu")), acquisition, psf, seed=seed)
