"""A format is one row of the table: files and folders alike."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zsdeconv.errors import ImageError
from zsdeconv.io import read, read_provenance, readers
from zsdeconv.io.metadata.statements import Statements
from zsdeconv.io.readers import READERS, Reader, reader_of
from zsdeconv.io.source import FileSource, Source


def is_pages(path: Path, head: bytes) -> bool:
    return path.is_dir() and path.suffix == ".pages" and not head


def pages_scenes(path: Path) -> list[Source]:
    files = sorted(path.glob("*.npy"))
    first = np.load(files[0])
    said = Statements()
    said.add("pages", y_um=0.1, x_um=0.1)

    def load(region):
        return np.stack([np.load(file) for file in files])[region]

    return [FileSource("pages", "ZYX", (len(files), *first.shape), first.dtype, load, said)]


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """A folder of three planes, and a table of formats that knows such folders."""
    folder = tmp_path / "cell.pages"
    folder.mkdir()
    for number in range(3):
        np.save(folder / f"{number}.npy", np.full((9, 11), number, np.uint16))
    monkeypatch.setattr(readers, "READERS", [*READERS, Reader(("PAGES",), is_pages, pages_scenes)])
    return folder


def test_a_folder_is_an_image_where_a_reader_recognises_it(pages):
    image = read(pages, pixel_um=0.065)
    assert image.sizes == {"Z": 3, "Y": 9, "X": 11}
    assert image.spacing_um == {"Y": 0.065, "X": 0.065}
    assert image.data[:, 0, 0].tolist() == [0, 1, 2]
    assert read_provenance(pages) == {}


def test_other_folders_and_files_are_refused_as_before(pages, tmp_path):
    with pytest.raises(ImageError, match="is a folder, an image file is needed; give the files in it"):
        read(tmp_path)
    with pytest.raises(ImageError, match="is a folder"):
        read_provenance(tmp_path)
    (tmp_path / "note.txt").write_text("no image")
    assert reader_of(tmp_path / "note.txt") is None
    assert read_provenance(tmp_path / "note.txt") == {}
    with pytest.raises(ImageError, match=r"note.txt: not an image, readable are NDTiff, TIFF, CZI, ND2, .*, MRC, DV and PAGES; export"):
        read(tmp_path / "note.txt")


PACKAGES = ["tifffile", "mrcfile", "imagecodecs", "h5py", "nd2", "pylibCZIrw", "liffile", "oiffile", "zarr", "yaozarrs", "dask"]
HEADS = {
    "CZI": ("a.czi", b"ZISRAWFILE"),
    "ND2": ("a.nd2", b"\xda\xce\xbe\x0a"),
    "LIF": ("a.lif", b"p\0\0\0\x05\0\0\0*"),
    "OIB": ("a.oib", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    "OIF": ("a.oif", b"\xff\xfe[\0"),
    "IMS": ("a.ims", b"\x89HDF\r\n\x1a\n"),
    "HDF5": ("a.h5", b"\x89HDF\r\n\x1a\n"),
    "PNG": ("a.png", b"\x89PNG\r\n\x1a\n"),
    "NPY": ("a.npy", b"\x93NUMPY"),
    "TIFF": ("a.tif", b"II*\0"),
}
"""A name and the first bytes of a file of each format."""
EXTRAS = {reader.package: reader for reader in READERS if reader.package}


def test_the_packages_of_a_format_are_imported_with_its_first_file():
    code = f"import sys, zsdeconv.io; print([name for name in {PACKAGES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def example(folder: Path, name: str, tail: bytes) -> Path:
    """The beginning of a file of this format, followed by something else; of OME-Zarr a folder."""
    if name == "OME-Zarr":
        (folder / "a.zarr").mkdir()
        (folder / "a.zarr" / "zarr.json").write_bytes(b"{" + tail)
        return folder / "a.zarr"
    path = folder / HEADS[name][0]
    path.write_bytes(HEADS[name][1] + tail)
    return path


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_package_is_told(package, tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    path = example(tmp_path, EXTRAS[package].formats[0], bytes(2000))
    told = rf"^{path.name}: {' or '.join(EXTRAS[package].formats)} is read with the package {package}, which is not installed; "
    with pytest.raises(ImageError, match=told + re.escape("pip install 'zsdeconv[formats]'")):
        read(path)


@pytest.mark.parametrize("tail", [b"", b"\0", bytes(3000), bytes(range(1, 256)) * 20], ids=["nothing", "a byte", "zeros", "noise"])
@pytest.mark.parametrize("name", [*HEADS, "OME-Zarr"])
def test_broken_files_are_refused_in_one_line(name, tail, tmp_path):
    path = example(tmp_path, name, tail)
    with pytest.raises(ImageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path.name}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.lif", "a.tif", "a.xyz"])
def test_a_pointer_in_place_of_a_file_is_named(tmp_path, name):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (tmp_path / name).write_text(pointer)
    told = rf"{name}: a Git LFS pointer \({len(pointer)} bytes\), not the file itself; fetch the real file \(git lfs pull\)"
    with pytest.raises(ImageError, match=told):
        read(tmp_path / name)
