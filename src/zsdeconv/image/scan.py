"""Stacks of a stage that moves the sample at an angle to the light sheet: the geometry of the scan, and the way back.

The planes of the camera are the planes of the sheet. Between two of them the stage moves by `s` at the angle `theta` to these planes, in
the plane of the detection axis z and the camera's axis y. So plane k shows the sample

    z = k s sin(theta),        y_sample = y_camera + k s cos(theta)

deeper along the detection axis, and farther along y: an object moves towards the first row of the camera from plane to plane, or towards
the last one where the stage moves in `reverse`. A skewed stack has the axes (k, y, x); deskewing shifts each plane along y by
`k s cos(theta)` and gives (z, y, x), in the directions of camera and detection axis, with planes `s sin(theta)` apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from zsdeconv.errors import ConfigError, ImageError
from zsdeconv.image.image import Image

SPLINE_DEGREE = 3
"""Degree of the splines between rows. Chosen: the sum of the intensities is kept at any degree, and a cubic spline rings less than higher
ones at the edges of a sharp image."""
MIN_EMPTY_ROWS = 2
"""Rows without light at the ends of a plane that are no chance. Chosen: a camera records no constant row."""
MAX_ROW_ERROR = 1.5
"""Rows by which they may differ from a straight line. Chosen: programs round the shift of each plane, and cut what is partly empty."""
SCAN_TOLERANCE = 0.02
"""Relative difference up to which two scans are the same. Chosen: that of the pixel sizes of images that fit a model."""
STACK_AXES = "ZYX"
"""Axes of a stack; a skewed one has the steps of the stage along Z."""


@dataclass(frozen=True)
class StageScan:
    """A stage that moves by `step_um` between two planes, at `angle_deg` to the planes of the camera; `reverse`: objects move towards the
    last row of the camera from plane to plane, not towards the first.

    Raises `ConfigError` for an angle that is not between 0 and 90 degrees, and for a step that is no length.

    >>> scan = StageScan(31.5, 0.4)
    >>> round(scan.depth_um, 4), round(scan.shift_um, 4)
    (0.209, 0.3411)
    """

    angle_deg: float
    step_um: float
    reverse: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.angle_deg < 90:
            raise ConfigError(
                f"scan_angle_deg {self.angle_deg:g}: the angle between the planes of the camera and the motion of the stage lies between 0 "
                "and 90 degrees; give 180 degrees minus the angle, or that to the plane instead of that to the detection axis, and "
                "scan_reverse for the opposite direction"
            )
        if not (math.isfinite(self.step_um) and self.step_um > 0):
            raise ConfigError(f"scan_step_um {self.step_um:g}: the step of the stage is a length; give it in micrometres, 0.4 for 400 nm")

    @property
    def depth_um(self) -> float:
        """Distance of two planes along the detection axis, `s sin(theta)`."""
        return self.step_um * math.sin(math.radians(self.angle_deg))

    @property
    def shift_um(self) -> float:
        """How much farther along y each plane lies in the sample than the one before it, `s cos(theta)`; negative in reverse."""
        return (-1 if self.reverse else 1) * self.step_um * math.cos(math.radians(self.angle_deg))

    def extra_rows(self, planes: int, pixel_um: float) -> int:
        """Rows by which a deskewed stack is longer than its planes."""
        return math.ceil(abs(self.shift_um) / pixel_um * (planes - 1) - 1e-9)

    def origin_um(self, planes: int, pixel_um: float) -> float:
        """Place of the first row of a deskewed stack along y, from that of its first plane: 0, or in reverse negative."""
        return -self.extra_rows(planes, pixel_um) * pixel_um if self.reverse else 0.0

    def affine_um(self, y_um: float, x_um: float) -> list[list[float]]:
        """The places of the pixels of a skewed stack in the sample, um: rows z, y, x of the matrix for the numbers (k, y, x, 1)."""
        return [[self.depth_um, 0.0, 0.0, 0.0], [self.shift_um, y_um, 0.0, 0.0], [0.0, 0.0, x_um, 0.0]]

    @property
    def words(self) -> str:
        """What it means for people."""
        direction = "last" if self.reverse else "first"
        moved = f"objects move by {abs(self.shift_um):.4g} um towards the {direction} row from plane to plane"
        return f"{self.step_um:g} um at {self.angle_deg:g} degrees: planes {self.depth_um:.4g} um apart, {moved}"

    def noted(self, spacing_um: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Plain values for the metadata of an image; with its pixel sizes also where its pixels lie (`affine_um`)."""
        affine = {} if spacing_um is None else {"affine_zyx_um": self.affine_um(spacing_um["Y"], spacing_um["X"])}
        return {**asdict(self), **affine}

    @classmethod
    def stated_by(cls, metadata: Mapping[str, Any], key: str = "scan") -> Self | None:
        """The scan in the metadata of an image; None where they state none that could be."""
        try:
            return cls(**{name: metadata[key][name] for name in ("angle_deg", "step_um", "reverse") if name in metadata[key]})
        except (KeyError, TypeError, ConfigError):
            return None


