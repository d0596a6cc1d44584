"""The table of modalities: what differs from one to the other is here and in their acquisition classes, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.acquisition.base import Acquisition
from zsdeconv.acquisition.direct import DirectAcquisition
from zsdeconv.acquisition.structured import StructuredPlanes, StructuredStacks
from zsdeconv.config import Config, resolve, specialised
from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import Image, ImageLike, cropped, labels_of, pixels_of
from zsdeconv.prediction.uncertainty import ErrorLaw

PLANES_RECONSTRUCTED = (
    "reconstructed with single planes: their noise is correlated between pixels in an unknown way, so no pairs can be made of it "
    "(a stack has neighbouring planes); give the raw frames"
)

PLANE_FRAMES = (9, 15)
"""Law: raw frames of one plane in the usual layouts, 3 directions x 3 phases (two beams) and 3 x 5 (three beams)."""


@dataclass(frozen=True)
class Modality:
    """A row of choices.

    `acquisition` is the class that owns how such images are recorded. `spatial_axes` are the axes that a network works on, slowest first;
    along `sample_axes` an image holds samples of one model; `upsampled_axes` become finer when super-resolving; `min_size` is the least
    size of an axis; `pairs` lists the kinds of pairs that can be made; `reconstructed_as` names the row that restores what another program
    has reconstructed. `presets` holds what each preset sets apart here, over what it sets everywhere; `error_law` is the law of a pixel's
    standard error.
    """

    name: str
    acquisition: type[Acquisition]
    spatial_axes: str
    error_law: ErrorLaw
    sample_axes: str = "T"
    upsampled_axes: str = "YX"
    reconstructed_as: str = ""
    min_size: Mapping[str, int] = field(default_factory=dict)
    pairs: tuple[str, ...] = ("recorrupt",)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.spatial_axes)

    @property
    def recorded_axes(self) -> str:
        """Axes of what the camera records of one sample, slowest first."""
        return self.acquisition.raw_frame_axis + self.spatial_axes

    def factors(self, scale: int) -> tuple[int, ...]:
        """Fine pixels per raw pixel along each spatial axis."""
        return tuple(scale if axis in self.upsampled_axes else 1 for axis in self.spatial_axes)

    def network_scale(self, scale: int) -> int:
        """How much finer the grid becomes in the network."""
        return self.acquisition.network_scale(scale)

    def denoised_factors(self, scale: int) -> tuple[int, ...]:
        """Pixels of the denoised image per raw pixel along each spatial axis."""
        return tuple(f // self.network_scale(f) for f in self.factors(scale))

    def accepts(self, image: Image) -> bool:
        """Whether the image has the recorded axes, and other axes only for samples or with a single entry."""
        others = [a for a, n in image.sizes.items() if n > 1 and a not in self.recorded_axes + self.sample_axes]
        enough = all(image.sizes.get(axis, 0) >= n for axis, n in self.min_size.items())
        return not others and enough and set(self.recorded_axes) <= set(image.axes)

    def as_image(self, data: Any, axes: str | None = None) -> Image:
        """An array as an image: with `axes`, or else with its own names of dimensions, or else with the recorded axes last, preceded by the
        samples.
        """
        if isinstance(data, Image):
            return data
        if axes is not None or labels_of(data) is not None:
            return Image(data, axes)
        array, letters = pixels_of(data), self.sample_axes + self.recorded_axes
        if array.ndim > len(letters):
            array = array.squeeze()
        return Image(array, letters[-array.ndim :])

    def ordered(self, image: Image) -> Image:
        """The image with the recorded axes last."""
        others = "".join(a for a in image.axes if a not in self.recorded_axes)
        return image.transposed(others + self.recorded_axes)

    def frames_of(self, image: Image) -> list[np.ndarray]:
        """Views of the samples of an `ordered` image."""
        return list(image.data.reshape(-1, *image.data.shape[-len(self.recorded_axes) :]))


_VOLUME = {
    "network": {"channels": (8, 16, 32, 64), "lateral_first": True, "coarse_start": True},
    "prediction": {"passes": 4},
}
"""Chosen on the benchmark stacks: as many channels and passes as minutes on two processor cores allow (benchmarks/results.md)."""
_PUBLISHED_VOLUME = {
    "patch_px": 80,
    "margin_px": 8,
    "margin_planes": 2,
    "batch": 3,
    "learning_rate": 1e-4,
    "halve_from": 5_000,
    "halve_every": 2_500,
    "steps": 10_000,
}
"""What the published trainings of volumes have in common."""
_FRINGES_TARGET = 0.45
"""`training.target_fwhm_fraction` under fringes, whose PSF is half as wide: sharper gains psnr and loses soft_psnr
(benchmarks/results.md)."""


MODALITIES = {
    row.name: row
    for row in (
        Modality(
            "2d",
            DirectAcquisition,
            "YX",
            error_law=ErrorLaw(pass_spread=1.9, brightness=0.02, offset=1.0, zero_level=0.3, shares=(0.55, 0.8)),
        ),
        Modality(
            "3d",
            DirectAcquisition,
            "ZYX",
            min_size={"Z": 5},
            pairs=("recorrupt", "interleave"),
            error_law=ErrorLaw(pass_spread=4.0, brightness=0.02, reblur_residual=1.05, shares=(0.3, 0.9)),
            presets={
                "fast": {**_VOLUME, "training": {"patch_px": 48, "patch_planes": 16, "batch": 2}},
                "quality": {"training": {"patch_px": 64, "patch_planes": 24, "batch": 4}},
                "paper": {
                    "network": {"kind": "rcan"},
                    "loss": {"lambda_hessian": 0.1},
                    "training": {**_PUBLISHED_VOLUME, "patch_planes": 17},
                },
            },
        ),
        Modality(
            "sim2d",
            StructuredPlanes,
            "YX",
            error_law=ErrorLaw(pass_spread=1.6, brightness=0.04, reblur_residual=0.55, shares=(0.44, 0.85)),
            presets={
                "fast": {"training": {"patch_px": 128, "batch": 2, "target_fwhm_fraction": _FRINGES_TARGET}},
                "quality": {"training": {"patch_px": 192, "batch": 4, "target_fwhm_fraction": _FRINGES_TARGET}},
                "paper": {"pairs": {"alpha": (2.0, 5.0), "beta1_factor": (1.5, 3.0)}},
            },
        ),
        Modality(
            "sim3d",
            StructuredStacks,
            "ZYX",
            reconstructed_as="3d",
            min_size={"Z": 5},
            pairs=("recorrupt", "interleave"),
            error_law=ErrorLaw(pass_spread=4.0, brightness=0.04, reblur_residual=0.1, shares=(0.5, 0.8)),
            presets={
                "fast": {**_VOLUME, "training": {"patch_px": 48, "patch_planes": 16, "batch": 2, "target_fwhm_fraction": _FRINGES_TARGET}},
                "quality": {"training": {"patch_px": 64, "patch_planes": 24, "batch": 4, "target_fwhm_fraction": _FRINGES_TARGET}},
                "paper": {
                    "network": {"kind": "rcan-sim"},
                    "loss": {"lambda_hessian": 0.0},
                    "training": {**_PUBLISHED_VOLUME, "patch_planes": 11},
                },
            },
        ),
    )
}


def reading_row(config: Config) -> Modality:
    """The row by which files are read before their images are known: the first, unless the configuration names one."""
    first = next(iter(MODALITIES.values()))
    row = MODALITIES.get(config.modality, first)
    return MODALITIES.get(row.reconstructed_as, first) if config.sim.reconstructed else row


def recorded(image: ImageLike, config: Config) -> Any:
    """What a user gives as an image: the `Image` in a file where it is a path, that of an array with named dimensions, or as it is.

    Raises `ImageError` for files that hold no image.
    """
    if isinstance(image, str | os.PathLike):
        return reading_row(config).acquisition.read(Path(image), config)
    named = not isinstance(image, Image) and config.input.axes is None and labels_of(image) is not None
    return Image(image) if named else image


def select(config: Config, images: Sequence[Image | Any]) -> tuple[Modality, Config, list[Image]]:
    """The row for the images, the configuration with the presets of that row, and the images with their recorded axes last.

    Raises `ConfigError` or `ImageError` where they do not fit.
    """
    config = _of_reconstructions(config) if config.sim.reconstructed else config
    row = MODALITIES.get(config.modality, next(iter(MODALITIES.values())))
    images = [row.as_image(image, config.input.axes) for image in images]
    images = [cropped(image, config.input.crop) for image in images]
    modality = choose(config.modality, images[0])
    if config.sim.reconstructed and modality.rank == 2:
        raise ConfigError(PLANES_RECONSTRUCTED)
    for image in images:
        if not modality.accepts(image):
            choose(modality.name, image)
    return modality, specialised(config, modality.presets), [modality.ordered(image) for image in images]


def settled(config: Config, name: str) -> Config:
    """The configuration as `select` returns it for images of the row `name`."""
    return specialised(_of_reconstructions(config) if config.sim.reconstructed else config, MODALITIES[name].presets)


def _of_reconstructions(config: Config) -> Config:
    """Settings for stacks that are reconstructed already: pairs of neighbouring slices, no change of the grid, and no camera offset."""
    row = MODALITIES.get(config.modality)
    if row is not None and row.acquisition.raw_frame_axis and not row.reconstructed_as:
        raise ConfigError(PLANES_RECONSTRUCTED)
    if config.input.camera is not None:
        raise ConfigError("`camera`: maps are of raw frames, these are reconstructed already; leave it out, or give the raw frames")
    given = dict(config.given)
    given |= {"modality": config.modality if row is None else row.reconstructed_as or config.modality, "scale": 1}
    given["pairs"] = {**given.get("pairs", {}), "kind": "interleave"}
    if config.input.background == "auto":
        given["input"] = {**given.get("input", {}), "background": 0.0}
    return resolve(given)


@dataclass(frozen=True)
class Remedy:
    """Settings with which an image can be restored that is not taken as it is, and why they are needed, in words."""

    settings: Mapping[str, str]
    why: str


def remedy(config: Config, image: Image) -> Remedy | None:
    """What an image needs beside optics and pixel sizes to be restored by a row of the table; None where nothing is asked for.

    >>> remedy(Config(), Image(np.zeros((9, 8, 8)), "PYX")).settings
    {'modality': 'sim2d'}
    """
    planes, fewest = image.sizes.get("Z", 1), MODALITIES["3d"].min_size["Z"]
    if config.modality != "auto":
        return None
    if "P" in image.axes:
        return Remedy({"modality": "sim3d" if planes > 1 else "sim2d"}, "raw frames of structured illumination are restored when asked for")
    if 1 < planes < fewest:
        why = f"{planes} planes, a stack has {fewest} at least: one of them is restored; where they are times, give `axes` with T for Z"
        return Remedy({"crop": "Z0:1", "modality": "2d"}, why)
    return None


def resemblance(config: Config, image: Image) -> str:
    """A hint where planes are as many as raw frames of structured illumination, and nobody has said what they are; else empty."""
    count = next((image.sizes[axis] for axis in "ZTC" if image.sizes.get(axis) in PLANE_FRAMES), None)
    if count is None or config.modality != "auto" or config.input.axes is not None:
        return ""
    return f"{count} planes may be raw frames of structured illumination: then give `modality=sim2d`"


def choose(requested: str, image: Image) -> Modality:
    """The row asked for, or with "auto" the first that accepts the image.

    Raises `ConfigError` for a name not in the table and `ImageError` for an image that does not fit.

    >>> import numpy as np
    >>> choose("auto", Image(np.zeros((4, 8, 8)), "TYX")).name
    '2d'
    """
    if requested != "auto" and requested not in MODALITIES:
        raise ConfigError(f"modality {requested!r}: this version has {', '.join(MODALITIES)}; give `modality=auto`")
    rows = MODALITIES.values() if requested == "auto" else [MODALITIES[requested]]
    for row in rows:
        if row.accepts(image):
            return row
    raise ImageError(f"axes {image.axes} of size {image.data.shape}: {_misfit(image, _nearest(rows, image))}")


def _nearest(rows: Iterable[Modality], image: Image) -> Modality:
    """The row with the most of the image's axes, of those that have no others; the simplest where there is none."""
    rows = sorted(rows, key=lambda row: row.rank)
    fitting = [row for row in rows if set(row.recorded_axes) <= set(image.axes)]
    return fitting[-1] if fitting else rows[0]


def _misfit(image: Image, row: Modality) -> str:
    missing = [a for a in row.recorded_axes if a not in image.axes]
    if missing:
        return f"the {row.name} method needs the axes {row.recorded_axes}, {missing[0]} is missing; give `axes`"
    short = [axis for axis, n in row.min_size.items() if image.sizes[axis] < n]
    if short:
        limit = f"the {row.name} method needs {row.min_size[short[0]]} at least"
        return f"{image.sizes[short[0]]} planes along {short[0]}, {limit}; restore a plane with `crop=Z0:1` `modality=2d`"
    extra = next(a for a, n in image.sizes.items() if n > 1 and a not in row.recorded_axes + row.sample_axes)
    advice = {
        "C": "split the channels into files, each has its own light and its own model",
        "P": "raw frames of structured illumination are restored with `modality=sim2d` or sim3d",
        "Z": f"if the {image.sizes[extra]} planes are time points give `axes` with T, otherwise save single planes",
    }
    return f"{image.sizes[extra]} planes along {extra}; {advice.get(extra, 'give `axes`, or save single frames')}"
