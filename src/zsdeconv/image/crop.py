"""Parts of images."""

from __future__ import annotations

import re
from dataclasses import replace

from zsdeconv.errors import ConfigError
from zsdeconv.image.image import Image


def crop_ranges(text: str) -> dict[str, tuple[int, int | None]]:
    """First pixel and the one after the last along each axis of a crop, None for the end of the axis.

    Ranges have commas between them and the letter of their axis in front, T, Z, Y or X; two without a letter are those of Y and X.

    Raises `ConfigError` for other texts and for empty ranges.

    >>> crop_ranges("0:256,100:300")
    {'Y': (0, 256), 'X': (100, 300)}
    >>> crop_ranges("T:5,Y64:")
    {'T': (0, 5), 'Y': (64, None)}
    """
    parts = [re.fullmatch(r"([TZYX]?)(\d*):(\d*)", part.strip().upper()) for part in text.split(",")]
    found = [match for match in parts if match is not None]
    bare = [match for match in found if not match[1]]
    letters = [match[1] for match in found if match[1]] + (["Y", "X"] if bare else [])
    if len(found) < len(parts) or len(bare) not in (0, 2) or len(set(letters)) < len(letters):
        raise ConfigError(f"`crop` {text}: it has the form Y0:Y1,X0:X1; give for example `crop=0:256,0:256` or T0:5,Z3:20,Y0:256,X0:256")
    order = iter("YX")
    ranges = {match[1] or next(order): (int(match[2] or 0), int(match[3]) if match[3] else None) for match in found}
    for axis, (start, stop) in ranges.items():
        if stop is not None and stop <= start:
            raise ConfigError(
                f"`crop` {start}:{stop} along {axis}: no pixel is in it, the second number must be larger; give another `crop`"
            )
    return ranges


def cropped(image: Image, text: str | None) -> Image:
    """The part of an image that a crop describes, which its metadata keep; an image that is this part already, or None, stays as it is.

    Raises `ConfigError` where the image has no such axis, or the part does not lie within it.

    >>> import numpy as np
    >>> part = cropped(Image(np.arange(63.0).reshape(7, 9), "YX"), "2:5,3:4")
    >>> part.data.tolist()
    [[21.0], [30.0], [39.0]]
    >>> cropped(part, "2:5,3:4") is part
    True
    """
    if text is None or image.metadata.get("crop") == text:
        return image
    window = [slice(None)] * len(image.axes)
    for axis, (start, stop) in crop_ranges(text).items():
        size = image.sizes.get(axis)
        name = image.metadata.get("name", "image")
        if size is None:
            raise ConfigError(f"{name}: `crop` along {axis}, the axes are {image.axes}; leave {axis} out of `crop`, or give `axes`")
        if start >= size or (stop or size) > size:
            given = f"{start}:{'' if stop is None else stop}"
            raise ConfigError(f"{name}: `crop` {given} along {axis}, there are {size} pixels (0:{size}); give a smaller `crop`")
        window[image.axes.index(axis)] = slice(start, stop)
    return replace(image, data=image.data[tuple(window)], metadata={**image.metadata, "crop": text})
