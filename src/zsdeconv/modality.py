"""The table of modalities: what differs from one to the other is here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image import Image
from zsdeconv.prediction.uncertainty import ErrorLaw


@dataclass(frozen=True)
class Modality:
    """A row of choices.

    `spatial_axes` are the axes a network works on, slowest first; along `sample_axes` an image holds samples of one model, along
    `raw_frame_axis` the raw frames that are reconstructed to one image, before the network, on the fine grid already.
    `refine` lists the axes that get finer when super-resolving, `min_size` the least sizes that an axis must have, `pairs` the ways in
    which pairs can be made, `reconstructed_as` the row that restores what another program has reconstructed of such frames. `presets` holds
    what each preset sets apart here, over what it sets everywhere; `error_law` is that of a pixel's standard error.
    """

    name: str
    spatial_axes: str
    sample_axes: str
    upsampled_axes: str
    error_law: ErrorLaw
    raw_frame_axis: str = ""
    reconstructed_as: str = ""
    min_size: Mapping[str, int] = field(default_factory=dict)
    pairs: tuple[str, ...] = ("recorrupt",)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.spatial_axes)

    @property
    def beams(self) -> int:
        """How many beams make the pattern of structured illumination, where there is one: in depth a third."""
        return self.rank if self.raw_frame_axis else 0

    @property
    def recorded_axes(self) -> str:
        """Axes of what the camera records of one sample, slowest first."""
        return self.raw_frame_axis + self.spatial_axes

    def factors(self, scale: int) -> tuple[int, ...]:
        """How many fine pixels a raw pixel becomes along each spatial axis."""
        return tuple(scale if axis in self.upsampled_axes else 1 for axis in self.spatial_axes)

    def network_scale(self, scale: int) -> int:
        """How much finer the grid becomes in the network."""
        return 1 if self.raw_frame_axis else scale

    def denoised_factors(self, scale: int) -> tuple[int, ...]:
        """How many pixels of the denoised image a raw pixel becomes along each spatial axis."""
        return tuple(f // self.network_scale(f) for f in self.factors(scale))

    def accepts(self, image: Image) -> bool:
        """Whether the image has the recorded axes, and others only along which it holds samples or a single plane."""
        others = [a for a, n in image.sizes.items() if n > 1 and a not in self.recorded_axes + self.sample_axes]
        enough = all(image.sizes.get(axis, 0) >= n for axis, n in self.min_size.items())
        return not others and enough and set(self.recorded_axes) <= set(image.axes)


_VOLUME = {
    "network": {"channels": (8, 16, 32, 64), "lateral_first": True, "coarse_start": True},
    "prediction": {"passes": 4},
}
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
_STRIPES_TARGET = 0.45
"""`training.target_fwhm_fraction` under stripes, whose PSF is half as wide: sharper gains psnr and loses soft_psnr (benchmarks/results.md)."""


MODALITIES = {
    row.name: row
    for row in (
        Modality(
            "2d",
            spatial_axes="YX",
            sample_axes="T",
            upsampled_axes="YX",
            error_law=ErrorLaw(pass_spread=1.7, brightness=0.02, offset=0.8, zero_level=1.0),
        ),
        Modality(
            "3d",
            spatial_axes="ZYX",
            sample_axes="T",
            upsampled_axes="YX",
            min_size={"Z": 5},
            pairs=("recorrupt", "interleave"),
            error_law=ErrorLaw(pass_spread=4.0, brightness=0.02, reblur_residual=1.05),
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
            spatial_axes="YX",
            raw_frame_axis="P",
            sample_axes="T",
            upsampled_axes="YX",
            error_law=ErrorLaw(pass_spread=1.6, brightness=0.04, reblur_residual=0.55),
            presets={
                "fast": {"training": {"patch_px": 128, "batch": 2, "target_fwhm_fraction": _STRIPES_TARGET}},
                "quality": {"training": {"patch_px": 192, "batch": 4, "target_fwhm_fraction": _STRIPES_TARGET}},
                "paper": {"pairs": {"alpha": (2.0, 5.0), "beta1_factor": (1.5, 3.0)}},
            },
        ),
        Modality(
            "sim3d",
            spatial_axes="ZYX",
            raw_frame_axis="P",
            reconstructed_as="3d",
            sample_axes="T",
            upsampled_axes="YX",
            min_size={"Z": 5},
            pairs=("recorrupt", "interleave"),
            error_law=ErrorLaw(pass_spread=4.0, brightness=0.04, reblur_residual=0.1),
            presets={
                "fast": {**_VOLUME, "training": {"patch_px": 48, "patch_planes": 16, "batch": 2, "target_fwhm_fraction": _STRIPES_TARGET}},
                "quality": {"training": {"patch_px": 64, "patch_planes": 24, "batch": 4, "target_fwhm_fraction": _STRIPES_TARGET}},
                "paper": {
                    "network": {"kind": "rcan-sim"},
                    "loss": {"lambda_hessian": 0.0},
                    "training": {**_PUBLISHED_VOLUME, "patch_planes": 11},
                },
            },
        ),
    )
}


def choose(requested: str, image: Image) -> Modality:
    """The row asked for, or with "auto" the first that accepts the image.

    Raises `ConfigError` for a name not in the table and `ImageError` for an image that does not fit.

    >>> import numpy as np
    >>> choose("auto", Image(np.zeros((4, 8, 8)), "TYX")).name
    '2d'
    """
    if requested != "auto" and requested not in MODALITIES:
        raise ConfigError(f"modality {requested!r}: this version has {', '.join(MODALITIES)}; give --modality auto")
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
        return f"the {row.name} method needs the axes {row.recorded_axes}, {missing[0]} is missing; give --axes"
    short = [axis for axis, n in row.min_size.items() if image.sizes[axis] < n]
    if short:
        limit = f"the {row.name} method needs {row.min_size[short[0]]} at least"
        return f"{image.sizes[short[0]]} planes along {short[0]}, {limit}; restore them plane by plane with --axes TYX --modality 2d"
    extra = next(a for a, n in image.sizes.items() if n > 1 and a not in row.recorded_axes + row.sample_axes)
    advice = {
        "C": "split the channels into files, each has its own light and its own model",
        "P": "raw frames of structured illumination are restored with --modality sim2d or sim3d",
        "Z": f"if the {image.sizes[extra]} planes are time points give --axes with T, otherwise save single planes",
    }
    return f"{image.sizes[extra]} planes along {extra}; {advice.get(extra, 'give --axes, or save single frames')}"