def scan_of(image: Image, angle_deg: float | None, step_um: float | None, reverse: bool = False) -> StageScan | None:
    """The scan of an image: what is given, completed by what the image states; None where neither says anything.

    Raises `ConfigError` where only the angle or only the step is known, or the direction alone is given.

    >>> scan_of(Image(np.zeros((3, 4, 5)), "ZYX"), 31.5, 0.4).angle_deg
    31.5
    """
    stated = StageScan.stated_by(image.metadata)
    if stated is not None:
        angle_deg, step_um = angle_deg or stated.angle_deg, step_um or stated.step_um
        reverse = reverse or stated.reverse
    if angle_deg is not None and step_um is not None:
        return StageScan(angle_deg, step_um, reverse)
    if angle_deg is not None:
        um = image.spacing_um.get("Z")
        known = "" if um is None else f" (the planes are {um:g} um apart according to the file: if this is the step of the stage, give it)"
        raise ConfigError(f"scan_angle_deg {angle_deg:g} without the step of the stage{known}; give scan_step_um too, or leave it out")
    if step_um is not None:
        raise ConfigError(
            f"scan_step_um {step_um:g} without the angle of the scan; give scan_angle_deg too, or z_um where the stage moves along the "
            "detection axis"
        )
    if reverse:
        raise ConfigError("scan_reverse: no scan at an angle is known; give scan_angle_deg and scan_step_um too, or leave it out")
    return None


def with_scan(image: Image, scan: StageScan | None) -> Image:
    """The image, stating this scan in place of what it stated; as it is for None.

    >>> StageScan.stated_by(with_scan(Image(np.zeros((3, 4, 5)), "ZYX"), StageScan(31.5, 0.4)).metadata)
    StageScan(angle_deg=31.5, step_um=0.4, reverse=False)
    """
    return image if scan is None else replace(image, metadata={**image.metadata, "scan": scan.noted()})


def refuse_deskewed(image: Image) -> None:
    """Raise `ImageError` for a stack that was deskewed before: it says so, or its planes have empty rows that move from plane to plane.

    >>> stack = np.random.default_rng(0).poisson(9.0, (6, 30, 20))
    >>> refuse_deskewed(Image(stack, "ZYX"))
    >>> padded = np.zeros((6, 40, 20))
    >>> for k, plane in enumerate(stack):
    ...     padded[k, 2 * k : 2 * k + 30] = plane
    >>> refuse_deskewed(Image(padded, "ZYX"))
    Traceback (most recent call last):
    zsdeconv.errors.ImageError: image: its first plane is empty at the end of y and its last one at the beginning (10 rows)...
    """
    name = image.metadata.get("name", "image")
    advice = "give the raw stack, or leave out scan_angle_deg and scan_step_um (planes of a deskewed stack are z_um apart)"
    if image.metadata.get("deskewed"):
        raise ImageError(f"{name}: it is deskewed already, according to the file; {advice}")
    if "Z" not in image.axes:
        return
    stack = image.data[tuple(slice(None) if axis in STACK_AXES else 0 for axis in image.axes)]
    stack = np.moveaxis(stack, [[a for a in image.axes if a in STACK_AXES].index(a) for a in STACK_AXES], range(3))
    for axis, letter in ((1, "y"), (2, "x")):
        lines = np.moveaxis(stack, axis, 1)
        ends = np.array([[_empty(plane), _empty(plane[::-1])] for plane in lines])
        moved = ends[-1] - ends[0]
        straight = ends[0] + np.arange(len(ends))[:, None] * moved / max(len(ends) - 1, 1)
        if abs(moved[0]) >= MIN_EMPTY_ROWS and np.abs(moved.sum()) <= 1 and np.abs(ends - straight).max() <= MAX_ROW_ERROR:
            first, last = ("end", "beginning") if moved[0] > 0 else ("beginning", "end")
            found = f"its first plane is empty at the {first} of {letter} and its last one at the {last} ({abs(moved[0])} rows)"
            raise ImageError(f"{name}: {found}, as of a stack that is deskewed already; {advice}")


