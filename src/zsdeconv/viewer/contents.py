"""What a page shows of one result: its images on one grid and one scale of intensity, coded, with all that is said about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsdeconv.errors import ImageError
from zsdeconv.findings import rounded
from zsdeconv.image import Image, channel_names
from zsdeconv.io import read
from zsdeconv.report.page.panels import WORDS
from zsdeconv.report.page.text import printable, sentence, value_text
from zsdeconv.viewer.coding import TOP, Coding, packed
from zsdeconv.viewer.finding import ResultFiles
from zsdeconv.viewer.parts import MAX_PIXELS, Part, choose_part, part_words
from zsdeconv.viewer.raw_image import Recorded, as_delivered, find_recorded, offsets_of

OWN_SCALE = ("uncertainty",)
"""Images that are no intensities of the sample, and keep a scale of their own."""
NOISY = ("raw", "reconstructed")
"""Images whose brightest pixels are noise: they do not set the scale."""
SHADE_PERCENTILES = (0.1, 99.9)
"""Percentiles of the shown pixels that are black and white. Chosen: single pixels do not set the range."""
SAMPLED_PX = 2**20
"""Pixels from which percentiles are taken, approximately. Chosen: percentiles of more are no more exact."""
COLOURS = ("#00ff00", "#ff00ff", "#00ffff", "#ffff00", "#ff8000", "#4080ff")
"""Colours of channels whose file names none. Chosen: the first two are told apart by nearly everybody, and add up to white."""
WHITE = "#ffffff"
"""Colour of a single channel. Chosen: grey shows the most shades."""
RANGE_DIGITS, OFFSET_DIGITS = 3, 4
"""Digits that count, of the ends of the scale and of an offset. Chosen: nobody sees a change of the last one; offsets by tenths."""
MAX_NAME_LENGTH = 80
"""Characters of the name of a channel or file. Chosen: they fit on two lines."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One image as the page holds it: `data` (t c z y x, ADU above the offset) of the part that is shown, finer than the coarsest grid
    by `factors` (y, x); `codings` are those of its channels.
    """

    kind: str
    data: np.ndarray
    factors: tuple[int, int]
    codings: list[Coding]

    def shades(self, channel: int) -> tuple[float, float]:
        """The intensities that are black and white for this image alone, ADU."""
        pixels = self.data[:, channel]
        step = max(1, pixels.size // SAMPLED_PX)
        pixels = pixels.ravel()[::step]
        pixels = pixels[np.isfinite(pixels)]
        if not pixels.size:
            return 0.0, 1.0
        low, high = (float(value) for value in np.percentile(pixels, SHADE_PERCENTILES))
        low = 0.0 if self.kind in OWN_SCALE else low
        return (low, high) if high > low else (low, low + 1.0)

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Its planes as texts, named by channel, time and plane."""
        for t, c, z in np.ndindex(self.data.shape[:3]):
            yield f"{c}-{t}-{z}", packed(self.codings[c].codes(self.data[t, c, z]))


@dataclass(frozen=True, eq=False)
class Contents:
    """One result: what is said about it (`about`, ready for JSON), its `layers`, and `facts` for the command line."""

    name: str
    about: dict[str, Any]
    layers: list[Layer]
    facts: dict[str, Any] = field(default_factory=dict)


