"""The model file: one `.zsd` file with all data needed for a prediction and without executable code.

A `.zsd` file is a safetensors file: eight bytes with the length of a JSON table, the table, the raw numbers. Its metadata contain one
entry, `zsdeconv_model`: a JSON object with the version of this format, the header of this project (configuration, calibration,
provenance) and a SHA-256 checksum of that header and all tensors. Reading parses numbers and JSON only; pickles are never opened.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from zsdeconv.errors import ModelError
from zsdeconv.io.atomic import atomic_path

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "zsdeconv_model"
"""Name of the entry of this project in the metadata of a safetensors file."""
FORMAT_VERSION = 1
"""Version of the container, the first. The schema of its header has a version of its own (`zsdeconv.model_io`)."""
MAX_HEADER_BYTES = 16 * 2**20
"""Longest table. Chosen: a thousand times the table of a typical model (13 kB); a longer one is damaged or malicious."""
MAX_FILE_BYTES = 4 * 2**30
"""Largest file. Chosen: more than twenty times the largest single network, a U-Net in three dimensions (156 MB)."""
MAX_DIMENSIONS = 8
"""Most dimensions of a tensor. Chosen: above the five of a three-dimensional convolution."""

_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Law: bytes per number of each type of the safetensors format."""
_ADVICE = "give a .zsd file written by `zsdeconv train` or `zsdeconv run`, or train again"