def refuse_other_scan(image: Image, scan: StageScan | None) -> None:
    """Raise `ImageError` for an image that was not recorded as those of a training were: by `scan`, or with planes above each other."""
    name, stated, um = image.metadata.get("name", "image"), StageScan.stated_by(image.metadata), image.spacing_um.get("Z")
    if scan is None:
        if stated is not None:
            known = "the model was trained on stacks whose planes lie above each other"
            raise ImageError(f"{name}: a scan of {stated.words}, {known}; train another one, or deskew the image")
        return
    refuse_deskewed(image)
    if stated is not None and not (_close(stated.depth_um, scan.depth_um) and _close(stated.shift_um, scan.shift_um)):
        raise ImageError(f"{name}: a scan of {stated.words}, the model was trained on one of {scan.words}; train another one")
    if stated is None and um is not None and not (_close(um, scan.step_um) or _close(um, scan.depth_um)):
        raise ImageError(
            f"{name}: planes {um:g} um apart, the model was trained on a scan of {scan.words}; train another one, or give z_um"
        )


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= SCAN_TOLERANCE * abs(other)


def _empty(plane: np.ndarray) -> int:
    """Number of rows at the beginning of a plane that hold one value, the same in all, or no data."""
    first = plane[0, 0]
    same = (np.isnan(plane) if np.isnan(first) else plane == first).all(1)
    return len(plane) if same.all() else int(same.argmin())


def deskewed(image: Image, scan: StageScan, factor: int = 1) -> Image:
    """A skewed stack in the directions of camera and detection axis: each plane is shifted along y, and by nothing else.

    Planes are `s sin(theta)` apart, pixels keep their size, and what no plane has seen is NaN. Between rows there is a cubic spline, which
    keeps the sum of the intensities; next to the edge of one pixel to the next it over- and undershoots by up to a tenth of the
    step. Of an image of kind
    "uncertainty" it is linear: the standard error between two rows is at most that of errors that both share. A row is NaN where the
    spline or the line has to look at pixels without data.

    Parameters
    ----------
    image
        The stack, with T and C before its axes Z Y X or none; its pixel size along y must be known.
    scan
        How it was recorded.
    factor
        The number of rows is the number of rows of the planes and a multiple of this: of a grid that is so much finer than the recorded
        one it has as many rows more as the recorded one has, times `factor`.

    Returns
    -------
    Image
        float32, with `metadata["deskewed"]`: the scan, and `origin_um`, the place of the first row along y from that of the first plane.

    Raises
    ------
    ImageError
        For images without the axes of a stack or a pixel size, and for a stack that is deskewed already.

    Examples
    --------
    >>> stack = Image(np.eye(5)[:3, :, None] * np.ones(4), "ZYX", {"Z": 1.0, "Y": 1.0, "X": 1.0})  # a line that moves a row each plane
    >>> upright = deskewed(stack, StageScan(45.0, 2**0.5, reverse=True))
    >>> upright.sizes, upright.data[:, 2, 0].tolist(), round(upright.spacing_um["Z"], 6)
    ({'Z': 3, 'Y': 7, 'X': 4}, [1.0, 1.0, 1.0], 1.0)
    """
    missing = [axis for axis in STACK_AXES if axis not in image.axes]
    if missing:
        raise ImageError(
            f"axes {image.axes}: a scan is a stack of planes, {missing[0]} is missing; give axes, ZYX where its planes are steps"
        )
    if "Y" not in image.spacing_um or "X" not in image.spacing_um:
        raise ImageError("pixel size is missing in the file, the shift of the planes depends on it; give pixel_um (um in the sample)")
    refuse_deskewed(image)
    others = "".join(axis for axis in image.axes if axis not in STACK_AXES)
    image = image.transposed(others + STACK_AXES)
    planes, pixel_um = image.sizes["Z"], image.spacing_um["Y"]
    rows, shift_px = factor * scan.extra_rows(planes, factor * pixel_um), scan.shift_um / pixel_um
    starts = [k * shift_px + (rows if scan.reverse else 0) for k in range(planes)]
    degree = 1 if image.metadata.get("kind") == "uncertainty" else SPLINE_DEGREE
    data = np.full((*image.data.shape[:-2], image.sizes["Y"] + rows, image.sizes["X"]), np.nan, np.float32)
    for index in np.ndindex(data.shape[:-2]):
        _place(data[index], image.data[index], starts[index[-1]], degree)
    noted = {**scan.noted(), "origin_um": {"Y": scan.origin_um(planes, factor * pixel_um)}}
    metadata = {key: value for key, value in image.metadata.items() if key != "scan"} | {"deskewed": noted}
    return replace(image, data=data, spacing_um={**image.spacing_um, "Z": scan.depth_um}, metadata=metadata)


