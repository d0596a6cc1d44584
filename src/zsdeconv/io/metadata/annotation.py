"""What this package notes in the OME-XML of its files, where that has no element for it."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from xml.etree import ElementTree

ANNOTATION_NAMESPACE = "zsdeconv/provenance"
"""Namespace of the OME MapAnnotation with the values that OME-XML has no element for."""


def read_annotation(root: ElementTree.Element) -> dict[str, Any]:
    """The annotation of this package in OME-XML: `axes`, `offset` and `provenance` of a written image; empty when missing."""
    for node in root.iterfind(f".//{{*}}MapAnnotation[@Namespace='{ANNOTATION_NAMESPACE}']"):
        with contextlib.suppress(json.JSONDecodeError):
            return {m.get("K", ""): json.loads(m.text or "null") for m in node.iterfind(".//{*}M")}
    return {}
