"""Images in a notebook: a picture of a plane and a table of what is known; as arrays with names for xarray, as a layer for napari."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zsdeconv.errors import ConfigError
from zsdeconv.image.channel import channel_names, channel_of
from zsdeconv.image.image import SPATIAL_AXES, Image

if TYPE_CHECKING:
    import xarray

PICTURE_PX = 240
"""Longest side of a picture. Chosen: four stand side by side in a notebook."""
MAX_PICTURES = 4
"""Channels that are shown. Chosen: as many as stand side by side."""
MAX_NAME_CHARS = 60
"""Characters of a name that are shown. Chosen: a line of the table."""


def html_of(image: Image) -> str:
    """A picture of each channel (the middle plane, the first time, means of pixels) beside a table, as HTML without scripts.

    >>> page = html_of(Image(np.arange(63.0).reshape(7, 9), "YX", {"Y": 0.065, "X": 0.065}, metadata={"name": "<a>.tif"}))
    >>> "&lt;a&gt;.tif" in page, "7 × 9 (Y X)" in page, "65 nm" in page
    (True, True, True)
    """
    return f"<div style='display:flex;gap:1em;flex-wrap:wrap'>{pictures(image)}{table(rows_of(image))}</div>"


def pictures(image: Image, caption: str = "") -> str:
    """A picture of each channel as HTML, with `caption` under it, or else the name of the channel."""
    if not {"Y", "X"} <= set(image.axes) or not image.data.size or image.dtype.kind not in "biuf":
        return ""
    names = channel_names(image) if "C" in image.axes else [""]
    channels = [channel_of(image, n) if "C" in image.axes else image for n in range(min(len(names), MAX_PICTURES))]
    return "".join(_picture(each, " ".join(filter(None, (caption, name)))) for each, name in zip(channels, names, strict=False))


def rows_of(image: Image) -> list[tuple[str, str]]:
    """What is known of an image, in words."""
    sizes = f"{' × '.join(map(str, image.shape))} ({' '.join(image.axes)})"
    um = {axis: image.spacing_um[axis] for axis in SPATIAL_AXES if axis in image.spacing_um}
    missing = [axis for axis in SPATIAL_AXES if axis in image.axes and axis not in um]
    sides = f"{', '.join(f'{axis} {_length(size)}' for axis, size in um.items())}" or "not known"
    known = sides + (f" ({', '.join(missing)} not known)" if um and missing else "")
    rows = [("image", str(image.metadata.get("name", ""))[:MAX_NAME_CHARS]), ("kind", str(image.metadata.get("kind", "")))]
    rows += [("pixels", f"{sizes}, {image.dtype}"), ("pixel size", known), ("values", _range(image.data))]
    rows += [("offset", "" if image.offset is None else f"{image.offset:g} ADU")]
    if "C" in image.axes:
        rows.append(("channels", ", ".join(channel_names(image))[:MAX_NAME_CHARS]))
    return [(name, value) for name, value in rows if value]


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values as an HTML table; texts are escaped."""
    cells = (f"<tr><td style='text-align:left'><b>{html.escape(name)}</b></td>" for name, _ in rows)
    values = (f"<td style='text-align:left'>{html.escape(value)}</td></tr>" for _, value in rows)
    return f"<table>{''.join(a + b for a, b in zip(cells, values, strict=True))}</table>"


def xarray_of(image: Image) -> xarray.DataArray:
    """The image as an xarray with positions in um (attribute `units`), channel names and its metadata.

    Raises `ConfigError` where the package xarray is not installed.
    """
    try:
        import xarray
    except ModuleNotFoundError as error:
        raise ConfigError("to_xarray needs the package xarray, which is not installed; pip install xarray") from error
    coordinates: dict[str, Any] = {}
    for axis, um in image.spacing_um.items():
        if axis in image.axes:
            coordinates[axis] = xarray.Variable(axis, um * np.arange(image.sizes[axis]), {"units": "um"})
    if "C" in image.axes:
        coordinates["C"] = channel_names(image)
    if "T" in image.axes and image.metadata.get("interval_s"):
        times = float(image.metadata["interval_s"]) * np.arange(image.sizes["T"])
        coordinates["T"] = xarray.Variable("T", times, {"units": "s"})
    attributes = {"units": "ADU", **({} if image.offset is None else {"offset": image.offset})}
    return xarray.DataArray(image.data, coordinates, list(image.axes), image.metadata.get("name"), attributes)


