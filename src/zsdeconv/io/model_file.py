"""The model file: one `.zsd` file with everything needed to predict, and nothing that could run.

A `.zsd` file is a safetensors file: eight bytes with the length of a JSON table, the table, the raw numbers. Its metadata
hold one entry, `zsdeconv_model`: a JSON object with the version of this format, the project's own header (configuration,
calibration, provenance) and a SHA-256 over that header and all tensors. Reading parses numbers and JSON only; no pickle is
ever opened.
"""

from __future__ import annotations

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
FORMAT_VERSION = 1
"""Of the container; the schema of its header has a version of its own (`zsdeconv.model_io`)."""
MAX_HEADER_BYTES = 16 * 2**20
"""Chosen: a thousand times the header of a large model; a longer one is an attack or damage."""
MAX_FILE_BYTES = 4 * 2**30
"""Chosen: twenty times the largest published network."""
MAX_DIMENSIONS = 8
"""Chosen: a tensor of any network here has at most five."""

_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes per number of each type of the safetensors format."""
_ADVICE = "give a .zsd file written by `zsdeconv train` or `zsdeconv run`, or train again"


def save_model(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write `tensors` and the JSON-able `header` to one `.zsd` file, atomically.

    `header` must name the "modality" (str) and the spatial "rank" (int) that the weights were made for; all else in it
    is free. Tensors are stored contiguous, from whatever device they are on, in their own dtype.

    Raises `OutputError` when the file exists (without `overwrite`) or cannot be written; `ValueError` or `TypeError` when
    `header` is not JSON (a NaN is not) or `tensors` hold what `load_model` would refuse.

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
        raise ValueError(f"not a model that could be read again: {fault}")
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    record = {"format_version": FORMAT_VERSION, "sha256": _checksum(text, stored), "header": text}
    with atomic_path(path, overwrite) as temporary:
        # One entry only: safetensors writes several in an order that differs from run to run.
        temporary.write_bytes(save(stored, {METADATA_KEY: json.dumps(record)}))
    return Path(path)


def load_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and header of a `.zsd` file; no code in the file can run.

    Raises `ModelError` for anything but an intact model of a format version this program knows: pickles and archives,
    truncated or altered files, tables that claim more than the file holds, and weights that are not finite.
    Whether rank and modality fit an image is for the caller to say.
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


def read_header(path: str | Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Header and tensor shapes of a `.zsd` file, without reading the weights (and without importing torch).

    The checksum is not verified. Raises `ModelError` as `load_model` does for what can be seen from the table.
    """
    path = Path(path)
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        raw = start + file.read(min(int.from_bytes(start, "little"), MAX_HEADER_BYTES))
    table, _, header = _parse_table(path, raw, size)
    return header, {name: entry["shape"] for name, entry in table.items()}


def _opened(path: Path) -> BinaryIO:
    """The file opened for reading, refusing folders, pipes and devices."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            _refuse(path, "it is not a regular file")
        return path.open("rb")
    except OSError as fault:
        raise ModelError(f"model {path}: {fault.strerror or fault}; check the path, or {_ADVICE}") from fault


def _read_bytes(path: Path, limit: int) -> bytes:
    """All bytes of a file no larger than `limit`."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            _refuse(path, f"it has {size} bytes, more than the {limit} that a model may have")
        return file.read()


def _parse_table(path: Path, raw: bytes, size: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Tensor table, our record and the header in it, from the first bytes of a file of `size` bytes."""
    # A table whose length happens to begin like a pickle is still a table: only what no brace follows is not.
    if raw[8:9] != b"{" and (raw[:2] == b"PK" or raw[:1] == b"\x80"):
        _refuse(path, "it is a pickle or an archive (a .pt or .pth file?), which could run code when loaded and is never opened")
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > size - 8:
        _refuse(path, f"its {size} bytes are fewer than it announces: truncated, or not a model")
    if length > MAX_HEADER_BYTES:
        _refuse(path, f"its table has {length} bytes, more than the {MAX_HEADER_BYTES} that a model may have")
    table = _json_object(path, raw[8 : 8 + length], "its table")
    record = _record(path, table.pop("__metadata__", None))
    _check_entries(path, table, size - 8 - length)
    header = _json_object(path, record["header"], "its header")
    if fault := _header_fault(header):
        _refuse(path, fault)
    return table, record, header


def _json_object(path: Path, text: bytes | str, what: str) -> dict[str, Any]:
    """A strict JSON object; anything else, nesting bombs included, is refused."""

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
    """Our entry in the metadata: first the version (a newer format may differ in all else), then the texts we need."""
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        _refuse(path, "it is a safetensors file without the record of a zsdeconv model")
    record = _json_object(path, text, "its record")
    version = record.get("format_version")
    if type(version) is not int or not 0 < version < 10**6:
        _refuse(path, f"its format version {str(version)[:20]!r} never existed")
    if version > FORMAT_VERSION:
        raise ModelError(f"model {path}: format version {version}, this program reads up to {FORMAT_VERSION}; update zsdeconv")
    if not all(isinstance(record.get(key), str) for key in ("header", "sha256")):
        _refuse(path, "its header or its checksum is missing")
    return record


def _check_entries(path: Path, table: Mapping[str, Any], data_bytes: int) -> None:
    """Every tensor has a known dtype and a shape whose bytes are inside the file; together they fill it."""
    total = 0
    for name, entry in table.items():
        item_bytes, shape, (start, end) = _entry(path, name, entry)
        size = math.prod(shape) * item_bytes
        if end - start != size or end > data_bytes:
            _refuse(path, f"its tensor {name[:40]!r} of shape {shape} does not fit the file: truncated, or altered")
        total += size
    if total != data_bytes:
        _refuse(path, f"its tensors have {total} bytes, the file holds {data_bytes}: truncated, or altered")


def _entry(path: Path, name: str, entry: Any) -> tuple[int, list[int], list[int]]:
    """Bytes per number, shape, and first and last byte of one tensor."""
    if not isinstance(entry, dict):
        entry = {}
    item_bytes = _ITEM_BYTES.get(str(entry.get("dtype")))
    shape, span = _sizes(entry.get("shape"), 1), _sizes(entry.get("data_offsets"), 0)
    if item_bytes is None or shape is None or span is None or len(shape) > MAX_DIMENSIONS or len(span) != 2:
        _refuse(path, f"its tensor {name[:40]!r} has an impossible type or shape")
    return item_bytes, shape, span


def _sizes(value: Any, least: int) -> list[int] | None:
    """`value` if it is a list of integers of at least `least` and small enough for any address space."""
    return value if isinstance(value, list) and all(type(v) is int and least <= v < 2**48 for v in value) else None


def _header_fault(header: Mapping[str, Any]) -> str | None:
    """What is wrong with the project's own header, or None."""
    for key, kind in (("modality", str), ("rank", int)):
        if type(header.get(key)) is not kind:
            return f"its header has no {key!r} of type {kind.__name__}"
    return None


def _tensor_fault(tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the numbers, or None."""
    for name, tensor in tensors.items():
        if tensor.numel() == 0:
            return f"its tensor {name!r} is empty"
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return f"its tensor {name!r} holds NaN or infinite weights"
    return None


def _checksum(header: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the header and over name, dtype, shape and bytes of every tensor, in order of name."""
    import torch

    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name}\n{tensor.dtype}\n{list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse(path: Path, why: str) -> NoReturn:
    raise ModelError(f"model {path}: {why}; {_ADVICE}")