def contents_of(files: ResultFiles, *, raw: Path | None = None, crop: str | None = None, max_pixels: int = MAX_PIXELS) -> Contents:
    """Read a result and the image that it was made of, and choose what is shown.

    Parameters
    ----------
    files
        The result.
    raw
        The recorded image, where the user names it.
    crop
        The part that is wanted, pixels of the coarsest grid.
    max_pixels
        Limit for all images together.

    Raises
    ------
    ImageError
        For images that cannot be read, that do not belong together, and for a recorded image that the user names and that does not fit.
    ConfigError
        For a part that does not lie within the images.
    """
    images = {kind: read(path) for kind, path in files.images.items()}
    _refuse_mixture(files, images)
    kind, first = next(iter(images.items()))
    said = {kind: _provenance(image) for kind, image in images.items()}
    found = as_delivered(find_recorded(said[kind], files.folder, raw), first)
    recorded, offset = _above_offset(found, images, said[kind], given=raw is not None)
    if recorded.image is not None:
        images = {"raw": recorded.image, **images}
    arrays = {kind: image.transposed("TCZYX").data for kind, image in images.items()}
    coarse = min((array.shape for array in arrays.values()), key=lambda shape: shape[-1])
    sizes = dict(zip("TCZYX", coarse, strict=True))
    factors = {kind: (array.shape[3] // coarse[3], array.shape[4] // coarse[4]) for kind, array in arrays.items()}
    part = choose_part(sizes, sizes["C"] * sum(fy * fx for fy, fx in factors.values()), crop, max_pixels)
    layers = [_layer(kind, array, factors[kind], part) for kind, array in arrays.items()]
    shown = part_words(part, sizes)
    partly = [f"shown: {', '.join(shown)}; `crop` gives another part"] if shown else []
    notes = [*filter(None, [recorded.note]), *_differences(said), *partly]
    about = {
        "name": printable(files.name, MAX_NAME_LENGTH),
        "facts": _size_words(sizes, first, factors[kind]),
        "notes": [sentence(note.partition("; `")[0]) for note in notes],  # without the advice, which is on options of the command
        "offset": offset,
        **_grid(first, factors[kind], part, sizes),
        "channels": _channels(first, sizes["C"], layers),
        "layers": [_about_layer(layer) for layer in layers],
    }
    files_read = {"images": {kind: str(path) for kind, path in files.images.items()}, "raw": recorded.path and str(recorded.path)}
    facts = {**files_read, "report": files.report and str(files.report), "shown": shown, "notes": notes}
    return Contents(files.name, about, layers, facts)


def _provenance(image: Image) -> Mapping[str, Any]:
    """What a result says about how it came about; the file may be of any origin."""
    said = image.metadata.get("provenance")
    return said if isinstance(said, Mapping) else {}


def _refuse_mixture(files: ResultFiles, images: Mapping[str, Image]) -> None:
    """Raise `ImageError` for images of one name that are not of one restoration, as far as their sizes tell."""
    (base, first), *others = sorted(images.items(), key=lambda item: item[1].sizes["X"])
    for kind, image in others:
        if not _fits(image, first):
            sizes = f"{files.images[kind].name} of {_sizes(image)}, {files.images[base].name} of {_sizes(first)}"
            raise ImageError(f"{sizes}: they are not of one restoration; remove the older one, or restore the image again")


def _fits(image: Image, coarser: Image) -> bool:
    """Whether an image has the same times, channels and planes, and whole pixels in each of the coarser one."""
    fine, coarse = (each.transposed("TCZYX").data.shape for each in (image, coarser))
    if fine[:3] != coarse[:3]:
        return False
    (ny, nx), (my, mx) = fine[3:], coarse[3:]
    return ny % my == 0 and nx % mx == 0 and ny // my == nx // mx


def _sizes(image: Image) -> str:
    long = {axis: n for axis, n in image.sizes.items() if n > 1 or axis in "YX"}
    return f"{''.join(long)} {' x '.join(map(str, long.values()))}"


def _differences(said: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """In what the images say that they come of different runs."""
    (base, first), *others = said.items()
    for kind, other in others:
        for key in ("input", "pixels", "crop", "seed", "version", "config"):
            if first.get(key) != other.get(key):
                return [f"{base} and {kind} are of different runs ({key} differs): differences between them may be those of the runs"]
    return []


def _above_offset(recorded: Recorded, images: Mapping[str, Image], said: Mapping[str, Any], *, given: bool) -> tuple[Recorded, str]:
    """The recorded image (ADU above the offset) where it fits the results, and the offset in words.

    The offset is what the restoration took off. Where the result does not say it, or a model restored an image of what may be another
    camera, it is that of the file, or else the median of the difference to the denoised image.
    """
    image, first = recorded.image, min(images.values(), key=lambda each: each.sizes["X"])
    if image is None:
        return recorded, ""
    if not (_fits(first, image) or _fits(image, first)):
        unlike = f"{recorded.path} of {_sizes(image)} does not fit the result of {_sizes(first)}"
        if given:
            raise ImageError(f"{unlike}; give `raw`, the image that was restored")
        return Recorded(None, None, f"the recorded image {unlike}: shown without it; `raw` gives another"), ""
    count = image.sizes["C"]
    offsets, origin = offsets_of(said, channel_names(first) if count > 1 else [""]), "that of the restoration"
    denoised = images.get("denoised")
    if (offsets is None or "model" in said) and denoised is not None and _fits(image, denoised) and _fits(denoised, image):
        away = image.transposed("CTZYX").data - denoised.transposed("CTZYX").data
        medians = [float(np.median(each[np.isfinite(each)])) if np.isfinite(each).any() else 0.0 for each in away]
        offsets, origin = medians, "the median difference to the denoised image"
    if offsets is None:
        offsets, origin = [image.offset or 0.0] * count, "that of the file" if image.offset is not None else "not known"
    data = image.data - np.array(offsets, np.float32)[:, None, None, None]
    shown = ", ".join(rounded(offset, OFFSET_DIGITS) for offset in offsets)
    words = f"Camera offset taken off the raw image: {shown} ADU ({origin})."
    return replace(recorded, image=replace(image, data=data)), words


def _size_words(sizes: Mapping[str, int], image: Image, factors: tuple[int, int]) -> list[str]:
    """The size of the whole image on its coarsest grid, for people."""
    counts = [f"{sizes[axis]} {name}" for axis, name in (("C", "channels"), ("T", "times"), ("Z", "planes")) if sizes[axis] > 1]
    um, z_um = image.spacing_um.get("X"), image.spacing_um.get("Z")
    pixel = [] if um is None else [f"{value_text(1000 * um * factors[1])} nm pixels"]
    step = [f"planes {value_text(1000 * z_um)} nm apart"] if z_um is not None and sizes["Z"] > 1 else []
    return [f"{sizes['Y']} × {sizes['X']} pixels", *pixel, *step, *counts]


def _layer(kind: str, array: np.ndarray, factors: tuple[int, int], part: Part) -> Layer:
    (fy, fx), (y0, y1), (x0, x1) = factors, part.rows, part.columns
    data = array[:, :, :, y0 * fy : y1 * fy, x0 * fx : x1 * fx][list(part.times)][:, :, list(part.planes)]
    return Layer(kind, data, factors, [_coding(data[:, c]) for c in range(data.shape[1])])


def _coding(pixels: np.ndarray) -> Coding:
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return Coding(low, high if high > low else low + 1.0)


def _about_layer(layer: Layer) -> dict[str, Any]:
    title, explanation = WORDS[layer.kind]
    channels = [{"low": coding.low, "high": coding.high, "own": list(layer.shades(c))} for c, coding in enumerate(layer.codings)]
    own = layer.kind in OWN_SCALE
    return {"kind": layer.kind, "title": title, "words": explanation, "factors": layer.factors, "own_scale": own, "channels": channels}


def _channels(image: Image, count: int, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Name and colour of each channel, its limits, and the intensities that are black and white in all images that share a scale."""
    names, stated = channel_names(image), list(image.metadata.get("colours") or [])
    shared = [layer for layer in layers if layer.kind not in OWN_SCALE] or list(layers)
    smooth = [layer for layer in shared if layer.kind not in NOISY] or shared
    found = []
    for c in range(count):
        shades = [layer.shades(c) for layer in smooth]
        low, high = _tidy(min(low for low, _ in shades), max(high for _, high in shades))
        limits = min(layer.codings[c].low for layer in shared), max(layer.codings[c].high for layer in shared)
        found.append(
            {
                "name": printable(names[c], MAX_NAME_LENGTH),
                "colour": _colour(stated[c] if c < len(stated) else None, c) if count > 1 else WHITE,
                "range": [low, high],
                "limits": [min(low, limits[0]), max(high, limits[1])],
            }
        )
    return found


def _tidy(low: float, high: float) -> tuple[float, float]:
    """The ends of a scale of intensity in few digits; dark is no light, not the noise below it.

    >>> _tidy(-82.9, 10128.0), _tidy(651.3, 22053.0)
    ((0.0, 10100.0), (651.0, 22100.0))
    """
    low, high = (float(f"{end:.{RANGE_DIGITS}g}") for end in (max(low, 0.0) if high > 0 else low, high))
    return (low, high) if high > low else (low, low + 1.0)


def _colour(stated: Any, number: int) -> str:
    """The colour of a file, or one of ours where it states none, or white, which many programs write for none."""
    if stated is None or min(stated) == max(stated):
        return COLOURS[number % len(COLOURS)]
    return "#" + "".join(f"{int(part):02x}" for part in stated)


def _grid(image: Image, factors: tuple[int, int], part: Part, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Sizes and units of the coarsest grid, and the part of it; None where unknown."""
    um, metadata = image.spacing_um, image.metadata
    y_um, x_um = (None if um.get(axis) is None else um[axis] * factor for axis, factor in zip("YX", factors, strict=True))
    times, interval = metadata.get("times_s"), metadata.get("interval_s")
    seconds: list[float | None] = [None] * sizes["T"]
    if times and len(times) == sizes["T"]:
        seconds = [float(s) if s is not None and np.isfinite(s) else None for s in times]
    elif interval:
        seconds = [interval * t for t in range(sizes["T"])]
    z_um = um.get("Z")
    return {
        "sizes": dict(sizes),
        "height": part.height,
        "width": part.width,
        "corner": [part.rows[0], part.columns[0]],
        "um": {"y": y_um, "x": x_um, "z": z_um},
        "times": [{"number": t + 1, "s": seconds[t]} for t in part.times],
        "planes": [{"number": z + 1, "um": None if z_um is None else z * z_um} for z in part.planes],
        "top": TOP,
    }