def upright_sizes(image: Image, scan: StageScan | None) -> dict[str, int]:
    """Sizes of an image when it is deskewed.

    >>> upright_sizes(Image(np.zeros((3, 8, 5)), "ZYX", {"Y": 0.1, "X": 0.1}), StageScan(30.0, 0.2))
    {'Z': 3, 'Y': 12, 'X': 5}
    """
    sizes, pixel_um = image.sizes, image.spacing_um.get("Y")
    extra = 0 if scan is None or pixel_um is None else scan.extra_rows(sizes.get("Z", 1), pixel_um)
    return sizes | ({"Y": sizes["Y"] + extra} if extra else {})


def _place(target: np.ndarray, plane: np.ndarray, start: float, degree: int) -> None:
    """Write a plane (y x) into `target` from row `start` on, which need not be whole: rows in between are those of a spline.

    Beyond its ends the plane goes on as its mirror image; rows whose centre lies within half a pixel of it are written.
    """
    from scipy.ndimage import spline_filter1d

    first = math.floor(start + 0.5)
    fraction = first - start  # row n of the plane, shifted, is the value of the spline at n + fraction
    rows = target[first : first + len(plane)]
    plane = plane[: len(rows)].astype(np.float64)
    holes = ~np.isfinite(plane)
    if abs(fraction) < 1e-6:
        rows[...] = plane
        return
    values = np.where(holes, 0.0, plane)
    if degree > 1:
        values = spline_filter1d(values, degree, axis=0, mode="mirror")
    weights = _basis(fraction, degree)
    rows[...] = _weighted(values, weights)
    if holes.any():
        rows[_weighted(holes.astype(np.float64), {d: float(abs(w) > 0) for d, w in weights.items()}) > 0] = np.nan


def _basis(fraction: float, degree: int) -> dict[int, float]:
    """Values at `fraction` (-1/2 to 1/2) of the B-splines centred on neighbouring rows, by their distance in rows."""
    from scipy.interpolate import BSpline

    b = BSpline.basis_element(np.arange(degree + 2) - (degree + 1) / 2, extrapolate=False)
    values = {d: float(b(fraction - d)) for d in range(-2, 3) if abs(fraction - d) < (degree + 1) / 2}
    return {d: value for d, value in values.items() if value}


def _weighted(values: np.ndarray, weights: Mapping[int, float]) -> np.ndarray:
    """Sums of rows at these distances; beyond the ends there are mirror images."""
    n = len(values)
    total = np.zeros_like(values)
    for distance, weight in weights.items():
        index = np.abs(np.arange(n) + distance)
        index = np.where(index > n - 1, 2 * (n - 1) - index, index)
        total += weight * values[np.clip(index, 0, n - 1)]
    return total
