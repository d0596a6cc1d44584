"""Atomic writing: a result appears under its name only when it is complete on disk."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from zsdeconv.errors import OutputError

_FULL_ERRNOS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS}
_FAILED_ERRNOS = {errno.EIO, errno.EFBIG, errno.ENAMETOOLONG, errno.ENOTDIR}
_NAME_TAIL = 24
"""Characters of the final name in a temporary one. Chosen: the longest ending, and with the prefix shorter than any file system allows."""


@contextlib.contextmanager
def atomic_path(final: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `final`, renamed to `final` when the block ends without an error.

    The temporary file lies in the same folder (created when missing) and keeps the extension. It is flushed to the disk (fsync) before
    the atomic rename (`os.replace`), and removed after any failure or interruption: no incomplete file exists under `final`.

    A link under the name `final` is never replaced, nor written through: both would surprise somebody.

    Raises `OutputError` when `final` exists and `overwrite` is false or is a link, when the folder cannot be written, and when the disk
    is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "note.txt")) as temporary:
    ...         written = temporary.write_text("whole")
    ...     Path(folder, "note.txt").read_text()
    'whole'
    """
    path = Path(final)
    refuse_existing(path, overwrite)
    temporary = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name[-_NAME_TAIL:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        _flush(temporary)
        refuse_existing(path, overwrite)  # it may have appeared while the data were written
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise _explained(error, path, temporary) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_link(path: Path) -> None:
    """Raise `OutputError` for a result whose name is that of a link, wherever it leads."""
    if path.is_symlink():
        raise OutputError(f"{path}: is a link to {os.readlink(path)}, and links are not replaced; remove it, or choose another output")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise `OutputError` for the name of a result that is a folder or a link, or a file that is not to be replaced."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, a file name is needed; choose another output")
    refuse_link(path)
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path}: exists, and existing results are kept; give `overwrite`, or another output")


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened (Windows does not)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explained(error: OSError, path: Path, temporary: Path) -> Exception:
    """An `OutputError` when the fault concerns this output, else the error itself."""
    ours = error.filename is None or Path(error.filename) in {temporary, path, *path.parents}
    if error.errno in _FULL_ERRNOS or error.errno is None:  # numpy reports a short write without a number
        return OutputError(f"{path}: disk full{_space_left(path)}; free some space, or choose another output")
    if ours and error.errno in _FORBIDDEN_ERRNOS:
        return OutputError(f"{path}: the folder {path.parent} cannot be written ({error.strerror}); choose another output")
    if ours and (error.errno in _FAILED_ERRNOS or isinstance(error, FileExistsError)):
        return OutputError(f"{path}: cannot be written ({error.strerror}); choose another output")
    return error


def _space_left(path: Path) -> str:
    with contextlib.suppress(OSError):
        return f", {shutil.disk_usage(path.parent).free / 1e6:.0f} MB left"
    return ""
