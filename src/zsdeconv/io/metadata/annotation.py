"""What this package notes in the OME-XML of its files, where that has no element for it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np

ANNOTATION_NAMESPACE = "zsdeconv/provenance"
"""Namespace of the OME MapAnnotation with the values that OME-XML has no element for."""


def read_annotation(root: ElementTree.Element) -> dict[str, Any]:
    """The annotation of this package in OME-XML: `axes`, `offset` and `provenance` of a written image; empty when missing."""
    for node in root.iterfind(f".//{{*}}MapAnnotation[@Namespace='{ANNOTATION_NAMESPACE}']"):
        with contextlib.suppress(json.JSONDecodeError):
            return {m.get("K", ""): json.loads(m.text or "null") for m in node.iterfind(".//{*}M")}
    return {}


def plain(value: Any) -> Any:
    """Arrays, mappings and paths as values that JSON can hold. Raises `TypeError` for others.

    >>> json.dumps({"axes": np.arange(2)}, default=plain)
    '{"axes": [0, 1]}'
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"provenance cannot hold a {type(value).__name__}")