def layer_of(image: Image) -> dict[str, Any]:
    """Arguments of napari's `Viewer.add_image`: the pixels with their scale in um and s, names of axes and channels.

    >>> layer = layer_of(Image(np.zeros((3, 4, 5)), "ZYX", {"Z": 0.3, "Y": 0.1, "X": 0.1}, metadata={"name": "cell.tif"}))
    >>> layer["name"], layer["scale"], layer["axis_labels"]
    ('cell.tif', (0.3, 0.1, 0.1), ('z', 'y', 'x'))
    """
    axes = [axis for axis in image.axes if axis != "C"]
    size = {"T": image.metadata.get("interval_s") or 1.0, **image.spacing_um}
    unit = {axis: "um" for axis in image.spacing_um} | ({"T": "s"} if image.metadata.get("interval_s") else {})
    name = " ".join(str(part) for part in (image.metadata.get("name"), image.metadata.get("kind")) if part) or "image"
    layer: dict[str, Any] = {"data": image.data, "name": name}
    if "C" in image.axes:
        layer |= {"channel_axis": image.axes.index("C"), "name": [f"{name} {channel}" for channel in channel_names(image)]}
    layer["scale"] = tuple(float(size.get(axis, 1.0)) for axis in axes)
    return layer | {"units": tuple(unit.get(axis, "pixel") for axis in axes), "axis_labels": tuple(axis.lower() for axis in axes)}


def _picture(image: Image, caption: str) -> str:
    from zsdeconv.report.page.thumbnails import Shades

    index: dict[str, int] = {axis: image.sizes[axis] // 2 if axis == "Z" else 0 for axis in image.axes if axis not in "YX"}
    plane = image.data[tuple(index.get(axis, slice(None)) for axis in image.axes)]
    plane = np.asarray(plane if image.axes.index("Y") < image.axes.index("X") else plane.T, np.float64)
    finite = np.isfinite(plane)
    plane = np.where(finite, plane, plane[finite].min() if finite.any() else 0.0)
    k = math.ceil(max(plane.shape) / PICTURE_PX)
    picture = Shades.of(plane, 0.0, from_zero=False).thumbnail(plane, image.spacing_um.get("X"), k)
    where = [f"{axis.lower()} {n + 1} of {image.sizes[axis]}" for axis, n in index.items() if image.sizes[axis] > 1]
    words = ", ".join(filter(None, (caption, *where)))
    zoom = max(1, PICTURE_PX // max(picture.width_px, picture.height_px))
    style = f"image-rendering:pixelated;width:{zoom * picture.width_px}px"
    text = f"<figcaption>{html.escape(words)}</figcaption>" if words else ""
    return f"<figure style='margin:0'><img src='{picture.src}' alt='{html.escape(words or 'image')}' style='{style}'>{text}</figure>"


def _length(um: float) -> str:
    return f"{um:g} um" if um >= 1 else f"{1000 * um:g} nm"


def _range(data: np.ndarray) -> str:
    """The least and the largest value, and how many are no numbers."""
    finite = data[np.isfinite(data)] if data.dtype.kind == "f" else data
    if not finite.size:
        return "no data"
    lost = data.size - finite.size
    return f"{finite.min():.4g} to {finite.max():.4g}" + (f", {lost} pixels without data" if lost else "")


def compared(images: Mapping[str, Image]) -> str:
    """Pictures of several images side by side, each with its name, as HTML."""
    shown = "".join(pictures(image, name) for name, image in images.items())
    return f"<div style='display:flex;gap:0.5em;flex-wrap:wrap'>{shown}</div>"
