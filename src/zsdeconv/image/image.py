"""`Image`: pixels with the axes, pixel sizes and camera offset that a measurement needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.image.arrays import ArrayLike, Labels, labels_of, pixels_of

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import xarray
    from numpy.typing import DTypeLike

KNOWN_AXES = "TCZYXP"
"""Axis letters: time, channel, z, y, x, and P for the raw frames of structured illumination (direction x phase)."""
SPATIAL_AXES = "ZYX"
"""Axes with a pixel size."""


@dataclass(frozen=True, eq=False, init=False)
class Image:
    """Pixels with axes and pixel sizes. `numpy.asarray(image)` gives the pixels, and what takes an array, `plt.imshow` for one, takes an
    image.

    Parameters
    ----------
    data
        Array with one dimension per letter of `axes`: of numpy, dask (computed), zarr, xarray, or what `numpy.asarray` takes. Masked pixels
        become NaN, which are pixels without data.
    axes
        Axis letters in any order, each at most once: T time, C channel, Z, Y, X, and P for raw SIM frames. An array with named dimensions
        (xarray, zarr) needs none.
    spacing_um
        Pixel sizes in micrometres of those spatial axes for which they are known; by default those of the coordinates of an xarray.
    offset
        Camera offset contained in the data, ADU: None when unknown, 0 for a restored image.
    metadata
        Free entries: channel names, provenance, origin of each value.

    Raises
    ------
    ImageError
        When axes and data disagree, a spacing is not a positive length, or the data are no numbers.

    Examples
    --------
    >>> image = Image(np.zeros((3, 64, 48), np.uint16), "TYX", {"Y": 0.065, "X": 0.065})
    >>> image.sizes
    {'T': 3, 'Y': 64, 'X': 48}
    >>> image
    Image(TYX 3 x 64 x 48, uint16, um: Y 0.065, X 0.065)
    >>> np.asarray(image).mean(), image[0].shape
    (np.float64(0.0), (64, 48))
    """

    data: np.ndarray
    axes: str
    spacing_um: Mapping[str, float]
    offset: float | None
    metadata: Mapping[str, Any]

    def __init__(
        self,
        data: ArrayLike,
        axes: str | None = None,
        spacing_um: Mapping[str, float] | None = None,
        offset: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        labels = labels_of(data) if axes is None else None
        pixels = pixels_of(data)
        if axes is None and labels is None:
            raise ImageError(f"an array of shape {pixels.shape} does not say what its dimensions are; give axes, for example YX or TYX")
        labels = labels or Labels(axes or "")
        spacing = labels.spacing_um if spacing_um is None else spacing_um
        values = {"data": pixels, "axes": labels.axes, "spacing_um": spacing, "offset": offset}
        for name, value in {**values, "metadata": {**labels.metadata, **(metadata or {})}}.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        unknown = sorted(set(self.axes) - set(KNOWN_AXES))
        if unknown or len(set(self.axes)) != len(self.axes):
            raise ImageError(f"axes {self.axes!r}: each of {', '.join(KNOWN_AXES)} at most once; give axes, for example TYX")
        if len(self.axes) != self.data.ndim:
            raise ImageError(
                f"axes {self.axes!r} name {len(self.axes)} dimensions, the data have {self.data.ndim} {self.data.shape}; "
                "give axes with one letter for each"
            )
        for axis, um in self.spacing_um.items():
            if axis not in SPATIAL_AXES or not np.isfinite(um) or um <= 0:
                raise ImageError(f"spacing {um} um along {axis}: it must be a positive length along Z, Y or X; give pixel_um")

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.data.shape))
        um = ", ".join(f"{axis} {size:.4g}" for axis, size in self.spacing_um.items())
        return f"Image({self.axes} {shape}, {self.data.dtype}{f', um: {um}' if um else ''})"

    def _repr_html_(self) -> str:
        from zsdeconv.image.display import html_of

        return html_of(self)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Pixels, as numpy gives them."""
        return self.data[index]

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        """Number type of the pixels."""
        return self.data.dtype

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, in the order of the data."""
        return dict(zip(self.axes, self.data.shape, strict=True))

    def fingerprint(self) -> str:
        """Short SHA-256 of the pixels, by which an input is recognised.

        >>> Image(np.eye(9), "YX").fingerprint() == Image(np.eye(9) + 1e-9, "YX").fingerprint()
        False
        """
        digest = hashlib.sha256(repr((self.axes, self.data.shape, str(self.data.dtype))).encode())
        for part in self.data:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the image: as OME-Zarr where the name ends in ".zarr", else as OME-TIFF, float32, with all that is known of it.

        Raises `OutputError` for an existing file unless `overwrite`, and where nothing can be written (`zsdeconv.io.write`).

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image(np.eye(9), "YX", {"Y": 0.1, "X": 0.1}).save(f"{folder}/cell.ome.tif").name
        'cell.ome.tif'
        """
        from zsdeconv.io import write

        return write(path, self, overwrite=overwrite)

    def to_xarray(self) -> xarray.DataArray:
        """The image for xarray, with positions in um, names of the channels and times.

        Raises `ConfigError` where the package xarray is not installed. `Image(image.to_xarray())` is the image again.
        """
        from zsdeconv.image.display import xarray_of

        return xarray_of(self)

    def to_napari(self) -> dict[str, Any]:
        """The image for napari, with its scale, names of axes and channels: `viewer.add_image(**image.to_napari())`.

        >>> Image(np.zeros((4, 5)), "YX", {"Y": 0.1, "X": 0.1}).to_napari()["scale"]
        (0.1, 0.1)
        """
        from zsdeconv.image.display import layer_of

        return layer_of(self)

    def transposed(self, axes: str) -> Image:
        """The image with its dimensions in the order `axes`; missing axes have length 1.

        Raises `ImageError` when `axes` would drop a dimension longer than 1.
        """
        lost = [a for a in self.axes if a not in axes and self.sizes[a] > 1]
        if lost:
            raise ImageError(
                f"axes {self.axes!r} cannot become {axes!r}: {lost[0]} has {self.sizes[lost[0]]} planes; split the file, or give axes"
            )
        kept = [a for a in axes if a in self.axes]
        data = np.moveaxis(self.data, [self.axes.index(a) for a in kept], range(len(kept)))
        data = data.reshape([self.sizes.get(a, 1) for a in axes])
        return replace(self, data=data, axes=axes, spacing_um={a: v for a, v in self.spacing_um.items() if a in axes})


ImageLike: TypeAlias = "Image | str | os.PathLike[str] | ArrayLike"
"""What stands for an image wherever one is needed: an `Image`, the path of a file, or an array."""


def with_numbers(image: Image, dark: float = 0.0) -> Image:
    """The image with `dark` in pixels that are NaN or infinite.

    >>> with_numbers(Image(np.array([[np.nan, 2.0]]), "YX"), 5.0).data.tolist()
    [[5.0, 2.0]]
    """
    if image.data.dtype.kind != "f" or np.isfinite(image.data).all():
        return image
    return replace(image, data=np.where(np.isfinite(image.data), image.data, np.asarray(dark, image.data.dtype)))
