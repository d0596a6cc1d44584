"""Images of several channels, and what their metadata say of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zsdeconv.image.image import SPATIAL_AXES, Image

PER_CHANNEL = ("channels", "colours", "emission_nm", "excitation_nm", "exposure_s", "pinholes_au")
"""Metadata that are lists with an entry for each channel."""
CHANNEL_OPTICS = {"wavelength_nm": "emission_nm", "excitation_nm": "excitation_nm", "pinhole_au": "pinholes_au"}
"""Entries of the optics that each channel has for itself, by the lists that hold them; without a list one pinhole is that of all."""


def channel_names(image: Image) -> list[str]:
    """Names of the channels, those of the file where it has one for each, and different from each other.

    >>> channel_names(Image(np.zeros((3, 2, 2)), "CYX", metadata={"channels": ["DAPI", "GFP", "GFP"]}))
    ['DAPI', 'GFP', 'GFP 3']
    """
    count = image.sizes.get("C", 1)
    given = [str(name).strip() for name in image.metadata.get("channels", ())]
    given = given if len(given) == count else [""] * count
    names: list[str] = []
    for number, name in enumerate(given, 1):
        unique = name or f"channel {number}"
        names.append(f"{unique} {number}" if unique in names else unique)
    return names


def channel_of(image: Image, number: int) -> Image:
    """One channel of an image, counted from 0, with what the metadata say about it."""
    metadata = dict(image.metadata)
    for key in PER_CHANNEL:
        values = list(metadata.pop(key, ()))
        if number < len(values) and values[number] is not None:
            metadata[key] = [values[number]]
    optics = dict(metadata.get("optics", {}))
    for name, key in CHANNEL_OPTICS.items():
        if name != "pinhole_au" or key in image.metadata:
            optics.pop(name, None)
        if key in metadata:
            optics[name] = metadata[key][0]
    if optics or "optics" in metadata:
        metadata["optics"] = optics
    axis = image.axes.index("C")
    return replace(image, data=np.take(image.data, number, axis), axes=image.axes.replace("C", ""), metadata=metadata)


def merged_channels(images: Sequence[Image], metadata: Mapping[str, Any]) -> Image:
    """Images of one channel each as one image, with C in front of the spatial axes, and the metadata given.

    >>> merged_channels([Image(np.zeros((4, 3, 2)), "TYX")] * 2, {}).sizes
    {'T': 4, 'C': 2, 'Y': 3, 'X': 2}
    """
    first = images[0]
    at = min(first.axes.index(axis) for axis in SPATIAL_AXES if axis in first.axes)
    data = np.stack([image.data for image in images], at)
    return replace(first, data=data, axes=f"{first.axes[:at]}C{first.axes[at:]}", metadata=metadata)
