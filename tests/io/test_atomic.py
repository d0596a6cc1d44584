import errno
import os
from pathlib import Path

import pytest

from zsdeconv.errors import OutputError
from zsdeconv.io.atomic import atomic_path


def test_whole_file_appears_with_its_ending_kept_for_writers_that_look_at_it(tmp_path):
    final = tmp_path / "new" / "folder" / "plot.ome.tif"
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"abc")
        assert temporary.name.endswith(".ome.tif")
        assert temporary.parent == final.parent
        assert not final.exists()
    assert final.read_bytes() == b"abc"
    assert os.listdir(final.parent) == ["plot.ome.tif"]


@pytest.mark.parametrize("failure", [RuntimeError("model diverged"), KeyboardInterrupt()])
def test_nothing_is_left_after_a_failure(tmp_path, failure):
    with pytest.raises(type(failure)), atomic_path(tmp_path / "a.tif") as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert os.listdir(tmp_path) == []


def test_existing_result_is_kept_unless_told(tmp_path):
    final = tmp_path / "a.tif"
    final.write_text("old")
    with pytest.raises(OutputError, match="`overwrite`"), atomic_path(final):
        pytest.fail("the block must not run")
    with pytest.raises(ValueError), atomic_path(final, overwrite=True):
        raise ValueError
    assert final.read_text() == "old"
    with atomic_path(final, overwrite=True) as temporary:
        temporary.write_text("new")
    assert final.read_text() == "new"


def test_result_of_somebody_else_that_appeared_meanwhile_is_kept(tmp_path):
    final = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="exists"), atomic_path(final) as temporary:
        temporary.write_text("ours")
        final.write_text("theirs")
    assert final.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a.tif"]


def test_folder_under_the_final_name(tmp_path):
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path / "a.tif", overwrite=True):
        pytest.fail("the block must not run")


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="choose another output"), atomic_path(tmp_path / "file" / "a.tif"):
        pytest.fail("the block must not run")
    assert os.listdir(tmp_path) == ["file"]


def test_disk_full_while_writing(tmp_path):
    with (
        pytest.raises(OutputError, match=r"disk full, \d+ MB left; free some space") as caught,
        atomic_path(tmp_path / "a.tif") as temporary,
    ):
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_disk_full_while_flushing(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk full"), atomic_path(tmp_path / "a.tif") as temporary:
        temporary.write_bytes(b"whole")
    assert os.listdir(tmp_path) == []


def test_folder_not_writable(tmp_path, monkeypatch):
    def forbidden(self, *_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", forbidden)  # permissions themselves do not bind an administrator
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(tmp_path / "a.tif"):
        pytest.fail("the block must not run")


def test_errors_about_other_files_are_not_disguised(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a.tif"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/input.tif")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.tif"):
        (tmp_path / "input.tif").open()


def test_mode_follows_the_umask_so_that_colleagues_can_read_results(tmp_path):
    if os.name != "posix":
        pytest.skip("modes are POSIX")
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "a.tif"):
        pass
    assert (tmp_path / "a.tif").stat().st_mode == (tmp_path / "plain").stat().st_mode
