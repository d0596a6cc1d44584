"""Movies of a file for each frame."""

import warnings

import numpy as np
import pytest
import tifffile

from zsdeconv.errors import DataWarning, ImageError
from zsdeconv.image import Image
from zsdeconv.io import images_in, read, read_movie


@pytest.fixture
def frames(tmp_path):
    """Frames 1, 2, 9, 10 of 11 x 13 pixels, each of the value of its number."""
    folder = tmp_path / "cells.v2"
    folder.mkdir()
    for number in (10, 9, 2, 1):
        tifffile.imwrite(folder / f"frame{number}.tif", np.full((11, 13), number, np.uint8), photometric="minisblack")
    return folder


def test_frames_come_in_natural_order(frames):
    (frames / "notes.txt").write_text("a note")
    (frames / ".frame0.tif").write_text("of a file manager")
    (frames / "old.tif").mkdir()
    paths = images_in(frames)
    assert [path.name for path in paths] == ["frame1.tif", "frame2.tif", "frame9.tif", "frame10.tif"]
    movie = read_movie(paths, name="cells", read=read)
    assert movie.sizes == {"T": 4, "Y": 11, "X": 13} and movie.data.dtype == np.uint8
    assert movie.data[:, 3, 4].tolist() == [1, 2, 9, 10]
    assert movie.metadata["name"] == "cells"


def test_a_damaged_frame_is_told_and_not_left_out(frames):
    (frames / "frame3.tif").write_bytes(b"")
    with pytest.raises(ImageError, match=r"frame3\.tif"):
        read_movie(images_in(frames), name="cells", read=read)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("a note")
    with pytest.raises(ImageError, match="1 files, no image"):
        images_in(tmp_path)


@pytest.mark.parametrize(
    ("data", "um", "words"),
    [
        (np.zeros((11, 14), np.uint8), 0.1, "size 11 x 14, unlike the 11 x 13 of f0"),
        (np.zeros((11, 13), np.uint16), 0.1, "type uint16, unlike the uint8 of f0"),
        (np.zeros((11, 13), np.uint8), 0.11, "pixel size 0.11 um along Y, unlike the 0.1 um of f0"),
        (np.zeros((3, 11, 13), np.uint8), 0.1, "axes ZYX, unlike the YX of f0"),
    ],
)
def test_frames_that_differ_are_refused_by_name(data, um, words):
    def made(path):
        if path.name < "f3":
            return Image(np.zeros((11, 13), np.uint8), "YX", {"Y": 0.1, "X": 0.1})
        return Image(data, "ZYX"[-data.ndim :], {"Y": um, "X": um})

    with pytest.raises(ImageError) as met:
        read_movie([f"f{number}" for number in range(5)], name="cells", read=made)
    assert str(met.value).startswith(f"f3: {words}")


def test_stacks_become_a_movie_of_stacks_and_movies_none():
    stack = Image(np.zeros((1, 4, 11, 13)), "TZYX")
    assert read_movie(["a", "b"], name="cells", read=lambda path: stack).sizes == {"T": 2, "Z": 4, "Y": 11, "X": 13}
    movie = Image(np.zeros((3, 11, 13)), "TYX")
    with pytest.raises(ImageError, match="b: 3 times"):
        read_movie(["a", "b"], name="cells", read=lambda path: movie if path.name == "b" else replaced(movie))


def replaced(movie):
    return Image(movie.data[:1], "TYX")


def test_what_every_frame_warns_of_is_told_once():
    def warning(path):
        warnings.warn(f"{path.name}: no pixel size", DataWarning, stacklevel=2)
        return Image(np.zeros((9, 9)), "YX")

    with pytest.warns(DataWarning) as met:
        read_movie(["a.tif", "b.tif", "c.tif"], name="cells", read=warning)
    assert [str(each.message) for each in met] == ["cells: no pixel size"]


def test_a_movie_larger_than_the_memory_is_refused_after_its_first_frame(monkeypatch):
    monkeypatch.setattr("zsdeconv.io.memory.machine_bytes", lambda: 5000.0)
    read_first = iter([Image(np.zeros((20, 20)), "YX")])
    with pytest.raises(ImageError, match="cells: reading it takes"):
        read_movie(["a", "b", "c"], name="cells", read=lambda path: next(read_first))
