"""`view`: one page from a result, opened in the browser where there is one, and one line where there is none."""

import webbrowser
from pathlib import Path

import numpy as np
import pytest

import zsdeconv
from viewer.results import make_result, steps


@pytest.fixture
def restored(tmp_path):
    return make_result(tmp_path, steps())


@pytest.fixture
def opened(monkeypatch):
    """A screen, and the addresses that were opened on it."""
    addresses = []
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(webbrowser, "open", lambda address: not addresses.append(address))
    return addresses


def test_a_page_is_written_and_opened(zs, restored, opened):
    ended = zs("view", restored)
    assert ended.code == 0 and ended.err == ""
    rows = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert rows["result"] == "cell: raw, denoised, deconvolved, uncertainty"
    page = Path(rows["page"])
    assert opened == [page.as_uri()] and page.name == "cell_view.html" and not page.is_relative_to(restored)
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text and text.count("<script") == 2 + 4 and "http" not in text.replace('http-equiv="', "")


def test_json_tells_all_and_quiet_nothing(zs, restored, opened, tmp_path):
    page = tmp_path / "page.html"
    told = zs("view", restored / "cell_denoised.ome.tif", "-o", page, "--json", "--no-open", "--crop", "0:12,0:12").json
    assert told["page"] == str(page) and told["opened"] is False and opened == []
    (result,) = told["results"]
    assert result["raw"].endswith("data/cell.tif") and result["images"]["denoised"] == str(restored / "cell_denoised.ome.tif")
    assert result["shown"] == ["12 x 12 of 24 x 32 pixels, from row 0 and column 0 on"] and result["report"] is None
    quiet = zs("view", restored, "-o", page, "--overwrite", "--quiet", "--no-open")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_without_a_browser_the_page_is_there(zs, restored, tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    page = tmp_path / "page.html"
    assert zs("view", restored, "-o", page).error.endswith(
        "page.html: the page is written, but there is no browser to open it; open it yourself, or give --no-open"
    )
    assert page.exists()
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "no browser to open it" in zs("view", restored, "-o", page, "--overwrite").error


def test_a_page_that_is_there_stays(zs, restored, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert "page.html: exists, and existing results are kept; give --overwrite" in zs("view", restored, "-o", page, "--no-open").error
    assert page.read_text() == "mine"
    assert "is an input of this command" in zs("view", restored, "-o", restored / "cell_denoised.ome.tif", "--overwrite").error


def test_what_cannot_be_shown_is_told_in_a_line_and_leaves_no_page(zs, restored, tmp_path):
    page, view = tmp_path / "page.html", ("--no-open", "-o", tmp_path / "page.html")
    assert "no result is in it" in zs("view", tmp_path, *view).error
    assert "nowhere: no such file or folder" in zs("view", tmp_path / "nowhere", *view).error
    assert "cell.tif: is no result of a restoration" in zs("view", tmp_path / "data" / "cell.tif", *view).error
    (tmp_path / "text_denoised.ome.tif").write_text("no image")
    assert "text_denoised.ome.tif" in zs("view", tmp_path / "text_denoised.ome.tif", *view).error
    assert "--crop 0:99 along Y: it has 0:24; give a smaller --crop" in zs("view", restored, *view, "--crop", "0:99,0:9").error
    assert "gone.tif: no such file or folder; give --raw" in zs("view", restored, *view, "--raw", "gone.tif").error
    make_result(tmp_path, steps(), name="other")
    assert "--raw cell.tif with 2 results (cell, other): it belongs to one" in zs("view", restored, *view, "--raw", "cell.tif").error
    damaged = restored / "cell_uncertainty.ome.tif"
    damaged.write_bytes(damaged.read_bytes()[:-700])
    assert "cell_uncertainty.ome.tif" in zs("view", restored, *view).error
    assert not page.exists()


def test_the_raw_image_that_has_gone_is_told(zs, restored, tmp_path):
    (tmp_path / "data" / "cell.tif").unlink()
    ended = zs("view", restored, "--no-open", "-o", tmp_path / "page.html")
    assert "note    the recorded image cell.tif is not where it was: shown without it; --raw gives it" in ended.out


def test_the_results_of_a_run_and_of_a_prediction(zs, cell, quick, tmp_path):
    """What `run` and `predict` write leads back to the image: by its path, its part, and its pixels."""
    assert zs("run", cell, "-o", tmp_path / "out", *quick, "--crop", "0:48,5:61", "--quiet").code == 0
    (run,) = zs("view", tmp_path / "out" / "cell.zsd", "--json", "--no-open", "-o", tmp_path / "run.html").json["results"]
    assert Path(run["raw"]).resolve() == cell.resolve() and run["notes"] == []
    assert zs("predict", tmp_path / "out" / "cell.zsd", cell, "-o", tmp_path / "fine.tif", "--quiet").code == 0
    (one,) = zs("view", tmp_path / "fine.tif", "--json", "--no-open", "-o", tmp_path / "fine.html").json["results"]
    assert Path(one["raw"]).resolve() == cell.resolve() and list(one["images"]) == ["deconvolved"] and one["notes"] == []
    said = zsdeconv.read(tmp_path / "fine.tif").metadata["provenance"]
    assert said["path"] == "cell.tif" and said["pixels"] == zsdeconv.read(cell).fingerprint()


def test_a_movie_of_files_leads_back_to_all_of_them(zs, save, frame, quick, tmp_path):
    frames = [save(f"f{n}.tif", np.roll(frame[:48, :52], n, 0), 0.1) for n in range(3)]
    assert zs("run", *frames, "--as", "movie", "-o", tmp_path / "out", *quick, "--quiet").code == 0
    (result,) = zs("view", tmp_path / "out", "--json", "--no-open", "-o", tmp_path / "page.html").json["results"]
    assert result["notes"] == [] and Path(result["raw"]).resolve() == frames[0].resolve()
    frames[1].unlink()
    (result,) = zs("view", tmp_path / "out", "--json", "--no-open", "-o", tmp_path / "other.html").json["results"]
    assert result["raw"] is None and "is not where it was" in result["notes"][0]
