"""`predict --report`: a page beside the images of each input, which knows that the model was trained on another image."""

import numpy as np
import pytest

from zsdeconv import io
from zsdeconv.image import Image


@pytest.fixture
def model(zs, save, frame, quick, tmp_path):
    """A model whose training image is gone; the image is given back as an array."""
    path = save("seen.tif", frame[:57, :64], 0.1)
    assert zs("train", path, "-o", tmp_path / "m.zsd", *quick, "--quiet").code == 0
    path.unlink()
    return tmp_path / "m.zsd"


def test_the_report_of_another_image(zs, model, save, frame, tmp_path):
    seen, other = save("seen.tif", frame[:57, :64], 0.1), save("next.tif", frame[20:77, 5:70], 0.1)
    out = tmp_path / "out"
    ended = zs("predict", model, other, seen, "-o", out, "--report", "--json")
    assert ended.code == 0, ended.err
    first, second = ended.json["results"]
    assert first["outputs"][-1] == str(out / "next_report.html") and (out / "seen_report.html").exists()
    training = first["trust"]["training"]
    assert training["level"] == "not_checked" and "trained on another image" in training["findings"][0]["message"]
    assert "another image" not in second["trust"]["training"]["findings"][0]["message"], "the model was trained on it"
    others = {key: part["level"] for key, part in first["trust"].items() if key not in ("training", "recording")}
    assert {"psf", "camera", "residuals", "flux", "recovery"} <= others.keys()
    assert sum(level != "not_checked" for level in others.values()) >= 5
    page = (out / "next_report.html").read_text(encoding="utf-8")
    assert "next.tif" in page and "trained on another image" in page


def test_existing_reports_are_kept_before_anything_is_computed(zs, model, save, frame, tmp_path):
    path, out = save("next.tif", frame[20:77, 5:70], 0.1), tmp_path / "out"
    out.mkdir()
    (out / "next_report.html").write_text("mine")
    assert "next_report.html: exists" in zs("predict", model, path, "-o", out, "--report").error
    assert [file.name for file in out.iterdir()] == ["next_report.html"]
    assert zs("predict", model, path, "-o", out, "--quiet").code == 0, "without --report it is in nobody's way"
    assert (out / "next_report.html").read_text() == "mine"
    assert zs("predict", model, path, "-o", out, "--report", "--overwrite", "--quiet").code == 0
    assert (out / "next_report.html").read_text(encoding="utf-8") != "mine"
    assert zs("predict", model, path, "-o", out, "--overwrite", "--quiet").code == 0
    assert not (out / "next_report.html").exists(), "it was that of the images before"


def test_a_single_file_has_no_place_for_a_report(zs, model, save, frame, tmp_path):
    path = save("next.tif", frame[20:77, 5:70], 0.1)
    for name in ("a.tif", "a.ome.zarr"):
        error = zs("predict", model, path, "-o", tmp_path / name, "--report").error
        assert "give a folder with -o" in error and not (tmp_path / name).exists()


def test_images_are_written_where_a_report_fails(zs, model, save, frame, tmp_path, monkeypatch):
    from zsdeconv.cli import predict
    from zsdeconv.errors import ImageError

    def failing(*given, **named):
        raise ImageError("no report; give another image")

    monkeypatch.setattr(predict, "reported", failing)
    ended = zs("predict", model, save("next.tif", frame[20:77, 5:70], 0.1), "-o", tmp_path / "out", "--report", "--quiet")
    assert "no report" in ended.error
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        f"next_{kind}.ome.tif" for kind in ("deconvolved", "denoised", "uncertainty")
    ]


def test_a_report_of_several_channels(zs, frame, quick, tmp_path):
    for name, shift in (("seen", 0), ("next", 9)):
        data = np.stack([frame[shift : 57 + shift, :64]] * 2)
        io.write(tmp_path / f"{name}.tif", Image(data, "CYX", {"Y": 0.1, "X": 0.1}), provenance={})
    words = [word if word != 600 else "600,520" for word in quick]
    assert zs("train", tmp_path / "seen.tif", "-o", tmp_path / "m.zsd", *words, "--quiet").code == 0
    ended = zs("predict", tmp_path / "m.zsd", tmp_path / "next.tif", "-o", tmp_path / "out", "--report", "--json")
    assert ended.code == 0, ended.err
    trust = ended.json["results"][0]["trust"]
    assert [part["training"]["level"] for part in trust.values()] == ["not_checked", "not_checked"]
