"""A format is one row of the table: files and folders alike."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zsdeconv.errors import ImageError
from zsdeconv.image import Image
from zsdeconv.io import read, read_provenance, readers
from zsdeconv.io.assemble import Options, assemble
from zsdeconv.io.readers import READERS, Reader, reader_of


def is_pages(path: Path, head: bytes) -> bool:
    return path.is_dir() and path.suffix == ".pages" and not head


def read_pages(path: Path, options: Options) -> Image:
    data = np.stack([np.load(page) for page in sorted(path.glob("*.npy"))])
    return assemble(path.name, data, "ZYX", {"Y": 0.1, "X": 0.1}, {"format": "pages"}, options)


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """A folder of three planes, and a table of formats that knows such folders."""
    folder = tmp_path / "cell.pages"
    folder.mkdir()
    for number in range(3):
        np.save(folder / f"{number}.npy", np.full((9, 11), number, np.uint16))
    monkeypatch.setattr(readers, "READERS", [*READERS, Reader(("PAGES",), is_pages, read_pages)])
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
    with pytest.raises(ImageError, match=r"note.txt: not an image, readable are TIFF, MRC, DV and PAGES; export"):
        read(tmp_path / "note.txt")


def test_the_packages_of_a_format_are_imported_with_its_first_file():
    code = "import sys, zsdeconv.io; print([name for name in ('tifffile', 'mrcfile') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
