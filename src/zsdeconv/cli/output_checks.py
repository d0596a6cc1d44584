"""What is checked of the results of every verb before any work: that nothing of value is lost, and that they can be written.

No result is an input, whatever path, link or option leads there; existing files stay unless the user says otherwise; links are not
replaced; names fit the file system, which takes files in that folder and has the space.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsdeconv.errors import OutputError

if TYPE_CHECKING:
    from zsdeconv.config import Config

MAX_NAME_BYTES = 255
"""Longest name of a file. Law: that of common file systems, where the system does not tell."""
_ANOTHER = "choose another output with -o"


def check_outputs(outputs: Iterable[Path], *, inputs: Iterable[Path], overwrite: bool, hidden: Iterable[Path] = ()) -> None:
    """Raise `OutputError` for the first result that must not, or cannot, be written.

    Parameters
    ----------
    outputs
        Files that the verb is going to write.
    inputs
        Every file that it reads.
    overwrite
        Whether existing results are replaced.
    hidden
        Files that it writes on the way and removes.

    Raises
    ------
    OutputError
        With the file and what to do.
    """
    from zsdeconv.io.zarr_write import is_zarr_name, refuse_without_zarr

    results, passing = list(outputs), list(hidden)
    for folder in filter(is_zarr_name, results):
        refuse_without_zarr(folder)
    refuse_inputs([*results, *passing], inputs)
    refuse_existing(results, overwrite)
    refuse_unwritable([*results, *passing])


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise `OutputError` when a result would be written over an input: the same path, or by another path or a link the same file."""
    known = {identity: path for path in inputs for identity in _identities(path)}
    for output in outputs:
        met = next((known[identity] for identity in _identities(output) if identity in known), None)
        if met is not None:
            same = "" if str(met) == str(output) else f" ({met})"
            raise OutputError(f"{output}: is an input of this command{same}, which would be lost; {_ANOTHER}")


def refuse_inside(output: Path, inputs: Iterable[Path]) -> None:
    """Raise `OutputError` for results in a folder whose files are the inputs: the next run would take them for inputs."""
    for path in inputs:
        if path.is_dir() and _identities(path) & _identities(output):
            raise OutputError(f"{output}: is the folder of the inputs, results in it would be taken for inputs; {_ANOTHER}")


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise `OutputError` for the first result that is already there, is a link or a folder, or lies under a file."""
    from zsdeconv.io.atomic import refuse_link
    from zsdeconv.io.zarr_write import is_zarr_name, refuse_existing_folder

    for path in paths:
        refuse_link(path)
        if is_zarr_name(path):
            if path.exists() and overwrite:
                refuse_existing_folder(path, overwrite)
        elif path.is_dir():
            raise OutputError(f"{path}: is a folder, a file name is needed; {_ANOTHER}")
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists, and existing results are kept; give --overwrite, or another output with -o")
        ancestor = _existing(path.parent)
        if not ancestor.is_dir():
            raise OutputError(f"{ancestor}: is a file, a folder is needed; {_ANOTHER}")


def refuse_unwritable(paths: Sequence[Path]) -> None:
    """Raise `OutputError` where the file system does not take files of these names there: empty ones are tried, and removed."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    for folder, files in folders.items():
        ground = _existing(folder)
        for path in files:
            _refuse_long(path, ground)
        try:
            tried = Path(tempfile.mkdtemp(prefix=".partial-", dir=ground))
        except OSError as fault:
            raise OutputError(f"{ground}: no files can be made in it ({fault.strerror}); check its permissions, or {_ANOTHER}") from None
        try:
            _try_names(files, tried)
        finally:
            shutil.rmtree(tried, ignore_errors=True)


def refuse_full(folder: Path, needed_bytes: float) -> None:
    """Raise `OutputError` when the disk of a folder, which need not exist, has no room for so many bytes."""
    free = shutil.disk_usage(_existing(folder)).free
    if needed_bytes > free:
        sizes = f"the results take up to {needed_bytes / 1e9:.3g} GB, {free / 1e9:.3g} GB of the disk are free"
        raise OutputError(f"{folder}: {sizes}; free some, or {_ANOTHER}")


def files_of_settings(settings: Config) -> list[Path]:
    """The files that settings name: PSF, OTF, camera maps with their images, parameters of a pattern."""
    from zsdeconv.config import OPTIONS

    named: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        if option.setting.metavar.startswith("FILE"):
            value: Any = settings
            for part in option.key.split("."):
                value = getattr(value, part)
            named[name] = value
    camera = named.pop("camera", None)
    files = [file for value in named.values() if value is not None for file in (value if isinstance(value, tuple) else (value,))]
    return [*map(Path, files), *files_of_camera(camera)]


def files_of_camera(camera: str | Path | None) -> list[Path]:
    """A file of camera maps and the images that it names; nothing for None."""
    if camera is None:
        return []
    from zsdeconv.camera.maps import files_of

    return files_of(Path(camera))


def _identities(path: Path) -> set[object]:
    """What a file is known by: where the path really leads, and the number of the file on its device, where there is one."""
    found: set[object] = set()
    with contextlib.suppress(OSError, RuntimeError):  # loops of links lead nowhere
        found.add(os.path.normcase(path.resolve()))
    with contextlib.suppress(OSError):
        status = path.stat()
        found.add((status.st_dev, status.st_ino))
    return found


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)


def _refuse_long(path: Path, ground: Path) -> None:
    limit = MAX_NAME_BYTES
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limit = os.pathconf(ground, "PC_NAME_MAX")
    longest = max(path.parts, key=lambda part: len(os.fsencode(part)))
    if (length := len(os.fsencode(longest))) > limit:
        shown = longest if len(longest) <= 60 else f"{longest[:30]}...{longest[-25:]}"
        raise OutputError(f"{shown}: a name of {length} bytes, the file system takes {limit}; rename the input, or {_ANOTHER}")


def _try_names(files: Iterable[Path], folder: Path) -> None:
    met: dict[tuple[int, int], Path] = {}
    for path in files:
        try:
            (folder / path.name).touch()
            status = (folder / path.name).stat()
        except (OSError, ValueError) as fault:
            reason = getattr(fault, "strerror", None) or fault
            raise OutputError(f"{path.name}: not a name for a file here ({reason}); rename the input, or {_ANOTHER}") from None
        other = met.setdefault((status.st_dev, status.st_ino), path)
        if other != path:
            raise OutputError(f"{path.name} and {other.name}: one file for this file system; rename an input, or use two folders")