def save_model(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write tensors and a header to one `.zsd` file, atomically.

    Parameters
    ----------
    path
        Name of the file.
    tensors
        Weights on any device, stored contiguously in their own number type.
    header
        Values for JSON, among them "modality" (str) and "rank" (int, number of spatial axes).
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    OutputError
        When the file exists and `overwrite` is false, or cannot be written.
    ValueError, TypeError
        When the header is not valid JSON (NaN is not), or `load_model` would refuse the tensors.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_model(f"{folder}/a.zsd", {"w": torch.ones(2, 3)}, {"modality": "2d", "rank": 2})
    ...     tensors, header = load_model(path)
    >>> tensors["w"].shape, header
    (torch.Size([2, 3]), {'modality': '2d', 'rank': 2})
    """
    from safetensors.torch import save

    text = json.dumps(dict(header), allow_nan=False)
    fault = _header_fault(json.loads(text)) or _tensor_fault(tensors)
    if fault:
        raise ValueError(f"the model could not be read again: {fault}")
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    record = {"format_version": FORMAT_VERSION, "sha256": _checksum(text, stored), "header": text}
    with atomic_path(path, overwrite) as temporary:
        # One entry only: safetensors writes several entries in an order that differs between runs.
        temporary.write_bytes(save(stored, {METADATA_KEY: json.dumps(record)}))
    return Path(path)


def load_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and header of a `.zsd` file. No code in the file is executed.

    Raises `ModelError` for pickles and archives, truncated or altered files, inconsistent tables, weights that are not finite, and newer
    versions of the format. The caller checks that rank and modality fit the image.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    raw = _read_bytes(path, MAX_FILE_BYTES)
    _, record, header = _parse_table(path, raw, len(raw))
    try:
        tensors = load(raw)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as fault:
        _refuse(path, f"its tensors cannot be read ({type(fault).__name__})")
    if record["sha256"] != _checksum(record["header"], tensors):
        _refuse(path, "its checksum does not match its content, so it was altered or damaged")
    if fault := _tensor_fault(tensors):
        _refuse(path, fault)
    return tensors, header


def forget(checkpoint: str | Path) -> None:
    """Remove the file from which an interrupted training continues, with those of its channels."""
    path = Path(checkpoint)
    for each in (path, *path.parent.glob(f"{glob.escape(path.stem)}_channel*{path.suffix}")):
        each.unlink(missing_ok=True)


def read_header(path: str | Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Header and tensor shapes of a `.zsd` file, without reading the weights (and without importing torch).

    The checksum is not verified. Raises `ModelError` as `load_model` does, for faults of the table and the header.
    """
    path = Path(path)
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        raw = start + file.read(min(int.from_bytes(start, "little"), MAX_HEADER_BYTES))
    table, _, header = _parse_table(path, raw, size)
    return header, {name: entry["shape"] for name, entry in table.items()}


def _opened(path: Path) -> BinaryIO:
    """The file opened for reading. Raises `ModelError` for folders, pipes and devices."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            _refuse(path, "it is not a regular file")
        return path.open("rb")
    except OSError as fault:
        raise ModelError(f"model {path}: {fault.strerror or fault}; check the path, or {_ADVICE}") from fault


def _read_bytes(path: Path, limit: int) -> bytes:
    """All bytes of a file of at most `limit` bytes."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            _refuse(path, f"it has {size} bytes, the limit is {limit}")
        return file.read()


def _parse_table(path: Path, raw: bytes, size: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Table of the tensors, record of this project and the header in it, from the first bytes of a file of `size` bytes."""
    # The length of a valid table can begin with the same bytes as a pickle; the brace after the length distinguishes them.
    if raw[8:9] != b"{" and (raw[:2] == b"PK" or raw[:1] == b"\x80"):
        _refuse(path, "it is a pickle or an archive (a .pt or .pth file?), which can run code when loaded and is never opened")
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > size - 8:
        _refuse(path, f"it has {size} bytes, fewer than its table announces: truncated, or not a model")
    if length > MAX_HEADER_BYTES:
        _refuse(path, f"its table has {length} bytes, the limit is {MAX_HEADER_BYTES}")
    table = _json_object(path, raw[8 : 8 + length], "its table")
    record = _record(path, table.pop("__metadata__", None))
    _check_entries(path, table, size - 8 - length)
    header = _json_object(path, record["header"], "its header")
    if fault := _header_fault(header):
        _refuse(path, fault)
    return table, record, header


def _json_object(path: Path, text: bytes | str, what: str) -> dict[str, Any]:
    """A strict JSON object. Raises `ModelError` for all other texts, excessive nesting included."""

    def no_constant(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        value = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(path, f"{what} is not a JSON object: damaged, or not a model")
    return value


def _record(path: Path, metadata: Any) -> dict[str, Any]:
    """The entry of this project in the metadata. The version is checked first, because a newer format may differ in all other fields."""
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        _refuse(path, "it is a safetensors file of another program, without the record of a zsdeconv model")
    record = _json_object(path, text, "its record")
    version = record.get("format_version")
    if type(version) is not int or not 0 < version < 10**6:
        _refuse(path, f"its format version {str(version)[:20]!r} does not exist")
    if version > FORMAT_VERSION:
        raise ModelError(f"model {path}: format version {version}, this program reads up to {FORMAT_VERSION}; update zsdeconv")
    if not all(isinstance(record.get(key), str) for key in ("header", "sha256")):
        _refuse(path, "its header or its checksum is missing")
    return record


def _check_entries(path: Path, table: Mapping[str, Any], data_bytes: int) -> None:
    """Raise `ModelError` unless each tensor has a known number type and lies inside the file, and all tensors together fill it."""
    total = 0
    for name, entry in table.items():
        item_bytes, shape, (start, end) = _entry(path, name, entry)
        size = math.prod(shape) * item_bytes
        if end - start != size or end > data_bytes:
            _refuse(path, f"its tensor {name[:40]!r} of shape {shape} does not fit the file: truncated, or altered")
        total += size
    if total != data_bytes:
        _refuse(path, f"its tensors have {total} bytes, the file contains {data_bytes}: truncated, or altered")


def _entry(path: Path, name: str, entry: Any) -> tuple[int, list[int], list[int]]:
    """Bytes per number, shape, and range of bytes of one tensor."""
    if not isinstance(entry, dict):
        entry = {}
    item_bytes = _ITEM_BYTES.get(str(entry.get("dtype")))
    shape, span = _sizes(entry.get("shape"), 1), _sizes(entry.get("data_offsets"), 0)
    if item_bytes is None or shape is None or span is None or len(shape) > MAX_DIMENSIONS or len(span) != 2:
        _refuse(path, f"its tensor {name[:40]!r} has an invalid type or shape")
    return item_bytes, shape, span


def _sizes(value: Any, least: int) -> list[int] | None:
    """`value` if it is a list of integers from `least` to 2^48, the address space of current processors; None otherwise."""
    return value if isinstance(value, list) and all(type(v) is int and least <= v < 2**48 for v in value) else None


def _header_fault(header: Mapping[str, Any]) -> str | None:
    """The fault of the header, or None."""
    for key, kind in (("modality", str), ("rank", int)):
        if type(header.get(key)) is not kind:
            return f"its header has no {key!r} of type {kind.__name__}"
    return None


def _tensor_fault(tensors: Mapping[str, Tensor]) -> str | None:
    """The fault of the tensors, or None."""
    for name, tensor in tensors.items():
        if tensor.numel() == 0:
            return f"its tensor {name!r} is empty"
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return f"its tensor {name!r} holds NaN or infinite weights"
    return None


def _checksum(header: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the header and of name, number type, shape and bytes of each tensor, ordered by name."""
    import torch

    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name}\n{tensor.dtype}\n{list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse(path: Path, why: str) -> NoReturn:
    raise ModelError(f"model {path}: {why}; {_ADVICE}")
